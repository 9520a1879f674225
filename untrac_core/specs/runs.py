"""What a run is, as strict models with a canonical hash; :mod:`untrac_core.specs.files` reads and writes them.

The page, the command line and a notebook build the same objects.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from untrac_core.specs.build import method_spec
from untrac_core.specs.catalogue import AnyAttributionMethod, BaselineName
from untrac_core.specs.data import Collection, Name, PromptSet, Source, Strict, Subset
from untrac_core.specs.parts import Device, ModelRef, NamedText, Recipe, Sampling, Scorer, Training, refuse_repeats
from untrac_core.specs.unlearn import Generation, UnlearnSpec

TEXTS_BYTES = 500_000
"""Of prompts that stand in a request itself, in UTF-8: with its escapes, YAML makes up to four times as much of it."""
SEEDS = (0, 1, 2, 3, 4)
"""Of an estimate: with three of them, Student's t makes the interval over half as wide again as with five."""
SEEDS_MOST = 50
"""Of an estimate."""
DEFAULT_BASELINES: tuple[BaselineName, ...] = ("grad-dot", "grad-cos", "bm25", "hidden-state-similarity", "random")


class TraceSpec(Strict):
    """A request: which of these subsets make this model write these prompt sets' texts?"""

    kind: Literal["trace"] = "trace"
    name: Name = "untitled"
    model: ModelRef
    prompts: Annotated[list[PromptSet], Field(min_length=1, max_length=50)]
    subsets: Annotated[list[Subset], Field(max_length=500)] = []
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    """Sources of several subsets each; a run adds the subsets that it finds in them to ``subsets``."""
    weighting: Literal["none", "equal", "proportional"] = "none"
    """How much of each subset is used: ``none``, up to its limit; ``equal``, cut to the tokens of the smallest;
    ``proportional``, in proportion to all the text that it has."""
    method: AnyAttributionMethod = method_spec()
    """How influence is estimated."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=SEEDS_MOST)] = (
        list(SEEDS)
    )
    """One estimate per seed; the interval comes from their spread."""
    block_size: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Block size (tokens) of training text; unset: the model's context, at most 1,024 (as in the paper)."""
    baselines: Annotated[list[BaselineName], Field(max_length=20)] = list(DEFAULT_BASELINES)
    """What is ranked beside the method, to show what cheaper methods say of the same data."""
    controls: Annotated[list[Literal["doubled"]], Field(max_length=1)] = []
    """Negative controls of UnTrac-Inv with preset ``robust``: ``doubled``, the first subset dealt into two halves."""
    device: Device = "auto"

    @property
    def beside(self) -> list[BaselineName]:
        """The baselines that are not the method itself."""
        return [name for name in self.baselines if name != self.method.name]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if len(self.subsets) < 2 and not self.collections:
            raise ValueError("'subsets' needs at least 2")
        if self.controls and (self.method.name != "untrac-inv" or self.method.takes_steps):
            raise ValueError("'controls' are of UnTrac-Inv with preset 'robust' alone: name it as the method")
        refuse_repeats([prompts.name for prompts in self.prompts], "prompt sets")
        refuse_repeats([subset.name for subset in self.subsets], "subsets")
        refuse_repeats([str(seed) for seed in self.seeds], "seeds")
        return self


class VerifySpec(Strict):
    """A request: what does a prompt set lose when single training texts are unlearned, each of them alone?"""

    kind: Literal["verify"] = "verify"
    name: Name = "untitled"
    trace: TraceSpec
    """Where the texts come from; its method, if it unlearns, says how they are unlearned."""
    of: Annotated[str, Field(pattern=r"^([0-9a-f]{12})?$")] = ""
    """The trace's run, where it is one of the same data home."""
    prompt_set: Name
    """The prompt set of the trace whose loss is measured."""
    texts: Annotated[list[NamedText], Field(min_length=1, max_length=50)]
    """The training texts to unlearn, each alone."""
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


class TrainSpec(Recipe):
    """A recipe with its data: named subsets."""

    kind: Literal["train"] = "train"
    name: Name = "untitled"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """The seed of the weights and of the order of the text."""
    subsets: Annotated[list[Subset], Field(min_length=1, max_length=500)]
    device: Device = "auto"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        refuse_repeats([subset.name for subset in self.subsets], "subsets")
        return self


METHODS_COMPARED = (
    method_spec("untrac-inv"),
    method_spec("untrac"),
    method_spec("untrac-inv", preset="paper"),
    method_spec("shampoo-dot"),
    method_spec("ek-fac"),
    method_spec("grad-dot"),
    method_spec("grad-cos"),
    method_spec("bm25"),
    method_spec("hidden-state-similarity"),
    method_spec("random"),
)
"""Unless a request says otherwise; the paper's UnTrac, LiSSA, Arnoldi, continuation and the others cost more.

Where EK-FAC's library is not installed or does not fit the model, the result says so and has all others.
"""


