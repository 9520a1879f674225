"""A run followed to its end in a terminal, and what the command line prints of it; Ctrl-C cancels it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from untrac_core.cli.outputs import hand_over
from untrac_core.engine import Run, Store, ensure_worker
from untrac_core.errors import InputError
from untrac_core.fileio import finite

DONE, FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130
COMMAND = Path(sys.argv[0]).stem == "untrac"
"""Whether this is the installed command, whose name a shell can complete."""
PROGRAM = "untrac" if COMMAND else "python -m untrac_core"
FOLLOW_SECONDS = 0.25
ENSURE_SECONDS = 2.0


def to_the_end(store: Store, run_id: str, out: Path | None, as_json: bool) -> int:
    """Follow a run, cancel it on Ctrl-C, hand over its result; returns the exit status."""
    from untrac_core.cli.console import Display
    from untrac_core.cli.outcomes import outcome

    print(f"run {run_id}", file=sys.stderr, flush=True)
    try:
        with Display() as display:
            ended = wait(store, run_id, display)
    except KeyboardInterrupt:
        store.cancel(run_id)
        ended = wait(store, run_id)
    if ended.status == "cancelled":
        reason = f" ({ended.error})" if ended.error else ""
        return complain(f"run {run_id} was cancelled{reason}; '{PROGRAM} resume {run_id}' goes on with it", CANCELLED)
    if ended.status != "done":
        return complain(f"run {run_id} failed: {ended.error}", BAD_INPUT if ended.faulty_input else FAILED)
    if out:
        hand_over(ended.folder, out)
    if ended.taken_over:
        print(f"{ended.taken_over}.", file=sys.stderr)
    if as_json:
        print_json(summary_of(ended))
    else:
        outcome(summary_of(ended))
        print(f"The result is in {out or ended.folder}.")
    return DONE


def wait(store: Store, run_id: str, display: Any = None) -> Run:
    """Wait for a run's end, seeing to it that a worker serves it; returns the run as it ended."""
    past = store.events(run_id, limit=1_000_000)
    seen = next((event.seq for event in reversed(past) if event.text in ("queued", "queued again")), 0)
    ensured = -ENSURE_SECONDS
    while True:
        found = store.run(run_id)
        events = store.events(run_id, after=seen)
        seen = events[-1].seq if events else seen
        if display is not None:
            display.run(found, events)
        if found.settled:
            return found
        if found.active and time.monotonic() - ensured >= ENSURE_SECONDS:
            ensure_worker(found.device, store.home)
            ensured = time.monotonic()
        time.sleep(FOLLOW_SECONDS)


def summary_of(run: Run) -> dict[str, Any]:
    """A finished run's summary."""
    path = run.folder / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError("the run's summary cannot be read", field=str(path), hint="run it again") from None
    return summary


def print_json(value: Any) -> None:
    """JSON on standard output."""
    print(json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def complain(message: str, status: int) -> int:
    """One line on standard error; returns the status."""
    print(message, file=sys.stderr)
    return status
