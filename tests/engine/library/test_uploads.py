"""Uploaded files: named by their content, and refused when they are of no use."""

import stat

import pytest

from untrac_core.engine import disk, save_upload
from untrac_core.engine.library.uploads import UPLOAD_BYTES
from untrac_core.errors import InputError


def test_the_same_bytes_are_one_private_file_whatever_they_were_called(home):
    first = save_upload("my data.CSV", b"a,b\n1,2\n")
    assert first == save_upload("../../etc/other.csv", b"a,b\n1,2\n")
    assert first.parent == home / "uploads"
    assert first.suffix == ".csv"
    assert first.read_bytes() == b"a,b\n1,2\n"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert list(first.parent.iterdir()) == [first]


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "txt"])
def test_the_suffix_is_kept(home, suffix):
    assert save_upload(f"x.{suffix}", b"x").suffix == f".{suffix}"


@pytest.mark.parametrize("name", ["x.parquet", "x.zip", "x.pkl", "x", ".csv", "x.csv.gz", "x.csv/../../y"])
def test_other_kinds_are_refused(home, name):
    with pytest.raises(InputError, match="cannot be read"):
        save_upload(name, b"x")


def test_empty_and_oversized_files_are_refused(home):
    with pytest.raises(InputError, match="empty"):
        save_upload("x.txt", b"")
    with pytest.raises(InputError, match="20 MB is the limit"):
        save_upload("x.txt", b"x" * (UPLOAD_BYTES + 1))


def test_nothing_is_written_on_a_full_disk(home, monkeypatch):
    monkeypatch.setattr(disk, "free_mb", lambda folder: 100.0)
    with pytest.raises(InputError, match="the disk is almost full"):
        save_upload("x.txt", b"x")
    assert not (home / "uploads").exists()


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(home, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("untrac_core.fileio.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_upload("x.txt", b"x")
    assert list((home / "uploads").iterdir()) == []
