"""Room on the disk, and what is left to say when there is none."""

import os
import sqlite3
import time

import pytest

from untrac_core.engine import disk
from untrac_core.errors import InputError


def test_too_little_room_is_said_with_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_mb", lambda folder: 1_000.0)
    disk.require(tmp_path, 700.0)
    with pytest.raises(InputError, match=r"1,000 MB are free, and 1,100 MB are needed\. Free some space"):
        disk.require(tmp_path, 900.0)


def test_the_reserve_is_given_back_for_the_last_word(tmp_path):
    disk.reserve(tmp_path)
    assert disk.free_mb(tmp_path) > 0
    assert (tmp_path / "ballast").stat().st_size == disk.BALLAST_BYTES

    def write():
        if (tmp_path / "ballast").exists():
            raise sqlite3.OperationalError("database or disk is full")
        return "written"

    assert disk.with_room(tmp_path, write) == "written"


def test_other_faults_of_the_database_are_not_hidden(tmp_path):
    disk.reserve(tmp_path)

    def write():
        raise sqlite3.OperationalError("no such table")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        disk.with_room(tmp_path, write)
    assert (tmp_path / "ballast").exists()


def test_only_old_half_written_files_are_swept(tmp_path):
    old, new, whole = (tmp_path / name for name in (".a.1.part", ".b.2.part", "c.parquet"))
    for path in (old, new, whole):
        path.write_text("x")
    past = time.time() - 7200
    os.utime(old, (past, past))
    os.utime(whole, (past, past))
    disk.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.2.part", "c.parquet"]
