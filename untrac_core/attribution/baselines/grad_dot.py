"""GradDot: the dot product of gradients at the final weights, as TracIn's last checkpoint (Pruthi et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.gradients import GradientMethod, Products, Query, length_or_one
from untrac_core.training.vectors import Stack


class GradDot(GradientMethod):
    """g_Z . g_Q: what one small step of plain gradient ascent does (Isonuma and Titov, ACL 2024, section 4)."""

    name: ClassVar[str] = "grad-dot"
    unit: ClassVar[str] = "dot product of gradients"


class GradCos(GradientMethod):
    """g_Z . g_Q / (|g_Z| |g_Q|), of the whole subset's and the drawn items' mean gradients.

    A fold's score is its own product over the same lengths, so that the folds' mean, weighted by tokens, is the cosine.
    """

    name: ClassVar[str] = "grad-cos"
    unit: ClassVar[str] = "cosine of gradients"
    held: ClassVar[int] = 2

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """g_Q / |g_Q|."""
        for row in stack.matrix:
            row /= length_or_one(row)

    def subset_products(
        self, study: AttributionContext, stack: Stack, part: str = "", *, per_length: bool = True
    ) -> Products:
        """Products over the length of each subset's gradient."""
        return super().subset_products(study, stack, part, per_length=per_length)


class SignDot(GradientMethod):
    """g_Z . sign(g_Q): Adam's first step is rate x sign(g), element by element.

    The paper (section 4) takes one Adam step for GradCos; its step is not the gradient over its length, but this.
    """

    name: ClassVar[str] = "sign-dot"
    unit: ClassVar[str] = "slope along the sign of the prompts' gradient"

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """sign(g_Q)."""
        stack.matrix.sign_()
