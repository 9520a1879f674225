"""Rows of parquet and arrow files, a few at a time, without trusting the sizes that a file claims.

A parquet file of 900 bytes can hold 3 GB, and its footer may say otherwise, so each page's own header is read before
the page is (:mod:`untrac_core.data.readers.parquet_pages`), and batches are small. Arrow files are read only where
they are not compressed: then what they hold is no larger than they are. They are validated in full, as offsets in them
could point anywhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from untrac_core.data.readers.base import COLUMNS_MOST, FIELD_CHARACTERS, Numbered, Piece
from untrac_core.data.readers.json_rows import DEPTH, encode
from untrac_core.data.readers.parquet_pages import largest_dictionary, row_groups
from untrac_core.errors import InputError

BATCH_BYTES = 64_000_000
BATCH_ROWS = 64
BATCHES = ("record batch", "dictionary")
ROW_BYTES = 16
"""Counted for each row beside its text, so that rows without text end a pass too."""


def parquet_rows(piece: Piece, stream: BinaryIO, columns: frozenset[str] | None = None) -> Iterator[Numbered]:
    """Row number (from 1) and values of each row; columns of bytes (pictures, sound) are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        groups = row_groups(stream)
        stream.seek(0)
        file = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
        names = _readable(piece, file.schema_arrow, columns)
        first = 0
        for group, chunks in enumerate(groups):
            rows = max(1, min(BATCH_ROWS, BATCH_BYTES // largest_dictionary(piece, stream, chunks, names)))
            for batch in file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
                yield from _rows(piece, batch, first)
                first += batch.num_rows
                if piece.tally.bounded:
                    piece.tally.share = min(first / max(file.metadata.num_rows, 1), 1.0)
                    return
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, IndexError, struct.error):
        raise piece.fault("is not a parquet file that can be read", "save it again") from None


def arrow_rows(piece: Piece, stream: BinaryIO) -> Iterator[Numbered]:
    """Row number (from 1) and values of each row of an arrow file, or of a stream as ``datasets`` saves it."""
    import pyarrow as pa

    try:
        source = _opened(stream, mapped=True)
        start = 8 if bytes(source.read(6)) == b"ARROW1" else 0  # a file is a stream after eight bytes
        source.seek(start)
        largest = 0
        for message in pa.ipc.MessageReader.open_stream(source):
            largest = max(largest, message.body.size if message.body is not None else 0)
            if message.type in BATCHES and _compressed(message.metadata.to_pybytes(), message.type):
                raise piece.fault("is a compressed arrow file", "save it as parquet")
        source = _opened(stream, mapped=largest > BATCH_BYTES)
        source.seek(start)
        reader = pa.ipc.open_stream(source)
        names = _readable(piece, reader.schema, None)
        first, before = 0, source.tell()
        for batch in reader:
            batch.validate(full=True)
            chosen = batch.select(names)
            for at in range(0, batch.num_rows, BATCH_ROWS):
                yield from _rows(piece, chosen.slice(at, BATCH_ROWS), first + at)
                if piece.tally.bounded:
                    part = min(at + BATCH_ROWS, batch.num_rows) / batch.num_rows
                    piece.tally.share = min((before + (source.tell() - before) * part) / max(source.size(), 1), 1.0)
                    return
            first, before = first + batch.num_rows, source.tell()
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, IndexError, struct.error):
        raise piece.fault("is not an arrow file that can be read", "save it again") from None


def _opened(stream: BinaryIO, *, mapped: bool) -> Any:
    """The file for pyarrow, ``mapped`` into memory where it is one on disk: then a large batch is not held."""
    import pyarrow as pa

    name = getattr(stream, "name", None)
    if isinstance(name, str) and os.path.isfile(name) and os.path.getsize(name):
        return pa.memory_map(name) if mapped else pa.OSFile(name)
    stream.seek(0)
    return pa.PythonFile(stream, mode="r")


def _readable(piece: Piece, schema: Any, columns: frozenset[str] | None) -> list[str]:
    """The top-level columns to read: those needed, without bytes."""
    names = [
        field.name
        for field in schema
        if not _has_bytes(field.type)
        and (columns is None or any(name == field.name or name.startswith(f"{field.name}.") for name in columns))
    ]
    if len(names) > COLUMNS_MOST:
        raise piece.fault(f"has {len(names)} columns", f"keep at most {COLUMNS_MOST}")
    if len(set(names)) != len(names):
        raise piece.fault("has a repeated column name", "name each column once")
    return names


def _has_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    if types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    return any(_has_bytes(kind.field(i).type) for i in range(getattr(kind, "num_fields", 0)))


def _rows(piece: Piece, batch: Any, first: int) -> Iterator[Numbered]:
    columns = [
        part for name, column in zip(batch.schema.names, batch.columns, strict=True) for part in _flat(name, column)
    ]
    if len(columns) > COLUMNS_MOST:
        raise piece.fault(f"has {len(columns)} columns", f"keep at most {COLUMNS_MOST}")
    names = [name for name, _ in columns]
    cells = zip(*(values for _, values in columns), strict=True) if columns else ((),) * batch.num_rows
    tally = piece.tally
    for number, values in enumerate(cells, first + 1):
        size = sum(map(len, values))
        tally.bytes += ROW_BYTES + size
        if tally.bytes > tally.most:
            tally.bounded = True
            return
        row = dict(zip(names, values, strict=True))
        yield number, piece.bounded(row, number, "row") if size > FIELD_CHARACTERS else row


def _flat(name: str, column: Any, depth: int = 1) -> list[tuple[str, list[str]]]:
    """A column's values as text; of a struct, those of each of its fields, under dotted names."""
    import pyarrow.types as types

    kind = column.type
    if types.is_struct(kind) and depth < DEPTH:
        parts = zip(kind, column.flatten(), strict=True)
        return [each for field, part in parts for each in _flat(f"{name}.{field.name}", part, depth + 1)]
    if types.is_string(kind) or types.is_large_string(kind):
        values = column.to_pylist()
        return [(name, ["" if value is None else value for value in values] if column.null_count else values)]
    return [(name, [_text(value) for value in column.to_pylist()])]


def _text(value: Any) -> str:
    """As in JSON: nothing for null, lists and numbers as JSON, dates as ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return repr(value)
    return encode(value) if isinstance(value, (bool, float, list, dict, tuple)) else str(value)


def _compressed(metadata: bytes, kind: str) -> bool:
    """Whether the message (a FlatBuffer) of a record batch or dictionary says that its body is compressed."""
    batch = _inner(metadata, _table(metadata, 0), 2)  # Message.header
    if batch is not None and kind == "dictionary":
        batch = _inner(metadata, batch, 1)  # DictionaryBatch.data
    return batch is not None and _field(metadata, batch, 3) is not None  # RecordBatch.compression


def _inner(data: bytes, table: int, index: int) -> int | None:
    """Where the table begins that a table's field refers to."""
    at = _field(data, table, index)
    return None if at is None else _table(data, at)


def _table(data: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, index: int) -> int | None:
    """Where a table's field lies; ``None`` where it is not set."""
    fields = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, fields)[0]
    if 4 + 2 * index >= size:
        return None
    offset = struct.unpack_from("<H", data, fields + 4 + 2 * index)[0]
    return table + offset if offset else None
