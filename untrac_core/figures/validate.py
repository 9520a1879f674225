"""Plotly figures of a validation: which method agrees with retraining, how steady the truth is, estimate against truth.

They share the look of :mod:`untrac_core.figures.ranking`: escaped names, transparent backgrounds, colours of the
Okabe-Ito set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import LETTERS, TOP, assemble, ink_of, padded, whiskers
from untrac_core.figures.palette import HARMFUL, HARMLESS, LESS, UNDECIDED, colour
from untrac_core.text.numbers import UNIT, decimals, safe, signed

BEST = "#009E73"
"""Bluish green of the Okabe-Ito set: neither side's colour."""
BAR = "#E69F00"
"""Orange: a bar that something has to pass."""
ROW = 30
"""Pixels a method."""
TITLE_CHARACTERS = 40
LEAST_REACH = 0.1
"""Nats per token that are drawn at least, so that small changes look small."""
METHOD_MARKS = ((HARMFUL, "circle"), (HARMLESS, "square"), (LESS, "diamond"))
"""Of the methods, in the order in which they are named; further ones are small and grey."""


def agreement_dots(
    leaderboard: pd.DataFrame, *, across: str, critical: float | None, dark: bool = False, size: int = LETTERS
) -> go.Figure:
    """The agreement of each method with the truth as a dot with its interval, the best on top.

    ``leaderboard``: columns title, value, low, high (may be missing: no interval) and relation: ``best`` (a filled
    dot), ``tie`` (a ring: cannot be told from the best), ``retraining`` (a diamond: no method, and its ends are the
    least and the greatest seed), else grey. ``across`` names the measure. ``critical``: a line at the value that chance
    exceeds in one of twenty rankings. ``size``: of the letters, in pixels.
    """
    rows = leaderboard.sort_values("value", ascending=False, na_position="last").reset_index(drop=True)
    rows = rows.assign(low=rows["low"].fillna(rows["value"]), high=rows["high"].fillna(rows["value"]))
    ink, places = ink_of(dark), [str(i) for i in range(len(rows))]
    tints, symbols = {"best": BEST, "tie": BEST, "retraining": ink}, {"tie": "circle-open", "retraining": "diamond"}
    colours = [tints.get(relation, UNDECIDED) for relation in rows["relation"]]
    hover = [
        f"<b>{safe(r.title, 80)}</b><br>{safe(across, 80)}: {decimals(r.value)}<br>{_interval(r)}"
        for r in rows.itertuples()
    ]
    dots = {
        **_dots(rows, "value", places, ink),
        "marker": {
            "size": 11,
            "color": colours,
            "symbol": [symbols.get(relation, "circle") for relation in rows["relation"]],
            "line": {"width": 2, "color": colours},
        },
        "hovertext": hover,
        "customdata": rows["title"].astype(str).tolist(),
    }
    least, most = padded(rows["low"], rows["high"], 0.0)
    width = (max(most, 1.0) - least) or 1.0
    shapes, notes = _bar(critical, "chance", ink, size) if critical is not None else ([], [])
    return assemble(
        [dots, _numbers(rows, places, ink, size)],
        {"title": {"text": safe(across, 80)}, "range": [least - 0.03 * width, max(most, 1.0) + 0.13 * width]},
        _names(rows["title"], places),
        dark=dark,
        height=22 + 6 * size + ROW * size * max(len(rows), 3) // LETTERS,
        size=size,
        shapes=shapes,
        annotations=notes,
        margin={"l": 8, "r": 16, "t": 2 + 2 * size, "b": 4 * size},
    )


