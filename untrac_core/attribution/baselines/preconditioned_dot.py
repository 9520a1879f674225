"""Dot product of gradients, scaled by the diagonal of the empirical Fisher matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.gradients import GradientMethod, Query
from untrac_core.specs.methods import FisherSettings, KroneckerSettings
from untrac_core.training.preconditioner import KroneckerPreconditioner, mean_gradient, micro_batches
from untrac_core.training.vectors import Stack, precondition


class FisherDot(GradientMethod):
    """g_Z . (F + d)^-1 g_Q, with F the mean squared gradient of micro-batches, and d = damping x mean of F.

    A Newton step with the Hessian taken as the diagonal Fisher matrix (Kirkpatrick et al., PNAS 2017; as a step
    towards forgetting: Wang et al., NeurIPS 2024, "Data attribution for text-to-image models by unlearning").
    """

    name: ClassVar[str] = "fisher-dot"
    unit: ClassVar[str] = "dot product of gradients over the Fisher diagonal"
    held: ClassVar[int] = 2
    settings: FisherSettings

    def __init__(self, spec: FisherSettings) -> None:
        super().__init__(spec)
        self._diagonal: Stack | None = None

    def prepare(self, study: AttributionContext) -> None:
        """F + d, from micro-batches that are drawn as those of :mod:`untrac_core.training.preconditioner` are."""
        samples = self.settings.samples
        study.progress.phase(f"{self.name}: Fisher diagonal of the training text")
        diagonal = Stack(study.model.module, 1)
        for sample, chosen in enumerate(micro_batches(study.all_blocks, samples)):
            mean_gradient(study.model, chosen, together=True)
            for _, parameter, part in diagonal.views(diagonal.matrix[0]):
                if parameter.grad is not None:
                    part.addcmul_(parameter.grad, parameter.grad, value=1.0 / samples)
            study.progress.tick(sample + 1, samples)
        mean = float(diagonal.matrix.mean(dtype=torch.float64))
        diagonal.matrix += self.settings.damping * mean if mean else 1.0  # a model without any gradient stays put
        self._diagonal = diagonal

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """(F + d)^-1 g_Q."""
        assert self._diagonal is not None  # noqa: S101
        stack.matrix /= self._diagonal.matrix


class KroneckerDot(GradientMethod):
    """g_Z . P(g_Q) over the weight matrices: to first order, UnTrac-Inv's step along the natural gradient."""

    name: ClassVar[str] = "shampoo-dot"
    unit: ClassVar[str] = "dot product of gradients over the Kronecker curvature"
    held: ClassVar[int] = 2
    settings: KroneckerSettings

    def __init__(self, spec: KroneckerSettings) -> None:
        super().__init__(spec)
        if spec.trainable == "all":  # vectors and position tables have no factors
            self.settings = spec.model_copy(update={"trainable": "matrices"})
        self._preconditioner = KroneckerPreconditioner({})

    def prepare(self, study: AttributionContext) -> None:
        """The factors, which the study keeps for every method that asks for the same."""
        self._preconditioner = study.preconditioner(
            self.settings.trainable, self.settings.samples, self.settings.damping
        )

    def scale(self, study: AttributionContext, stack: Stack, queries: Sequence[Query]) -> None:
        """P(g_Q)."""
        precondition(study.model.module, self._preconditioner, stack)
