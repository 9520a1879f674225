"""Random: what a method that looks at nothing reaches; one that is not clearly better has not earned any trust."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from untrac_core.attribution.protocol import Study
from untrac_core.attribution.similarity import Query, Similarity
from untrac_core.statistics import Array


@dataclass(frozen=True)
class RandomSettings:
    """There is nothing to set."""


class RandomScores(Similarity):
    """A standard normal number for each subset, side and seed, the same in every run and for all blocks of a subset."""

    name: ClassVar[str] = "random"
    unit: ClassVar[str] = "drawn at random"
    defaults: ClassVar[Any] = RandomSettings()

    @property
    def share(self) -> float:
        """Seeds are drawn apart from each other, and draw nothing of the set: their spread is that of whole sets."""
        return 1.0

    def compare(self, study: Study, queries: Sequence[Query]) -> Iterator[Array]:
        """One number a subset, at each of its blocks."""
        for query in queries:
            place = query.part.prompt_set, query.part.side, query.seed
            yield np.concatenate(
                [np.full(len(packed.blocks), _normal(subset, *place)) for subset, packed in study.subsets.items()]
            )


def _normal(*names: str | int) -> float:
    """A standard normal number that hangs on the names alone."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8])).standard_normal())
