"""Home: what this is, the demo, the latest runs."""

from __future__ import annotations

import streamlit as st

from pages.components.layout import tour
from pages.components.layout.results import cached_result
from pages.components.layout.run_cards import run_row
from pages.components.layout.shell import is_dark, shell, title
from untrac_core.engine import DEMO_RUN, DEMO_UNLEARNING, DEMO_VALIDATION, Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.tables import scale_of
from untrac_core.explore.tables import trace_frames as frames
from untrac_core.figures import ranking as figures
from untrac_core.results.folders import TraceFiles
from untrac_core.text.labels import question

LATEST = 6
BESIDE = (
    (DEMO_VALIDATION, "pages/validate.py", "Can it be trusted? The demo, validated", ":material/verified:"),
    (DEMO_UNLEARNING, "pages/unlearn.py", "And without it? The demo, unlearned", ":material/ink_eraser:"),
)
"""Recorded results of the demo beside its trace: the run, its page, and how it is called."""


def recorded(store: Store, run_id: str = DEMO_RUN) -> Run | None:
    """A recorded run of the demo, where it is installed."""
    try:
        run = store.run(run_id)
    except InputError:
        return None
    return run if run.status == "done" else None


def foretaste(run: Run) -> None:
    """The first ranking of the demo, as a picture of what one gets; nothing where its files are damaged."""
    try:
        result: TraceFiles = cached_result(run)
    except (InputError, OSError):
        return
    prompts = result.spec.prompts[0]
    side = frames.sides_of(result.summary, prompts.name)[0]
    scale = scale_of(result, prompts.name, side)
    with st.container(border=True):
        st.markdown(f"**From the demo: {question(prompts, side)[0].lower()}{question(prompts, side)[1:]}**")
        st.plotly_chart(
            figures.ranked_bars(scale.ranked, side=side, dark=is_dark(), room=0.36, unit=scale.unit),
            config={"displayModeBar": False},
            key="foretaste",
            alt="Ranked bars of the demo: the influence of each training subset, with its interval",
        )


def beside(store: Store) -> None:
    """Ways to the demo's other recorded results."""
    found = [(run_id, *shown) for run_id, *shown in BESIDE if recorded(store, run_id)]
    if found:
        with st.container(horizontal=True, vertical_alignment="center"):
            for run_id, page, label, icon in found:
                st.page_link(page, label=label, icon=icon, query_params={"run": run_id})


def main() -> None:
    """Draw the page."""
    store = shell("Home")
    title(
        "Untrac",
        "Which training data make a language model say that?",
        "Open the demo to see an answer at once, or bring your own model, prompts and data.",
    )
    demo = recorded(store)
    if demo and tour.offered():
        tour.offer()
    left, right = st.columns([1, 1], gap="large") if demo else (st.container(), None)
    with left:
        st.markdown(
            "Give a model, texts that it should not write, and the datasets it was trained on.\n\n"
            "Untrac lets the model unlearn, measures what else it forgets, and ranks the datasets by influence.\n\n"
            "Every number comes with its interval; where the order cannot be settled, it says so."
        )
        with st.container(horizontal=True):
            if demo and st.button("Open the demo", type="primary", icon=":material/play_arrow:", key="open_demo"):
                st.switch_page("pages/influence.py", query_params={"run": DEMO_RUN})
            if st.button("Bring your own", icon=":material/add:", key="open_models"):
                st.switch_page("pages/models.py")
        beside(store)
        st.caption(
            "Four steps: add a model, test prompts and training subsets; then trace. "
            "Validate shows how far the answer can be trusted; Unlearn takes a subset out of the model."
        )
    if demo and right is not None:
        with right:
            foretaste(demo)
    runs = store.runs(limit=LATEST)
    st.subheader("Latest runs", anchor=False)
    for run in runs:
        run_row(run, key=f"row_{run.id}")
    if not runs:
        st.caption("None yet. A run that you start appears here.")


main()
