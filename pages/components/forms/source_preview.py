"""A first look into a source of records: its columns, first rows and values; read again only when it has changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from untrac_core.engine.library.sources import Preview, files_of, is_data
from untrac_core.engine.library.sources import records as sources
from untrac_core.errors import InputError
from untrac_core.specs import Source

INLINE_BYTES = 64_000_000
"""Up to this size a source is read while the page waits; beyond it, in the background."""
NUMBER = re.compile(r"[+-]?[\d.,]+([eE][+-]?\d+)?%?")
NUMBERS = "This column has only numbers. Choose the one with the text."
Stamp = tuple[tuple[str, int, str], ...]
"""Name, size and identity of each file of a source."""


@dataclass(frozen=True)
class Given:
    """A source that a form names: its values, a first name for it, how the user calls it, bytes if it is here."""

    source: dict[str, Any]
    label: str
    shown: str
    size: int | None

    @property
    def large(self) -> bool:
        """Whether it is read in the background."""
        return self.size is None or self.size > INLINE_BYTES


@st.cache_resource(max_entries=200, show_spinner="Looking into the data")  # shared: nobody alters a preview
def _preview(source: str, stamp: Stamp, shown: str, paragraphs: bool) -> Preview:
    return sources.preview(Source.model_validate_json(source), where=shown, paragraphs=paragraphs)


def look(given: Given, *, paragraphs: bool = False) -> Preview:
    """The first rows of a source, its columns and their values; read again only when its files have changed.

    ``paragraphs``: of a plain text, its paragraphs are the rows, as they are for training texts, not its lines.
    """
    source = Source.model_validate(given.source)
    return _preview(source.model_dump_json(), stamp(source), given.shown, paragraphs)


def of_numbers(found: Preview, column: str) -> bool:
    """Whether a column that is to be text has nothing but numbers in the first rows."""
    values = [row.get(column, "").strip() for row in found.first]
    return any(values) and all(not value or NUMBER.fullmatch(value) for value in values)


def stamp(source: Source) -> Stamp:
    """What tells that a local source has changed, all files that a run would read; empty for one on the hub."""
    if source.hub is not None:
        return ()
    try:
        return tuple((file.name, file.size, file.identity) for file in files_of(source, where=""))
    except InputError:  # whoever reads it says so
        return ()


def data_files(folder: Path) -> list[Path]:
    """The files directly in a folder that look like data, in the order of their names."""
    try:
        paths = [path for path in folder.iterdir() if is_data(path.name) and path.is_file()]
    except OSError:
        return []
    return sorted(paths)


def label_of(name: str) -> str:
    """A first name for a set, from the name of its file or folder."""
    stem = re.sub(r"[\x00-\x1f\x7f]", "", Path(name.replace("\0", "")).name).strip()
    for _ in range(2):  # data.csv.gz
        stem = re.sub(r"\.(csv|tsv|jsonl?|txt|gz|parquet|arrow)$", "", stem, flags=re.IGNORECASE)
    return stem[:80].strip() or "uploaded"
