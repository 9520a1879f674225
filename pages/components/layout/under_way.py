"""What goes on while one looks at something else: the share that is done, in the tab's title and in the sidebar."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.layout.labels import STATUS
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.text.numbers import count

EVERY = 3.0
"""Seconds between two looks, as long as anything goes on."""
ENDED = {"done": ":material/check_circle:", "failed": ":material/error:", "cancelled": ":material/block:"}


def watch(store: Store, title: str) -> None:
    """Tell of the runs that go on, anew every few seconds, and of their end; nothing where none does.

    ``title``: of the browser tab, which the share that is done is put before.
    """
    runs = store.under_way()
    if runs:
        st.fragment(_tell, run_every=EVERY)(store, title, [run.id for run in runs])


def _tell(store: Store, title: str, ids: Sequence[str]) -> None:
    runs = []
    for run_id in ids:
        try:
            runs.append(store.run(run_id))
        except InputError:  # deleted since
            continue
    active = [run for run in runs if run.active]
    for run in runs:
        if not run.active:
            _end(run)
    if active:
        st.page_link(
            "pages/runs.py", label=in_words(active), icon=":material/progress_activity:",
            query_params={"run": active[0].id}, width="stretch",
        )  # fmt: skip
    st.set_page_config(page_title=tab_title(title, runs))


def in_words(active: Sequence[Run]) -> str:
    """What goes on, without any word of a user."""
    first, more = active[0], len(active) - 1
    state = "waiting" if first.status == "queued" else f"{first.progress:.0%} done"
    return f"{first.kind.capitalize()}: {state}" + (f", and {count(more, 'more run')}" if more else "")


def tab_title(title: str, runs: Sequence[Run]) -> str:
    """The title with what goes on before it, or how it ended; words of ours alone."""
    active = [run for run in runs if run.active]
    if active:
        share = "waiting" if active[0].status == "queued" else f"{active[0].progress:.0%}"
        return f"{share} · {title}"
    return f"{STATUS[runs[-1].status][0]} · {title}" if runs else title


def _end(run: Run) -> None:
    """Say once for a tab that a run has ended."""
    told: set[str] = st.session_state.setdefault("ends_told", set())
    end = f"{run.id} {run.attempt}"
    if end not in told:
        told.add(end)
        st.toast(f"A {run.kind} has ended: {STATUS[run.status][0]}.", icon=ENDED[run.status], duration="long")
