"""Workers and jobs as processes: order, cancelling, and every way of dying. The tracer has no model."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.helpers.homes import PATIENCE, let_go, serving, trace_spec, until
from untrac_core.engine import ensure_worker, submit
from untrac_core.engine.processes import PROJECT, worker_runs
from untrac_core.engine.worker import ending, job_environment, threads

# Slow: dozens of processes that are started, killed and waited for.
pytestmark = [pytest.mark.usefixtures("unchecked"), pytest.mark.slow]


def ended(store, run_id):
    until(lambda: store.run(run_id).settled)
    return store.run(run_id)


def recovered(store, run_id):
    """Wait for a run's end as pages and command line do: asking for a worker again and again."""
    until(lambda: ensure_worker("cpu", store.home) or store.run(run_id).settled, every=0.2)
    return store.run(run_id)


def computing(store, run_id):
    """Wait until a run is inside its second cell, where ``hold=1`` keeps it."""
    until(lambda: store.run(run_id).cells_done >= 1)


def computed_keys(store, run_id):
    return [e.data["key"] for e in store.events(run_id) if e.kind == "cell" and e.data["source"] == "computed"]


def test_runs_of_a_device_follow_their_order_one_at_a_time_and_the_worker_leaves(store):
    ids = [submit(trace_spec(f"cells=2 seconds=0.1 run={number}"), store) for number in range(3)]
    until(lambda: store.run(ids[0]).status != "queued")
    busy = []
    while not store.run(ids[-1]).settled:
        busy.append(len(serving(store.home, "engine.job")))
        time.sleep(0.05)
    assert max(busy) == 1
    runs = [store.run(run_id) for run_id in ids]
    assert [run.status for run in runs] == ["done"] * 3
    assert runs[0].finished <= runs[1].started
    assert runs[1].finished <= runs[2].started
    assert "loading the model" in store.log(ids[0])
    until(lambda: not serving(store.home, "engine.worker"))  # idle time in tests: 2 s


def test_two_starts_in_a_race_leave_one_worker(store, home):
    script = "from untrac_core.engine import ensure_worker; ensure_worker('cpu')"
    environment = dict(os.environ, UNTRAC_IDLE_SECONDS="3600")
    racers = [subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=PROJECT) for _ in range(4)]
    assert [racer.wait(PATIENCE) for racer in racers] == [0] * 4
    until(lambda: worker_runs("cpu", home))
    until(lambda: len(serving(home, "engine.worker")) == 1)
    (worker,) = serving(home, "engine.worker")
    ensure_worker("cpu", home)
    time.sleep(0.5)
    assert serving(home, "engine.worker") == [worker]
    run_id = submit(trace_spec("cells=1"), store)
    assert ended(store, run_id).attempt == 1


def test_a_run_that_comes_while_the_worker_leaves_is_done(store, monkeypatch):
    monkeypatch.setenv("UNTRAC_IDLE_SECONDS", "0.1")
    for number in range(4):
        run_id = submit(trace_spec(f"cells=1 seconds=0.01 run={number}"), store)
        assert ended(store, run_id).status == "done"
        time.sleep(0.1 * number / 3)


def test_cancelling_ends_a_run_in_the_middle_of_a_cell_and_keeps_finished_cells(store):
    run_id = submit(trace_spec("cells=3 hold=1"), store)
    computing(store, run_id)
    store.cancel(run_id)
    assert store.run(run_id).status == "cancelling"
    run = ended(store, run_id)
    assert (run.status, run.error, run.cells_done) == ("cancelled", None, 1)


def test_a_job_that_does_not_listen_is_killed_after_the_grace(store, monkeypatch):
    monkeypatch.setenv("UNTRAC_GRACE_SECONDS", "0.5")
    run_id = submit(trace_spec("cells=3 deaf=1"), store)
    computing(store, run_id)
    store.cancel(run_id)
    assert ended(store, run_id).status == "cancelled"


def test_a_hung_job_is_seen_by_its_heartbeat(store, monkeypatch):
    monkeypatch.setenv("UNTRAC_HANG_SECONDS", "6")  # more than a job takes to load on a busy machine
    hung = submit(trace_spec("cells=3 stop=1"), store)
    following = submit(trace_spec("cells=1"), store)
    run = ended(store, hung)
    assert run.status == "failed"
    assert run.error.startswith("the job hung: no sign of life for 6 seconds; finished cells are kept: resume")
    assert run.cells_done == 1
    assert ended(store, following).status == "done"


