"""Extend this run: more seeds for a finished trace, whose cells are taken over."""

from __future__ import annotations

import streamlit as st

from pages.components.forms.launch_panel import checked
from pages.components.layout.errors import fault
from pages.components.layout.labels import about
from untrac_core.engine import Run, Store, submit
from untrac_core.engine.checks import SHARED, extended, extension, seeds_tell
from untrac_core.errors import InputError
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import SEEDS, SEEDS_MOST, TraceSpec
from untrac_core.text.numbers import count, duration

OPEN = "extending_run"
"""Where the session keeps which run is to be extended."""


def extend_button(run: Run, result: TraceFiles, *, key: str) -> None:
    """The button that opens :func:`extend_section`; none of a run that has as many seeds as may be."""
    if len(result.spec.seeds) < SEEDS_MOST:
        st.button(
            "Extend this run", icon=":material/add_circle:", type="tertiary", key=key, on_click=_open, args=(run.id,),
            help="More seeds: what this run has computed is taken over, and only the rest is computed.",
        )  # fmt: skip


def _open(run_id: str) -> None:
    st.session_state[OPEN] = run_id


def more_seeds_help(result: TraceFiles) -> bool:
    """Whether a run has fewer seeds than are usual, and a method whose intervals more of them narrow."""
    return len(result.spec.seeds) < len(SEEDS) and seeds_tell(result.spec)


def extend_section(run: Run, result: TraceFiles, store: Store) -> None:
    """How many seeds, what that costs, and Start; nothing before the button was pressed."""
    if st.session_state.get(OPEN) == run.id:
        with st.container(border=True, key="extending"):
            _section(run, result, store)


def _section(run: Run, result: TraceFiles, store: Store) -> None:
    st.markdown("**Extend this run**")
    own = len(result.spec.seeds)
    wanted = st.number_input(
        f"Seeds (it has {own})", own + 1, SEEDS_MOST, max(len(SEEDS), own + 1), key="extend_seeds", width=200
    )
    spec = extended(result.spec, int(wanted))
    kept = f"Its {count(run.cells_total, 'cell')} are kept: those that the new run has, too, are taken over."
    if not run.cells_total:
        kept = "None of its cells are kept, so that all are computed."
    st.caption(f"A new run with {count(int(wanted), 'seed')}; this one stays as it is. {kept}")
    if not seeds_tell(spec):
        st.caption(SHARED)
    seconds = _seconds(spec, store)
    if seconds is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Start", type="primary", icon=":material/play_arrow:", key="extend_start")
        st.button("Close", type="tertiary", key="extend_close", on_click=_open, args=("",))
        less = ", less what is taken over" if run.cells_total else ""
        st.caption(f"Time: {about(duration(seconds))}{less}.")
    if not start:
        return
    try:
        made = submit(extension(run, int(wanted)), store)
    except InputError as error:
        fault(str(error))
        return
    st.switch_page("pages/runs.py", query_params={"run": made})


def _seconds(spec: TraceSpec, store: Store) -> float | None:
    """What all of it would take; says in one line where it cannot run."""
    try:
        return checked(spec.model_dump_json(), tuple(sorted(store.rates().items())), spec).seconds
    except InputError as error:
        fault(str(error))
        return None
