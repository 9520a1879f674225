"""Records that the library keeps: files named by the hash of their content, there as long as someone needs them.

Needed is what an entry of the library or the spec of a run mentions. Looking and removing happens under one lock,
which those who add an entry or a run take too: nothing is swept between being written and being mentioned.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from untrac_core.engine import disk
from untrac_core.engine.database import connect
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes

MENTION = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
Row = dict[str, str]


@dataclass(frozen=True)
class Draft:
    """Records on the disk that are not kept yet; ``digest`` is the SHA-256 of their bytes, 64 hexadecimal digits."""

    partial: Path
    digest: str


def library_folder(home: Path) -> Path:
    """Where the library of a data home lies; made where it is missing."""
    folder = home / "library"
    (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def data_path(home: Path, digest: str) -> Path:
    """The file of kept records."""
    return home / "library" / "data" / f"{digest}.jsonl"


def totals_path(home: Path, digest: str) -> Path:
    """The file that says what kept records are a sample of; there is none where they are all."""
    return data_path(home, digest).with_suffix(".totals")


@contextmanager
def library_lock(home: Path) -> Iterator[None]:
    """Nothing is added to the library or swept from it by others while this lasts. Not to be nested."""
    with FileLock(library_folder(home) / "library.lock", mode=0o600):
        yield


@contextmanager
def staged(home: Path, rows: Sequence[Row]) -> Iterator[Draft]:
    """Write records as jsonl beside the kept ones; what is not kept (:func:`keep`) by the end is removed.

    Raises:
        InputError: when the disk is almost full.
    """
    folder = library_folder(home) / "data"
    disk.sweep(folder)
    disk.require(home, sum(len(value) + 20 for row in rows for value in row.values()) / 1e6)
    partial = folder / f".{os.getpid()}-{os.urandom(4).hex()}.part"
    digest = hashlib.sha256()
    try:
        with _generations(), partial.open("wb") as file:
            partial.chmod(0o600)
            for row in rows:
                line = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "replace")
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        yield Draft(partial, digest.hexdigest())
    finally:
        partial.unlink(missing_ok=True)


def keep(home: Path, draft: Draft, totals: dict[str, int] | None = None) -> None:
    """Give a draft its place; for the holder of the lock, who mentions it before letting go.

    ``totals``: of records that are a sample, what there was to draw from (``seen`` documents with ``characters``);
    they stand beside the records, as how subsets compare depends on them.
    """
    if totals is not None:
        write_text(json.dumps(totals) + "\n", totals_path(home, draft.digest))
    os.replace(draft.partial, data_path(home, draft.digest))


@contextmanager
def _generations() -> Iterator[None]:
    """A disk that is full or cannot be written is said to be so, in one line."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the library cannot be written ({error.strerror or type(error).__name__})",
            field="library",
            hint="see that its disk has room and may be written to",
        ) from None


def write_text(text: str, path: Path) -> None:
    """Write a small file, readable by its owner alone, whole or not at all, also after a crash."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _generations():
        write_bytes(text.encode("utf-8", "replace"), path, mode=0o600)


def require(home: Path, spec: str) -> None:
    """Refuse a spec, given as JSON, that mentions kept records which are gone; for the holder of the lock."""
    for digest in re.findall(r'"kept": ?"([0-9a-f]{64})"', spec):
        if not data_path(home, digest).is_file():
            raise InputError(
                "records that the library kept are gone",
                field=f"source {digest[:12]}",
                hint="add them to the library again and choose them anew",
            )


def model_within(home: Path, folder: Path) -> str | None:
    """The name of a model of the library that lies in a folder; ``None`` where there is none."""
    inside = str(folder.resolve())
    for path in (home / "library" / "model").glob("*.json"):
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            places = [held["value"].get("path"), held["value"].get("adapter")]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a damaged entry keeps nothing
            continue
        if any(isinstance(place, str) and Path(place).is_relative_to(inside) for place in places):
            return str(held.get("name"))
    return None


def sweep(home: Path) -> None:
    """Remove the records that no entry and no run mentions; for the holder of the lock."""
    present = {path.stem: path for path in (library_folder(home) / "data").glob("*.jsonl")}
    if not present:
        return
    for digest in present.keys() - _mentioned(home):
        present[digest].unlink(missing_ok=True)
        totals_path(home, digest).unlink(missing_ok=True)


def _mentioned(home: Path) -> set[str]:
    """All hashes in the files of entries and in the specs of runs: read as text, so that none is overlooked."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (home / "library").glob("*/*.json")]
    database = home / "untrac.sqlite"
    if database.exists():
        with connect(database) as connection:
            known = connection.execute("select 1 from sqlite_master where name = 'runs'").fetchone()
            rows = connection.execute("select spec from runs where spec like '%kept%'").fetchall() if known else []
        texts += [row["spec"] for row in rows]
    return {digest for text in texts for digest in MENTION.findall(text)}
