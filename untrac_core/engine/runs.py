"""A run as its readers see it: state, progress and what is left of it."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrac_core.engine.processes import alive
from untrac_core.errors import InputError
from untrac_core.specs import RUN_KINDS, RunSpec
from untrac_core.specs.build import build
from untrac_core.specs.catalogue import method_title
from untrac_core.text.numbers import count

STATUSES = ("queued", "running", "cancelling", "done", "failed", "cancelled")
ACTIVE = ("queued", "running", "cancelling")
"""Statuses that will change without the user doing anything."""
SILENT_SECONDS = 60.0
RUN_ID = re.compile(r"[0-9a-f]{12}")

NAME_MOST, TAGS_MOST, TAG_MOST, NOTES_MOST = 80, 20, 40, 10_000
"""Characters of a name, tags of a run, characters of a tag and of all notes."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

SELECT = """
select runs.*,
    (select count(*) from cells where run = runs.id and source is not null) as cells_done,
    (select count(*) from cells where run = runs.id and source = 'reused') as cells_reused,
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
    cells_reused: int
    """Of those that are done: taken over from earlier runs, so not computed again."""
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
    tags: tuple[str, ...]
    notes: str
    """Both are a user's words."""

    @property
    def active(self) -> bool:
        """It will change by itself."""
        return self.status in ACTIVE

    @property
    def taken_over(self) -> str:
        """How many of its cells earlier runs had computed, in words; empty where none."""
        if not self.cells_reused:
            return ""
        of = f"{self.cells_reused} of {count(self.cells_total, 'cell')}"
        return f"{of} {'was' if self.cells_reused == 1 else 'were'} taken over"

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


def checked_labels(name: str | None, tags: Sequence[str] | None, notes: str | None) -> dict[str, str]:
    """What is set of a run's name, tags and notes, as the database holds it.

    Raises:
        InputError: for what is empty, too long, or has control characters.
    """
    found: dict[str, str] = {}
    if name is not None:
        found["name"] = _short(name, "name", NAME_MOST)
    if tags is not None:
        kept = list(dict.fromkeys(_short(tag, "tag", TAG_MOST) for tag in tags))
        if len(kept) > TAGS_MOST:
            raise InputError(f"a run has at most {TAGS_MOST} tags", field="tags", hint="leave some out")
        found["tags"] = json.dumps(kept)
    if notes is not None:
        text = notes.replace("\r\n", "\n").strip()
        if len(text) > NOTES_MOST:
            what = f"{len(text):,} characters are too many, and {NOTES_MOST:,} the limit"
            raise InputError(what, field="notes", hint="shorten them")
        if CONTROL.search(text.replace("\n", "").replace("\t", "")):
            raise InputError("they have control characters", field="notes", hint="type them again")
        found["notes"] = text
    return found


def _short(text: str, what: str, most: int) -> str:
    text = text.strip()
    if not 0 < len(text) <= most:
        hint = f"write 1 to {most} characters"
        raise InputError(f"a {what} of {len(text)} characters cannot be kept", field=what, hint=hint)
    if CONTROL.search(text):
        raise InputError("it has control characters", field=what, hint="type it again")
    return text


def method_of(run: Run) -> str:
    """The method of a run, of a validation how many; empty of one that has none."""
    spec: Any = run.spec
    if run.kind == "validate":
        return count(len(spec.methods), "method")
    method = getattr(spec, "method", None)
    return "" if method is None else method_title(method.name, getattr(method, "variant", None))


def model_of(run: Run) -> str:
    """The model of a run by the last part of its place; empty of one that has none."""
    spec: Any = run.spec.trace if run.kind == "verify" else run.spec  # type: ignore[union-attr]
    model = getattr(spec, "model", None)
    return "" if model is None else str(model.path).rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Wanted:
    """Which runs a list shows, and in which order; of each set one must fit, and an empty one fits all."""

    find: str = ""
    """Words that name, method, model, tags or notes hold."""
    kinds: Collection[str] = ()
    methods: Collection[str] = ()
    models: Collection[str] = ()
    tags: Collection[str] = ()
    sort: str = "created"
    """One of :data:`SORTS`."""

    def of(self, runs: Iterable[Run]) -> list[Run]:
        """The runs that fit, in order."""
        kept = sorted(filter(self._fits, runs), key=SORTS[self.sort])
        return kept[::-1] if self.sort in ("created", "time") else kept

    def _fits(self, run: Run) -> bool:
        method, model = method_of(run), model_of(run)
        asked = ((self.kinds, run.kind), (self.methods, method), (self.models, model))
        if any(some and own not in some for some, own in asked) or (self.tags and not {*self.tags} & {*run.tags}):
            return False
        text = " ".join((run.name, method, model, *run.tags, run.notes)).casefold()
        return all(word in text for word in self.find.casefold().split())


SORTS: dict[str, Callable[[Run], Any]] = {
    "created": lambda run: run.created,
    "name": lambda run: run.name.casefold(),
    "kind": lambda run: run.kind,
    "method": lambda run: method_of(run).casefold(),
    "model": lambda run: model_of(run).casefold(),
    "status": lambda run: STATUSES.index(run.status),
    "time": lambda run: (run.finished or 0.0) - (run.started or 0.0) if run.finished else 0.0,
}
"""What runs can be sorted by: ``created`` and ``time`` from the newest and the longest on."""


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
        cells_reused=int(row["cells_reused"]),
        progress=1.0 if status == "done" else (done + part) / total if total else part,
        eta_seconds=usual * (total - done - part) if status == "running" and usual is not None else None,
        heartbeat=row["heartbeat"],
        silent=running and heard is not None and now - heard > SILENT_SECONDS,
        queue_position=int(row["ahead"]) if status == "queued" else None,
        folder=folder / row["id"],
        settled=status not in ACTIVE and not alive(row["pid"], row["born"]),
        tags=tuple(json.loads(row["tags"])),
        notes=row["notes"],
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
