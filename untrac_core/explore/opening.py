"""A finished run, found by its folder or its id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from untrac_core.engine import Store
from untrac_core.errors import InputError
from untrac_core.explore.outcomes import RESULTS
from untrac_core.paths import DEMO, is_folder
from untrac_core.results.folders import kind_of_result
from untrac_core.tasks.registry import load_finished

DEMO_NAME = "demo"


def open_result(what: str | Path) -> Any:
    """Open a finished run: a result's folder, the id of a run, or ``demo``.

    What comes back is of its kind: :class:`~untrac_core.explore.result.TraceResult`, or one of
    :mod:`untrac_core.explore.outcomes`.

    Raises:
        InputError: where there is no such result, or its files are damaged.
    """
    folder = _folder(what)
    kind = kind_of_result(folder)
    if kind not in RESULTS:
        hint = f"open a run of another kind: {', '.join(RESULTS)}"
        raise InputError(f"a {kind[:40]} run has nothing to open", field=f"result {folder.name!r}", hint=hint)
    return RESULTS[kind](load_finished(kind, folder))


def _folder(what: str | Path) -> Path:
    """The folder that is meant."""
    if what == DEMO_NAME:
        return DEMO / "run"
    folder = Path(os.path.expanduser(what))
    if is_folder(folder):
        return folder
    if isinstance(what, Path) or "/" in what:
        raise InputError(f"there is no folder {str(what)!r}", hint="name a result's folder, or the id of a run")
    run = Store().run(what)
    if run.status != "done":
        raise InputError(f"it is {run.status}, so it has no result", field=f"run {run.id}", hint="wait, or resume it")
    return run.folder
