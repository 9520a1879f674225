"""Plotly figures from result frames: ranked bars, the trajectory of an unlearning, an estimate against its truth.

Every text that a user wrote is escaped and cut before it reaches a figure, because plotly reads a part of HTML in
titles, ticks and hovers. Backgrounds are transparent, so that a figure fits a light and a dark page; ``dark`` chooses
the ink. Colours are of the Okabe-Ito set, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import (
    LETTERS,
    POINT_CHARACTERS,
    TOP,
    assemble,
    fitted_line,
    ink_of,
    padded,
    stands_of,
    whiskers,
)
from untrac_core.figures.labels import spread
from untrac_core.figures.palette import UNDECIDED, colour
from untrac_core.text.numbers import UNIT, alike, safe, signed

PALE = 0.6
"""Opacity of a bar whose place in the ranking is not settled."""
ROW = 34
"""Pixels a bar, with letters of the usual size."""
LANE = 9
"""Pixels from a bracket to the next one."""
LANES = 5
"""Brackets side by side, at most."""
LABELLED_MOST = 12
"""With more lines than this, only the outermost carry their name."""


def ranked_bars(
    ranking: pd.DataFrame,
    *,
    side: str,
    dark: bool = False,
    room: float = 0.2,
    groups: Sequence[Sequence[str]] = (),
    unit: str = UNIT,
    size: int = LETTERS,
) -> go.Figure:
    """Horizontal bars with intervals, the largest influence at the top.

    ``room``: share of the axis that is kept free for the numbers at the ends; more for a narrow picture. ``groups``:
    runs of subsets, neighbours in rank, that cannot be separated from each other; each gets a thin bracket at the
    right, unless there are so many that they would say nothing (:data:`LANES`). ``unit``: of the influence.
    ``size``: of the letters, in pixels.

    ``ranking``: columns subset, rank, influence, low, high, separable (bool). A bar whose place is not settled
    (``separable`` false) is paler. ``customdata`` of a bar is its subset's name.
    """
    rows = _closed(ranking.sort_values("rank").reset_index(drop=True))
    names = rows["subset"].astype(str).tolist()
    ink = ink_of(dark)
    places = [str(i) for i in range(len(rows))]
    colours = [UNDECIDED if r.open else colour(side, r.influence, r.low, r.high) for r in rows.itertuples()]
    hover = [
        f"<b>{safe(r.subset, 80)}</b><br>rank {r.rank}<br>{signed(r.influence)} {safe(unit, 80)}"
        f"<br>{_interval(r)}"
        f"<br>{'clear of its neighbours' if r.separable else 'not significantly different from a neighbour'}"
        for r in rows.itertuples()
    ]
    bars = {
        "type": "bar",
        "x": rows["influence"].tolist(),
        "y": places,
        "orientation": "h",
        "marker": {"color": colours, "opacity": [1.0 if settled else PALE for settled in rows["separable"]]},
        "error_x": {**whiskers(rows, "influence", "low", "high", ink), "thickness": 1.3, "width": 4},
        "customdata": names,
        "hovertext": hover,
        "hoverinfo": "text",
    }
    ticks = {
        "tickmode": "array",
        "tickvals": places,
        "ticktext": [f"{safe(name)}  <b>{rank}</b>" for name, rank in zip(names, rows["rank"], strict=True)],
        "range": [len(places) - 0.5, -0.5],
        "showgrid": False,
        "type": "category",
    }
    across = {"title": {"text": f"influence, {safe(unit, 80)}"}, "range": padded(rows["low"], rows["high"], room)}
    lines, lanes = _brackets(names, groups, ink)
    return assemble(
        [bars, _bar_numbers(rows, places, ink, size)],
        across,
        ticks,
        dark=dark,
        height=TOP + 4 * size + ROW * size * max(len(rows), 3) // LETTERS,
        size=size,
        bargap=0.38,
        shapes=lines,
        margin={"l": 8, "r": 16 + LANE * lanes, "t": TOP, "b": 4 * size},
    )


def trajectory(
    points: pd.DataFrame,
    *,
    colours: dict[str, str],
    unit: str = UNIT,
    dark: bool = False,
    height: int = 340,
    size: int = LETTERS,
    across: str = "unlearning step (◆ where it stopped)",
) -> go.Figure:
    """Influence over the steps of the unlearning, one line per subset with the band of its seeds.

    ``points``: columns subset, step, influence (mean over seeds), low, high (least and greatest seed), seeds (count).
    ``colours``: subset to colour, in the order of the ranking. ``unit``: of the influence; ``across`` names the
    horizontal axis. A diamond marks where the unlearning stopped.
    """
    ink = ink_of(dark)
    drawn = points[points["subset"].isin(list(colours))].sort_values("step")
    lines = {str(name): line for name, line in drawn.groupby("subset")}
    order = [name for name in colours if name in lines]
    shown = order if len(order) <= LABELLED_MOST else [*order[:5], *order[-3:]]
    traces = [_band(lines[name], colours[name]) for name in shown]
    # The others of one colour are one trace with gaps: a browser draws forty traces slower than all else on a page.
    thin = [name for name in order if name not in shown]
    for tint in dict.fromkeys(colours[name] for name in thin):
        traces.append(_joined([_line(lines[name], name, tint) for name in thin if colours[name] == tint]))
    traces += [_line(lines[name], name, colours[name], width=2) for name in shown]
    low, high = padded(points["low"], points["high"], 0.06)
    last = float(points["step"].max()) if len(points) else 1.0
    gap = (high - low) * (size + 4) / (height - 22 - 4 * size)
    heights = spread([float(lines[name]["influence"].iloc[-1]) for name in shown], gap, low + gap / 2, high - gap / 2)
    label = {"x": last, "showarrow": False, "xanchor": "left", "xshift": 9, "font": {"color": ink, "size": size}}
    names = [{**label, "y": y, "text": safe(name, 22)} for name, y in zip(shown, heights, strict=True)]
    widest = max((len(safe(name, 22)) for name in shown), default=0)
    steps = {"title": {"text": across}, "range": [0, last or 1], "zeroline": False}
    if last <= 5:  # no marks between whole steps
        steps["dtick"] = 1
    return assemble(
        traces,
        steps,
        {"title": {"text": f"influence, {unit}"}, "range": [low, high]},
        dark=dark,
        height=height,
        size=size,
        annotations=names,
        margin={"l": 8, "r": 24 + 7 * size * widest // LETTERS, "t": TOP, "b": 4 * size},
    )


def truth_scatter(
    pairs: pd.DataFrame,
    *,
    colours: dict[str, str],
    across: str,
    unit: str = UNIT,
    dark: bool = False,
    height: int = 340,
    size: int = LETTERS,
) -> go.Figure:
    """An estimate (upwards) against what is known to be true (across), one point per subset.

    ``pairs``: columns subset, influence, low, high, truth, truth_low, truth_high; an interval may be missing.
    ``across`` names the horizontal axis, with its unit; ``unit``: of the estimate. The dashed line is the least-squares
    fit.
    """
    ink = ink_of(dark)
    ends = {name: pairs[name].fillna(pairs["truth"]) for name in ("truth_low", "truth_high")}
    pairs = _closed(pairs).assign(**ends)
    known, estimated = pairs["truth"].tolist(), pairs["influence"].tolist()
    names = [safe(name, POINT_CHARACTERS) for name in pairs["subset"]]
    hover = [
        f"<b>{safe(r.subset, 80)}</b><br>estimate {signed(r.influence)} {safe(unit, 60)}"
        f"<br>{safe(across, 80)}: {signed(r.truth)}"
        for r in pairs.itertuples()
    ]
    x_range = padded(pairs["truth_low"], pairs["truth_high"], 0.12, both=True)
    y_range = padded(pairs["low"], pairs["high"], 0.1, both=True)
    places = stands_of(pairs, x_range, y_range, height - 70)
    marks = {
        "type": "scatter",
        "x": known,
        "y": estimated,
        "mode": "markers+text",
        "text": [f"\u00a0{name}\u00a0" if place else "" for name, place in zip(names, places, strict=True)],
        "textposition": [place or "middle right" for place in places],
        "textfont": {"size": size, "color": ink},
        "marker": {"size": 9, "color": [colours.get(str(name), UNDECIDED) for name in pairs["subset"]]},
        "error_y": whiskers(pairs, "influence", "low", "high", ink),
        "error_x": whiskers(pairs, "truth", "truth_low", "truth_high", ink),
        "hovertext": hover,
        "hoverinfo": "text",
        "customdata": pairs["subset"].astype(str).tolist(),
    }
    return assemble(
        [*fitted_line(known, estimated), marks],
        {"title": {"text": safe(across, 80)}, "range": x_range},
        {"title": {"text": f"estimate, {safe(unit, 60)}"}, "range": y_range},
        dark=dark,
        height=height,
        size=size,
    )


def _closed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a missing interval (one seed) shrunk to the value, so that it takes no room (``open``)."""
    return rows.assign(
        open=rows["low"].isna() | rows["high"].isna(),
        low=rows["low"].fillna(rows["influence"]),
        high=rows["high"].fillna(rows["influence"]),
    )


