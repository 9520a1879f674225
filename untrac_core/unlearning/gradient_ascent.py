"""Gradient ascent: climb the loss of what is to go, and nothing else (Jang et al., ACL 2023).

UnTrac's own operator, and the cautionary baseline: without a stop rule it ends in a model that knows nothing.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from untrac_core.unlearning.protocol import Forgotten, RemovalMethod


class GradientAscent(RemovalMethod):
    """L = - NLL(forget), in nats per token."""

    name: ClassVar[str] = "ascent"

    def loss(self, step: Forgotten) -> torch.Tensor:
        """Minus the mean loss a token."""
        return -step.losses.sum() / step.tokens.sum()
