"""The tables of finished runs, ready to be drawn, by the kind of run: the door of the pages to what a result says."""

from __future__ import annotations

from untrac_core.stats.agreement import RESOLVABLE
from untrac_core.tasks.blending import Blended, blended, closer, same_question
from untrac_core.tasks.trace import frames as trace_frames
from untrac_core.tasks.trace import live as trace_live
from untrac_core.tasks.trace.features import TEXT_FEATURES
from untrac_core.tasks.trace.frames import sides_of
from untrac_core.tasks.trace.scale import (
    Scale,
    evidence,
    fits,
    headline,
    in_nats,
    in_shares,
    scale_of,
    what_would_settle,
)
from untrac_core.tasks.unlearn import frames as unlearn_frames
from untrac_core.tasks.unlearn.audit import LIMITS
from untrac_core.tasks.unlearn.frames import collateral_in_words, collateral_rows
from untrac_core.tasks.validate import frames as validate_frames
from untrac_core.tasks.validate import half_frames
from untrac_core.unlearning.metrics.summary import METRICS

__all__ = [
    "LIMITS",
    "METRICS",
    "RESOLVABLE",
    "TEXT_FEATURES",
    "Blended",
    "Scale",
    "blended",
    "closer",
    "collateral_in_words",
    "collateral_rows",
    "evidence",
    "fits",
    "half_frames",
    "headline",
    "in_nats",
    "in_shares",
    "same_question",
    "scale_of",
    "sides_of",
    "trace_frames",
    "trace_live",
    "unlearn_frames",
    "validate_frames",
    "what_would_settle",
]
