"""Rows of one open file, by its format, in bounded memory; every fault is one line that names the file and the place.

Text formats (csv, tsv, jsonl, json, txt, also with ``.gz``) are read line by line; parquet and arrow in small batches
(:mod:`untrac_core.data.tables`). Nothing is held but the row that is being made, so a file may have any length.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from untrac_core.errors import InputError

FORMATS = ("csv", "tsv", "jsonl", "json", "txt", "parquet", "arrow")
ALIASES = {"ndjson": "jsonl", "jsonlines": "jsonl", "text": "txt", "pq": "parquet"}
FIELD_CHARACTERS = 1_000_000
LINE_BYTES = 16_000_000
"""Of one line of a file, or one object of a JSON array."""
COLUMNS_MOST = 200
BLANK_LINES = 1_000_000
"""Of one file: a few bytes of gzip can hold any number of them."""
NAME_CHARACTERS = 200
"""Of a column's name."""
HEAD_BYTES = 8_000_000
"""Of a txt file that are looked at to tell whether it has paragraphs."""
BOM = b"\xef\xbb\xbf"

Numbered = tuple[int, dict[str, str]]


@dataclass
class Tally:
    """What one pass has met so far, over all of its files."""

    most: int
    """Bytes of text after which the pass ends (``bounded``)."""
    shorten: bool = False
    """Cut a field that is too long, and count it, instead of refusing the file."""
    bytes: int = 0
    rows: int = 0
    """Rows with something in them."""
    blank: int = 0
    cut: int = 0
    """Fields that were cut to :data:`FIELD_CHARACTERS`."""
    bounded: bool = False
    share: float = 1.0
    """Of the parquet or arrow file in which a bounded pass ended: how much of it was read."""


@dataclass(frozen=True)
class Piece:
    """A file while it is read: its name for messages, who asks for it, and the tally of the pass."""

    name: str
    where: str
    tally: Tally

    def fault(self, what: str, mend: str) -> InputError:
        """The error that names this file."""
        named = what if self.where == self.name else f"{self.name} {what}"
        return InputError(named, where=self.where or self.name, mend=mend)

    def bounded(self, row: dict[str, str], line: int, unit: str = "line") -> dict[str, str]:
        """The row, with fields cut where the pass shortens; else a field that is too long is a fault."""
        if len(row) > COLUMNS_MOST:
            raise self.fault(f"{unit} {line} has {len(row)} columns", f"keep at most {COLUMNS_MOST}")
        for key, value in row.items():
            if len(value) > FIELD_CHARACTERS:
                if not self.tally.shorten:
                    what = f"{unit} {line} has a field of {len(value):,} characters"
                    raise self.fault(what, f"cut it to {FIELD_CHARACTERS:,}")
                self.tally.cut += 1
                row[key] = value[:FIELD_CHARACTERS]
        return row


def format_of(name: str) -> tuple[str, bool] | None:
    """The format that a file's name tells, and whether it is gzipped; ``None`` for any other file."""
    parts = name.lower().rsplit(".", 2)
    packed = parts[-1] == "gz" and len(parts) > 2
    suffix = parts[-2] if packed else parts[-1]
    kind = ALIASES.get(suffix, suffix)
    if len(parts) < 2 or kind not in FORMATS or (packed and kind in ("parquet", "arrow")):
        return None
    return kind, packed


