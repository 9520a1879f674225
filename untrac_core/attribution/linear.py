"""UnTrac-Inv to first order, computed as such: the product of two gradients under the model's curvature.

A step of size t that raises the loss of a prompt set Q moves the weights by t P(g_Q), and a subset's loss by
t g_Z . P(g_Q) + O(t^2) (Isonuma and Titov, ACL 2024, equations 5 and 6), with g the gradient of the mean loss per token
and P of :mod:`untrac_core.training.preconditioner`. To first order UnTrac is the same product: the number is one,
whichever of the two is unlearned. It is told for a step of t = :data:`MICRO`, and depends neither on how far a model is
unlearned nor on what else is in the run.

One pass over the training text gives g_b . P(g_Q) for every block b and side Q, and each subset's gradient; a pass over
the prompts then gives g_i . P(g_Z) for every item i and subset Z. Both add up to the same influence, and between them
they hold its sampling error: that of the blocks and that of the items. No seed is needed for that. Seeds deal the items
into as many parts, pairs and questions whole, so that the numbers of two seeds come from different prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from untrac_core.attribution.base import BLOCKS, ITEMS, AttributionContext, Method
from untrac_core.attribution.baselines.vectors import gradient_parts, trainable_only
from untrac_core.attribution.directional import token_derivatives
from untrac_core.attribution.example_products import ExampleProducts
from untrac_core.attribution.settings import linear_settings
from untrac_core.attribution.untrac import UnTracInv
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example, ExampleSet, batch_tokens, batches
from untrac_core.models.losses import Losses
from untrac_core.specs import MethodSpec
from untrac_core.specs.catalogue import BUDGET_MB
from untrac_core.text.numbers import STEP_UNIT
from untrac_core.training.preconditioner import KroneckerPreconditioner
from untrac_core.training.vectors import Numbers, Stack, precondition, rows_that_fit

MICRO = 1e-6
"""The step, in units of the natural gradient, that influence is told for: a unit step is far beyond the linear."""
HELD = 2
"""Vectors in memory besides the directions: one for a gradient, one while a direction is scaled."""


@dataclass(frozen=True)
class _Query:
    """A seed's part of the items of one side."""

    part: ExampleSet
    seed: int
    numbers: Sequence[int]
    """Of its items, among those of the side."""

    @property
    def examples(self) -> list[Example]:
        return [self.part.examples[i] for i in self.numbers]

    @property
    def tokens(self) -> int:
        return sum(item.tokens for item in self.examples)


@dataclass(frozen=True)
class _Found:
    """What one pass over everything gives."""

    blocks: dict[str, Numbers]
    """Of each subset: its blocks' gradients (of the summed loss) with the queries' directions; (blocks, queries)."""
    block_losses: dict[str, Numbers]
    items: list[Numbers]
    """Of each query: its items' gradients (of the summed loss) with the subsets' directions; (items, subsets)."""
    item_losses: list[Numbers]


