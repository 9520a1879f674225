"""How many tokens the library's texts are for a chosen model, and what of its texts stand in two places."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import streamlit as st

from pages.components.forms.source_picker import option
from pages.components.layout.labels import number
from pages.components.library.library_views import library, named
from untrac_core.engine.library.library import Entry
from untrac_core.engine.library.sources import (
    Encoder,
    find_model,
    load_prompts,
    load_subset,
    read_tokenizer,
    rows_of,
    warnings_for,
)
from untrac_core.errors import InputError
from untrac_core.specs import ModelRef, PromptSet

SAMPLED = 200
CHARACTERS_MOST = 400_000
OVERLAP_CHARACTERS = 20_000_000


def choose_model(entries: Sequence[Entry]) -> Entry | None:
    """The model whose tokenizer counts; the newest unless another is chosen."""
    known = {entry.id: entry for entry in entries}
    if not known:
        return None
    option("count_with", list(known), next(iter(known)))
    picked = st.selectbox(
        "Tokenizer",
        list(known),
        format_func=named(known),
        key="count_with",
        width=320,
        persist_state="session",
    )
    return known.get(str(picked))


@st.cache_resource(max_entries=4, show_spinner=False)
def _encoder(model: str, stamp: str) -> Encoder | None:
    folder = find_model(ModelRef.model_validate_json(model))
    if folder is None:  # raised, since that would not be kept: it may be here soon
        raise InputError("its files are not here yet", field="model", hint="download it")
    return read_tokenizer(folder)


def encoder_of(entry: Entry | None) -> Encoder | None:
    """The tokenizer of a model of the library; ``None`` where it is not here, or only transformers can read it."""
    if entry is None or not isinstance(entry.value, ModelRef):
        return None
    try:
        return _encoder(entry.value.model_dump_json(), entry.stamp)
    except (InputError, OSError, ValueError):
        return None


@st.cache_data(max_entries=1024, show_spinner="Counting tokens")
def _share(kind: str, entry_id: str, model_id: str, stamp: str, _entry: Entry, _encoder: Encoder) -> float:
    """Tokens a character, over the first texts of an entry."""
    value = _entry.value
    if isinstance(value, ModelRef) or value.source is None:
        return float("nan")
    column = value.columns.completion if isinstance(value, PromptSet) else value.text
    texts: list[str] = []
    for row in itertools.islice(rows_of(value.source), SAMPLED):
        texts.append(row.values.get(column, "")[:20_000])
        if sum(map(len, texts)) > CHARACTERS_MOST:
            break
    tokens = sum(len(encoding.ids) for encoding in _encoder.tokenizer.encode_batch(texts, add_special_tokens=False))
    return tokens / max(sum(map(len, texts)), 1)


def tokens_of(entry: Entry, model: Entry | None) -> float:
    """About how many tokens an entry's texts are, measured on a sample of them; NaN where it cannot be told."""
    encoder = encoder_of(model)
    if encoder is None or model is None or entry.problem:
        return float("nan")
    try:
        return float(entry.facts.get("characters", 0)) * _share(
            entry.kind, entry.id, model.id, model.stamp, entry, encoder
        )
    except (InputError, OSError):
        return float("nan")


def about_tokens(entry: Entry, model: Entry | None) -> str:
    """An estimate in words, with no more digits than it is worth: the card of an entry counts them."""
    tokens = tokens_of(entry, model)
    return number(tokens) if math.isnan(tokens) else f"about {number(float(f'{tokens:.1e}'))}"


Named = tuple[tuple[str, str], ...]


@st.cache_data(max_entries=256, show_spinner="Looking for texts that stand twice")
def _warnings(prompts: Named, subsets: Named) -> list[str]:
    shelf = library()
    sets = {name: load_prompts(shelf.entry("prompts", one).value) for one, name in prompts}
    texts = {name: load_subset(shelf.entry("subset", one).value) for one, name in subsets}
    return warnings_for(sets, texts)


def overlap(prompts: Sequence[Entry], subsets: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """Warnings about texts that stand in two places, and the names of the subsets that were too large to look through.

    The check of a request looks through all of them.
    """
    fit, large, held = [], [], 0
    for entry in subsets:
        size = int(entry.facts.get("characters", 0))
        if held + size <= OVERLAP_CHARACTERS:
            held += size
            fit.append(entry)
        else:
            large.append(entry.name)
    halves = [tuple((one.id, one.name) for one in part if not one.problem) for part in (prompts, fit)]
    try:
        return _warnings(halves[0], halves[1]), large
    except (InputError, OSError):
        return [], large
