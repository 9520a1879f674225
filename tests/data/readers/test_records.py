import gzip
import hashlib
import json
from pathlib import Path

import pytest

from untrac_core.data.readers.records import Reading, preview, read_records, rows_of
from untrac_core.errors import Cancelled, InputError
from untrac_core.specs import Source


def lines(texts, **more):
    return "".join(json.dumps({"text": text, **more}) + "\n" for text in texts)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.jsonl").write_text(lines(["b1", "b2"]))
    (tmp_path / "a.csv").write_text("text\na1\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.jsonl.gz").write_bytes(gzip.compress(lines(["c1"]).encode()))
    for note in ("README.txt", "dataset_info.json", ".hidden.jsonl", "state.json", "LICENSE.txt"):
        (tmp_path / note).write_text("{}")
    return tmp_path


def test_a_folder_is_its_data_files_in_the_order_of_their_names(folder):
    rows = list(rows_of(Source(folder=str(folder))))
    assert [row.values["text"] for row in rows] == ["a1", "b1", "b2", "c1"]
    assert [(row.file, row.line) for row in rows][1:] == [("b.jsonl", 1), ("b.jsonl", 2), ("deep/c.jsonl.gz", 1)]
    records = read_records(Source(folder=str(folder)))
    assert records.place(2) == "b.jsonl line 2"


def test_links_do_not_leave_a_folder(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.jsonl").write_text(lines(["secret"]))
    (folder / "link.jsonl").symlink_to(outside / "x.jsonl")
    (folder / "there").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    assert len(list(rows_of(Source(folder=str(folder))))) == 4


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(folder="/nowhere/at/all"), "there is no folder"),
        (Source(file="/nowhere/a.csv"), "there is no file"),
        (Source(file="/dev/zero"), "there is no file"),
        (Source(kept="0" * 64), "no longer in the library"),
        (Source(file="/a\0b.csv"), "."),
    ],
)
def test_what_is_not_there_is_said(source, says):
    with pytest.raises(InputError, match=says):
        read_records(source)


def test_an_empty_folder_says_which_files_it_looks_for(tmp_path):
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(InputError, match=r"has no data files. They end in \.csv"):
        read_records(Source(folder=str(tmp_path)))


def test_kept_records_come_from_the_library(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path))
    data = lines(["kept"]).encode()
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "library" / "data").mkdir(parents=True)
    (tmp_path / "library" / "data" / f"{digest}.jsonl").write_bytes(data)
    records = read_records(Source(kept=digest))
    assert records.rows == [{"text": "kept"}]
    assert records.digest == digest


def test_the_digest_is_that_of_the_bytes(tmp_path):
    for name, data in (("a.jsonl", lines(["a"]).encode() * 9), ("b.jsonl.gz", gzip.compress(lines(["a"]).encode()))):
        (tmp_path / name).write_bytes(data)
        assert read_records(tmp_path / name).digest == hashlib.sha256(data).hexdigest()
    assert read_records(tmp_path / "a.jsonl", rows=2).digest == ""
    assert len(read_records(tmp_path / "a.jsonl", rows=2).rows) == 2


def test_a_bound_cuts_files_in_a_fixed_random_order(tmp_path):
    for i in range(40):
        (tmp_path / f"{i:02}.jsonl").write_text(lines([f"{i} " + "x" * 100_000]))
    source = Source(folder=str(tmp_path), max_read_mb=1)
    reading = Reading(source)
    seen = [int(row.values["text"].split()[0]) for row in reading]
    assert reading.tally.bounded
    assert 8 <= len(seen) <= 10
    assert seen != sorted(seen)
    assert seen == [int(row.values["text"].split()[0]) for row in Reading(source)]
    assert max(seen) > 15  # not the beginning alone
    assert len(list(Reading(Source(folder=str(tmp_path))))) == 40


def test_files_are_read_in_order_where_that_is_asked_for(tmp_path):
    for i in range(40):
        (tmp_path / f"{i:02}.jsonl").write_text(lines([f"{i} " + "x" * 100_000]))
    reading = Reading(Source(folder=str(tmp_path), max_read_mb=1), ordered=True)
    assert [int(row.values["text"].split()[0]) for row in reading] == list(range(9))
    assert reading.tally.bounded
    assert not reading.permuted
    assert not reading.again()


def test_a_reader_can_be_stopped(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines(["x" * 1000] * 5000))

    class Stop:
        ticks = 0

        def phase(self, text): ...

        def tick(self, done, total):
            assert 0 <= done <= total
            self.ticks += 1
            if self.ticks == 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        list(rows_of(Source(file=str(tmp_path / "a.jsonl")), progress=Stop()))


def test_a_preview_is_whole_where_it_can_be(tmp_path):
    text = "".join(lines([f"t{i}"], label="x" if i < 3000 else "y") for i in range(4000))
    (tmp_path / "a.jsonl").write_text(text)
    look = preview(Source(file=str(tmp_path / "a.jsonl")))
    assert (look.count, look.whole, look.columns, look.title) == (4000, True, ["text", "label"], "a.jsonl")
    assert look.values["label"] == {"x": 3000, "y": 1000}
    assert len(look.first) == 50
    assert len(look.values["text"]) == 50


def test_a_preview_of_a_long_file_is_its_beginning(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines(["x" * 10_000] * 4000))
    look = preview(path, rows=100)
    assert (look.count, look.whole, look.size) == (100, False, path.stat().st_size)
    with gzip.open(tmp_path / "a.jsonl.gz", "wb") as file:
        file.write(path.read_bytes())
    packed = preview(tmp_path / "a.jsonl.gz", rows=100)
    assert not packed.whole
    assert packed.count < 4000


def test_an_unknown_source_names_itself_once():
    with pytest.raises(InputError) as caught:
        read_records(Path("/nowhere/boats.csv"))
    assert str(caught.value).startswith("boats.csv: there is no file")
