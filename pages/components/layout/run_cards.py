"""A run as the pages show it: its status, its progress, its row in a list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.labels import STATUS, ago
from untrac_core import engine
from untrac_core.engine import Run, describe_run
from untrac_core.specs.catalogue import method_title
from untrac_core.text.numbers import count, duration


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


def method_of(run: Run) -> str:
    """The method of a run, of a validation how many; empty of one that has none."""
    spec: Any = run.spec
    if run.kind == "validate":
        return count(len(spec.methods), "method")
    method = getattr(spec, "method", None)
    return "" if method is None else method_title(method.name, getattr(method, "variant", None))


def model_of(run: Run) -> str:
    """The model of a run by the last part of its place; empty of one that has none."""
    spec: Any = run.spec.trace if run.kind == "verify" else run.spec  # type: ignore[union-attr]
    model = getattr(spec, "model", None)
    return "" if model is None else str(model.path).rstrip("/").rsplit("/", 1)[-1]


def wanted(runs: Sequence[Run], kinds: Sequence[str], find: str) -> list[Run]:
    """The runs of some kinds, or of all, whose name, method or model holds some words."""
    words = find.casefold().split()
    return [
        run
        for run in runs
        if (not kinds or run.kind in kinds)
        and all(word in f"{run.name} {method_of(run)} {model_of(run)}".casefold() for word in words)
    ]


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run, for a table."""
    return pd.DataFrame(
        {
            "open": ["Show"] * len(runs),
            "status": [STATUS.get(run.status, (run.status,))[0] for run in runs],
            "name": [run.name for run in runs],
            "kind": [run.kind for run in runs],
            "method": [method_of(run) for run in runs],
            "model": [model_of(run) for run in runs],
            "progress": [round(100 * run.progress) for run in runs],
            "now": [happening(run) for run in runs],
            "time": [remaining(run) for run in runs],
            "created": [ago(run.created) for run in runs],
        }
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