def _interval(row: Any) -> str:
    return "no interval" if row.open else f"interval {signed(row.low)} to {signed(row.high)}"


def _brackets(names: list[str], groups: Sequence[Sequence[str]], ink: str) -> tuple[list[dict[str, Any]], int]:
    """A bracket at the right for each run of rows, side by side where runs overlap; and how many stand side by side."""
    rows = {name: row for row, name in enumerate(names)}
    found = [sorted(rows[name] for name in group if name in rows) for group in groups]
    ends: list[int] = []  # of each lane: the last row that it holds
    lines = []
    for run in sorted(run for run in found if len(run) > 1):
        lane = next((i for i, end in enumerate(ends) if end < run[0]), len(ends))
        ends[lane:] = [run[-1], *ends[lane + 1 :]]
        right, first, last = 8 + LANE * lane, run[0] - 0.3, run[-1] + 0.3
        for x0, y0, x1, y1 in (
            (right, first, right, last),
            (right - 4, first, right, first),
            (right - 4, last, right, last),
        ):
            lines.append(
                {
                    "type": "line",
                    "xref": "paper",
                    "xsizemode": "pixel",
                    "xanchor": 1,
                    "x0": x0,
                    "x1": x1,
                    "y0": y0,
                    "y1": y1,
                    "line": {"color": ink, "width": 1},
                }
            )
    return (lines, len(ends)) if len(ends) <= LANES else ([], 0)


