"""What all figures share: colours, names and numbers as text, axis ranges, intervals, the straight fit, the layout."""

from __future__ import annotations

from statistics import linear_regression
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.labels import positions
from untrac_core.figures.palette import UNDECIDED
from untrac_core.text.numbers import safe

TOP = 34
"""Pixels over a plot, for the buttons that stand there: what they cover cannot be clicked."""
LETTERS = 12
"""Size of the letters in a figure, in pixels; larger in a presentation."""
POINT_CHARACTERS = 22
"""Of a name beside a point."""
NAME_BEGINS = 0.05
"""Share of an axis from a point to where its name begins."""


def ink_of(dark: bool) -> str:
    """The colour of letters and intervals on a dark or a light page."""
    return "#E4EAE8" if dark else "#16211F"


def padded(low: pd.Series, high: pd.Series, share: float, *, both: bool = False) -> list[float]:
    """An axis range that holds zero and every interval, with room at the ends that hold something, or at both."""
    least, most = min(0.0, float(low.min())), max(0.0, float(high.max()))
    width = (most - least) or 1.0
    return [
        least - share * width * (both or least < 0 or most == 0),
        most + share * width * (both or most > 0 or least == 0),
    ]


def whiskers(pairs: pd.DataFrame, centre: str, low: str, high: str, ink: str) -> dict[str, Any]:
    """Intervals as plotly's error bars, from columns of ``pairs``; an end on the wrong side of the value is cut off."""
    return {
        "type": "data",
        "symmetric": False,
        "array": (pairs[high] - pairs[centre]).clip(lower=0).tolist(),
        "arrayminus": (pairs[centre] - pairs[low]).clip(lower=0).tolist(),
        "color": ink,
        "thickness": 1,
        "width": 0,
    }


def stands_of(pairs: pd.DataFrame, across: list[float], upwards: list[float], height: float) -> list[str | None]:
    """Where the names of a scatter with bars stand, as :func:`positions` says, so that none is written along a bar.

    ``pairs``: columns subset, influence with low and high (upwards), truth with truth_low and truth_high (across).
    ``height``: pixels of the vertical axis.
    """
    wide, high = ((ends[1] - ends[0]) * NAME_BEGINS for ends in (across, upwards))
    kept_free = []
    for row in pairs.to_dict("records"):
        known, value = row["truth"], row["influence"]
        for reach in (row["truth_low"] - known, row["truth_high"] - known):
            if abs(reach) > wide / 5:
                kept_free.append((known + max(-wide, min(wide, reach)), value))
        for reach in (row["low"] - value, row["high"] - value):
            if abs(reach) > high / 5:
                kept_free.append((known, value + max(-high, min(high, reach))))
    points = list(zip(pairs["truth"], pairs["influence"], strict=True))
    names = [safe(name, POINT_CHARACTERS) for name in pairs["subset"]] + [""] * len(kept_free)
    return positions([*points, *kept_free], names, across, upwards, height)[: len(points)]


def fitted_line(across: list[float], upwards: list[float]) -> list[dict[str, Any]]:
    """The least-squares line as a trace; none where it is not defined."""
    if len(set(across)) < 2:
        return []
    fit = linear_regression(across, upwards)
    ends = [min(across), max(across)]
    heights = [fit.intercept + fit.slope * x for x in ends]
    dashed = {"color": UNDECIDED, "width": 1, "dash": "dash"}
    return [{"type": "scatter", "x": ends, "y": heights, "mode": "lines", "line": dashed, "hoverinfo": "skip"}]


def assemble(
    traces: list[dict[str, Any]],
    across: dict[str, Any],
    upwards: dict[str, Any],
    *,
    dark: bool,
    height: int,
    size: int = LETTERS,
    **layout: Any,
) -> go.Figure:
    """What all figures share: transparent, a quiet grid, a zero line. Made at one go: plotly checks every call anew.

    ``size``: of the letters, in pixels.
    """
    ink = ink_of(dark)
    grid = "rgba(150,165,160,0.22)"
    axis = {
        "gridcolor": grid,
        "zeroline": True,
        "zerolinecolor": "rgba(130,145,140,0.9)",
        "zerolinewidth": 1,
        "linecolor": grid,
        "tickfont": {"color": ink, "size": size},
        "automargin": True,
        "exponentformat": "none",  # no Greek letters for small numbers
    }
    titles = [
        {**part, "title": {**part.get("title", {}), "font": {"color": ink, "size": size}}} for part in (across, upwards)
    ]
    shared = {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 16, "t": TOP, "b": 4 * size},
        "font": {"color": ink, "size": size + 1},
        "hoverlabel": {"align": "left", "font": {"size": size + 1}},
        "showlegend": False,
        "xaxis": {**axis, **titles[0]},
        "yaxis": {**axis, **titles[1]},
    }
    return go.Figure({"data": traces, "layout": {**shared, **layout}})
