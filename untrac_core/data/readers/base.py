"""What every reader shares: limits, lines, tallies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from untrac_core.errors import InputError

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

    def fault(self, what: str, hint: str) -> InputError:
        """The error that names this file."""
        named = what if self.where == self.name else f"{self.name} {what}"
        return InputError(named, field=self.where or self.name, hint=hint)

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
