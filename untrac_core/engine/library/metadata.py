"""Reads what is to be kept in the library, without torch: its records in plain columns, and the facts about it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrac_core.engine.library.entries import Value, stamp_of
from untrac_core.engine.library.records import Row
from untrac_core.errors import InputError
from untrac_core.models.scoring import HARMFUL, HARMLESS
from untrac_core.progress import Progress, Silent
from untrac_core.specs import Columns, ModelRef, PromptSet, Source, Subset

if TYPE_CHECKING:
    from untrac_core.data.subsets import Document, SubsetData
    from untrac_core.engine.runs import Run

EDGE_BYTES = 1_000_000
GROUPS_LISTED = 50
NOT_KEPT = "0" * 64
"""Stands in a value until its records are kept."""


@dataclass(frozen=True)
class Metadata:
    """What an entry is made of; ``value`` lacks the hash of ``rows`` yet, ``identity`` tells contents apart."""

    value: Value
    facts: dict[str, Any]
    notes: list[str]
    origin: str
    identity: str = ""
    stamp: str = ""
    rows: list[Row] = field(default_factory=list)
    totals: dict[str, int] | None = None
    """Of ``rows`` that are a sample: ``seen`` and ``characters`` of what they were drawn from."""


def origin_of(source: Source | None, probe: str | None = None) -> str:
    """Where records came from, in words for a list; a path is cut to its name."""
    parts = [f"probe {probe}"] if probe else []
    if source is None:
        return parts[0] if parts else ""
    if source.file or source.folder:
        word = "file" if source.file else "folder"
        parts.append(f"{word} {Path(str(source.file or source.folder)).name}")
    elif source.hub:
        part = ", ".join(part for part in (source.config, source.split) if part)
        at = f" at {source.revision[:12]}" if source.revision else ""
        parts.append(f"hub {source.hub}{f' ({part})' if part else ''}{at}")
    else:
        parts.append(f"the library, {source.kept[:12]}" if source.kept else f"the demo, {source.bundled}")
    return ", ".join(parts)


def describe_prompts(spec: PromptSet, progress: Progress | None = None) -> Metadata:
    """Read a prompt set: all its items, also beyond ``limit``, which stays a wish of those who use it.

    Facts: ``items`` (by side), ``characters`` (scored), ``given`` (items with a prompt), ``duplicates``, ``groups``
    (the 50 largest, with their items), ``labels`` (by side).
    """
    from untrac_core.data.prompts import load_prompts

    whole = _completed(spec)
    if whole.source is not None:
        whole = whole.model_copy(update={"source": pinned_source(whole.source)})
    data = load_prompts(whole.model_copy(update={"limit": None}), progress)
    sides = {label or "": data.sides[side] for side, label in whole.sides.items()}
    rows = [
        {"id": item.id, "prompt": item.prompt, "completion": item.completion, "group": item.group, "label": label}
        | {"cluster": item.cluster}
        for label, items in sides.items()
        for item in items
    ]
    told = _prompt_rows(spec.name, rows, whole.harmful, whole.harmless, spec.limit)
    names = {"harmful_name": spec.harmful_name, "harmless_name": spec.harmless_name}
    told = replace(told, value=told.value.model_copy(update=names))
    return replace(told, notes=data.notes, origin=origin_of(whole.source, spec.probe))


def describe_completions(run: Run, name: str) -> Metadata:
    """What a finished ``generate`` run wrote, as a prompt set.

    Raises:
        InputError: when the run is not one, has not finished, or nothing that it wrote was scored harmful.
    """
    from untrac_core.results.folders import COMPLETIONS, read_frame

    where = f"run {run.id}"
    if run.kind != "generate" or run.status != "done":
        raise InputError(
            "it is no finished run of kind generate", field=where, hint="wait for its end, or name another"
        )
    try:
        found = read_frame(run.folder / COMPLETIONS)
    except (OSError, ValueError):
        raise InputError("its completions cannot be read", field=where, hint="run it again") from None
    columns = ["prompt", "completion", "group", "label"]
    generations = [dict(zip(columns, values, strict=True)) for values in found[columns].to_numpy().tolist()]
    asked = {prompt: f"{number}" for number, prompt in enumerate(dict.fromkeys(found["prompt"]), 1) if prompt}
    rows = [
        {"id": f"{number}"} | row | {"cluster": asked.get(row["prompt"], "")}
        for number, row in enumerate(generations, 1)
        if row["completion"].strip()
    ]
    present = {row["label"] for row in rows}
    if not rows or (present != {""} and HARMFUL not in present):
        reason = "no completion was scored harmful" if rows else "the model wrote nothing"
        raise InputError(reason, field=where, hint="draw more samples, name other prompts, or lower the threshold")
    scored = HARMFUL in present
    told = _prompt_rows(name, rows, HARMFUL if scored else None, HARMLESS if HARMLESS in present else None, None)
    return replace(told, origin=f"written by the model in run {run.id}")


def _prompt_rows(name: str, rows: list[Row], harmful: str | None, harmless: str | None, limit: int | None) -> Metadata:
    """Rows in the library's own columns, and the prompt set that reads them."""
    groups = Counter(row["group"] for row in rows if row["group"])
    given = sum(bool(row["prompt"]) for row in rows)
    columns = Columns(
        completion="completion",
        prompt="prompt" if given else None,
        group="group" if groups else None,
        label="label" if harmful is not None else None,
        id="id",
        cluster="cluster" if any(row["cluster"] for row in rows) else None,
    )
    value = PromptSet(
        name=name, source=Source(kept=NOT_KEPT), columns=columns, harmful=harmful, harmless=harmless, limit=limit
    )
    labels = {side: label or "" for side, label in value.sides.items()}
    facts = {
        "items": {side: sum(row["label"] == label for row in rows) for side, label in labels.items()},
        "characters": sum(len(row["completion"]) for row in rows),
        "given": given,
        "duplicates": len(rows) - len({(row["prompt"], row["completion"], row["label"]) for row in rows}),
        "groups": dict(groups.most_common(GROUPS_LISTED)),
        "labels": labels,
    }
    return Metadata(value, facts, [], "", rows=rows)


