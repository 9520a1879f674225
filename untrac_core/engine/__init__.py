"""Runs in the background: asked for by pages and command line, done by workers, each in a process of its own.

This package is what they use; nothing in it loads torch.
"""

from __future__ import annotations

from untrac_core.engine.processes import ensure_worker
from untrac_core.engine.runs import ACTIVE, STATUSES, Event, Run
from untrac_core.engine.store import DEMO_RUN, Store
from untrac_core.engine.uploads import save_upload
from untrac_core.specs import TraceSpec

__all__ = [
    "ACTIVE",
    "DEMO_RUN",
    "STATUSES",
    "Event",
    "Run",
    "Store",
    "ensure_worker",
    "save_upload",
    "submit",
]


def submit(spec: TraceSpec, store: Store | None = None) -> str:
    """Check a request, queue it, and see that a worker serves its device; returns the run's id.

    Raises:
        InputError: when it cannot run; then no run is made.
    """
    store = store or Store()
    run_id = store.submit(spec)
    ensure_worker(spec.device, store.home)
    return run_id
