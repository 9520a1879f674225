"""What a request becomes before it waits: made absolute and complete, looked over, given a queue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from untrac_core.engine.processes import queue_name
from untrac_core.progress import Progress
from untrac_core.specs import RunSpec, Spec
from untrac_core.specs.files import absolute
from untrac_core.tasks.registry import check, kind_of

FETCH_QUEUE = "io"
"""The queue of what only reads and downloads: it needs no device, so it waits for no computation."""


def queue_of(spec: RunSpec) -> str:
    """The queue that a request waits in: that of its device, or one for all that need none."""
    return queue_name(spec.device) if kind_of(spec).needs_device else FETCH_QUEUE


def prepare_request(
    spec: Spec, progress: Progress | None = None, rates: Mapping[str, float] | None = None
) -> tuple[RunSpec, float, float]:
    """The request as it will run, the megabytes of disk that it will need, and the seconds it may take (or NaN).

    Raises:
        InputError: when it cannot run.
    """
    checked = check(absolute(spec, Path.cwd()), rates=rates, progress=progress)  # a job works in its own folder
    return checked.spec, checked.disk_mb if math.isfinite(checked.disk_mb) else 0.0, checked.seconds
