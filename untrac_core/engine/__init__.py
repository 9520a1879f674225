"""Runs in the background: asked for by pages and command line, done by workers, each in a process of its own.

This package is what they use; nothing in it loads torch.
"""

from __future__ import annotations

from untrac_core.demo.recorded import DEMO_BY_UNTRAC, DEMO_RUN, DEMO_UNLEARNING, DEMO_VALIDATION
from untrac_core.engine.library.entries import Entry
from untrac_core.engine.library.library import Library
from untrac_core.engine.library.uploads import save_upload
from untrac_core.engine.processes import ensure_worker
from untrac_core.engine.runs import ACTIVE, STATUSES, Event, Run
from untrac_core.engine.store import Store
from untrac_core.progress import Progress
from untrac_core.specs import Spec
from untrac_core.tasks.registry import describe_run, load_finished

__all__ = [
    "ACTIVE",
    "DEMO_BY_UNTRAC",
    "DEMO_RUN",
    "DEMO_UNLEARNING",
    "DEMO_VALIDATION",
    "STATUSES",
    "Entry",
    "Event",
    "Library",
    "Run",
    "Store",
    "describe_run",
    "ensure_worker",
    "load_finished",
    "save_upload",
    "submit",
]


def submit(spec: Spec, store: Store | None = None, progress: Progress | None = None) -> str:
    """Check a request, queue it, and see that a worker serves its queue; returns the run's id.

    Raises:
        InputError: when it cannot run; then no run is made.
    """
    store = store or Store()
    run_id = store.submit(spec, progress)
    ensure_worker(store.run(run_id).device, store.home)
    return run_id
