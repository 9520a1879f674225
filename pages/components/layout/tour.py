"""The first tour: four steps on the demo, offered on the home page until it was taken or declined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from untrac_core.engine import DEMO_RUN
from untrac_core.paths import data_home

STEP = "tour_step"


@dataclass(frozen=True)
class Step:
    """One stop of the tour: its name, its page, and what to look at there."""

    name: str
    page: str
    look: str
    query: Mapping[str, str] = field(default_factory=dict)


STEPS = (
    Step(
        "The answer",
        "pages/influence.py",
        "The sentence on top names the subset that contributes most, and says whether its lead is significant. The "
        "bars are all subsets with their intervals; those that a bracket joins have no order.",
        {"run": DEMO_RUN},
    ),
    Step(
        "The texts behind it",
        "pages/examples.py",
        "Every row is a text of the training data. Choose one, or press N: the colours show which of its tokens moved. "
        "Texts are masked until you ask for them.",
        {"run": DEMO_RUN},
    ),
    Step(
        "How far to trust it",
        "pages/evidence.py",
        "How well each method agreed with models that were retrained without a subset. The page Validate asks the same "
        "about your own data.",
    ),
    Step(
        "Your own model",
        "pages/models.py",
        "Add a model here, then what it should not write (Prompts) and what it was trained on (Subsets). Trace says "
        "what the run will cost before you start it.",
    ),
)


def _file() -> Path:
    return data_home() / "tour-seen"


def offered() -> bool:
    """Whether the tour was neither taken nor declined in this data home."""
    return STEP not in st.session_state and not _file().exists()


def _go(step: int) -> None:
    st.session_state[STEP] = step
    st.switch_page(STEPS[step].page, query_params=dict(STEPS[step].query))


def _end() -> None:
    st.session_state.pop(STEP, None)
    _file().touch(mode=0o600)
    st.rerun()


def offer() -> None:
    """The way into the tour, and the way to be asked no more."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="tour"):
        st.markdown("**New here?** Four steps on the demo show what this is.", width="content")
        if st.button("Take the tour", icon=":material/tour:", key="tour_start"):
            _go(0)
        if st.button("No, thanks", type="tertiary", key="tour_decline"):
            _end()


def guide() -> None:
    """Where the tour is, in the sidebar of every page; nothing where it was not begun."""
    at = st.session_state.get(STEP)
    if not isinstance(at, int) or not 0 <= at < len(STEPS):
        return
    with st.sidebar, st.container(border=True, gap="xsmall", key="tour_guide"):
        st.caption(f"Tour, step {at + 1} of {len(STEPS)}")
        st.markdown(f"**{STEPS[at].name}**")
        st.markdown(f":small[{STEPS[at].look}]")
        with st.container(horizontal=True):
            if at + 1 < len(STEPS) and st.button("Next step", type="primary", key="tour_next"):
                _go(at + 1)
            if st.button("End the tour", type="tertiary", key="tour_end"):
                _end()
