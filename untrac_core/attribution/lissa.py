"""Influence functions by LiSSA (Agarwal et al., JMLR 2017; Koh and Liang, ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from untrac_core.attribution.gradients import GradientMethod, GradientSettings, Products, Query
from untrac_core.attribution.hessian import draw_blocks, hessian_products, random_vector
from untrac_core.attribution.protocol import Study, failed_frame
from untrac_core.attribution.vectors import Stack, norm
from untrac_core.cells import Cell
from untrac_core.specs import MethodSpec

POWER_ITERATIONS = 10
POWER_BLOCKS = 64
"""Training blocks whose Hessian's largest eigenvalue sets the scale."""
DOUBLINGS = 5
"""How often the scale may be doubled, as the recursion diverged."""
SLACK = 2.0
"""The recursion's vector may be this many times longer than it can get where no step makes anything longer."""


class DivergedError(Exception):
    """The recursion's vector grew as it only does where a step makes vectors longer."""


@dataclass(frozen=True)
class LissaSettings(GradientSettings):
    """How the recursion goes."""

    iterations: int = 10
    """As in Isonuma and Titov (ACL 2024), section 5."""
    damping: float = 0.01
    """Share of the scale, which is the largest eigenvalue, that is added to every eigenvalue."""
    samples: int = 8
    """Training blocks an iteration."""


class Lissa(GradientMethod):
    """g_Z . (H + damping x scale)^-1 g_Q, the inverse as the sum of a few terms of its Neumann series.

    v <- g_Q + (1 - damping) v - H v / scale, with H of fresh training blocks at each iteration; the answer is
    v / scale. ``scale`` is the largest eigenvalue, by power iteration; where steps lengthen v all the same, as a batch
    has a larger one or a quite negative one, it is doubled for all, which the table says.
    """

    name: ClassVar[str] = "lissa"
    unit: ClassVar[str] = "dot product of gradients over the Hessian (LiSSA)"
    defaults: ClassVar[GradientSettings] = LissaSettings()
    held: ClassVar[int] = 3
    each: ClassVar[int] = 3
    settings: LissaSettings

    def __init__(self, spec: MethodSpec) -> None:
        super().__init__(spec)
        self.scale_used = 0.0
        self.doublings = 0
        self._diverged: Study | None = None

    def run(self, study: Study, cell: Cell) -> pd.DataFrame:
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

    def products(self, study: Study, queries: Sequence[Query]) -> Products:
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

    def _largest_eigenvalue(self, study: Study) -> float:
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

    def scale(self, study: Study, stack: Stack, queries: Sequence[Query]) -> None:
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
