"""GradCos: the cosine of gradients at the final weights (Isonuma and Titov, ACL 2024, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from untrac_core.attribution.gradients import GradientMethod, Products, Query, length_or_one
from untrac_core.attribution.protocol import Study
from untrac_core.attribution.vectors import Stack


class GradCos(GradientMethod):
    """g_Z . g_Q / (|g_Z| |g_Q|), of the whole subset's and the drawn items' mean gradients.

    A fold's score is its own product over the same lengths, so that the folds' mean, weighted by tokens, is the cosine.
    """

    name: ClassVar[str] = "grad-cos"
    unit: ClassVar[str] = "cosine of gradients"
    held: ClassVar[int] = 2

    def scale(self, study: Study, stack: Stack, queries: Sequence[Query]) -> None:
        """g_Q / |g_Q|."""
        for row in stack.matrix:
            row /= length_or_one(row)

    def subset_products(self, study: Study, stack: Stack, part: str = "", *, per_length: bool = True) -> Products:
        """Products over the length of each subset's gradient."""
        return super().subset_products(study, stack, part, per_length=per_length)
