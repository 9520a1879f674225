"""Records from any source.

:func:`read_records` holds all rows of a small source, :func:`rows_of` none of a large one, :func:`preview` what a page
shows; each is one :class:`untrac_core.data.readers.reader.Reading`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from untrac_core.data.readers.base import COLUMNS_MOST, FIELD_CHARACTERS, NAME_CHARACTERS
from untrac_core.data.readers.columns import guess_columns, guess_sides, guess_split, guess_text
from untrac_core.data.readers.files import title
from untrac_core.data.readers.reader import Reading, Row, scan_bytes
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import Source

__all__ = [
    "FIELD_CHARACTERS", "FILE_BYTES", "Preview", "Reading", "Records", "Row", "guess_columns", "guess_sides",
    "guess_split", "guess_text", "preview", "read_records", "rows_of", "scan_bytes", "title",
]  # fmt: skip

FILE_BYTES = 256 * 2**20
"""Of text that is held at once."""
ROWS_MOST = 2_000_000
"""Held at once."""
PREVIEW_BYTES = 32_000_000
"""A source up to this size, with at most :data:`PREVIEW_ROWS` rows, is previewed whole."""
PREVIEW_ROWS = 500_000
FIRST = 50
VALUES_MOST = 50
VALUE_CHARACTERS = 1_000


@dataclass(frozen=True)
class Records:
    """The rows of a source, every value a string; ``blank`` rows were empty and are not among them."""

    path: Path
    columns: list[str]
    rows: list[dict[str, str]]
    digest: str
    """SHA-256 of the file's bytes; of several files, of their hashes; empty where only the first rows were read."""
    blank: int = 0
    lines: list[int] = field(default_factory=list)
    """Line number of each row in its file, from 1."""
    files: list[str] = field(default_factory=list)
    """File of each row, where there are several files; else empty."""
    notes: list[str] = field(default_factory=list)
    """What was left out on the way to these rows, in words."""

    def column(self, name: str, *, where: str) -> list[str]:
        """One column's values, in row order; an unknown name is an :class:`InputError` that lists the columns."""
        if name not in self.columns:
            raise unknown_column(name, self.columns, self.path.name, where)
        return [row.get(name, "") for row in self.rows]

    def place(self, index: int) -> str:
        """Where a row stands, for people: ``line 7``, or ``b.csv line 7`` where there are several files."""
        return f"{self.files[index]} line {self.lines[index]}" if self.files else f"line {self.lines[index]}"


def unknown_column(name: str, columns: list[str], file: str, where: str) -> InputError:
    """The error for a column that is not there; it lists those that are."""
    known = ", ".join(repr(column) for column in columns[:20])
    return InputError(f"{file} has no column {name!r}", field=where, hint=f"its columns are {known}")


def rows_of(
    source: Source | Path, *, where: str = "", paragraphs: bool = False, progress: Progress | None = None
) -> Iterator[Row]:
    """The rows of a source one by one, blank ones left out, up to its scan bound; see :class:`Reading` for counts."""
    return iter(Reading(source, where=where, paragraphs=paragraphs, progress=progress))


def read_records(
    source: Source | Path,
    *,
    where: str = "",
    paragraphs: bool = False,
    rows: int | None = None,
    progress: Progress | None = None,
) -> Records:
    """All rows of a source of at most 256 MB of text, or its first ``rows``.

    A txt file has one column, ``text``: a line is a record, or, with ``paragraphs``, what stands between blank lines
    (where the file has any). Raises :class:`InputError` for a file that is missing, empty, too large, not UTF-8 or
    malformed, with the number of the first bad line.
    """
    reading = Reading(
        source,
        where=where,
        paragraphs=paragraphs,
        progress=progress,
        most=FILE_BYTES,
        hashed=rows is None,
        ordered=True,
    )
    packed = all(file.name.endswith(".gz") for file in reading.files)
    if rows is None and reading.size > FILE_BYTES and not packed:
        raise _too_large(reading, f"{reading.size / 2**20:.0f} MB, more than {FILE_BYTES // 2**20}")
    most = ROWS_MOST if rows is None else rows
    taken = list(itertools.islice(reading, most + (rows is None)))
    if rows is None and reading.tally.bounded:
        raise _too_large(reading, f"more than {FILE_BYTES // 2**20} MB of text")
    if len(taken) > most:
        raise _too_large(reading, f"more than {most:,} rows")
    if not taken:
        raise reading.fault("has no records", "give a file with at least one")
    columns = list(dict.fromkeys(itertools.chain.from_iterable(row.values for row in taken)))
    _check_columns(reading, columns)
    return Records(
        reading.path,
        columns,
        [row.values for row in taken],
        reading.digest,
        reading.tally.blank,
        [row.line for row in taken],
        [row.file for row in taken] if reading.several else [],
    )


def _check_columns(reading: Reading, columns: list[str]) -> None:
    if len(columns) > COLUMNS_MOST:
        raise reading.fault(f"has {len(columns)} columns", f"keep at most {COLUMNS_MOST}")
    if max(map(len, columns)) > NAME_CHARACTERS:
        what = f"has a column whose name has {max(map(len, columns)):,} characters"
        raise reading.fault(what, f"shorten it to {NAME_CHARACTERS}")


def _too_large(reading: Reading, what: str) -> InputError:
    return reading.fault(f"has {what}", "cut it, or split it into several files")


@dataclass(frozen=True)
class Preview:
    """The beginning of a source, for people: its columns, some rows, and the values that columns take."""

    title: str
    columns: list[str]
    first: list[dict[str, str]]
    """The first rows, at most 50."""
    count: int
    """Rows read; all there are where ``whole``."""
    whole: bool
    values: dict[str, dict[str, int]]
    """How often each column takes its 50 most common values, most common first, among the rows read."""
    files: list[str]
    size: int
    """Bytes of all files, as stored."""
    blank: int


def preview(
    source: Source | Path,
    *,
    where: str = "",
    paragraphs: bool = False,
    rows: int = 2000,
    progress: Progress | None = None,
) -> Preview:
    """Look at a source: whole where it has at most 32 MB, else its first ``rows`` rows.

    Raises :class:`InputError` for what is malformed in the part that is read, and for a source without records.
    """
    reading = Reading(source, where=where, paragraphs=paragraphs, progress=progress, most=PREVIEW_BYTES, ordered=True)
    small = reading.size <= PREVIEW_BYTES
    first: list[dict[str, str]] = []
    counts: dict[str, Counter[str]] = {}
    ended = True
    for row in reading:
        if len(first) < FIRST:
            first.append(row.values)
        for column, value in row.values.items():
            counter = counts.setdefault(column, Counter())
            if value and len(value) <= VALUE_CHARACTERS and (value in counter or len(counter) < 100_000):
                counter[value] += 1
        if len(counts) > COLUMNS_MOST:
            break
        if reading.tally.rows >= (PREVIEW_ROWS if small else rows):
            ended = False
            break
    if not first:
        raise reading.fault("has no records", "give a file with at least one")
    _check_columns(reading, list(counts))
    return Preview(
        title=reading.title,
        columns=list(counts),
        first=first,
        count=reading.tally.rows,
        whole=ended and not reading.tally.bounded,
        values={column: dict(counter.most_common(VALUES_MOST)) for column, counter in counts.items()},
        files=[file.name for file in reading.files],
        size=reading.size,
        blank=reading.tally.blank,
    )
