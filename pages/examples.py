"""Examples: single training texts, or single prompts, with the change of every token's loss."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.components.forms.refill import LEFT_OUT
from pages.components.layout.labels import finished
from pages.components.layout.results import cached_result
from pages.components.layout.run_from_url import opened, readable
from pages.components.layout.shell import shell, title
from pages.components.results import document_data as documents
from pages.components.results import example_data as data
from pages.components.results import example_view as view
from pages.components.results import influence_view
from pages.components.results import verify_view as verify_view
from untrac_core.engine import Run, Store, describe_run
from untrac_core.engine.checks import leaving
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import method_title
from untrac_core.text.labels import labels, unit_of
from untrac_core.text.limits import NOT_PROOF
from untrac_core.text.numbers import count

UNLEARNED = 20
"""Texts of the list that its link to the page Unlearn takes."""
FILTER = """\
import json
out = {(text["subset"], text["row"]) for text in map(json.loads, open("texts.jsonl"))}
rows = [row for row in map(json.loads, open("forum.jsonl")) if ("forum", row["id"]) not in out]"""
"""How to use the export, for a subset whose rows have ids."""
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
                query_params={"run": run.id, **influence_view.in_address(result, prompts, side)},
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
    key = f"list_{prompts.name}_{side}_{subset}_{order}_{clear}_{query}"
    with left:
        place = view.listing(
            shelf, words, unit, open_text=open_text, with_subset=kind == "texts" and subset is None, key=key
        )
    if place is None:
        return
    row = shelf.rows.iloc[place]
    with right:
        view.turn(key, place, len(shelf.rows))
        view.reading(run, result, row, prompts, side, words, legend, unit, open_text=open_text)
    if kind == "prompts":
        view.moved_by(run, row, prompts, side)
    else:
        if order == data.MOST and not clear and not query:
            unlearn_link(run, prompts, side, subset, shelf)
        take_out(run, result, shelf)
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


def take_out(run: Run, result: TraceFiles, shelf: data.Shelf) -> None:
    """The first texts of the list as a file, by which to filter the training data; drawn when it is opened."""
    section = st.expander(
        "Leave these texts out: export their rows, or trace again without them", key="export_first", on_change="rerun"
    )
    if not section.open:
        return
    with section:
        most = len(shelf.rows)
        left, right = st.columns([1, 3], vertical_alignment="bottom")
        number = left.number_input("Texts", min_value=1, max_value=most, value=min(UNLEARNED, most), key="export_texts")
        right.download_button(
            "Their rows (JSONL)",
            partial(documents.exported, result, shelf.rows.head(number)),
            file_name=f"untrac-{run.id}-texts.jsonl",
            mime="application/jsonl",
            on_click="ignore",
            icon=":material/download:",
            key="export_jsonl",
        )
        st.caption(
            "One line per text, in the order of the list: subset, file, line, row, influence and interval; no text. "
            "To train without these rows:"
        )
        st.code(FILTER, language="python")
        rows = documents.rows_of(shelf.rows.head(number))
        if st.button("Trace again without their rows", icon=":material/filter_alt_off:", key="trace_without"):
            st.session_state[LEFT_OUT] = (run.id, leaving(result.spec, rows))
            st.switch_page("pages/trace.py", query_params={"like": run.id})
        st.caption(
            f"The same request without the {count(sum(map(len, rows.values())), 'row')} that these texts begin in: "
            "which subsets lead then? The model has still learned from them; to see what it would be like without, "
            "unlearn them or retrain."
        )


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
