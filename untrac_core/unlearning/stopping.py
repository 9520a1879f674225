"""When an unlearning ends: at a level of what is to go, at a loss of what stays, or where the model collapses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from untrac_core.ascent import collapse_loss
from untrac_core.unlearn_spec import StopRule

COLLAPSED_RISE = 3.0
"""Nats per token: what stays has lost more than that, so the model has lost more than what was to go."""


@dataclass(frozen=True)
class Look:
    """What a look at the model on the way sees: mean losses in nats per token."""

    step: int
    forget: float
    retain: float


@dataclass(frozen=True)
class Stop:
    """A rule with its level: the loss of what is to go, in nats per token, from which on it counts as gone."""

    rule: StopRule
    level: float | None
    vocabulary: int

    def verdict(self, before: Look, now: Look) -> str:
        """Why to stop after this look, in words; empty: go on."""
        collapse = self.collapse(before, now)
        if collapse:
            return collapse
        rule = self.rule
        if rule.rule in ("gold", "held-out") and self.level is not None and now.forget >= self.level:
            like = "to a model that never saw them" if rule.rule == "gold" else "unseen text of their source was"
            return f"at step {now.step} the texts are as unlikely as {like} ({self.level:.2f} nats per token)"
        if self.over_budget(before, now):
            return f"the last look before what stays loses more than {rule.budget:.0%}"
        return ""

    def over_budget(self, before: Look, now: Look) -> bool:
        """Whether what stays has lost more than the rule allows; the step before this look is the one to keep."""
        return self.rule.rule == "retain-budget" and now.retain > before.retain * (1 + self.rule.budget)

    def collapse(self, before: Look, now: Look) -> str:
        """Why the model counts as collapsed, in words; empty where it does not."""
        if not (math.isfinite(now.forget) and math.isfinite(now.retain)):
            return f"collapsed at step {now.step}: its losses are no numbers"
        if now.retain >= collapse_loss(before.retain, self.vocabulary):
            return f"collapsed at step {now.step}: what stays is at {now.retain:.2f} nats per token, a mere guess"
        if now.retain - before.retain > COLLAPSED_RISE:
            return f"collapsed at step {now.step}: what stays has lost {now.retain - before.retain:.2f} nats per token"
        return ""

    @staticmethod
    def collapsed(verdict: str) -> bool:
        """Whether a verdict is that of a collapse."""
        return verdict.startswith("collapsed")
