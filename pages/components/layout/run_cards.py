"""A run as the pages show it: its status, its progress, its row in a list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from pages.components.layout.labels import STATUS, ago
from untrac_core import engine
from untrac_core.engine import Run, describe_run
from untrac_core.text.numbers import count, duration

LATEST = 3
"""Runs above a form: few enough that the form is on the first screen."""


def wake(runs: Iterable[Run]) -> None:
    """Start a worker for every device that has work to do; one that runs already is left alone."""
    for device in sorted({run.device for run in runs if run.active}):
        engine.ensure_worker(device)


def take_up(store: engine.Store, run: Run) -> None:
    """Let a run that failed or was cancelled go on; :class:`InputError` where it cannot."""
    store.resume(run.id)
    engine.ensure_worker(run.device)


def badge(run: Run) -> None:
    """The run's status as a coloured word."""
    word, colour, icon = STATUS.get(run.status, (run.status, "gray", ":material/help:"))
    st.badge(word, color=colour, icon=icon)


def happening(run: Run) -> str:
    """What the run is doing now, in a few words; may hold a user's words (show as text)."""
    if run.status == "queued":
        place = run.queue_position
        return "next in the queue" if not place else f"{count(place, 'run')} before it in the queue"
    if run.status in ("running", "cancelling"):
        return run.phase or "starting"
    if run.status == "failed":
        return run.error or "failed"
    return ""


def remaining(run: Run) -> str:
    """How long it took, or will take."""
    if run.status == "running":
        return "" if run.eta_seconds is None else f"about {duration(run.eta_seconds)} left"
    if run.finished and run.started:
        return duration(run.finished - run.started)
    return ""


def bar(run: Run) -> None:
    """How far a run is that is under way."""
    if run.active:
        st.progress(min(max(run.progress, 0.0), 1.0))


def silence(run: Run) -> None:
    """A warning when a running run has not been heard from for a while."""
    if run.status == "running" and run.silent and run.heartbeat is not None:
        since = duration(time.time() - run.heartbeat)
        st.warning(
            f"No sign of life for {since}. It may hang: look at the log, or cancel it.", icon=":material/heart_broken:"
        )


RESULT_PAGES = {
    "trace": ("influence", "run"),
    "validate": ("validate", "run"),
    "unlearn": ("unlearn", "run"),
    "verify": ("runs", "run"),
    "generate": ("prompts", "job"),
}
"""By the kind of run: the page of its result, and the key of the run's id in the address."""


def result_page(run: Run) -> tuple[str, dict[str, str]]:
    """Where the result of a finished run can be looked at: a page, and what its address says."""
    spec: Any = run.spec
    if run.kind == "fetch":
        page = "models" if spec.models else "prompts" if spec.prompts else "subsets"
        return f"pages/{page}.py", {"job": run.id}
    if run.kind == "verify" and spec.of:  # it is shown with the texts of its trace, if that is a run here
        return "pages/examples.py", {"run": spec.of, "of_set": spec.prompt_set}
    page, key = RESULT_PAGES[run.kind]
    return f"pages/{page}.py", {key: run.id}


def latest(runs: Sequence[Run], noun: str) -> None:
    """The newest runs of a kind, above the form that asks for another; nothing where there are none."""
    if not runs:
        return
    st.subheader(f"Latest {noun}s", anchor=False)
    for run in runs[:LATEST]:
        run_row(run, key=f"row_{run.id}")
    st.subheader(f"New {noun}", anchor=False)


def run_row(run: Run, *, key: str) -> None:
    """A run as one line with a button that opens it."""
    with st.container(border=True):
        state, middle, action = st.columns([1.2, 7.6, 1.2], vertical_alignment="center")
        with state:
            badge(run)
        with middle.container(gap=None):
            st.text(run.name if len(run.name) <= 60 else run.name[:59] + "…")
            st.caption(f"{describe_run(run.spec)} · {ago(run.created)}")
        done = run.status == "done"
        if action.button("View" if done else "Show", key=key, width="stretch"):
            page, query = result_page(run) if done else ("pages/runs.py", {"run": run.id})
            st.switch_page(page, query_params=query)
