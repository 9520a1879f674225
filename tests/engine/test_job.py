"""A job in this process, with a tracer that does as it is told: how runs end, and what they leave."""

import hashlib
import itertools
import os
import sys
import time

import pandas as pd
import pytest
from filelock import FileLock

from tests.helpers.homes import FAKE, trace_spec
from untrac_core.cells import Cell
from untrac_core.engine.database import connect
from untrac_core.engine.job import BEAT_SECONDS, Reporter, explain, perform, run_job
from untrac_core.engine.ledger import RunWriter
from untrac_core.engine.processes import lock_path
from untrac_core.errors import Cancelled

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def ledger(store):
    return RunWriter(store.home)


@pytest.fixture
def make_tracer(monkeypatch):
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.delitem(sys.modules, "sitecustomize", raising=False)
    monkeypatch.delitem(sys.modules, "untrac_core.tasks.trace.task", raising=False)
    import sitecustomize

    return sitecustomize.TraceTask


@pytest.fixture
def finish(ledger, make_tracer):
    """Queue a run that behaves as said, or take up one again, and run it to its end in this process."""

    def start(behaviour="cells=3 seconds=0.01", run_id=None):
        run_id = run_id or ledger.store.submit(trace_spec(behaviour))
        _, attempt = ledger.claim("cpu")
        ledger.attach(run_id, attempt, os.getpid())
        code = run_job(ledger, run_id, attempt)
        ledger.left(run_id, attempt)
        return code, ledger.store.run(run_id)

    return start


def sources(ledger, run_id):
    with connect(ledger.path) as connection:
        rows = connection.execute("select source from cells where run = ? order by position", (run_id,))
        return [row["source"] for row in rows]


def test_a_run_computes_its_cells_and_writes_its_result(finish, ledger):
    code, run = finish()
    assert (code, run.status, run.cells_done, run.cells_total, run.progress) == (0, "done", 3, 3, 1.0)
    assert sources(ledger, run.id) == ["computed"] * 3
    assert (run.folder / "summary.json").is_file()
    phases = [event.text for event in ledger.store.events(run.id) if event.kind == "phase"]
    assert phases == ["loading torch", "loading the model", "writing the result"]
    assert run.settled


def test_the_same_cells_are_taken_from_the_cache_by_the_next_run(finish, ledger):
    finish()
    _, again = finish()
    assert sources(ledger, again.id) == ["reused"] * 3
    assert again.status == "done"


def test_a_damaged_cell_is_computed_again_alone(finish, ledger):
    _, run = finish()
    with connect(ledger.path) as connection:
        keys = [row["key"] for row in connection.execute("select key from cells where run = ?", (run.id,))]
    ledger.store.cell_path(keys[1]).write_bytes(b"not a table")
    _, again = finish()
    assert sources(ledger, again.id) == ["reused", "computed", "reused"]


@pytest.fixture
def two_stages(make_tracer, monkeypatch):
    """The tracer with a second stage of two cells, whose numbers are those of the first stage and one more."""

    class Staged(make_tracer):
        def __init__(self, *given):
            super().__init__(*given)
            keys = [hashlib.sha256(f"{self.wish} look {number}".encode()).hexdigest() for number in range(2)]
            self.eval_points = [Cell(key, f"look {number}", 10 + number) for number, key in enumerate(keys)]

        @property
        def later(self):
            return [self.eval_points]

        def tell(self, frames):
            self.told = pd.concat(frames)["influence"].sum()

        def run_cell(self, cell):
            return (
                super().run_cell(cell).assign(influence=self.told + 1)
                if cell in self.eval_points
                else super().run_cell(cell)
            )

    monkeypatch.setattr(sys.modules["untrac_core.tasks.trace.task"], "TraceTask", Staged)
    return Staged


def test_the_second_stage_is_planned_at_once_and_told_the_tables_of_the_first(finish, ledger, two_stages):
    code, run = finish("cells=3 seconds=0.01")
    assert (code, run.cells_done, run.cells_total) == (0, 5, 5)
    rows = pd.read_parquet(run.folder / "influence.parquet")
    assert rows["influence"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2, 2])
    _, again = finish("cells=3 seconds=0.01")
    assert sources(ledger, again.id) == ["reused"] * 5


@pytest.mark.parametrize("stage", [1, 11])
def test_a_run_that_ends_in_either_stage_goes_on_to_the_same_bytes(finish, ledger, two_stages, monkeypatch, stage):
    calm = finish("cells=3 seconds=0.01")[1].folder / "influence.parquet"
    monkeypatch.setattr(two_stages, "misbehave", lambda self, seed: 1 / (int(seed) - stage))
    code, run = finish("cells=3 seconds=0.0101")
    assert (code, run.cells_done, run.cells_total) == (1, 1 if stage == 1 else 4, 5)
    monkeypatch.setattr(two_stages, "misbehave", lambda self, seed: None)
    ledger.store.resume(run.id)
    code, run = finish(run_id=run.id)
    assert (code, sources(ledger, run.id)) == (0, ["computed"] * 5)
    assert (run.folder / "influence.parquet").read_bytes() == calm.read_bytes()


