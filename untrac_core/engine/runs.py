"""A run as its readers see it: state, progress and what is left of it."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrac_core.engine.processes import alive
from untrac_core.errors import InputError
from untrac_core.specs import RUN_KINDS, RunSpec
from untrac_core.specs.build import build

STATUSES = ("queued", "running", "cancelling", "done", "failed", "cancelled")
ACTIVE = ("queued", "running", "cancelling")
"""Statuses that will change without the user doing anything."""
SILENT_SECONDS = 60.0
RUN_ID = re.compile(r"[0-9a-f]{12}")

SELECT = """
select runs.*,
    (select count(*) from cells where run = runs.id and source is not null) as cells_done,
    (select avg(seconds) from (select seconds from cells where run = runs.id and source = 'computed'
        order by attempt desc, position desc limit 5)) as cell_seconds,
    (select count(*) from runs as ahead where ahead.device = runs.device and ahead.status = 'queued'
        and (ahead.queued, ahead.rowid) < (runs.queued, runs.rowid)) as ahead
from runs
"""


@dataclass(frozen=True)
class Run:
    """One request and its state. Times are seconds since 1970; ``progress`` goes from 0 to 1."""

    id: str
    kind: str
    name: str
    status: str
    spec: RunSpec
    device: str
    created: float
    started: float | None
    finished: float | None
    attempt: int
    error: str | None
    faulty_input: bool
    """It failed because of what it was given (``error`` says how to mend it), not by an accident."""
    phase: str
    cells_done: int
    cells_total: int
    progress: float
    eta_seconds: float | None
    heartbeat: float | None
    silent: bool
    """It is running, but nothing was heard of it for a minute."""
    queue_position: int | None
    """0 is the next of its device; ``None`` when it does not wait."""
    folder: Path
    settled: bool
    """It has ended, and so has its process: its files can be copied or removed."""

    @property
    def active(self) -> bool:
        """It will change by itself."""
        return self.status in ACTIVE

    @property
    def changed(self) -> float:
        """When its result was written, for who keeps what was read of it; :class:`OSError` where there is none."""
        return (self.folder / "summary.json").stat().st_mtime


@dataclass(frozen=True)
class Event:
    """Something that happened to a run; ``seq`` grows over all runs and never repeats."""

    seq: int
    time: float
    kind: str
    text: str
    data: dict[str, Any]


def checked_id(run_id: str) -> str:
    """The id itself, when it is twelve hexadecimal digits (ids come from URLs and command lines)."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        shown = str(run_id)[:40]
        raise InputError(f"{shown!r} is not a run id", field="run", hint="an id is 12 digits of 0-9 and a-f")
    return run_id


def to_run(row: sqlite3.Row, folder: Path) -> Run:
    """A row of :data:`SELECT` as a :class:`Run`; ``folder`` holds the folders of all runs.

    Raises:
        InputError: when its spec has keys that this version of the program does not know.
    """
    spec = _spec(row)
    status, total, done = str(row["status"]), int(row["cells_total"]), int(row["cells_done"])
    running = status in ("running", "cancelling")
    part = float(row["part"]) if running and (done < total or not total) else 0.0
    now = time.time()
    heard, usual = row["heartbeat"] or row["started"], row["cell_seconds"]
    return Run(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        status=status,
        spec=spec,
        device=row["device"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        attempt=row["attempt"],
        error=row["error"],
        faulty_input=bool(row["faulty_input"]),
        phase=row["phase"],
        cells_done=done,
        cells_total=total,
        progress=1.0 if status == "done" else (done + part) / total if total else part,
        eta_seconds=usual * (total - done - part) if status == "running" and usual is not None else None,
        heartbeat=row["heartbeat"],
        silent=running and heard is not None and now - heard > SILENT_SECONDS,
        queue_position=int(row["ahead"]) if status == "queued" else None,
        folder=folder / row["id"],
        settled=status not in ACTIVE and not alive(row["pid"], row["born"]),
    )


def _spec(row: sqlite3.Row) -> RunSpec:
    where = f"run {row['id']}"
    kind = RUN_KINDS.get(row["kind"])
    if kind is None:
        raise InputError(f"runs of kind {row['kind']!r} are not known", field=where, hint="update the program")
    return build(kind, json.loads(row["spec"]), where=where)


def to_event(row: sqlite3.Row) -> Event:
    """A row of the table of events as an :class:`Event`."""
    return Event(row["seq"], row["time"], row["kind"], row["text"], json.loads(row["data"]))
