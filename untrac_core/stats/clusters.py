"""Clusters: which examples are one observation between them, as a minimal pair, or the blocks of one document.

Items of one question and blocks of one document resemble each other, so that ten of them say less than ten that have
nothing in common. A cluster is therefore drawn, dealt and resampled as a whole, and a variance is that of the sums over
clusters (Liang and Zeger, 1986). An example that belongs to no other is a cluster of its own; where all do, everything
comes out as without clusters.

Both sides of a prompt set that share a cluster, as those of minimal pairs do, are one population: what is drawn for the
one side is drawn for the other, and their contrast is paired.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """The clusters of some examples.

    ``numbers``: of each example's cluster, int64 of shape (examples,), each below ``count``, the clusters of the
    population. ``paired``: whether the population is both sides of a prompt set; of some clusters there may be no
    example here.
    """

    numbers: Indices
    count: int
    paired: bool = False

    @property
    def digest(self) -> str:
        """Tells the clusters from any others; empty where every example is one of its own."""
        if self.single:
            return ""
        return hashlib.sha256(f"{self.count} {self.paired} ".encode() + self.numbers.tobytes()).hexdigest()

    @property
    def here(self) -> int:
        """How many clusters have an example here."""
        return len(np.unique(self.numbers))

    @property
    def single(self) -> bool:
        """Whether every example is a cluster of its own, and the population has no others."""
        return self.count == len(self.numbers) and bool((self.numbers == np.arange(self.count)).all())

    def drawn(self, share: float) -> int:
        """How many of the clusters that are here a seed draws."""
        return max(1, math.ceil(self.here * share))

    def draw(self, share: float, seed: int) -> list[int]:
        """The examples of one seed: those of a ``share`` of the clusters, without replacement, in a random order.

        A half sample has the variance of the whole set's own sampling error: for n clusters with variance s2,
        (s2 / (n/2)) * (1 - 1/2) = s2 / n. So the spread over seeds that each draw half says how far a result hangs on
        which examples happened to be in the set. Clusters have one order in the whole population, so that the sides of
        a prompt set draw the same pairs.
        """
        ranks = self._ranks(seed)
        last = np.unique(ranks)[self.drawn(share) - 1]
        order = np.random.default_rng(seed).permutation(len(self.numbers))
        return [int(i) for i in order[ranks[order] <= last]]

    def sample(self, limit: int, seed: int) -> list[int]:
        """At most ``limit`` examples, cluster by cluster in a random order; of the last one perhaps a part."""
        return sorted(np.argsort(self._ranks(seed), kind="stable")[:limit].tolist())

    def deal(self, parts: int) -> list[list[int]]:
        """The examples dealt into so many parts, clusters in turn; some parts are empty where there are too few."""
        return [np.flatnonzero(self.numbers % parts == part).tolist() for part in range(parts)]

    def sums(self, values: Array) -> Array:
        """Sums over each cluster's examples; shape (examples,) to (count,)."""
        result: Array = np.bincount(self.numbers, values, self.count).astype(np.float64)
        return result

    def _ranks(self, seed: int) -> Indices:
        """Of each example, its cluster's place in a random order of all clusters."""
        order = np.random.default_rng(seed).permutation(self.count)
        ranks = np.empty(self.count, dtype=np.int64)
        ranks[order] = np.arange(self.count)
        result: Indices = ranks[self.numbers]
        return result


def clusters_of(names: Sequence[str]) -> Clusters:
    """The clusters of some examples by their names; one without a name is a cluster of its own."""
    return clusters_by_side({"": names})[""]


def clusters_by_side(names: Mapping[str, Sequence[str]]) -> dict[str, Clusters]:
    """The clusters of each side of a prompt set; ``names``: of each item's cluster, empty for one of its own.

    Where a cluster stands on both sides, the population is both sides together, else each side for itself.
    """
    shared = set.intersection(*(set(side) for side in names.values())) - {""} if len(names) > 1 else set[str]()
    result, known = {}, dict[tuple[str, int] | str, int]()
    for side, of_side in names.items():
        if not shared:
            known = {}
        numbers = [known.setdefault(name or (side, place), len(known)) for place, name in enumerate(of_side)]
        result[side] = np.array(numbers, dtype=np.int64), known
    return {side: Clusters(numbers, len(all_), bool(shared)) for side, (numbers, all_) in result.items()}
