"""The unpacked size of a parquet file's pages, found before any is unpacked.

A footer may say anything of the sizes, and pyarrow's own view of it ends the process on some damaged footers, so the
footer (for where the column chunks lie) and the header of every page are read here: Thrift's compact protocol
(parquet.thrift: FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from untrac_core.data.readers.base import Piece

PAGE_BYTES = 256_000_000
"""A page may unpack to this; writers aim at 1 MB."""
FOOTER_BYTES = 64_000_000
HEADER_BYTES = 1 << 14
DEPTH = 16
DICTIONARY = 2
"""The type of a page that holds a dictionary."""


@dataclass(frozen=True)
class Chunk:
    """Where a column's pages lie in one row group."""

    column: str
    """The top-level column."""
    start: int
    end: int


def row_groups(stream: BinaryIO) -> list[list[Chunk]]:
    """The column chunks of each row group. Raises ``ValueError``, ``IndexError`` or ``struct.error`` for no footer."""
    end = stream.seek(0, 2)
    stream.seek(max(end - 8, 0))
    tail = stream.read(8)
    size = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or size > min(end - 8, FOOTER_BYTES):
        raise ValueError("no footer")
    stream.seek(end - 8 - size)
    footer, _ = _struct(stream.read(size), 0, 0)
    try:
        return [[_chunk(column[3]) for column in group[1]] for group in footer.get(4, [])]
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise ValueError("no footer") from None


def _chunk(facts: Any) -> Chunk:
    start = min(start for start in (facts[9], facts.get(11)) if start)
    return Chunk(facts[3][0].decode(), start, start + facts[7])


def largest_dictionary(piece: Piece, stream: BinaryIO, chunks: list[Chunk], names: list[str]) -> int:
    """The largest dictionary among these columns of a row group, in bytes; a page that is too large is refused.

    Any row may repeat any entry of its dictionary, so that size bounds how many rows are safely read at once.
    """
    largest = 1
    for chunk in chunks:
        if chunk.column not in names:
            continue
        at = chunk.start
        while at < chunk.end:
            kind, unpacked, packed, length = _page_header(stream, at)
            if not 0 <= unpacked <= PAGE_BYTES or packed < 0:
                what = f"has a page that unpacks to {unpacked / 1e6:,.0f} MB"
                raise piece.fault(what, "save it again with pages of about 1 MB")
            if kind == DICTIONARY:
                largest = max(largest, unpacked)
            at += length + packed
    return largest


def _page_header(stream: BinaryIO, at: int) -> tuple[int, int, int, int]:
    """Type, unpacked and packed size of the page at an offset, and the length of its header."""
    size = HEADER_BYTES
    while True:
        stream.seek(at)
        data = stream.read(size)
        try:
            fields, length = _struct(data, 0, 0)
            return int(fields[1]), int(fields[2]), int(fields[3]), length
        except IndexError:
            if len(data) < size or size > 1 << 24:
                raise
            size *= 16
        except (KeyError, TypeError):
            raise ValueError("not a page header") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128 or shift > 70:
            return value, at


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """A struct's values by field id, and where it ends; running out of bytes is an ``IndexError``."""
    found: dict[int, Any] = {}
    field = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return found, at
        if head >> 4:
            field += head >> 4
        else:
            raw, at = _varint(data, at)
            field = (raw >> 1) ^ -(raw & 1)
        kind = head & 15
        if kind in (1, 2):  # a truth value stands in the head itself
            found[field] = kind == 1
        else:
            found[field], at = _value(data, at, kind, depth + 1)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > DEPTH:
        raise ValueError("nested too deeply")
    if kind in (1, 2, 3):
        return data[at], at + 1
    if kind in (4, 5, 6):
        raw, at = _varint(data, at)
        return (raw >> 1) ^ -(raw & 1), at
    if kind == 7:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == 8:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise IndexError
        return data[at : at + length], at + length
    if kind in (9, 10):
        count, item = data[at] >> 4, data[at] & 15
        at += 1
        if count == 15:
            count, at = _varint(data, at)
        values = []
        for _ in range(count):
            value, at = _value(data, at, item, depth + 1)
            values.append(value)
        return values, at
    if kind == 12:
        return _struct(data, at, depth)
    raise ValueError("not Thrift")
