"""What the methods without a gradient share: every training block is compared with what a seed draws of a side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from untrac_core.attribution.base import AttributionContext, score_frame
from untrac_core.cells import Cell
from untrac_core.data.tokens import ExampleSet
from untrac_core.specs import MethodSpec
from untrac_core.stats.intervals import Array


@dataclass(frozen=True)
class Query:
    """What one seed draws of one side of a prompt set: places in ``part.examples``."""

    part: ExampleSet
    seed: int
    drawn: Sequence[int]


class Similarity:
    """One pass over the training blocks for all seeds; a method says how alike texts are (:meth:`compare`).

    The more alike a block and a side's items are, the more positive the block's score.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    inverse: ClassVar[bool] = True

    def __init__(self, spec: MethodSpec) -> None:
        self.settings = spec
        self._known: tuple[AttributionContext, dict[tuple[str, str, int], Array]] | None = None

    @property
    def subsample(self) -> float:
        """The share of a side's items that each seed draws; 1 where it draws none: the spread is that of whole sets."""
        return float(getattr(self.settings, "subsample", 1.0))

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per seed; the first that runs computes them all."""
        parts = [*study.prompt_parts(), *study.subset_parts()]
        drawn = study.prompt_parts() if self.subsample < 1 else []
        return [
            Cell(
                study.key(self.name, self.settings.settings(), seed, parts, drawn=drawn),
                f"{self.name}, seed {seed}",
                seed,
            )
            for seed in study.seeds
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """The score of every block of every subset for every side of every prompt set, as drawn by the cell's seed."""
        if self._known is None or self._known[0] is not study:
            queries = [
                Query(part, seed, study.clusters(part).draw(self.subsample, seed))
                for part in study.prompt_parts()
                for seed in study.seeds
            ]
            names = [(query.part.prompt_set, query.part.side, query.seed) for query in queries]
            self._known = study, dict(zip(names, self.compare(study, queries), strict=True))
        scores = {}
        for (prompt_set, side, seed), values in self._known[1].items():
            if seed == cell.seed:
                start = 0
                for subset, packed in study.subsets.items():
                    stop = start + len(packed.blocks)
                    tokens = np.array([block.tokens for block in packed.blocks], dtype=np.float64)
                    scores[subset, prompt_set, side] = values[start:stop], tokens
                    start = stop
        return score_frame(scores)

    def compare(self, study: AttributionContext, queries: Sequence[Query]) -> Iterator[Array]:
        """For each query the score of every block of ``study.all_blocks``, shape (blocks,)."""
        raise NotImplementedError


class RandomScores(Similarity):
    """A standard normal number for each subset, side and seed, the same in every run and for all blocks of a subset."""

    name: ClassVar[str] = "random"
    unit: ClassVar[str] = "drawn at random"

    def compare(self, study: AttributionContext, queries: Sequence[Query]) -> Iterator[Array]:
        """One number per subset, at each of its blocks."""
        for query in queries:
            place = query.part.prompt_set, query.part.side, query.seed
            yield np.concatenate(
                [np.full(len(packed.blocks), _normal(subset, *place)) for subset, packed in study.subsets.items()]
            )


def _normal(*names: str | int) -> float:
    """A standard normal number that hangs on the names alone."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8])).standard_normal())
