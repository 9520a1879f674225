"""The runs of a data home, as pages, command line and notebooks use them.

The store only writes down what is wanted; a worker (:mod:`untrac_core.engine.worker`) does it. Disk layout of a home:
``untrac.sqlite``, ``runs/<id>/`` (result files and ``log.txt``), ``cells/<key>.parquet`` (shared by all runs),
``uploads/``, ``library/`` (:mod:`untrac_core.engine.library.library`), and a lock and a log per worker.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from untrac_core.demo.recorded import RECORDED
from untrac_core.engine import disk
from untrac_core.engine.database import change, connect, prepare
from untrac_core.engine.library import records as kept
from untrac_core.engine.logs import one_line, tail
from untrac_core.engine.requests import prepare_request, queue_of
from untrac_core.engine.runs import ACTIVE, SELECT, Event, Run, checked_id, checked_labels, to_event, to_run
from untrac_core.errors import InputError
from untrac_core.paths import DEMO, data_home, only_shows
from untrac_core.progress import Progress
from untrac_core.specs import Spec, TrainSpec
from untrac_core.specs.files import load_spec

MAX_QUEUED = 100


def record(connection: sqlite3.Connection, run_id: str, kind: str, text: str, **data: Any) -> None:
    """Append an event, inside the caller's transaction. Kinds: ``status``, ``phase``, ``cell``, ``error``."""
    connection.execute(
        "insert into events (run, time, kind, text, data) values (?, ?, ?, ?, ?)",
        (run_id, time.time(), kind, one_line(text), json.dumps(data)),
    )


def _refuse_in_a_view() -> None:
    if only_shows():
        raise InputError("this dashboard only shows a result", field="run", hint="start it with 'untrac dashboard'")


