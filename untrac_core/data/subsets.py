"""Training subsets: documents in a fixed random order, so that any beginning of them is a fair sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from untrac_core.data.prompts import SAMPLE_SEED
from untrac_core.data.sources import locate, read_records
from untrac_core.errors import InputError
from untrac_core.specs import Subset


@dataclass(frozen=True)
class Document:
    """One training text and where it stands."""

    id: str
    text: str
    line: int


@dataclass(frozen=True)
class SubsetData:
    """The documents of a subset, shuffled once and for all, and what was left out, in words."""

    spec: Subset
    documents: list[Document]
    digest: str
    file: str
    notes: list[str]


def load_subset(spec: Subset) -> SubsetData:
    """Read a subset; raises :class:`InputError` for an unknown column and for a file without text."""
    where = f"subset {spec.name!r}"
    records = read_records(locate(spec.source, where=where), where=where, paragraphs=True)
    texts = records.column(spec.text, where=where)
    notes = [f"{where}: {records.blank} blank rows are not used"] if records.blank else []
    ids = [row.get("id", "") for row in records.rows]
    documents = [
        Document(ids[i] or f"line {records.lines[i]}", text, records.lines[i])
        for i, text in enumerate(texts)
        if text.strip()
    ]
    if not documents:
        raise InputError(f"the column {spec.text!r} has no text", where=where, mend="name the column that has it")
    if len(documents) < len(texts):
        notes.append(f"{where}: {len(texts) - len(documents)} rows have no text and are not used")
    # The order depends on the number of documents alone: two equal files give two equal subsets.
    order = np.random.default_rng(SAMPLE_SEED).permutation(len(documents))
    shuffled = [documents[i] for i in order.tolist()]
    return SubsetData(spec, shuffled, records.digest, records.path.name, notes)
