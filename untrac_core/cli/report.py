"""``report``: a finished run, or a result folder, as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from untrac_core.engine import Store
from untrac_core.engine.runs import RUN_ID
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.paths import is_folder


def report(
    result: Annotated[str, typer.Argument(metavar="ID|DIR", help="The run's id, or a result folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="Where the report goes.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    show_texts: Annotated[
        bool, typer.Option("--show-texts", help="Training texts as they are, not masked; they may be harmful.")
    ] = False,
) -> None:
    """Write a finished trace or validation as one HTML file: figures, tables, method, limits; no network needed."""
    folder, finished, run_id = _found(result)
    _usable(out, force)
    from untrac_core.report import report as generations

    page = generations(folder, finished=finished, run_id=run_id, show_texts=show_texts)
    try:
        write_bytes(page, out)
    except OSError as error:
        raise InputError(
            f"the file cannot be written ({error.strerror})", field=str(out), hint="name another"
        ) from None
    print(f"The report is in {out} ({len(page) / 1e6:.1f} MB).")


def _found(result: str) -> tuple[Path, float | None, str]:
    """The folder that is meant; for the id of a run, also when it ended, and the id."""
    if RUN_ID.fullmatch(result):
        run = Store().run(result)
        if run.status != "done":
            hint = "wait for its end" if run.active else f"'untrac resume {result}' goes on with it"
            raise InputError(f"the run is {run.status}, so it has no result yet", field=result, hint=hint)
        return run.folder, run.finished, run.id
    folder = Path(result)
    if not is_folder(folder):
        hint = "name one of 'untrac runs', or the folder of a result"
        raise InputError("this is neither the id of a run nor a folder", field=result[:200], hint=hint)
    return folder.resolve(), None, ""


def _usable(out: Path, force: bool) -> None:
    """Refuse a place for the file that is a folder, is not there, or is taken."""
    if is_folder(out):
        raise InputError("this is a folder", field=str(out), hint="name a file in it, as report.html")
    if not is_folder(out.parent):
        raise InputError("its folder is not there", field=str(out), hint="make it, or name another")
    if out.exists() and not force:
        raise InputError("the file is there already", field=str(out), hint="name another, or add --force")