def _bar_numbers(rows: pd.DataFrame, places: list[str], ink: str, size: int) -> dict[str, Any]:
    """The value beside the outer end of each interval."""
    return {
        "type": "scatter",
        "x": [r.high if r.influence >= 0 else r.low for r in rows.itertuples()],
        "y": places,
        "mode": "text",
        "text": [f"\u00a0{told}\u00a0" for told in alike(rows["influence"].tolist())],
        "textposition": ["middle right" if value >= 0 else "middle left" for value in rows["influence"]],
        "textfont": {"color": ink, "size": size},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _band(line: pd.DataFrame, tint: str) -> dict[str, Any]:
    steps = line["step"].tolist()
    red, green, blue = (int(tint[i : i + 2], 16) for i in (1, 3, 5))
    return {
        "type": "scatter",
        "x": steps + steps[::-1],
        "y": line["high"].tolist() + line["low"].tolist()[::-1],
        "mode": "lines",
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.13)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _line(line: pd.DataFrame, name: str, tint: str, width: int = 1) -> dict[str, Any]:
    before = len(line) - 1
    hover = [
        f"<b>{safe(name, 80)}</b><br>step {r.step}<br>{signed(r.influence)}"
        f"<br>{r.seeds} seeds: {signed(r.low)} to {signed(r.high)}"
        for r in line.itertuples()
    ]
    return {
        "type": "scatter",
        "x": line["step"].tolist(),
        "y": line["influence"].tolist(),
        "mode": "lines+markers",
        "name": safe(name),
        "line": {"color": tint, "width": width},
        "marker": {"size": [4] * before + [9], "symbol": ["circle"] * before + ["diamond"], "color": tint},
        "hovertext": hover,
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _joined(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Several lines of one look as one trace, with a gap between them."""
    gaps = {"x": None, "y": None, "hovertext": "", "size": 0, "symbol": "circle"}
    parts = [{**line["marker"], **line} for line in lines]
    strung = {key: [value for part in parts for value in (*part[key], gap)] for key, gap in gaps.items()}
    marker = {**lines[0]["marker"], "size": strung.pop("size"), "symbol": strung.pop("symbol")}
    return {**lines[0], **strung, "name": "", "marker": marker}
