"""``sharpen`` and ``extend``: a trace asked again, by a method closer to retraining or by more seeds."""

from __future__ import annotations

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
