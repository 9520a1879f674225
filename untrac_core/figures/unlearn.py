"""Plotly figures of an unlearning: its course, what was forgotten for which cost, which texts were hard.

They share the look of :mod:`untrac_core.figures.ranking`: escaped names, transparent backgrounds, colours of the
Okabe-Ito set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import LETTERS, POINT_CHARACTERS, TOP, assemble, ink_of
from untrac_core.figures.comparison import HALO
from untrac_core.figures.labels import positions, spread
from untrac_core.figures.palette import HARMFUL, HARMLESS, LESS, UNDECIDED
from untrac_core.text.labels import STRATA
from untrac_core.text.numbers import UNIT, figure, safe, signed

MORE = "#E69F00"
"""Orange of the Okabe-Ito set: more likely than before, beside green, less likely."""
METHOD_COLOURS = ("#009E73", "#E69F00", "#CC79A7", "#56B4E9")
"""Of the first methods; all others are grey."""
BEYOND = 1.6
"""A loss of the retain set so many times what it was lies outside the figure: the model is destroyed there."""
JITTER = 0.28
"""Of a point from the middle of its row, in rows."""


def line_colours(*, dark: bool = False) -> dict[str, str]:
    """What the lines of a course look like, by what they are of."""
    return {"forget": ink_of(dark), "retain": LESS, "harmful": HARMFUL, "harmless": HARMLESS}


def course_lines(
    history: pd.DataFrame, *, stop: int | None, dark: bool = False, height: int = 340, size: int = LETTERS
) -> go.Figure:
    """The losses of an unlearning over its steps; dotted: the retrained model's; dashed: where it stopped.

    ``history``: columns line (forget, stays, harmful or harmless), title, step, loss and retrained (nats per token;
    may be missing)."""
    ink, tints = ink_of(dark), line_colours(dark=dark)
    lines = {str(name): rows.sort_values("step") for name, rows in history.groupby("line", sort=False)}
    last = float(history["step"].max()) if len(history) else 1.0
    traces: list[dict[str, Any]] = []
    for name, rows in lines.items():
        retrained, title = rows["retrained"].iloc[0], rows["title"].iloc[0]
        if not pd.isna(retrained):
            traces.append(
                _level(
                    float(retrained),
                    last,
                    tints[name],
                    f"<b>{safe(title, 80)}</b><br>the retrained model: {retrained:.2f} {UNIT}",
                )
            )
        traces.append(_loss_line(rows, tints[name], 3 if name == "forget" else 2))
    values = [*history["loss"], *history["retrained"].dropna()]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.07 * ((high - low) or 1.0)
    low, high = low - room, high + 1.4 * room
    gap = (high - low) * (size + 4) / (height - TOP - 4 * size)
    ends = [float(rows["loss"].iloc[-1]) for rows in lines.values()]
    names = [safe(rows["title"].iloc[0], 16) for rows in lines.values()]
    label = {"x": last, "showarrow": False, "xanchor": "left", "xshift": 9, "font": {"color": ink, "size": size}}
    notes = [{**label, "y": y, "text": name} for name, y in zip(names, spread(ends, gap, low, high), strict=True)]
    shapes = []
    if stop is not None:
        shapes.append(_upright(stop))
        right = stop > last / 2
        notes.append(
            {
                "x": stop, "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "right" if right else "left",
                "showarrow": False, "text": f"kept: step {stop}", "font": {"color": ink, "size": size - 1},
            }
        )  # fmt: skip
    widest = max((len(name) for name in names), default=0)
    return assemble(
        traces,
        {"title": {"text": "unlearning step"}, "range": [0, last or 1], "zeroline": False},
        {"title": {"text": f"loss, {UNIT}"}, "range": [low, high], "zeroline": False},
        dark=dark,
        height=height,
        size=size,
        shapes=shapes,
        annotations=notes,
        margin={"l": 8, "r": 24 + 7 * size * widest // LETTERS, "t": TOP, "b": 4 * size},
    )


def _level(value: float, last: float, tint: str, hover: str) -> dict[str, Any]:
    return {
        "type": "scatter", "x": [0, last / 2, last], "y": [value] * 3, "mode": "lines",
        "line": {"color": tint, "width": 1.5, "dash": "dot"}, "hovertext": [hover] * 3, "hoverinfo": "text",
    }  # fmt: skip


def _loss_line(rows: pd.DataFrame, tint: str, width: int) -> dict[str, Any]:
    hover = [f"<b>{safe(r.title, 80)}</b><br>step {r.step}<br>{r.loss:.2f} {UNIT}" for r in rows.itertuples()]
    return {
        "type": "scatter", "x": rows["step"].tolist(), "y": rows["loss"].tolist(), "mode": "lines+markers",
        "line": {"color": tint, "width": width}, "marker": {"size": 4 + width // 2, "color": tint}, "hovertext": hover,
        "hoverinfo": "text", "cliponaxis": False,
    }  # fmt: skip


def _upright(step: float) -> dict[str, Any]:
    """A dashed line at the step that was kept."""
    ends = {"x0": step, "x1": step, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": {"color": UNDECIDED, "width": 1.5, "dash": "dash"}, "layer": "below"}


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method, in their order; the later ones are grey."""
    return {method: METHOD_COLOURS[i] if i < len(METHOD_COLOURS) else UNDECIDED for i, method in enumerate(methods)}