def _completed(spec: PromptSet) -> PromptSet:
    """The prompt set with a probe's columns and labels in it, where it names a probe."""
    if spec.probe is None:
        return spec
    from untrac_core.data.probes.loader import complete

    return complete(spec)


def describe_subset(spec: Subset, progress: Progress | None = None, data: SubsetData | None = None) -> Metadata:
    """Read a training subset, or take it as ``data`` that was read before.

    Facts: ``documents`` and ``characters`` (as kept), ``seen`` and ``characters_seen`` (as read), ``whole`` (all there
    is is kept; otherwise the kept ones are a fixed random sample), ``given`` (documents with an unscored prompt).
    """
    from untrac_core.data.subsets import load_subset

    spec = spec.model_copy(update={"source": pinned_source(spec.source)})
    data = data or load_subset(spec, progress)
    documents = _as_in_source(data)
    rows = [
        {"id": document.id, "text": document.text} | ({"prompt": document.prompt} if spec.prompt else {})
        for document in documents
    ]
    facts = {
        "documents": len(rows),
        "characters": sum(len(row["text"]) for row in rows),
        "seen": data.seen,
        "characters_seen": data.characters,
        "whole": data.whole,
        "given": sum(bool(document.prompt) for document in documents),
    }
    estimate = round(data.characters * data.scale)
    totals = None if data.whole else {"seen": data.seen, "characters": data.characters, "estimate": estimate}
    value = Subset(
        name=spec.name,
        source=Source(kept=NOT_KEPT),
        prompt="prompt" if spec.prompt else None,
        limit=spec.limit,
    )
    picked = f", {spec.where.column} is {spec.where.value!r}" if spec.where else ""
    return Metadata(value, facts, data.notes, origin_of(spec.source) + picked, rows=rows, totals=totals)


