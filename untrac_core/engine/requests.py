"""What a request becomes before it waits: made absolute and complete, looked over, given a queue."""

from __future__ import annotations

import math
from pathlib import Path

from untrac_core.engine.processes import queue_name
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.spec_files import absolute
from untrac_core.specs import (
    ExamineSpec,
    FetchSpec,
    GenerateSpec,
    RunSpec,
    Source,
    Spec,
    TraceSpec,
    TrainSpec,
    UnlearnSpec,
    ValidateSpec,
)

FETCH_QUEUE = "io"
"""The queue of what only reads and downloads: it needs no device, so it waits for no computation."""


def queue_of(spec: RunSpec) -> str:
    """The queue that a request waits in: that of its device, or for a ``fetch`` one of its own."""
    return FETCH_QUEUE if isinstance(spec, FetchSpec) else queue_name(spec.device)


def prepared(spec: Spec, progress: Progress | None = None) -> tuple[RunSpec, float]:
    """The request as it will run, and the megabytes of disk that it will need.

    Raises:
        InputError: when it cannot run.
    """
    spec = absolute(spec, Path.cwd())  # a job works in its own folder
    if isinstance(spec, TrainSpec):
        raise InputError(
            f"a {spec.kind} recipe is not run in the queue", mend="use the command 'train RECIPE.yaml --out DIR'"
        )
    if isinstance(spec, TraceSpec):
        from untrac_core.check import check  # reads data and tokenizer: loaded when a run is submitted, not before
        from untrac_core.data.expansion import expand

        spec = expand(spec, progress)
        needed = check(spec).disk_mb
        return spec, needed if math.isfinite(needed) else 0.0
    if isinstance(spec, ExamineSpec):
        from untrac_core.data.expansion import expand
        from untrac_core.examination_check import check_examination

        spec = expand(spec, progress)
        needed = check_examination(spec).disk_mb
        return spec, needed if math.isfinite(needed) else 0.0
    if isinstance(spec, ValidateSpec):
        from untrac_core.data.expansion import expand
        from untrac_core.validation_check import check_validation

        spec = expand(spec, progress)
        return spec, check_validation(spec).disk_mb
    if isinstance(spec, UnlearnSpec):
        from untrac_core.data.expansion import expand
        from untrac_core.removal_check import check_removal

        spec = expand(spec, progress)
        needed = check_removal(spec).disk_mb
        return spec, needed if math.isfinite(needed) else 0.0
    if isinstance(spec, GenerateSpec):
        from untrac_core.data.expansion import expand
        from untrac_core.generation import check_generation

        spec = expand(spec, progress)
        check_generation(spec)
        return spec, 5.0
    check_fetch(spec)
    return spec, 50.0


def check_fetch(spec: FetchSpec) -> None:
    """See that what a ``fetch`` names on this machine is there; what is on the hub shows itself when it runs."""
    from untrac_core.model_files import find_adapter, find_model

    for ref in spec.models:
        find_model(ref)
        find_adapter(ref)
    named: list[tuple[str, Source | None]] = [(f"prompt set {part.name!r}", part.source) for part in spec.prompts]
    named += [(f"subset {part.name!r}", part.source) for part in spec.subsets]
    named += [("collection", part.source) for part in spec.collections]
    for name, source in named:
        if source is None:
            continue
        if source.file is not None and not Path(source.file).is_file():
            raise InputError(f"there is no file {source.file!r}", where=name, mend="check the path")
        if source.folder is not None and not Path(source.folder).is_dir():
            raise InputError(f"there is no folder {source.folder!r}", where=name, mend="check the path")
