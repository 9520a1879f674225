"""Disk space: checked before a run, with a reserve for the moment when it runs out."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from untrac_core.errors import InputError

SPARE_MB = 200.0
BALLAST_BYTES = 1_000_000
T = TypeVar("T")


def free_mb(folder: Path) -> float:
    """Free megabytes (10^6 bytes) on the disk that holds ``folder``."""
    return shutil.disk_usage(folder).free / 1e6


def require(folder: Path, needed_mb: float) -> None:
    """Raise :class:`InputError` unless ``needed_mb`` and a reserve of 200 MB are free."""
    free = free_mb(folder)
    if free < needed_mb + SPARE_MB:
        raise InputError(
            f"the disk is almost full: {free:,.0f} MB are free, and {needed_mb + SPARE_MB:,.0f} MB are needed",
            field=str(folder),
            hint="free some space, or name a folder on another disk in UNTRAC_HOME",
        )


def sweep(folder: Path, older_than: float = 3600.0) -> None:
    """Remove half-written files that a killed process left, when they are ``older_than`` seconds."""
    for partial in folder.glob(".*.part"):
        try:
            if time.time() - partial.stat().st_mtime >= older_than:
                partial.unlink()
        except FileNotFoundError:
            continue


def reserve(home: Path) -> None:
    """Keep a megabyte back, so that a run that fills the disk can still say so; best effort."""
    ballast = home / "ballast"
    try:
        if not ballast.exists():
            ballast.write_bytes(os.urandom(BALLAST_BYTES))
    except OSError:
        ballast.unlink(missing_ok=True)


def with_room(home: Path, write: Callable[[], T]) -> T:
    """Do ``write``; where the disk is full, give the reserve back and do it again."""
    try:
        return write()
    except sqlite3.OperationalError as error:
        if "full" not in str(error) and "disk I/O" not in str(error):
            raise
        (home / "ballast").unlink(missing_ok=True)
        return write()