def _as_in_source(data: SubsetData) -> list[Document]:
    """The documents in the order of their source, so that what is kept is shuffled as the source itself would be."""
    if not data.whole:
        return data.documents  # drawn at random
    import numpy as np

    from untrac_core.data.prompts import SAMPLE_SEED

    order = np.random.default_rng(SAMPLE_SEED).permutation(len(data.documents)).tolist()
    return [document for _, document in sorted(zip(order, data.documents, strict=True), key=lambda pair: pair[0])]


def describe_model(ref: ModelRef, progress: Progress | None = None) -> Metadata:
    """Read what a model's files say of it; of a hub model that is not here, its card and headers alone.

    A hub model comes back pinned to the commit that its revision stands for now. Facts are those of
    :class:`untrac_core.hub.locate.ModelInfo` without its folders, and ``here``: whether its weights are on the disk.
    """
    from untrac_core.hub.locate import find_adapter, find_model, model_info

    listener = progress or Silent()
    listener.phase(f"looking at the model {ref.path}")
    placed = pinned(ref)
    facts = dataclasses.asdict(model_info(placed))
    here = find_model(placed) is not None and (placed.adapter is None or find_adapter(placed) is not None)
    for part in (facts, facts.get("adapter") or {}):
        part.pop("folder", None)
    identity = json.dumps(placed.model_dump(mode="json"), sort_keys=True)
    local = [Path(path) for path in (placed.path, placed.adapter) if path and os.path.isdir(path)]
    identity += "".join(fingerprint(folder) for folder in local)
    return Metadata(placed, facts | {"here": here}, [], model_origin(placed), identity, stamp_of(placed))


def model_origin(ref: ModelRef) -> str:
    """Where a model is, in words for a list."""
    if ref.path == "demo":
        return "the bundled demo"
    parts = [("", ref.path, ref.revision), (" with adapter ", ref.adapter, ref.adapter_revision)]
    return "".join(
        f"{word}{f'folder {Path(path).name}' if os.path.isabs(path) else f'hub {path}'}"
        + (f" at {revision[:12]}" if revision else "")
        for word, path, revision in parts
        if path
    )


def pinned(ref: ModelRef) -> ModelRef:
    """The reference with local folders absolute, and the hub's revisions as the commits that they stand for."""
    path, revision = _pin(ref.path, ref.revision, "model")
    if ref.adapter is None:
        return ref.model_copy(update={"path": path, "revision": revision})
    adapter, adapter_revision = _pin(ref.adapter, ref.adapter_revision, "adapter")
    return ref.model_copy(
        update={"path": path, "revision": revision, "adapter": adapter, "adapter_revision": adapter_revision}
    )


def pinned_source(source: Source) -> Source:
    """The source, and where it is a data set on the hub, the commit that its revision stands for now."""
    if source.hub is None:
        return source
    from untrac_core.hub.datasets import pin

    return source.model_copy(update={"revision": pin(source.hub, source.revision)})


def _pin(path: str, revision: str | None, what: str) -> tuple[str, str | None]:
    """A folder's absolute path, or an id on the hub with its commit."""
    if path == "demo":
        return path, None
    if os.path.isdir(path):
        return os.path.realpath(path), None
    from untrac_core.specs.parts import is_local

    if is_local(path):
        raise InputError(f"there is no {what} folder {path!r}", field=what, hint="check the path")
    from untrac_core.hub import repos

    return path, repos.pin(path, revision, "model")


def fingerprint(folder: Path) -> str:
    """SHA-256 over a model folder's names and sizes, its small files, and both ends of its large ones.

    Tells models apart without reading gigabytes; a run hashes every byte of the weights that it loads.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".safetensors", ".json", ".model", ".txt") or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(EDGE_BYTES))
            if size > EDGE_BYTES:
                file.seek(max(EDGE_BYTES, size - EDGE_BYTES))
                digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()
