"""Effects with their intervals, one per line: by how much the influential texts differ from the rest."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from untrac_core.figures.base import assemble, ink_of, padded, whiskers
from untrac_core.figures.palette import HARMLESS, UNDECIDED
from untrac_core.text.numbers import safe


def feature_effects(rows: pd.DataFrame, titles: Mapping[str, str], *, dark: bool = False) -> go.Figure:
    """A point and an interval for each trait, the strongest at the top; grey where the interval includes zero.

    ``rows``: columns trait, effect, low, high (standard deviations), influential, rest (means). ``titles``: of
    features."""
    rows = rows.reindex(rows["effect"].abs().sort_values(ascending=False).index).reset_index(drop=True)
    places = [str(i) for i in range(len(rows))]
    names = [safe(titles.get(name, name), 40) for name in rows["feature"]]
    clear = (rows["low"] > 0) | (rows["high"] < 0)
    hover = [
        f"<b>{name}</b><br>{r.influential:.3g} in the influential, {r.rest:.3g} in the rest"
        f"<br>difference {r.effect:+.2f} standard deviations"
        f" ({'no interval: one document' if pd.isna(r.low) else f'{r.low:+.2f} to {r.high:+.2f}'})"
        for name, r in zip(names, rows.itertuples(), strict=True)
    ]
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": rows["effect"].tolist(),
        "y": places,
        "marker": {"size": 10, "color": [HARMLESS if sure else UNDECIDED for sure in clear]},
        "error_x": {**whiskers(rows, "effect", "low", "high", ink_of(dark)), "thickness": 1.4},
        "hovertext": hover,
        "hoverinfo": "text",
    }
    ticks = {
        "tickmode": "array",
        "tickvals": places,
        "ticktext": names,
        "type": "category",
        "autorange": "reversed",
        "showgrid": False,
    }
    across = {
        "title": {"text": "difference, standard deviations"},
        "range": padded(rows["low"], rows["high"], 0.08, both=True),
    }
    return assemble([marks], across, ticks, dark=dark, height=70 + 30 * max(len(rows), 2))
