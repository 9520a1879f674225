"""Training subsets: documents in a fixed random order, so that any beginning of them is a fair sample."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from untrac_core.data.prompts import SAMPLE_SEED
from untrac_core.data.readers.records import FIELD_CHARACTERS, title
from untrac_core.data.readers.sampling import PASS_BYTES, Document, Sample, Want, documents_digest, draw
from untrac_core.errors import InputError
from untrac_core.paths import data_home
from untrac_core.progress import Progress
from untrac_core.specs import Source, Subset
from untrac_core.text.numbers import count

__all__ = ["Document", "SubsetData", "load_subset", "load_subsets"]

HELD_BYTES = 1_000_000_000
"""Of text that all subsets of a request hold together."""


@dataclass(frozen=True)
class SubsetData:
    """The documents of a subset, shuffled once and for all, and what was left out, in words."""

    spec: Subset
    documents: list[Document]
    digest: str
    file: str
    notes: list[str]
    seen: int = 0
    """Documents with text that the source has, as far as it was read; more than ``documents`` where these are a sample.
    """
    characters: int = 0
    """Of all those documents."""
    whole: bool = True
    """Whether ``documents`` are all that the source has."""
    scale: float = 1.0
    """The source as it is stored over what was read of it: more than 1 where the pass was bounded."""


def load_subset(spec: Subset, progress: Progress | None = None) -> SubsetData:
    """Read a subset; raises :class:`InputError` for an unknown column and for a file without text."""
    return load_subsets([spec], progress)[spec.name]


def load_subsets(specs: Sequence[Subset], progress: Progress | None = None) -> dict[str, SubsetData]:
    """Read subsets, by name, in their order; those of the same source cost one pass over it.

    At most 64 MB of text per source are kept, in equal parts for each of its subsets, as a fixed random sample of the
    documents (:mod:`untrac_core.data.readers.reservoir`); what is smaller is kept whole.
    """
    by_source: dict[Source, list[Subset]] = {}
    for spec in specs:
        by_source.setdefault(spec.source, []).append(spec)
    loaded: dict[str, SubsetData] = {}
    for source, members in by_source.items():
        wants = [Want(spec.text, spec.prompt, spec.where) for spec in members]
        different = list(dict.fromkeys(wants))
        budget = min(PASS_BYTES // len(different), HELD_BYTES // len(specs))
        samples = draw(source, different, budget=budget, where=_where(members), progress=progress)
        for spec, want in zip(members, wants, strict=True):
            loaded[spec.name] = _made(spec, samples[different.index(want)])
    return {spec.name: loaded[spec.name] for spec in specs}


def _where(members: Sequence[Subset]) -> str:
    others = f" and {len(members) - 1} others" if len(members) > 1 else ""
    return f"subset {members[0].name!r}{others}"


def _made(spec: Subset, sample: Sample) -> SubsetData:
    where = f"subset {spec.name!r}"
    if not sample.documents:
        raise InputError(f"the column {spec.text!r} has no text", field=where, hint="name the column that has it")
    documents = sample.documents
    if sample.whole:
        # The order depends on the number of documents alone: two equal files give two equal subsets.
        order = np.random.default_rng(SAMPLE_SEED).permutation(len(documents))
        documents = [documents[i] for i in order.tolist()]
    documents, gone = _parted(documents, spec.without)
    if not documents:
        raise InputError("every row is left out", field=where, hint="name fewer rows in 'without'")
    digest = sample.digest if not gone else documents_digest(documents)
    whole = sample.whole and not sample.bounded
    seen, characters = sample.counts.seen - len(gone), sample.counts.characters - sum(len(one.text) for one in gone)
    scale = 1 / sample.share
    if spec.source.kept is not None and (totals := kept_totals(spec.source.kept)):
        seen, characters, whole = totals["seen"], totals["characters"], False
        scale *= totals["estimate"] / max(characters, 1)
    notes = _notes(where, spec, sample)
    if spec.without:
        held = len(dict.fromkeys(spec.without))
        absent = held - len({one.id for one in gone})
        notes.append(
            f"{where}: left out, as asked: {count(len(gone), 'row')}" + (f"; not found: {absent}" if absent else "")
        )
    return SubsetData(spec, documents, digest, title(spec.source), notes, seen, characters, whole, scale)


def _parted(documents: list[Document], without: Sequence[str]) -> tuple[list[Document], list[Document]]:
    """The documents that stay, in their order, and those that are left out."""
    gone = set(without)
    if not gone:
        return documents, []
    return [one for one in documents if one.id not in gone], [one for one in documents if one.id in gone]


def kept_totals(digest: str) -> dict[str, int] | None:
    """What the library's records are a sample of; ``None``: all of it.

    Documents ``seen``, their ``characters``, and an ``estimate`` of the characters of the whole source, where the pass
    over it was bounded.
    """
    path = data_home() / "library" / "data" / f"{digest}.totals"
    try:
        totals = json.loads(path.read_text(encoding="utf-8"))
        characters = int(totals["characters"])
        estimate = max(int(totals.get("estimate", characters)), characters)
        return {"seen": int(totals["seen"]), "characters": characters, "estimate": estimate}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _notes(where: str, spec: Subset, sample: Sample) -> list[str]:
    """What was not read and not kept, in words."""
    notes = []
    if sample.blank:
        notes.append(f"{where}: {sample.blank} blank rows are not used")
    if sample.counts.empty:
        notes.append(f"{where}: {sample.counts.empty} rows have no text and are not used")
    if sample.cut:
        notes.append(f"{where}: {sample.cut} fields of its source are cut to {FIELD_CHARACTERS:,} characters")
    if sample.bounded:
        drawn = ", taken at random" if sample.permuted else ""
        files = f" in {sample.opened} of {sample.files} files{drawn}" if sample.files > 1 else ""
        notes.append(
            f"{where}: the first {sample.read / 1e6:,.0f} MB of text ({sample.rows:,} rows) of its source are read"
            f"{files}, not the rest (scan)"
        )
    if not sample.whole:
        size = sum(len(document.text) for document in sample.documents) / 1e6
        notes.append(
            f"{where}: a fixed random {len(sample.documents):,} of {sample.counts.seen:,} documents are held "
            f"({size:,.1f} million characters)"
        )
    return notes