@pytest.mark.parametrize(
    ("behaviour", "said", "faulty_input"),
    [
        ("disk=2", "the disk is full; finished cells are kept: free some space, then resume", False),
        ("memory=2", "memory ran out; finished cells are kept", False),
        ("input=2", "model: the model has no words. Teach it some.", True),
        ("fault=2", "RuntimeError: broken with [hidden] in two lines (the log says where)", False),
    ],
)
def test_a_failure_is_one_line_and_keeps_finished_cells(
    finish, ledger, make_tracer, monkeypatch, capsys, behaviour, said, faulty_input
):
    monkeypatch.setenv("HF_TOKEN", "a-private-token")
    code, run = finish(f"cells=4 seconds=0.01 {behaviour}")
    assert (code, run.status, run.faulty_input) == (1, "failed", faulty_input)
    assert run.error.startswith(said)
    assert "\n" not in run.error
    assert "Traceback" in capsys.readouterr().err
    assert run.cells_done == 2

    monkeypatch.setattr(make_tracer, "misbehave", lambda self, seed: None)
    ledger.store.resume(run.id)
    code, run = finish(run_id=run.id)
    assert (code, run.status, run.error, run.faulty_input) == (0, "done", None, False)
    assert sources(ledger, run.id) == ["computed"] * 4  # all by this run, in two attempts


def test_a_full_disk_is_seen_before_the_model_is_loaded(finish, ledger, monkeypatch):
    from untrac_core.engine import disk

    run_id = ledger.store.submit(trace_spec())
    monkeypatch.setattr(disk, "free_mb", lambda folder: 10.0)
    _, run = finish(run_id=run_id)
    assert run.status == "failed"
    assert "the disk is almost full" in run.error
    assert run.faulty_input


def test_a_signal_from_outside_ends_as_cancelled_and_says_so(finish, make_tracer, monkeypatch):
    import signal

    monkeypatch.setattr(
        make_tracer, "misbehave", lambda self, seed: seed == "1" and os.kill(os.getpid(), signal.SIGTERM)
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        code, run = finish()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, run.status, run.cells_done) == (130, "cancelled", 1)
    assert "from outside" in run.error


def test_a_job_whose_run_was_given_to_another_stops_at_its_next_report(ledger):
    run_id = ledger.store.submit(trace_spec())
    ledger.claim("cpu")
    reporter = Reporter(ledger, run_id, 1)
    reporter.phase("loading")
    ledger.give_back_orphans("cpu")
    with pytest.raises(Cancelled):
        reporter.tick(1, 2)


def test_ticks_are_written_a_few_times_a_second_at_most_and_the_part_only_grows(ledger, monkeypatch):
    run_id = ledger.store.submit(trace_spec())
    ledger.claim("cpu")
    reporter = Reporter(ledger, run_id, 1)
    beats = []
    monkeypatch.setattr(ledger, "beat", lambda run_id, attempt, part: beats.append((time.monotonic(), part)))
    for _ in range(2):
        with reporter.cell():
            number = len(beats)
            while len(beats) < number + 2:
                for done in range(10):
                    reporter.tick(done + 1, 10)
                time.sleep(0.01)
            parts = [part for _, part in beats[number:]]
            assert parts == sorted(parts)
            assert 0 < parts[-1] < 1
    moments = [moment for moment, _ in beats]
    assert min(b - a for a, b in itertools.pairwise(moments)) >= BEAT_SECONDS * 0.99
    assert len([event for event in ledger.store.events(run_id) if event.kind == "phase"]) == 0


def test_half_written_files_of_a_killed_process_are_removed(finish, ledger):
    run_id = ledger.store.submit(trace_spec())
    folder = ledger.store.run(run_id).folder
    folder.mkdir()
    (folder / ".summary.json.123.part").write_text("{")
    finish(run_id=run_id)
    assert list(folder.glob(".*")) == []


def test_memory_faults_of_torch_have_the_same_line():
    class OutOfMemoryError(RuntimeError): ...

    assert explain(OutOfMemoryError("CUDA out of memory")) == explain(MemoryError())
    assert explain(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")) == explain(MemoryError())


def test_two_queues_never_compute_on_one_device_at_once(ledger, make_tracer, home):
    """The run of the queue 'auto' finds that it is for the CPU, which a run of the queue 'cpu' holds."""
    run_id = ledger.store.submit(trace_spec("cells=1 seconds=0.01", device="auto"))
    ledger.claim("auto")

    def while_held(spec, progress, threads):
        raise AssertionError("it loaded a model while the device was held")

    class Impatient(Reporter):
        def tick(self, done, total):
            super().tick(done, total)
            if self._phase.startswith("waiting for cpu"):
                raise Cancelled

    with FileLock(lock_path(home, "device", "cpu")), pytest.raises(Cancelled):
        perform(ledger, run_id, 1, Impatient(ledger, run_id, 1), while_held)
    assert ledger.store.run(run_id).phase == "waiting for cpu, where another run computes"
    assert run_job(ledger, run_id, 1) == 0


def test_a_download_shows_how_much_of_it_is_here(ledger, monkeypatch):
    run_id = ledger.store.submit(trace_spec())
    ledger.claim("cpu")
    reporter = Reporter(ledger, run_id, 1)
    reporter.one_pass = True
    parts = []
    monkeypatch.setattr(ledger, "beat", lambda run, attempt, part: parts.append(part))
    with reporter.cell():
        for done in (0, 250_000, 750_000, 1_000_000):
            reporter._beaten = 0.0
            reporter.tick(done, 1_000_000)
    assert parts == [0.0, 0.25, 0.75, 0.99]


def test_a_look_at_a_large_source_shows_how_far_it_is_before_any_cell_is_known(ledger):
    run_id = ledger.store.submit(trace_spec())
    ledger.claim("cpu")
    reporter = Reporter(ledger, run_id, 1)
    reporter.one_pass = True
    reporter.tick(300, 1000)
    assert ledger.store.run(run_id).progress == pytest.approx(0.3)
