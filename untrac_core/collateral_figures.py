"""What every set of texts lost or gained by a removal, by method and for the gold: in words, and as a heatmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.colours import GROUND, LESS, UNDECIDED
from untrac_core.figure_parts import LETTERS, assemble, ink_of, safe, signed
from untrac_core.removal_figures import MORE
from untrac_core.removal_frames import titles
from untrac_core.removal_measures import place_title
from untrac_core.results import Removed
from untrac_core.unlearn_spec import GOLD
from untrac_core.wording import UNIT

NUMBERED_MOST = 200
"""With more cells than this their numbers are left to the hover."""
ROW = 26
CANARIES = {"canary": "canaries, planted", "candidate": "canaries, never trained on"}
PLACE_CHARACTERS = 26
FEW = 4
"""Up to so many columns their names stand upright."""
LINE = 9
"""Letters of a line, from which on the next word begins another."""


def collateral_rows(removed: Removed) -> pd.DataFrame:
    """What every set lost by every method and the gold: the file's columns, and ``place`` and ``by`` in words."""
    names = titles(removed.spec) | {GOLD: "the gold"}
    rows = removed.collateral
    keys = zip(rows["kind"], rows["name"], rows["side"], strict=True)
    place = [CANARIES.get(key[0]) or place_title((str(key[0]), str(key[1]), str(key[2]))) for key in keys]
    return rows.assign(place=place, by=[names.get(method, method) for method in rows["method"]])


def collateral_in_words(rows: pd.DataFrame, method: str) -> str:
    """What else the method moved most, and how many sets it made less and more likely; holds a user's words."""
    own = rows[(rows["method"] == method) & ~rows["kind"].isin(["forget", "held-out", *CANARIES])]
    clear = own[(own["low"] > 0) | (own["high"] < 0)]
    if clear.empty:
        return "Nothing else moved by more than its interval."
    most = clear.loc[clear["change"].abs().idxmax()]
    gold = "" if pd.isna(most["gold"]) else f"; the gold {signed(most['gold'])}"
    way = "less" if most["change"] > 0 else "more"
    return (
        f"Beyond what was to go, {most['by']} moved most: {most['place']}, {way} likely ({signed(most['change'])} "
        f"{UNIT}, interval {signed(most['low'])} to {signed(most['high'])}{gold}). Of {len(own)} sets, "
        f"{int((own['low'] > 0).sum())} became less likely and {int((own['high'] < 0).sum())} more likely."
    )


def collateral_heatmap(rows: pd.DataFrame, *, dark: bool = False, size: int = LETTERS) -> go.Figure:
    """The change of every set's loss (downwards) by method and gold (across); grey where zero is inside the interval.

    ``rows``: columns place, by, kind, change, low, high, before, after. Colours are scaled to all but what was to go
    and unseen text like it. ``customdata`` of a cell is its set and its method.
    """
    places, methods = (list(dict.fromkeys(rows[name].astype(str))) for name in ("place", "by"))
    known = {(str(r.place), str(r.by)): r for r in rows.itertuples()}
    cells = [[known.get((place, method)) for method in methods] for place in places]
    clear = [[r is not None and bool(r.low > 0 or r.high < 0) for r in line] for line in cells]
    others = rows[~rows["kind"].isin(["forget", "held-out", "canary", "candidate"])]
    most = float(others["change"].abs().max()) if len(others) and others["change"].notna().any() else 1.0
    shared = {
        "type": "heatmap", "x": [str(i) for i in range(len(methods))], "y": [str(i) for i in range(len(places))],
        "customdata": [[[place, method] for method in methods] for place in places],
        "hovertext": [[_cell(place, method, known.get((place, method))) for method in methods] for place in places],
        "hoverinfo": "text", "xgap": 2, "ygap": 2,
    }  # fmt: skip
    layers = {True: _layer(cells, clear, sure=True), False: _layer(cells, clear, sure=False)}
    if len(places) * len(methods) > NUMBERED_MOST:
        layers = {sure: {"z": layer["z"]} for sure, layer in layers.items()}
    grey = {"colorscale": [[0.0, UNDECIDED], [1.0, UNDECIDED]], "opacity": 0.35, "showscale": False}
    few = len(methods) <= FEW
    scale = [[0.0, MORE], [0.5, GROUND["dark" if dark else "light"]], [1.0, LESS]]
    return assemble(
        [
            {**shared, **grey, **layers[False], "textfont": {"size": size, "color": ink_of(dark)}},
            {
                **shared,
                **layers[True],
                "textfont": {"size": size},
                "zmin": -most,
                "zmax": most,
                "colorscale": scale,
                "showscale": False,
            },
        ],
        {**_names(methods, size, ink_of(dark), most=24, lines=few), "side": "top", "tickangle": 0 if few else -40},
        {**_names(places, size, ink_of(dark)), "autorange": "reversed"},
        dark=dark,
        height=(56 if few else 110) + ROW * size * max(len(places), 3) // LETTERS,
        size=size,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )


def _layer(cells: list[list[Any]], clear: list[list[bool]], *, sure: bool) -> dict[str, Any]:
    """The cells that can be told from zero, or the others, with their numbers; holes elsewhere."""
    shown = [
        [row if row is not None and told == sure and not pd.isna(row.change) else None for row, told in line]
        for line in (zip(*pair, strict=True) for pair in zip(cells, clear, strict=True))
    ]
    return {
        "z": [[None if row is None else float(row.change) if sure else 0.0 for row in line] for line in shown],
        "text": [["" if row is None else signed(row.change) for row in line] for line in shown],
        "texttemplate": "%{text}",
    }


def _cell(place: str, method: str, row: Any) -> str:
    name = f"<b>{safe(place, 80)}</b> by {safe(method, 60)}"
    if row is None or pd.isna(row.change):
        return f"{name}<br>not measured"
    ends = "no interval" if pd.isna(row.low) else f"interval {signed(row.low)} to {signed(row.high)}"
    vague = "" if row.low > 0 or row.high < 0 else "<br>cannot be told from zero"
    return f"{name}<br>from {row.before:.2f} to {row.after:.2f}: {signed(row.change)} {UNIT}<br>{ends}{vague}"


def _names(
    names: Sequence[str], size: int, ink: str, *, most: int = PLACE_CHARACTERS, lines: bool = False
) -> dict[str, Any]:
    """An axis of names; ``lines``: several short lines each, so that a few fit side by side on a phone."""
    shown = [wrapped(name, most) if lines else safe(name, most) for name in names]
    return {
        "tickmode": "array", "tickvals": [str(i) for i in range(len(names))], "ticktext": shown, "type": "category",
        "showgrid": False, "zeroline": False, "tickfont": {"size": size, "color": ink},
    }  # fmt: skip


def wrapped(name: str, most: int) -> str:
    """An escaped name on lines of a word or two."""
    lines: list[str] = []
    for word in safe(name, most).split():
        lines = [*lines[:-1], f"{lines[-1]} {word}"] if lines and len(lines[-1]) + len(word) < LINE else [*lines, word]
    return "<br>".join(lines)
