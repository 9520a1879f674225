"""Documents drawn from a source in one pass, for several training subsets at once, and kept where the pass was long.

What was drawn from a large source lies in ``samples/`` of the data home, under the hash of all that it depends on, so
that a check, the run and its resumption read the source once.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from untrac_core.data.readers.records import Reading, Row, read_records, scan_bytes, unknown_column
from untrac_core.data.readers.reservoir import Keys, Reservoir
from untrac_core.errors import InputError
from untrac_core.paths import data_home
from untrac_core.progress import Progress, Silent
from untrac_core.specs import RowFilter, Source

VERSION = 3
PASS_BYTES = 64_000_000
"""Of text that one pass keeps, shared by the subsets of that pass."""
SMALL_BYTES = 32_000_000
"""A local source up to this size is read again each time, and nothing is kept of it."""
KEPT_BYTES = 4_000_000_000
"""Of all samples together; the longest unused ones go first."""
UNKNOWN_ROWS = 50_000
"""After so many rows without a column it is taken for misspelt, by what takes from every row."""
STALE_SECONDS = 3600
"""After which a sample that is half written is left over from a process that ended."""


@dataclass(frozen=True)
class Document:
    """One training text and where it stands."""

    id: str
    text: str
    line: int
    prompt: str = ""
    """What is given and not scored, in subsets with a prompt column."""


@dataclass(frozen=True)
class Want:
    """What a subset takes from each row of its source."""

    text: str
    prompt: str | None = None
    where: RowFilter | None = None

    def columns(self) -> set[str]:
        """The columns that are needed."""
        named = {self.text, "id", self.prompt, self.where.column if self.where else None}
        return {name for name in named if name}


@dataclass
class Counts:
    """What a pass met of one subset."""

    seen: int = 0
    """Documents with text."""
    characters: int = 0
    """Of all those, also of documents that were not kept."""
    empty: int = 0
    """Rows without text."""


@dataclass(frozen=True)
class Sample:
    """Documents of one subset, and what the pass met."""

    documents: list[Document]
    """In the order of the source where ``whole``, else in random order."""
    counts: Counts
    whole: bool
    """Whether these are all documents that the pass met."""
    digest: str
    """SHA-256 of the file, where it was small and taken as a whole; else of the documents."""
    rows: int
    """Of the pass, for all subsets together."""
    blank: int
    cut: int
    read: int
    """Bytes of text that the pass read."""
    bounded: bool
    """Whether it ended before the source did."""
    files: int
    opened: int
    permuted: bool = False
    """Whether the files were read in random order."""
    share: float = 1.0
    """How much of the source, as it is stored, the pass read."""


@dataclass
class Taker:
    """Takes one subset's documents out of the rows of a pass."""

    want: Want
    counts: Counts = field(default_factory=Counts)
    met: bool = False
    """Whether any row had the text's column."""
    given: bool = False
    """Whether any row had the prompt's column, or none is wanted."""

    def __post_init__(self) -> None:
        self.given = self.want.prompt is None

    def look(self, row: Row, several: bool) -> Document | None:
        """The row's document; ``None`` where it has no text."""
        text = row.values.get(self.want.text)
        if text is None or not text or text.isspace():
            self.met = self.met or text is not None
            self.counts.empty += 1
            return None
        self.met = True
        self.counts.seen += 1
        self.counts.characters += len(text)
        prompt = ""
        if self.want.prompt is not None:
            self.given = self.given or self.want.prompt in row.values
            prompt = row.values.get(self.want.prompt, "")
        place = f"{row.file} line {row.line}" if several else f"line {row.line}"
        return Document(row.values.get("id") or place, text, row.line, prompt)


def draw(
    source: Source, wants: Sequence[Want], *, budget: int, where: str, progress: Progress | None = None
) -> list[Sample]:
    """The sample of each want, ``budget`` bytes each at most: kept ones as they are, the others in one pass.

    Raises :class:`InputError` for a source that cannot be read, and for a column that is not in it.
    """
    progress = progress or Silent()
    reading = _reading(source, wants, where, progress)
    keep = source.hub is not None or reading.size > SMALL_BYTES
    paths = [sample_path(reading, source, want, budget) for want in wants]
    known = {i: sample for i, path in enumerate(paths) if keep and (sample := _load(path)) is not None}
    missing = [i for i in range(len(wants)) if i not in known]
    if missing:
        if keep:
            progress.phase(f"reading {reading.title}")
        for i, sample in zip(missing, _pass(reading, [wants[i] for i in missing], budget), strict=True):
            known[i] = sample
            if keep:
                keep_sample(paths[i], sample)
    return [known[i] for i in range(len(wants))]


def _reading(source: Source, wants: Sequence[Want], where: str, progress: Progress) -> Reading:
    columns = frozenset().union(*(want.columns() for want in wants))
    reading = Reading(
        source, where=where, paragraphs=True, progress=progress, shorten=True, hashed=True, columns=columns
    )
    if reading.several or reading.size > SMALL_BYTES:
        reading.forget_hash()
    return reading


