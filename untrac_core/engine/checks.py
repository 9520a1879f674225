"""What a form asks before a run: whether a request can run, on which device, at what price; free of torch."""

from __future__ import annotations

from untrac_core.demo.requests import BLOCKS, RECIPE, UNLEARN_ITEMS, demo_unlearning, demo_validation
from untrac_core.models.devices import device_info, devices
from untrac_core.tasks.base import Check
from untrac_core.tasks.costs import needs
from untrac_core.tasks.ladder import Rung, check_unchanged, large_or_undecided, next_rung, rungs
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
    "large_or_undecided",
    "needs",
    "next_rung",
    "price",
    "read_records",
    "rungs",
    "unlearn_inputs",
]