class Store:
    """All runs of one data home. Cheap to make; every call opens its own connection, so threads may share it."""

    def __init__(self, home: str | Path | None = None) -> None:
        self.home = Path(home or data_home()).resolve()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.database = self.home / "untrac.sqlite"
        for folder in (self.runs_folder, self.cells_folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        prepare(self.database)

    @property
    def runs_folder(self) -> Path:
        """Where every run has its folder."""
        return self.home / "runs"

    @property
    def cells_folder(self) -> Path:
        """The results of finished cells, shared by all runs."""
        return self.home / "cells"

    def cell_path(self, key: str) -> Path:
        """The file of a finished cell."""
        return self.cells_folder / f"{key}.parquet"

    def submit(self, spec: Spec, progress: Progress | None = None) -> str:
        """Check a request and put it in its queue; returns the run's id.

        Raises:
            InputError: when the request cannot run, the disk is almost full or the queue too long; no run is made.
        """
        _refuse_in_a_view()
        wanted, needed_mb, seconds = prepare_request(spec, progress, self.rates())
        disk.require(self.home, needed_mb)
        disk.reserve(self.home)
        run_id, now = secrets.token_hex(6), time.time()
        text = wanted.model_dump_json()
        with kept.library_lock(self.home), change(self.database) as connection:
            kept.require(self.home, text)
            queued = connection.execute("select count(*) from runs where status = 'queued'").fetchone()[0]
            if queued >= MAX_QUEUED:
                raise InputError(f"{queued} runs wait already", field="queue", hint="cancel some of them first")
            connection.execute(
                "insert into runs (id, kind, name, status, spec, device, created, queued)"
                " values (?, ?, ?, 'queued', ?, ?, ?, ?)",
                (run_id, wanted.kind, wanted.name, text, queue_of(wanted), now, now),
            )
            expected = {"seconds": seconds} if math.isfinite(seconds) else {}
            record(connection, run_id, "status", "queued", **expected)
        return run_id

    def run(self, run_id: str) -> Run:
        """One run. Raises :class:`InputError` when the id is ill-formed or unknown."""
        with connect(self.database) as connection:
            row = connection.execute(SELECT + "where runs.id = ?", (checked_id(run_id),)).fetchone()
        if row is None:
            raise InputError(f"there is no run {run_id}", field="run", hint="see the list of runs")
        return to_run(row, self.runs_folder)

    def runs(self, limit: int = 200, kind: str | None = None, of: str | None = None) -> list[Run]:
        """The newest runs (of a kind), newest first; those that this version cannot read are left out.

        ``of``: only the verification of that trace's run.
        """
        return self._found(
            "where (? is null or runs.kind = ?) and"
            " (? is null or (runs.kind = 'verify' and json_extract(runs.spec, '$.of') = ?))"
            " order by runs.created desc, runs.rowid desc limit ?",
            (kind, kind, of, of, limit),
        )

    def under_way(self) -> list[Run]:
        """The runs that wait or are carried out, those that began first first."""
        return self._found(
            f"where runs.status in ({', '.join('?' * len(ACTIVE))}) order by runs.started is null, runs.created", ACTIVE
        )

    def _found(self, query: str, values: Sequence[object]) -> list[Run]:
        """The runs of a query; ``query`` is code, never input."""
        with connect(self.database) as connection:
            rows = connection.execute(SELECT + query, tuple(values)).fetchall()
        found = []
        for row in rows:
            with suppress(InputError):
                found.append(to_run(row, self.runs_folder))
        return found

    def events(self, run_id: str, after: int = 0, limit: int = 500) -> list[Event]:
        """What happened to a run after event ``after``, oldest first."""
        with connect(self.database) as connection:
            rows = connection.execute(
                "select * from events where run = ? and seq > ? order by seq limit ?",
                (checked_id(run_id), after, limit),
            ).fetchall()
        return [to_event(row) for row in rows]

    def cancel(self, run_id: str) -> None:
        """Ask for a run to stop: at once when it waits, else as soon as its worker sees it; no-op when it has ended."""
        self.run(run_id)
        disk.with_room(self.home, lambda: self._cancel(run_id))

    def _cancel(self, run_id: str) -> None:
        now = time.time()
        with change(self.database) as connection:
            row = connection.execute("select status from runs where id = ?", (run_id,)).fetchone()
            if row["status"] == "queued":
                query = "update runs set status = 'cancelled', finished = ?, phase = '' where id = ?"
                connection.execute(query, (now, run_id))
                record(connection, run_id, "status", "cancelled")
            elif row["status"] == "running":
                connection.execute("update runs set status = 'cancelling' where id = ?", (run_id,))
                record(connection, run_id, "status", "cancelling")

    def resume(self, run_id: str) -> None:
        """Queue a failed or cancelled run again; its finished cells are not computed again.

        Raises:
            InputError: when it is not one that has failed or was cancelled.
        """
        run = self.run(run_id)
        if run.status not in ("failed", "cancelled"):
            raise InputError(
                f"run {run_id} is {run.status}", field="resume", hint="only a failed or cancelled run can be resumed"
            )
        disk.require(self.home, 0.0)
        disk.reserve(self.home)
        with change(self.database) as connection:
            changed = connection.execute(
                "update runs set status = 'queued', error = null, faulty_input = 0, finished = null, phase = '',"
                " lost = 0, queued = ? where id = ? and status in ('failed', 'cancelled')",
                (time.time(), run_id),
            ).rowcount
            if changed:
                record(connection, run_id, "status", "queued again")

    def delete(self, run_id: str) -> None:
        """Remove a run, its folder and the cells that no other run has.

        Raises:
            InputError: while it runs, or the library has a model that lies in its folder.
        """
        run = self.run(run_id)
        if (name := kept.model_within(self.home, run.folder)) is not None:
            raise InputError(
                f"the library keeps its model {name!r}", field="delete", hint="remove that from the library first"
            )
        with change(self.database) as connection:
            result = connection.execute(
                "delete from runs where id = ? and status not in ('running', 'cancelling')", (run_id,)
            ).rowcount
            if not result:
                raise InputError(f"run {run_id} is running", field="delete", hint="cancel it first")
            keys = connection.execute(
                "select key from cells where run = ? except select key from cells where run <> ?", (run_id, run_id)
            ).fetchall()
            connection.execute("delete from cells where run = ?", (run_id,))
            connection.execute("delete from events where run = ?", (run_id,))
            for row in keys:
                self.cell_path(row["key"]).unlink(missing_ok=True)
        shutil.rmtree(run.folder, ignore_errors=True)
        with kept.library_lock(self.home):
            kept.sweep(self.home)

    def label(
        self, run_id: str, *, name: str | None = None, tags: Sequence[str] | None = None, notes: str | None = None
    ) -> None:
        """Rename a run, or replace its tags or notes; what is unset stays.

        Its files keep the name that it was asked under. Raises InputError for what is too long or has control
        characters.
        """
        self.run(run_id)
        values = checked_labels(name, tags, notes)
        assignments = "".join(f", {key} = ?" for key in values)
        with change(self.database) as connection:
            query = f"update runs set id = id{assignments} where id = ?"  # noqa: S608 - keys of ours
            connection.execute(query, (*values.values(), run_id))

    def log(self, run_id: str, lines: int = 400) -> str:
        """The last lines of what the run's process wrote."""
        return tail(self.runs_folder / checked_id(run_id) / "log.txt", lines)

    def rates(self) -> dict[str, float]:
        """Floating-point operations a second by kind of device (``cpu``), as the latest finished run measured them."""
        with connect(self.database) as connection:
            rows = connection.execute(
                "select rated, rate, max(finished) from runs where rate is not null group by rated"
            ).fetchall()
        return {row["rated"]: row["rate"] for row in rows}

    def install_demo(self) -> None:
        """Put the demo's recorded runs among the runs, anew when others were recorded; no-op without a recording."""
        for folder, run_id in RECORDED.items():
            if (DEMO / folder / "summary.json").is_file():
                self._install(DEMO / folder, run_id)

    def install_result(self, folder: Path) -> Run:
        """Put a result folder among the runs, as a finished one; its files are copied, but for an unlearned model.

        Raises:
            InputError: when it is not the folder of a result.
        """
        from untrac_core.results.folders import FILES

        spec = load_spec(folder / "spec.yaml")
        if isinstance(spec, TrainSpec) or not (folder / "summary.json").is_file():
            raise InputError("this is not the folder of a result", field=str(folder), hint="see 'untrac run --out'")
        run_id = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        place = self.runs_folder / run_id
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, place / name)
        self._add_finished(spec, run_id)
        return self.run(run_id)

    def _install(self, recorded: Path, run_id: str) -> None:
        installed = self.runs_folder / run_id / "summary.json"
        with connect(self.database) as connection:
            known = connection.execute("select 1 from runs where id = ?", (run_id,)).fetchone()
        if known and installed.is_file() and installed.read_bytes() == (recorded / "summary.json").read_bytes():
            return
        spec = load_spec(recorded / "spec.yaml")
        shutil.copytree(recorded, self.runs_folder / run_id, dirs_exist_ok=True)
        self._add_finished(spec, run_id)

    def _add_finished(self, spec: Spec, run_id: str) -> None:
        with change(self.database) as connection:
            connection.execute(
                "insert into runs (id, kind, name, status, spec, device, created, queued, started, finished,"
                " attempt) values (?, ?, ?, 'done', ?, ?, 0, 0, 0, 0, 1)"
                " on conflict (id) do update set spec = excluded.spec",  # its name, tags and notes stay
                (run_id, spec.kind, spec.name, spec.model_dump_json(), spec.device),
            )
