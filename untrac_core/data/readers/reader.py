"""One pass over the files of a source, row by row, in bounded memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from untrac_core.data.readers.base import Piece, Tally
from untrac_core.data.readers.files import DataFile, files_of, local_file, storable, title
from untrac_core.data.readers.formats import format_of, rows_in
from untrac_core.errors import InputError
from untrac_core.progress import Progress, Silent
from untrac_core.specs import Source

SCAN_MB = 4_000
HUB_SCAN_MB = 1_000
ORDER_SEED = 20240817


class Row(NamedTuple):
    """One row that has something in it."""

    line: int
    """Of its file, from 1; in a parquet or arrow file the number of the row."""
    values: dict[str, str]
    file: str


def scan_bytes(source: Source) -> int:
    """How much text one pass reads at most, in bytes."""
    return (source.max_read_mb or (SCAN_MB if source.hub is None else HUB_SCAN_MB)) * 1_000_000


class _Meter(io.RawIOBase):
    """A file that is counted, and hashed where asked, while it is read."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self.file, self.reading = file, reading

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read, count, hash, and let those who wait know."""
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.reading.advance(data)
        return len(data)


class _Heartbeat:
    """Lets the listener of a pass know that a file is on its way, in the pass's own measure."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def phase(self, text: str) -> None:
        """Passed on."""
        self.reading.progress.phase(text)

    def tick(self, done: int, total: int) -> None:
        """The pass as a whole is as far as it was."""
        self.reading.tick()


class Reading:
    """One pass over a source, to be iterated once: its rows in order, and in the end what was met.

    ``most``: bytes of text after which it ends (``tally.bounded``). Where that will cut a source of several files,
    they are read in a fixed random order (``permuted``), so that what is read is spread over the source; where only the
    pass itself can tell, see :meth:`again`. ``ordered``: they are read in the order of their names all the same.
    ``tally`` counts; ``digest`` is known after a pass that hashes and was not bounded.
    """

    def __init__(
        self,
        source: Source | Path,
        *,
        where: str = "",
        paragraphs: bool = False,
        progress: Progress | None = None,
        most: int | None = None,
        shorten: bool = False,
        hashed: bool = False,
        ordered: bool = False,
        columns: frozenset[str] | None = None,
    ) -> None:
        self.source, self.files, self.size, self.done = source, list[DataFile](), 0, 0
        self.progress, self.paragraphs, self.columns = progress or Silent(), paragraphs, columns
        if isinstance(source, Path):
            self.title = storable(source.name)
            self.where = where or self.title
            self.files = [local_file(source, self.title, where=self.where)]
            self.path = source
        else:
            self.title = title(source)
            self.where = where or self.title
            self.files = files_of(source, where=self.where, progress=_Heartbeat(self))
            self.path = self.files[0].path if source.hub is None and len(self.files) == 1 else None  # type: ignore
            self.path = self.path or Path(self.title)
            most = scan_bytes(source) if most is None else most
        self.size = sum(file.size for file in self.files)
        self.tally = Tally(scan_bytes(Source(file="x")) if most is None else most, shorten)
        self.order = list(range(len(self.files)))
        self.permuted, self.opened = False, 0
        self.ordered = ordered
        if self.size > self.tally.most and not ordered:
            self._permute()
        self._hash: hashlib._Hash | None = hashlib.sha256() if hashed else None
        self._hashes: list[str] = []

    @property
    def several(self) -> bool:
        """Whether the source has several files."""
        return len(self.files) > 1

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, or of the hashes of several files; empty where it is not known."""
        if self._hash is None or self.tally.bounded or len(self._hashes) < len(self.files):
            return ""
        return self._hashes[0] if len(self._hashes) == 1 else hashlib.sha256("".join(self._hashes).encode()).hexdigest()

    @property
    def share(self) -> float:
        """How much of the files, as they are stored, the pass has read: more than 0, at most 1."""
        return min(self.done / self.size, 1.0) if self.tally.bounded and 0 < self.done < self.size else 1.0

    def again(self) -> bool:
        """Whether a finished pass must be made anew, for which the reading is then ready; to be asked once it ended.

        Compressed files hold more text than they have bytes, so that a pass over several of them may prove bounded only
        on its way; what it read in the order of their names is then no fair part of the source.
        """
        if self.ordered or self.permuted or not (self.several and self.tally.bounded):
            return False
        self._permute()
        self.tally = Tally(self.tally.most, self.tally.shorten)
        self.done, self.opened, self._hashes = 0, 0, []
        self._hash = None if self._hash is None else hashlib.sha256()
        self.progress.phase(f"reading {self.title} anew, its files in random order")
        return True

    def _permute(self) -> None:
        self.permuted = True
        self.order = np.random.default_rng(ORDER_SEED).permutation(len(self.files)).tolist()

    def fault(self, what: str, hint: str) -> InputError:
        """The error that names the source."""
        return Piece(self.title, self.where, self.tally).fault(what, hint)

    def forget_hash(self) -> None:
        """Spare the hash: nothing asks for it."""
        self._hash = None

    def advance(self, data: bytes) -> None:
        """Count and hash what was read, and say how far the pass is."""
        self.done += len(data)
        if self._hash is not None:
            self._hash.update(data)
        self.tick()

    def tick(self) -> None:
        """Say how far the pass is, in MB of the files as they are stored; may raise to stop it."""
        self.progress.tick(min(self.done, self.size) >> 20, max(self.size >> 20, 1))

    def __iter__(self) -> Iterator[Row]:
        tally = self.tally
        for index in self.order:
            file = self.files[index]
            self.opened += 1
            try:
                with file.open() as stream:
                    for line, values in self._rows(file, stream):
                        for value in values.values():
                            if value and not value.isspace():
                                tally.rows += 1
                                yield Row(line, values, file.name)
                                break
                        else:
                            tally.blank += 1
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise InputError(f"cannot read {file.name} ({reason})", field=self.where, hint="try again") from None
            if tally.bounded:
                return

    def _rows(self, file: DataFile, stream: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
        piece = Piece(file.name, self.where, self.tally)
        kind = format_of(file.name)
        if kind is not None and kind[0] in ("parquet", "arrow"):  # these jump within the file
            if self._hash is not None:
                for chunk in iter(lambda: stream.read(1 << 20), b""):
                    self._hash.update(chunk)
                self._end_hash()
                stream.seek(0)
            yield from self._ticked(rows_in(piece, stream, columns=self.columns), file)
            return
        buffered = io.BufferedReader(_Meter(stream, self), 1 << 20)
        yield from rows_in(piece, buffered, paragraphs=self.paragraphs)
        if self.tally.bounded:
            self.done -= len(buffered.peek(1))  # read ahead of what was used
        if self._hash is not None and not self.tally.bounded:
            while buffered.read(1 << 20):
                pass
            self._end_hash()

    def _ticked(
        self, rows: Iterator[tuple[int, dict[str, str]]], file: DataFile
    ) -> Iterator[tuple[int, dict[str, str]]]:
        for count, row in enumerate(rows):
            if count % 256 == 0:
                self.tick()
            yield row
        self.done += round(file.size * self.tally.share)

    def _end_hash(self) -> None:
        if self._hash is not None:
            self._hashes.append(self._hash.hexdigest())
            self._hash = hashlib.sha256()
