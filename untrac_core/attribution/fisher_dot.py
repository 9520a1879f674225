"""Dot product of gradients, scaled by the diagonal of the empirical Fisher matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from untrac_core.attribution.gradients import GradientMethod, GradientSettings, Query
from untrac_core.attribution.protocol import Study
from untrac_core.attribution.vectors import Stack
from untrac_core.curvature import mean_gradient, micro_batches
from untrac_core.specs import MethodSpec


@dataclass(frozen=True)
class FisherSettings(GradientSettings):
    """How the Fisher matrix is estimated."""

    samples: int = 300
    """Micro-batches of training text."""
    damping: float = 0.1
    """Share of the diagonal's mean that is added to it."""


class FisherDot(GradientMethod):
    """g_Z . (F + d)^-1 g_Q, with F the mean squared gradient of micro-batches, and d = damping x mean of F.

    A Newton step with the Hessian taken as the diagonal Fisher matrix (Kirkpatrick et al., PNAS 2017; as a step
    towards forgetting: Wang et al., NeurIPS 2024, "Data attribution for text-to-image models by unlearning").
    """

    name: ClassVar[str] = "fisher-dot"
    unit: ClassVar[str] = "dot product of gradients over the Fisher diagonal"
    defaults: ClassVar[GradientSettings] = FisherSettings()
    held: ClassVar[int] = 2
    settings: FisherSettings

    def __init__(self, spec: MethodSpec) -> None:
        super().__init__(spec)
        self._diagonal: Stack | None = None

    def prepare(self, study: Study) -> None:
        """F + d, from micro-batches that are drawn as those of :mod:`untrac_core.curvature` are."""
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

    def scale(self, study: Study, stack: Stack, queries: Sequence[Query]) -> None:
        """(F + d)^-1 g_Q."""
        assert self._diagonal is not None  # noqa: S101
        stack.matrix /= self._diagonal.matrix
