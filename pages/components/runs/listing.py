"""The list of runs: filtered, sorted, and several chosen at once to be opened, compared, tagged or deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.compare.selection import MOST as COMPARED_MOST
from pages.components.compare.selection import side_by_side
from pages.components.layout.errors import fault
from pages.components.layout.labels import STATUS, ago, shown_as
from pages.components.layout.run_cards import happening, remaining
from untrac_core.engine import Run, Store
from untrac_core.engine.runs import SORTS, TAG_MOST, Wanted, method_of, model_of
from untrac_core.errors import InputError
from untrac_core.text.numbers import count

SORTED = {"created": "newest first", "time": "longest first"}


def filters(runs: Sequence[Run]) -> Wanted:
    """What the controls above the list ask for; a control that could tell nothing apart is not drawn."""
    offered = {
        "kinds": ("Kind", list(dict.fromkeys(run.kind for run in runs))),
        "methods": ("Method", sorted({method_of(run) for run in runs} - {""})),
        "models": ("Model", sorted({model_of(run) for run in runs} - {""})),
        "tags": ("Tag", sorted({tag for run in runs for tag in run.tags})),
    }
    chosen: dict[str, Any] = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        find = st.text_input("Find", key="runs_find", placeholder="name, method, model, tag or notes", width=250)
        for name, (label, options) in offered.items():
            if len(options) > 1 or (options and name == "tags"):
                chosen[name] = st.multiselect(label, options, key=f"runs_{name}", placeholder="all", width=190)
        sort = st.selectbox("Sort", list(SORTS), format_func=shown_as(SORTED), key="runs_sort", width=150)
    return Wanted(find=find, sort=sort, **chosen)


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run, for a table."""
    return pd.DataFrame(
        {
            "status": [STATUS.get(run.status, (run.status,))[0] for run in runs],
            "name": [run.name for run in runs],
            "tags": [list(run.tags) for run in runs],
            "kind": [run.kind for run in runs],
            "method": [method_of(run) for run in runs],
            "model": [model_of(run) for run in runs],
            "progress": [round(100 * run.progress) for run in runs],
            "now": [happening(run) for run in runs],
            "time": [remaining(run) for run in runs],
            "created": [ago(run.created) for run in runs],
            "notes": [" ".join(run.notes.split())[:200] for run in runs],
        }
    )


def table(runs: Sequence[Run]) -> list[Run]:
    """The runs as a table; returns those that are ticked."""
    config: dict[str, Any] = {
        "status": st.column_config.TextColumn("Status", width=65),
        "name": st.column_config.TextColumn("Name", width=215),
        "tags": st.column_config.ListColumn("Tags", width=90),
        "kind": st.column_config.TextColumn("Kind", width=60),
        "method": st.column_config.TextColumn("Method", width=130),
        "model": st.column_config.TextColumn("Model", width=65),
        "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=100, format="%d %%", width=95),
        "now": st.column_config.TextColumn("Now", width=150),
        "time": st.column_config.TextColumn("Time", width=70),
        "created": st.column_config.TextColumn("Created", width=90),
        "notes": st.column_config.TextColumn("Notes", width=160),
    }
    if not any(run.active for run in runs):
        config |= {"now": None, "progress": None}  # of a run that has ended, these say nothing
    for name, known in (("tags", any(run.tags for run in runs)), ("notes", any(run.notes for run in runs))):
        if not known:
            config[name] = None
    # A choice is by row, so it ends when other runs stand in the rows.
    rows = hashlib.sha256(" ".join(run.id for run in runs).encode()).hexdigest()[:12]
    event = st.dataframe(
        runs_frame(runs), hide_index=True, column_config=config, key=f"runs_table_{rows}", alt="All runs",
        on_select="rerun", selection_mode="multi-row",
    )  # fmt: skip
    return chosen_rows(event, runs)


def chosen_rows(event: Any, runs: Sequence[Run]) -> list[Run]:
    """The runs whose rows are ticked."""
    return [runs[row] for row in event["selection"]["rows"] if row < len(runs)]


def toolbar(store: Store, place: Any, chosen: Sequence[Run]) -> None:
    """What can be done with the runs that are ticked; drawn above them, with what cannot be done greyed."""
    traces = [run for run in chosen if run.kind == "trace" and run.status == "done"]
    several = 2 <= len(chosen) == len(traces) <= COMPARED_MOST
    ended = [run for run in chosen if not run.active]
    with place.container(horizontal=True, vertical_alignment="center", key="runs_toolbar"):
        one = len(chosen) == 1
        if st.button("Open", type="primary", icon=":material/open_in_new:", disabled=not one, key="runs_open"):
            st.query_params["run"] = chosen[0].id
            st.rerun("app")
        said = f"Two to {COMPARED_MOST} finished traces"
        if st.button("Compare", icon=":material/compare_arrows:", disabled=not several, key="runs_compare", help=said):
            _compare(traces)
        with st.popover("Tag", icon=":material/sell:", disabled=not chosen):
            _tag(store, chosen)
        with st.popover("Delete", icon=":material/delete:", disabled=not ended):
            _delete(store, ended)
        st.caption(f"{count(len(chosen), 'run')} ticked" if chosen else "Tick one run or more.")


def _compare(traces: Sequence[Run]) -> None:
    try:
        views = side_by_side(traces)
    except (InputError, OSError) as error:
        fault(str(error))
        return
    st.switch_page("pages/compare.py", query_params={"views": views})


def _tag(store: Store, chosen: Sequence[Run]) -> None:
    """Add a tag to each of some runs, or take it off."""
    known = sorted({tag for run in chosen for tag in run.tags})
    tag = st.text_input("Tag", key="runs_tag", max_chars=TAG_MOST, placeholder="for example: paper")
    off = st.selectbox("Take off", known, index=None, key="runs_untag") if known else None
    if not st.button("Apply", key="runs_tag_apply", disabled=not chosen or not (tag.strip() or off)):
        return
    try:
        for run in chosen:
            kept = [one for one in (*run.tags, *([tag] if tag.strip() else [])) if one != off]
            store.label(run.id, tags=kept)
    except InputError as error:
        fault(str(error))
        return
    st.rerun("app")


def _delete(store: Store, runs: Sequence[Run]) -> None:
    """Ask, by their names, and delete some runs."""
    for run in runs:
        st.text(run.name)
    st.markdown("Results, logs and their places in the list are removed. This cannot be undone.")
    label = f"Delete {count(len(runs), 'run')}"
    if not st.button(label, type="primary", icon=":material/delete:", key="runs_delete", disabled=not runs):
        return
    faults = []
    for run in runs:
        try:
            store.delete(run.id)
        except InputError as error:
            faults.append(str(error))
    if st.query_params.get("run") in [run.id for run in runs]:
        st.query_params.pop("run", None)
    for text in faults:
        fault(text)
    if not faults:
        st.rerun("app")