class LinearInfluence:
    """I'(Q, Z) = t g_Z . P(g_Q), for every block and for every item; nothing is unlearned."""

    name: ClassVar[str] = "untrac-inv"
    inverse: ClassVar[bool] = True
    unit: ClassVar[str] = STEP_UNIT
    subsample: ClassVar[float] = 1.0
    """Of its part of the items, a seed takes all."""
    budget_mb: float = BUDGET_MB

    def __init__(self, spec: MethodSpec) -> None:
        """Raises :class:`InputError` for settings that it does not have."""
        self.settings = linear_settings(spec)
        self._known: tuple[AttributionContext, list[_Query], _Found] | None = None

    def cells(self, study: AttributionContext) -> list[Cell]:
        """One cell per seed; the first that runs computes them all."""
        parts = [*study.prompt_parts(), *study.subset_parts()]
        return [
            Cell(
                study.key(
                    f"{self.name}, linear", asdict(self.settings), seed, parts, list(study.seeds), study.prompt_parts()
                ),
                f"products of gradients, seed {seed}",
                seed,
            )
            for seed in study.seeds
        ]

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """One row per block and one per item of the seed's part, for every subset and side; ``population`` says which.

        ``change``: of the summed loss, in nats, by a step of :data:`MICRO`. The mean over seeds is the influence of all
        items together, so a seed counts by its part's share of the tokens.
        """
        if self._known is None or self._known[0] is not study:
            queries = _queries(study)
            with trainable_only(study, self.settings.effective_trainable):
                self._known = study, queries, self._products(study, queries)
        _, queries, found = self._known
        tables = []
        for number, query in enumerate(queries):
            if query.seed != cell.seed:
                continue
            share = len(study.seeds) * query.tokens / sum(item.tokens for item in query.part.examples)
            for place, (subset, packed) in enumerate(study.subsets.items()):
                of_blocks = {
                    "population": BLOCKS,
                    "example": range(len(packed.blocks)),
                    "loss_before": found.block_losses[subset],
                    "change": MICRO * share * found.blocks[subset][:, number],
                    "tokens": [block.tokens for block in packed.blocks],
                }
                of_items = {
                    "population": ITEMS,
                    "example": query.numbers,
                    "loss_before": found.item_losses[number],
                    "change": MICRO * found.items[number][:, place],
                    "tokens": [item.tokens for item in query.examples],
                }
                names = {"subset": subset, "prompt_set": query.part.prompt_set, "side": query.part.side}
                tables += [pd.DataFrame(names | rows) for rows in (of_blocks, of_items)]
        frame = pd.concat([table for table in tables if len(table)], ignore_index=True)
        sound = bool(np.isfinite(frame["change"]).all())
        ended = "one pass" if sound else "ended in numbers that are none"
        return frame.assign(step=1, loss_increase=0.0, collapsed=not sound, ended=ended)

    def token_changes(
        self, study: AttributionContext, part: ExampleSet, examples: Sequence[Example]
    ) -> tuple[Losses, Losses]:
        """Each token's loss in nats, and what a step of :data:`MICRO` along the whole side ``part`` adds to it."""
        with trainable_only(study, self.settings.effective_trainable):
            preconditioner = self._preconditioner(study)
            stack = Stack(study.model.module, 1)
            for _ in gradient_parts(study, part.examples):
                stack.add(0)
            precondition(study.model.module, preconditioner, stack)
            direction = {name: values for name, _, values in stack.views(stack.matrix[0])}
            before, slopes = token_derivatives(study.model, examples, direction, study.progress)
        return before, MICRO * slopes

    def _preconditioner(self, study: AttributionContext) -> KroneckerPreconditioner:
        return study.preconditioner(self.settings.effective_trainable, self.settings.samples, self.settings.damping)

    def _products(self, study: AttributionContext, queries: Sequence[_Query]) -> _Found:
        """Both populations; as many directions at once as the budget has room for."""
        model, subsets = study.model, study.subsets
        preconditioner = self._preconditioner(study)
        fitting = rows_that_fit(model.module, self.budget_mb, held=HELD)
        # All at once, as a rule: then the subsets' own gradients are gathered while their blocks are read.
        gathered = Stack(model.module, len(subsets)) if len(queries) + len(subsets) <= fitting else None
        columns: list[dict[str, Numbers]] = []
        block_losses: dict[str, Numbers] = {}
        for start in range(0, len(queries), fitting):
            stack = self._gradients(study, [query.examples for query in queries[start : start + fitting]], "prompts")
            precondition(model.module, preconditioner, stack)
            reader = ExampleProducts(model, stack)
            study.progress.phase("products with the training text")
            read = _read(study, reader, [packed.blocks for packed in subsets.values()], gathered)
            columns.append({})
            for subset, (products, losses) in zip(subsets, read, strict=True):
                columns[-1][subset], block_losses[subset] = products, losses
            del stack, reader
        if gathered is not None:
            for row, packed in zip(gathered.matrix, subsets.values(), strict=True):
                row /= packed.tokens
        rows: list[list[tuple[Numbers, Numbers]]] = []
        texts = [packed.blocks for packed in subsets.values()]
        for start in range(0, len(texts), fitting):
            chunk = texts[start : start + fitting]
            stack = gathered or self._gradients(study, chunk, "training subsets")
            precondition(model.module, preconditioner, stack)
            study.progress.phase("products with the prompts")
            rows.append(list(_read(study, ExampleProducts(model, stack), [query.examples for query in queries])))
        return _Found(
            {subset: np.concatenate([column[subset] for column in columns], axis=1) for subset in subsets},
            block_losses,
            [np.concatenate([products for products, _ in of_query], axis=1) for of_query in zip(*rows, strict=True)],
            [losses for _, losses in rows[0]],
        )

    def _gradients(self, study: AttributionContext, texts: Sequence[Sequence[Example]], what: str) -> Stack:
        """The gradient of the mean loss per token of each list of texts, one a row; of an empty one, nothing."""
        stack = Stack(study.model.module, len(texts))
        study.progress.phase(f"gradients of the {what}")
        done, total = 0, sum(map(len, texts))
        for row, examples in enumerate(texts):
            for count in gradient_parts(study, examples):
                stack.add(row)
                done += count
                study.progress.tick(done, total)
        return stack


def untrac_inv(spec: MethodSpec) -> Method:
    """UnTrac-Inv as a spec asks for it: the product of gradients, or an unlearning step by step."""
    return UnTracInv(spec) if spec.takes_steps else LinearInfluence(spec)


def _queries(study: AttributionContext) -> list[_Query]:
    """The items of every side, dealt to the seeds in turn, those of a pair or a question to the same."""
    dealt = [(part, study.clusters(part).deal(len(study.seeds))) for part in study.prompt_parts()]
    return [_Query(part, seed, parts[place]) for place, seed in enumerate(study.seeds) for part, parts in dealt]


def _read(
    study: AttributionContext,
    reader: ExampleProducts,
    texts: Sequence[Sequence[Example]],
    gathered: Stack | None = None,
) -> Iterator[tuple[Numbers, Numbers]]:
    """Of each list of texts, its products (texts, rows) and losses (texts,); the same list is read in the same way."""
    done, total = 0, sum(map(len, texts))
    most = batch_tokens(study.model.facts.vocab_size)
    for number, examples in enumerate(texts):
        products = np.zeros((len(examples), reader.stack.rows))
        losses = np.zeros(len(examples))
        row = None if gathered is None else gathered.matrix[number]
        for batch in batches(examples, most):
            products[batch], losses[batch] = reader([examples[i] for i in batch], row)
            done += len(batch)
            study.progress.tick(done, total)
        yield products, losses
