"""Influence by group: the heatmap of subsets and groups, and what it says."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.results import cached_folder, drawn_once
from untrac_core.engine import Run
from untrac_core.figures.groups import group_heatmap
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.text.labels import labels, unit_of
from untrac_core.text.numbers import count, signed

FIRST, LAST = 20, 5
"""Of the ranking, the subsets that are drawn where there are many."""


@st.cache_resource(max_entries=16, show_spinner=False)
def _table(folder: Path, changed: float, prompt_set: str, side: str) -> pd.DataFrame:
    return cached_folder("trace", folder, changed).groups(prompt_set, side)


def has_groups(prompts: PromptSet) -> bool:
    """Whether the items of a prompt set are in groups."""
    return bool(prompts.columns.group) or prompts.probe is not None


def by_group(run: Run, result: TraceFiles, ranked: pd.DataFrame, prompts: PromptSet, side: str) -> None:
    """The heatmap, its answer in words, and its key; what to do where there is none."""
    table = _table(run.folder, run.changed, prompts.name, side)
    if table.empty:
        if has_groups(prompts):
            st.subheader("Groups", anchor=False)
            st.caption(_why_none(result))
        return
    st.subheader("Groups", anchor=False)
    order = ranked["subset"].tolist()
    drawn = order if len(order) <= FIRST + LAST else order[:FIRST] + order[-LAST:]
    st.text(in_words(table, order))
    shown, unit = table[table["subset"].isin(drawn)], unit_of(result.spec.method)
    draw = partial(group_heatmap, shown, subsets=drawn, side=side, unit=unit)
    st.plotly_chart(
        drawn_once(draw, "groups", run.folder, run.changed, prompts.name, side),
        config=chart_config(f"{prompts.name}-{side}-groups"),
        key="groups",
        alt="Heatmap: the influence of each subset on the texts about each group",
    )
    if len(drawn) < len(order):
        st.caption(f"Drawn are the first {FIRST} and the last {LAST} of {len(order)} subsets.")
    harmful, harmless = (f"{label} text" for label in labels(prompts)) if prompts.harmful else ("these texts", "")
    more, less = {
        "contrast": (f":orange[■] towards {harmful}", f":blue[■] towards {harmless}"),
        "harmful": (f":orange[■] makes {harmful} likelier", ":green[■] unlikelier"),
        "harmless": (f":blue[■] makes {harmless} likelier", ":green[■] unlikelier"),
    }[side]
    st.markdown(f":small[{more} · {less} · :gray[■] zero is inside the interval · {unit}]")
    st.caption(
        "Intervals are widened for the number of cells: of twenty coloured ones, at most one is expected by chance."
    )


def in_words(table: pd.DataFrame, order: list[str]) -> str:
    """The strongest cell, and in how many groups the first of the ranking is seen; holds a user's words."""
    clear = table[(table["low"] > 0) | (table["high"] < 0)]
    if clear.empty:
        return "Cannot separate: no subset's influence on any single group can be told from zero."
    most = clear.loc[clear["influence"].abs().idxmax()]
    said = (
        f"Strongest: {most['subset']} on {most['group']} ({signed(most['influence'])}, interval {signed(most['low'])} "
        f"to {signed(most['high'])})."
    )
    groups = table["group"].nunique()
    of_first = clear[clear["subset"] == order[0]]
    return f"{said} {order[0]}, first over all, can be told from zero in {len(of_first)} of {count(groups, 'group')}."


def _why_none(result: TraceFiles) -> str:
    method = result.spec.method
    if method.name == "untrac" or (method.unlearns and not method.takes_steps):
        return "No group has two items on this side, or this result was made before groups were measured."
    return (
        "This method looks at a side as a whole, so it has no numbers by group. A trace by UnTrac, with the same data, "
        "measures every prompt and shows them."
    )
