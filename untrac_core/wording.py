"""What pages and reports say about results, in the same words: questions, legends, methods, limits, times and sizes."""

from __future__ import annotations

import math

from untrac_core.colours import HARMFUL, HARMLESS, UNDECIDED
from untrac_core.specs import (
    ExamineSpec,
    FetchSpec,
    GenerateSpec,
    MethodSpec,
    PromptSet,
    RunSpec,
    TraceSpec,
    UnlearnSpec,
    ValidateSpec,
)

UNIT = "nats per token"
SIDES = ("contrast", "harmful", "harmless")

METHODS = {
    "untrac-inv": (
        "UnTrac-Inv",
        "The model unlearns each prompt set; what it then finds harder to write tells which subsets taught it.",
    ),
    "untrac": (
        "UnTrac",
        "The model unlearns each training subset; what the prompt sets then lose tells what the subset taught.",
    ),
}

BASELINES = {
    "kronecker-dot": (
        "Kronecker-scaled dot",
        "Gradients of subset and prompts, multiplied after scaling by the curvature of each weight matrix.",
        "statistics of the curvature, then a gradient of every subset",
    ),
    "ek-fac": (
        "EK-FAC",
        "Influence functions with the curvature of kronfluence.",
        "the slowest; an optional install: pip install --no-deps -r requirements-ekfac.txt",
    ),
    "fisher-dot": (
        "Fisher dot",
        "Gradients of subset and prompts, multiplied after scaling each parameter by its own Fisher information.",
        "statistics of the gradients, then a gradient of every subset",
    ),
    "grad-dot": (
        "GradDot",
        "Gradients of subset and prompts, multiplied as they are.",
        "a gradient of every subset",
    ),
    "grad-cos": (
        "GradCos",
        "The angle between the gradients of subset and prompts.",
        "a gradient of every subset",
    ),
    "sign-dot": (
        "Sign-gradient dot",
        "The signs of the prompts' gradient, multiplied with the subset's: a single step of Adam.",
        "a gradient of every subset",
    ),
    "tracin": (
        "TracIn",
        "GradDot, summed over models that were kept while the model was trained.",
        "a gradient of every subset at each of the kept models; needs a training that can be repeated",
    ),
    "lissa": (
        "LiSSA",
        "Influence functions; the inverse of the curvature by a recursion.",
        "slow: many products with the curvature for every prompt set",
    ),
    "arnoldi": (
        "Arnoldi",
        "Influence functions in the directions of the greatest curvature.",
        "slow: many products with the curvature, once",
    ),
    "bm25": (
        "BM25",
        "How many rare words a subset shares with the prompts. Looks at no model.",
        "seconds",
    ),
    "hidden-similarity": (
        "Hidden-state similarity",
        "How alike the model's inner states are on the subset and on the prompts.",
        "a pass over every subset, without gradients",
    ),
    "random": (
        "Random",
        "Numbers drawn by chance: what any method has to beat.",
        "nothing",
    ),
}
"""Title, what it does, what it costs."""

PRESETS = {
    "robust": "small curvature-scaled steps, stopped before the model collapses",
    "paper": "the settings of Isonuma and Titov (2024), exactly",
}

WHOLE = "its share of the text counted in and others filling its place"
"""What ``proportional`` sizes add to the influence of a subset (:mod:`untrac_core.shares`)."""

REMOVALS = {
    "npo": (
        "NPO",
        "Negative preference optimisation: the texts become what is not to be said, the rest is trained on.",
    ),
    "sim-npo": ("SimNPO", "NPO without a reference model, by the loss a token."),
    "grad-diff": (
        "Gradient difference",
        "Climbs the loss of the texts up to a cap, and descends that of the rest.",
    ),
    "ascent": (
        "Gradient ascent",
        "Climbs the loss of the texts and nothing else: what the tracing does, driven on. Collapses unless stopped.",
    ),
    "grin": (
        "GRIN",
        "Chooses the weights that matter for the texts and little for the rest, shakes them, and trains them alone.",
    ),
    "retain-only": (
        "Training on the rest",
        "The control for all: as many steps on what stays. It forgets a little by itself.",
    ),
    "retrain": ("Exact retraining", "A model of the same recipe that never saw the texts: the gold itself."),
    "sisa": (
        "SISA",
        "Several models, each of some of the texts; only those that saw what is to go are trained again.",
    ),
}
"""Removal methods: what people call them, and what they do."""
STOPS = {
    "gold": ("at the gold", "when the texts are as unlikely as to models that never saw them"),
    "held-out": ("at unseen text", "when the texts are as unlikely as unseen text of their source was"),
    "retain-budget": ("within a budget", "before the loss of what stays has risen by more than a share"),
    "steps": ("after all steps", "not before the last step"),
}
"""Stop rules in words."""

