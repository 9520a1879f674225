"""A prompt set of the library: its sides, its items, and what of them the training subsets hold already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.errors import fault
from pages.components.layout.labels import number
from pages.components.layout.masked_tables import masked_table
from pages.components.layout.shell import lines
from pages.components.library.library_views import card_head, facts, library, origin, table
from pages.components.library.token_counts import encoder_of, overlap, tokens_of
from untrac_core.engine.library.library import Entry
from untrac_core.engine.library.sources import PromptData, load_prompts, prompt_facts, shown
from untrac_core.errors import InputError
from untrac_core.specs import ModelRef, PromptSet
from untrac_core.text.numbers import count

TEXT = st.column_config.TextColumn
SHOWN = 6


def sides_in_words(entry: Entry) -> str:
    """The labels of a set's sides, harmful first."""
    labels = entry.facts.get("labels", {})
    named = [str(label) for label in labels.values() if label]
    return " / ".join(named) if named else "one side"


def items_in_words(entry: Entry) -> str:
    """How many items each side has."""
    return " / ".join(f"{int(items):,}" for items in entry.facts.get("items", {}).values()) or "unknown"


def prompts_table(entries: Sequence[Entry], model: Entry | None) -> None:
    """Every prompt set of the library."""
    columns = {
        "sides": [sides_in_words(entry) for entry in entries],
        "items": [items_in_words(entry) for entry in entries],
        "tokens": [number(tokens_of(entry, model)) for entry in entries],
        "duplicates": [f"{int(entry.facts.get('duplicates', 0)):,}" for entry in entries],
        "origin": [entry.origin for entry in entries],
    }
    config = {
        "sides": TEXT("Sides", width=200),
        "items": TEXT("Items", width=95),
        "tokens": TEXT("Scored tokens", width=100, help="Estimated on a sample of the texts"),
        "duplicates": TEXT("Repeated", width=70),
        "origin": TEXT("From", width=150),
    }
    table("prompts", entries, columns, config)


@st.cache_resource(max_entries=4, show_spinner=False)
def _items(spec: str) -> PromptData:
    return load_prompts(PromptSet.model_validate_json(spec))


def card(entry: Entry, model: Entry | None) -> None:
    """One prompt set: facts, warnings, items, and what can be done with it."""
    spec = entry.value
    assert isinstance(spec, PromptSet)  # noqa: S101 - the library's own promise
    with st.container(border=True, key="prompts"):
        card_head(entry)
        origin(entry)
        if entry.problem:
            return
        try:
            data = _items(spec.model_dump_json())
        except InputError as error:
            st.text(str(error))
            return
        facts(_facts(entry), across=4)
        _tokens(spec, model)
        warnings, _ = overlap([entry], [one for one in library().entries("subset") if not one.builtin])
        lines(warnings, heading="Notes", icon=":material/warning:")
        _items_table(data, entry, model)


def _facts(entry: Entry) -> dict[str, str]:
    told = entry.facts
    labels, groups = told.get("labels", {}), told.get("groups", {})
    pairs = {}
    for side, items in told.get("items", {}).items():
        label = labels.get(side)
        pairs[f"{side.capitalize()} side"] = f"{label + ': ' if label else ''}{count(int(items), 'item')}"
    pairs["Completions"] = f"{number(told.get('characters'))} characters"
    pairs["Prompts"] = f"in {count(int(told.get('given', 0)), 'item')}" if told.get("given") else "nothing"
    pairs["Repeated items"] = f"{int(told.get('duplicates', 0)):,}"
    if groups:
        largest = ", ".join(f"{name} {items:,}" for name, items in list(groups.items())[:4])
        pairs["Groups"] = f"{len(groups)}: {largest}{' ...' if len(groups) > 4 else ''}"
    return pairs


def _tokens(spec: PromptSet, model: Entry | None) -> None:
    """What the items are in tokens of a model: scored and given, the longest, what would be cut."""
    if encoder_of(model) is None or model is None or not isinstance(model.value, ModelRef):
        return
    try:
        rows = _token_rows(spec.model_dump_json(), model.id, model.stamp, model.facts.get("context"), model)
    except (InputError, OSError) as error:
        st.text(str(error))
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Tokens by side")
    st.caption(
        "Tokens as the chosen model counts them. Prompt tokens are masked out: only the loss of scored tokens counts."
    )


@st.cache_data(max_entries=64, show_spinner="Counting tokens")
def _token_rows(spec: str, model: str, stamp: str, context: int | None, _model: Entry) -> list[dict[str, Any]]:
    return prompt_facts(_items(spec), encoder_of(_model), context).rows()


def _items_table(data: PromptData, entry: Entry, model: Entry | None) -> None:
    context = model.facts.get("context") if model else None
    items = shown(data, encoder_of(model), context, rows=SHOWN * len(data.sides))
    columns: dict[str, list[str]] = {"Side": [item.side for item in items]}
    if any(item.group for item in items):
        columns["Group"] = [item.group for item in items]
    if any(item.cluster for item in items):
        columns["Pair or question"] = [item.cluster for item in items]
    if any(item.given for item in items):
        columns["Given (masked out)"] = [item.given for item in items]
    columns["Scored"] = [item.scored for item in items]
    if any(item.scored_tokens is not None for item in items):
        columns["Tokens"] = [f"{item.given_tokens or 0} + {item.scored_tokens or 0}" for item in items]
    masked_table(
        columns,
        words=[name for name in ("Given (masked out)", "Scored") if name in columns],
        key=f"show_{entry.id}",
        alt="Items: what is given, and what is scored",
    )
    st.caption(f"The first {SHOWN} items of each side; tokens are given + scored.")
    for item in items:
        if item.fault:
            fault(item.fault)
            break
