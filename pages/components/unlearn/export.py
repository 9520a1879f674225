"""Keeping the unlearned model in the library, and taking it away again; the original is never touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from untrac_core.engine import Library, Store
from untrac_core.engine.library.entries import Entry
from untrac_core.errors import InputError
from untrac_core.results.folders import UNLEARNED
from untrac_core.specs import ModelRef

WHERE = "unlearned model"


def kept(run_id: str, home: Path | None = None) -> Entry | None:
    """The library's entry for the unlearned model of a run; ``None`` where it is not kept."""
    store = Store(home)
    path = str(store.run(run_id).folder.resolve() / UNLEARNED)
    return next((entry for entry in Library(store.home).entries("model") if _is_at(entry, path)), None)


def keep(run_id: str, home: Path | None = None) -> Entry:
    """Put the unlearned model of a finished run into the library, under the run's name; once more changes nothing.

    It is not copied: it stays in the folder of the run, which cannot be deleted as long as the library has it.

    Raises:
        InputError: when the run has no such model, or it cannot be used as a model.
    """
    store = Store(home)
    run = store.run(run_id)
    folder = _folder(store, run_id)
    if run.kind != "unlearn" or run.status != "done" or not folder.is_dir():
        raise InputError("this run has none", field=WHERE, hint="run it again")
    return Library(store.home).add_model(ModelRef(path=str(folder)), run.name, origin=f"unlearned by the run {run.id}")


def undo(run_id: str, home: Path | None = None) -> None:
    """Remove the unlearned model of a run and its entry in the library; no-op where both are gone.

    Raises:
        InputError: while a run that has not ended uses it, or the folder cannot be removed.
    """
    store = Store(home)
    folder = _folder(store, run_id)
    if any(run.active and str(folder) in run.spec.model_dump_json() for run in store.runs()):
        raise InputError("a run that has not ended uses it", field=WHERE, hint="wait for its end, or cancel it first")
    library = Library(store.home)
    for entry in library.entries("model"):
        if _is_at(entry, str(folder)):
            library.remove("model", entry.id)
    if not folder.exists():
        return
    leaving = folder.with_name(f".{folder.name}.{os.getpid()}.part")  # gone as a whole, or there as a whole
    try:
        folder.rename(leaving)
        shutil.rmtree(leaving)
    except OSError as error:
        raise InputError(
            f"its folder cannot be removed ({error.strerror or type(error).__name__})", field=WHERE,
            hint="see that the disk may be written to",
        ) from None  # fmt: skip


def _folder(store: Store, run_id: str) -> Path:
    """Where the unlearned model of a run lies, if it is there; inside the folder of runs, and no link."""
    run = store.run(run_id)
    folder = run.folder.resolve() / UNLEARNED
    if folder.is_symlink() or not folder.resolve().is_relative_to(store.runs_folder.resolve()):
        raise InputError("it is not in the folder of its run", field=WHERE, hint="remove it by hand")
    return folder


def _is_at(entry: Entry, path: str) -> bool:
    return isinstance(entry.value, ModelRef) and entry.value.path == path and entry.value.adapter is None
