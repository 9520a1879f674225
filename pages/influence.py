"""Influence: which training subsets a finished run found, how sure it is, and how it came to it."""

from __future__ import annotations

import streamlit as st

from pages.components.layout.downloads import export_section
from pages.components.layout.labels import finished
from pages.components.layout.results import cached_result
from pages.components.layout.run_from_url import opened, readable
from pages.components.layout.shell import present_button, presenting, shell, title
from pages.components.report.draft import add_button
from pages.components.results import influence_data as data
from pages.components.results import influence_view as view
from pages.components.results import presentation
from pages.components.results.blend_view import blend
from pages.components.results.extend_view import extend_button, extend_section
from pages.components.results.group_view import by_group
from pages.components.results.ladder_view import ladder
from untrac_core.engine import Run, Store, describe_run
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.text.labels import question

NAME = "Influence"
QUESTION = "Which subsets push the model towards harmful text?"
PURPOSE = (
    "Look at the order and the intervals first, then at what speaks against them below. Click a bar to read its texts."
)


def heading(run: Run, result: TraceFiles, store: Store, prompts: PromptSet, side: str) -> None:
    """The title, what was run, and the ways on from here, for who does not click a bar too."""
    title(NAME, question(prompts, side), PURPOSE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(run.name)
        facts = (describe_run(result.spec), finished(run.finished), run.taken_over)
        st.caption(" · ".join(filter(None, facts)))
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.page_link(
                "pages/examples.py", label="Texts", icon=":material/format_quote:",
                query_params={"run": run.id, **view.in_address(result, prompts, side, prefix="of_")},
            )  # fmt: skip
            st.page_link(
                "pages/compare.py", label="Compare", icon=":material/compare_arrows:", query_params={"run": run.id}
            )
            st.page_link(
                "pages/trace.py", label="Run again with changes", icon=":material/tune:", query_params={"like": run.id}
            )
            extend_button(run, result, key="extend")
            add_button({"show": "ranking", "run": run.id, "prompt_set": prompts.name, "side": side})
            present_button()
    extend_section(run, result, store)


def show(run: Run, result: TraceFiles, store: Store) -> None:
    """The whole page of one result."""
    top = st.container()
    validation = data.calibrated_by(result, store.runs(kind="validate"))
    prompts, side = view.choose(result)
    with top:
        heading(run, result, store, prompts, side)
    picture = data.picture(run, prompts.name, side, validation)
    ranked = picture.ranked
    view.answer(run, result, picture, prompts, side)
    if ranked.empty:
        view.warnings(result, prompts)
        view.cheaper(result, picture)
        view.notes(result)
        view.limits()
        export_section(run, result, view.tables(result, ranked, prompts, side))
        return
    several = picture.path["step"].nunique() > 1
    left, right = st.columns([3, 2], gap="large") if several else (st.container(), None)
    with left:
        clicked = view.bars(result, picture, prompts, side)
    if clicked is not None:
        query = {"run": run.id, **view.in_address(result, prompts, side, prefix="of_"), "subset": clicked}
        st.switch_page("pages/examples.py", query_params=query)
    if right is not None:
        with right:
            view.path(result, picture, side, height=min(600, max(280, 34 * len(ranked) + 20)))
    view.warnings(result, prompts)
    view.check_it(run, result, picture)
    ladder(run, result, store, prompts.name, side)
    blend(run, result, store, prompts.name, side)
    by_group(run, result, ranked, prompts, side)
    view.cheaper(result, picture)
    view.ground_truth(result, picture, side)
    table, said, how, take = st.tabs(["Numbers", "Notes", "Method", "Export"])
    with table:
        view.numbers(result, picture, side)
    with said:
        view.notes(result)
    with how:
        view.method_card(result)
    with take:
        export_section(run, result, view.tables(result, ranked, prompts, side))
    view.limits()


@st.fragment
def page(run: Run, store: Store) -> None:
    """All but the navigation, so that a switch draws no more than this anew."""
    with readable():
        show(run, cached_result(run), store)


def main() -> None:
    store = shell("Influence")
    found = opened(store, (NAME, QUESTION))
    if found is None:
        return
    if not presenting():
        page(found[0], store)
        return
    with readable():
        presentation.trace(*found, data.calibrated_by(found[1], store.runs(kind="validate")))


main()
