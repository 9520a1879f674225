"""Names, tags and notes of runs: kept with the run, capped, and never more than text."""

import sqlite3

import pytest

from tests.helpers.homes import trace_spec
from tests.helpers.making import HOSTILE, enqueue
from untrac_core.engine import Store
from untrac_core.engine.database import SCHEMA, VERSION
from untrac_core.engine.runs import NOTES_MOST, SORTS, TAGS_MOST, Wanted
from untrac_core.errors import InputError

RUN, OTHER = "a" * 12, "b" * 12


@pytest.fixture
def run(store):
    return enqueue(store, trace_spec(), RUN)


def test_what_is_written_on_a_run_stays_and_the_rest_with_it(store, run):
    store.label(run, name="  the first ", tags=["paper", "demo", "paper"], notes="two\r\nlines")
    found = Store(store.home).run(run)
    assert (found.name, found.tags, found.notes) == ("the first", ("paper", "demo"), "two\nlines")
    assert found.spec.name == "a run", "the request stays as it was"
    store.label(run, tags=[])
    found = store.run(run)
    assert (found.name, found.tags, found.notes) == ("the first", (), "two\nlines")


def test_hostile_words_come_back_as_they_are(store, run):
    store.label(run, name=HOSTILE[0], tags=["'; drop table runs; --"], notes=" ".join(HOSTILE))
    found = store.run(run)
    assert (found.name, found.tags[0], found.notes) == (HOSTILE[0], "'; drop table runs; --", " ".join(HOSTILE))
    assert len(store.runs()) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "n" * 81},
        {"name": "a\x00b"},
        {"tags": ["t" * 41]},
        {"tags": [" "]},
        {"tags": ["a\nb"]},
        {"tags": [str(number) for number in range(TAGS_MOST + 1)]},
        {"notes": "n" * (NOTES_MOST + 1)},
        {"notes": "a\x07b"},
    ],
)
def test_what_is_too_long_or_no_text_is_refused_in_one_line(store, run, bad):
    with pytest.raises(InputError) as caught:
        store.label(run, **bad)
    assert "\n" not in str(caught.value)
    assert (store.run(run).name, store.run(run).tags, store.run(run).notes) == ("a run", (), "")


def test_runs_are_found_and_sorted_by_what_they_are(store, run):
    enqueue(store, trace_spec(name="Another"), OTHER, created=1.8e9)
    store.label(run, tags=["paper"], notes="the one with the long texts")
    runs = store.runs()

    def ids(**asked):
        return [one.id for one in Wanted(**asked).of(runs)]

    assert ids() == [OTHER, RUN]
    assert ids(tags=["paper"]) == ids(find="PAPER") == ids(find="long untrac-inv") == [RUN]
    assert ids(models=["demo"], methods=["UnTrac-Inv (robust)"], kinds=["trace"]) == [OTHER, RUN]
    assert ids(kinds=["validate"]) == ids(methods=["BM25"]) == ids(find="paper nothing") == []
    assert ids(sort="name") == [RUN, OTHER]
    assert all(len(ids(sort=one)) == 2 for one in SORTS)
    assert [one.id for one in store.under_way()] == [RUN, OTHER]


def test_a_home_of_the_version_before_gets_the_new_columns_and_keeps_its_runs(tmp_path):
    tags = SCHEMA.index("    rate real,")
    old = SCHEMA[:tags] + "    rate real\n" + SCHEMA[SCHEMA.index(");", tags) :]
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "untrac.sqlite") as connection:
        connection.executescript(f"{old} pragma user_version=1;")
        assert "tags" not in {row[1] for row in connection.execute("pragma table_info(runs)")}
        connection.execute(
            "insert into runs (id, kind, name, status, spec, device, created, queued) values (?, 'trace', 'old', "
            "'queued', ?, 'cpu', 1, 1)",
            (RUN, trace_spec().model_dump_json()),
        )
    store = Store(home)
    assert (store.run(RUN).name, store.run(RUN).tags, store.run(RUN).notes) == ("old", (), "")
    store.label(RUN, tags=["kept"])
    with sqlite3.connect(store.database) as connection:
        assert connection.execute("pragma user_version").fetchone()[0] == VERSION
        columns = {row[1] for row in connection.execute("pragma table_info(runs)")}
    with sqlite3.connect(Store(tmp_path / "new").database) as connection:
        assert columns == {row[1] for row in connection.execute("pragma table_info(runs)")}
