"""``runs``, ``edit`` and ``log``: the list of runs, what a user writes on one, and one of them in MLflow or W&B."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from untrac_core.cli.following import print_json
from untrac_core.engine import Run, Store
from untrac_core.engine.runs import SORTS, Wanted
from untrac_core.errors import InputError
from untrac_core.specs import RUN_KINDS

LOOKED_AT = 10_000
"""Runs that a filter looks through, the newest first."""


def runs(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="List at most this many.")] = 50,
    find: Annotated[str, typer.Option(metavar="WORDS", help="In name, method, model, tags or notes.")] = "",
    kind: Annotated[list[str] | None, typer.Option(metavar="KIND", help="Of this kind; repeatable.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="With this tag; repeatable.")] = None,
    sort: Annotated[str, typer.Option(metavar="BY", help=f"By {', '.join(SORTS)}.")] = "created",
) -> None:
    """List the runs, newest first; those that fit, where a filter is named."""
    for one in kind or ():
        if one not in RUN_KINDS:
            raise InputError(f"{one!r} is no kind of run", field="--kind", hint=f"choose {', '.join(RUN_KINDS)}")
    if sort not in SORTS:
        raise InputError(f"runs are not sorted by {sort!r}", field="--sort", hint=f"choose {', '.join(SORTS)}")
    wanted = Wanted(find=find, kinds=kind or (), tags=tag or (), sort=sort)
    found = wanted.of(Store().runs(limit if wanted == Wanted() else LOOKED_AT))[:limit]
    if as_json:
        print_json([plain(run) for run in found])
        return
    from untrac_core.cli.console import run_list

    run_list(found)


def edit(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run's id: 12 digits of 0-9 and a-f.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Rename it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Add a tag; repeatable.")] = None,
    untag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Take a tag off; repeatable.")] = None,
    notes: Annotated[str | None, typer.Option(metavar="TEXT", help="Replace its notes.")] = None,
) -> None:
    """Rename a run, tag it, or write notes on it; its files keep the name that it was asked under."""
    store = Store()
    found = store.run(run_id)
    missing = [one for one in untag or () if one not in found.tags]
    if missing:
        hint = f"it has {', '.join(found.tags)}" if found.tags else "it has none"
        raise InputError(f"the run has no tag {missing[0]!r}", field="--untag", hint=hint)
    tags = None
    if tag or untag:
        tags = [one for one in (*found.tags, *(tag or ())) if one not in (untag or ())]
    if name is None and tags is None and notes is None:
        raise InputError("there is nothing to change", field="edit", hint="name --name, --tag, --untag or --notes")
    store.label(run_id, name=name, tags=tags, notes=notes)
    print(f"run {run_id} is changed")


def log(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run's id: 12 digits of 0-9 and a-f.")],
    to: Annotated[str, typer.Option(metavar="TRACKER", help="mlflow or wandb; each is to be installed first.")],
    online: Annotated[bool, typer.Option("--online", help="Let W&B send it; else it stays on this machine.")] = False,
) -> None:
    """Log a finished trace or validation to MLflow or W&B: parameters, numbers and files, but none of its texts."""
    from untrac_core.results.tracking import KINDS, log_run

    found = Store().run(run_id)
    if found.kind not in KINDS:
        what = f"a {found.kind} run is not logged"
        raise InputError(what, field=f"run {run_id}", hint=f"name one of: {', '.join(KINDS)}")
    if found.status != "done":
        hint = "wait for its end" if found.active else "resume it first"
        raise InputError(f"it is {found.status}, so it has no result", field=f"run {run_id}", hint=hint)
    spec = found.spec.model_dump(mode="json")
    print(log_run(found.folder, spec, to=to, name=found.name, run_id=run_id, tags=found.tags, online=online))


def plain(run: Run) -> dict[str, Any]:
    """A run as JSON can hold it, without its spec."""
    values = {name: value for name, value in vars(run).items() if name != "spec"}
    return {**values, "folder": str(run.folder)}
