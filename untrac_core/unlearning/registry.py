"""The removal methods that move weights, by name; retraining and SISA train models instead."""

from __future__ import annotations

from untrac_core.unlearning.gradient_ascent import GradientAscent
from untrac_core.unlearning.gradient_difference import GradientDifference
from untrac_core.unlearning.grin import GradientRatioNoise
from untrac_core.unlearning.negative_preference import NegativePreference, SimpleNegativePreference
from untrac_core.unlearning.protocol import RemovalMethod
from untrac_core.unlearning.retain_only import RetainOnly

METHODS: dict[str, type[RemovalMethod]] = {
    method.name: method
    for method in (
        NegativePreference,
        SimpleNegativePreference,
        GradientDifference,
        GradientAscent,
        GradientRatioNoise,
        RetainOnly,
    )
}
