"""What pages and reports say about results, in the same words: questions, legends, methods, limits, times and sizes."""

from __future__ import annotations

from untrac_core.specs import MethodSpec, PromptSet, TraceSpec, UnlearningMethodSpec, UnlearnSpec
from untrac_core.specs.catalogue import ATTRIBUTION, UNLEARNING, method_title
from untrac_core.text.numbers import CONTINUED_UNIT, PARTIAL_UNIT, STEP_UNIT, UNIT

SIDES = ("contrast", "harmful", "harmless")
WHOLE = "its share of the text counted in and others filling its place"
"""What ``proportional`` sizes add to the influence of a subset (:mod:`untrac_core.stats.mixture`)."""


def plain(text: str | None) -> str | None:
    """A user's word if it is only letters, digits, blanks and hyphens, so that no markup can hide in it; else None."""
    words = " ".join((text or "").replace("_", " ").split())
    allowed = words and len(words) <= 40 and all(letter.isalnum() or letter in " -" for letter in words)
    return words if allowed and not words.startswith("-") else None


NO_WORDS = {"yes", "no", "none", "nan"}
"""Labels that say nothing of the texts that they stand for."""


def labels(prompts: PromptSet) -> tuple[str, str]:
    """The words for the two sides of a prompt set: the names that it was given, else its labels.

    'harmful' and 'harmless' where a label says nothing, as 1 and 0.
    """
    harmful = prompts.harmful_name or word_of(prompts.harmful) or "harmful"
    return harmful, prompts.harmless_name or word_of(prompts.harmless) or "harmless"


def texts_of(prompts: PromptSet, side: str, between: str = "rather than") -> str:
    """The texts of a side in words: 'toxic texts of probes', or of a contrast 'toxic rather than benign texts of ...'.

    Holds a user's words (show as text).
    """
    harmful, harmless = labels(prompts)
    if side == "contrast":
        return f"{harmful} {between} {harmless} texts of {prompts.name}"
    if prompts.harmful is None:
        return f"the texts of {prompts.name}"
    return f"{harmful if side == 'harmful' else harmless} texts of {prompts.name}"


def word_of(label: str | None) -> str:
    """A label as a word of a sentence; nothing where it says nothing."""
    found = plain(label) or ""
    return "" if found.lower() in NO_WORDS or found.replace(".", "").isdigit() else found


def question(prompts: PromptSet, side: str) -> str:
    """What the ranked bars answer, as a title."""
    harmful, harmless = labels(prompts)
    if side == "contrast":
        return f"Which subsets push the model towards {harmful} text?"
    if prompts.harmful is None:
        return f"Which subsets make the texts of {plain(prompts.name) or 'this prompt set'} more likely?"
    return f"Which subsets make {harmful if side == 'harmful' else harmless} text more likely?"


def legend(prompts: PromptSet, side: str, *, whole: bool = False) -> str:
    """What a positive and a negative number mean; ``whole``: each subset's share of all text is counted in."""
    harmful, harmless = labels(prompts)
    without = f"without this whole subset, {WHOLE}," if whole else "without this subset,"
    if side == "contrast":
        return (
            f"Positive: {without} the model would assign {harmful} text a lower probability (a higher loss), more so "
            f"than {harmless} text; the subset pushes towards {harmful}. Negative: it pushes towards {harmless}."
        )
    label = {"harmful": harmful, "harmless": harmless}[side] if prompts.harmful is not None else "this"
    return (
        f"Positive: {without} the model would assign {label} text a lower probability (a higher loss). "
        "Negative: a higher one (a lower loss)."
    )


RELATIVE = "Compare order and proportions: how much retraining would change cannot be read from this unit."


def against_the_mean(prompts: PromptSet, side: str, *, whole: bool = False) -> str:
    """What the sign of a number means that is against the mean of the mix; ``whole`` as in :func:`legend`."""
    harmful, harmless = labels(prompts)
    subset = f"this whole subset, {WHOLE}," if whole else "this subset"
    if side == "contrast":
        said = (
            f"Positive: {subset} makes {harmful} text more likely (a lower loss), more so than {harmless} text; it "
            f"pushes towards {harmful}, more than the average subset does. Negative: it pushes towards {harmless}."
        )
    else:
        label = {"harmful": harmful, "harmless": harmless}[side] if prompts.harmful is not None else "this"
        said = (
            f"Positive: {subset} makes {label} text more likely (a lower loss) than the average subset does. "
            "Negative: less likely."
        )
    return said


def scored(prompts: PromptSet, side: str, method: str) -> str:
    """What the numbers of a method mean that unlearns nothing."""
    harmful, harmless = labels(prompts)
    label = {"harmful": harmful, "harmless": harmless}.get(side, harmful) if prompts.harmful is not None else "this"
    than = f", beyond {harmless} text" if side == "contrast" else ""
    return (
        f"Positive: by {method_title(method)}, this subset speaks for {label} text{than}. Negative: it speaks against "
        "it. A score in the method's own unit, not a change of the model's loss."
    )


def meaning(spec: TraceSpec, prompts: PromptSet, side: str) -> str:
    """What the numbers of a trace mean on one side, whatever its method."""
    trained = ATTRIBUTION[spec.method.name].reads == "losses"
    if not spec.method.unlearns and not trained:
        return scored(prompts, side, spec.method.name)
    told = legend if spec.method.takes_steps else against_the_mean
    return told(prompts, side, whole=spec.weighting == "proportional")


def unit_of(method: MethodSpec) -> str:
    """The unit of a method's numbers."""
    if ATTRIBUTION[method.name].reads == "losses":
        return CONTINUED_UNIT
    if not method.unlearns:
        return f"score of {method_title(method.name)}"
    if method.takes_steps:
        return UNIT
    return STEP_UNIT if method.name == "untrac-inv" else PARTIAL_UNIT


def measured(method: MethodSpec) -> str:
    """What UnTrac or UnTrac-Inv measures, in a sentence."""
    if method.takes_steps:
        return "Influence is the rise of the loss after unlearning, in nats per token."
    if method.name == "untrac":
        return (
            "Influence is the rise of the loss after a subset was unlearned while the rest was trained on, in "
            f"{PARTIAL_UNIT}: a part of what retraining without it would show, the same part for all subsets of a run."
        )
    return (
        f"Influence is told to first order, in {STEP_UNIT}: what a step of a millionth of the natural gradient adds to "
        "the loss. It does not depend on how far a model is unlearned, nor on what else is in the run."
    )


STRATA = {"high": "most", "middle": "middling", "low": "least"}


def titles(spec: UnlearnSpec) -> dict[str, str]:
    """Every method of a request, and what people call it; a label is a user's word."""
    return {method.title: _title(method) for method in spec.methods}


def _title(method: UnlearningMethodSpec) -> str:
    return method.label or method.title.replace(method.name, UNLEARNING[method.name].title, 1)