class ValidateSpec(Strict):
    """A request: retrain without each subset, and see which method predicts the result."""

    kind: Literal["validate"] = "validate"
    name: Name = "untitled"
    model: ModelRef | None = None
    """The model that training starts from, with ``training.init`` ``base`` or ``continued``."""
    training: Training = Training()
    """The recipe of all trainings."""
    prompts: Annotated[list[PromptSet], Field(min_length=1, max_length=50)]
    subsets: Annotated[list[Subset], Field(max_length=100)] = []
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    samples_per_subset: Annotated[int, Field(ge=1)] = 192
    """Blocks of a subset, on average, that the methods look at: a fixed random sample, larger of larger subsets."""
    methods: Annotated[list[AnyAttributionMethod], Field(min_length=1, max_length=30)] = list(METHODS_COMPARED)
    """The methods whose estimates are compared with retraining."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=20)] = [0, 1]
    """Seeds of the trainings: each is one full training and one without each subset."""
    estimate_seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=50)] = (
        list(SEEDS)
    )
    """Seeds of the estimates."""
    halves: Annotated[int, Field(ge=0, le=1000)] = 0
    """Trainings by the first seed on random halves of the subsets, for the linear datamodeling score.

    0, or at least 4.
    """
    generation: Generation | None = None
    """What the models of the first seed write, and what scores it: does the ranking tell how often it is harmful?"""
    document_halves: Annotated[int, Field(ge=0, le=1000)] = 0
    """Trainings by the first seed on a random half of every subset's documents, for the score of single texts.

    0, or at least 4. Methods then score every document on its own, which takes longer.
    """
    pairs: Annotated[int, Field(ge=0, le=1000)] = 0
    """Pairs of subsets, drawn at random, that are left out at once, by every seed: do their influences add up?"""
    named_pairs: Annotated[list[Annotated[list[Name], Field(min_length=2, max_length=2)]], Field(max_length=1000)] = []
    """Pairs of subsets by name, before those that are drawn."""
    controls: Annotated[list[Literal["doubled", "mixed"]], Field(max_length=2)] = []
    """Negative controls, by retraining and by every method: ``doubled``, the first subset dealt into two halves;
    ``mixed``, documents drawn from all subsets."""
    device: Device = "auto"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("halves", "document_halves"):
            if 0 < getattr(self, name) < 4:
                raise ValueError(f"{name!r} is 0 or at least 4: the order of fewer says nothing")
        if len(self.subsets) < 3 and not self.collections:
            raise ValueError("'subsets' needs at least 3: two always agree or disagree entirely")
        if (self.training.init == "scratch") != (self.model is None):
            raise ValueError("'model' is needed with training.init 'base' or 'continued', and only then")
        if self.model is not None and self.model.adapter is not None:
            raise ValueError("the model that is trained takes no 'adapter': merge it into the weights")
        refuse_repeats([prompts.name for prompts in self.prompts], "prompt sets")
        refuse_repeats([subset.name for subset in self.subsets], "subsets")
        refuse_repeats(list(self.controls), "controls")
        refuse_repeats([" and ".join(sorted(set(pair))) for pair in self.named_pairs], "pairs")
        if any(first == second for first, second in self.named_pairs):
            raise ValueError("'named_pairs': a pair names one subset twice")
        refuse_repeats([method.title for method in self.methods], "methods")
        refuse_repeats([str(seed) for seed in self.seeds], "seeds")
        refuse_repeats([str(seed) for seed in self.estimate_seeds], "estimate seeds")
        return self


class GenerateSpec(Strict):
    """Let the model complete prompts, and score what it wrote: the first half of tracing toxic generations."""

    kind: Literal["generate"] = "generate"
    name: Name = "untitled"
    model: ModelRef
    texts: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(max_length=2_000)] = []
    """Prompts as they are; or ``source``, whose ``column`` holds them."""
    source: Source | None = None
    """Where the prompts are read from."""
    column: str = "prompt"
    """The column of ``source`` that holds the prompts."""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 200
    """At most this many different prompts of the source: a fixed random sample."""
    sampling: Sampling = Sampling()
    """How completions are drawn."""
    scorer: Scorer | None = None
    """What labels a completion harmful; unset: nothing is scored."""
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
    """Models to bring here."""
    prompts: Annotated[list[PromptSet], Field(max_length=50)] = []
    subsets: Annotated[list[Subset], Field(max_length=500)] = []
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    device: Device = "cpu"

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if not (self.models or self.prompts or self.subsets or self.collections):
            raise ValueError("name a model, a prompt set, a subset or a collection")
        return self


RunSpec = TraceSpec | VerifySpec | ValidateSpec | UnlearnSpec | GenerateSpec | FetchSpec
"""What the queue runs; a recipe is trained by the command ``train``."""
Spec = RunSpec | TrainSpec
RUN_KINDS: dict[str, type[RunSpec]] = {
    "trace": TraceSpec,
    "verify": VerifySpec,
    "validate": ValidateSpec,
    "unlearn": UnlearnSpec,
    "generate": GenerateSpec,
    "fetch": FetchSpec,
}
KINDS: dict[str, type[Spec]] = {**RUN_KINDS, "train": TrainSpec}


def spec_hash(spec: BaseModel) -> str:
    """64 hexadecimal digits: SHA-256 of the spec's canonical JSON (sorted keys, defaults written out)."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
