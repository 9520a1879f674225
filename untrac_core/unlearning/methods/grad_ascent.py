"""Gradient ascent: climb the loss of the forget set, and nothing else (Jang et al., ACL 2023).

UnTrac's own operator, and the cautionary baseline: without a stop rule it ends in a model that knows nothing.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from untrac_core.unlearning.methods.base import ForgetBatch, UnlearningMethod


class GradientAscent(UnlearningMethod):
    """L = - NLL(forget), in nats per token."""

    name: ClassVar[str] = "grad-ascent"

    def loss(self, step: ForgetBatch) -> torch.Tensor:
        """Minus the mean loss per token."""
        return -step.losses.sum() / step.tokens.sum()