def test_a_killed_job_fails_its_run_and_resumes(store):
    run_id = submit(trace_spec("cells=5 hold=1"), store)
    computing(store, run_id)
    (job,) = serving(store.home, "engine.job")
    os.kill(job, signal.SIGKILL)
    run = ended(store, run_id)
    assert run.status == "failed"
    assert run.error.startswith("the job ended with signal 9 (killed from outside, often because memory ran out)")
    assert run.error.endswith("finished cells are kept: resume")
    let_go(store.home)
    store.resume(run_id)
    assert recovered(store, run_id).status == "done"
    keys = computed_keys(store, run_id)
    assert len(keys) == len(set(keys)) == 5


def test_a_killed_worker_takes_its_job_along_and_the_next_one_goes_on(store):
    run_id = submit(trace_spec("cells=6 hold=1"), store)
    computing(store, run_id)
    (worker,), (job,) = serving(store.home, "engine.worker"), serving(store.home, "engine.job")
    os.kill(worker, signal.SIGKILL)
    until(lambda: job not in serving(store.home, "engine.job"))
    assert store.run(run_id).status == "running"  # nobody has looked yet
    let_go(store.home)
    run = recovered(store, run_id)
    assert (run.status, run.attempt) == ("done", 2)
    keys = computed_keys(store, run_id)
    assert len(keys) == len(set(keys)) == 6


def test_a_stopped_job_of_a_killed_worker_is_ended_by_the_next_one(store):
    run_id = submit(trace_spec("cells=4 hold=1"), store)
    computing(store, run_id)
    (worker,), (job,) = serving(store.home, "engine.worker"), serving(store.home, "engine.job")
    os.kill(job, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    let_go(store.home)
    run = recovered(store, run_id)
    assert (run.status, run.attempt) == ("done", 2)
    assert not psutil.pid_exists(job) or psutil.Process(job).status() == psutil.STATUS_ZOMBIE


def test_a_run_outlives_whoever_submitted_it(store, home):
    script = f"""
import sys, time
sys.path.insert(0, {str(PROJECT)!r})
import untrac_core.tasks.trace.check
untrac_core.tasks.trace.check.check = lambda spec, **_: untrac_core.tasks.base.Check(disk_mb=0.0)
from tests.helpers.homes import trace_spec
from untrac_core.engine import submit
print(submit(trace_spec("cells=6 hold=1")), flush=True)
time.sleep(3600)
"""
    submitter = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=PROJECT, start_new_session=True
    )
    run_id = submitter.stdout.readline().strip()
    computing(store, run_id)
    os.killpg(submitter.pid, signal.SIGKILL)
    submitter.wait(PATIENCE)
    submitter.stdout.close()
    assert store.run(run_id).status == "running"
    let_go(home)
    run = ended(store, run_id)
    assert (run.status, run.attempt, run.cells_done) == ("done", 1, 6)


def test_secrets_reach_the_job_but_not_its_log(store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-private-token")
    run = ended(store, submit(trace_spec("cells=2 fault=1"), store))
    assert "broken with [hidden]" in run.error
    log = store.log(run.id)
    assert "Traceback" in log
    assert "[hidden]" in log
    assert "a-private-token" not in log + run.error + str(store.events(run.id))
    assert b"a-private-token" not in store.database.read_bytes()


def test_a_job_gets_its_threads_and_its_own_gpu(home, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delenv("UNTRAC_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    assert threads() == max(1, cores - 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("UNTRAC_THREADS", "5")
    assert job_environment(home, "cpu")["OMP_NUM_THREADS"] == "5"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert job_environment(home, "cuda:1")["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert job_environment(home, "cuda:1")["CUDA_VISIBLE_DEVICES"] == "6"
    assert job_environment(home, "auto")["CUDA_VISIBLE_DEVICES"] == "4,6"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "signal 9 (killed from outside"),
        (-11, "signal 11 (SIGSEGV"),
        (-200, "signal 200 (unknown"),
        (3, "exit code 3"),
    ],
)
def test_every_ending_has_words(code, said):
    assert said in ending(code)
    assert ending(code).endswith("resume")
