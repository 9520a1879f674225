"""Influence functions by LiSSA (Agarwal et al., JMLR 2017; Koh and Liang, ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from untrac_core.attribution.base import AttributionContext, failed_frame
from untrac_core.attribution.baselines.gradients import GradientMethod, Products, Query
from untrac_core.attribution.baselines.hessian import draw_blocks, hessian_products, random_vector
from untrac_core.attribution.baselines.vectors import gradient_parts
from untrac_core.cells import Cell
from untrac_core.errors import InputError
from untrac_core.specs.methods import ArnoldiSettings, LissaSettings
from untrac_core.training.vectors import FLOAT_BYTES, Numbers, Stack, dots, norm, vector_length

POWER_ITERATIONS = 10
POWER_BLOCKS = 64
"""Training blocks whose Hessian's largest eigenvalue sets the scale."""
DOUBLINGS = 5
"""How often the scale may be doubled, as the recursion diverged."""
SLACK = 2.0
"""The recursion's vector may be this many times longer than it can get where no step makes anything longer."""


class DivergedError(Exception):
    """The recursion's vector grew as it only does where a step makes vectors longer."""


class Lissa(GradientMethod):
    """g_Z . (H + damping x scale)^-1 g_Q, the inverse as the sum of a few terms of its Neumann series.

    v <- g_Q + (1 - damping) v - H v / scale, with H of fresh training blocks at each iteration; the answer is
    v / scale. ``scale`` is the largest eigenvalue, by power iteration; where steps lengthen v all the same, as a batch
    has a larger one or a quite negative one, it is doubled for all, which the table says.
    """

    name: ClassVar[str] = "lissa"
    unit: ClassVar[str] = "dot product of gradients over the Hessian (LiSSA)"
    held: ClassVar[int] = 3
    each: ClassVar[int] = 3
    settings: LissaSettings

    def __init__(self, spec: LissaSettings) -> None:
        super().__init__(spec)
        self.scale_used = 0.0
        self.doublings = 0
        self._diverged: AttributionContext | None = None

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """As every gradient method; the table's ``ended`` says how often the scale was doubled."""
        if self._diverged is not study:
            try:
                frame = super().run(study, cell)
            except DivergedError:
                self._diverged = study
        if self._diverged is study:
            return failed_frame(f"LiSSA diverged, even at {2**DOUBLINGS} times the Hessian's largest eigenvalue")
        if self.doublings and not frame["collapsed"].any():
            return frame.assign(ended=f"one pass; as LiSSA diverged, its scale is {2**self.doublings} times larger")
        return frame

    def products(self, study: AttributionContext, queries: Sequence[Query]) -> Products:
        """The pass, from the start again with a doubled scale whenever the recursion diverges."""
        self.scale_used, self.doublings = self._largest_eigenvalue(study) or 1.0, 0
        while True:
            try:
                return super().products(study, queries)
            except DivergedError:
                if self.doublings == DOUBLINGS:
                    raise
            self.scale_used *= 2.0
            self.doublings += 1

    def _largest_eigenvalue(self, study: AttributionContext) -> float:
        """In absolute value, of the Hessian of a fixed sample of training blocks, by power iteration."""
        study.progress.phase(f"{self.name}: largest eigenvalue of the Hessian")
        blocks = draw_blocks(study, POWER_BLOCKS, np.random.default_rng(0))
        stack = Stack(study.model.module, 1)
        stack.matrix[0] = random_vector(stack.matrix.shape[1], stack.matrix.device)
        out = torch.empty_like(stack.matrix)
        largest = 0.0
        for done in range(POWER_ITERATIONS):
            hessian_products(study, blocks, stack, slice(0, 1), out)
            largest = norm(out[0])
            stack.matrix.copy_(out).div_(largest or 1.0)
            study.progress.tick(done + 1, POWER_ITERATIONS)
        return largest

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """(H + damping x scale)^-1 g_Q; the queries of a seed share their batches."""
        study.progress.phase(f"{self.name}: inverse Hessian products")
        done, total = 0, self.settings.iterations * len({query.seed for query in queries})
        begins, products = stack.matrix.clone(), torch.empty_like(stack.matrix)
        start = 0
        for seed, group in groupby(queries, key=lambda query: query.seed):
            rows = slice(start, start + len(list(group)))
            lengths = [norm(row) for row in begins[rows]]
            generator = np.random.default_rng(seed)
            for iteration in range(self.settings.iterations):
                batch = draw_blocks(study, self.settings.samples, generator)
                hessian_products(study, batch, stack, rows, products[rows])
                vectors = stack.matrix[rows].mul_(1.0 - self.settings.damping).add_(begins[rows])
                vectors.sub_(products[rows], alpha=1.0 / self.scale_used)
                for row, length in zip(vectors, lengths, strict=True):
                    if not norm(row) <= SLACK * (iteration + 2) * length:  # also where it is no number
                        raise DivergedError
                done += 1
                study.progress.tick(done, total)
            start = rows.stop
        stack.matrix /= self.scale_used