def tradeoff_lines(
    eval_points: pd.DataFrame,
    *,
    titles: Mapping[str, str],
    retrained: tuple[float, float] | None,
    dark: bool = False,
    height: int = 380,
    size: int = LETTERS,
) -> go.Figure:
    """What was forgotten (upwards) for which cost (across), a line an unlearning along its steps, its end a diamond.

    ``eval_points``: columns method, seed, step, stays (nats per token), genex (bits; missing without a retrained
    model), forget. ``titles``: by method. ``retrained``: where the retrained model stands. Without it, upwards is
    the loss of the forget set."""
    ink, upwards = ink_of(dark), "genex" if retrained is not None else "forget"
    unit = "bits per text" if retrained is not None else UNIT
    colours, start = method_colours(list(titles)), float(eval_points["retain"].iloc[0]) if len(eval_points) else 0.0
    shown = eval_points[eval_points["retain"] <= BEYOND * start].dropna(subset=["retain", upwards])
    traces, ends = [], []
    for (method, seed), rows in shown.groupby(["method", "seed"], sort=False):
        title, last = titles.get(method, method), rows.iloc[-1]
        first = seed == shown.loc[shown["method"] == method, "seed"].min()
        whole = (
            last["step"]
            == eval_points.loc[(eval_points["method"] == method) & (eval_points["seed"] == seed), "step"].max()
        )
        traces.append(
            _way(rows, upwards, unit, str(title), colours.get(method, UNDECIDED), strong=bool(first), whole=bool(whole))
        )
        if first and whole:
            ends.append((float(last["retain"]), float(last[upwards]), str(title)))
    marks = list(ends)
    if len(shown):
        marks.append((start, float(shown[upwards].iloc[0]), "before"))
    if retrained is not None:
        marks.append((*retrained, "retrained"))
    if not marks:
        return assemble([], {}, {}, dark=dark, height=height, size=size)
    across = _room([*shown["retain"], *(x for x, *_ in marks)])
    upright = _room([*shown[upwards], *(y for _, y, _ in marks)])
    names = [safe(name, POINT_CHARACTERS) for *_, name in marks]
    taken = [*((x, y) for x, y, _ in marks), *zip(shown["retain"].tolist(), shown[upwards].tolist(), strict=True)]
    around = [*names, *[""] * len(shown)]
    places = positions(taken, around, across, upright, height - TOP - 4 * size)[: len(marks)]
    tokens = {"before": "circle-open", "retrained": "star"}
    symbols = [tokens.get(name, "circle") if i >= len(ends) else "circle" for i, (*_, name) in enumerate(marks)]
    traces.append(
        {
            "type": "scatter", "x": [x for x, *_ in marks], "y": [y for _, y, _ in marks], "mode": "markers+text",
            "text": [f"\u00a0{name}\u00a0" if place else "" for name, place in zip(names, places, strict=True)],
            "textposition": [place or "middle right" for place in places],
            "textfont": {"size": size, "color": ink, "shadow": HALO[dark]},
            "marker": {
                "opacity": [0] * len(ends) + [1] * (len(marks) - len(ends)),
                "size": [10] * len(ends) + [13] * (len(marks) - len(ends)), "symbol": symbols, "color": ink,
                "line": {"width": 2, "color": ink},
            },
            "hovertext": [f"<b>{name}</b><br>the retain set {figure(x, UNIT)} {UNIT}<br>{figure(y, unit)} {unit}"
                          for (x, y, _), name in zip(marks, names, strict=True)],
            "hoverinfo": "text", "cliponaxis": False,
        }
    )  # fmt: skip
    title = "generalised exposure, bits per text" if retrained is not None else f"loss of the forget set, {UNIT}"
    return assemble(
        traces,
        {"title": {"text": f"loss of the retain set, {UNIT}"}, "range": across, "zeroline": False},
        {"title": {"text": title}, "range": upright, "zeroline": retrained is not None},
        dark=dark,
        height=height,
        size=size,
        hovermode="closest",
    )


