"""The worker of a device: takes its waiting runs, one after the other, each in a process of its own.

There is one worker a queue (file lock), started on demand and gone when idle, so there is no service to manage. The
queues are the devices as a spec names them, and ``auto`` is a queue too, because knowing what it stands for takes
torch, which only the job may load. So two queues can lead to one device. What guarantees that a device computes one
run at a time is a second lock, ``device-<name>.lock``, that every job takes once it knows its device
(:mod:`untrac_core.engine.job`); the operating system frees it however the job ends.

A job that dies fails its run, and finished cells are kept. A worker that dies takes its job with it within seconds
(the job looks at its parent), and the next worker queues the run again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from untrac_core.engine import disk
from untrac_core.engine.database import connect
from untrac_core.engine.ledger import RunWriter
from untrac_core.engine.logs import pump
from untrac_core.engine.processes import (
    alive,
    child_environment,
    identity,
    lock_path,
    notify,
    python_module,
    queue_name,
    signal_group,
)
from untrac_core.errors import InputError
from untrac_core.paths import data_home

POLL_SECONDS = 0.2
ENDING_SECONDS = 30.0
STALE_SECONDS = 5.0
log = logging.getLogger("untrac.worker")


def setting(name: str, default: float) -> float:
    """A number from the environment; the default where it is not set or not a number."""
    try:
        return float(os.environ[name])
    except (KeyError, ValueError):
        return default


def threads() -> int:
    """Threads of a job: ``UNTRAC_THREADS`` or ``OMP_NUM_THREADS``, else all cores but one, for the pages."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(setting("UNTRAC_THREADS", setting("OMP_NUM_THREADS", cores - 1))))


def job_environment(home: Path, device: str) -> dict[str, str]:
    """The environment of a job: threads set before torch is loaded, and only its own GPU in sight."""
    environment = child_environment(home)
    environment.update(
        OMP_NUM_THREADS=str(threads()),
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        PYTHONUNBUFFERED="1",
        PYTHONFAULTHANDLER="1",
    )
    if device.startswith("cuda:"):
        index = int(device.partition(":")[2])
        visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
        environment["CUDA_VISIBLE_DEVICES"] = visible[index] if index < len(visible) else str(index)
    return environment


