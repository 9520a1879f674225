"""Dot product of gradients, scaled by the Kronecker-factored curvature of :mod:`untrac_core.curvature`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from untrac_core.attribution.gradients import GradientMethod, GradientSettings, Query
from untrac_core.attribution.protocol import Study
from untrac_core.attribution.vectors import Stack
from untrac_core.curvature import Curvature
from untrac_core.specs import MethodSpec, Moves


@dataclass(frozen=True)
class KroneckerSettings(GradientSettings):
    """How the curvature is estimated; see :func:`untrac_core.curvature.estimate_curvature`."""

    moves: Moves = "matrices"
    samples: int = 300
    damping: float = 0.1


class KroneckerDot(GradientMethod):
    """g_Z . P(g_Q) over the weight matrices: to first order, UnTrac-Inv's step along the natural gradient."""

    name: ClassVar[str] = "kronecker-dot"
    unit: ClassVar[str] = "dot product of gradients over the Kronecker curvature"
    defaults: ClassVar[GradientSettings] = KroneckerSettings()
    held: ClassVar[int] = 2
    settings: KroneckerSettings

    def __init__(self, spec: MethodSpec) -> None:
        super().__init__(spec)
        if self.settings.moves == "all":  # vectors and position tables have no factors
            self.settings = replace(self.settings, moves="matrices")
        self._curvature = Curvature({})

    def prepare(self, study: Study) -> None:
        """The factors, which the study keeps for every method that asks for the same."""
        self._curvature = study.curvature(self.settings.moves, self.settings.samples, self.settings.damping)

    def scale(self, study: Study, stack: Stack, queries: Sequence[Query]) -> None:
        """P(g_Q), one weight matrix after the other; whatever has no factors stays put."""
        module = study.model.module
        for row in stack.matrix:
            for _, parameter, part in stack.views(row):
                parameter.grad = part.clone()
            row.zero_()
            parts = {name: part for name, _, part in stack.views(row)}
            for name, _, direction in self._curvature.directions(module):
                parts[name].copy_(direction)
            module.zero_grad(set_to_none=True)
