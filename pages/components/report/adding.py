"""What one adds to a report: a part of a finished run, a comparison of two rankings, or own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.components.layout.context import context
from pages.components.layout.labels import ago, shown_as
from pages.components.layout.results import cached_result
from pages.components.report.draft import Item
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.composed.compose import KINDS, Opened, finished_run, usual_items
from untrac_core.report.picks import PICKS, SET, SIDE, sides_of
from untrac_core.text.labels import SIDES

USUAL, COMPARISON = "usual", "comparison"
LISTED = 100
NAME_MOST = 60


def runs_of(store: Store) -> list[Run]:
    """The finished runs that have a report, the newest first."""
    return [run for run in store.runs(limit=LISTED) if run.kind in KINDS and run.status == "done"]


def opened(store: Store, run_id: str) -> Opened:
    """A finished run with its result; :class:`InputError` where there is none, or its files cannot be read."""
    run = finished_run(store, run_id)
    try:
        return Opened(cached_result(run), run.id, run.finished)
    except OSError as error:
        raise InputError(f"its files cannot be read ({error.strerror})", field=f"run {run_id}") from None


def panel(store: Store, runs: Sequence[Run]) -> list[Item]:
    """The fields of a new part; the items that the button was pressed for, else none."""
    st.subheader("Add a part", anchor=False)
    run_id = _run(runs, "Run", "add_run")
    try:
        result = opened(store, run_id)
    except InputError as error:
        st.text(str(error))
        return []
    kind = result.found.spec.kind
    titles = {USUAL: "The usual figures", **{name: pick.title for name, pick in PICKS[kind].items()}}
    if kind == "trace":
        titles[COMPARISON] = "Comparison with another ranking"
    show = str(st.selectbox("Part", list(titles), format_func=shown_as(titles), key=f"add_part_{kind}"))
    of = SIDE if show == COMPARISON else "" if show == USUAL else PICKS[kind][show].of
    item: Item = {"show": show, "run": run_id, **_place(result, of, "add")}
    other = _other(store, runs) if show == COMPARISON else None
    if not st.button("Add", type="primary", icon=":material/add:", key="add_item"):
        return []
    if show == USUAL:
        items = usual_items([run_id], lambda name: opened(store, name))
        return [each.model_dump(mode="json", exclude_defaults=True) for each in items]
    if show == COMPARISON:
        views = [{name: value for name, value in item.items() if name != "show"}, other or {}]
        return [{"show": show, "views": views}]
    return [item]


def _other(store: Store, runs: Sequence[Run]) -> dict[str, Any] | None:
    """The second ranking of a comparison."""
    traces = [run for run in runs if run.kind == "trace"]
    run_id = _run(traces, "Beside it, the run", "beside_run")
    try:
        return {"run": run_id, **_place(opened(store, run_id), SIDE, "beside")}
    except InputError as error:
        st.text(str(error))
        return None


def _run(runs: Sequence[Run], label: str, key: str) -> str:
    """A choice of a run; at first what one looked at last."""
    told = {run.id: f"{run.name[:NAME_MOST]} · {run.kind} · {ago(run.created)}" for run in runs}
    held = context().run
    first = list(told).index(held) if held in told else 0
    return str(st.selectbox(label, list(told), index=first, format_func=shown_as(told), key=key))


def _place(result: Opened, of: str, key: str) -> dict[str, str]:
    """A prompt set and its side, as far as a part is of one."""
    sets = [prompts.name for prompts in result.found.spec.prompts]
    if of not in (SIDE, SET) or not sets:
        return {}
    places = st.columns(2)
    name = str(places[0].selectbox("Prompt set", sets, key=f"{key}_set_{result.run_id}"))
    if of == SET:
        return {"prompt_set": name}
    sides = sides_of(result.found, name) or [SIDES[1]]
    side = str(places[1].selectbox("Side", sides, key=f"{key}_side_{result.run_id}_{sets.index(name)}"))
    return {"prompt_set": name, "side": side}
