"""What the methods without a gradient share: every training block is compared with what a seed draws of a side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from untrac_core.attribution.gradients import SHARE, settings_of
from untrac_core.attribution.protocol import Part, Study, score_frame
from untrac_core.cells import Cell
from untrac_core.settings import draw
from untrac_core.specs import MethodSpec
from untrac_core.statistics import Array


@dataclass(frozen=True)
class SimilaritySettings:
    """What a method that compares texts can be told."""

    share: float = SHARE
    """Of a side's items that a seed draws, without replacement."""


@dataclass(frozen=True)
class Query:
    """What one seed draws of one side of a prompt set: places in ``part.examples``."""

    part: Part
    seed: int
    drawn: Sequence[int]


class Similarity:
    """One pass over the training blocks for all seeds; a method says how alike texts are (:meth:`compare`).

    The more alike a block and a side's items are, the more positive the block's score.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    inverse: ClassVar[bool] = True
    defaults: ClassVar[Any] = SimilaritySettings()
    """A dataclass of what it can be told."""

    def __init__(self, spec: MethodSpec) -> None:
        self.settings = settings_of(spec, self.defaults)
        self._known: tuple[Study, dict[tuple[str, str, int], Array]] | None = None

    @property
    def share(self) -> float:
        """The share of a side's items that each seed draws."""
        return float(self.settings.share)

    def cells(self, study: Study) -> list[Cell]:
        """One cell a seed; the first that runs computes them all."""
        parts = [*study.prompt_parts(), *study.subset_parts()]
        return [
            Cell(study.key(self.name, self.settings, seed, parts), f"{self.name}, seed {seed}", seed)
            for seed in study.seeds
        ]

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
        """The score of every block of every subset for every side of every prompt set, as drawn by the cell's seed."""
        if self._known is None or self._known[0] is not study:
            queries = [
                Query(part, seed, draw(len(part.examples), self.share, seed))
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

    def compare(self, study: Study, queries: Sequence[Query]) -> Iterator[Array]:
        """For each query the score of every block of ``study.all_blocks``, shape (blocks,)."""
        raise NotImplementedError
