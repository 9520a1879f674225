"""What workers and jobs write about a run.

A job writes only while the run is in the attempt that it was started for: the attempt's number is a fence, so that a
process which was thought lost can change nothing when it comes back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from untrac_core.engine.database import change, connect
from untrac_core.engine.disk import with_room
from untrac_core.engine.logs import one_line
from untrac_core.engine.processes import identity
from untrac_core.engine.store import Store, record
from untrac_core.errors import Cancelled

MAX_LOST = 3
LOST = "the worker went away"


class CellLike(Protocol):
    """What is written down of a cell."""

    @property
    def key(self) -> str:
        """The hash of all that its result depends on."""

    @property
    def label(self) -> str:
        """What a reader calls it."""

    @property
    def seed(self) -> int:
        """The seed that it draws its data with."""


@dataclass(frozen=True)
class State:
    """What a worker watches of the run that it serves."""

    status: str
    heartbeat: float | None


class RunWriter:
    """The worker's and the job's side of a :class:`Store`."""

    def __init__(self, home: Path | None = None) -> None:
        self.store = Store(home)
        self.path = self.store.database

    # -- the worker --

    def claim(self, device: str) -> tuple[str, int] | None:
        """Take the oldest waiting run of a queue: its id and the number of this attempt."""
        with change(self.path) as connection:
            row = connection.execute(
                "select id, attempt from runs where device = ? and status = 'queued' order by queued, rowid limit 1",
                (device,),
            ).fetchone()
            if row is None:
                return None
            attempt = int(row["attempt"]) + 1
            now = time.time()
            connection.execute(
                "update runs set status = 'running', attempt = ?, started = coalesce(started, ?), heartbeat = ?,"
                " pid = null, born = null, part = 0, phase = 'starting' where id = ?",
                (attempt, now, now, row["id"]),
            )
            record(connection, row["id"], "status", "running", attempt=attempt)
        return row["id"], attempt

    def waiting(self, device: str) -> bool:
        """Whether a queue has anything to do: a run that waits, or one whose worker is gone."""
        with connect(self.path) as connection:
            return (
                connection.execute(
                    "select 1 from runs where device = ? and status in ('queued', 'running', 'cancelling') limit 1",
                    (device,),
                ).fetchone()
                is not None
            )

    def state(self, run_id: str) -> State:
        """The status and the last heartbeat of a run."""
        with connect(self.path) as connection:
            row = connection.execute("select status, heartbeat from runs where id = ?", (run_id,)).fetchone()
        return State(row["status"], row["heartbeat"]) if row else State("deleted", None)

    def give_back_orphans(self, device: str) -> list[str]:
        """Queue again, in their old place, the runs of a queue that a lost worker left under way; returns their ids.

        For the worker that has just taken the queue, so that no other can be serving it. A run that was being
        cancelled is cancelled, and one that was lost three times has failed.
        """
        with change(self.path) as connection:
            rows = connection.execute(
                "select id, status, lost, attempt from runs where device = ? and status in ('running', 'cancelling')",
                (device,),
            ).fetchall()
            for row in rows:
                lost, error = int(row["lost"]) + 1, None
                status = "cancelled" if row["status"] == "cancelling" else "queued"
                if status == "queued" and lost >= MAX_LOST:
                    status = "failed"
                    error = f"{LOST} {lost} times during this run; finished cells are kept: resume"
                connection.execute(
                    "update runs set status = ?, error = ?, lost = ?, pid = null, born = null, phase = '', part = 0,"
                    " finished = ? where id = ?",
                    (status, error, lost, None if status == "queued" else time.time(), row["id"]),
                )
                record(connection, row["id"], "status", error or f"{LOST}: {status}", attempt=row["attempt"])
        return [row["id"] for row in rows]

    def left(self, run_id: str, attempt: int) -> None:
        """Note that the job's process is gone and all that it wrote is on the disk."""
        with change(self.path) as connection:
            connection.execute(
                "update runs set pid = null, born = null where id = ? and attempt = ?", (run_id, attempt)
            )

    # -- the job --

    def attach(self, run_id: str, attempt: int, pid: int) -> bool:
        """Note the job's process; ``False`` when the run is no longer in this attempt."""
        return self._update(run_id, attempt, "pid = ?, born = ?", pid, identity(pid))

    def phase(self, run_id: str, attempt: int, text: str) -> None:
        """Say what is being done now. Raises :class:`Cancelled` when the run is no longer this job's."""
        now = time.time()
        with change(self.path) as connection:
            changed = connection.execute(
                "update runs set phase = ?, heartbeat = ? where id = ? and attempt = ?"
                " and status in ('running', 'cancelling')",
                (one_line(text), now, run_id, attempt),
            ).rowcount
            if not changed:
                raise Cancelled
            record(connection, run_id, "phase", text)

    def beat(self, run_id: str, attempt: int, part: float) -> None:
        """Say that the job lives, and how much of its cell is done (0 to 1)."""
        if not self._update(run_id, attempt, "heartbeat = ?, part = ?", time.time(), part):
            raise Cancelled

    def plan(self, run_id: str, attempt: int, cells: Sequence[CellLike]) -> None:
        """Note the cells of a run; what is known of the same cells from an earlier attempt stays."""
        with change(self.path) as connection:
            known = connection.execute("select key from cells where run = ? order by position", (run_id,)).fetchall()
            if [row["key"] for row in known] != [cell.key for cell in cells]:
                connection.execute("delete from cells where run = ?", (run_id,))
                connection.executemany(
                    "insert into cells (run, position, key, label, seed) values (?, ?, ?, ?, ?)",
                    [(run_id, place, cell.key, cell.label, cell.seed) for place, cell in enumerate(cells)],
                )
            connection.execute(
                "update runs set cells_total = ? where id = ? and attempt = ?", (len(cells), run_id, attempt)
            )

    def cell_started(self, run_id: str, attempt: int) -> None:
        """Note that the next cell begins now."""
        self._update(run_id, attempt, "heartbeat = ?, part = 0", time.time())

    def cell_done(self, run_id: str, attempt: int, cell: CellLike, source: str, seconds: float | None = None) -> None:
        """Note a finished cell as ``computed`` or ``reused``; one that an earlier attempt noted stays as it is."""
        with change(self.path) as connection:
            changed = connection.execute(
                "update cells set source = ?, seconds = ?, attempt = ? where run = ? and key = ? and source is null",
                (source, seconds, attempt, run_id, cell.key),
            ).rowcount
            connection.execute(
                "update runs set heartbeat = ?, part = 0 where id = ? and attempt = ?",
                (time.time(), run_id, attempt),
            )
            if changed:
                done, total = connection.execute(
                    "select count(source), count(*) from cells where run = ?", (run_id,)
                ).fetchone()
                facts = {"key": cell.key, "source": source, "seconds": seconds, "done": done, "total": total}
                record(connection, run_id, "cell", cell.label, **facts)

    def computing_seconds(self, run_id: str, before: int) -> float:
        """Seconds that the cells took which attempts before number ``before`` computed."""
        with connect(self.path) as connection:
            row = connection.execute(
                "select sum(seconds) from cells where run = ? and source = 'computed' and attempt < ?", (run_id, before)
            ).fetchone()
        return float(row[0] or 0.0)

    def measured(self, run_id: str, device: str, flop: float | None) -> tuple[str, float] | None:
        """Kind of device and operations a second, from a run of ``flop`` operations that computed every cell itself."""
        with connect(self.path) as connection:
            row = connection.execute(
                "select sum(seconds), count(*) = sum(source = 'computed') from cells where run = ?", (run_id,)
            ).fetchone()
        return (device.partition(":")[0], flop / row[0]) if flop and row[0] and row[1] else None

    # -- both --

    def finish(
        self,
        run_id: str,
        attempt: int,
        status: str,
        error: str | None = None,
        *,
        faulty_input: bool = False,
        measured: tuple[str, float] | None = None,
    ) -> bool:
        """End the attempt as ``done``, ``failed`` or ``cancelled``; ``False`` when it has ended already.

        ``measured``: the kind of device and its floating-point operations a second, see :meth:`measured`.
        Works on a full disk too, as long as the reserve is there.
        """
        text = one_line(error) if error else None

        def write() -> bool:
            with change(self.path) as connection:
                changed = connection.execute(
                    "update runs set status = ?, error = ?, faulty_input = ?, rated = ?, rate = ?, finished = ?,"
                    " phase = '', part = 0 where id = ? and attempt = ? and status in ('running', 'cancelling')",
                    (status, text, int(faulty_input), *(measured or (None, None)), time.time(), run_id, attempt),
                ).rowcount
                if changed:
                    record(connection, run_id, "error" if status == "failed" else "status", text or status)
            return bool(changed)

        return with_room(self.store.home, write)

    def _update(self, run_id: str, attempt: int, assignments: str, *values: object) -> bool:
        """Change the row of a run that is under way in this attempt; ``assignments`` is code, never input."""
        query = f"update runs set {assignments} where id = ? and attempt = ? and status in ('running', 'cancelling')"  # noqa: S608
        with change(self.path) as connection:
            return connection.execute(query, (*values, run_id, attempt)).rowcount == 1
