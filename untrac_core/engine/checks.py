"""What a form asks before a run: whether a request can run, on which device, at what price; free of torch."""

from __future__ import annotations

from typing import cast

from untrac_core.demo.requests import BLOCKS, RECIPE, UNLEARN_ITEMS, demo_unlearning, demo_validation
from untrac_core.engine.runs import Run
from untrac_core.errors import InputError
from untrac_core.models.devices import device_info, devices
from untrac_core.specs import TraceSpec
from untrac_core.tasks.base import Check
from untrac_core.tasks.costs import needs
from untrac_core.tasks.ladder import (
    SHARED,
    Rung,
    check_unchanged,
    extended,
    large_or_undecided,
    leaving,
    next_rung,
    rungs,
    seeds_tell,
)
from untrac_core.tasks.prepare import BLOCK
from untrac_core.tasks.registry import check
from untrac_core.tasks.trace.check import TraceCheck
from untrac_core.tasks.unlearn.check import UnlearnCheck
from untrac_core.tasks.unlearn.data import read_records, unlearn_inputs
from untrac_core.tasks.validate.check import ValidateCheck
from untrac_core.tasks.verify.check import price
from untrac_core.tasks.workload import REFERENCE, Load, Workload

__all__ = [
    "BLOCK",
    "BLOCKS",
    "RECIPE",
    "REFERENCE",
    "SHARED",
    "UNLEARN_ITEMS",
    "Check",
    "Load",
    "Rung",
    "TraceCheck",
    "UnlearnCheck",
    "ValidateCheck",
    "Workload",
    "check",
    "check_unchanged",
    "demo_unlearning",
    "demo_validation",
    "device_info",
    "devices",
    "extended",
    "extension",
    "large_or_undecided",
    "leaving",
    "needs",
    "next_rung",
    "price",
    "read_records",
    "rungs",
    "seeds_tell",
    "unlearn_inputs",
]


def extension(run: Run, seeds: int) -> TraceSpec:
    """What extends a finished trace to as many ``seeds``: as a run, it takes over the cells that are kept.

    Raises:
        InputError: where the run is no finished trace, has as many seeds, or its data have changed since.
    """
    where = f"run {run.id}"
    if run.kind != "trace":
        raise InputError(f"this is a {run.kind} run", field=where, hint="name a trace")
    if run.status != "done":
        hint = "wait for its end" if run.active else "resume it first"
        raise InputError(f"it is {run.status}, so there is nothing to extend", field=where, hint=hint)
    spec = extended(cast(TraceSpec, run.spec), seeds)
    check_unchanged(spec, run.folder)
    return spec
