"""GradDot: the dot product of gradients at the final weights, as TracIn's last checkpoint (Pruthi et al., 2020)."""

from __future__ import annotations

from typing import ClassVar

from untrac_core.attribution.gradients import GradientMethod


class GradDot(GradientMethod):
    """g_Z . g_Q: what one small step of plain gradient ascent does (Isonuma and Titov, ACL 2024, section 4)."""

    name: ClassVar[str] = "grad-dot"
    unit: ClassVar[str] = "dot product of gradients"
