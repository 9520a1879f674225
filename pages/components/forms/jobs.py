"""What the set-up pages let run in the background: fetching and writing, with progress and a way to stop it."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.layout.errors import attempt, fault
from pages.components.layout.run_cards import badge, bar, happening, remaining, silence, take_up, wake
from untrac_core.engine import Run, Store, describe_run, submit
from untrac_core.errors import InputError
from untrac_core.specs import FetchSpec, RunSpec
from untrac_core.specs.build import build

SHOWN_MOST = 8


def launch(spec: RunSpec, store: Store, *, watch_it: bool = True) -> bool:
    """Queue a run and name it in the address (``?job=``); a request that cannot run is said here."""
    try:
        with st.spinner("Checking the request"):
            run_id = submit(spec, store)
    except InputError as error:
        fault(str(error))
        return False
    if watch_it:
        st.query_params["job"] = run_id
    return True


def fetch(store: Store, prefix: str, name: str, **wanted: Any) -> None:
    """Let a run bring ``prompts``, ``subsets`` or ``collections`` to the library, and empty the form that asked.

    Raises:
        InputError: when there is nothing that such a run could be asked for.
    """
    spec = build(FetchSpec, {"name": f"Fetch {name}"[:80], **wanted}, where="request")
    if launch(spec, store):
        draft.empty(prefix)
        st.rerun()


def named_job(store: Store) -> Run | None:
    """The run that the address names as the one to watch."""
    run_id = st.query_params.get("job")
    if run_id is None:
        return None
    try:
        return store.run(run_id)
    except InputError:
        st.query_params.pop("job", None)
        return None


def _brings(run: Run, what: str) -> bool:
    """Whether a run brings ``models``, ``prompts`` or ``subsets`` to the library."""
    spec = run.spec
    if spec.kind != "fetch":
        return False
    return bool(getattr(spec, what)) or (what == "subsets" and bool(spec.collections))


def _watched(store: Store, what: str) -> list[Run]:
    """Fetches that are under way, and the one that the address names, whatever became of it."""
    active = [run for run in store.runs(kind="fetch") if run.active and _brings(run, what)][:SHOWN_MOST]
    named = named_job(store)
    if named is not None and _brings(named, what):
        active = [named, *(run for run in active if run.id != named.id)]
    return active


def progress(store: Store, what: str) -> None:
    """Draw the fetches of ``models``, ``prompts`` or ``subsets``, anew every second as long as one is under way."""
    runs = _watched(store, what)
    if not runs:
        return
    wake(runs)
    every = 1.0 if any(run.active for run in runs) else None
    st.fragment(_live, run_every=every)(store, [run.id for run in runs], [run.status for run in runs])


def watch(store: Store, run: Run) -> None:
    """Draw one run, anew every second as long as it is under way."""
    wake([run])
    st.fragment(_live, run_every=1.0 if run.active else None)(store, [run.id], [run.status])


def _live(store: Store, ids: list[str], was: list[str]) -> None:
    try:
        runs = [store.run(run_id) for run_id in ids]
    except InputError:  # deleted elsewhere
        st.rerun()
    if [run.status for run in runs] != was:
        st.rerun()
    for run in runs:
        with st.container(border=True, key=f"job_{run.id}"):
            _one(store, run)


def _one(store: Store, run: Run) -> None:
    named = st.query_params.get("job") == run.id
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(run)
        st.text(run.name, width="stretch")
        if run.status in ("queued", "running") and st.button("Cancel", key=f"stop_{run.id}"):
            store.cancel(run.id)
            st.rerun()
        if run.status in ("failed", "cancelled") and st.button("Try again", key=f"again_{run.id}"):
            attempt(partial(take_up, store, run))
        if not run.active and named and st.button("Dismiss", key=f"dismiss_{run.id}"):
            st.query_params.pop("job", None)
            st.rerun()
    bar(run)
    told = happening(run)
    if run.status == "failed":
        fault(told)
    else:
        st.caption(" · ".join(part for part in (describe_run(run.spec), remaining(run)) if part))
        if told:
            st.text(told)
    silence(run)
