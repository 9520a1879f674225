"""What a user writes on runs from a shell, and finds them by."""

import json

import pytest

from tests.helpers.commands import said
from tests.helpers.homes import trace_spec
from tests.helpers.making import enqueue
from untrac_core.engine import Store

RUN, OTHER = "a" * 12, "b" * 12


@pytest.fixture
def two(home):
    store = Store()
    for run, name in ((RUN, "first look"), (OTHER, "second look")):
        store.delete(run) if run in {one.id for one in store.runs()} else None
        enqueue(store, trace_spec(name=name), run)
    return store


def ids(capsys, *asked):
    status, out, _ = said(capsys, "runs", "--json", *asked)
    assert status == 0
    return {run["id"] for run in json.loads(out)} & {RUN, OTHER}


def test_a_run_is_renamed_tagged_and_noted_and_found_by_it(two, capsys):
    assert (
        said(capsys, "edit", RUN, "--name", "mine", "--tag", "paper", "--tag", "demo", "--notes", "see [b]x[/b]")[0]
        == 0
    )
    assert said(capsys, "edit", RUN, "--untag", "demo")[1] == f"run {RUN} is changed\n"
    run = two.run(RUN)
    assert (run.name, run.tags, run.notes) == ("mine", ("paper",), "see [b]x[/b]")
    assert ids(capsys, "--tag", "paper") == ids(capsys, "--find", "[b]") == {RUN}
    assert ids(capsys, "--kind", "trace", "--sort", "name") == {RUN, OTHER}
    assert ids(capsys, "--kind", "validate") == set()
    out = said(capsys, "show", RUN)[1]
    assert "tags: paper" in out
    assert "see [b]x[/b]" in out
    assert "paper" in said(capsys, "runs")[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["edit", RUN], "there is nothing to change"),
        (["edit", RUN, "--untag", "gone"], "has no tag 'gone'"),
        (["edit", RUN, "--name", " "], "a name of 0 characters"),
        (["edit", "nonsense", "--name", "x"], "is not a run id"),
        (["runs", "--sort", "beauty"], "Choose created, name"),
        (["runs", "--kind", "dream"], "is no kind of run"),
        (["extend", RUN, "--seeds", "9"], "queued, so there is nothing to extend"),
        (["exclude", RUN, "nowhere.jsonl"], "cannot be read as text"),
        (["exclude", RUN, "wrong.jsonl"], "line 2 names no row of a subset"),
        (["exclude", RUN, "other.jsonl"], "the trace has no subset 'nothing'"),
    ],
)
def test_what_cannot_be_is_one_line(two, capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.jsonl").write_text('{"subset": "a", "row": "b"}\n[1, 2]\n')
    (tmp_path / "other.jsonl").write_text('{"subset": "nothing", "row": "b"}\n')
    status, out, err = said(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert expected in err
