"""A text's score by UnTrac-Inv against what unlearning it alone does: the scatter, and their agreement in words."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import LETTERS, assemble, padded, whiskers
from untrac_core.figures.palette import UNDECIDED, colour
from untrac_core.stats.agreement import critical_value, spearman
from untrac_core.text.numbers import UNIT, decimals, safe, signed

RING, DOT = 9, 10


def alone_scatter(
    points: pd.DataFrame, *, side: str, dark: bool = False, height: int = 340, size: int = LETTERS
) -> go.Figure:
    """One point per text: its score (across) and its influence when it is unlearned alone (upwards).

    ``points``: columns subset, id, role, score, score_low, score_high, influence, low, high; an interval may be
    missing. Controls are grey rings. A chosen text has the colour of its influence, grey where that cannot be told from
    zero. ``customdata`` of a point is its subset and id.
    """
    known = points.dropna(subset=["score", "influence"])
    rows = _closed(known)
    traces = [_marks(known[known["role"] == role], side, chosen=role == "chosen") for role in ("control", "chosen")]
    return assemble(
        traces,
        {
            "title": {"text": "score by UnTrac-Inv"},
            "range": padded(rows["score_low"], rows["score_high"], 0.08, both=True),
        },
        {
            "title": {"text": f"unlearned alone, {UNIT}"},
            "range": padded(rows["low"], rows["high"], 0.08, both=True),
        },
        dark=dark,
        height=height,
        size=size,
    )


def _closed(rows: pd.DataFrame) -> pd.DataFrame:
    """A missing end of an interval stands at its value: a bar of no length."""
    ends = (("score_low", "score"), ("score_high", "score"), ("low", "influence"), ("high", "influence"))
    return rows.assign(**{end: rows[end].fillna(rows[centre]) for end, centre in ends})


def _marks(rows: pd.DataFrame, side: str, *, chosen: bool) -> dict[str, object]:
    tints = [colour(side, r.influence, r.low, r.high) if chosen else UNDECIDED for r in rows.itertuples()]
    hover = [
        f"<b>{safe(r.subset, 60)}</b>, {safe(r.id, 60)}<br>{'chosen' if chosen else 'control, drawn at random'}"
        f"<br>score {signed(r.score)}<br>unlearned alone {signed(r.influence)} {UNIT}"
        f"<br>{'no interval' if pd.isna(r.low) else f'interval {signed(r.low)} to {signed(r.high)}'}"
        for r in rows.itertuples()
    ]
    bars = _closed(rows)
    return {
        "type": "scatter",
        "x": rows["score"].tolist(),
        "y": rows["influence"].tolist(),
        "mode": "markers",
        "marker": {
            "size": DOT if chosen else RING,
            "color": tints,
            "symbol": "circle" if chosen else "circle-open",
            "line": {"width": 0 if chosen else 1.5, "color": tints},
        },
        "error_y": {**whiskers(bars, "influence", "low", "high", UNDECIDED), "thickness": 1, "width": 0},
        "error_x": {
            **whiskers(bars, "score", "score_low", "score_high", UNDECIDED),
            "thickness": 1,
            "width": 0,
        },
        "hovertext": hover,
        "hoverinfo": "text",
        "customdata": rows[["subset", "id"]].astype(str).to_numpy().tolist(),
    }


def ranks_in_words(points: pd.DataFrame) -> str:
    """How far score and influence rank the texts alike, against what chance would reach; words of ours only."""
    rows = points.dropna(subset=["score", "influence"])
    value = (
        float(spearman(rows["score"].to_numpy(dtype=float), rows["influence"].to_numpy(dtype=float)))
        if len(rows) > 2
        else math.nan
    )
    if math.isnan(value):
        return "Whether both rank the texts alike cannot be computed: there are too few, or one of the two is constant."
    bar = critical_value("spearman", len(rows))
    told = f"Spearman {decimals(value)} over {len(rows)} texts"
    if math.isinf(bar):
        return f"Whether both rank the texts alike cannot be told: {told}, too few for any order to beat chance."
    reached = f"chance alone reaches {decimals(bar)} in one of twenty"
    if abs(value) < bar:
        return f"Whether both rank the texts alike cannot be told: {told}, and {reached}."
    alike = "alike" if value > 0 else "in opposite orders, so do not trust the scores here"
    return f"Both rank the texts {alike}: {told}; {reached}."
