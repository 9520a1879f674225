"""A training subset of the library: how much text it is, whether it is whole, and what it shares with others."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.layout.labels import number
from pages.components.layout.masked_tables import masked_table
from pages.components.layout.shell import lines
from pages.components.library.library_views import card_head, facts, library, origin, table
from pages.components.library.token_counts import about_tokens, encoder_of, overlap
from untrac_core.engine.checks import BLOCK
from untrac_core.engine.library.library import Entry
from untrac_core.engine.library.sources import Document, Encoder, SubsetSize, load_subset, subset_facts
from untrac_core.errors import InputError
from untrac_core.specs import Subset
from untrac_core.text.numbers import count

TEXT = st.column_config.TextColumn
SHOWN = 12
EXPLAINED = (
    "A document is one record. A token is what the model reads as one unit, about four letters of English; the number "
    "of tokens is estimated from 200 documents. A run cuts the text into blocks of the model's context and takes as "
    "many as its limit says, so a larger subset does not weigh more unless the request says 'proportional'."
)


def seen_in_words(entry: Entry) -> str:
    """Whether the documents are all there are."""
    if entry.facts.get("whole", True):
        return "whole"
    return f"sample of {int(entry.facts.get('seen', 0)):,}"


def subsets_table(entries: Sequence[Entry], model: Entry | None) -> None:
    """Every training subset of the library."""
    columns = {
        "documents": [f"{int(entry.facts.get('documents', 0)):,}" for entry in entries],
        "characters": [number(entry.facts.get("characters")) for entry in entries],
        "tokens": [about_tokens(entry, model) for entry in entries],
        "kept": [seen_in_words(entry) for entry in entries],
        "origin": [entry.origin for entry in entries],
    }
    config = {
        "documents": TEXT("Documents", width=90),
        "characters": TEXT("Characters", width=95),
        "tokens": TEXT("Tokens", width=90, help="Estimated on a sample of the documents"),
        "kept": TEXT("Kept", width=120),
        "origin": TEXT("From", width=220),
    }
    table("subset", entries, columns, config)


@st.cache_data(max_entries=64, show_spinner="Reading the subset")
def _looked(
    spec: str, model: str, stamp: str, block_size: int, _encoder: Encoder | None
) -> tuple[SubsetSize, list[Document]]:
    data = load_subset(Subset.model_validate_json(spec))
    return subset_facts(data, _encoder, block_size), data.documents[:SHOWN]


def _facts(entry: Entry, size: SubsetSize | None, block_size: int) -> dict[str, str]:
    told = entry.facts
    pairs = {
        "Documents": f"{int(told.get('documents', 0)):,}",
        "Text": f"{number(told.get('characters'))} characters",
        "Kept": seen_in_words(entry) + ("" if told.get("whole", True) else " documents"),
    }
    if size is None:
        return pairs
    pairs["Repeated documents"] = f"{size.duplicates:,}"
    if size.tokens is not None:
        pairs["Tokens"] = f"{'' if size.exact else 'about '}{number(size.tokens)}"
        pairs["Tokens per document"] = f"{size.mean_tokens:.0f} on average"
        pairs[f"Blocks of {block_size} tokens"] = number(size.blocks)
    return pairs


def card(entry: Entry, model: Entry | None) -> None:
    """One subset: facts, warnings, first documents, and what can be done with it."""
    spec = entry.value
    assert isinstance(spec, Subset)  # noqa: S101 - the library's own promise
    with st.container(border=True, key="subset"):
        card_head(entry)
        origin(entry)
        if entry.problem:
            return
        told = entry.facts
        block_size = min(int((model.facts.get("context") if model else None) or BLOCK), BLOCK)
        encoder = encoder_of(model)
        counted_by = (model.id, model.stamp) if model is not None and encoder is not None else ("", "")
        size, documents, said = None, list[Document](), ""
        try:
            size, documents = _looked(spec.model_dump_json(), *counted_by, block_size, encoder)
        except (InputError, OSError) as error:
            said = str(error)
        facts(_facts(entry, size, block_size))
        if told.get("given"):
            st.caption(f"{count(int(told['given']), 'document')} with a text that is given and not scored.")
        st.caption(EXPLAINED)
        warnings, large = overlap(library().entries("prompts"), [entry])
        lines(warnings, heading="Notes", icon=":material/warning:")
        if large:
            st.caption("It is too large to compare with the prompt sets here; the check of a request does it.")
        if said:
            st.text(said)
            return
        columns = {"Document": [document.id for document in documents], "Text": [one.text for one in documents]}
        masked_table(columns, words=["Text"], key=f"show_{entry.id}", alt="Documents of the subset")
        st.caption(f"{count(len(documents), 'document')}, drawn at random.")
