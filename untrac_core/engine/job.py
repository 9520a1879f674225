"""One run in a process of its own: the only place of the engine that loads torch and a model.

What there is to do is a task by the kind of the run's spec (:mod:`untrac_core.tasks.registry`). A worker starts the job
as ``python -m untrac_core.engine.job RUN ATTEMPT WORKER``. Every finished cell is a file before it is noted as done,
and the result is always made from those files, so a run that was interrupted at any moment and resumed ends with the
same bytes as one that was not.
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from untrac_core.engine import disk
from untrac_core.engine.executor import Executor, LocalExecutor
from untrac_core.engine.ledger import RunWriter
from untrac_core.engine.processes import lock_path, queue_name
from untrac_core.errors import Cancelled, InputError
from untrac_core.fileio import write_bytes
from untrac_core.specs import RunSpec
from untrac_core.specs.files import to_yaml
from untrac_core.tasks.base import Place, Task, all_frames, later_stages
from untrac_core.tasks.registry import kind_of, open_task

if TYPE_CHECKING:
    import pandas as pd

    from untrac_core.cells import Cell

BEAT_SECONDS = 0.4
PARENT_SECONDS = 0.5
ORPHANED = 75
NO_ROOM = "the disk is full; finished cells are kept: free some space, then resume"
NO_MEMORY = "memory ran out; finished cells are kept: use a smaller model or block, or another device, then resume"


class Reporter:
    """The :class:`untrac_core.progress.Progress` of a job: writes events, heartbeats at most every 0.4 s, and stops."""

    def __init__(self, ledger: RunWriter, run_id: str, attempt: int) -> None:
        self.ledger, self.run_id, self.attempt = ledger, run_id, attempt
        self.stopping = False
        self._phase, self._beaten = "", 0.0
        self._ticks, self._passes = 0, 0.0
        self._in_cell, self._usual = False, 0
        self.one_pass = False
        """Ticks count up once a cell, so that they say how much of it is done; else it has several passes."""
        self._share = 0.0

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Stop at the next report; a signal handler."""
        self.stopping = True

    def phase(self, text: str) -> None:
        """Write an event and a log line, unless the phase is the same as before."""
        self._check()
        if text != self._phase:
            self._phase = text
            self.ledger.phase(self.run_id, self.attempt, text)
            print(time.strftime("%H:%M:%S"), text, flush=True)

    def tick(self, done: int, total: int) -> None:
        """Show that the job lives and, inside a cell, how much of it is done."""
        self._check()
        self._ticks += 1
        self._passes += 1 / max(1, total)
        self._share = done / max(1, total)
        if time.monotonic() - self._beaten >= BEAT_SECONDS:
            self.ledger.beat(self.run_id, self.attempt, self._part())
            self._beaten = time.monotonic()

    def _part(self) -> float:
        """Share of the cell that is done: against the ticks of the last cell, else a guess that only grows.

        Before the cells of a fetch are known, its look at a large source is a pass of its own.
        """
        if self.one_pass:
            return min(0.99, self._share)
        if not self._in_cell:
            return 0.0
        return min(0.99, self._ticks / self._usual) if self._usual else self._passes / (self._passes + 4)

    @contextmanager
    def cell(self) -> Iterator[None]:
        """Ticks inside are parts of a cell."""
        self._check()
        self._in_cell, self._ticks, self._passes, self._share = True, 0, 0.0, 0.0
        self.ledger.cell_started(self.run_id, self.attempt)
        try:
            yield
        finally:
            self._in_cell, self._usual = False, self._ticks

    def _check(self) -> None:
        if self.stopping:
            raise Cancelled


MakeTask = Callable[[RunSpec, Place], Task]


def perform(ledger: RunWriter, run_id: str, attempt: int, reporter: Reporter, make_task: MakeTask = open_task) -> None:
    """Compute what is missing of a run and write its result folder; raises whatever stops it."""
    from untrac_core.results.folders import SPEC

    start = time.monotonic()
    store = ledger.store
    run = store.run(run_id)
    disk.require(store.home, 0.0)
    run.folder.mkdir(mode=0o700, exist_ok=True)
    disk.sweep(run.folder, older_than=0.0)
    with device_held(store.home, run.device, reporter) as device:
        lower_priority(device)
        spec = visible_device(run.spec)
        kind = kind_of(spec)
        reporter.one_pass = kind.one_pass
        threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or None
        if kind.needs_device:
            reporter.phase("loading torch")
        task = make_task(spec, Place(run.folder, store.home, reporter, threads, run_id))
        ledger.plan(run_id, attempt, [*task.cells, *(cell for stage in later_stages(task) for cell in stage)])
        frames = all_frames(task, lambda cells: compute_missing(ledger, run_id, attempt, reporter, task, cells))
        reporter.phase("writing the result")
        seconds = time.monotonic() - start + ledger.computing_seconds(run_id, attempt)
        summary = task.write(run.folder, frames, seconds, peak_memory_mb(), run_id)
        if spec != run.spec:
            write_bytes(to_yaml(run.spec).encode(), run.folder / SPEC)
    print(time.strftime("%H:%M:%S"), "done", flush=True)
    ledger.finish(run_id, attempt, "done", measured=ledger.measured(run_id, device, summary.get("flop")))


