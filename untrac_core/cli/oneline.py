"""A trace that is named in options alone: ``untrac run --model ID --prompts toxigen --data folder``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from untrac_core.errors import InputError
from untrac_core.specs import TraceSpec


def trace_of(model: str, prompts: Sequence[str], data: Sequence[str], method: str | None, limit: int) -> TraceSpec:
    """The request; columns and sides are guessed as the pages guess them.

    ``prompts``: names of probes, or files. ``data``: files, a subset each, or folders of them. ``limit``: blocks of a
    subset, and items of a side.

    Raises:
        InputError: for what is missing, cannot be read, or stands twice.
    """
    from untrac_core.explore.arguments import values_of
    from untrac_core.explore.inputs import Inputs
    from untrac_core.specs.build import build
    from untrac_core.specs.files import absolute

    if not model or not prompts or not data:
        raise InputError("a trace needs a model, prompts and data", field="run", hint="or name a SPEC.yaml")
    given = {
        "model": model,
        "prompts": _named(prompts, "--prompts"),
        "subsets": _named([file for one in data for file in _files(one)], "--data"),
    } | ({"method": method} if method else {})
    with tempfile.TemporaryDirectory() as folder:  # nothing is written there, as all that is named is on disk already
        values = values_of("trace", given, Inputs(Path(folder)), {})
    for kind in ("prompts", "subsets"):
        values[kind] = [part | {"limit": limit} for part in values[kind]]
    name = f"{', '.join(given['prompts'])} on {Path(model).name}"[:80]
    return cast(TraceSpec, absolute(build(TraceSpec, {"name": name} | values, where="run"), Path.cwd()))


def _named(places: Sequence[str], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for place in places:
        name = Path(place).stem or place
        if name in found:
            raise InputError(f"two are named {name!r}", field=option, hint="rename one of the files")
        found[name] = place
    return found


def _files(place: str) -> list[str]:
    """A file, or the files of a folder that hold data, by name."""
    from untrac_core.data.readers.files import is_data

    folder = Path(place)
    if not folder.is_dir():
        return [place]
    files = sorted(str(path) for path in folder.iterdir() if is_data(path.name))
    if not files:
        raise InputError("this folder has no data files", field=f"--data {place!r}", hint="name one with jsonl or csv")
    return files