def rows_in(
    piece: Piece, stream: BinaryIO, *, paragraphs: bool = False, columns: frozenset[str] | None = None
) -> Iterator[Numbered]:
    """Line (or row) number and values of each row of an open file, empty rows included, until the tally is full.

    ``columns``: those that are needed; formats that can skip the others do. Raises :class:`InputError` at the first
    fault, with its line.
    """
    known = format_of(piece.name)
    if known is None:
        raise piece.fault(f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file", "convert it to one of them")
    kind, packed = known
    try:
        if packed:
            stream = gzip.GzipFile(fileobj=stream, mode="rb")  # type: ignore[assignment]
        yield from _reader(kind, paragraphs, columns)(piece, stream)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise piece.fault("is a broken gzip file", "save or download it again") from None
    except OSError as error:
        raise piece.fault(f"cannot be read ({error.strerror or type(error).__name__})", "check the file") from None


def _reader(
    kind: str, paragraphs: bool, columns: frozenset[str] | None
) -> Callable[[Piece, BinaryIO], Iterator[Numbered]]:
    # Imported here: both build on what stands above.
    from untrac_core.data.json_rows import json_rows, jsonl_rows
    from untrac_core.data.tables import arrow_rows, parquet_rows

    readers: dict[str, Callable[[Piece, BinaryIO], Iterator[Numbered]]] = {
        "csv": partial(_csv, delimiter=","),
        "tsv": partial(_csv, delimiter="\t"),
        "jsonl": jsonl_rows,
        "json": json_rows,
        "txt": partial(_txt, paragraphs=paragraphs),
        "parquet": partial(parquet_rows, columns=columns),
        "arrow": arrow_rows,
    }
    return readers[kind]


def text_lines(piece: Piece, stream: BinaryIO) -> Iterator[str]:
    """The lines of a UTF-8 file with their line ends; only a line feed ends a line.

    Stops where the pass has read as much as it may: in the middle of a file, but never in the middle of a line.
    """
    tally, blank = piece.tally, 0
    for number, line in enumerate(iter(partial(stream.readline, LINE_BYTES), b""), 1):
        if number == 1:
            line = line.removeprefix(BOM)
        tally.bytes += len(line)
        if tally.bytes > tally.most:
            tally.bounded = True
            return
        if b"\0" in line:
            raise piece.fault(f"has NUL characters (line {number}), so it is not UTF-8 text", "save it as UTF-8")
        if len(line) < 3 and line.isspace():
            blank += 1
            if blank > BLANK_LINES:
                raise piece.fault(f"has over {BLANK_LINES:,} blank lines", "remove them")
        elif len(line) >= LINE_BYTES:
            raise piece.fault(f"line {number} has over {LINE_BYTES // 10**6} MB", "break it into shorter lines")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise piece.fault(f"is not UTF-8 text (line {number})", "save it as UTF-8") from None


def beginning(lines: Iterator[str], most: int) -> tuple[list[str], int]:
    """The first lines, up to the one with which they have over ``most`` characters, and how many they have."""
    taken, size = list[str](), 0
    for line in lines:
        taken.append(line)
        size += len(line)
        if size > most:
            break
    return taken, size


def _csv(piece: Piece, stream: BinaryIO, delimiter: str) -> Iterator[Numbered]:
    csv.field_size_limit(LINE_BYTES // 4)
    # Each line ends where the file says: str.splitlines() would also end one at U+2028, a form feed and others.
    lines = itertools.chain.from_iterable(
        re.split(r"(?<=\r)(?!\n)", line) if "\r" in line[:-2] else (line,) for line in text_lines(piece, stream)
    )
    first = next(lines, "")
    if delimiter == "," and "," not in first:
        delimiter = next((other for other in ";\t" if other in first), ",")
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        # Spreadsheets and data frames write a first column without a name: the number of the row.
        header = [name.strip() or f"column {i}" for i, name in enumerate(next(reader, []), 1)]
        if len(header) > COLUMNS_MOST:
            raise piece.fault(f"has {len(header)} columns", f"keep at most {COLUMNS_MOST}")
        if len(set(header)) != len(header):
            raise piece.fault("has a repeated column name in line 1", "name each column once")
        for values in reader:
            if not values:
                yield reader.line_num, {}
                continue
            if len(values) != len(header):
                what = f"line {reader.line_num} has {len(values)} fields, the header has {len(header)}"
                raise piece.fault(what, "quote fields that hold the separator")
            yield reader.line_num, piece.bounded(dict(zip(header, values, strict=True)), reader.line_num)
    except csv.Error as error:
        if not piece.tally.bounded:  # else the pass ended inside a quoted field
            raise piece.fault(f"line {reader.line_num} is malformed ({error})", "mend the quotes") from None


def _txt(piece: Piece, stream: BinaryIO, paragraphs: bool) -> Iterator[Numbered]:
    lines = (line.rstrip("\n").removesuffix("\r") for line in text_lines(piece, stream))
    if paragraphs:
        head, _ = beginning(lines, HEAD_BYTES)
        lines = itertools.chain(head, lines)  # type: ignore[assignment]
        filled = [i for i, line in enumerate(head) if line.strip()]
        paragraphs = bool(filled) and len(filled) < filled[-1] - filled[0] + 1
    if not paragraphs:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, piece.bounded({"text": line}, number)
        return
    start, held, size = 1, list[str](), 0
    for number, line in enumerate(itertools.chain(lines, [""]), 1):
        if line.strip():
            start = start if held else number
            held.append(line)
            size += len(line)
            if size > LINE_BYTES:
                raise piece.fault(f"line {start} begins a paragraph of over {LINE_BYTES // 10**6} MB", "break it up")
        elif held:
            yield start, piece.bounded({"text": "\n".join(held)}, start)
            held, size = [], 0
