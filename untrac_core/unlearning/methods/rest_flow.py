"""The rest flow as an unlearning: the forget set leaves the training mix, and the rest holds the model.

It is the flow that UnTrac measures influence with (:mod:`untrac_core.training.flow`), with the forget set f as the one
subset that leaves, and the retain set r as the rest of the mix. With p the share of f's tokens, g the gradient of the
whole at the model as it was, theta_0, and B a fresh batch, the same at both places,

    theta <- theta - eta P { g_r(theta; B) - g_r(theta_0; B) - p / (1 - p) (g_f - g) },

with Nesterov's momentum and P the inverse Kronecker factors of the whole mix. The ascent is frozen and so never feeds
itself: the flow has an end, the minimum of what the rest asks for without f. eta is ``relative_step`` times the longest
step that stays in a quadratic valley; where the flow begins to run away, it is halved, and after three times stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch

from untrac_core.errors import InputError
from untrac_core.models.loading import LoadedModel
from untrac_core.progress import Silent
from untrac_core.training.batches import BATCHES
from untrac_core.training.flow import Flow, Mix, largest_rate
from untrac_core.training.preconditioner import estimate_curvature, mean_gradient
from untrac_core.training.vectors import Stack
from untrac_core.unlearning.methods.base import SteppingMethod, UnlearningData
from untrac_core.unlearning.settings import FEWEST, UnlearningConfig

FORGET, RETAIN = "forget", "retain"
MOST = 0.9
"""A forget set that is a larger share of all text leaves nothing to train on."""
HALF = (torch.float16, torch.bfloat16)


class RestFlow(SteppingMethod):
    """Draws its own batches, which hang on the seed and the step alone; only matrices move."""

    name: ClassVar[str] = "rest-flow"

    def __init__(self, settings: UnlearningConfig) -> None:
        super().__init__(settings)
        self._flow: Flow | None = None

    @property
    def flow(self) -> Flow:
        """The flow, once it is prepared."""
        assert self._flow is not None  # noqa: S101
        return self._flow

    def prepare(self, model: LoadedModel, texts: UnlearningData, seed: int, tick: Callable[[int, int], None]) -> None:
        """The curvature of all text, the step, and the frozen ascent.

        Raises :class:`InputError` where next to nothing is retained, and for a model that computes in half precision.
        """
        settings = self.settings
        share = _share(texts)
        if model.dtype in HALF:
            raise InputError(
                f"small changes of the weights are lost in {str(model.dtype).removeprefix('torch.')}",
                field="method 'rest-flow'",
                hint="set 'dtype: float32', or take another method",
            )
        everything = [*texts.forget, *texts.retain]
        preconditioner = estimate_curvature(model, everything, samples=settings.samples, damping=settings.damping)
        shares = {FORGET: share, RETAIN: 1 - share}
        # What is forgotten has no part in a step beyond the frozen ascent: its texts only show the curvature.
        rest = max(1, min(settings.batch_size or FEWEST, len(texts.retain) // BATCHES))
        sizes = {RETAIN: rest, FORGET: max(1, round(rest * share / (1 - share)))}
        mix = Mix({FORGET: texts.forget, RETAIN: texts.retain}, shares, sizes, seed)
        rate = settings.relative_step * largest_rate(model, mix, preconditioner, Silent())
        self._flow = Flow(model, mix, [FORGET], _ascent(model, texts, share), preconditioner, rate, steps=1)

    def step(self, model: LoadedModel) -> str:
        """One step of the flow, unless it would run away."""
        flow = self.flow
        taken = flow.go_to(flow.step + 1)
        flow.place(flow.moved.matrix[0])
        return "" if taken else f"stopped before step {flow.step + 1}: from there on it would run away"

    def state(self) -> dict[str, torch.Tensor]:
        """Where the flow is, and how fast."""
        return {**self.flow.tensors(), "taken": torch.tensor(self.flow.step)}

    def resume(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from there."""
        taken = int(state["taken"])
        self.flow.put(dict(state))
        self.flow.step = taken


def _share(texts: UnlearningData) -> float:
    """Of the forget set in all tokens; raises :class:`InputError` where it is nearly all."""
    forget = sum(example.tokens for example in texts.forget)
    share = forget / (forget + sum(example.tokens for example in texts.retain))
    if share > MOST:
        raise InputError(
            f"the forget set is {share:.0%} of all text: without it there is nothing to train on",
            field="method 'rest-flow'",
            hint="add training subsets that stay, or take 'npo'",
        )
    return share


def _ascent(model: LoadedModel, texts: UnlearningData, share: float) -> torch.Tensor:
    """-p / (1 - p) (g_f - g), which is -p (g_f - g_r), of shape (1, numbers that move)."""
    stack = Stack(model.module, 1)
    for part, weight in ((texts.forget, -share), (texts.retain, share)):
        mean_gradient(model, part)
        stack.add(0, weight)
    model.module.zero_grad(set_to_none=True)
    return stack.matrix