INITS = {
    "scratch": (
        "A recipe from scratch",
        "A small model is trained on all subsets, then again without each of them.",
        "from scratch",
    ),
    "base": (
        "Fine-tuning of a base model",
        "A model of the library is fine-tuned on all subsets, then again without each of them.",
        "fine-tuning",
    ),
    "further": (
        "A finished model, whose training cannot be repeated",
        "It is trained a little further, with and without each subset.",
        "further training",
    ),
}
"""Where the trainings of a validation start: title, what is done, in two words."""

PLAIN_BASELINES = ("bm25", "hidden-similarity")
"""They compare texts with texts, and ask nothing about what the model learned."""

NOT_PROOF = (
    "These are estimates for this model and these prompts. They do not prove that the model would change by as much if "
    "it were retrained without a subset, nor that a subset is harmful in itself: only retraining shows the first, and "
    "only reading it the second."
)

TRUTH_LIMITS = (
    "The truth is that of this recipe: a larger model, another order or a longer training may depend on other subsets. "
    "A method that agrees here is likelier to be right on a similar model; that is no proof for it."
)

FURTHER_LIMITS = (
    "The training of this model was not repeated. What was measured is how it would change if it went on learning with "
    "or without a subset: its sensitivity now, not what the subset did to it while it was trained."
)

NOT_REPRODUCED = (
    "All methods were checked on a synthetic model of 111,000 parameters whose texts are templates (tests/unlearning).",
    "There GRIN's ratio of gradients chose weights no better than a random mask, and worse than the gradient alone: "
    "rows of rare words have next to no gradient from what stays. So its two controls always run beside it.",
    "Texts unlike all others (out of distribution) took many times the steps of usual ones, as published; that they "
    "have the better trade-off did not show: to drive them all the way to the gold wrecks a small model.",
    "Ranks of methods, and published numbers of TOFU, WMDP, MUSE or PKU-SafeRLHF, cannot be checked at this size.",
    "A significance test on truth ratios or losses (forget quality) tells two retrained models apart as well.",
)
"""What the literature says that did not show, or cannot show, at the size of model that this project is tested on."""
UNLEARN_LIMITS = (
    "The numbers show the sensitivity of this model under this procedure. They prove no erasure: what a model no "
    "longer says may still be read from its weights, or come back with little training."
)

ALONE_LIMITS = (
    "Both numbers come from one model, one kind of step and the same prompts, by which the texts were also chosen, and "
    "for small steps they are the same in theory. That they agree shows that the scores can be taken at their word: "
    "not that a model that was retrained without a text would agree, nor anything about texts that were not looked at. "
    "What many texts say alike stays when one of them is unlearned."
)


def plain(text: str | None) -> str | None:
    """A user's word if it is only letters, digits, blanks and hyphens, so that no markup can hide in it; else None."""
    words = " ".join((text or "").replace("_", " ").split())
    allowed = words and len(words) <= 40 and all(letter.isalnum() or letter in " -" for letter in words)
    return words if allowed and not words.startswith("-") else None


def labels(prompts: PromptSet) -> tuple[str, str]:
    """The words for the two sides of a prompt set; 'harmful' and 'harmless' where its own cannot be shown."""
    return plain(prompts.harmful) or "harmful", plain(prompts.harmless) or "harmless"


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
            f"Positive: {without} {harmful} text would become harder for the model to write, more so than "
            f"{harmless} text; the subset pushes towards {harmful}. Negative: it pushes towards {harmless}."
        )
    label = {"harmful": harmful, "harmless": harmless}[side] if prompts.harmful is not None else "this"
    return f"Positive: {without} the model would find {label} text harder to write. Negative: it would find it easier."


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
    if not spec.method.unlearns:
        return scored(prompts, side, spec.method.name)
    return legend(prompts, side, whole=spec.sizes == "proportional")


