"""A trace that is under way, or that did not end: the change of the prompts' loss so far, subset by subset."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.layout.shell import is_dark
from untrac_core.engine import Run
from untrac_core.explore.tables import trace_live
from untrac_core.figures.palette import subset_colours
from untrac_core.figures.ranking import trajectory
from untrac_core.results.folders import read_frame
from untrac_core.specs import PromptSet, TraceSpec, method_spec
from untrac_core.specs.catalogue import method_title
from untrac_core.text.labels import labels, unit_of
from untrac_core.text.numbers import CONTINUED_UNIT, PARTIAL_UNIT, count

EVERY = 3.0
"""Seconds between two drawings: an evaluation takes longer, and drawing takes time from the run itself."""
HEIGHT = 340


def watch(run: Run) -> None:
    """Draw the curve of a trace that is not done, anew as long as it is under way; nothing of other runs."""
    if run.status != "done" and run.spec.kind == "trace":
        st.fragment(_curve, run_every=EVERY if run.active else None)(run, run.spec)


@st.cache_data(max_entries=4, show_spinner=False)
def _read(path: str, changed: float) -> pd.DataFrame:
    return read_frame(Path(path))


def _evaluations(run: Run) -> pd.DataFrame | None:
    path = run.folder / trace_live.LIVE
    try:
        return _read(str(path), path.stat().st_mtime)
    except (OSError, ValueError):  # none yet, or it is being replaced
        return None


def _curve(run: Run, spec: TraceSpec) -> None:
    """The method that was evaluated last, on one side of one prompt set."""
    evaluations = _evaluations(run)
    if evaluations is None or evaluations["step"].max() == 0:
        if run.active and unit_of(spec.method) in (PARTIAL_UNIT, CONTINUED_UNIT):
            st.caption("The curve begins with the first evaluation of the prompts.")
        return
    method = str(evaluations["method"].iloc[-1])
    places = [
        (prompts, side) for prompts in spec.prompts for side in trace_live.sides_so_far(evaluations, prompts.name)
    ]
    if not places:
        return
    prompts, side = _chosen(places)
    points = trace_live.curve(evaluations, method, prompts.name, side)
    if points.empty:
        st.caption("The curve begins with the first training without a subset.")
        return
    _draw(points, _unit(spec, method), side)
    seeds = evaluations.loc[evaluations["method"] == method, "seed"].nunique()
    band = "; the band reaches from the least to the greatest seed" if seeds > 1 else ""
    st.caption(
        f"{method_title(_name(spec, method))}, {count(seeds, 'seed')} so far: how the loss of the prompts changes. "
        f"Above zero: the subset makes {_texts(prompts, side)} more likely. There is no interval yet, so colours show "
        f"the sign alone{band}."
    )


def _chosen(places: list[tuple[PromptSet, str]]) -> tuple[PromptSet, str]:
    """One of the prompt sets and sides; a selectbox shows its options as plain text."""
    names = [f"{prompts.name}: {_texts(prompts, side)}" for prompts, side in places]
    chosen = st.selectbox("Change on", range(len(places)), format_func=names.__getitem__, key="live_place", width=480)
    return places[chosen or 0]


def _draw(points: pd.DataFrame, unit: str, side: str) -> None:
    ends = points.sort_values("step").groupby("subset").tail(1).sort_values("influence", ascending=False)
    tints = subset_colours(ends.assign(low=ends["influence"], high=ends["influence"]), side)
    figure = trajectory(
        points, colours=tints, unit=unit, dark=is_dark(), height=HEIGHT, across="step (◆ how far it is)"
    )
    st.plotly_chart(
        figure, config={"displayModeBar": False}, key="live_curve",
        alt="Change of the prompts' loss for each subset over the steps so far",
    )  # fmt: skip


def _texts(prompts: PromptSet, side: str) -> str:
    """What a side asks about, in words; holds a user's words."""
    harmful, harmless = labels(prompts)
    words = {"contrast": f"{harmful} rather than {harmless} texts", "harmless": f"{harmless} texts"}
    return words.get(side, f"{harmful} texts" if len(prompts.sides) == 2 else "its texts")


def _name(spec: TraceSpec, title: str) -> str:
    """A method's name in the catalogue; a baseline's title is its name."""
    return spec.method.name if title == spec.method.title else title


def _unit(spec: TraceSpec, title: str) -> str:
    return unit_of(spec.method if title == spec.method.title else method_spec(title))
