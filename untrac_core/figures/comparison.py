"""Plotly figures of rankings side by side: the subsets of two views as points, and their places from view to view.

They share the look of :mod:`untrac_core.figures.ranking`: escaped names, transparent backgrounds, colours of the
Okabe-Ito set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import LETTERS, POINT_CHARACTERS, assemble, ink_of, padded, stands_of, whiskers
from untrac_core.figures.palette import HARMFUL, HARMLESS, UNDECIDED
from untrac_core.text.numbers import safe, signed

CROWDED = 40
"""With more points than this, only the outermost carry their name, and intervals are pale."""
NAMED_MOST = 8
AXIS_CHARACTERS = 48
LINE_CHARACTERS = 14
"""Of a name at the end of a line, or among many points."""
CORNER_SHARE = 0.27
"""Share of an axis that a quadrant needs to be named in the figure."""
LINES_MOST = 24
"""Subsets whose places are drawn."""
TINTS = {(1, 1): "rgba(213,94,0,0.06)", (-1, -1): "rgba(0,114,178,0.06)"}
POINT = ["subset", "words", "x", "x_low", "x_high", "y", "y_low", "y_high"]
HALO = {
    dark: ", ".join(f"{x}px {y}px 2px {tint}" for x in (-1, 1) for y in (-1, 1))
    for dark, tint in ((False, "#ffffff"), (True, "#111716"))
}
"""Behind the letters of a name, on a light and a dark page, so that it can be read over points."""
COLOURS = {1: HARMFUL, -1: HARMLESS, 0: UNDECIDED}


def view_scatter(
    pairs: pd.DataFrame,
    *,
    across: tuple[str, str],
    upwards: tuple[str, str],
    corners: Mapping[tuple[int, int], str],
    harm: tuple[int, int] = (1, 1),
    dark: bool = False,
    height: int = 460,
    size: int = LETTERS,
) -> go.Figure:
    """Two views of the same subsets: a point per subset, with its interval both ways.

    ``pairs``: columns subset, x, x_low, x_high, x_sign, y, y_low, y_high, y_sign, words (for the hover). A sign is 1,
    -1, or 0: cannot be separated from zero; such a point is grey. Else its inside has the colour of the first view and
    its ring that of the second: vermilion towards the harm, blue away from it. ``harm``: for each axis 1 where
    positive is towards the harm, else -1. ``corners``: quadrant to its name. ``across`` and ``upwards``: the name of
    an axis, and its unit. ``size``: of the letters, in pixels. ``customdata`` of a point is its subset's name.
    """
    ink, crowded = ink_of(dark), len(pairs) > CROWDED
    pairs = pairs.reset_index(drop=True)
    closed = pairs.assign(
        **{f"{axis}_{end}": pairs[f"{axis}_{end}"].fillna(pairs[axis]) for axis in "xy" for end in ("low", "high")}
    )
    ranges = [padded(closed[f"{axis}_low"], closed[f"{axis}_high"], 0.16, both=True) for axis in "xy"]
    places = _name_places(closed, ranges, (height - 92) * LETTERS / size, crowded=crowded)
    bars = ink if not crowded else ("rgba(228,234,232,0.3)" if dark else "rgba(22,33,31,0.25)")
    shades = [
        (COLOURS[x * harm[0]], COLOURS[y * harm[1]]) if x and y else (UNDECIDED, UNDECIDED)
        for x, y in zip(pairs["x_sign"], pairs["y_sign"], strict=True)
    ]
    marks = {
        "type": "scatter",
        "x": pairs["x"].tolist(),
        "y": pairs["y"].tolist(),
        "mode": "markers+text",
        "text": [
            f"\u00a0{safe(name, LINE_CHARACTERS if crowded else POINT_CHARACTERS)}\u00a0" if place else ""
            for name, place in zip(pairs["subset"], places, strict=True)
        ],
        "textposition": [place or "middle right" for place in places],
        "textfont": {"size": size, "color": ink, "shadow": HALO[dark]},
        "marker": {
            "size": (7 if crowded else 11) * size / LETTERS,
            "color": [inside for inside, _ in shades],
            "line": {"width": 2 if crowded else 3, "color": [ring for _, ring in shades]},
        },
        "error_x": {**whiskers(closed, "x", "x_low", "x_high", bars)},
        "error_y": {**whiskers(closed, "y", "y_low", "y_high", bars)},
        "customdata": pairs["subset"].astype(str).tolist(),
        "hovertext": [_point_hover(row, across[0], upwards[0]) for row in pairs[POINT].to_dict("records")],
        "hoverinfo": "text",
        "cliponaxis": False,
        "unselected": {"marker": {"opacity": 0.4}, "textfont": {"color": ink}},
    }
    shapes, notes = _quadrants(corners, harm, ranges, ink, size)
    return assemble(
        [marks],
        {"title": {"text": _axis_title(across)}, "range": ranges[0]},
        {"title": {"text": _axis_title(upwards)}, "range": ranges[1]},
        dark=dark,
        height=height,
        shapes=shapes,
        annotations=notes,
        size=size,
        hovermode="closest",
        margin={"l": 8, "r": 12, "t": 30, "b": 4 * size},
    )


def _axis_title(axis: tuple[str, str]) -> str:
    """Name over unit: on one line they would not fit a phone."""
    return "<br>".join(safe(part, AXIS_CHARACTERS) for part in axis)


def _name_places(
    pairs: pd.DataFrame, ranges: Sequence[list[float]], height: float, *, crowded: bool
) -> list[str | None]:
    """Where the name of each point stands, ``None`` where it has none; of many points the outermost are named."""
    chosen = pairs[["subset", "x", "x_low", "x_high", "y", "y_low", "y_high"]]
    if crowded:
        chosen = chosen.assign(subset=[str(name)[:LINE_CHARACTERS] for name in chosen["subset"]])
        apart = sum(((pairs[a] - pairs[a].median()) / (pairs[a].std() or 1.0)) ** 2 for a in "xy")
        chosen = chosen.loc[pd.Series(apart).nlargest(NAMED_MOST).index]
    ends = {"x_low": "truth_low", "x_high": "truth_high", "y_low": "low", "y_high": "high"}
    known = chosen.rename(columns={"x": "truth", "y": "influence", **ends})
    across, upwards = ranges
    found = dict(zip(chosen.index, stands_of(known, across, upwards, height), strict=True))
    return [found.get(i) for i in pairs.index]


def _point_hover(row: Mapping[str, Any], across: str, upwards: str) -> str:
    lines = [f"<b>{safe(row['subset'], 80)}</b>", safe(row["words"], 120)]
    for axis, name in (("x", across), ("y", upwards)):
        ends = "no interval"
        if not pd.isna(row[f"{axis}_low"]):
            ends = f"{signed(row[f'{axis}_low'])} to {signed(row[f'{axis}_high'])}"
        lines.append(f"{safe(name, 60)}: {signed(row[axis])} ({ends})")
    return "<br>".join(lines)


def _quadrants(
    corners: Mapping[tuple[int, int], str], harm: tuple[int, int], ranges: Sequence[list[float]], ink: str, size: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A tint for the two quadrants that go one way, and the name of each that has the room."""
    shapes, notes = [], []
    for (one, two), words in corners.items():
        ends = [[0.0, ends[1]] if sign > 0 else [ends[0], 0.0] for sign, ends in zip((one, two), ranges, strict=True)]
        tint = TINTS.get((one * harm[0], two * harm[1]))
        if tint:
            box = {"x0": ends[0][0], "x1": ends[0][1], "y0": ends[1][0], "y1": ends[1][1]}
            shapes.append({"type": "rect", **box, "fillcolor": tint, "line": {"width": 0}, "layer": "below"})
        shares = [(end[1] - end[0]) / (whole[1] - whole[0]) for end, whole in zip(ends, ranges, strict=True)]
        if shares[0] < CORNER_SHARE or shares[1] < CORNER_SHARE / 2:
            continue
        notes.append(
            {
                "xref": "paper",
                "yref": "paper",
                "x": 1 if one > 0 else 0,
                "y": 1 if two > 0 else 0,
                "xanchor": "right" if one > 0 else "left",
                "yanchor": "top" if two > 0 else "bottom",
                "align": "right" if one > 0 else "left",
                "text": f"<i>{_wrapped(words)}</i>",
                "showarrow": False,
                "font": {"color": ink, "size": size},
                "opacity": 0.75,
            }
        )
    return shapes, notes


