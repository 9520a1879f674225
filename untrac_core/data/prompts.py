"""Prompt sets: the texts whose loss is explained, on their harmful and their harmless side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from untrac_core.data.readers.records import Records, read_records
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import PromptSet

SAMPLE_SEED = 20240817
"""Of the fixed samples that ``limit`` draws: the same items for every seed, method and run."""


@dataclass(frozen=True)
class Item:
    """One test item: ``prompt`` is given, ``completion`` is scored."""

    id: str
    prompt: str
    completion: str
    group: str
    line: int


@dataclass(frozen=True)
class PromptData:
    """The items of each side of a prompt set, and what was left out, in words."""

    spec: PromptSet
    sides: dict[str, list[Item]]
    texts: frozenset[str]
    """What the whole file would have scored, also beyond a limit."""
    digest: str
    notes: list[str]


def load_prompts(spec: PromptSet, progress: Progress | None = None) -> PromptData:
    """Read a prompt set; raises :class:`InputError` for unknown columns or labels and for an empty side."""
    where = f"prompt set {spec.name!r}"
    spec, records = _records(spec, where, progress)
    columns = spec.columns
    completions = records.column(columns.completion, where=where)

    def optional(name: str | None) -> list[str]:
        return records.column(name, where=where) if name else [""] * len(completions)

    prompts, groups, labels, ids = (
        optional(columns.prompt),
        optional(columns.group),
        optional(columns.label),
        optional(columns.id),
    )
    notes = [*records.notes]
    if records.blank:
        notes.append(f"{where}: {records.blank} blank rows are not used")
    sides: dict[str, list[Item]] = {}
    for side, label in spec.sides.items():
        chosen = [i for i, value in enumerate(labels) if label is None or value == label]
        if not chosen:
            known = ", ".join(repr(value) for value, _ in Counter(labels).most_common(8))
            raise InputError(f"no row has the label {label!r}", field=where, hint=f"labels there: {known}")
        scored = [i for i in chosen if completions[i].strip()]
        if len(scored) < len(chosen):
            notes.append(f"{where}, {side}: {len(chosen) - len(scored)} items have no text to score and are not used")
        if not scored:
            raise InputError(f"the {side} side has no text in {columns.completion!r}", field=where, hint="fill it")
        kept = sample(scored, spec.limit)
        if len(kept) < len(scored):
            notes.append(f"{where}, {side}: a fixed random {len(kept)} of {len(scored)} items (limit)")
        sides[side] = [
            Item(ids[i] or records.place(i), prompts[i], completions[i], groups[i], records.lines[i]) for i in kept
        ]
        repeated = len(kept) - len({(item.prompt, item.completion) for item in sides[side]})
        if repeated:
            notes.append(f"{where}, {side}: {repeated} items repeat another; they are kept and count again")
    if spec.harmful is not None:
        other = sum(value not in spec.sides.values() for value in labels)
        if other:
            notes.append(f"{where}: {other} rows have another label and are not used")
    texts = frozenset(text.strip() for text in completions if text.strip())
    return PromptData(spec, sides, texts, records.digest, notes)


def _records(spec: PromptSet, where: str, progress: Progress | None) -> tuple[PromptSet, Records]:
    """A prompt set's rows, and the set itself with a probe's columns and labels written out."""
    if spec.probe is not None:
        # Imported here: a probe's rules stand on this module's sources.
        from untrac_core.data.probes.loader import complete, probe_records

        return complete(spec), probe_records(spec, progress)
    if spec.source is None:
        raise InputError("it names neither a source nor a probe", field=where, hint="name one")
    return spec, read_records(spec.source, where=where, progress=progress)


def sample(indices: list[int], limit: int | None) -> list[int]:
    """A fixed random sample of at most ``limit``, in the order of the file; all of them without a limit."""
    if limit is None or limit >= len(indices):
        return indices
    drawn = np.random.default_rng(SAMPLE_SEED).permutation(len(indices))[:limit]
    return [indices[i] for i in sorted(drawn.tolist())]
