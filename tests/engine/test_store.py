"""What the store promises to pages and command line, without any worker."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.helpers.homes import PATIENCE, trace_spec
from untrac_core.demo.recorded import RECORDED
from untrac_core.engine import (
    DEMO_BY_UNTRAC,
    DEMO_RUN,
    STATUSES,
    Library,
    Store,
    disk,
)
from untrac_core.engine.database import VERSION
from untrac_core.engine.ledger import MAX_LOST, RunWriter
from untrac_core.engine.processes import PROJECT
from untrac_core.errors import Cancelled, InputError
from untrac_core.paths import DEMO
from untrac_core.specs import ModelRef, TrainSpec
from untrac_core.specs.files import absolute

pytestmark = pytest.mark.usefixtures("unchecked")


class Cell:
    def __init__(self, number):
        self.key, self.label, self.seed = f"{number:064x}", f"cell {number}", number


@pytest.fixture
def ledger(store):
    return RunWriter(store.home)


def test_a_submitted_run_waits_and_says_so(store):
    spec = trace_spec()
    run = store.run(store.submit(spec))
    assert (run.status, run.kind, run.name, run.device) == ("queued", "trace", "a run", "cpu")
    assert run.spec == absolute(spec, Path.cwd())
    assert run.queue_position == 0
    assert run.active
    assert not run.settled
    assert run.progress == 0
    assert run.eta_seconds is None
    assert [event.text for event in store.events(run.id)] == ["queued"]


def test_runs_are_listed_newest_first_and_wait_in_order(store):
    ids = [store.submit(trace_spec(name=f"run {number}")) for number in range(3)]
    other = store.submit(trace_spec(device="cuda:1"))
    assert [run.id for run in store.runs()] == [other, *reversed(ids)]
    assert [store.run(run_id).queue_position for run_id in (*ids, other)] == [0, 1, 2, 0]
    assert len(store.runs(limit=2)) == 2


def test_cuda_waits_in_the_queue_of_its_first_device(store):
    assert store.run(store.submit(trace_spec(device="cuda"))).device == "cuda:0"


@pytest.mark.parametrize(
    "bad", ["", "abc", "../../../etc", "ABCDEF012345", "0123456789ab\n", "0123456789abc", "' or 1"]
)
def test_an_ill_formed_id_is_refused_before_any_path_or_query(store, bad):
    for use in (store.run, store.events, store.cancel, store.resume, store.delete, store.log):
        with pytest.raises(InputError, match="is not a run id"):
            use(bad)


def test_an_unknown_id_is_said_to_be_unknown(store):
    for use in (store.run, store.cancel, store.resume, store.delete):
        with pytest.raises(InputError, match="there is no run"):
            use("0123456789ab")


def test_the_home_is_private_and_the_database_in_wal_mode(store):
    assert stat.S_IMODE(store.home.stat().st_mode) == 0o700
    with sqlite3.connect(store.database) as connection:
        assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"


def test_a_home_of_a_newer_version_is_refused(store):
    with sqlite3.connect(store.database) as connection:
        connection.execute(f"pragma user_version={VERSION + 1}")
    with pytest.raises(InputError, match="newer version"):
        Store(store.home)


def test_no_run_is_made_of_a_recipe_or_of_what_the_check_refuses(store, monkeypatch):
    import untrac_core.tasks.trace.check

    with pytest.raises(InputError, match="recipe is not run in the queue"):
        store.submit(TrainSpec.model_validate({"subsets": [{"name": "a", "source": {"file": "a.txt"}}]}))

    def refuse(spec, **_):
        raise InputError("no such file", field="subset 'forum'", hint="check the path")

    monkeypatch.setattr(untrac_core.tasks.trace.check, "check", refuse)
    with pytest.raises(InputError, match="no such file"):
        store.submit(trace_spec())
    assert store.runs() == []


def test_no_run_is_made_on_a_full_disk(store, monkeypatch):
    monkeypatch.setattr(disk, "free_mb", lambda folder: 150.0)
    with pytest.raises(InputError, match=r"150 MB are free.*Free some space"):
        store.submit(trace_spec())
    assert store.runs() == []


def test_a_waiting_run_is_cancelled_at_once_and_can_be_resumed(store):
    first, second = store.submit(trace_spec()), store.submit(trace_spec())
    store.cancel(first)
    assert store.run(first).status == "cancelled"
    assert store.run(first).settled
    store.cancel(first)  # nothing to do
    store.resume(first)
    assert store.run(first).status == "queued"
    assert [store.run(run_id).queue_position for run_id in (second, first)] == [0, 1]
    with pytest.raises(InputError, match="Only a failed or cancelled run"):
        store.resume(first)


def test_claims_follow_the_queue_and_count_attempts(store, ledger):
    ids = [store.submit(trace_spec()) for _ in range(2)]
    assert ledger.claim("cuda:0") is None
    assert ledger.claim("cpu") == (ids[0], 1)
    assert store.run(ids[0]).status == "running"
    assert ledger.claim("cpu") == (ids[1], 1)
    assert ledger.claim("cpu") is None


def test_progress_and_time_left_come_from_cells_and_the_part_of_the_current_one(store, ledger):
    run_id = store.submit(trace_spec())
    ledger.claim("cpu")
    cells = [Cell(number) for number in range(4)]
    ledger.plan(run_id, 1, cells)
    ledger.cell_done(run_id, 1, cells[0], "reused")
    ledger.cell_done(run_id, 1, cells[1], "computed", 10.0)
    ledger.cell_started(run_id, 1)
    ledger.beat(run_id, 1, 0.5)
    run = store.run(run_id)
    assert (run.cells_done, run.cells_total) == (2, 4)
    assert run.progress == pytest.approx(2.5 / 4)
    assert run.eta_seconds == pytest.approx(15.0)
    cell_events = [event.data for event in store.events(run_id) if event.kind == "cell"]
    assert [(event["key"], event["source"]) for event in cell_events] == [
        (cells[0].key, "reused"),
        (cells[1].key, "computed"),
    ]


def test_events_are_read_from_where_one_stopped(store, ledger):
    run_id = store.submit(trace_spec())
    ledger.claim("cpu")
    for number in range(5):
        ledger.phase(run_id, 1, f"phase {number}")
    first = store.events(run_id, limit=3)
    rest = store.events(run_id, after=first[-1].seq)
    assert [event.text for event in first + rest] == ["queued", "running", *(f"phase {n}" for n in range(5))]


def test_silence_is_seen(store, ledger, monkeypatch):
    run_id = store.submit(trace_spec())
    ledger.claim("cpu")
    ledger.beat(run_id, 1, 0.0)
    assert not store.run(run_id).silent
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.run(run_id).silent


def test_a_job_that_was_thought_lost_can_change_nothing(store, ledger):
    run_id = store.submit(trace_spec())
    ledger.claim("cpu")
    ledger.give_back_orphans("cpu")
    assert ledger.claim("cpu") == (run_id, 2)
    with pytest.raises(Cancelled):
        ledger.beat(run_id, 1, 0.5)
    with pytest.raises(Cancelled):
        ledger.phase(run_id, 1, "late")
    assert not ledger.attach(run_id, 1, os.getpid())
    assert not ledger.finish(run_id, 1, "done")
    assert ledger.finish(run_id, 2, "done")
    assert not ledger.finish(run_id, 2, "failed", "too late")
    assert store.run(run_id).status == "done"


def test_a_run_is_given_up_after_three_lost_workers_and_can_be_resumed(store, ledger):
    run_id = store.submit(trace_spec())
    for attempt in range(1, MAX_LOST + 1):
        assert store.run(run_id).status == "queued"
        assert ledger.claim("cpu") == (run_id, attempt)
        ledger.give_back_orphans("cpu")
    run = store.run(run_id)
    assert run.status == "failed"
    assert "3 times" in run.error
    assert "resume" in run.error
    store.resume(run_id)
    assert ledger.claim("cpu") == (run_id, MAX_LOST + 1)
    ledger.give_back_orphans("cpu")
    assert store.run(run_id).status == "queued"


def test_a_lost_run_that_was_being_cancelled_is_cancelled(store, ledger):
    run_id = store.submit(trace_spec())
    ledger.claim("cpu")
    store.cancel(run_id)
    assert store.run(run_id).status == "cancelling"
    ledger.give_back_orphans("cpu")
    assert store.run(run_id).status == "cancelled"


def test_delete_takes_folder_and_own_cells_but_not_shared_ones_nor_running_runs(store, ledger):
    ids = [store.submit(trace_spec()) for _ in range(2)]
    for run_id, numbers in zip(ids, ((0, 1), (1, 2)), strict=True):
        ledger.claim("cpu")
        cells = [Cell(number) for number in numbers]
        ledger.plan(run_id, 1, cells)
        for cell in cells:
            store.cell_path(cell.key).write_bytes(b"cell")
            ledger.cell_done(run_id, 1, cell, "computed", 1.0)
        folder = store.run(run_id).folder
        folder.mkdir()
        (folder / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="Cancel it first"):
        store.delete(ids[0])
    ledger.finish(ids[0], 1, "done")
    folder = store.run(ids[0]).folder
    store.delete(ids[0])
    assert not folder.exists()
    assert [store.cell_path(Cell(number).key).exists() for number in range(3)] == [False, True, True]
    assert [run.id for run in store.runs()] == [ids[1]]
    assert store.events(ids[0]) == []


def test_a_run_of_another_version_does_not_hide_the_others(store):
    ids = [store.submit(trace_spec()) for _ in range(2)]
    with sqlite3.connect(store.database) as connection:
        connection.execute("update runs set spec = json_set(spec, '$.colour', 'red') where id = ?", (ids[0],))
    assert [run.id for run in store.runs()] == [ids[1]]
    with pytest.raises(InputError, match=f"run {ids[0]}: unknown key 'colour'"):
        store.run(ids[0])


def test_measured_rates_are_those_of_the_latest_run_of_a_device(store, ledger):
    for rate in (1e9, 2e9):
        run_id = store.submit(trace_spec())
        ledger.claim("cpu")
        ledger.finish(run_id, 1, "done", measured=("cpu", rate))
    assert store.rates() == {"cpu": 2e9}


def test_the_demo_is_installed_once_where_it_is_recorded(store):
    bundled = [run_id for folder, run_id in reversed(RECORDED.items()) if (DEMO / folder).is_dir()]
    assert bundled[:2] == [DEMO_RUN, DEMO_BY_UNTRAC]
    for _ in range(2):
        store.install_demo()
        assert [run.id for run in store.runs()] == bundled


def test_statuses_are_all_that_a_run_can_have(store, ledger):
    run_id = store.submit(trace_spec())
    seen = {store.run(run_id).status}
    ledger.claim("cpu")
    seen.add(store.run(run_id).status)
    store.cancel(run_id)
    seen.add(store.run(run_id).status)
    for status in ("cancelled", "failed", "done"):
        other = store.submit(trace_spec())
        ledger.claim("cpu")
        ledger.finish(other, 1, status)
        seen.add(store.run(other).status)
    assert seen == set(STATUSES)


WRITER = """
import sys
from untrac_core.engine.ledger import RunWriter
ledger = RunWriter()
for number in range(40):
    ledger.phase(sys.argv[1], 1, f"{sys.argv[2]} {number}")
    ledger.beat(sys.argv[1], 1, number / 40)
