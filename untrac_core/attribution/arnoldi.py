"""Influence functions by Arnoldi iteration (Schioppa et al., AAAI 2022, "Scaling up influence functions")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from untrac_core.attribution.gradients import GradientMethod, GradientSettings, Products, Query
from untrac_core.attribution.hessian import draw_blocks, hessian_products, random_vector
from untrac_core.attribution.protocol import Study
from untrac_core.attribution.vectors import FLOAT_BYTES, Numbers, Stack, dots, gradient_parts, norm, vector_length
from untrac_core.errors import InputError

BREAKDOWN = 1e-6
"""A new direction shorter than this share of the Hessian's product is rounding: the space is exhausted."""


@dataclass(frozen=True)
class ArnoldiSettings(GradientSettings):
    """How large the space is, and what of it is kept."""

    iterations: int = 25
    """Products with the Hessian, and directions; as in Isonuma and Titov (ACL 2024), section 5, for their T5."""
    top: int = 25
    """Eigenvalues that are kept, at most; all, as with their T5 (of the 200 directions of their OPT they keep 100)."""
    samples: int = 256
    """Training blocks whose Hessian it is; the paper's."""


class Arnoldi(GradientMethod):
    """g_Z . H^-1 g_Q within the eigenvectors of the Hessian's ``top`` eigenvalues, the largest in absolute value.

    The Hessian is restricted to the space that its products with one random vector span, and diagonalised there. All
    directions are held at once: they must fit the budget. Gradients are not normalised, as the paper's were, so that
    a subset's folds add up.
    """

    name: ClassVar[str] = "arnoldi"
    unit: ClassVar[str] = "dot product of gradients over the Hessian (Arnoldi)"
    defaults: ClassVar[GradientSettings] = ArnoldiSettings()
    held: ClassVar[int] = 3
    settings: ArnoldiSettings

    def products(self, study: Study, queries: Sequence[Query]) -> Products:
        """Coordinates of every query and every fold in the space, multiplied there; no query is held as a vector."""
        basis, restricted = self._space(study)
        values, vectors = np.linalg.eigh(restricted)
        kept = np.argsort(-np.abs(values), kind="stable")[: self.settings.top]
        kept = kept[np.abs(values[kept]) > np.finfo(np.float32).eps * np.abs(values).max()]
        inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        asked = self._coordinates(study, basis, queries)
        folds = self.subset_products(study, basis)
        return {subset: rows @ inverse @ asked.T for subset, rows in folds.items()}

    def _coordinates(self, study: Study, basis: Stack, queries: Sequence[Query]) -> Numbers:
        study.progress.phase(f"{self.name}: gradients of the prompt sets")
        result = np.zeros((len(queries), basis.rows))
        for number, query in enumerate(queries):
            for _ in gradient_parts(study, query.examples):
                result[number] += basis.products()
            study.progress.tick(number + 1, len(queries))
        return result

    def _space(self, study: Study) -> tuple[Stack, Numbers]:
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

    def _require_memory(self, study: Study, count: int) -> None:
        """Raises :class:`InputError` where the directions do not fit the budget."""
        needed = FLOAT_BYTES * vector_length(study.model.module) * (count + self.held) / 2**20
        if needed > self.settings.budget_mb:
            raise InputError(
                f"{count} directions take {needed:,.0f} MB, and {self.settings.budget_mb:,.0f} MB is the limit",
                where=f"method {self.name!r}",
                mend="take fewer 'iterations', or let fewer weights move ('moves: last')",
            )
