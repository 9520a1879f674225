"""A ``fetch`` looked over before it runs; the library's own module does it
(:mod:`untrac_core.engine.library.fetching`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from untrac_core.errors import InputError
from untrac_core.hub.locate import find_adapter, find_model
from untrac_core.specs import FetchSpec, Source
from untrac_core.tasks.base import Check

DISK_MB = 50.0
"""Asked for before it is known what comes; each download asks for its own."""


def check_fetch(spec: FetchSpec, *, rates: Mapping[str, float] | None = None) -> Check:
    """See that what a ``fetch`` names on this machine is there; what is on the hub shows itself when it runs."""
    for ref in spec.models:
        find_model(ref)
        find_adapter(ref)
    named: list[tuple[str, Source | None]] = [(f"prompt set {part.name!r}", part.source) for part in spec.prompts]
    named += [(f"subset {part.name!r}", part.source) for part in spec.subsets]
    named += [("collection", part.source) for part in spec.collections]
    for name, source in named:
        if source is None:
            continue
        if source.file is not None and not Path(source.file).is_file():
            raise InputError(f"there is no file {source.file!r}", field=name, hint="check the path")
        if source.folder is not None and not Path(source.folder).is_dir():
            raise InputError(f"there is no folder {source.folder!r}", field=name, hint="check the path")
    return Check(disk_mb=DISK_MB)
