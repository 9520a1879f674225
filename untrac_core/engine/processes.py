"""Processes: which are running, how to stop them, how to start the worker of a device, and whom to tell of an end."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from untrac_core.paths import INSTALLED, PROJECT, data_home

WORKER_LOG_BYTES = 1_000_000
_started: dict[tuple[Path, str], tuple[subprocess.Popen[bytes], float]] = {}
"""Workers that this process started: kept so that they are reaped, and not started twice while they start."""
STARTING_SECONDS = 3.0
NOTIFY = "UNTRAC_NOTIFY"
NOTIFY_FILE = "notify.json"
NOTIFY_SECONDS = 20.0
log = logging.getLogger("untrac.worker")


def identity(pid: int) -> str | None:
    """What tells this process from a later one with the same number; ``None`` when it is gone (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    except OSError:
        pass
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def alive(pid: int | None, born: str | None) -> bool:
    """Whether the very process that was noted as ``(pid, born)`` still runs."""
    return pid is not None and born is not None and identity(pid) == born


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that ``pid`` leads; nothing happens when it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def queue_name(device: str) -> str:
    """The queue that a device of a spec waits in: ``cuda`` is ``cuda:0``."""
    return "cuda:0" if device == "cuda" else device


def lock_path(home: Path, role: str, device: str) -> Path:
    """The lock file of a device; ``role`` is ``worker`` (who serves the queue) or ``device`` (who computes)."""
    return home / f"{role}-{device.replace(':', '-')}.lock"


def child_environment(home: Path) -> dict[str, str]:
    """The environment of a worker or job: the same data home, and this very program, whatever the folder."""
    environment = dict(os.environ)
    if not INSTALLED:  # else the interpreter finds it, and site-packages must not come before the standard library
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *([inherited] if inherited else [])])
    environment["UNTRAC_HOME"] = str(home)
    return environment


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this program in a fresh interpreter, blind to the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def worker_runs(device: str, home: Path) -> bool:
    """Whether a worker serves this queue now."""
    lock = FileLock(lock_path(home, "worker", device), mode=0o600)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def ensure_worker(device: str, home: Path | None = None) -> None:
    """Start a worker for this device's queue, unless one runs; cheap enough for every refresh of a page.

    The worker is detached: it outlives whoever called. Two callers in a race start two workers, and the second
    leaves at the lock.
    """
    home, device = home or data_home(), queue_name(device)
    process, since = _started.get((home, device), (None, 0.0))
    if process is not None and process.poll() is None and time.monotonic() - since < STARTING_SECONDS:
        return
    if worker_runs(device, home):
        return
    log = lock_path(home, "worker", device).with_suffix(".log")
    fresh = "wb" if log.exists() and log.stat().st_size > WORKER_LOG_BYTES else "ab"
    with log.open(fresh) as output:
        started = subprocess.Popen(
            python_module("untrac_core.engine.worker", device),
            env=child_environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _started[home, device] = (started, time.monotonic())


def notify_command(home: Path) -> list[str]:
    """The user's command for the end of a run, as its arguments; empty where there is none.

    It is ``UNTRAC_NOTIFY``, split as a shell would split it, else the JSON list in ``notify.json`` of the data home.
    Raises :class:`ValueError` or :class:`OSError` for what cannot be read as one.
    """
    if os.environ.get(NOTIFY):
        return shlex.split(os.environ[NOTIFY])
    path = home / NOTIFY_FILE
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
        raise ValueError(f"{NOTIFY_FILE} is no list of texts")
    return found


def notify(home: Path, facts: Mapping[str, str]) -> threading.Thread | None:
    """Start the user's command, if there is one, with ``facts`` in its environment; what fails is logged.

    No shell reads it, it gets no input, and after :data:`NOTIFY_SECONDS` it is killed with all that it started.
    Returns the thread that sees to that.
    """
    try:
        command = notify_command(home)
    except (OSError, ValueError) as error:
        log.warning("the command for the end of a run cannot be read: %s", error)
        return None
    if not command:
        return None
    thread = threading.Thread(target=_told, args=(command, {**os.environ, **facts}))
    thread.start()
    return thread


def _told(command: list[str], environment: dict[str, str]) -> None:
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except (OSError, ValueError) as error:
        log.warning("the command for the end of a run cannot be started: %s", error)
        return
    try:
        code = process.wait(NOTIFY_SECONDS)
    except subprocess.TimeoutExpired:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        log.warning("the command for the end of a run took more than %.0f seconds and was killed", NOTIFY_SECONDS)
        return
    if code:
        log.warning("the command for the end of a run ended with exit code %d", code)