BREAKDOWN = 1e-6
"""A new direction shorter than this share of the Hessian's product is rounding: the space is exhausted."""
TOP = 25
"""Eigenvalues that are kept, at most; all, as with the paper's T5 (of the 200 directions of its OPT 100)."""


class Arnoldi(GradientMethod):
    """g_Z . H^-1 g_Q within the eigenvectors of the Hessian's ``top`` eigenvalues, the largest in absolute value.

    The Hessian is restricted to the space that its products with one random vector span, and diagonalised there. All
    directions are held at once: they must fit the budget. Gradients are not normalised, as the paper's were, so that
    a subset's folds add up.
    """

    name: ClassVar[str] = "arnoldi"
    unit: ClassVar[str] = "dot product of gradients over the Hessian (Arnoldi)"
    held: ClassVar[int] = 3
    settings: ArnoldiSettings
    top: int = TOP

    def products(self, study: AttributionContext, queries: Sequence[Query]) -> Products:
        """Coordinates of every query and every fold in the space, multiplied there; no query is held as a vector."""
        basis, restricted = self._space(study)
        values, vectors = np.linalg.eigh(restricted)
        kept = np.argsort(-np.abs(values), kind="stable")[: self.top]
        kept = kept[np.abs(values[kept]) > np.finfo(np.float32).eps * np.abs(values).max()]
        inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        asked = self._coordinates(study, basis, queries)
        folds = self.subset_products(study, basis)
        return {subset: rows @ inverse @ asked.T for subset, rows in folds.items()}

    def _coordinates(self, study: AttributionContext, basis: Stack, queries: Sequence[Query]) -> Numbers:
        study.progress.phase(f"{self.name}: gradients of the prompt sets")
        result = np.zeros((len(queries), basis.rows))
        for number, query in enumerate(queries):
            for _ in gradient_parts(study, query.examples):
                result[number] += basis.products()
            study.progress.tick(number + 1, len(queries))
        return result

    def _space(self, study: AttributionContext) -> tuple[Stack, Numbers]:
        """An orthonormal basis, a direction a row, and the Hessian in it, of shape (rows, rows)."""
        count = min(self.settings.iterations, vector_length(study.model.module))
        self._require_memory(study, count)
        study.progress.phase(f"{self.name}: products with the Hessian")
        blocks = draw_blocks(study, self.settings.samples, np.random.default_rng(0))
        basis = Stack(study.model.module, count)
        restricted = np.zeros((count, count))
        product = torch.empty_like(basis.matrix[:1])
        basis.matrix[0] = random_vector(basis.matrix.shape[1], basis.matrix.device)
        for row in range(count):
            hessian_products(study, blocks, basis, slice(row, row + 1), product)
            study.progress.tick(row + 1, count)
            before, rest = norm(product[0]), product[0]
            known = basis.matrix[: row + 1]
            for _ in range(2):  # twice: once leaves the rounding of the first
                overlap = dots(known, rest)
                restricted[: row + 1, row] += overlap
                rest -= torch.from_numpy(overlap).to(known) @ known
            length = norm(rest)
            if not length > BREAKDOWN * before or row + 1 == count:
                count = row + 1
                break
            restricted[row + 1, row] = length
            basis.matrix[row + 1] = rest / length
        restricted = restricted[:count, :count]
        basis.matrix, basis.rows = basis.matrix[:count], count
        return basis, (restricted + restricted.T) / 2

    def _require_memory(self, study: AttributionContext, count: int) -> None:
        """Raises :class:`InputError` where the directions do not fit the budget."""
        needed = FLOAT_BYTES * vector_length(study.model.module) * (count + self.held) / 2**20
        if needed > self.budget_mb:
            raise InputError(
                f"{count} directions take {needed:,.0f} MB, and {self.budget_mb:,.0f} MB is the limit",
                field=f"method {self.name!r}",
                hint="take fewer 'iterations', or let fewer weights move ('trainable: last_layers')",
            )
