"""What a run is, as strict models with a canonical hash; :mod:`untrac_core.spec_files` reads and writes them.

The page, the command line and a notebook build the same objects.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from untrac_core.data_specs import Collection, Columns, Name, Only, PromptSet, Source, Strict, Subset

__all__ = [
    "BESIDE", "KINDS", "METHODS_COMPARED", "RUN_KINDS", "SEEDS", "TEXTS_BYTES", "UNLEARNING", "Baseline",
    "Collection", "Columns", "Device", "ExamineSpec", "FetchSpec", "GenerateSpec", "MethodSpec", "ModelRef", "Moves",
    "Name", "NamedText", "Only", "Optimizer", "Positive", "Precision", "PromptSet", "Recipe", "RunSpec", "Sampling",
    "Scorer", "Source", "Spec", "Strict", "Subset", "TraceSpec", "TrainSpec", "Training", "ValidateSpec", "spec_hash",
]  # fmt: skip

TEXTS_BYTES = 500_000
"""Of prompts that stand in a request itself, in UTF-8: with its escapes, YAML makes up to four times as much of it."""


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


def _unique(names: list[str], what: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two {what} are named {repeated[0]!r}; give each its own name")


SEEDS = (0, 1, 2, 3, 4)
"""Of an estimate: with three of them, Student's t makes the interval over half as wide again as with five."""
BESIDE: tuple[Baseline, ...] = ("grad-dot", "grad-cos", "bm25", "hidden-similarity", "random")


class TraceSpec(Strict):
    """A request: which of these subsets make this model write these prompt sets' texts?"""

    kind: Literal["trace"] = "trace"
    name: Name = "untitled"
    model: ModelRef
    prompts: Annotated[list[PromptSet], Field(min_length=1, max_length=50)]
    subsets: Annotated[list[Subset], Field(max_length=500)] = []
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    """Sources of several subsets each; :func:`untrac_core.data.expansion.expand` puts their subsets in their place."""
    sizes: Literal["as-given", "equal", "proportional"] = "as-given"
    """How subsets compare: as their limits leave them; cut to the tokens of the smallest; or in proportion to all the
    text that each of them has."""
    method: MethodSpec = MethodSpec()
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=50)] = list(SEEDS)
    block: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Tokens a block of training text; unset: the model's context, at most 1,024 (as in the paper)."""
    baselines: Annotated[list[Baseline], Field(max_length=20)] = list(BESIDE)
    """What is ranked beside the method, so that it is seen what a cheaper look at the data would have said."""
    device: Device = "auto"

    @property
    def beside(self) -> list[Baseline]:
        """The baselines that are not the method itself."""
        return [name for name in self.baselines if name != self.method.name]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if len(self.subsets) < 2 and not self.collections:
            raise ValueError("'subsets' needs at least 2")
        _unique([prompts.name for prompts in self.prompts], "prompt sets")
        _unique([subset.name for subset in self.subsets], "subsets")
        _unique([str(seed) for seed in self.seeds], "seeds")
        return self


class NamedText(Strict):
    """A training text, by its subset and its id there, as ``examples.parquet`` has it."""

    subset: Name
    id: Annotated[str, Field(min_length=1, max_length=10_000)]


class ExamineSpec(Strict):
    """A request: what does a prompt set lose when single training texts are unlearned, each of them alone?"""

    kind: Literal["examine"] = "examine"
    name: Name = "untitled"
    trace: TraceSpec
    """Where the texts come from; its method, if it unlearns, says how they are unlearned."""
    of: Annotated[str, Field(pattern=r"^([0-9a-f]{12})?$")] = ""
    """The trace's run, where it is one of the same data home."""
    prompt_set: Name
    texts: Annotated[list[NamedText], Field(min_length=1, max_length=50)]
    controls: Annotated[int, Field(ge=0, le=50)] = 10
    """Other texts of the same subsets, drawn at random, unlearned in the same way."""
    device: Device = "auto"

    @model_validator(mode="after")
    def _fits_the_trace(self) -> Self:
        if self.prompt_set not in {prompts.name for prompts in self.trace.prompts}:
            raise ValueError(f"'prompt_set': the trace has no prompt set {self.prompt_set!r}")
        known, subsets = {subset.name for subset in self.trace.subsets}, {text.subset for text in self.texts}
        if not self.trace.collections and subsets - known:
            raise ValueError(f"'texts': the trace has no subset {sorted(subsets - known)[0]!r}")
        if len({(text.subset, text.id) for text in self.texts}) < len(self.texts):
            raise ValueError("'texts' names a text twice")
        return self


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


class TrainSpec(Recipe):
    """A recipe with its data: named subsets."""

    kind: Literal["train"] = "train"
    name: Name = "untitled"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    subsets: Annotated[list[Subset], Field(min_length=1, max_length=500)]
    device: Device = "auto"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _unique([subset.name for subset in self.subsets], "subsets")
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


