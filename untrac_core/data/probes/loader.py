"""Named probes: published test sets, one small YAML each, read by one loader.

``NAME.yaml`` says where the data lie on the hub, what the two sides and the groups are, and under which licence they
stand (:class:`~untrac_core.data.probes.metadata.Probe`). It names the ``columns`` of rows that are items already; where
they are not, ``items(row)`` in ``NAME.py`` makes items of a row that has the columns that the YAML ``needs``. A local
copy can also be records in the canonical columns ``prompt, completion, group, label, id, cluster``.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from untrac_core.data.probes.items import CANONICAL, Gathered
from untrac_core.data.probes.metadata import Part, Probe
from untrac_core.data.readers.reader import Reading, Row
from untrac_core.data.readers.records import Records
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import PromptSet, Source
from untrac_core.specs.build import build

FOLDER = Path(__file__).resolve().parent / "bundled"


@cache
def probe_names() -> list[str]:
    """All named probes, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def probe(name: str) -> Probe:
    """A named probe; an unknown name is an :class:`InputError` that lists the known ones."""
    if name not in probe_names():
        raise InputError(f"no probe is named {name!r}", field="probe", hint=f"known: {', '.join(probe_names())}")
    return build(Probe, _values(name), where=f"{name}.yaml")


def _values(name: str) -> dict[str, Any]:
    """What a probe's file says; with ``like``, on top of what that other probe's file says."""
    values = dict(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    other = values.pop("like", None)
    return {**(_values(other) if other else {"module": name}), **values}


def complete(spec: PromptSet) -> PromptSet:
    """A prompt set with its probe's columns, labels and, unless a copy is named, source; without a probe as it is."""
    if spec.probe is None:
        return spec
    chosen = probe(spec.probe)
    only = chosen.parts[0] if len(chosen.parts) == 1 else Part()
    source = spec.source or Source(
        hub=chosen.hub, revision=chosen.revision, config=only.config, split=only.split
    )  # several parts: the data set as a whole stands for them
    labels = {"harmful": chosen.harmful, "harmless": chosen.harmless}
    return spec.model_copy(update={"source": source, "columns": CANONICAL, **labels})


def sources(spec: PromptSet) -> list[Source]:
    """What is read for a prompt set of a probe: each part of it on the hub, or the copy that is named."""
    spec = complete(spec)
    if spec.probe is None or spec.source is None:
        return [spec.source] if spec.source else []
    chosen, source = probe(spec.probe), spec.source
    if source.hub != chosen.hub or source.config is not None or source.split is not None:
        return [source]
    return [source.model_copy(update={"config": part.config, "split": part.split}) for part in chosen.parts]


def probe_records(spec: PromptSet, progress: Progress | None = None) -> Records:
    """A probe's items, one per row, in the canonical columns; at most ``most`` of them per group or side.

    Raises :class:`InputError` where the data have neither the probe's own columns nor the canonical ones, and where no
    row gives an item.
    """
    spec = complete(spec)
    if spec.probe is None or spec.source is None:
        raise InputError("it names no probe", field=f"prompt set {spec.name!r}", hint="name one with 'probe'")
    chosen = probe(spec.probe)
    where = f"prompt set {spec.name!r}"
    gathered, bounded = Gathered(chosen), list[str]()
    for source in sources(spec):
        reading = Reading(source, where=where, progress=progress)
        before = gathered.copied() if reading.several else gathered
        _gather(gathered, reading, source, where)
        if reading.again():
            gathered = before
            _gather(gathered, reading, source, where)
        if reading.tally.bounded:
            bounded.append(f"{where}: {reading.title} is longer than one pass reads; the rest of it is not used")
    kept = gathered.kept(where)
    rows = [entry.values for entry in kept]
    digest = hashlib.sha256(f"{chosen.name} {chosen.version}".encode())
    for values in rows:
        digest.update("\x1f".join(values.values()).encode() + b"\n")
    path = Path(spec.source.file or spec.source.folder or spec.source.hub or chosen.name)
    return Records(
        path=path,
        columns=["id", "prompt", "completion", "group", "label", "cluster"],
        rows=rows,
        digest=digest.hexdigest(),
        lines=[entry.line for entry in kept],
        notes=bounded + gathered.notes(where, len(kept)),
    )


def _gather(gathered: Gathered, reading: Reading, source: Source, where: str) -> None:
    for row in reading:
        gathered.add(row, *_origin(source, row), where)


def _origin(source: Source, row: Row) -> tuple[str, str]:
    """Config, split and file of a row, and the least of them that tells its part from the others."""
    named = [part for part in (source.config, source.split) if part]
    return " ".join([*named, row.file]), " ".join(named) or str(Path(row.file).with_suffix(""))
