"""Compare: rankings side by side, of two prompt sets, runs, methods or models."""

from __future__ import annotations

import streamlit as st

from pages.components.compare import data, view
from pages.components.compare.cards import cards
from pages.components.compare.data import Seen
from pages.components.compare.selection import Choice, address, finished, opening, read, traces
from pages.components.layout.context import context
from pages.components.layout.shell import lines, present_button, presented, presenting, shell, title
from pages.components.report.draft import add_button
from untrac_core.engine import Run, Store
from untrac_core.errors import InputError
from untrac_core.explore.quadrants import question
from untrac_core.text.limits import NOT_PROOF

NAME = "Compare"
QUESTION = "Do two views rank the subsets alike?"
PURPOSE = (
    "A view is one ranking: of a prompt set, by a method, in a run. Set two to four side by side; the first is the "
    "baseline."
)


def nothing() -> None:
    """No finished trace at all."""
    title(NAME, QUESTION, "There is no finished trace yet, so there is nothing to compare. Run one, then come back.")
    if st.button("Trace the demo", type="primary", icon=":material/conversion_path:", key="open_trace"):
        st.switch_page("pages/trace.py")


def too_few(seen: list[Seen], runs: list[Run], faults: list[str]) -> None:
    """One view, or none: say what is missing, and offer it, unless before an audience."""
    title(NAME, QUESTION, PURPOSE)
    lines(faults, heading="Left out", icon=":material/link_off:")
    if presenting():
        st.caption("There is nothing to present: it takes two views.")
        return
    if not seen:
        st.caption("None of the views in this address can be shown.")
        if st.button("Start from the latest result", type="primary", key="start_over"):
            st.query_params.clear()
            st.rerun()
        return
    one = seen[0].result.spec
    if len(one.prompts) == 1 and len(runs) == 1:
        st.caption("There is one finished trace, and it has one prompt set. To see more, trace it on another one.")
    else:
        st.caption("One view is here. Choose what to compare it with.")
    cards(seen, runs)
    if st.button("Trace another prompt set", icon=":material/conversion_path:", key="open_trace"):
        st.switch_page("pages/trace.py")


def show(seen: list[Seen], runs: list[Run], faults: list[str]) -> None:
    """The whole page of two views or more."""
    found = data.comparison(seen)
    if presenting():
        view.presented(seen, found)
        st.caption(NOT_PROOF)
        return
    title(NAME, question(found.views), PURPOSE)
    with st.container(horizontal=True):
        add_button({"show": "comparison", "views": [data.as_item(one) for one in seen]})
        present_button()
    cards(seen, runs)
    lines(faults, heading="Left out", icon=":material/link_off:")
    letter = view.against(found)
    view.answers(seen, found, letter)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        view.scatter(seen, found, letter)
    with right:
        view.places(seen, found)
    view.agreements(seen, found, letter)
    ranks, differing, take = st.tabs(["Ranks and numbers", "What differs", "Export"])
    with ranks:
        view.ranks(seen, found, letter)
    with differing:
        view.differing(seen)
    with take:
        view.export_section(found)
    st.caption(NOT_PROOF)


def named(store: Store, runs: list[Run]) -> tuple[list[Choice], list[str]]:
    """The views of the address; where it names none, those to open with."""
    choices, faults = read(presented("views"))
    if choices or faults:
        return choices, faults
    run_id = st.query_params.get("run")
    if run_id is None:
        held = [run for run in runs if run.id == context().run]
        return opening([*held, *runs]), []
    try:
        return opening([finished(store, run_id)]), []
    except InputError as error:
        return [], [str(error)]


def main() -> None:
    """Draw the page."""
    store = shell("Compare")
    runs = traces(store)
    choices, faults = named(store, runs)
    if not runs and not choices and not faults:
        nothing()
        return
    seen, more = data.open_views(store, choices)
    if choices and not presented("views") and "run" not in st.query_params:  # a run says it all: see ``opening``
        st.query_params["views"] = address([one.choice for one in seen])
    (show if len(seen) > 1 else too_few)(seen, runs, [*faults, *more])


main()
