"""Where the command line puts results: a folder that is fit for them, and files that are whole."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.specs import RunSpec, Spec, spec_hash
from untrac_core.specs.files import load_spec
from untrac_core.tasks.registry import resolved


def usable_out(out: Path, spec: RunSpec) -> None:
    """Refuse a place for results that is not a folder, or has something else in it than the same spec's result."""
    make_folder(out)
    if not any(out.iterdir()):
        return
    there = None
    with suppress(InputError):  # not a result, so it is refused like any other content
        there = load_spec(out / "spec.yaml")
    if there is None or not _same(there, spec):
        hint = "name a new or an empty folder in --out"
        raise InputError("the folder holds something else", field=str(out), hint=hint)


def _same(there: Spec, spec: RunSpec) -> bool:
    """Whether a result's spec is this one, as it is or written out; that may cost a pass over a source, so it is last.

    The result of a fetch has its spec as it was given.
    """
    if spec_hash(there) == spec_hash(spec):
        return True
    if there.kind != spec.kind:
        return False
    return spec_hash(there) == spec_hash(resolved(spec))


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to: found out before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = f"the folder cannot be made ({error.strerror})"
        raise InputError(message, field=str(folder), hint="name another one") from None


def hand_over(folder: Path, out: Path) -> None:
    """Copy a result folder's files, each one whole or not at all, and an unlearned model with all of its own."""
    from untrac_core.results.folders import FILES, UNLEARNED

    if (folder / UNLEARNED).is_dir():
        shutil.copytree(folder / UNLEARNED, out / UNLEARNED, dirs_exist_ok=True)
    for name in FILES:
        if (folder / name).is_file():
            write_bytes((folder / name).read_bytes(), out / name)
