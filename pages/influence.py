"""Influence: which training subsets a finished run found, how sure it is, and how it came to it."""

from __future__ import annotations

import streamlit as st

from pages.components import influence_data as data
from pages.components import influence_view as view
from pages.components import presentation
from pages.components.group_view import by_group
from pages.components.handing_over import take_away
from pages.components.opening import opened, readable
from pages.components.shell import lines, present_button, presenting, shell, title
from pages.components.words import finished
from untrac_core.engine import Run
from untrac_core.results import Result
from untrac_core.specs import PromptSet
from untrac_core.wording import question, shape

QUESTION = "Which subsets push the model towards harmful text?"
PURPOSE = (
    "Look at the order and the intervals first, then at what speaks against them below. Click a bar to read its texts."
)


def heading(run: Run, result: Result, prompts: PromptSet, side: str) -> None:
    """The title, what was run, and the ways on from here, for who does not click a bar too."""
    title(question(prompts, side), PURPOSE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(run.name)
        st.caption(f"{shape(result.spec)} · {finished(run.finished)}")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.page_link(
                "pages/examples.py", label="Texts", icon=":material/format_quote:",
                query_params={"run": run.id, "of_set": prompts.name, "of_side": side},
            )  # fmt: skip
            st.page_link(
                "pages/compare.py", label="Compare", icon=":material/compare_arrows:", query_params={"run": run.id}
            )
            present_button()


def show(run: Run, result: Result) -> None:
    """The whole page of one result."""
    top = st.container()
    prompts, side = view.choose(result)
    with top:
        heading(run, result, prompts, side)
    picture = data.picture(run, prompts.name, side)
    ranked = picture.ranked
    view.answer(run, result, picture, prompts, side)
    if ranked.empty:
        lines(result.summary.get("warnings", []), heading="Before you trust it", icon=":material/warning:")
        view.cheaper(result, picture)
        view.notes(result)
        view.limits()
        take_away(run, result, view.tables(result, ranked, prompts, side))
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        clicked = view.bars(result, picture, prompts, side)
    if clicked is not None:
        query = {"run": run.id, "of_set": prompts.name, "of_side": side, "subset": clicked}
        st.switch_page("pages/examples.py", query_params=query)
    with right:
        view.path(result, picture, side, height=min(600, max(280, 34 * len(ranked) + 20)))
    lines(result.summary.get("warnings", []), heading="Before you trust it", icon=":material/warning:")
    view.check_it()
    by_group(run, result, ranked, prompts, side)
    view.cheaper(result, picture)
    view.truth(picture, side)
    table, said, how, take = st.tabs(["Numbers", "Notes", "Method", "Take away"])
    with table:
        view.numbers(picture, side)
    with said:
        view.notes(result)
    with how:
        view.method_card(result)
    with take:
        take_away(run, result, view.tables(result, ranked, prompts, side))
    view.limits()


def main() -> None:
    store = shell("Influence")
    found = opened(store, QUESTION)
    if found is None:
        return
    with readable():
        if presenting():
            presentation.trace(*found)
        else:
            show(*found)


main()