class Worker:
    """Serves one queue of one home until there has been nothing to do for ``UNTRAC_IDLE_SECONDS`` (20)."""

    def __init__(self, device: str, home: Path | None = None) -> None:
        self.device = queue_name(device)
        self.home = home or data_home()
        self.lock = FileLock(lock_path(self.home, "worker", self.device), mode=0o600)
        self.note = lock_path(self.home, "worker", self.device).with_suffix(".job")
        self.idle_seconds = setting("UNTRAC_IDLE_SECONDS", 20.0)
        self.hang_seconds = setting("UNTRAC_HANG_SECONDS", 900.0)
        self.grace_seconds = setting("UNTRAC_GRACE_SECONDS", 8.0)

    def serve(self) -> bool:
        """Work until idle; ``False`` when another worker serves this queue."""
        wait, served = 1.0, False  # a second: whoever asks whether a worker runs holds the lock for an instant
        while True:
            try:
                with self.lock.acquire(timeout=wait):
                    served = True
                    self.end_leftover()
                    self.ledger = RunWriter(self.home)
                    self.work()
            except Timeout:
                return served
            # A run may have come after the last look, from someone who still saw the lock held.
            if not self.ledger.waiting(self.device):
                return True
            wait = 0.5

    def end_leftover(self) -> None:
        """See that the job of a lost worker is gone: it leaves by itself, or is killed.

        It is known from a note beside the lock, not from the store: a job that was stopped in the middle of a write
        holds the store's lock, and has to be ended before anyone can read there.
        """
        try:
            pid, born = self.note.read_text().split("\n")
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + STALE_SECONDS
        while alive(int(pid), born):
            if time.monotonic() > deadline:
                signal_group(int(pid), signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        self.note.unlink(missing_ok=True)

    def work(self) -> None:
        """Supervise one run after the other; returns after the idle time."""
        disk.sweep(self.ledger.store.cells_folder)
        for run_id in self.ledger.give_back_orphans(self.device):
            log.info("run %s was left by a lost worker", run_id)
            self.tell(run_id)
        # An open connection keeps SQLite from tidying up, under an exclusive lock, whenever a job's one closes.
        with connect(self.ledger.path) as held:
            held.execute("select 1 from runs limit 1").fetchone()
            last = time.monotonic()
            while time.monotonic() - last < self.idle_seconds:
                claimed = self.ledger.claim(self.device)
                if claimed is None:
                    time.sleep(POLL_SECONDS)
                    continue
                self.supervise(*claimed)
                last = time.monotonic()

    def supervise(self, run_id: str, attempt: int) -> None:
        """Run a job to its end, and write down how it ended when it could not do so itself."""
        folder = self.ledger.store.runs_folder / run_id
        folder.mkdir(mode=0o700, exist_ok=True)
        process = subprocess.Popen(
            python_module("untrac_core.engine.job", run_id, str(attempt), str(os.getpid())),
            env=job_environment(self.home, self.device),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.note.write_text(f"{process.pid}\n{identity(process.pid)}")
        log.info("run %s, attempt %d: process %d", run_id, attempt, process.pid)
        assert process.stdout is not None  # noqa: S101
        reader = threading.Thread(target=pump, args=(process.stdout, folder / "log.txt"), daemon=True)
        reader.start()
        self.ledger.attach(run_id, attempt, process.pid)
        reason = self.watch(process, run_id)
        signal_group(process.pid, signal.SIGKILL)  # whatever the job itself had started
        self.note.unlink(missing_ok=True)
        reader.join(timeout=2.0)
        self.conclude(run_id, attempt, process.returncode, reason)

    def watch(self, process: subprocess.Popen[bytes], run_id: str) -> str | None:
        """Wait for the job's end; stop it when it is to be cancelled or hangs. Returns why it was ended, if it was.

        Time is that of the monotonic clock: a machine that slept does not make a job look hung.
        """
        heard, since = None, time.monotonic()
        deadline = None
        while process.poll() is None:
            state, now = self.ledger.state(run_id), time.monotonic()
            if state.heartbeat != heard:
                heard, since = state.heartbeat, now
            if state.status == "cancelling" and deadline is None:
                signal_group(process.pid, signal.SIGTERM)
                deadline = now + self.grace_seconds
            elif state.status not in ("running", "cancelling") and deadline is None:
                deadline = now + ENDING_SECONDS  # it has said its last word, and should leave
            elif deadline is not None and now > deadline:
                signal_group(process.pid, signal.SIGKILL)
            elif now - since > self.hang_seconds:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
                return (
                    f"the job hung: no sign of life for {self.hang_seconds:.0f} seconds; finished cells are kept: "
                    "resume, with a higher UNTRAC_HANG_SECONDS if a step takes that long"
                )
            time.sleep(POLL_SECONDS)
        return None

    def conclude(self, run_id: str, attempt: int, code: int, reason: str | None) -> None:
        """Write down the end of a job that did not do so itself."""
        status = self.ledger.state(run_id).status
        if status == "cancelling":
            self.ledger.finish(run_id, attempt, "cancelled")
        elif status == "running":
            self.ledger.finish(run_id, attempt, "failed", reason or ending(code))
        self.ledger.left(run_id, attempt)
        log.info("run %s, attempt %d: %s", run_id, attempt, self.ledger.state(run_id).status)
        self.tell(run_id)

    def tell(self, run_id: str) -> None:
        """Start the user's command for the end of a run, where it has ended: :func:`processes.notify`."""
        try:
            run = self.ledger.store.run(run_id)
        except InputError:  # deleted, or of a newer version
            return
        if not run.active:
            facts = {"ID": run.id, "STATE": run.status, "KIND": run.kind, "NAME": run.name}
            notify(self.home, {f"UNTRAC_RUN_{key}": value for key, value in facts.items()})


def ending(code: int) -> str:
    """How a job ended that said nothing, in words; ``code`` is the process's exit status."""
    kept = "finished cells are kept: resume"
    if code == -signal.SIGKILL:
        return f"the job ended with signal 9 (killed from outside, often because memory ran out); {kept}"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        return f"the job ended with signal {-code} ({name}; the log may say more); {kept}"
    return f"the job ended with exit code {code} and no result (the log may say more); {kept}"


def main(device: str) -> int:
    """Serve a queue in this process; 0 when idle, 1 when another worker serves it already."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    worker = Worker(device)
    log.info("worker for %s", worker.device)
    served = worker.serve()
    log.info("idle, leaving" if served else "another worker serves this queue")
    return 0 if served else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
