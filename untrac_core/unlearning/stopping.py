"""When an unlearning ends: at a level of the forget set, at a loss of the retain set, or where the model collapses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from untrac_core.models.losses import collapse_loss
from untrac_core.specs.unlearn import StopRule

COLLAPSED_RISE = 3.0
"""Nats per token: the retain set has lost more than that, so the model has lost more than the forget set."""


@dataclass(frozen=True)
class EvalPoint:
    """What an evaluation at the model on the way sees: mean losses in nats per token."""

    step: int
    forget: float
    retain: float


@dataclass(frozen=True)
class Stop:
    """A rule with its level: the loss of the forget set, in nats per token, from which on it counts as gone."""

    rule: StopRule
    level: float | None
    vocab_size: int

    def verdict(self, before: EvalPoint, now: EvalPoint) -> str:
        """Why to stop after this look, in words; empty: go on."""
        collapse = self.collapse(before, now)
        if collapse:
            return collapse
        rule = self.rule
        if rule.rule in ("match_retrained", "match_holdout") and self.level is not None and now.forget >= self.level:
            like = "to a model that never saw them" if rule.rule == "match_retrained" else "the holdout set was"
            return f"at step {now.step} the texts are as unlikely as {like} ({self.level:.2f} nats per token)"
        if self.over_budget(before, now):
            return f"the last evaluation before the retain set loses more than {rule.max_retain_increase:.0%}"
        return ""

    def over_budget(self, before: EvalPoint, now: EvalPoint) -> bool:
        """Whether the retain set has lost more than the rule allows; the step before this look is the one to keep."""
        return self.rule.rule == "retain_budget" and now.retain > before.retain * (1 + self.rule.max_retain_increase)

    def collapse(self, before: EvalPoint, now: EvalPoint) -> str:
        """Why the model counts as collapsed, in words; empty where it does not."""
        if not (math.isfinite(now.forget) and math.isfinite(now.retain)):
            return f"collapsed at step {now.step}: its losses are no numbers"
        if now.retain >= collapse_loss(before.retain, self.vocab_size):
            return f"collapsed at step {now.step}: the retain set is at {now.retain:.2f} nats per token, a mere guess"
        if now.retain - before.retain > COLLAPSED_RISE:
            return (
                f"collapsed at step {now.step}: the retain set has lost {now.retain - before.retain:.2f} nats per token"
            )
        return ""

    @staticmethod
    def collapsed(verdict: str) -> bool:
        """Whether a verdict is that of a collapse."""
        return verdict.startswith("collapsed")