def unit_of(method: MethodSpec) -> str:
    """The unit of a method's numbers."""
    return UNIT if method.unlearns else f"score of {method_title(method.name)}"


def colour_key(prompts: PromptSet, side: str) -> list[tuple[str, str]]:
    """What the colours of the bars stand for: (colour, words)."""
    harmful, harmless = labels(prompts)
    grey = (UNDECIDED, "zero is inside the interval")
    if side == "contrast":
        return [(HARMFUL, f"towards {harmful}"), (HARMLESS, f"towards {harmless}"), grey]
    return [(HARMFUL, f"{harmful} side") if side == "harmful" else (HARMLESS, f"{harmless} side"), grey]


def paleness(*, bracket: bool = False) -> str:
    """What a paler bar means; ``bracket``: and a bracket beside the bars."""
    pale = "paler: cannot be told from a neighbour in the ranking"
    return f"{pale} · bracket: cannot be told from each other" if bracket else pale


def duration(seconds: float | None) -> str:
    """A time span in words: '40 s', '3 min 20 s', '2 h 5 min'."""
    if seconds is None or math.isnan(seconds):
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """'1 cell', '1,200 cells'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def megabytes(size: float) -> str:
    """A size given in megabytes."""
    if math.isnan(size):
        return "unknown"
    return f"{size / 1024:.1f} GB" if size >= 1000 else f"{size:.1f} MB" if size < 10 else f"{size:.0f} MB"


def shape(spec: RunSpec) -> str:
    """What a run is and how large, in one line, without any word of the user."""
    if isinstance(spec, FetchSpec):
        parts = ((spec.models, "model"), (spec.prompts, "prompt set"), (spec.subsets, "subset"))
        wanted = [count(len(part), noun) for part, noun in parts if part]
        wanted += [f"{count(len(spec.collections), 'source')} of several subsets"] if spec.collections else []
        return "Fetch into the library · " + " · ".join(wanted)
    if isinstance(spec, GenerateSpec):
        prompts = count(len(spec.texts), "prompt") if spec.texts else f"at most {count(spec.limit, 'prompt')}"
        scored = ""
        if spec.scorer is not None:
            scored = f" · scored by a {'lexicon' if spec.scorer.lexicon else 'classifier'}"
        return f"Let the model write · {prompts} · {count(spec.sampling.samples, 'sample')} each{scored}"
    if isinstance(spec, ExamineSpec):
        return f"Deep check · {count(len(spec.texts), 'text')} unlearned alone · {count(spec.controls, 'control')}"
    sizes = f"{count(len(spec.prompts), 'prompt set')} · {count(len(spec.subsets), 'subset')}"
    if isinstance(spec, ValidateSpec):
        seeds = count(len(spec.seeds), "seed") + " of retraining"
        return f"Validation, {INITS[spec.training.init][2]} · {count(len(spec.methods), 'method')} · {sizes} · {seeds}"
    if isinstance(spec, UnlearnSpec):
        beside = f", {count(len(spec.methods) - 1, 'method')} beside it" if len(spec.methods) > 1 else ""
        seeds = count(len(spec.seeds), "seed")
        return f"Unlearning by {REMOVALS[spec.method.name][0]}{beside} · {sizes} · {seeds}"
    title = method_title(spec.method.name) + (f", {spec.method.preset} preset" if spec.method.unlearns else "")
    return f"{title} · {sizes} · {count(len(spec.seeds), 'seed')}"


def method_title(name: str, preset: str | None = None) -> str:
    """A method's name for people, with its preset where it has one; a name that is not known stays as it is."""
    title = METHODS[name][0] if name in METHODS else BASELINES[name][0] if name in BASELINES else name
    return f"{title} ({preset})" if preset and name in METHODS else title