def _pass(reading: Reading, wants: Sequence[Want], budget: int) -> list[Sample]:
    takers = [Taker(want) for want in wants]
    reservoirs: list[Reservoir[tuple[int, Document]]] = [Reservoir(budget) for _ in wants]
    always = [i for i, want in enumerate(wants) if want.where is None]
    chosen: dict[str, dict[str, list[int]]] = {}
    for i, want in enumerate(wants):
        if want.where is not None:
            chosen.setdefault(want.where.column, {}).setdefault(want.where.value, []).append(i)
    values: dict[str, Counter[str]] = {column: Counter() for column in chosen}
    unmet = set[str]().union(*(want.columns() for want in wants))
    key_of = Keys().next
    for count, row in enumerate(reading):
        key = key_of()
        if unmet:
            unmet.difference_update(row.values)
        mine = always
        for column, by_value in chosen.items():
            value = row.values.get(column, "")
            mine = mine + by_value.get(value, [])
            if value in values[column] or len(values[column]) < 1000:
                values[column][value] += 1
        for i in mine:
            document = takers[i].look(row, reading.several)
            if document is not None and key < reservoirs[i].below:
                reservoirs[i].add(key, len(document.text) + len(document.prompt), (count, document))
        if count == UNKNOWN_ROWS:
            _check_columns(reading, [takers[i] for i in always], unmet)
    if reading.again():
        return _pass(reading, wants, budget)
    if not reading.tally.rows:
        raise reading.fault("has no records", "give a file with at least one")
    _check_columns(reading, takers, unmet)
    for taker in takers:
        only = taker.want.where
        if only is not None and not values[only.column][only.value] and not taker.met:
            there = ", ".join(repr(value[:60]) for value, _ in values[only.column].most_common(8))
            what = f"no row has {only.value[:80]!r} in the column {only.column!r}"
            raise InputError(what, field=reading.where, hint=f"values there: {there}")
    return [make_sample(reading, taker, reservoir) for taker, reservoir in zip(takers, reservoirs, strict=True)]


def _check_columns(reading: Reading, takers: Sequence[Taker], unmet: set[str]) -> None:
    """Refuse columns that no row had so far, telling those that are there."""
    for taker in takers:
        if taker.met and taker.given:
            continue
        only = taker.want.where
        for name in (taker.want.text, taker.want.prompt, only.column if only else None):
            if name in unmet:
                columns = read_records(reading.source, where=reading.where, rows=100).columns
                raise unknown_column(name, columns, reading.title, reading.where)


def make_sample(reading: Reading, taker: Taker, reservoir: Reservoir[tuple[int, Document]]) -> Sample:
    """What a finished pass has drawn for one subset."""
    if reservoir.whole:
        documents = [document for _, document in sorted(reservoir.items(), key=lambda item: item[0])]
    else:
        documents = [document for _, document in reservoir.items()]
    tally = reading.tally
    as_file = taker.want.where is None and taker.want.prompt is None
    return Sample(
        documents=documents,
        counts=taker.counts,
        whole=reservoir.whole,
        digest=(reading.digest if as_file else "") or documents_digest(documents),
        rows=tally.rows,
        blank=tally.blank,
        cut=tally.cut,
        read=min(tally.bytes, tally.most),
        bounded=tally.bounded,
        files=len(reading.files),
        opened=reading.opened,
        permuted=reading.permuted,
        share=reading.share,
    )


def documents_digest(documents: Sequence[Document]) -> str:
    """SHA-256 of the prompts and texts of documents, in their order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(f"{len(document.prompt)},{len(document.text)};".encode())
        digest.update(f"{document.prompt}{document.text}".encode())
    return digest.hexdigest()


def sample_path(reading: Reading, source: Source, want: Want, budget: int) -> Path:
    """Where a sample of this source lies, or would: its name is the hash of all that it depends on."""
    parts = {
        "version": VERSION,
        "files": [file.identity for file in reading.files],
        "max_read_mb": scan_bytes(source),
        "want": [want.text, want.prompt, want.where and [want.where.column, want.where.value]],
        "budget": budget,
    }
    name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]
    return data_home() / "samples" / f"{name}.jsonl.gz"


def keep_sample(path: Path, sample: Sample) -> None:
    """Write a sample; where that fails, nothing is left and the source is read again another time."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    head = {**asdict(Sample(**{**vars(sample), "documents": []})), "documents": len(sample.documents)}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with gzip.open(partial, "wt", compresslevel=1, encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(head) + "\n")
            for each in sample.documents:
                file.write(json.dumps([each.id, each.text, each.line, each.prompt], ensure_ascii=False) + "\n")
        partial.chmod(0o600)
        partial.replace(path)
        _sweep(path.parent)
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _load(path: Path) -> Sample | None:
    """A kept sample; ``None`` where there is none, or none that is whole."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            head = json.loads(file.readline())
            documents = [Document(*json.loads(line)) for line in file]
        if head.pop("documents") != len(documents):
            return None
        os.utime(path)
        return Sample(documents=documents, counts=Counts(**head.pop("counts")), **head)
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, zlib.error):
        return None


def _sweep(folder: Path) -> None:
    for path in folder.glob(".*.part"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
    files = sorted(folder.glob("*.jsonl.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > KEPT_BYTES:
            path.unlink(missing_ok=True)
