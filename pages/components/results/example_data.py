"""What the examples page shows, read from a result's tables; nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st

from pages.components.layout.results import cached_folder
from untrac_core.engine import Run
from untrac_core.results.folders import EXAMPLES, PROMPT_EXAMPLES, TraceFiles
from untrac_core.text.numbers import true_minus

SHOWN_MOST = 200
"""Rows of the table; what does not fit is counted and said."""
MOST, LEAST = "most influential", "least influential"
QUERY_MOST = 200


@dataclass(frozen=True)
class Shelf:
    """The rows that the table shows, how many match, and how many there are."""

    rows: pd.DataFrame
    matching: int
    everything: int


def kind(result: TraceFiles) -> Literal["texts", "prompts"] | None:
    """What a result has single numbers for: training texts (UnTrac-Inv), prompts (UnTrac), or neither."""
    if result.has(EXAMPLES):
        return "texts"
    return "prompts" if result.has(PROMPT_EXAMPLES) else None


@st.cache_resource(max_entries=3, show_spinner=False)
def _texts(folder: Path, changed: float, prompt_set: str, side: str, subset: str | None) -> pd.DataFrame:
    return cached_folder("trace", folder, changed).examples(prompt_set, side, subset)


@st.cache_resource(max_entries=3, show_spinner=False)
def _items(folder: Path, changed: float, prompt_set: str, side: str, subset: str) -> pd.DataFrame:
    return cached_folder("trace", folder, changed).items(prompt_set, side, subset=subset)


def texts(run: Run, prompt_set: str, side: str, subset: str | None) -> pd.DataFrame:
    """The training texts of a subset, or of all; kept for the next click and never to be altered."""
    return _texts(run.folder, run.changed, prompt_set, side, subset)


def items(run: Run, prompt_set: str, side: str, subset: str) -> pd.DataFrame:
    """The prompts of a side as a subset moves them; kept for the next click and never to be altered."""
    return _items(run.folder, run.changed, prompt_set, side, subset)


def shelf(rows: pd.DataFrame, *, order: str, clear: bool, query: str, words: str) -> Shelf:
    """The first rows in an order (:data:`MOST` or :data:`LEAST` first), of those that match.

    ``clear``: only where the interval excludes zero. ``query``: part of the text in column ``words``, in any case.
    """
    kept = rows
    if clear:
        kept = kept[(kept["low"] > 0) | (kept["high"] < 0)]
    if query:
        kept = kept[kept[words].str.contains(query[:QUERY_MOST], case=False, regex=False)]
    first = kept.nlargest if order == MOST else kept.nsmallest
    return Shelf(first(SHOWN_MOST, "influence").reset_index(drop=True), len(kept), len(rows))


def chosen_row(rows: pd.DataFrame, wanted: str | None, subset: str | None) -> int:
    """The place of the text that an address names, by its id and its subset, or the first."""
    found = rows.index[(rows["id"] == wanted) & (rows["subset"] == subset)]
    return int(found[0]) if len(found) else 0


@st.cache_resource(max_entries=32, show_spinner=False)
def _tokens(folder: Path, changed: float, prompt_set: str, side: str, subset: str, name: str) -> pd.DataFrame:
    return cached_folder("trace", folder, changed).tokens(prompt_set, side, subset, name)


def tokens(run: Run, prompt_set: str, side: str, row: pd.Series) -> pd.DataFrame:
    """The change of every piece of a text; empty where it was not looked at so closely."""
    return _tokens(run.folder, run.changed, prompt_set, side, str(row["subset"]), str(row["id"]))


@st.cache_resource(max_entries=8, show_spinner=False)
def _by_subset(folder: Path, changed: float, prompt_set: str, side: str, name: str) -> pd.DataFrame:
    rows = cached_folder("trace", folder, changed).items(prompt_set, side, name)
    rows = rows.sort_values("influence", ascending=False).reset_index(drop=True)
    clear = (rows["low"] > 0) | (rows["high"] < 0)
    return rows.assign(rank=range(1, len(rows) + 1), separable=clear)


def by_subset(run: Run, prompt_set: str, side: str, name: str) -> pd.DataFrame:
    """How each subset moves one prompt: columns of a ranking; ``separable`` here: clear of zero."""
    return _by_subset(run.folder, run.changed, prompt_set, side, name)


@st.cache_resource(max_entries=16, show_spinner=False)
def _text_features(folder: Path, changed: float, prompt_set: str, side: str, subset: str) -> pd.DataFrame:
    return cached_folder("trace", folder, changed).text_features(prompt_set, side, subset)


def text_features(run: Run, prompt_set: str, side: str, subset: str | None) -> pd.DataFrame:
    """What the influential texts of a subset, or of all, have in common; empty where it was not looked at."""
    return _text_features(run.folder, run.changed, prompt_set, side, subset or "")


def feature_sentence(result: TraceFiles, prompt_set: str, side: str, subset: str | None) -> str | None:
    """The summary's sentence on that; holds a user's words (show as text)."""
    wanted = (prompt_set, side, subset or "")
    for row in result.summary.get("text_features", []):
        if (row["prompt_set"], row["side"], row["subset"]) == wanted:
            return true_minus(str(row["text"]))
    return None
