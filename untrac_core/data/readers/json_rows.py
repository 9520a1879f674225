"""Rows of JSON files: one object per line, an array of objects, or one object that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any, BinaryIO

from untrac_core.data.readers.base import (
    COLUMNS_MOST,
    FIELD_CHARACTERS,
    LINE_BYTES,
    Numbered,
    Piece,
    beginning,
    text_lines,
)

DEPTH = 6
"""Objects within objects that become dotted columns; what lies deeper stays JSON text."""
DOCUMENT_BYTES = 64_000_000
"""Of a JSON file that is one object: it is read whole."""
CHUNK = 1_000_000
encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
"""What stays JSON, as text."""


def jsonl_rows(piece: Piece, stream: BinaryIO) -> Iterator[Numbered]:
    """One object per line; empty lines are skipped."""
    return _rows_of_lines(piece, text_lines(piece, stream))


def _rows_of_lines(piece: Piece, lines: Iterator[str]) -> Iterator[Numbered]:
    loads = json.JSONDecoder().decode
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = flat(loads(line), "\\u" in line)
        except (ValueError, RecursionError):
            raise piece.fault(f"line {number} is not valid JSON", "write one JSON object per line") from None
        if row is None:
            raise piece.fault(f"line {number} is not a JSON object", "write one object per line")
        if len(line) > FIELD_CHARACTERS or len(row) > COLUMNS_MOST:  # else no field can be too long
            piece.bounded(row, number)
        yield number, row


def json_rows(piece: Piece, stream: BinaryIO) -> Iterator[Numbered]:
    """The rows of a ``.json`` file.

    An array of objects is read piece by piece. Many such files hold an object per line, as jsonl; else the file is one
    object: the longest list of objects in it holds the rows (``{"data": [...]}``), or its lists are the columns, or
    it is one row.
    """
    lines = text_lines(piece, stream)
    skipped, start = _filled(lines)
    start = start.lstrip()
    if start.startswith("["):
        yield from _array(piece, chain([start], lines), skipped)
    elif start.startswith("{"):
        # An object that is the only line is the whole file: it may hold the rows, as one of many lines may not.
        blank, second = _filled(lines)
        rest = chain(repeat("\n", blank), [second], lines)
        if (second or piece.tally.bounded) and _is_object(start):
            yield from _rows_of_lines(piece, chain(repeat("", skipped), [start], rest))
        else:
            yield from _document(piece, chain([start], rest))
    elif start:
        raise piece.fault(
            "is neither an array nor an object of JSON", "write a list of objects, or one object per line"
        )


def _filled(lines: Iterator[str]) -> tuple[int, str]:
    """The next line that is not blank, empty where there is none, and how many blank ones stand before it."""
    blank = 0
    for line in lines:
        if line.strip():
            return blank, line
        blank += 1
    return blank, ""


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _array(piece: Piece, lines: Iterator[str], skipped: int) -> Iterator[Numbered]:
    """Objects of an array, decoded one after the other from a window of text that moves over the file."""
    decode = json.JSONDecoder().raw_decode
    text, at, line, ended = next(lines), 1, skipped + 1, False
    need = CHUNK
    while True:
        while not ended and len(text) - at < need:
            parts, size = [text[at:]], len(text) - at
            at = 0
            while size < 2 * need:
                more = next(lines, None)
                if more is None:
                    ended = True
                    break
                parts.append(more)
                size += len(more)
            text = "".join(parts)
        begin = at
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        line += text.count("\n", begin, at)
        if at < len(text) and text[at] == "]":
            return
        if at >= len(text) and not ended:
            continue
        try:
            value, stop = decode(text, at)
            row = flat(value, True)
        except (ValueError, RecursionError) as error:
            if not ended and isinstance(error, ValueError) and len(text) - at < LINE_BYTES:
                need = 2 * (len(text) - at) + CHUNK
                continue
            if piece.tally.bounded:
                return
            raise piece.fault(f"line {line} begins what is not valid JSON", "write a list of objects") from None
        if row is None:
            raise piece.fault(f"line {line} is not a JSON object", "write a list of objects")
        yield line, piece.bounded(row, line)
        line += text.count("\n", at, stop)
        at, need = stop, CHUNK


def _document(piece: Piece, lines: Iterator[str]) -> Iterator[Numbered]:
    parts, size = beginning(lines, DOCUMENT_BYTES)
    if size > DOCUMENT_BYTES or piece.tally.bounded:
        raise piece.fault(f"is one JSON object of over {size / 1e6:,.0f} MB", "write one object per line (jsonl)")
    try:
        value: dict[str, Any] = json.loads("".join(parts))
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise piece.fault(f"is not valid JSON{place}", "write a list of objects, or one object per line") from None
    for number, item in enumerate(_items(value), 1):
        try:
            row = flat(item, True)
        except (ValueError, RecursionError):
            row = None
        if row is None:
            raise piece.fault(f"row {number} is not a JSON object", "write a list of objects")
        yield number, piece.bounded(row, number, "row")


def _items(value: dict[str, Any]) -> list[Any]:
    lists = [item for item in value.values() if isinstance(item, list)]
    tables = [item for item in lists if item and all(isinstance(row, dict) for row in item)]
    if tables:
        return max(tables, key=len)
    if len(lists) == len(value) and lists and len({len(item) for item in lists}) == 1 and len(lists) <= COLUMNS_MOST:
        return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
    return [value]


def flat(value: Any, escaped: bool = True) -> dict[str, str] | None:
    """An object as columns of text: objects in it become dotted columns, lists stay JSON, null is empty.

    ``None`` for anything but an object. ``escaped``: the text had escapes, so lone surrogates are possible, which JSON
    can spell but UTF-8, and so every result file, cannot hold.
    """
    if not isinstance(value, dict):
        return None
    row: dict[str, str] = {}
    _fill(row, "", value, 1)
    return {storable(key): storable(item) for key, item in row.items()} if escaped else row


def _fill(row: dict[str, str], before: str, value: dict[str, Any], depth: int) -> None:
    for key, item in value.items():
        if type(item) is str:
            row[before + key] = item
        elif item is None:
            row[before + key] = ""
        elif isinstance(item, dict) and depth < DEPTH:
            _fill(row, f"{before}{key}.", item, depth + 1)
        else:
            row[before + key] = repr(item) if type(item) is int else encode(item)


def storable(text: str) -> str:
    """Without lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
