"""The heatmap of subsets and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import assemble, ink_of
from untrac_core.figures.palette import GROUND, HARMFUL, HARMLESS, LESS, UNDECIDED
from untrac_core.text.numbers import NAME_CHARACTERS, UNIT, safe, signed

NUMBERED_MOST = 160
"""With more cells than this their numbers are left to the hover."""
ROW, TOP = 26, 96


def poles(side: str) -> tuple[str, str]:
    """The colours of the most negative and the most positive influence on a side.

    On a single side, green stands for less likely; of the contrast, blue for towards the harmless side.
    """
    if side == "contrast":
        return HARMLESS, HARMFUL
    return LESS, HARMFUL if side == "harmful" else HARMLESS


def colour_scale(side: str, dark: bool) -> list[list[Any]]:
    """Plotly's colour scale from one pole over the page's own ground to the other."""
    less, more = poles(side)
    return [[0.0, less], [0.5, GROUND["dark" if dark else "light"]], [1.0, more]]


def group_heatmap(
    table: pd.DataFrame,
    *,
    subsets: Sequence[str],
    side: str,
    dark: bool = False,
    size: int = 12,
    unit: str = UNIT,
) -> go.Figure:
    """Influence by subset (downwards, in the order of ``subsets``) and group (across); grey where zero is inside.

    ``table``: columns group, subset, influence, low, high, items; one row per cell. ``customdata`` of a cell is its
    subset and its group. ``size``: of the letters, in pixels. ``unit``: of the influence.
    """
    groups = sorted(table["group"].unique())
    wide = {
        name: table.pivot(index="subset", columns="group", values=name).reindex(index=list(subsets), columns=groups)
        for name in ("influence", "low", "high", "items")
    }
    values = wide["influence"].to_numpy(dtype=float)
    low, high = wide["low"].to_numpy(dtype=float), wide["high"].to_numpy(dtype=float)
    decided = (low > 0) | (high < 0)
    most = float(np.nanmax(np.abs(values[decided]))) if decided.any() else 1.0
    hover = _hover(subsets, groups, wide, unit)
    shared = {
        "type": "heatmap",
        "x": [str(i) for i in range(len(groups))],
        "y": [str(i) for i in range(len(subsets))],
        "customdata": [[[subset, group] for group in groups] for subset in subsets],
        "hovertext": hover,
        "hoverinfo": "text",
        "xgap": 1,
        "ygap": 1,
    }
    numbers = {}
    if values.size <= NUMBERED_MOST:
        pairs = zip(values, decided, strict=True)
        said = [[signed(value) if sure else "" for value, sure in zip(*row, strict=True)] for row in pairs]
        numbers = {"text": said, "texttemplate": "%{text}", "textfont": {"size": size - 1}}
    traces = [
        {
            **shared,
            "z": _holes(np.where(decided | np.isnan(values), np.nan, 0.0)),
            "colorscale": [[0.0, UNDECIDED], [1.0, UNDECIDED]],
            "opacity": 0.35,
            "showscale": False,
        },
        {
            **shared,
            **numbers,
            "z": _holes(np.where(decided, values, np.nan)),
            "zmin": -most,
            "zmax": most,
            "colorscale": colour_scale(side, dark),
            "colorbar": {
                "title": {"text": unit, "side": "right", "font": {"size": size}},
                "tickfont": {"size": size},
                "thickness": 12,
                "outlinewidth": 0,
                "exponentformat": "none",
            },
        },
    ]
    across, downwards = (_names(names, size, ink_of(dark)) for names in (groups, subsets))
    return assemble(
        traces,
        {**across, "side": "top", "tickangle": -40},
        {**downwards, "autorange": "reversed"},
        dark=dark,
        height=TOP + ROW * max(len(subsets), 3),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )


def _names(names: Sequence[str], size: int, ink: str) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": [str(i) for i in range(len(names))],
        "ticktext": [safe(name, NAME_CHARACTERS) for name in names],
        "type": "category",
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"size": size, "color": ink},
    }


def _hover(subsets: Sequence[str], groups: Sequence[str], wide: dict[str, pd.DataFrame], unit: str) -> list[list[str]]:
    cells = [wide[name].to_numpy(dtype=float) for name in ("influence", "low", "high", "items")]
    return [
        [_said(subset, group, unit, *(float(part[i, j]) for part in cells)) for j, group in enumerate(groups)]
        for i, subset in enumerate(subsets)
    ]


def _said(subset: str, group: str, unit: str, value: float, low: float, high: float, items: float) -> str:
    name = f"<b>{safe(subset, 80)}</b> on {safe(group, 80)}"
    if np.isnan(value):
        return f"{name}<br>not measured"
    interval = "no interval" if np.isnan(low) else f"interval {signed(low)} to {signed(high)}"
    inside = "" if low > 0 or high < 0 else "<br>cannot be told from zero"
    return f"{name}<br>{signed(value)} {unit}<br>{interval}{inside}<br>{int(items)} items"


def _holes(values: np.ndarray) -> list[list[float | None]]:
    """Nested lists with ``None`` where there is no number, as JSON has none."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]
