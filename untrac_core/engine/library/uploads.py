"""Files that a page was given: kept under the hash of their content, so that a run can find them later."""

from __future__ import annotations

import hashlib
from pathlib import Path

from untrac_core.engine import disk
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.paths import data_home

UPLOAD_BYTES = 20_000_000
SUFFIXES = (".csv", ".tsv", ".jsonl", ".txt")


def save_upload(name: str, data: bytes, home: Path | None = None) -> Path:
    """Write uploaded bytes to ``uploads/<hash><suffix>`` and return the path; the same bytes twice are one file.

    The name that the browser sent gives only the suffix; it never becomes part of a path.

    Raises:
        InputError: for another kind of file, an empty one, one of over 20 MB, or a full disk.
    """
    suffix = Path(name.replace("\0", "")).suffix.lower()
    where = name[:80]
    if suffix not in SUFFIXES:
        raise InputError("this kind of file cannot be read", field=where, hint=f"save it as {', '.join(SUFFIXES)}")
    if not data:
        raise InputError("the file is empty", field=where, hint="choose one with records in it")
    if len(data) > UPLOAD_BYTES:
        size = len(data) / 1e6
        raise InputError(f"the file has {size:.1f} MB, and 20 MB is the limit", field=where, hint="split or sample it")
    home = home or data_home()
    disk.require(home, len(data) / 1e6)
    folder = home / "uploads"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    if not path.exists():
        write_bytes(data, path, mode=0o600)
    return path
