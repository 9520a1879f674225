"""Who works in a data home, waiting for it, and specs for a tracer without a model."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from untrac_core.specs import TraceSpec

FAKE = Path(__file__).parent / "fake"
PATIENCE = 300.0
"""Seconds after which a wait counts as hung, however busy the machine; what is held to a time is marked ``timed``."""


def members(home: Path) -> list[psutil.Process]:
    """The processes that work in a home, apart from this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it may end while it is looked at
            mine = process.pid != os.getpid() and process.environ().get("UNTRAC_HOME") == str(home)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def serving(home: Path, module: str) -> list[int]:
    """The pids of the workers (``engine.worker``) or jobs (``engine.job``) in a home."""
    found = []
    for member in members(home):
        with suppress(psutil.Error):  # it may end while it is looked at
            if any(part.endswith(module) for part in member.cmdline()):
                found.append(member.pid)
    return found


def until(condition: Callable[[], object], every: float = 0.03) -> None:
    """Wait for a condition."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < PATIENCE, f"waited {PATIENCE:.0f} s in vain"
        time.sleep(every)


def let_go(home: Path) -> None:
    """Let a cell that is held (``hold=1`` in the behaviour of :func:`trace_spec`) go on, in all runs of a home."""
    (home / "go").touch()


def trace_spec(behaviour: str = "cells=4", device: str = "cpu", name: str = "a run") -> TraceSpec:
    """A spec for the tracer without a model; its prompt set's name says how the tracer behaves."""
    return TraceSpec.model_validate(
        {
            "name": name,
            "model": {"path": "demo"},
            "prompts": [{"name": behaviour, "source": {"file": "prompts.jsonl"}}],
            "subsets": [{"name": text, "source": {"file": f"{text}.jsonl"}} for text in ("forum", "news")],
            "device": device,
        }
    )


def files(library):
    """The names of all files of a library, sorted."""
    return sorted(path.name for path in (library.home / "library").rglob("*") if path.is_file())
