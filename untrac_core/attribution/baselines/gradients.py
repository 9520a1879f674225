"""What all gradient methods share: one streaming pass that multiplies gradients of prompt sets and of subsets.

To first order, unlearning a subset Z by a step along its gradient changes the loss of a prompt set Q by g_Z . g_Q
(Isonuma and Titov, ACL 2024, equations 5 and 6). Each method here is that product under another metric:
score(Z, Q) = g_Z . M(g_Q), where g is the gradient of the mean loss per token. Positive: Z makes Q more likely.

The vectors M(g_Q) of all seeds are held, as many as fit the budget at a time; the gradients of the subsets, which do
not depend on the seed, stream past them, one fold of blocks after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from untrac_core.attribution.base import AttributionContext, score_frame
from untrac_core.attribution.baselines.vectors import gradient_parts, trainable_only
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, Packed, examples_digest
from untrac_core.specs.catalogue import BUDGET_MB
from untrac_core.specs.methods import GradientSettings
from untrac_core.stats.clusters import clusters_of
from untrac_core.training.vectors import Numbers, Stack, norm, rows_that_fit

FOLDS = 8
"""Parts that a subset's blocks are dealt into, document by document; each gets a score of its own, for intervals."""


@dataclass(frozen=True)
class Query:
    """The items of one side of a prompt set that one seed draws."""

    prompt_set: str
    side: str
    seed: int
    examples: Sequence[Example]


def queries_of(study: AttributionContext, subsample: float) -> list[Query]:
    """Every side of every prompt set by every seed, seed by seed."""
    return [
        Query(
            part.prompt_set,
            part.side,
            seed,
            [part.examples[i] for i in study.clusters(part).draw(subsample, seed)],
        )
        for seed in study.seeds
        for part in study.prompt_parts()
    ]


def folds(blocks: Sequence[Example], *, single: bool = False) -> list[Sequence[Example]]:
    """A subset's blocks dealt into :data:`FOLDS` parts, or as many as there are documents; ``single``: always these."""
    clusters = clusters_of([block.cluster for block in blocks])
    parts = clusters.count if single else min(FOLDS, clusters.count)
    return [[blocks[i] for i in part] for part in clusters.deal(parts)]


def folds_of(study: AttributionContext, packed: Packed) -> list[Sequence[Example]]:
    """The parts of a subset that a study wants scores of."""
    return folds(packed.blocks, single=study.single_texts)


Products = Mapping[str, Numbers]
"""Subset to scores, of shape (folds, queries)."""


class GradientMethod:
    """The pass; a method says what it is called and how it scales the gradient of a prompt set (:meth:`scale`)."""

    name: ClassVar[str]
    unit: ClassVar[str]
    inverse: ClassVar[bool] = True
    held: ClassVar[int] = 1
    """Vectors in memory besides the queries' own: the gradient of the fold at hand, and what a method adds."""
    each: ClassVar[int] = 1
    """Vectors in memory for each query."""

    budget_mb: float = BUDGET_MB
    """Memory for gradients, in 2^20 bytes."""

    def __init__(self, spec: GradientSettings) -> None:
        self.settings = spec
        self._known: tuple[AttributionContext, list[Query], Products] | None = None

    @property
    def subsample(self) -> float:
        """The share of a side's items that each seed draws."""
        return self.settings.subsample

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per seed; the first that runs computes them all."""
        parts = [*study.prompt_parts(), *study.subset_parts()]
        more = [self.depends_on(study), "documents"] if study.single_texts else self.depends_on(study)
        return [
            Cell(
                study.key(self.name, self.settings.settings(), seed, parts, more, parts),
                f"{self.name}, seed {seed}",
                seed,
            )
            for seed in study.seeds
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """The scores of every fold of every subset for every side of every prompt set, as drawn by the cell's seed."""
        if self._known is None or self._known[0] is not study:
            queries = queries_of(study, self.subsample)
            with trainable_only(study, self.settings.trainable):
                self._known = study, queries, self.products(study, queries)
        _, queries, products = self._known
        scores = {}
        for number, query in enumerate(queries):
            if query.seed == cell.seed:
                for subset, packed in study.subsets.items():
                    tokens = np.array([sum(block.tokens for block in fold) for fold in folds_of(study, packed)])
                    scores[subset, query.prompt_set, query.side] = products[subset][:, number], tokens
        return score_frame(scores)

    def depends_on(self, study: AttributionContext) -> Any:
        """What a result depends on besides model, texts, settings and seed; as JSON can hold it."""
        return ()

    def products(self, study: AttributionContext, queries: Sequence[Query]) -> Products:
        """Scores of every fold against every query; as many queries at once as the budget has room for."""
        self.prepare(study)
        fitting = rows_that_fit(study.model.module, self.budget_mb, held=self.held, each=self.each)
        columns = []
        for start in range(0, len(queries), fitting):
            chunk = queries[start : start + fitting]
            columns.append(self._chunk(study, chunk, f", from {start + 1} of {len(queries)}" if start else ""))
        return {subset: np.concatenate([column[subset] for column in columns], axis=1) for subset in study.subsets}

    def _chunk(self, study: AttributionContext, queries: Sequence[Query], part: str) -> Products:
        """Scores of some queries; a function, so that their vectors are gone before the next ones come."""
        stack = self._query_vectors(study, queries, part)
        self.scale(study, stack, queries)
        return self.subset_products(study, stack, part)

    def prepare(self, study: AttributionContext) -> None:
        """Compute what :meth:`scale` needs, once, with the parameters that move already set."""

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """Put M(g_Q) in the place of g_Q, row by row, in place."""

    def _query_vectors(self, study: AttributionContext, queries: Sequence[Query], part: str) -> Stack:
        """Each query's gradient, one per row."""
        stack = Stack(study.model.module, len(queries))
        study.progress.phase(f"{self.name}: gradients of the prompt sets{part}")
        done, total = 0, sum(len(query.examples) for query in queries)
        for row, query in enumerate(queries):
            for count in gradient_parts(study, query.examples):
                stack.add(row)
                done += count
                study.progress.tick(done, total)
        return stack

    def subset_products(
        self, study: AttributionContext, stack: Stack, part: str = "", *, per_length: bool = False
    ) -> Products:
        """Products of every row with the gradient of every fold of every subset; the same text is read once.

        ``per_length``: divided by the length of the whole subset's gradient, which needs one vector more.
        """
        module = study.model.module
        study.progress.phase(f"{self.name}: gradients of the training subsets{part}")
        done, total = 0, len(study.all_blocks)
        found: dict[tuple[str, str], Numbers] = {}
        result: dict[str, Numbers] = {}
        for subset, packed in study.subsets.items():
            digest = examples_digest(packed.blocks), study.block_clusters[subset].digest
            if digest not in found:
                sums = Stack(module, 1) if per_length else None
                rows = np.zeros((len(folds_of(study, packed)), stack.rows))
                for number, fold in enumerate(folds_of(study, packed)):
                    weight = sum(block.tokens for block in fold) / packed.tokens
                    for count in gradient_parts(study, fold):
                        rows[number] += stack.products()
                        if sums is not None:
                            sums.add(0, weight)
                        done += count
                        study.progress.tick(min(done, total), total)
                found[digest] = rows if sums is None else rows / length_or_one(sums.matrix[0])
            result[subset] = found[digest]
        return result


def length_or_one(vector: torch.Tensor) -> float:
    """The length of a vector to divide by: of nothing, one."""
    return norm(vector) or 1.0
