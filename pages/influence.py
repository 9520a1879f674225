"""Influence: which training subsets a finished run found, how sure it is, and how it came to it."""

from __future__ import annotations

import streamlit as st

from pages.components import influence_data as data
from pages.components import influence_view as view
from pages.components.run_views import run_row
from pages.components.shell import lines, shell, title
from pages.components.words import finished, question, shape
from untrac_core.engine import DEMO_RUN, Run, Store
from untrac_core.errors import InputError
from untrac_core.results import Result

LATEST = 5
PURPOSE = "Look at the order and the intervals first, then at what speaks against them below."


def offer(store: Store, why: str) -> None:
    """The page without a run to show: say why, and offer the demo and the latest runs."""
    title("Which subsets push the model towards harmful text?", why)
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


def unfinished(run: Run) -> None:
    """A run that has no result to look at."""
    title("Which subsets push the model towards harmful text?", "This run has no result yet; the runs page shows why.")
    st.text(run.name)
    if st.button("Go to the run", type="primary", key="go_to_run"):
        st.switch_page("pages/runs.py", query_params={"run": run.id})


def elsewhere(run: Run) -> None:
    """A validation: its result has a page of its own."""
    title("Which subsets push the model towards harmful text?", "This run is a validation: it has a page of its own.")
    st.text(run.name)
    st.page_link(
        "pages/validate.py", label="Look at it on the page Validate", icon=":material/verified:",
        query_params={"run": run.id},
    )  # fmt: skip


def show(run: Run, result: Result) -> None:
    """The whole page of one result."""
    heading = st.container()
    prompts, side = view.choose(result)
    with heading:
        title(question(prompts, side), PURPOSE)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(run.name)
            st.caption(f"{shape(result.spec)} · {finished(run.finished)}")
    picture = data.picture(run, prompts.name, side)
    ranked = picture.ranked
    view.answer(result, picture, prompts, side)
    if ranked.empty:
        lines(result.summary.get("warnings", []), heading="Before you trust it", icon=":material/warning:")
        view.cheaper(result, picture)
        view.notes(result)
        view.limits()
        view.reproduce(result, ranked, run.id)
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        view.bars(result, picture, prompts, side)
    with right:
        view.path(result, picture, side, height=max(280, 34 * len(ranked) + 20))
    lines(result.summary.get("warnings", []), heading="Before you trust it", icon=":material/warning:")
    view.check_it()
    view.cheaper(result, picture)
    view.truth(picture, side)
    table, texts, said, how, take = st.tabs(["Numbers", "Training texts", "Notes", "Method", "Take away"])
    with table:
        view.numbers(picture, side)
    with texts:
        view.examples(picture)
    with said:
        view.notes(result)
    with how:
        view.method_card(result)
    with take:
        view.reproduce(result, ranked, run.id)
    view.limits()


def main() -> None:
    store = shell("Influence")
    run_id = st.query_params.get("run")
    if run_id is None:
        offer(store, "No run is chosen. Open the demo, or one of the results below.")
        return
    try:
        run = store.run(run_id)
    except InputError:
        offer(store, "There is no run with the id in this address; it may have been deleted. Choose another.")
        return
    if run.kind == "validate":
        elsewhere(run)
        return
    if run.kind != "trace":
        offer(store, "This run ranks nothing: it fetched data, or let a model write. Choose another.")
        return
    if run.status != "done":
        unfinished(run)
        return
    try:
        result = data.load(run)
    except (InputError, OSError) as error:
        offer(store, "The files of this run cannot be read. Choose another result, or run it again.")
        st.text(str(error))
        return
    if not data.sides_of(result.summary, result.spec.prompts[0].name):
        offer(store, "This result ranks nothing. Choose another, or run it again.")
        return
    show(run, result)


main()
