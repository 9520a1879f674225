"""Runs: what is running and what has run; watch one, stop it, take it up again, delete it."""

from __future__ import annotations

import time
from functools import partial

import streamlit as st

from pages.components.layout.errors import attempt
from pages.components.layout.labels import about, ago
from pages.components.layout.run_cards import (
    badge,
    bar,
    happening,
    remaining,
    result_page,
    silence,
    take_up,
    wake,
)
from pages.components.layout.shell import shell, title
from pages.components.runs import labels
from pages.components.runs.listing import filters, table, toolbar
from pages.components.trace import progress
from untrac_core.engine import Event, Run, Store, describe_run
from untrac_core.engine.runs import Wanted
from untrac_core.errors import InputError
from untrac_core.specs.files import to_yaml
from untrac_core.text.numbers import count, duration

MOST = 200
RESULTS = {
    "trace": ("Look at the result", ":material/bar_chart:"),
    "verify": ("See it beside the texts", ":material/rule:"),
    "validate": ("See which method to trust", ":material/verified:"),
    "unlearn": ("See what is gone", ":material/ink_eraser:"),
    "generate": ("See what it wrote", ":material/edit_note:"),
    "fetch": ("See it in the library", ":material/library_books:"),
}
LOG_LINES = 400
EVENTS_MOST = 200


def chosen(store: Store) -> Run | None:
    """The run that the address names; says so where there is none with that name."""
    run_id = st.query_params.get("run")
    if run_id is None:
        return None
    try:
        return store.run(run_id)
    except InputError:
        st.warning("There is no run with the id in this address. It may have been deleted; the list has the others.")
        return None


@st.dialog("Delete this run?")
def confirm_delete(store: Store, run: Run) -> None:
    st.text(run.name)
    st.markdown("Its result, its log and its place in the list are removed. This cannot be undone.")
    keep, delete = st.columns(2)
    if keep.button("Keep it", width="stretch"):
        st.rerun()
    if delete.button("Delete", type="primary", icon=":material/delete:", width="stretch", key="delete_confirmed"):
        try:
            store.delete(run.id)
        except InputError as error:
            st.text(str(error))
            return
        st.query_params.pop("run", None)
        st.rerun()


def actions(store: Store, run: Run) -> None:
    """The buttons that fit the run's status."""
    with st.container(horizontal=True):
        label, icon = RESULTS[run.kind]
        page, query = result_page(run)
        shown = run.status == "done" and page != "pages/runs.py"
        if shown and st.button(label, type="primary", icon=icon, key="result"):
            st.switch_page(page, query_params=query)
        if run.kind == "unlearn" and run.active and st.button("Watch its curves", icon=icon, key="watch"):
            st.switch_page(page, query_params=query)
        if run.status in ("queued", "running") and st.button("Cancel", icon=":material/stop_circle:", key="cancel"):
            store.cancel(run.id)
            st.rerun()
        resumable = run.status in ("failed", "cancelled")
        if resumable and st.button("Resume", type="primary", icon=":material/resume:", key="resume"):
            attempt(partial(take_up, store, run))
        if run.kind == "trace" and st.button("Run again with changes", icon=":material/tune:", key="again"):
            st.switch_page("pages/trace.py", query_params={"like": run.id})
        with st.popover("Name, tags, notes", icon=":material/edit:"):
            labels.edit(store, run)
        if not run.active and st.button("Delete", icon=":material/delete:", key="delete"):
            confirm_delete(store, run)


def state(store: Store, run_id: str, was: str) -> None:
    """The live part of one run; asks for a whole new page when its status has changed."""
    run = store.run(run_id)
    if run.status != was:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(run)
        st.caption(f"{describe_run(run.spec)} · created {ago(run.created)}")
    bar(run)
    doing = happening(run)
    if doing:
        st.text(doing)
    facts = [f"{run.cells_done} of {count(run.cells_total, 'cell')}"] if run.cells_total else []
    facts += [text for text in (remaining(run) or expected(store, run),) if text]
    facts += [run.taken_over] if run.taken_over else []
    facts += [f"attempt {run.attempt}"] if run.attempt > 1 else []
    if facts:
        st.caption(" · ".join(facts))
    silence(run)


def expected(store: Store, run: Run) -> str:
    """What was estimated before the start, as long as nothing better is known."""
    if run.status not in ("queued", "running"):
        return ""
    first = store.events(run.id, limit=1)
    seconds = first[0].data.get("seconds") if first else None
    return "" if seconds is None else f"estimated before the start: {about(duration(seconds))}"


def events(store: Store, run_id: str) -> None:
    """What happened, newest first, the log, and the request."""
    told, log, spec = st.tabs(["Events", "Log", "Request as YAML"])
    with told:
        rows = all_events(store, run_id)[::-1][:EVENTS_MOST]
        scroll([told_as(event) for event in rows])
    with log:
        scroll(store.log(run_id, lines=LOG_LINES).splitlines())
    with spec:
        scroll(to_yaml(store.run(run_id).spec).splitlines(), language="yaml")


def told_as(event: Event) -> str:
    """An event as a line: when, and what."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    return f"{clock}  {'finished: ' if event.kind == 'cell' else ''}{event.text}"


def all_events(store: Store, run_id: str) -> list[Event]:
    """Every event of a run, oldest first."""
    rows: list[Event] = []
    while page := store.events(run_id, after=rows[-1].seq if rows else 0, limit=500):
        rows += page
    return rows


def scroll(texts: list[str], language: str | None = None) -> None:
    """Lines of text as they are, in a box that grows up to a limit and then scrolls."""
    if not texts:
        st.caption("Nothing was written.")
        return
    st.code("\n".join(texts), language=language, wrap_lines=language is None, height=min(280, 40 + 20 * len(texts)))


def listing(store: Store, was: list[str], asked: Wanted) -> None:
    """All runs that are asked for; asks for a whole new page when any status has changed."""
    runs = store.runs(limit=MOST)
    wake(runs)  # a worker that was killed says nothing, so its run would stay as it is
    if [run.status for run in runs] != was:
        st.rerun()
    runs = asked.of(runs)
    if not runs:
        st.caption("No run fits.")
        return
    tools = st.empty()
    toolbar(store, tools, table(runs))


def main() -> None:
    store = shell("Runs")
    title("Runs", "What is running, and what has finished?", "Open a run to watch it, stop it, or look at its result.")
    runs = store.runs(limit=MOST)
    wake(runs)
    if not runs:
        st.info("No run yet. Start one on the demo: it takes about half a minute.")
        if st.button("Trace the demo", type="primary", key="first_trace"):
            st.switch_page("pages/trace.py")
        return
    run = chosen(store)
    if run is not None:
        with st.container(border=True, key="run"):
            st.text(run.name)
            labels.shown(run)
            st.fragment(state, run_every=1.0 if run.active else None)(store, run.id, run.status)
            actions(store, run)
            progress.watch(run)
            st.fragment(events, run_every=2.0 if run.active else None)(store, run.id)
    live = any(run.active for run in runs)
    st.subheader("All runs", anchor=False)
    asked = filters(runs)
    st.fragment(listing, run_every=2.0 if live else None)(store, [run.status for run in runs], asked)


main()
