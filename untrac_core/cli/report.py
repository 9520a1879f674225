"""``report`` and ``bundle``: finished runs, or result folders, as HTML that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrac_core.engine import Store
from untrac_core.engine.runs import RUN_ID
from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.paths import is_folder
from untrac_core.text.numbers import count

if TYPE_CHECKING:
    from untrac_core.specs.composed import ComposedReport

NOTES_BYTES = 50_000
Results = Annotated[list[str], typer.Argument(metavar="ID|DIR", help="Ids of runs, or result folders.")]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]
ShowTexts = Annotated[
    bool, typer.Option("--show-texts", help="Training texts as they are, not masked; they may be harmful.")
]


def report(
    results: Annotated[
        list[str],
        typer.Argument(metavar="ID|DIR|PAGE.yaml", help="A run, a result folder, several, or a page as YAML."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="Where the report goes.")],
    notes: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Own words in Markdown, which stand on top.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of a report of several results.")] = "Report",
    force: Force = False,
    show_texts: ShowTexts = False,
) -> None:
    """Write finished traces, validations and unlearnings as one HTML file that needs no network: one with all of its
    figures, tables, method and limits; several, or a page as YAML, as one page of chosen figures."""
    composed = len(results) > 1 or notes is not None or results[0].endswith((".yaml", ".yml"))
    if composed:
        from untrac_core.explore.composed.compose import compose, of_runs_and_folders

        page = _page(results, notes, title)
        _usable(out, force)
        content = compose(page, of_runs_and_folders(Store()), show_texts=show_texts)
    else:
        folder, finished, run_id = _found(results[0])
        _usable(out, force)
        from untrac_core.report.file import report as whole

        content = whole(folder, finished=finished, run_id=run_id, show_texts=show_texts)
    try:
        write_bytes(content, out)
    except OSError as error:
        raise InputError(
            f"the file cannot be written ({error.strerror})", field=str(out), hint="name another"
        ) from None
    print(f"The report is in {out} ({len(content) / 1e6:.1f} MB).")


def bundle(
    results: Results,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the folder of pages goes.")],
    title: Annotated[str, typer.Option(help="What stands over the list.")] = "Results",
    force: Force = False,
    show_texts: ShowTexts = False,
) -> None:
    """Write several finished runs as a folder of pages with a list that can be filtered; any web server shows it, and
    so does a browser that opens its index.html."""
    found = [_found(result) for result in results]
    _usable_folder(out, force)
    from untrac_core.report.bundle import INDEX, Entry, write_bundle

    pages = write_bundle(
        [Entry(folder, run_id, finished) for folder, finished, run_id in found], out, title=title, show_texts=show_texts
    )
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    many = len(pages) - 1
    print(f"{count(many, 'result')} {'is' if many == 1 else 'are'} in {out} ({size / 1e6:.1f} MB). Open {out / INDEX}.")


def _page(results: list[str], notes: Path | None, title: str) -> ComposedReport:
    """The page that is asked for: as a YAML file says it, or the usual figures of each result below the notes."""
    from untrac_core.explore.composed.compose import of_runs_and_folders, usual_items
    from untrac_core.specs.build import build
    from untrac_core.specs.composed import ComposedItem, ComposedReport
    from untrac_core.specs.files import load_composed

    if len(results) == 1 and results[0].endswith((".yaml", ".yml")):
        if notes is not None:
            raise InputError("a page has its own words", field="--notes", hint="write them into the YAML as 'text'")
        return load_composed(Path(results[0]))
    items = usual_items(results, of_runs_and_folders(Store()))
    if notes is not None:
        items = [build(ComposedItem, {"text": _words(notes)}, where=str(notes)), *items]
    return build(ComposedReport, {"title": title, "items": items}, where="report")


def _words(notes: Path) -> str:
    try:
        with notes.open("rb") as file:
            content = file.read(NOTES_BYTES + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", field=str(notes), hint="save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read the notes ({error.strerror})", field=str(notes), hint="check the path") from None
    if len(content) > NOTES_BYTES:
        raise InputError(f"the notes are over {NOTES_BYTES // 1000} kB", field=str(notes), hint="shorten them")
    return text


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


def _usable_folder(out: Path, force: bool) -> None:
    """Refuse a place for a bundle that is a file, or a folder with something in it."""
    if out.exists() and not is_folder(out):
        raise InputError("this is a file", field=str(out), hint="name a folder")
    if is_folder(out) and any(out.iterdir()) and not force:
        raise InputError("the folder is not empty", field=str(out), hint="name another, or add --force")
