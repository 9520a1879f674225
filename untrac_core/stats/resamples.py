"""The random weights of a bootstrap: of examples, by clusters, and of seeds."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from untrac_core.stats.clusters import Clusters
from untrac_core.stats.intervals import Array


class Resamples:
    """Random weights, drawn once for each name, so that whoever asks by the same name gets the same.

    Each name has a generator of its own: what one method gets does not hang on which others there are.
    """

    def __init__(self, size: int = 0, *, plain: bool = False) -> None:
        self.size, self._plain = size, plain
        self._generators: dict[str, np.random.Generator] = {}
        self._held: dict[str, Array] = {}

    def begin(self, size: int) -> None:
        """Forget what was drawn; the next draws are ``size`` new ones."""
        self.size = size
        self._held.clear()

    def examples(self, name: str, count: int, clusters: Clusters | None = None) -> Array:
        """How often each of ``count`` examples is drawn, with its cluster, shape (size, count)."""
        if clusters is not None and not clusters.single:
            return self.examples(name, clusters.count)[:, clusters.numbers]
        if self._plain or count < 2:
            return np.ones((self.size, count))
        name = f"{name}, {count} examples"
        if name not in self._held:
            even = np.full(count, 1 / count)
            self._held[name] = self._generator(name).multinomial(count - 1, even, self.size).astype(np.float64)
        return self._held[name]

    def seeds(self, name: str, count: int, subsets: int = 1) -> Array:
        """Weights of seeds whose sum is 0: they add s2 / count to a mean's variance; shape (size, count, subsets)."""
        if self._plain or count < 2:
            return np.zeros((self.size, count, subsets))
        name = f"{name}, {count} seeds, {subsets} subsets"
        if name not in self._held:
            normal = self._generator(name).standard_normal((self.size, count, subsets))
            self._held[name] = (normal - normal.mean(1, keepdims=True)) / math.sqrt(count * (count - 1))
        return self._held[name]

    def _generator(self, name: str) -> np.random.Generator:
        if name not in self._generators:
            digest = hashlib.sha256(name.encode()).digest()
            self._generators[name] = np.random.default_rng(int.from_bytes(digest[:8]))
        return self._generators[name]
