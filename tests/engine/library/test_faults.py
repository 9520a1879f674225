"""The library when things go wrong: damage, a full disk, kills, several at once, hostile ids and texts."""

import os
import subprocess
import sys
import threading

import pytest

from tests.helpers.homes import PATIENCE, files
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data.subsets import load_subset
from untrac_core.engine.library import records as kept
from untrac_core.errors import InputError
from untrac_core.paths import PROJECT
from untrac_core.specs import Source, Subset


def test_a_damaged_entry_is_left_out_and_can_be_added_again(library, subset):
    entry = library.add_subset(subset)
    path = library.home / "library" / "subset" / f"{entry.id}.json"
    for text in ("", "{", "[]", '{"value": {}}', path.read_text().replace('"kept"', '"kepp"'), "[" * 100_000):
        path.write_text(text)
        assert [found.id for found in library.entries("subset") if not found.builtin] == []
        with pytest.raises(InputError, match="its file cannot be read"):
            library.entry("subset", entry.id)
    assert library.add_subset(subset).id == entry.id
    assert library.entry("subset", entry.id).value == entry.value


def test_records_that_were_deleted_by_hand_are_told_of_and_come_back(library, subset):
    entry = library.add_subset(subset)
    kept.data_path(library.home, entry.value.source.kept).unlink()
    assert "its kept records are gone" in library.entry("subset", entry.id).problem
    assert library.add_subset(subset).problem == ""


def test_faulty_records_are_refused_and_leave_nothing(library, prompts, subset, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"text": 1')
    faulty = {
        "is not valid JSON": Subset(name="x", source=Source(file=str(tmp_path / "bad.jsonl"))),
        "there is no file": Subset(name="x", source=Source(file=str(tmp_path / "nowhere.jsonl"))),
        "has no column": subset.model_copy(update={"text": "tekst"}),
    }
    for message, spec in faulty.items():
        with pytest.raises(InputError, match=message):
            library.add_subset(spec)
    with pytest.raises(InputError, match="no row has the label"):
        library.add_prompts(prompts.model_copy(update={"harmful": "vile"}))
    assert [name for name in files(library) if not name.endswith(".lock")] == []


def test_an_almost_full_disk_is_refused(library, subset, monkeypatch):
    from untrac_core.engine import disk

    monkeypatch.setattr(disk, "free_mb", lambda folder: 10.0)
    with pytest.raises(InputError, match="the disk is almost full"):
        library.add_subset(subset)
    assert [name for name in files(library) if not name.endswith(".lock")] == []


def test_a_disk_that_fills_up_in_the_middle_is_one_line_and_leaves_nothing(library, subset, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        library.add_subset(subset)
    monkeypatch.undo()
    assert [name for name in files(library) if not name.endswith(".lock")] == []


ADD = """
import sys
from untrac_core.engine.library import records as kept
from untrac_core.engine.library.library import Library
from untrac_core.specs.runs import Source, Subset
spec = Subset(name="fishers", source=Source(file=sys.argv[1]), text="body")
if sys.argv[2] == "kill":
    import os, signal
    def stop(*_): os.kill(os.getpid(), signal.SIGKILL)
    setattr(kept, sys.argv[3], stop)
for _ in range(int(sys.argv[4])):
    entry = Library().add_subset(spec)
print(entry.id)
"""


def adding(*arguments):
    return subprocess.Popen([sys.executable, "-c", ADD, *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def test_processes_that_add_the_same_at_once_make_one_entry(library, subset):
    adders = [adding(subset.source.file, "add", "", "10") for _ in range(3)]
    ids = {adder.communicate(timeout=PATIENCE)[0].strip() for adder in adders}
    assert [adder.returncode for adder in adders] == [0, 0, 0]
    assert len(ids) == 1
    assert [entry.id for entry in library.entries("subset") if not entry.builtin] == list(ids)
    assert len(list((library.home / "library" / "data").iterdir())) == 1
    assert not [name for name in files(library) if name.endswith(".part")]


@pytest.mark.parametrize("moment", ["keep", "write_text"])
def test_killed_in_the_middle_of_adding_leaves_nothing_that_counts(library, subset, moment):
    killed = adding(subset.source.file, "kill", moment, "1")
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -9
    assert [entry for entry in library.entries("subset") if not entry.builtin] == []
    mended = library.add_subset(subset)  # the lock went with the process
    assert mended.problem == ""
    for partial in (library.home / "library" / "data").glob(".*.part"):
        os.utime(partial, (1, 1))
    library.add_subset(subset.model_copy(update={"limit": 3}))
    assert [path.name for path in (library.home / "library" / "data").iterdir()] == [
        f"{mended.value.source.kept}.jsonl"
    ]


def test_a_name_is_given_once_however_many_add_at_once(library, tmp_path):
    def add(number):
        path = write_jsonl(tmp_path / f"{number}.jsonl", [{"text": text} for text in sentences("smiths", 4, number)])
        library.add_subset(Subset(name="smiths", source=Source(file=str(path))))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    names = sorted(entry.name for entry in library.entries("subset") if not entry.builtin)
    assert names == sorted(["smiths", *(f"smiths ({number})" for number in range(2, 9))])


def test_ids_and_kinds_from_outside_are_checked(library):
    for entry_id in ("../../etc", "0123456789a", "0123456789AB", "demo/../x", "", "\0", "demo-" + "x" * 99):
        with pytest.raises(InputError, match="is not the id of an entry"):
            library.entry("model", entry_id)
        with pytest.raises(InputError, match="is not the id of an entry"):
            library.remove("model", entry_id)
    with pytest.raises(InputError, match="is not kept in the library"):
        library.entries("../runs")
    with pytest.raises(InputError, match="there is no training subset 0123456789ab"):
        library.entry("subset", "0123456789ab")


def test_hostile_text_survives_as_text(library, tmp_path):
    texts = ["<script>alert(1)</script> a net", "=cmd|' /C calc'!A0 tide", 'quote " and \\ rope', "line\u2028sep oar",
             "\u202eright to left gull", "{{7*7}} ${HOME} boat"]  # fmt: skip
    write_jsonl(tmp_path / "odd.jsonl", [{"text": text} for text in texts])
    name = "<b>odd</b> ../../x"
    entry = library.add_subset(Subset(name=name, source=Source(file=str(tmp_path / "odd.jsonl"))))
    assert entry.name == name
    assert {document.text for document in load_subset(entry.value).documents} == set(texts)
    assert (library.home / "library" / "subset" / f"{entry.id}.json").is_file()
