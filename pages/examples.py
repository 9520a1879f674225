"""Examples: single training texts, or single prompts, with the change of every token's loss."""

from __future__ import annotations

import streamlit as st

from pages.components.layout.labels import finished
from pages.components.layout.results import cached_result
from pages.components.layout.run_from_url import opened, readable
from pages.components.layout.shell import shell, title
from pages.components.results import example_data as data
from pages.components.results import example_view as view
from pages.components.results import influence_view
from pages.components.results import verify_view as verify_view
from untrac_core.engine import Run, Store, describe_run
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import method_title
from untrac_core.text.labels import labels, unit_of
from untrac_core.text.limits import NOT_PROOF
from untrac_core.text.numbers import count

UNLEARNED = 20
"""Texts of the list that its link to the page Unlearn takes."""
PREFIX = "of_"
"""Of the names of prompt set and side in the address."""
NAME = "Examples"
QUESTION = "Which training texts push the model towards harmful text?"


def question(prompts: PromptSet, side: str, kind: str) -> str:
    """What the list answers, as a title."""
    harmful, harmless = labels(prompts)
    if kind == "prompts":
        return "Which prompts does this subset move, and at which words?"
    if side == "contrast":
        return f"Which training texts push the model towards {harmful} text?"
    if prompts.harmful is None:
        return "Which training texts make these prompts more likely?"
    return f"Which training texts make {harmful if side == 'harmful' else harmless} text more likely?"


def show(store: Store, run: Run, result: TraceFiles, kind: str) -> None:
    """The whole page of one result."""
    heading = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        # A prompt stands on one side, so it has no contrast.
        prompts, side = influence_view.choose(result, prefix=PREFIX, contrast=kind == "texts")
        subset = view.choose_subset(result, all_of_them=kind == "texts")
    with heading:
        title(
            NAME, question(prompts, side, kind), "Choose a row to read it; the colours show which of its words moved."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(run.name)
            st.caption(f"{describe_run(result.spec)} · {finished(run.finished)}")
            st.page_link(
                "pages/influence.py", label="Back to the ranking", icon=":material/bar_chart:",
                query_params={"run": run.id, "set": prompts.name, "side": side},
            )  # fmt: skip
    below(store, run, kind, prompts, side, subset)


@st.fragment
def below(store: Store, run: Run, kind: str, prompts: PromptSet, side: str, subset: str | None) -> None:
    """The list and all after it: what is drawn anew when another order, a part of a text or a row is asked for."""
    with readable():
        listed(store, run, cached_result(run), kind, prompts, side, subset)


def listed(
    store: Store, run: Run, result: TraceFiles, kind: str, prompts: PromptSet, side: str, subset: str | None
) -> None:
    """The list, the text that is chosen in it, and what can be done with its first texts."""
    words = "text" if kind == "texts" else "completion"
    order, clear, query = view.sift(words)
    open_text = st.toggle("Show the texts (they may be harmful)", key="show_texts")
    if kind == "texts":
        rows, legend = data.texts(run, prompts.name, side, subset), view.sign(prompts, side)
    else:
        subset = subset or result.spec.subsets[0].name
        rows, legend = data.items(run, prompts.name, side, subset), view.SIGN_OF_PROMPT
    unit = unit_of(result.spec.method)
    shelf = data.shelf(rows, order=order, clear=clear, query=query, words=words)
    left, right = st.columns([4, 3], gap="medium")
    with left:
        place = view.listing(
            shelf, words, unit, open_text=open_text, with_subset=kind == "texts" and subset is None,
            key=f"list_{prompts.name}_{side}_{subset}_{order}_{clear}_{query}",
        )  # fmt: skip
    if place is None:
        return
    row = shelf.rows.iloc[place]
    with right:
        view.reading(run, row, prompts, side, words, legend, unit, open_text=open_text)
    if kind == "prompts":
        view.moved_by(run, row, prompts, side)
    else:
        if order == data.MOST and not clear and not query:
            unlearn_link(run, prompts, side, subset, shelf)
        verify_view.section(store, run, result, prompts, side, shelf.rows)
        view.common(run, result, prompts, side, subset)
    st.caption(NOT_PROOF)


def unlearn_link(run: Run, prompts: PromptSet, side: str, subset: str | None, shelf: data.Shelf) -> None:
    """The way to take the first texts of the list out of the model."""
    number = min(UNLEARNED, len(shelf.rows))
    query = {"trace": run.id, "texts": str(number), "prompts": prompts.name, "on": side}
    st.page_link(
        "pages/unlearn.py", label=f"Unlearn the first {count(number, 'text')}", icon=":material/ink_eraser:",
        query_params=query | ({} if subset is None else {"among": subset}),
        help="Take them out of the model, and see whether it still says the same.",
    )  # fmt: skip


def none(run: Run, result: TraceFiles) -> None:
    """A result without single texts."""
    title(NAME, QUESTION, "This result has no numbers for single texts.")
    st.text(run.name)
    name = method_title(result.spec.method.name)
    if result.spec.method.unlearns:
        st.caption("It was made before single prompts were kept, or its ranking was refused. Run it again to see them.")
    else:
        st.caption(f"{name} looks at whole subsets. UnTrac-Inv has numbers for training texts, UnTrac for prompts.")
    st.page_link(
        "pages/influence.py", label="Back to the ranking", icon=":material/bar_chart:", query_params={"run": run.id}
    )


@st.fragment
def page(store: Store, run: Run, kind: str) -> None:
    """All but the navigation, so that a switch draws no more than this anew."""
    with readable():
        show(store, run, cached_result(run), kind)


def main() -> None:
    store = shell("Examples")
    found = opened(store, (NAME, QUESTION))
    if found is None:
        return
    run, result = found
    kind = data.kind(result)
    if kind is None:
        none(run, result)
        return
    page(store, run, kind)


main()
