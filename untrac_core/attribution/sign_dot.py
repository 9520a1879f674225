"""Sign-gradient dot product: what one step of Adam on the prompt set does to a subset, to first order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from untrac_core.attribution.gradients import GradientMethod, Query
from untrac_core.attribution.protocol import Study
from untrac_core.attribution.vectors import Stack


class SignDot(GradientMethod):
    """g_Z . sign(g_Q): Adam's first step is rate x sign(g), element by element.

    The paper (section 4) takes one Adam step for GradCos; its step is not the gradient over its length, but this.
    """

    name: ClassVar[str] = "sign-dot"
    unit: ClassVar[str] = "slope along the sign of the prompts' gradient"

    def scale(self, study: Study, stack: Stack, queries: Sequence[Query]) -> None:
        """sign(g_Q)."""
        stack.matrix.sign_()