"""


def test_processes_and_threads_write_at_once_and_nothing_is_lost(store, ledger, monkeypatch):
    run_id = store.submit(trace_spec())
    ledger.claim("cpu")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, run_id, name]) for name in "abcd"]
    reads = []

    def read():
        for _ in range(40):
            reads.append(store.run(run_id).status)
            store.submit(trace_spec())

    reader = threading.Thread(target=read)
    reader.start()
    assert [writer.wait(PATIENCE) for writer in writers] == [0] * 4
    reader.join()
    texts = [event.text for event in store.events(run_id, limit=10_000) if event.kind == "phase"]
    assert sorted(texts) == sorted(f"{name} {number}" for name in "abcd" for number in range(40))
    for name in "abcd":  # each writer's own events in its own order
        assert [text for text in texts if text[0] == name] == [f"{name} {number}" for number in range(40)]
    assert len(store.runs()) == 41
    assert set(reads) == {"running"}


def test_a_fresh_home_is_set_up_by_many_at_once(tmp_path):
    faults = []

    def open_it():
        try:
            Store(tmp_path / "fresh").runs()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_collection_is_its_subsets_once_it_is_queued(store, world):
    """So that what is resumed is what was asked, whatever has come into the folder since."""
    import shutil

    from tests.helpers.worlds import WORDS
    from untrac_core.specs import Collection, ModelRef, PromptSet, Source, TraceSpec

    folder = store.home / "corpora"
    folder.mkdir()
    for name in WORDS:
        shutil.copy(world / f"{name}.jsonl", folder)
    spec = TraceSpec(
        model=ModelRef(path=str(world / "model")),
        prompts=[PromptSet(name="talk", source=Source(file=str(world / "prompts.jsonl")))],
        collections=[Collection(source=Source(folder=str(folder)), split_by="file")],
        device="cpu",
    )
    run = store.run(store.submit(spec))
    assert [subset.name for subset in run.spec.subsets] == sorted(WORDS)
    assert run.spec.collections == []


def test_runs_are_listed_by_kind_and_those_of_an_unknown_kind_are_left_out(store, unchecked):
    from untrac_core.engine.database import change

    run_id = store.submit(trace_spec())
    other = store.submit(trace_spec())
    with change(store.database) as connection:
        connection.execute("update runs set kind = 'dream' where id = ?", (other,))
    assert [run.id for run in store.runs()] == [run_id]
    assert [run.id for run in store.runs(kind="trace")] == [run_id]
    assert store.runs(kind="fetch") == []
    with pytest.raises(InputError, match="runs of kind 'dream' are not known"):
        store.run(other)


def test_a_result_folder_is_shown_and_nothing_can_be_started_beside_it(tmp_path, monkeypatch):
    store = Store(tmp_path / "view")
    run = store.install_result(DEMO / "run")
    assert (run.kind, run.status) == ("trace", "done")
    assert store.install_result(DEMO / "run").id == run.id
    assert (run.folder / "examples.parquet").read_bytes() == (DEMO / "run" / "examples.parquet").read_bytes()
    monkeypatch.setenv("UNTRAC_VIEW", "1")
    with pytest.raises(InputError, match="only shows a result"):
        store.submit(run.spec)
    with pytest.raises(InputError):
        store.install_result(tmp_path)


def test_a_run_whose_model_is_in_the_library_stays(tmp_path):
    store = Store(tmp_path / "home")
    run = store.install_result(DEMO / "run")
    shutil.copytree(DEMO / "model", run.folder / "model")
    entry = Library(store.home).add_model(ModelRef(path=str(run.folder / "model")), "mine", origin="unlearned")
    assert entry.origin == "unlearned"
    with pytest.raises(InputError, match="the library keeps its model 'mine'"):
        store.delete(run.id)
    Library(store.home).remove("model", entry.id)
    store.delete(run.id)
    assert not run.folder.exists()
