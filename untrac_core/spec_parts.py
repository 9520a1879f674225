"""What the specs of several kinds of run are made of: models, methods, recipes, how completions are drawn."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from untrac_core.data_specs import Name, Source, Strict

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Moves = Literal["all", "matrices", "last", "lora"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class ModelRef(Strict):
    """A causal or seq2seq language model: ``demo``, a local folder, or a hub id, with or without a LoRA adapter."""

    path: Annotated[str, Field(min_length=1, max_length=500)]
    revision: Annotated[str, Field(max_length=200)] | None = None
    adapter: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """A LoRA adapter for it: a local folder or a hub id."""
    adapter_revision: Annotated[str, Field(max_length=200)] | None = None
    precision: Precision = "auto"
    """Of the computation; ``auto`` is float32 where it fits the device's memory, else bfloat16. Weights that move are
    always held in float32."""

    @model_validator(mode="after")
    def _adapter_has_its_revision(self) -> Self:
        if self.adapter_revision is not None and self.adapter is None:
            raise ValueError("'adapter_revision' is named without 'adapter'")
        return self


Optimizer = Literal["kronecker", "adam", "sgd"]
Positive = Annotated[float, Field(gt=0, le=1e6, strict=False)]
Baseline = Literal[
    "grad-dot", "grad-cos", "sign-dot", "fisher-dot", "kronecker-dot", "tracin", "lissa", "arnoldi", "ek-fac",
    "bm25", "hidden-similarity", "random",
]  # fmt: skip
UNLEARNING = ("untrac", "untrac-inv")
"""The methods that unlearn; they alone have presets."""


class MethodSpec(Strict):
    """An attribution method; if it unlearns, a preset; then any setting by name (:mod:`untrac_core.settings`)."""

    name: Literal["untrac", "untrac-inv"] | Baseline = "untrac-inv"
    preset: Literal["robust", "paper"] = "robust"
    """Of a method that unlearns."""
    label: Name | None = None
    """What a report calls it; unset: its name, and its preset where it has one."""
    optimizer: Optimizer | None = None
    """``kronecker`` steps along the curvature-scaled gradient (:mod:`untrac_core.curvature`)."""
    learning_rate: Positive | None = None
    """Of ``adam`` and ``sgd``."""
    dose: Positive | None = None
    """Of ``kronecker``: nats per token by which all steps together raise the loss of the set that responds most."""
    damping: Positive | None = None
    """Of ``kronecker``: share of the mean eigenvalue that is added to each factor."""
    samples: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Of ``kronecker``: micro-batches of training text for the curvature."""
    batch: Annotated[int, Field(ge=1)] | None = None
    """Examples a step; unset where a preset takes the whole set as one batch."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    epochs: Annotated[int, Field(ge=1, le=1_000)] | None = None
    share: Annotated[float, Field(gt=0, le=1, strict=False)] | None = None
    """Share of the set that a seed draws, without replacement, for its own ascent."""
    two_sided: bool | None = None
    """Also descend from the same weights, and take half the difference: even-order terms cancel."""
    max_dose: Positive | None = None
    """Stop before the set's own loss has risen by more than this, in nats per token."""
    evaluations: Annotated[int, Field(ge=1, le=50)] | None = None
    """How many points of the trajectory are kept."""
    moves: Moves | None = None
    """Which parameters may move: all, the weight matrices, the last blocks' matrices, or a LoRA adapter alone."""

    iterations: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Of ``lissa`` and ``arnoldi``."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("name one of 'steps' and 'epochs', not both")
        return self

    @property
    def unlearns(self) -> bool:
        """Whether it is UnTrac or UnTrac-Inv."""
        return self.name in UNLEARNING

    @property
    def title(self) -> str:
        """What a report calls it."""
        return self.label or (f"{self.name} ({self.preset})" if self.unlearns else self.name)


def refuse_repeats(names: list[str], what: str) -> None:
    """Raise :class:`ValueError` where two of some names are the same."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two {what} are named {repeated[0]!r}; give each its own name")


class Recipe(Strict):
    """How a small causal language model and its byte-level BPE tokenizer are trained, whatever the data."""

    architecture: Literal["opt", "gpt2", "llama"] = "opt"
    hidden: Annotated[int, Field(ge=8, le=8192)] = 128
    layers: Annotated[int, Field(ge=1, le=128)] = 2
    heads: Annotated[int, Field(ge=1, le=128)] = 4
    vocabulary: Annotated[int, Field(ge=260, le=200_000)] = 1024
    block: Annotated[int, Field(ge=8, le=8192)] = 64
    steps: Annotated[int, Field(ge=1)] = 500
    batch: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1, strict=False)] = 0.002
    warmup: Annotated[int, Field(ge=0)] = 50
    equal_tokens: bool = True
    """Cut every subset to the tokens of the smallest one, so that size does not pass for influence."""

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} must be an even multiple of heads {self.heads}")
        return self


class Training(Recipe):
    """How the ground truth trains, and from where.

    ``scratch``: a fresh model of the recipe's shape. ``base``: fine-tuning of the spec's model. ``further``: the
    spec's model is finished and its training cannot be repeated, so it is trained a little further with and without
    each subset (FiMODA; Wei et al., NeurIPS 2025), at about a tenth of the rate that it was trained with.
    """

    init: Literal["scratch", "base", "further"] = "scratch"
    block: Annotated[int, Field(ge=8, le=8192)] = 64
    """Of ``base`` and ``further``, at most the model's context."""


class NamedText(Strict):
    """A training text, by its subset and its id there, as ``examples.parquet`` has it."""

    subset: Name
    id: Annotated[str, Field(min_length=1, max_length=10_000)]


class Sampling(Strict):
    """How completions are drawn."""

    samples: Annotated[int, Field(ge=1, le=100)] = 1
    """Of each prompt."""
    tokens: Annotated[int, Field(ge=1, le=1024)] = 40
    temperature: Annotated[float, Field(ge=0, le=10, strict=False)] = 1.0
    """0: the likeliest token always."""
    top_p: Annotated[float, Field(gt=0, le=1, strict=False)] = 0.95
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Scorer(Strict):
    """What calls a completion harmful: a list of words, or a sequence classifier that the user names."""

    lexicon: Source | None = None
    """A word or phrase a line; the score is the share of words that stand in it."""
    classifier: ModelRef | None = None
    label: Annotated[str, Field(max_length=200)] | None = None
    """The classifier's label whose probability is the score; unset: the one that is named like harm."""
    threshold: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    """Scores from here on are harmful; unset: 0.5 for a classifier, any listed word for a lexicon."""

    @model_validator(mode="after")
    def _one_scorer(self) -> Self:
        if (self.lexicon is None) == (self.classifier is None):
            raise ValueError("name exactly one of 'lexicon' and 'classifier'")
        if self.classifier is not None and self.classifier.adapter is not None:
            raise ValueError("a classifier takes no 'adapter': merge it into the classifier's weights")
        if self.classifier is not None and self.classifier.precision != "auto":
            raise ValueError("a classifier takes no 'precision', it always computes in float32: leave it out")
        return self
