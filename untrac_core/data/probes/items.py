"""A probe's items as the rows of its data come by: counted, without repeats, at most so many of each kind."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Self

from untrac_core.data.probes.metadata import Probe
from untrac_core.data.probes.rows import FROM, Cells, Items, ProbeItem
from untrac_core.data.readers.reader import Row
from untrac_core.errors import InputError
from untrac_core.specs import Columns

MOST_ITEMS = 200_000
"""Held at once; a probe has fewer, so more is a fault of the file."""
MET_ITEMS = 5_000_000
"""Looked at in one pass; beyond them the memory for telling repeats would grow too large."""
CANONICAL = Columns(prompt="prompt", completion="completion", group="group", label="label", id="id", cluster="cluster")
"""Where a probe's items stand, whatever the shape of its data."""
SEED = 20240817
"""Of the fixed samples of items; an item is drawn by its text, so in whatever order and copy the data come."""


@dataclass(frozen=True, order=True)
class Entry:
    """An item in the sample; those with the smallest keys stay, so the greatest stands first in a heap."""

    rank: int
    order: int
    values: dict[str, str] = field(compare=False)
    line: int = field(compare=False)


class Gathered:
    """The items of a probe as its rows come by: counted, without repeats, at most so many of each kind."""

    def __init__(self, chosen: Probe) -> None:
        self.probe = chosen
        self.forms = [frozenset(form) for form in chosen.forms]
        self.items = _items_of(chosen)
        self.heaps: dict[tuple[str, str], list[Entry]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.seen: set[bytes] = set()
        self.left = Counter[str]()
        self.rows_of = Counter[str]()
        self.columns: list[str] = []
        self.rows = self.fitting = self.taken = self.held = 0

    def copied(self) -> Self:
        """As it is now: what is added to the one is not added to the other."""
        made = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (dict, set, list)):
                setattr(made, name, value.copy())
        made.heaps = {kind: heap.copy() for kind, heap in self.heaps.items()}
        return made

    def add(self, row: Row, origin: str, part: str, where: str) -> None:
        """The items of one more row; ``origin`` is its :data:`FROM`, ``part`` begins its id where it has none."""
        self.rows += 1
        self.rows_of[part] += 1
        self.columns = self.columns or list(row.values)
        canonical = "completion" in row.values and ("label" in row.values or self.probe.harmful is None)
        if not (canonical or any(form <= row.values.keys() for form in self.forms)):
            return
        self.fitting += 1
        made = _as_it_is(CANONICAL, row.values) if canonical else self.items({**row.values, FROM: origin})
        place = f"{part} {self.rows_of[part]}"  # not its line: a JSON file may be all one line
        usable = [item for item in made if self._usable(item)]
        if not usable:
            self.left["rows give no item"] += 1
        elif self.probe.pairs and not canonical and not self._paired(usable):
            self.left["rows do not give one item to each side"] += 1
        else:
            for item in usable:
                self._take(item, item.row or place, row.line, where)

    def _usable(self, item: ProbeItem) -> bool:
        if self.probe.length is not None:
            fewest, most = self.probe.length
            if not fewest <= len(item.completion.split()) <= most:
                return False
        return bool(item.completion.strip())

    def _paired(self, items: list[ProbeItem]) -> bool:
        sides = Counter(item.label for item in items)
        if len({sides[label] for label in self.probe.labels}) != 1:
            return False
        return not any(self._digest(item) in self.seen for item in items)

    def _digest(self, item: ProbeItem) -> bytes:
        text = "\x1f".join((item.label, item.prompt, item.completion))
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    def _take(self, item: ProbeItem, base: str, line: int, where: str) -> None:
        digest = self._digest(item)
        if digest in self.seen:
            self.left["items repeat another"] += 1
            return
        self.seen.add(digest)
        kind = (item.label, item.group if self.probe.of == "group" else "")
        self.counts[kind] += 1
        self.taken += 1
        name = f"{base}-{item.part}" if item.part else base
        # Of a pair both or neither: what is drawn by is the cluster, or the id without its last part.
        drawn = name.rpartition("-")[0] or name if self.probe.pairs else f"{item.prompt}\x1f{item.completion}"
        drawn = item.cluster or drawn
        key = hashlib.blake2b(f"{SEED} {drawn}".encode(), digest_size=8).digest()
        values = {
            "id": name,
            "prompt": item.prompt,
            "completion": item.completion,
            "group": item.group,
            "label": item.label,
            "cluster": item.cluster or (base if item.part else ""),
        }
        if self.taken > MET_ITEMS:
            raise self._too_many(MET_ITEMS, where)
        entry = Entry(-int.from_bytes(key, "big"), self.taken, values, line)
        heap = self.heaps.setdefault(kind, [])
        if self.probe.most is not None and len(heap) >= self.probe.most:
            heapq.heappushpop(heap, entry)
            return
        heapq.heappush(heap, entry)
        self.held += 1
        if self.held > MOST_ITEMS:
            raise self._too_many(MOST_ITEMS, where)

    def _too_many(self, most: int, where: str) -> InputError:
        return InputError(f"it gives more than {most:,} items", field=where, hint="check that the file is this probe's")

    def kept(self, where: str) -> list[Entry]:
        """The sample in the order of the data; refuses an empty one."""
        if not self.fitting:
            known = ", ".join(repr(column[:60]) for column in self.columns[:12])
            needs = " or ".join(", ".join(form) for form in self.probe.forms)
            raise InputError(
                f"the data are not those of the probe {self.probe.title}: their columns are {known}",
                field=where,
                hint=f"it needs {needs}, or prompt, completion, group and label",
            )
        entries = [entry for kind, heap in self.heaps.items() if self._large_enough(kind[1]) for entry in heap]
        if not entries:
            raise InputError(
                f"none of its {self.rows:,} rows gives an item of the probe {self.probe.title}",
                field=where,
                hint="check that the file is this probe's",
            )
        return sorted(entries, key=lambda entry: entry.order)

    def _large_enough(self, group: str) -> bool:
        return self.probe.least is None or self.counts[(str(self.probe.harmful), group)] >= self.probe.least

    def notes(self, where: str, kept: int) -> list[str]:
        """What was left out, and why, in words."""
        notes = [f"{where}: {count:,} {why} and are not used" for why, count in sorted(self.left.items())]
        if self.rows > self.fitting:
            notes.append(f"{where}: {self.rows - self.fitting:,} rows lack the probe's columns and are not used")
        total = sum(self.counts.values())
        if self.probe.least is not None:
            small = {group for _, group in self.counts if not self._large_enough(group)}
            if small:
                notes.append(
                    f"{where}: {len(small)} groups have fewer than {self.probe.least} harmful items and are not used"
                )
            total = sum(count for (_, group), count in self.counts.items() if group not in small)
        if kept < total:
            each = "side in every group" if self.probe.of == "group" else "side"
            notes.append(f"{where}: a fixed random {kept:,} of {total:,} items, at most {self.probe.most} of a {each}")
        return notes


def _items_of(chosen: Probe) -> Callable[[Cells], Items]:
    """The function that makes a probe's items of a row; its module is imported only now that data are read."""
    if chosen.columns is not None:
        return partial(_as_it_is, chosen.columns)
    made: Callable[[Cells], Items] = import_module(f"untrac_core.data.probes.bundled.{chosen.module}").items
    return made


def _as_it_is(columns: Columns, row: Cells) -> Items:
    """A row that is an item already."""
    places = (columns.label, columns.completion, columns.prompt, columns.group, columns.id, columns.cluster)
    label, completion, prompt, group, name, cluster = (row.get(place, "") if place else "" for place in places)
    yield ProbeItem(label, completion, prompt, group, name, cluster=cluster)
