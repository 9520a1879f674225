"""A fixed random sample of a stream, of bounded size, taken in one pass.

Every row of a pass has a random key that depends on its place alone. A reservoir keeps the rows with the smallest keys
whose sizes fit its budget together: each row has the same chance (bottom-k sampling: Cohen and Kaplan, PODC 2007), the
kept ones sorted by key are in random order, so any beginning of them is a fair sample too, and a smaller budget keeps a
beginning of what a larger one keeps, whatever else was sampled in the same pass.
"""

from __future__ import annotations

import heapq
import random
from typing import Generic, TypeVar

T = TypeVar("T")
SEED = 20240817
OVERHEAD = 200
"""Bytes that a kept row costs beside its text, so that a budget also bounds the number of rows."""


class Keys:
    """The keys of a pass: one for every row, in their order."""

    def __init__(self) -> None:
        self.next = random.Random(SEED).random  # noqa: S311 - a fixed sample, no secret


class Reservoir(Generic[T]):
    """The rows with the smallest keys that fit into ``budget`` bytes together, :data:`OVERHEAD` a row included."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.size = 0
        self.below = 1.0
        """Only keys below this are kept from now on; 1 until something was dropped."""
        self._heap: list[tuple[float, int, T]] = []

    @property
    def whole(self) -> bool:
        """Whether nothing was dropped."""
        return self.below == 1.0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, key: float, size: int, item: T) -> None:
        """Offer a row of ``size`` bytes; keys must differ. Ask ``key < below`` first to spare making the item."""
        if key >= self.below:
            return
        heapq.heappush(self._heap, (-key, size + OVERHEAD, item))
        self.size += size + OVERHEAD
        self.shrink(self.budget)

    def shrink(self, budget: int) -> None:
        """Drop rows of the largest keys until the rest fits ``budget`` bytes; one row always stays."""
        while self.size > budget and len(self._heap) > 1:
            key, size, _ = heapq.heappop(self._heap)
            self.size -= size
            self.below = -key

    def items(self) -> list[T]:
        """What is kept, in the order of the keys, which is random."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: -entry[0])]


class Shelf(Generic[T]):
    """Reservoirs by name that share one budget: what is over it is dropped from the largest of them."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.size = 0
        self.reservoirs: dict[str, Reservoir[T]] = {}

    def of(self, name: str) -> Reservoir[T]:
        """The reservoir of this name."""
        if name not in self.reservoirs:
            self.reservoirs[name] = Reservoir(self.budget)
        return self.reservoirs[name]

    def add(self, name: str, key: float, size: int, item: T) -> None:
        """Offer a row to one of the reservoirs."""
        reservoir = self.of(name)
        before = reservoir.size
        reservoir.add(key, size, item)
        self.size += reservoir.size - before
        while self.size > self.budget:
            largest = max(self.reservoirs.values(), key=lambda one: one.size)
            before = largest.size
            largest.shrink(int(largest.size * 0.95))  # in steps, as looking for the largest takes time
            if largest.size == before:
                return
            self.size += largest.size - before
