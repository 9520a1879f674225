"""A probe's items as the rows of its data come by: counted, without repeats, at most so many of each kind."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from typing import Self

from untrac_core.data.probe_rules import FROM, Form, Made, Probe
from untrac_core.data.readings import Row
from untrac_core.errors import InputError

MOST_ITEMS = 200_000
"""Held at once; a probe has fewer, so more is a fault of the file."""
MET_ITEMS = 5_000_000
"""Looked at in one pass; beyond them the memory for telling repeats would grow too large."""
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
        self.forms: dict[tuple[str, ...], Form | None] = {}
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
        columns = tuple(row.values)
        self.columns = self.columns or list(columns)
        canonical = "completion" in row.values and ("label" in row.values or self.probe.harmful is None)
        if canonical:
            base, made = row.values.get("id", ""), [_as_it_is(row.values)]
        else:
            if columns not in self.forms:
                if len(self.forms) > 1_000:  # rows of ever other columns
                    self.forms.clear()
                fits = (form for form in self.probe.forms if set(form.needs) <= row.values.keys())
                self.forms[columns] = next(fits, None)
            form = self.forms[columns]
            if form is None:
                return
            cells = {**row.values, FROM: origin}
            base = (form.id.of(cells) if form.id else "") or ""
            made = _items(form, cells)
        self.fitting += 1
        base = base or f"{part} {self.rows_of[part]}"  # not its line: a JSON file may be all one line
        usable = [item for item in made if self._usable(item)]
        if not usable:
            self.left["rows give no item"] += 1
        elif not canonical and self.probe.pairs and not self._paired(usable):
            self.left["rows do not give one item to each side"] += 1
        else:
            for item in usable:
                self._take(item, base, row.line, where)

    def _usable(self, item: Made) -> bool:
        if self.probe.length is not None:
            fewest, most = self.probe.length
            if not fewest <= len(item.completion.split()) <= most:
                return False
        return bool(item.completion.strip())

    def _paired(self, items: list[Made]) -> bool:
        sides = Counter(item.label for item in items)
        if len({sides[label] for label in self.probe.labels}) != 1:
            return False
        return not any(self._digest(item) in self.seen for item in items)

    def _digest(self, item: Made) -> bytes:
        text = "\x1f".join((item.label, item.prompt, item.completion))
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    def _take(self, item: Made, base: str, line: int, where: str) -> None:
        digest = self._digest(item)
        if digest in self.seen:
            self.left["items repeat another"] += 1
            return
        self.seen.add(digest)
        kind = (item.label, item.group if self.probe.of == "group" else "")
        self.counts[kind] += 1
        self.taken += 1
        name = f"{base}-{item.part}" if item.part else base
        # Of a pair both or neither: what is drawn by is the id without its last part.
        drawn = name.rpartition("-")[0] or name if self.probe.pairs else f"{item.prompt}\x1f{item.completion}"
        key = hashlib.blake2b(f"{SEED} {drawn}".encode(), digest_size=8).digest()
        values = {
            "id": name,
            "prompt": item.prompt,
            "completion": item.completion,
            "group": item.group,
            "label": item.label,
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
        return InputError(f"it gives more than {most:,} items", where=where, mend="check that the file is this probe's")

    def kept(self, where: str) -> list[Entry]:
        """The sample in the order of the data; refuses an empty one."""
        if not self.fitting:
            known = ", ".join(repr(column[:60]) for column in self.columns[:12])
            needs = " or ".join(", ".join(form.needs) for form in self.probe.forms)
            raise InputError(
                f"the data are not those of the probe {self.probe.title}: their columns are {known}",
                where=where,
                mend=f"it needs {needs}, or prompt, completion, group and label",
            )
        entries = [entry for kind, heap in self.heaps.items() if self._large_enough(kind[1]) for entry in heap]
        if not entries:
            raise InputError(
                f"none of its {self.rows:,} rows gives an item of the probe {self.probe.title}",
                where=where,
                mend="check that the file is this probe's",
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


def _items(form: Form, cells: dict[str, str]) -> list[Made]:
    """The items of a row in one form, none if a condition keeps it out."""
    if not all(condition.holds(cells) for condition in form.keep):
        return []
    return [item for rule in form.items for item in rule.made(cells)]


def _as_it_is(values: dict[str, str]) -> Made:
    """A row that is an item in the canonical columns already."""
    cells = {name: values.get(name, "") for name in ("prompt", "completion", "group", "label")}
    return Made(**cells, part="")
