"""Rows of one open file, by its format, in bounded memory; every fault is one line that names the file and the place.

Text formats (csv, tsv, jsonl, json, txt, also with ``.gz``) are read line by line; parquet and arrow in small batches
(:mod:`untrac_core.data.readers.tables`). Nothing is held but the row that is being made, so a file may have any length.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from untrac_core.data.readers.base import COLUMNS_MOST, HEAD_BYTES, LINE_BYTES, Numbered, Piece, beginning, text_lines

FORMATS = ("csv", "tsv", "jsonl", "json", "txt", "parquet", "arrow")
ALIASES = {"ndjson": "jsonl", "jsonlines": "jsonl", "text": "txt", "pq": "parquet"}


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
    from untrac_core.data.readers.json_rows import json_rows, jsonl_rows
    from untrac_core.data.readers.tables import arrow_rows, parquet_rows

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
