"""What a run of each kind is and how large, in one line, without any word of the user."""

from __future__ import annotations

from untrac_core.specs import FetchSpec, GenerateSpec, TraceSpec, UnlearnSpec, ValidateSpec, VerifySpec
from untrac_core.specs.catalogue import UNLEARNING, method_title
from untrac_core.specs.parts import INITS
from untrac_core.text.numbers import count


def _sizes(spec: TraceSpec | ValidateSpec | UnlearnSpec) -> str:
    return f"{count(len(spec.prompts), 'prompt set')} · {count(len(spec.subsets), 'subset')}"


def trace(spec: TraceSpec) -> str:
    """A trace: its method, and how much of what."""
    title = method_title(spec.method.name) + (f", {spec.method.variant} preset" if spec.method.unlearns else "")
    return f"{title} · {_sizes(spec)} · {count(len(spec.seeds), 'seed')}"


def validation(spec: ValidateSpec) -> str:
    """A validation: where its trainings start, and how many."""
    seeds = count(len(spec.seeds), "seed") + " of retraining"
    methods = count(len(spec.methods), "method")
    return f"Validation, {INITS[spec.training.init][2]} · {methods} · {_sizes(spec)} · {seeds}"


def verification(spec: VerifySpec) -> str:
    """A check of single texts."""
    return f"Verification · {count(len(spec.texts), 'text')} unlearned alone · {count(spec.controls, 'control')}"


def unlearning(spec: UnlearnSpec) -> str:
    """An unlearning: its method, and what is run beside it."""
    beside = f", {count(len(spec.methods) - 1, 'method')} beside it" if len(spec.methods) > 1 else ""
    title = UNLEARNING[spec.method.name].title
    return f"Unlearning by {title}{beside} · {_sizes(spec)} · {count(len(spec.seeds), 'seed')}"


def generation(spec: GenerateSpec) -> str:
    """What a model is to write."""
    prompts = count(len(spec.texts), "prompt") if spec.texts else f"at most {count(spec.limit, 'prompt')}"
    scored = ""
    if spec.scorer is not None:
        scored = f" · scored by a {'lexicon' if spec.scorer.lexicon else 'classifier'}"
    return f"Let the model write · {prompts} · {count(spec.sampling.samples, 'sample')} each{scored}"


def fetch(spec: FetchSpec) -> str:
    """What is brought into the library."""
    parts = ((spec.models, "model"), (spec.prompts, "prompt set"), (spec.subsets, "subset"))
    wanted = [count(len(part), noun) for part, noun in parts if part]
    wanted += [f"{count(len(spec.collections), 'source')} of several subsets"] if spec.collections else []
    return "Fetch into the library · " + " · ".join(wanted)
