"""The command line: the same runs as the pages', without a browser.

Results go to standard output, progress and messages to standard error. Exit status: 0 done, 1 failed, 2 bad input
(one line that says what, where and how to mend it), 130 cancelled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from untrac_core import __version__
from untrac_core.cli.again import exclude, extend, sharpen
from untrac_core.cli.dashboard import PORT, dashboard, view
from untrac_core.cli.estimates import blend, what_if
from untrac_core.cli.following import (
    BAD_INPUT,
    CANCELLED,
    COMMAND,
    DONE,
    FAILED,
    PROGRAM,
    complain,
    print_json,
    summary_of,
    to_the_end,
    wait,
)
from untrac_core.cli.outputs import make_folder, usable_out
from untrac_core.cli.report import bundle, report
from untrac_core.cli.runs import edit, log, plain, runs
from untrac_core.engine import DEMO_RUN, Entry, Store, submit
from untrac_core.errors import Cancelled, InputError
from untrac_core.specs import TrainSpec
from untrac_core.specs.files import load_spec
from untrac_core.text.labels import SIDES

SHELVES = {"models": "model", "prompts": "prompts", "subsets": "subset"}


class WholeHelp(TyperGroup):
    """The commands of the program, in a help in which no sentence is cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; typer's own cuts each line to the width of the terminal."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, " ".join((command.help or "").split("\n\n")[0].split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    name="untrac",
    cls=WholeHelp,
    help="Which training subsets make a language model say this, and how sure are we?",
    add_completion=COMMAND,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The run, as YAML.")]
RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id: 12 digits of 0-9 and a-f.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Copy the result folder to here.")]
NewOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the result goes.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. Every fault of the input is one line on standard error."""
    try:
        given = sys.argv[1:] if arguments is None else arguments
        status = app(args=given or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        return int(status or DONE)
    except InputError as error:
        return complain(str(error), BAD_INPUT)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()) if hasattr(error, "format_message") else str(error)
        return complain(f"{message.rstrip('.')}. Try '{PROGRAM} --help'.", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort, Cancelled):
        return complain("cancelled", CANCELLED)
    except Exception as error:
        if os.environ.get("UNTRAC_DEBUG"):
            raise
        return complain(f"{type(error).__name__}: {error} (set UNTRAC_DEBUG=1 to see where)", FAILED)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"untrac {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Its version.")
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
def run(
    spec_file: Annotated[Path | None, typer.Argument(metavar="[SPEC.yaml]", help="The run, as YAML.")] = None,
    model: Annotated[str, typer.Option(metavar="ID|DIR", help="Without a spec: trace this model.")] = "",
    prompts: Annotated[list[str] | None, typer.Option(metavar="PROBE|FILE", help="On these; repeatable.")] = None,
    data: Annotated[list[str] | None, typer.Option(metavar="DIR|FILE", help="Over these; repeatable.")] = None,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="By this method; else untrac-inv.")] = None,
    limit: Annotated[int, typer.Option(min=8, help="Blocks of a subset, and items of a side.")] = 512,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Run a spec (trace, validate, verify, unlearn, generate, fetch), or a trace by options; Ctrl-C cancels it."""
    from untrac_core.cli.console import Display
    from untrac_core.cli.oneline import trace_of

    if spec_file is not None and (model or prompts or data or method):
        raise InputError("a spec and options of a trace are named", field="run", hint="give one or the other")
    spec = load_spec(spec_file) if spec_file else trace_of(model, prompts or (), data or (), method, limit)
    if isinstance(spec, TrainSpec):
        raise InputError(f"this is a {spec.kind} recipe", field=str(spec_file), hint=f"use '{PROGRAM} {spec.kind}'")
    if out:
        usable_out(out, spec)
    with Display() as display:
        run_id = submit(spec, progress=display)
    return to_the_end(Store(), run_id, out, as_json)


@app.command()
def resume(run_id: RunId, out: Out = None, as_json: Json = False) -> int:
    """Go on with a failed or cancelled run; finished cells are kept."""
    store = Store()
    resumed = store.run(run_id)
    if out:
        usable_out(out, resumed.spec)
    store.resume(run_id)
    return to_the_end(store, run_id, out, as_json)


@app.command()
def check(spec_file: SpecFile, as_json: Json = False) -> None:
    """Check a spec or a recipe for mistakes, and estimate time, memory and disk."""
    from untrac_core.cli.console import tell_check
    from untrac_core.tasks.prepare import check_training
    from untrac_core.tasks.registry import check as check_run
    from untrac_core.tasks.validate.check import price_recipe
    from untrac_core.text.numbers import duration

    spec = load_spec(spec_file)
    if isinstance(spec, TrainSpec):
        notes, price = check_training(spec), price_recipe(spec, Store().rates())
        cost = f"about {duration(price.seconds)} and {price.memory_mb:,.0f} MB of memory"
        lines = [*notes, f"The recipe can be used: a model of {price.parameters:,} parameters, {cost}."]
        print_json({"notes": notes} | asdict(price)) if as_json else print("\n".join(lines))
        return
    found = check_run(spec, rates=Store().rates())
    if as_json:
        print_json(asdict(replace(found, spec=None)) | {"spec": found.spec.model_dump(mode="json")})
    else:
        tell_check(spec.kind, found)


