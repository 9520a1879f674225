"""TracIn: gradient products summed over checkpoints of the training (Pruthi et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.gradients import GradientMethod, Products, Query
from untrac_core.errors import InputError
from untrac_core.models.loading import weights_restored


class TracIn(GradientMethod):
    """Sum over checkpoints t of rate_t x g_Z(t) . g_Q(t) (Isonuma and Titov, ACL 2024, equation 7)."""

    name: ClassVar[str] = "tracin"
    unit: ClassVar[str] = "rate times dot product of gradients, over checkpoints"

    def depends_on(self, study: AttributionContext) -> Any:
        """The checkpoints' rates; their weights are those of one training, which the model ends."""
        return [checkpoint.rate for checkpoint in study.checkpoints]

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
                study.set_trainable(self.settings.trainable)
                for subset, products in super().products(study, queries).items():
                    total[subset] = total[subset] + checkpoint.rate * products
        return total
