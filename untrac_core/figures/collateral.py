"""What every set of texts lost or gained, by method and for the retrained model: in words, and as a heatmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import LETTERS, assemble, ink_of
from untrac_core.figures.palette import GROUND, LESS, UNDECIDED
from untrac_core.figures.unlearn import MORE
from untrac_core.text.numbers import UNIT, safe, signed

NUMBERED_MOST = 200
"""With more cells than this their numbers are left to the hover."""
ROW = 26
PLACE_CHARACTERS = 26
FEW = 4
"""Up to so many columns their names stand upright."""
LINE = 9
"""Letters of a line, from which on the next word begins another."""


def collateral_heatmap(rows: pd.DataFrame, *, dark: bool = False, size: int = LETTERS) -> go.Figure:
    """The change of every set's loss (down) by method and retrained model (across); grey: zero is in the interval.

    ``rows``: columns place, by, kind, change, low, high, before, after. Colours are scaled to all but the forget set
    and unseen text like it. ``customdata`` of a cell is its set and its method.
    """
    places, methods = (list(dict.fromkeys(rows[name].astype(str))) for name in ("place", "by"))
    known = {(str(r.place), str(r.by)): r for r in rows.itertuples()}
    cells = [[known.get((place, method)) for method in methods] for place in places]
    clear = [[r is not None and bool(r.low > 0 or r.high < 0) for r in line] for line in cells]
    others = rows[~rows["kind"].isin(["forget", "holdout", "canary", "candidate"])]
    most = float(others["change"].abs().max()) if len(others) and others["change"].notna().any() else 1.0
    shared = {
        "type": "heatmap",
        "x": [str(i) for i in range(len(methods))],
        "y": [str(i) for i in range(len(places))],
        "customdata": [[[place, method] for method in methods] for place in places],
        "hovertext": [[_cell(place, method, known.get((place, method))) for method in methods] for place in places],
        "hoverinfo": "text",
        "xgap": 2,
        "ygap": 2,
    }
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
