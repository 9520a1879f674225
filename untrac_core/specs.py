"""What a run is, as strict models with a canonical hash; :mod:`untrac_core.spec_files` reads and writes them.

The page, the command line and a notebook build the same objects.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TEXTS_BYTES = 500_000
"""Of prompts that stand in a request itself, in UTF-8: with its escapes, YAML makes up to four times as much of it."""
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Strict(BaseModel):
    """Base of all specs: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Strict):
    """Where records come from: exactly one of ``file``, ``folder``, ``hub``, ``bundled`` and ``kept``."""

    file: str | None = None
    """A csv, tsv, jsonl, json, txt (each also with .gz), parquet or arrow file."""
    folder: str | None = None
    """All data files of a folder, in the order of their names, as one."""
    hub: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The id of a data set on the hub, with ``config``, ``split`` and ``revision``."""
    bundled: str | None = None
    """A file of the bundled demo."""
    kept: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The content hash (SHA-256) of records that the library keeps."""
    config: Annotated[str, Field(max_length=200)] | None = None
    split: Annotated[str, Field(max_length=200)] | None = None
    revision: Annotated[str, Field(max_length=200)] | None = None
    scan: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Read at most this many megabytes (10^6 bytes of text), and sample from those."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.file, self.folder, self.hub, self.bundled, self.kept)) != 1:
            raise ValueError("name exactly one of 'file', 'folder', 'hub', 'bundled' and 'kept'")
        stray = [key for key in ("config", "split", "revision") if getattr(self, key) is not None]
        if self.hub is None and stray:
            raise ValueError(f"{stray[0]!r} belongs to a data set on the hub, so 'hub' must be named too")
        return self


class Columns(Strict):
    """Which column holds what. ``None``: the file has no such column; a txt file has the one column ``text``.

    A value inside a JSON object has a dotted name: ``meta.source``.
    """

    completion: str = "completion"
    prompt: str | None = None
    group: str | None = None
    label: str | None = None
    id: str | None = None


class PromptSet(Strict):
    """A named set of test items; with ``harmful`` and ``harmless`` labels it has two sides, else one (harmful).

    With ``probe``, a named probe (:mod:`untrac_core.data.probes`) says how rows become items, and ``source``, where it
    is given, is a local copy of that probe's data; columns and labels are then the probe's own.
    """

    name: Name
    source: Source | None = None
    probe: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")] | None = None
    columns: Columns = Columns()
    harmful: str | None = None
    harmless: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many items a side: a fixed random sample, the same for every seed."""

    @model_validator(mode="after")
    def _sides_need_labels(self) -> Self:
        if self.source is None and self.probe is None:
            raise ValueError("name a 'source' or a 'probe'")
        if self.harmless is not None and self.harmful is None:
            raise ValueError("'harmless' is named without 'harmful'")
        if self.harmful is not None and self.columns.label is None:
            raise ValueError("'harmful' is named, so columns.label must say which column holds the labels")
        if self.harmful is not None and self.harmful == self.harmless:
            raise ValueError("'harmful' and 'harmless' are the same label")
        return self

    @property
    def sides(self) -> dict[str, str | None]:
        """Side name to label, in order; an unlabelled set is one side, ``harmful``."""
        if self.harmful is None:
            return {"harmful": None}
        if self.harmless is None:
            return {"harmful": self.harmful}
        return {"harmful": self.harmful, "harmless": self.harmless}


class Only(Strict):
    """The rows of a source whose ``column`` has this ``value``."""

    column: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[str, Field(max_length=1_000)]


class Subset(Strict):
    """A named set of training texts; what is ranked."""

    name: Name
    source: Source
    text: str = "text"
    prompt: str | None = None
    """A column that is given and not scored: records are then examples of their own, not running text."""
    only: Only | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many blocks of text: a fixed random sample, the same for every seed."""


class Collection(Strict):
    """A source that holds several training subsets: one a file, a value of a column, a config, or a split."""

    source: Source
    by: Literal["file", "column", "config", "split"]
    column: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """With ``by: column``: whose values name the subsets."""
    text: str | None = None
    """The column with the text; unset: guessed for each subset."""
    prompt: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """Blocks of each subset."""
    most: Annotated[int, Field(ge=1, le=500)] = 50
    """At most this many subsets, the largest first."""

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if (self.by == "column") != (self.column is not None):
            raise ValueError("'column' is named with 'by: column', and only then")
        if self.by == "file" and self.source.folder is None:
            raise ValueError("'by: file' needs a folder as its source")
        if self.by in ("config", "split") and self.source.hub is None:
            raise ValueError(f"'by: {self.by}' needs a data set on the hub as its source")
        return self


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


class MethodSpec(Strict):
    """An attribution method: a preset, then any of its settings by name (:mod:`untrac_core.settings`)."""

    name: Literal["untrac", "untrac-inv"] = "untrac-inv"
    preset: Literal["robust", "paper"] = "robust"
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

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("name one of 'steps' and 'epochs', not both")
        return self


def _unique(names: list[str], what: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two {what} are named {repeated[0]!r}; give each its own name")


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
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=50)] = [0, 1, 2]
    block: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Tokens a block of training text; unset: the model's context, at most 1,024 (as in the paper)."""
    device: Device = "auto"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if len(self.subsets) < 2 and not self.collections:
            raise ValueError("'subsets' needs at least 2")
        _unique([prompts.name for prompts in self.prompts], "prompt sets")
        _unique([subset.name for subset in self.subsets], "subsets")
        _unique([str(seed) for seed in self.seeds], "seeds")
        return self


class TrainSpec(Strict):
    """A recipe for a small causal language model and its byte-level BPE tokenizer, from named subsets."""

    kind: Literal["train"] = "train"
    name: Name = "untitled"
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
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    subsets: Annotated[list[Subset], Field(min_length=1, max_length=500)]
    device: Device = "auto"

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        _unique([subset.name for subset in self.subsets], "subsets")
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} must be an even multiple of heads {self.heads}")
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


RunSpec = TraceSpec | GenerateSpec | FetchSpec
"""What the queue runs; a recipe is trained by the command ``train``."""
Spec = RunSpec | TrainSpec
RUN_KINDS: dict[str, type[RunSpec]] = {"trace": TraceSpec, "generate": GenerateSpec, "fetch": FetchSpec}
KINDS: dict[str, type[Spec]] = {**RUN_KINDS, "train": TrainSpec}


def spec_hash(spec: BaseModel) -> str:
    """64 hexadecimal digits: SHA-256 of the spec's canonical JSON (sorted keys, defaults written out)."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
