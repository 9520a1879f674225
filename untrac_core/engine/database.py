"""The SQLite file behind the engine: its tables, and how to read and write it.

Many processes share it (pages, command line, workers, jobs), so it is in WAL mode, every call opens its own
connection, and every change is one ``begin immediate`` transaction: a writer waits for the lock at the start, where
waiting is safe, and never in the middle.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from untrac_core.errors import InputError

VERSION = 2
BUSY_SECONDS = 30.0

SCHEMA = """
create table runs (
    id text primary key,
    kind text not null,
    name text not null,
    status text not null,
    spec text not null,
    device text not null,
    created real not null,
    queued real not null,                 -- its place in the queue
    started real,
    finished real,
    attempt integer not null default 0,   -- how often a worker has taken it up; also the fence against a stale job
    lost integer not null default 0,      -- how often its worker went away since it was last submitted or resumed
    error text,
    faulty_input integer not null default 0,
    phase text not null default '',
    pid integer,
    born text,                            -- identity of the process, so that a reused pid is not mistaken for it
    heartbeat real,
    cells_total integer not null default 0,
    part real not null default 0,         -- share of the current cell that is done, 0 to 1
    rated text,                           -- kind of device that it ran on, when its speed was measured
    rate real,                            -- and that speed, in floating-point operations a second
    tags text not null default '[]',      -- what a user wrote on it; the request has none of it
    notes text not null default ''
);
create index runs_queue on runs (device, status, queued);
create table cells (
    run text not null,
    position integer not null,
    key text not null,
    label text not null,
    seed integer not null,
    source text,                          -- null: not done; 'computed' by this run, or 'reused' from the cache
    seconds real,
    attempt integer,
    primary key (run, position)
) without rowid;
create index cells_key on cells (key);
create table events (
    seq integer primary key autoincrement,
    run text not null,
    time real not null,
    kind text not null,
    text text not null,
    data text not null
);
create index events_run on events (run, seq);
"""
LATER = {
    1: """
alter table runs add column tags text not null default '[]';
alter table runs add column notes text not null default '';
"""
}
"""What makes a file of this version one of the next; :data:`SCHEMA` is the newest."""


def prepare(path: Path) -> None:
    """Create the tables where there are none, and bring older ones up to date; several processes may do so at once.

    Raises:
        InputError: when the file was written by a newer version of this program.
    """
    if path.exists() and _version(path) == VERSION:
        return
    with FileLock(path.with_suffix(".setup.lock"), mode=0o600):
        found = _version(path) if path.exists() else 0
        if found > VERSION:
            raise InputError(
                "the runs were written by a newer version of this program",
                field=str(path),
                hint="update the program, or name another folder in UNTRAC_HOME",
            )
        if found < VERSION:
            made = "".join(LATER[version] for version in range(found, VERSION)) if found else SCHEMA
            with connect(path) as connection:
                connection.execute("pragma journal_mode=wal")
                connection.executescript(f"begin immediate; {made} pragma user_version={VERSION}; commit;")


def _version(path: Path) -> int:
    with connect(path) as connection:
        return int(connection.execute("pragma user_version").fetchone()[0])


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one call, outside any transaction; rows can be read by column name."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("pragma synchronous=normal")
        yield connection
    finally:
        connection.close()


@contextmanager
def change(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside one write transaction: committed at the end, rolled back when anything is raised."""
    with connect(path) as connection:
        connection.execute("begin immediate")
        try:
            yield connection
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
