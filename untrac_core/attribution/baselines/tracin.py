"""TracIn: gradient products summed over checkpoints of the training (Pruthi et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from untrac_core.attribution.base import AttributionContext, Checkpoint
from untrac_core.attribution.baselines.gradients import GradientMethod, Products, Query
from untrac_core.errors import InputError
from untrac_core.models.loading import weights_restored
from untrac_core.specs.methods import TracInSettings
from untrac_core.training.vectors import Stack

EPSILON = 1e-8
"""Adam's, beside the root of its second moments."""


class TracIn(GradientMethod):
    """Sum over checkpoints t of rate_t x g_Z(t) . g_Q(t) (Isonuma and Titov, ACL 2024, equation 7).

    With ``scaling: adam``, g_Q over sqrt(v_t) + epsilon, with v_t the second moments that Adam had at the checkpoint:
    what a step of Adam along g_Z does, without its momentum (Xia et al., "LESS", ICML 2024, scale g_Z likewise).
    """

    name: ClassVar[str] = "tracin"
    unit: ClassVar[str] = "rate times dot product of gradients, over checkpoints"
    settings: TracInSettings

    def __init__(self, spec: TracInSettings) -> None:
        super().__init__(spec)
        self._at: Checkpoint | None = None

    def depends_on(self, study: AttributionContext) -> Any:
        """The checkpoints' rates; their weights are those of one training, which the model ends."""
        return [checkpoint.rate for checkpoint in study.checkpoints]

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """g_Q as it is, or over the root of Adam's second moments at this checkpoint."""
        if self.settings.scaling == "none" or self._at is None:
            return
        moments = self._at.second_moments()
        for row in stack.matrix:
            for name, _, part in stack.views(row):
                if name in moments:  # one that no loss depended on has no gradient either
                    part /= moments[name].to(part).sqrt() + EPSILON

    def products(self, study: AttributionContext, queries: Sequence[Query]) -> Products:
        """The pass at every checkpoint; the weights come back bit for bit.

        Raises :class:`InputError` where there are no checkpoints.
        """
        if not study.checkpoints:
            raise InputError(
                "needs checkpoints of the model's training, and there are none",
                field=f"method {self.name!r}",
                hint="take 'grad-dot', which is TracIn with the last checkpoint only, or train from a recipe",
            )
        total: dict[str, Any] = dict.fromkeys(study.subsets, 0.0)
        study.set_trainable("all")  # a checkpoint changes all weights, so all are kept and put back
        with weights_restored(study.model.module):
            for checkpoint in study.checkpoints:
                checkpoint.load()
                self._at = checkpoint
                study.set_trainable(self.settings.trainable)
                for subset, products in super().products(study, queries).items():
                    total[subset] = total[subset] + checkpoint.rate * products
        return total
