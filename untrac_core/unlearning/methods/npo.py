"""Negative preference optimisation: the forget set as the rejected answer (Zhang et al., COLM 2024), and SimNPO."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from untrac_core.unlearning.methods.base import ForgetBatch, UnlearningMethod


class NegativePreference(UnlearningMethod):
    """NPO: L = - (2 / b) mean log sigmoid(- b (log pi(x) - log pi_ref(x))), log pi summed over a text's tokens.

    pi_ref is the model as it was. At pi = pi_ref the gradient is ascent's on the summed loss, for every b; as a text
    gets unlikelier than it was, its gradient fades, the sooner the larger b. b -> 0 is ascent.
    """

    name: ClassVar[str] = "npo"

    def loss(self, step: ForgetBatch) -> torch.Tensor:
        """Of the batch, in nats per text."""
        return npo_loss(step.losses, step.reference, self.settings.beta or 0.1)


class SimpleNegativePreference(UnlearningMethod):
    """SimNPO (Fan et al., 2024), without a reference model, of n tokens: L = - (2 / b) mean log sigmoid(b NLL / n)."""

    name: ClassVar[str] = "simnpo"

    def loss(self, step: ForgetBatch) -> torch.Tensor:
        """Of the batch, in nats per token."""
        beta = self.settings.beta or 2.5
        return -(2.0 / beta) * functional.logsigmoid(beta * step.losses / step.tokens).mean()


def npo_loss(losses: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """NPO's loss of summed negative log-likelihoods (texts,), in nats: log pi - log pi_ref is reference - losses."""
    return -(2.0 / beta) * functional.logsigmoid(-beta * (reference - losses)).mean()