def _wrapped(words: str, most: int = 22) -> str:
    """Escaped words, a line per clause and of about ``most`` letters, so that two quadrants fit a phone's width."""
    lines: list[str] = []
    for word in safe(words, 90).split():
        begins = not lines or lines[-1].endswith((",", ";")) or len(lines[-1]) + len(word) >= most
        lines = [*lines, word] if begins else [*lines[:-1], f"{lines[-1]} {word}"]
    return "<br>".join(lines)


def place_lines(
    places: pd.DataFrame, holds: pd.DataFrame, *, names: Sequence[str], dark: bool = False, height: int = 460
) -> go.Figure:
    """The place of each subset in each view, first on top, as a line from the baseline at the left.

    ``places``: index subset, a column a view. ``holds``: the same index, a bool for each view but the first: its move
    against the baseline is more than the intervals allow; such a subset has a strong line, the others a thin grey one.
    ``names``: of the views. At most :data:`LINES_MOST` subsets: the baseline's first, and those that moved most.
    """
    ink, views = ink_of(dark), list(places.columns)
    shown = notable(places, holds)
    # Of many subsets those that are drawn stand in their order, evenly: their true places would lie on each other.
    heights = shown if len(shown) == len(places) else shown.rank()
    strong = holds.reindex(shown.index).any(axis=1).astype(bool)
    traces = [
        _places(shown[~strong], heights[~strong], UNDECIDED, 1, names),
        _places(shown[strong], heights[strong], ink, 2, names),
    ]
    notes = []
    for place, view in ((0, views[0]), (len(views) - 1, views[-1])):
        left = place == 0
        for subset, number, y in zip(shown.index, shown[view], heights[view], strict=True):
            name = safe(subset, LINE_CHARACTERS)
            notes.append(
                {
                    "x": place,
                    "y": y,
                    "text": f"{name} <b>{int(number)}</b>" if left else f"<b>{int(number)}</b> {name}",
                    "showarrow": False,
                    "xanchor": "right" if left else "left",
                    "xshift": -8 if left else 8,
                    "font": {"color": ink, "size": 12},
                }
            )
    letters = max((min(len(" ".join(str(name).split())), LINE_CHARACTERS) for name in shown.index), default=0)
    widest = 6.4 * letters + 36
    least, most = float(heights.min().min()) - 0.5, float(heights.max().max()) + 0.5
    return assemble(
        traces,
        {
            "tickmode": "array",
            "tickvals": list(range(len(views))),
            "ticktext": [safe(name, 22) for name in names],
            "range": [-0.02, len(views) - 0.98],
            "showgrid": True,
            "zeroline": False,
            "side": "top",
            "tickangle": 0,
        },
        {"range": [most, least], "showticklabels": False, "showgrid": False, "zeroline": False},
        dark=dark,
        height=height,
        annotations=notes,
        margin={"l": widest, "r": widest, "t": 40, "b": 8},
    )


