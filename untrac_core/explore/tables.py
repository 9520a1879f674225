"""The tables of finished runs, ready to be drawn, by the kind of run: the door of the pages to what a result says."""

from __future__ import annotations

from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.agreement import RESOLVABLE
from untrac_core.tasks.blending import Blended, blended, closer, same_question
from untrac_core.tasks.trace import frames as trace_frames
from untrac_core.tasks.trace import live as trace_live
from untrac_core.tasks.trace.features import TEXT_FEATURES
from untrac_core.tasks.trace.frames import sides_of
from untrac_core.tasks.trace.scale import (
    Scale,
    answer_lines,
    fits,
    scale_of,
    what_would_settle,
)
from untrac_core.tasks.unlearn import frames as unlearn_frames
from untrac_core.tasks.unlearn import reading as unlearn_reading
from untrac_core.tasks.unlearn import text_frames as unlearn_texts
from untrac_core.tasks.unlearn.audit import LIMITS
from untrac_core.tasks.unlearn.frames import collateral_in_words, collateral_rows
from untrac_core.tasks.validate import frames as validate_frames
from untrac_core.tasks.validate import truth_frames
from untrac_core.tasks.validate.additions import choice_frames, control_frames, half_frames, pair_frames
from untrac_core.tasks.validate.mixing import Mixing, WhatIf, checked_by_halves, mixing_of
from untrac_core.unlearning.metrics.summary import METRICS

__all__ = [
    "CONTRAST",
    "LIMITS",
    "METRICS",
    "RESOLVABLE",
    "TEXT_FEATURES",
    "Blended",
    "Mixing",
    "Scale",
    "WhatIf",
    "answer_lines",
    "blended",
    "checked_by_halves",
    "choice_frames",
    "closer",
    "collateral_in_words",
    "collateral_rows",
    "control_frames",
    "fits",
    "half_frames",
    "mixing_of",
    "pair_frames",
    "same_question",
    "scale_of",
    "sides_of",
    "trace_frames",
    "trace_live",
    "truth_frames",
    "unlearn_frames",
    "unlearn_reading",
    "unlearn_texts",
    "validate_frames",
    "what_would_settle",
]