def noise_dots(noise: pd.DataFrame, *, enough: float, dark: bool = False, size: int = LETTERS) -> go.Figure:
    """How well retrainings with other seeds agree with each other, one dot a side of a prompt set.

    ``noise``: columns title, agreement, low, high, ceiling (the highest agreement that an estimate without fault could
    have with this truth; a tick), resolvable, and resolution: the same in words. ``enough``: agreement from which on
    a side counts as resolvable.
    """
    rows = noise.reset_index(drop=True)
    rows = rows.assign(low=rows["low"].fillna(rows["agreement"]), high=rows["high"].fillna(rows["agreement"]))
    ink, places = ink_of(dark), [str(i) for i in range(len(rows))]
    hover = [
        f"<b>{safe(r.title, 80)}</b><br>agreement of seeds: {decimals(r.agreement)}<br>{_interval(r)}"
        f"<br>ceiling for any method: {decimals(r.ceiling)}"
        f"<br>{'can be resolved' if r.resolvable else r.resolution}"
        for r in rows.itertuples()
    ]
    tints = [BEST if resolvable else UNDECIDED for resolvable in rows["resolvable"]]
    dots = {
        **_dots(rows, "agreement", places, ink),
        "marker": {"size": 10, "color": tints},
        "hovertext": hover,
    }
    ceilings = {
        "type": "scatter",
        "x": rows["ceiling"].tolist(),
        "y": places,
        "mode": "markers",
        "marker": {"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": ink}},
        "hovertext": hover,
        "hoverinfo": "text",
    }
    shapes, notes = _bar(enough, "enough to rank", ink, size)
    least, most = padded(rows["low"], rows["high"], 0.0)
    width = (max(most, 1.0) - least) or 1.0
    return assemble(
        [dots, ceilings],
        {
            "title": {"text": "agreement of seeds, Pearson r"},
            "range": [least - 0.03 * width, max(most, 1.0) + 0.05 * width],
        },
        _names(rows["title"], places),
        dark=dark,
        height=22 + 6 * size + ROW * size * max(len(rows), 3) // LETTERS,
        size=size,
        shapes=shapes,
        annotations=notes,
        margin={"l": 8, "r": 16, "t": 2 + 2 * size, "b": 4 * size},
    )


def _interval(row: Any) -> str:
    if row.low == row.high:
        return "no interval"
    kind = "seeds from" if getattr(row, "relation", "") == "retraining" else "interval"
    return f"{kind} {decimals(row.low)} to {decimals(row.high)}"