def _way(
    rows: pd.DataFrame, upwards: str, unit: str, title: str, tint: str, *, strong: bool, whole: bool
) -> dict[str, Any]:
    """One unlearning, with a diamond at its end unless that is outside; of further seeds of a method a thin line."""
    before = len(rows) - whole
    hover = [
        f"<b>{safe(title, 80)}</b>, seed {r.seed}<br>step {r.step}<br>the retain set {r.retain:.2f} {UNIT}"
        f"<br>{figure(getattr(r, upwards), unit)} {unit}"
        for r in rows.itertuples()
    ]
    return {
        "type": "scatter", "x": rows["retain"].tolist(), "y": rows[upwards].tolist(), "mode": "lines+markers",
        "line": {"color": tint, "width": 2.5 if strong else 1}, "opacity": 1 if strong else 0.65,
        "marker": {
            "size": [4] * before + [10] * whole, "symbol": ["circle"] * before + ["diamond"] * whole, "color": tint,
            "opacity": 1,
        },
        "hovertext": hover, "hoverinfo": "text", "cliponaxis": False,
    }  # fmt: skip


def _room(values: Sequence[float]) -> list[float]:
    """An axis that holds the values, with room around them."""
    low, high = min(values), max(values)
    width = (high - low) or abs(high) or 1.0
    return [low - 0.1 * width, high + 0.14 * width]


def exposure_strip(
    texts: pd.DataFrame, *, by: str = "memorised", dark: bool = False, height: int = 260, size: int = LETTERS
) -> go.Figure:
    """Every text that was to go as a point: its exposure across, its stratum downwards; a tick at each median.

    ``texts``: columns id, tokens, before, after, retrained, genex, unusual and the stratum ``by`` (memorised or
    difficult: low, middle, high). Orange diamonds are unlike the holdout set. ``customdata`` of a point is its id."""
    ink = ink_of(dark)
    known = texts.dropna(subset=["genex"])
    strata = [code for code in STRATA if (known[by] == code).any()]
    rows = known[known[by].isin(strata)].reset_index(drop=True)
    # The same picture each time, and no two neighbours at one height.
    heights = [strata.index(code) + JITTER * (2 * ((0.381966 * i) % 1) - 1) for i, code in enumerate(rows[by])]
    unusual = rows["unusual"].astype(bool).to_numpy()
    hover = [
        f"<b>{safe(r.id, 60)}</b><br>{signed(r.genex)} bits per text<br>{r.before:.2f} before, {r.after:.2f} after, "
        f"{r.retrained:.2f} to the retrained model ({UNIT})" + ("<br>unlike the holdout set" if r.unusual else "")
        for r in rows.itertuples()
    ]
    points = {
        "type": "scatter", "x": rows["genex"].tolist(), "y": heights, "mode": "markers",
        "marker": {
            "size": np.where(unusual, 10, 8).tolist(), "color": np.where(unusual, MORE, UNDECIDED).tolist(),
            "symbol": np.where(unusual, "diamond", "circle").tolist(), "opacity": 0.9,
            "line": {"width": 1, "color": ink},
        },
        "hovertext": hover, "hoverinfo": "text", "customdata": rows["id"].astype(str).tolist(), "cliponaxis": False,
    }  # fmt: skip
    middles = {
        "type": "scatter", "x": [float(rows.loc[rows[by] == code, "genex"].median()) for code in strata],
        "y": list(range(len(strata))), "mode": "markers", "hoverinfo": "skip",
        "marker": {"symbol": "line-ns", "size": 34, "line": {"width": 2, "color": ink}},
    }  # fmt: skip
    ends = _room([0.0, *rows["genex"]])
    return assemble(
        [points, middles],
        {"title": {"text": "generalised exposure, bits per text (0: the retrained model's)"}, "range": ends},
        {
            "tickmode": "array", "tickvals": list(range(len(strata))),
            "ticktext": [f"{STRATA[code]} {by}  " for code in strata], "range": [max(len(strata), 1) - 0.5, -0.5],
            "showgrid": False, "zeroline": False,
        },
        dark=dark,
        height=height,
        size=size,
    )  # fmt: skip
