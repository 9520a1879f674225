"""The demo's unlearning: take one subset out of the demo's model, beside models that never saw it."""

from __future__ import annotations

from untrac_core.demo.request import demo_prompts, demo_subsets
from untrac_core.specs import (
    ModelRef,
    Recipe,
    RemovalSpec,
    Sampling,
    Scorer,
    Source,
    StopRule,
    Target,
    Training,
    TrainSpec,
    UnlearnSpec,
    Writing,
)

RECIPE = TrainSpec(
    name="demo",
    # About two passes. After six (500 steps) the model knows its texts by heart (0.5 nats a token), and which subset
    # a statement came from shows far less in how others are unlearned.
    steps=150,
    subsets=demo_subsets(limit=None),
    device="cpu",
)
"""How the demo's model is trained."""
ITEMS = 36
LOOK = 24
"""Items of a side, and blocks of a subset, that losses are measured on."""
METHOD = RemovalSpec(name="npo", retain="kl", beta=0.045, batch=16)
"""The demo's model has read its texts but twice: to train it on the rest would teach it far more than it forgets, so
what stays is held where it is. Beta and batch were looked at on this model, so the demo shows how it works, not how
well it would elsewhere."""


def demo_training() -> Training:
    """The recipe without its data."""
    return Training(**{name: getattr(RECIPE, name) for name in Recipe.model_fields})


def demo_unlearning(subset: str = "forum") -> UnlearnSpec:
    """Take a subset's effect out of the demo's model by NPO, beside training on the rest and two retrained models."""
    return UnlearnSpec(
        name=f"Demo: without {subset}",
        model=ModelRef(path="demo"),
        target=Target(subset=subset),
        subsets=demo_subsets(limit=None),
        prompts=[prompts.model_copy(update={"limit": ITEMS}) for prompts in demo_prompts()],
        method=METHOD,
        stop=StopRule(every=10),
        training=demo_training(),
        look=LOOK,
        writing=Writing(
            prompt_set="toxicity",
            limit=16,
            sampling=Sampling(samples=2, tokens=20),
            scorer=Scorer(lexicon=Source(bundled="lexicon.txt")),
        ),
        relearn=30,
    )
