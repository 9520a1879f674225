"""Prompt sets: the texts whose loss is explained, on their harmful and their harmless side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from untrac_core.data.readers.records import Records, read_records
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import PromptSet
from untrac_core.stats.clusters import Clusters, clusters_by_side, clusters_of

PARTS = re.compile(r"(.+)-(?:s|a|pro|anti|[ft]\d+)")
"""An id, parted before what tells the two of a minimal pair apart, or the false and true answers to a question."""
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
    cluster: str = ""
    """Of the items that count as one observation with it, on either side; empty: there are no others."""


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

    prompts, groups, labels = optional(columns.prompt), optional(columns.group), optional(columns.label)
    ids, clusters = optional(columns.id), optional(columns.cluster)
    if not any(clusters):
        clusters = cluster_names(ids)
    notes = [*records.notes]
    if records.blank:
        notes.append(f"{where}: {records.blank} blank rows are not used")
    scored = _scored(spec, labels, completions, notes)
    sides: dict[str, list[Item]] = {}
    for side, of_side in clusters_by_side({side: [clusters[i] for i in of] for side, of in scored.items()}).items():
        kept = sample(scored[side], spec.limit, of_side)
        if len(kept) < len(scored[side]):
            notes.append(f"{where}, {side}: a fixed random {len(kept)} of {len(scored[side])} items (limit)")
        sides[side] = [
            Item(ids[i] or records.place(i), prompts[i], completions[i], groups[i], records.lines[i], clusters[i])
            for i in kept
        ]
        repeated = len(kept) - len({(item.prompt, item.completion) for item in sides[side]})
        if repeated:
            notes.append(f"{where}, {side}: {repeated} items repeat another; they are kept and count again")
    notes += _together(where, sides)
    if spec.harmful is not None:
        other = sum(value not in spec.sides.values() for value in labels)
        if other:
            notes.append(f"{where}: {other} rows have another label and are not used")
    texts = frozenset(text.strip() for text in completions if text.strip())
    return PromptData(spec, sides, texts, records.digest, notes)


def _scored(
    spec: PromptSet, labels: Sequence[str], completions: Sequence[str], notes: list[str]
) -> dict[str, list[int]]:
    """The rows of each side that have a text to score; adds to the notes what has none, and refuses an empty side."""
    where = f"prompt set {spec.name!r}"
    scored: dict[str, list[int]] = {}
    for side, label in spec.sides.items():
        chosen = [i for i, value in enumerate(labels) if label is None or value == label]
        if not chosen:
            known = ", ".join(repr(value) for value, _ in Counter(labels).most_common(8))
            raise InputError(f"no row has the label {label!r}", field=where, hint=f"labels there: {known}")
        scored[side] = [i for i in chosen if completions[i].strip()]
        if lost := len(chosen) - len(scored[side]):
            notes.append(f"{where}, {side}: {lost} items have no text to score and are not used")
        if not scored[side]:
            raise InputError(f"the {side} side has no text in {spec.columns.completion!r}", field=where, hint="fill it")
    return scored


def _records(spec: PromptSet, where: str, progress: Progress | None) -> tuple[PromptSet, Records]:
    """A prompt set's rows, and the set itself with a probe's columns and labels written out."""
    if spec.probe is not None:
        # Imported here: a probe's rules stand on this module's sources.
        from untrac_core.data.probes.loader import complete, probe_records

        return complete(spec), probe_records(spec, progress)
    if spec.source is None:
        raise InputError("it names neither a source nor a probe", field=where, hint="name one")
    return spec, read_records(spec.source, where=where, progress=progress)


def cluster_names(ids: Sequence[str]) -> list[str]:
    """Each item's cluster as ids tell it that all end as :data:`PARTS`; else empty: the ids say nothing of it."""
    found = [PARTS.fullmatch(name) for name in ids]
    return [match[1] for match in found if match] if all(found) else [""] * len(ids)


def _together(where: str, sides: Mapping[str, Sequence[Item]]) -> list[str]:
    """How many items count as one observation with others, in words."""
    count = Counter(item.cluster for items in sides.values() for item in items if item.cluster)
    several = [items for items in count.values() if items > 1]
    if not several:
        return []
    return [f"{where}: {sum(several)} items belong to pairs or questions and count as {len(several)}"]


def sample(indices: list[int], limit: int | None, clusters: Clusters | None = None) -> list[int]:
    """A fixed random sample of at most ``limit``, in the order of the file; all of them without a limit.

    ``clusters``: of the indices, so that pairs stay together and questions, but for one, are whole.
    """
    if limit is None or limit >= len(indices):
        return indices
    return [indices[i] for i in (clusters or clusters_of([""] * len(indices))).sample(limit, SAMPLE_SEED)]