def compute_missing(
    ledger: RunWriter, run_id: str, attempt: int, reporter: Reporter, task: Task, cells: Sequence[Cell]
) -> list[pd.DataFrame]:
    """Compute those of some cells that no earlier run or attempt has left; each is a file before it is noted as done.

    Returns the tables of all of them, read from those files, in the order of the cells.
    """
    from untrac_core.results.folders import read_frame, write_frame

    store = ledger.store
    missing = []
    for cell in cells:
        if readable(store.cell_path(cell.key)):
            ledger.cell_done(run_id, attempt, cell, "reused")
        else:
            missing.append(cell)

    def compute(cell: Cell) -> pd.DataFrame:
        with reporter.cell():
            return task.run_cell(cell)

    def keep(cell: Cell, frame: pd.DataFrame, seconds: float) -> None:
        write_frame(frame, store.cell_path(cell.key))
        ledger.cell_done(run_id, attempt, cell, "computed", seconds)

    executor: Executor = LocalExecutor()
    executor.run_cells(missing, compute, keep, lambda: reporter.stopping)
    return [read_frame(store.cell_path(cell.key)) for cell in cells]


def peak_memory_mb() -> float:
    """The most memory that this process, or its device, has held, in MB; torch is not loaded to find out."""
    if "torch" in sys.modules:
        from untrac_core.models.devices import peak_memory_mb as with_device

        return with_device()
    from untrac_core.models.devices import own_peak_mb

    return own_peak_mb()


@contextmanager
def device_held(home: Path, device: str, reporter: Reporter) -> Iterator[str]:
    """Hold the real device, waiting for another queue's job to leave it; ``auto`` is found out by loading torch."""
    if device == "auto":
        reporter.phase("loading torch")
        from untrac_core.models.loading import choose_device

        device = queue_name(str(choose_device(device)))
    lock = FileLock(lock_path(home, "device", device), mode=0o600)
    while True:
        try:
            lock.acquire(timeout=BEAT_SECONDS)
            break
        except Timeout:
            reporter.phase(f"waiting for {device}, where another run computes")
            reporter.tick(0, 1)
    with lock:
        yield device


def visible_device(spec: RunSpec) -> RunSpec:
    """The spec as this process sees its devices: the one GPU that the worker left in sight is the first."""
    return spec.model_copy(update={"device": "cuda:0"}) if spec.device.startswith("cuda:") else spec


def lower_priority(device: str) -> None:
    """Let the pages go first: ``UNTRAC_NICE``, else 5 on the CPU and 0 on a GPU, where the CPU only feeds it."""
    try:
        os.nice(int(os.environ.get("UNTRAC_NICE", "0" if device.startswith("cuda") else "5")))
    except (ValueError, OSError):
        return


def readable(path: Path) -> bool:
    """Whether a cell's file is there and whole; one that is not is removed, to be computed again."""
    from untrac_core.results.folders import read_frame

    if not path.exists():
        return False
    try:
        read_frame(path)
    except Exception as error:  # whatever a broken file makes the reader raise, the cure is the same
        print(f"a kept cell cannot be read and is computed again ({error})", flush=True)
        path.unlink(missing_ok=True)
        return False
    return True


def explain(error: BaseException) -> str:
    """What stopped a run, in one line; a full disk and lack of memory have lines of their own."""
    if isinstance(error, InputError):
        return str(error)
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and "full" in text:
        return NO_ROOM
    if isinstance(error, OSError) and (error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text):
        return NO_ROOM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in text:
        return NO_MEMORY
    return f"{type(error).__name__}: {text} (the log says where); finished cells are kept: resume"


def run_job(ledger: RunWriter, run_id: str, attempt: int, make_task: MakeTask = open_task) -> int:
    """Perform a run and write down how it ended; returns 0 done, 1 failed, 130 cancelled."""
    reporter = Reporter(ledger, run_id, attempt)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, reporter.stop)
    try:
        perform(ledger, run_id, attempt, reporter, make_task)
        return 0
    except Cancelled:
        asked = ledger.state(run_id).status == "cancelling"
        outside = None if asked else "stopped by a signal from outside; finished cells are kept: resume"
        ledger.finish(run_id, attempt, "cancelled", outside)
        return 130
    except BrokenPipeError:
        return ORPHANED  # the worker that read the log is gone; the run stays as it is, for the next one
    except Exception as error:
        traceback.print_exc()
        ledger.finish(run_id, attempt, "failed", explain(error), faulty_input=isinstance(error, InputError))
        return 1


def leave_without(parent: int) -> None:
    """End this process when its parent is gone; finished cells are on the disk, and the next worker goes on."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(ORPHANED)


def main(run_id: str, attempt: int, parent: int) -> int:
    """The process of a job."""
    threading.Thread(target=leave_without, args=(parent,), daemon=True).start()
    ledger = RunWriter()
    if not ledger.attach(run_id, attempt, os.getpid()):
        return ORPHANED
    return run_job(ledger, run_id, attempt)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
