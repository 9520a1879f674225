"""The control for all: training on the retain set, for as many steps. It forgets a little of the rest by itself."""

from __future__ import annotations

from typing import ClassVar

from untrac_core.unlearning.methods.base import ForgetBatch, UnlearningMethod


class RetainOnly(UnlearningMethod):
    """Has no loss on the forget set: what a method does beyond this is its own."""

    name: ClassVar[str] = "retain-only"

    def loss(self, step: ForgetBatch) -> None:
        """Nothing."""