def notable(places: pd.DataFrame, holds: pd.DataFrame) -> pd.DataFrame:
    """The subsets whose places are drawn, in the order of the first view: all, or its first and the greatest moves."""
    ordered = places.sort_values(places.columns[0])
    if len(ordered) <= LINES_MOST:
        return ordered
    first = list(ordered.index[: LINES_MOST // 2])
    trainable = ordered.sub(ordered.iloc[:, 0], axis=0).abs().max(axis=1)
    by = pd.DataFrame({"holds": holds.reindex(ordered.index).any(axis=1), "move": trainable}).drop(index=first)
    rest = by.sort_values(["holds", "move"], ascending=False, kind="stable").index[: LINES_MOST - len(first)]
    kept = {*first, *rest}
    return ordered.loc[[subset for subset in ordered.index if subset in kept]]


def _places(rows: pd.DataFrame, heights: pd.DataFrame, tint: str, width: int, names: Sequence[str]) -> dict[str, Any]:
    """All lines of one look as one trace, with a gap between two subsets."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    hover: list[str] = []
    data: list[str] = []
    for subset, row in rows.iterrows():
        told = "<br>".join(f"{safe(name, 60)}: {int(value)}" for name, value in zip(names, row, strict=True))
        xs += [*range(len(row)), None]
        ys += [*heights.loc[subset].tolist(), None]
        hover += [f"<b>{safe(subset, 80)}</b><br>{told}"] * len(row) + [""]
        data += [str(subset)] * (len(row) + 1)
    return {
        "type": "scatter",
        "x": xs,
        "y": ys,
        "mode": "lines+markers",
        "line": {"color": tint, "width": width},
        "marker": {"size": 6 + width, "color": tint},
        "hovertext": hover,
        "hoverinfo": "text",
        "customdata": data,
        "cliponaxis": False,
    }