def _dots(rows: pd.DataFrame, value: str, places: list[str], ink: str) -> dict[str, Any]:
    """Dots with their intervals, one per row of the figure."""
    return {
        "type": "scatter",
        "x": rows[value].tolist(),
        "y": places,
        "mode": "markers",
        "error_x": {**whiskers(rows, value, "low", "high", ink), "thickness": 1.3},
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _numbers(rows: pd.DataFrame, places: list[str], ink: str, size: int) -> dict[str, Any]:
    """The value beside the upper end of each interval, or beside the dot of one that has none."""
    gaps = ["\u00a0" * (2 if above > value else 4) for value, above in zip(rows["value"], rows["high"], strict=True)]
    return {
        "type": "scatter",
        "x": rows["high"].tolist(),
        "y": places,
        "mode": "text",
        "text": [f"{gap}{decimals(value)}" for gap, value in zip(gaps, rows["value"], strict=True)],
        "textposition": "middle right",
        "textfont": {"color": ink, "size": size},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _names(titles: pd.Series, places: list[str]) -> dict[str, Any]:
    """An axis with a name for each row, the first on top."""
    return {
        "tickmode": "array",
        "tickvals": places,
        "ticktext": [f"{safe(title, TITLE_CHARACTERS)}  " for title in titles],
        "range": [len(places) - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
        "type": "category",
    }


def _bar(value: float, text: str, ink: str, size: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A dashed line across all rows, with a word at its top."""
    line = {"color": BAR, "width": 1.5, "dash": "dash"}
    ends = {"x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper"}
    shape = {"type": "line", **ends, "line": line, "layer": "below"}
    note = {
        "x": value,
        "y": 1,
        "yref": "paper",
        "xanchor": "right",
        "xshift": 4,
        "yanchor": "bottom",
        "showarrow": False,
        "text": f"{text}: {decimals(value)}",
        "font": {"color": ink, "size": size - 1},
    }
    return [shape], [note]


def dots_by_testbed(table: pd.DataFrame, methods: Sequence[str], *, dark: bool = False) -> go.Figure:
    """A row for each testbed, in it a point for each method, and a line at the r of one retraining.

    ``table``: columns testbed, method, title, r_others and one_retraining, both against the same retrainings.
    ``methods``: those that stand out, in this order.
    """
    beds = list(dict.fromkeys(table["testbed"]))
    rows = {bed: safe(bed, 44) for bed in beds}
    traces: list[dict[str, Any]] = []
    others = [method for method in dict.fromkeys(table["method"]) if method not in methods]
    named = [method for method in methods if method in set(table["method"])]
    for method in [*others, *named]:
        part = table[table["method"] == method]
        place = list(methods).index(method) if method in methods else None
        tint, shape = METHOD_MARKS[place % len(METHOD_MARKS)] if place is not None else (UNDECIDED, "x-thin-open")
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": str(part["title"].iloc[0]) if place is not None else "other methods",
                "legendgroup": method if place is not None else "others",
                "showlegend": place is not None or method == others[0],
                "text": part["title"].tolist(),
                "x": part["r_others"].tolist(),
                "y": [rows[bed] for bed in part["testbed"]],
                "marker": {"color": tint, "symbol": shape, "size": 11 if place is not None else 9},
                "hovertemplate": "%{text}: r = %{x:.2f}<extra></extra>",
            }
        )
    known = table.drop_duplicates("testbed")
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "one retraining",
            "x": known["one_retraining"].tolist(),
            "y": [rows[bed] for bed in known["testbed"]],
            "marker": {"color": ink_of(dark), "symbol": "line-ns-open", "size": 22, "line": {"width": 2}},
            "hovertemplate": "one retraining against the others: r = %{x:.2f}<extra></extra>",
        }
    )
    return assemble(
        traces,
        {
            "title": {"text": "Pearson r with retrainings of other seeds"},
            "zeroline": False,
        },
        {"autorange": "reversed", "zeroline": False},
        dark=dark,
        height=110 + 56 * len(beds),
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"color": ink_of(dark)}},
    )


def mix_dots(table: pd.DataFrame, *, dark: bool = False, size: int = LETTERS) -> go.Figure:
    """What another mix of the training adds to losses: a dot with its interval for every row, in their order.

    ``table``: title, side, change, low, high, retrained (a diamond: this very mix was trained; may be missing). A dot
    has the colour of its side, of the contrast that of the side towards which the model goes; grey: zero is inside.
    ``size``: of the letters, in pixels.
    """
    ink, places = ink_of(dark), [str(i) for i in range(len(table))]
    tints = [_towards(r.side, r.change, r.low, r.high) for r in table.itertuples()]
    hover = [
        f"<b>{safe(r.title, 80)}</b><br>{signed(r.change)} {UNIT}<br>95% interval {signed(r.low)} to {signed(r.high)}"
        f"{'' if pd.isna(r.retrained) else f'<br>retrained: {signed(r.retrained)}'}"
        for r in table.itertuples()
    ]
    dots = {
        **_dots(table, "change", places, ink),
        "marker": {"size": 12, "color": tints},
        "hovertext": hover,
    }
    known = {
        "type": "scatter",
        "x": table["retrained"].tolist(),
        "y": places,
        "mode": "markers",
        "marker": {"symbol": "diamond-open", "size": 18, "color": ink, "line": {"width": 2, "color": ink}},
        "hovertext": hover,
        "hoverinfo": "text",
    }
    least, most = padded(
        table[["low", "retrained"]].min(axis=1), table[["high", "retrained"]].max(axis=1), 0.06, both=True
    )
    reach = max(abs(least), abs(most), LEAST_REACH)
    return assemble(
        [dots, known],
        {"title": {"text": f"change of the loss, {UNIT}"}, "range": [-reach, reach]},
        _names(table["title"], places),
        dark=dark,
        height=22 + 6 * size + ROW * size * max(len(table), 3) // LETTERS,
        size=size,
        margin={"l": 8, "r": 16, "t": TOP, "b": 4 * size},
    )


def _towards(side: str, change: float, low: float, high: float) -> str:
    """A side's own colour; of a contrast that rises, and so goes against the harmful side, that of the harmless."""
    return colour(side, -change, low, high) if side == "contrast" else colour(side, change, low, high)
