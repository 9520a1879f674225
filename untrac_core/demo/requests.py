"""The demo's request: what the recorded run asked, and what the trace page offers first. Free of torch."""

from __future__ import annotations

from untrac_core.demo.texts import SIDES, SUBSETS
from untrac_core.specs import (
    Columns,
    ForgetSet,
    Generation,
    MethodSpec,
    ModelRef,
    PromptSet,
    Recipe,
    Sampling,
    Scorer,
    Source,
    StopRule,
    Subset,
    TraceSpec,
    Training,
    TrainSpec,
    UnlearnSpec,
    ValidateSpec,
    method_spec,
    unlearning_method_spec,
)

BLOCKS = 40
"""Blocks of each subset in a quick run: enough for the planted order, in about half a minute on two cores."""


def demo_prompts() -> list[PromptSet]:
    """The demo's prompt sets: toxicity, bias and truthfulness, each with a harmful and a harmless side.

    Completions of one prompt are a cluster: minimal pairs, and answers to one question. Toxic texts have no prompt.
    """
    columns = Columns(completion="completion", prompt="prompt", group="group", label="label", id="id")
    of_prompts = columns.model_copy(update={"cluster": "prompt"})
    return [
        PromptSet(
            name=name,
            source=Source(bundled=f"prompts/{name}.jsonl"),
            columns=columns if name == "toxicity" else of_prompts,
            harmful=harmful,
            harmless=harmless,
        )
        for name, (harmful, harmless) in SIDES.items()
    ]


def demo_subsets(limit: int | None = BLOCKS) -> list[Subset]:
    """The demo's eight training subsets."""
    return [Subset(name=name, source=Source(bundled=f"subsets/{name}.jsonl"), limit=limit) for name in SUBSETS]


def demo_spec(method: MethodSpec | None = None, limit: int | None = BLOCKS) -> TraceSpec:
    """Trace the demo's prompt sets over its subsets, by UnTrac-Inv unless another method is named.

    The recorded runs have ``limit`` ``None``: all text, so that their intervals are as narrow as they get.
    """
    by = ", by UnTrac" if method and method.name == "untrac" else ""
    return TraceSpec(
        name=f"Demo: texts about invented peoples{by}",
        model=ModelRef(path="demo"),
        prompts=demo_prompts(),
        subsets=demo_subsets(limit),
        method=method or method_spec(),
    )


VALIDATION_TRAINING = Training(hidden_size=64, num_layers=2, num_heads=4, steps=120, batch_size=16)
"""About two thirds of a pass over the texts."""
VALIDATION_BLOCKS = 32
VALIDATION_ITEMS = 48
"""Blocks of a subset and items of a side that the methods look at."""


def demo_validation() -> ValidateSpec:
    """Retrain on the demo's texts without each subset, and ask the usual methods."""
    return ValidateSpec(
        name="Demo: can the estimate be trusted?",
        training=VALIDATION_TRAINING,
        prompts=[prompts.model_copy(update={"limit": VALIDATION_ITEMS}) for prompts in demo_prompts()],
        subsets=demo_subsets(limit=None),
        samples_per_subset=VALIDATION_BLOCKS,
    )


RECIPE = TrainSpec(
    name="demo",
    # About two passes. After six (500 steps) the model knows its texts by heart (0.5 nats per token), and which subset
    # a statement came from shows far less in how others are unlearned.
    steps=150,
    subsets=demo_subsets(limit=None),
    device="cpu",
)
"""How the demo's model is trained."""
UNLEARN_ITEMS = 36
UNLEARN_LOOK = 24
"""Items of a side, and blocks of a subset, that losses are measured on."""
UNLEARN_METHOD = unlearning_method_spec("npo", retain="kl", beta=0.045, batch_size=16)
"""The demo's model has read its texts but twice: to train it on the rest would teach it far more than it forgets, so
the retain set is held where it is. Beta and batch were looked at on this model, so the demo shows how it works, not how
well it would elsewhere."""

UNLEARN_SAMPLING = Sampling(samples=4, tokens=16, temperature=0.4)
"""Of what the models write to the beginnings of hostile statements. At temperature 1 the demo's small model writes
hardly a word that can be read; at this one the word list finds a part of it hostile, and the forum is behind that."""


def demo_training() -> Training:
    """The recipe without its data."""
    return Training(**{name: getattr(RECIPE, name) for name in Recipe.model_fields})


def demo_unlearning(subset: str = "forum") -> UnlearnSpec:
    """Take a subset's effect out of the demo's model by NPO, beside training on the rest and two retrained models."""
    return UnlearnSpec(
        name=f"Demo: without {subset}",
        model=ModelRef(path="demo"),
        forget=ForgetSet(subset=subset),
        subsets=demo_subsets(limit=None),
        prompts=[prompts.model_copy(update={"limit": UNLEARN_ITEMS}) for prompts in demo_prompts()],
        method=UNLEARN_METHOD,
        stop=StopRule(eval_every=10),
        training=demo_training(),
        eval_samples=UNLEARN_LOOK,
        generation=Generation(
            prompt_set="toxicity",
            limit=32,
            sampling=UNLEARN_SAMPLING,
            scorer=Scorer(lexicon=Source(bundled="lexicon.txt")),
        ),
        relearn_steps=30,
    )
