"""The run that an address names: its result, or a page that says what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from pages.components.layout.context import context, look_at
from pages.components.layout.results import cached_result
from pages.components.layout.run_cards import run_row
from pages.components.layout.shell import title
from untrac_core.engine import DEMO_RUN, Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.tables import sides_of
from untrac_core.results.folders import TraceFiles

LATEST = 5
GONE = "There is no run with the id in this address; it may have been deleted."
ELSEWHERE = {
    "validate": ("validation", "Validate", ":material/verified:"),
    "unlearn": ("unlearning", "Unlearn", ":material/ink_eraser:"),
}
"""Kinds of run whose result has a page of its own: what it is, the page, its icon."""
Heading = tuple[str, str]
"""A page's name, and the question that it answers."""


def opened(store: Store, heading: Heading) -> tuple[Run, TraceFiles] | None:
    """The finished trace of this page's address; ``None`` where the page has said why there is none.

    ``heading``: the page's name and question as long as there is nothing to show.
    """
    run_id = st.query_params.get("run")
    if run_id is None and (held := context().run) and _ranked(store, held):
        run_id = st.query_params["run"] = held
    if run_id is None:
        _offer(store, heading, "No run is chosen. Open the demo, or one of the results below.")
        return None
    try:
        run = store.run(run_id)
    except InputError:
        _offer(store, heading, f"{GONE} Choose another.")
        return None
    if run.kind in ELSEWHERE:
        _elsewhere(run, heading)
    elif run.kind != "trace":
        _offer(store, heading, "This run ranks no subsets. Choose another.")
    elif run.status != "done":
        _unfinished(run, heading)
    else:
        return _finished(store, run, heading)
    return None


def addressed(store: Store, kind: str, offer: Callable[[str], None]) -> Run | None:
    """The run of this page's address, if it is of the page's kind; else ``None``, after ``offer`` drew the form.

    ``offer`` gets why there is no run to show: an empty text where the address names none.
    """
    run_id = st.query_params.get("run")
    try:
        run = store.run(run_id) if run_id is not None else None
    except InputError:
        offer(f"{GONE} Start another, or choose.")
        return None
    if run is not None and run.kind == kind:
        return run
    what = "" if run is None else f"The run in this address is no {ELSEWHERE[kind][0]}. Start one, or choose one below."
    offer(what)
    return None


def _ranked(store: Store, run_id: str) -> bool:
    """Whether a run is a finished trace; one may have been deleted since it was looked at."""
    try:
        run = store.run(run_id)
    except InputError:
        return False
    return run.kind == "trace" and run.status == "done"


@contextmanager
def readable() -> Iterator[None]:
    """Say in one line what is damaged where a page finds out only as it reads the tables that it draws."""
    try:
        yield
    except (InputError, OSError) as error:
        st.text(f"The rest of this result cannot be read: {error}")


def _finished(store: Store, run: Run, heading: Heading) -> tuple[Run, TraceFiles] | None:
    try:
        result: TraceFiles = cached_result(run)
    except (InputError, OSError) as error:
        _offer(store, heading, "The files of this run cannot be read. Choose another result, or run it again.")
        st.text(str(error))
        return None
    if not all(sides_of(result.summary, prompts.name) for prompts in result.spec.prompts):
        _offer(store, heading, "This result leaves out a prompt set. Choose another, or run it again.")
        return None
    look_at(run.id)
    return run, result


def _offer(store: Store, heading: Heading, why: str) -> None:
    """The page without a run to show: say why, and offer the demo and the latest runs."""
    title(*heading, why)
    done = [run for run in store.runs(kind="trace") if run.status == "done"]
    if any(run.id == DEMO_RUN for run in done):
        if st.button("Open the demo", type="primary", icon=":material/play_arrow:", key="open_demo"):
            st.query_params["run"] = DEMO_RUN
            st.rerun()
    elif st.button("Trace the demo", type="primary", icon=":material/conversion_path:", key="open_trace"):
        st.switch_page("pages/trace.py")
    if done:
        st.subheader("Latest results", anchor=False)
    for run in done[:LATEST]:
        run_row(run, key=f"row_{run.id}")


def _unfinished(run: Run, heading: Heading) -> None:
    """A run that has no result to look at."""
    title(*heading, "This run has no result yet; the runs page shows why.")
    st.text(run.name)
    if st.button("Go to the run", type="primary", key="go_to_run"):
        st.switch_page("pages/runs.py", query_params={"run": run.id})


def _elsewhere(run: Run, heading: Heading) -> None:
    """A validation or an unlearning: its result has a page of its own."""
    what, page, icon = ELSEWHERE[run.kind]
    title(*heading, f"This run is {'an' if what[0] in 'aeiou' else 'a'} {what}: it has a page of its own.")
    st.text(run.name)
    st.page_link(
        f"pages/{page.lower()}.py", label=f"Look at it on the page {page}", icon=icon, query_params={"run": run.id}
    )
