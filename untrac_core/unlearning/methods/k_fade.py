"""K-FADE: a few Gauss-Newton steps up the loss of the forget set, in the curvature of the retain set.

McKinney et al., "Gauss-Newton Unlearning for the LLM Era", 2026 (arXiv 2602.10568). Of all steps that raise the loss of
the forget set alike, to first order, the one that changes what the model says of the retain set least, to second, is

    theta <- theta + s P g_f(theta),    P = (damped Gauss-Newton matrix of the retain set)^-1,

with g_f the gradient of the forget set's mean loss per token. P is that of
:mod:`untrac_core.training.preconditioner`, the Kronecker factors of the retain set's gradients, taken anew at each
step: those of the model as it was hold little once it has moved. This follows the method's published description, not
its code. K-FAC's factors are of a layer's inputs and of the gradients at its output; the length of a step is by a rule
of this project:

The loss L_f is to end at c, that of a model that never saw the texts. A step raises it by
(c - L_f(theta_0)) / ``steps`` or by what is left, to first order: s = rise / (g_f . P g_f). As the loss is no straight
line, a step that raises it by more than twice as much is halved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch

from untrac_core.errors import InputError
from untrac_core.models.loading import LoadedModel
from untrac_core.training.preconditioner import estimate_curvature, mean_gradient, own_loss
from untrac_core.unlearning.methods.base import SteppingMethod, UnlearningData
from untrac_core.unlearning.settings import UnlearningConfig

NEAR = 0.01
"""Of a whole step: where less is left, the forget set counts as there."""
TOO_FAR = 2.0
"""Times what a step was to raise the loss by: then it is halved."""
HALVINGS = 4
"""Of one step, at most."""


class KFade(SteppingMethod):
    """Every step reads all of the forget set, so that none of it hangs on chance; only matrices move."""

    name: ClassVar[str] = "k-fade"

    def __init__(self, settings: UnlearningConfig) -> None:
        super().__init__(settings)
        self._texts = UnlearningData((), ())
        self._aim = self._each = 0.0

    def prepare(self, model: LoadedModel, texts: UnlearningData, seed: int, tick: Callable[[int, int], None]) -> None:
        """Where the loss is to end, and how much of the way a step goes.

        Raises :class:`InputError` where nothing is retained.
        """
        if not texts.retain:
            raise InputError(
                "nothing is retained whose curvature could hold the model",
                field="method 'k-fade'",
                hint="add a training subset that stays, or take 'npo'",
            )
        self._texts = texts
        self._aim = self.settings.max_forget_loss or texts.retrained or math.log(model.facts.vocab_size)
        self._each = (self._aim - own_loss(model, texts.forget)) / self.settings.steps

    def step(self, model: LoadedModel) -> str:
        """One step up, unless the loss is where it is to end."""
        settings = self.settings
        here = own_loss(model, self._texts.forget)
        rise = min(self._each, self._aim - here)
        if rise <= NEAR * self._each:
            return f"the loss of the forget set is where it was to end ({self._aim:.2f} nats per token)"
        curvature = estimate_curvature(model, self._texts.retain, samples=settings.samples, damping=settings.damping)
        mean_gradient(model, self._texts.forget)
        ways, slope = [], 0.0
        for _, parameter, up in curvature.preconditioned_gradients(model.module):
            assert parameter.grad is not None  # noqa: S101
            slope += float((parameter.grad * up).double().sum())
            ways.append((parameter, parameter.detach().clone(), up))
        model.module.zero_grad(set_to_none=True)
        if not slope > 0:
            return "the loss of the forget set has no gradient that could be followed"
        length = rise / slope
        for _ in range(HALVINGS + 1):
            with torch.no_grad():
                for parameter, start, up in ways:
                    parameter.copy_(start + length * up)
            if own_loss(model, self._texts.forget) - here <= TOO_FAR * rise:
                break
            length /= 2
        return ""