@app.command()
def train(recipe: SpecFile, out: NewOut, as_json: Json = False) -> None:
    """Train a small model and its tokenizer from a recipe; Ctrl-C stops it."""
    from untrac_core.cli.console import Display

    spec = load_spec(recipe)
    if not isinstance(spec, TrainSpec):
        raise InputError(f"this is a {spec.kind} spec", field=str(recipe), hint="begin it with 'kind: train'")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("this is not an empty folder", field=str(out), hint="name a new folder in --out")
    with Display() as display:
        display.phase("loading torch")
        from untrac_core.training.recipe import train as train_model

        report = train_model(spec, out, display)
    if as_json:
        print_json(report)
    else:
        print(f"The model is in {out}.")


app.command()(runs)
app.command()(edit)
app.command()(log)


@app.command()
def show(
    run_id: RunId,
    side: Annotated[str | None, typer.Option(help="harmful, harmless or contrast (where there is one).")] = None,
    as_json: Json = False,
) -> None:
    """Show a run: what it found when it is done, else how far it is."""
    from untrac_core.cli.console import state
    from untrac_core.cli.outcomes import outcome

    found = Store().run(run_id)
    if side is not None and side not in SIDES:
        raise InputError(f"{side!r} is not a side", field="--side", hint=f"choose {', '.join(SIDES)}")
    if found.status != "done":
        print_json(plain(found)) if as_json else state(found)
    elif as_json:
        print_json(summary_of(found))
    else:
        state(found)
        outcome(summary_of(found), side)


app.command()(report)
app.command()(bundle)
app.command()(blend)
app.command("what-if")(what_if)
app.command()(dashboard)
app.command()(view)
app.command()(sharpen)
app.command()(extend)
app.command()(exclude)


@app.command()
def delete(run_id: RunId, yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False) -> None:
    """Delete a run with its result and the cells that no other run has; not while the library keeps its model."""
    store = Store()
    found = store.run(run_id)
    if not yes:
        typer.confirm(f"Delete run {run_id}, {found.name!r}?", abort=True, err=True)
    store.delete(run_id)
    print(f"run {run_id} is deleted")


@app.command()
def cancel(run_id: RunId) -> None:
    """Stop a run; its finished cells are kept."""
    store = Store()
    store.cancel(run_id)
    ended = wait(store, run_id)
    print(f"run {run_id} is {ended.status}")


@app.command()
def library(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="models, prompts or subsets; else all.")] = None,
    as_json: Json = False,
) -> None:
    """List the models, prompt sets and training subsets in the library; running a fetch spec adds to it."""
    from untrac_core.engine import Library

    if kind is not None and kind not in SHELVES:
        raise InputError(f"{kind!r} is not kept in the library", field="library", hint=f"choose {', '.join(SHELVES)}")
    shelves = {one: Library().entries(SHELVES[one]) for one in ([kind] if kind else SHELVES)}
    if as_json:
        print_json({one: [_entry(entry) for entry in entries] for one, entries in shelves.items()})
        return
    from untrac_core.cli.console import shelf

    for one, entries in shelves.items():
        shelf(one, entries)


@app.command()
def library_remove(entry_id: Annotated[str, typer.Argument(metavar="ID", help="The entry's id.")]) -> None:
    """Remove an entry of the library; runs that used it keep its data."""
    from untrac_core.engine import Library

    kept = Library()
    kind = kept.kind_of(entry_id)
    kept.remove(kind, entry_id)
    print(f"{entry_id} is removed")


@app.command()
def worker(
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda:0 ..., or io for fetch runs: whose queue to serve.")
    ] = "auto",
) -> int:
    """Compute the queued runs of a device in this terminal; rarely needed, as a run starts a worker by itself."""
    from untrac_core.engine.worker import main as serve

    return serve(device)


@app.command()
def demo(
    write: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the demo's corpus files to here.")] = None,
) -> None:
    """Install the demo's recorded run, or write the texts that its model was trained on."""
    if write is not None:
        from untrac_core.demo import texts

        make_folder(write)
        texts.write(texts.generate(), write)
        print(f"The demo's texts are in {write}.")
        return
    Store().install_demo()
    print(f"The demo is run {DEMO_RUN}. See it with '{PROGRAM} show {DEMO_RUN}',")
    print(f"or run '{PROGRAM} dashboard' and open http://127.0.0.1:{PORT}/influence?run={DEMO_RUN}")


def _entry(entry: Entry) -> dict[str, Any]:
    """An entry of the library as JSON can hold it."""
    return {**vars(entry), "value": entry.value.model_dump(mode="json", exclude_defaults=True)}
