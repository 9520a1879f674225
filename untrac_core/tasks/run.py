"""A request run to its end in this process, without a queue: what a notebook and the tests do."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from untrac_core.models.devices import peak_memory_mb
from untrac_core.progress import Progress
from untrac_core.results.folders import TraceFiles, UnlearnFiles, ValidateFiles, VerifyFiles
from untrac_core.specs import RunSpec, TraceSpec, UnlearnSpec, ValidateSpec, VerifySpec
from untrac_core.tasks.base import Place, all_frames, computed
from untrac_core.tasks.registry import load_finished, open_task, resolved


def run_task(
    spec: RunSpec,
    out: Path | str,
    progress: Progress | None = None,
    cache: Path | str | None = None,
    threads: int | None = None,
) -> Any:
    """Run a request and return its result: an object of its kind, or the summary of a kind that has only files.

    ``out``: the folder that the result is written to. ``cache``: a folder in which finished cells are kept, so that the
    same request, or one that shares some with it, computes nothing twice.
    """
    started = time.monotonic()
    out, kept = Path(out), None if cache is None else Path(cache)
    task = open_task(resolved(spec, progress), Place(out, kept, progress, threads))
    frames = all_frames(task, partial(computed, compute=task.run_cell, folder=kept))
    summary = task.write(out, frames, time.monotonic() - started, peak_memory_mb())
    return load_finished(spec.kind, out) or summary


def trace(spec: TraceSpec, out: Path | str, *more: Any, **named: Any) -> TraceFiles:
    """:func:`run_task` of a trace."""
    result: TraceFiles = run_task(spec, out, *more, **named)
    return result


def validate(spec: ValidateSpec, out: Path | str, *more: Any, **named: Any) -> ValidateFiles:
    """:func:`run_task` of a validation."""
    result: ValidateFiles = run_task(spec, out, *more, **named)
    return result


def verify(spec: VerifySpec, out: Path | str, *more: Any, **named: Any) -> VerifyFiles:
    """:func:`run_task` of a verification."""
    result: VerifyFiles = run_task(spec, out, *more, **named)
    return result


def unlearn(spec: UnlearnSpec, out: Path | str, *more: Any, **named: Any) -> UnlearnFiles:
    """:func:`run_task` of an unlearning."""
    result: UnlearnFiles = run_task(spec, out, *more, **named)
    return result