METHODS_COMPARED = (
    MethodSpec(name="untrac-inv"),
    MethodSpec(name="untrac"),
    MethodSpec(name="untrac-inv", preset="paper"),
    MethodSpec(name="grad-dot"),
    MethodSpec(name="grad-cos"),
    MethodSpec(name="bm25"),
    MethodSpec(name="hidden-similarity"),
    MethodSpec(name="random"),
)
"""Unless a request says otherwise; the paper's UnTrac, LiSSA, Arnoldi and the others cost more."""


class ValidateSpec(Strict):
    """A request: retrain without each subset, and see which method would have told so."""

    kind: Literal["validate"] = "validate"
    name: Name = "untitled"
    model: ModelRef | None = None
    """Where training starts, with ``training.init`` ``base`` or ``further``."""
    training: Training = Training()
    prompts: Annotated[list[PromptSet], Field(min_length=1, max_length=50)]
    subsets: Annotated[list[Subset], Field(max_length=100)] = []
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    blocks: Annotated[int, Field(ge=1)] = 192
    """Of a subset, on average, that the methods look at: a fixed random sample, larger of larger subsets."""
    methods: Annotated[list[MethodSpec], Field(min_length=1, max_length=30)] = list(METHODS_COMPARED)
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=20)] = [0, 1]
    """Of the trainings: each is one full training and one without each subset."""
    draws: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=50)] = list(SEEDS)
    """Seeds of the estimates."""
    device: Device = "auto"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.subsets) < 3 and not self.collections:
            raise ValueError("'subsets' needs at least 3: two always agree or disagree entirely")
        if (self.training.init == "scratch") != (self.model is None):
            raise ValueError("'model' is named with training.init 'base' or 'further', and only then")
        if self.model is not None and self.model.adapter is not None:
            raise ValueError("the model that is trained takes no 'adapter': merge it into the weights")
        _unique([prompts.name for prompts in self.prompts], "prompt sets")
        _unique([subset.name for subset in self.subsets], "subsets")
        _unique([method.title for method in self.methods], "methods")
        _unique([str(seed) for seed in self.seeds], "seeds")
        _unique([str(seed) for seed in self.draws], "draws")
        return self


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


class GenerateSpec(Strict):
    """Let the model complete prompts, and score what it wrote: the first half of tracing toxic generations."""

    kind: Literal["generate"] = "generate"
    name: Name = "untitled"
    model: ModelRef
    texts: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(max_length=2_000)] = []
    """Prompts as they are; or ``source``, whose ``column`` holds them."""
    source: Source | None = None
    column: str = "prompt"
    limit: Annotated[int, Field(ge=1, le=10_000)] = 200
    """At most this many different prompts of the source: a fixed random sample."""
    sampling: Sampling = Sampling()
    scorer: Scorer | None = None
    device: Device = "auto"

    @model_validator(mode="after")
    def _has_prompts(self) -> Self:
        if bool(self.texts) == (self.source is not None):
            raise ValueError("name exactly one of 'texts' and 'source'")
        size = sum(len(text.encode()) for text in self.texts)
        if size > TEXTS_BYTES:
            limit = f"{TEXTS_BYTES:,} is the limit: put them into a file, and name it as 'source'"
            raise ValueError(f"'texts' holds {size:,} bytes, and {limit}")
        return self


class FetchSpec(Strict):
    """Bring models and data here and put them into the library."""

    kind: Literal["fetch"] = "fetch"
    name: Name = "untitled"
    models: Annotated[list[ModelRef], Field(max_length=20)] = []
    prompts: Annotated[list[PromptSet], Field(max_length=50)] = []
    subsets: Annotated[list[Subset], Field(max_length=500)] = []
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    device: Device = "cpu"

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if not (self.models or self.prompts or self.subsets or self.collections):
            raise ValueError("name a model, a prompt set, a subset or a collection")
        return self


RunSpec = TraceSpec | ExamineSpec | ValidateSpec | GenerateSpec | FetchSpec
"""What the queue runs; a recipe is trained by the command ``train``."""
Spec = RunSpec | TrainSpec
RUN_KINDS: dict[str, type[RunSpec]] = {
    "trace": TraceSpec,
    "examine": ExamineSpec,
    "validate": ValidateSpec,
    "generate": GenerateSpec,
    "fetch": FetchSpec,
}
KINDS: dict[str, type[Spec]] = {**RUN_KINDS, "train": TrainSpec}


def spec_hash(spec: BaseModel) -> str:
    """64 hexadecimal digits: SHA-256 of the spec's canonical JSON (sorted keys, defaults written out)."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
