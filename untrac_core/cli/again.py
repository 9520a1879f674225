"""``sharpen``, ``extend``, ``exclude``: a trace asked again, by another method, more seeds, or without texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from untrac_core.cli.following import to_the_end
from untrac_core.cli.outputs import usable_out
from untrac_core.engine import Store, submit
from untrac_core.errors import InputError
from untrac_core.specs import TraceSpec

RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id: 12 digits of 0-9 and a-f.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Copy the result folder to here.")]
ROWS_BYTES = 10_000_000
Json = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")]


def sharpen(
    run_id: RunId,
    to: Annotated[str | None, typer.Option(metavar="METHOD", help="untrac or continuation; else the next one.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="SUBSET", help="Of this one; more can be named.")] = None,
    undecided: Annotated[bool, typer.Option("--undecided", help="Of the large and the undecided subsets.")] = False,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Ask a trace's question again by a method that is closer to retraining, and takes longer; Ctrl-C cancels it."""
    from untrac_core.engine.checks import check_unchanged, large_or_undecided, next_rung
    from untrac_core.results.folders import load_trace

    store = Store()
    found = store.run(run_id)
    if found.kind != "trace":
        raise InputError(f"this is a {found.kind} run", field=f"run {run_id}", hint="name a trace")
    spec = cast(TraceSpec, found.spec)
    rung = next_rung(spec, to, large_or_undecided(load_trace(found.folder)) if undecided else only)
    check_unchanged(spec, found.folder)
    return _ask(store, rung.spec, f"{rung.title}: {rung.adds}.", out, as_json)


def extend(
    run_id: RunId,
    seeds: Annotated[int, typer.Option(metavar="NUMBER", help="As many as it shall have; more than it has.")],
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Extend a finished trace by more seeds: what it has computed is taken over, and the rest is a run of its own."""
    from untrac_core.engine.checks import SHARED, extension, seeds_tell

    store = Store()
    spec = extension(store.run(run_id), seeds)
    return _ask(store, spec, "" if seeds_tell(spec) else SHARED, out, as_json)


def exclude(
    run_id: RunId,
    texts: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines with subset and row, as Examples exports.")],
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Ask a trace's question again without some training texts; Ctrl-C cancels it."""
    from untrac_core.engine.checks import leaving

    store = Store()
    found = store.run(run_id)
    if found.kind != "trace":
        raise InputError(f"this is a {found.kind} run", field=f"run {run_id}", hint="name a trace")
    return _ask(store, leaving(cast(TraceSpec, found.spec), _rows(texts)), "", out, as_json)


def _rows(path: Path) -> dict[str, list[str]]:
    """By subset, the rows that a file of JSON lines names."""
    where, found = f"file {path.name!r}", dict[str, list[str]]()
    try:
        if path.stat().st_size > ROWS_BYTES:
            raise InputError("it is too large", field=where, hint=f"name rows in at most {ROWS_BYTES // 10**6} MB")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError("it cannot be read as text", field=where, hint="export it on the page Examples") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
            if row is not None:
                found.setdefault(str(row["subset"]), []).append(str(row["row"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            hint = 'write {"subset": "...", "row": "..."} on each line'
            raise InputError(f"line {number} names no row of a subset", field=where, hint=hint) from None
    return found


def _ask(store: Store, spec: TraceSpec, told: str, out: Path | None, as_json: bool) -> int:
    """Say what a run is and costs, and run it to its end."""
    from untrac_core.cli.console import Display, tell_check
    from untrac_core.engine.checks import check

    if out:
        usable_out(out, spec)
    if not as_json:
        if told:
            print(told, file=sys.stderr)
        tell_check("trace", check(spec, rates=store.rates()))
    with Display() as display:
        made = submit(spec, progress=display)
    return to_the_end(store, made, out, as_json)
