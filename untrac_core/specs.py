"""What a run is: the YAML of a run or of a training, as strict models with a canonical hash.

The page, the command line and a notebook build the same objects. An unknown key is an error that names the nearest
known one; every message is one line (:class:`untrac_core.errors.InputError`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from untrac_core.errors import InputError

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
SPEC_BYTES = 1_000_000


class Strict(BaseModel):
    """Base of all specs: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Strict):
    """Where records come from: a local file, or a file of the bundled demo."""

    file: str | None = None
    bundled: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.bundled is None):
            raise ValueError("name exactly one of 'file' and 'bundled'")
        return self


class Columns(Strict):
    """Which column holds what. ``None``: the file has no such column; a txt file has the one column ``text``."""

    completion: str = "completion"
    prompt: str | None = None
    group: str | None = None
    label: str | None = None
    id: str | None = None


class PromptSet(Strict):
    """A named set of test items; with ``harmful`` and ``harmless`` labels it has two sides, else one (harmful)."""

    name: Name
    source: Source
    columns: Columns = Columns()
    harmful: str | None = None
    harmless: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many items a side: a fixed random sample, the same for every seed."""

    @model_validator(mode="after")
    def _sides_need_labels(self) -> Self:
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


class Subset(Strict):
    """A named set of training texts; what is ranked."""

    name: Name
    source: Source
    text: str = "text"
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many blocks of text: a fixed random sample, the same for every seed."""


class ModelRef(Strict):
    """A causal language model: ``demo``, a local folder, or a hub id (with its revision)."""

    path: Annotated[str, Field(min_length=1, max_length=500)]
    revision: str | None = None


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
    subsets: Annotated[list[Subset], Field(min_length=2, max_length=500)]
    method: MethodSpec = MethodSpec()
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=50)] = [0, 1, 2]
    block: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Tokens a block of training text; unset: the model's context, at most 1,024 (as in the paper)."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
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
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        _unique([subset.name for subset in self.subsets], "subsets")
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} must be an even multiple of heads {self.heads}")
        return self


Spec = TraceSpec | TrainSpec
KINDS: dict[str, type[TraceSpec] | type[TrainSpec]] = {"trace": TraceSpec, "train": TrainSpec}
S = TypeVar("S", bound=BaseModel)


def spec_hash(spec: BaseModel) -> str:
    """64 hexadecimal digits: SHA-256 of the spec's canonical JSON (sorted keys, defaults written out)."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def to_yaml(spec: Spec) -> str:
    """The spec as YAML without the settings that stand at their default; parses back to an equal spec."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    values = {"kind": spec.kind, **{key: value for key, value in values.items() if key != "kind"}}
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))


def load_spec(path: str | Path) -> Spec:
    """Read a YAML (or JSON) file; paths in it are relative to it and come back absolute."""
    path = Path(path)
    where = str(path)
    try:
        if path.stat().st_size > SPEC_BYTES:
            raise InputError("the spec is over 1 MB", where=where, mend="name data by file, not in the spec")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", where=where, mend="save it as UTF-8") from None
    except OSError as error:
        raise InputError(
            f"cannot read the spec ({error.strerror or error})", where=where, mend="check the path"
        ) from None
    return parse_spec(text, where=where, folder=path.resolve().parent)


def parse_spec(text: str, *, where: str = "spec", folder: Path | None = None) -> Spec:
    """Read a spec from YAML text; ``folder`` is what its relative paths start from."""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number out of bounds
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise InputError(f"not valid YAML{line}", where=where, mend="check indentation, quotes and colons") from None
    if not isinstance(values, dict):
        raise InputError("a spec is a mapping of keys to values", where=where, mend="begin with 'kind: trace'")
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        known = " or ".join(KINDS)
        raise InputError(f"kind {kind!r} is not known", where=where, mend=f"write 'kind: {known}'")
    spec = build(KINDS[kind], values, where=where)
    return absolute(spec, folder or Path.cwd())


def build(kind: type[S], values: dict[str, Any], *, where: str) -> S:
    """Validate ``values``; every fault becomes one :class:`InputError` line that names the key and the remedy."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, kind), where=where) from None


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first fault of a validation in words; for an unknown key, the nearest known one."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys_at(kind, fault["loc"][:-1])
        key = str(fault["loc"][-1])
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {place!r}: {hint}"
    if fault["type"] == "missing":
        return f"{place!r} is missing: add it"
    if fault["type"] == "too_short":
        return f"{place!r} needs at least {fault['ctx']['min_length']}"
    message = fault["msg"].removeprefix("Value error, ")
    given = "" if isinstance(fault.get("input"), (dict, list)) else f" (given: {str(fault.get('input'))[:60]!r})"
    message = message[0].lower() + message[1:]
    return f"{place!r}: {message}{given}" if place else message


def _keys_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place in the spec, for the hint to a misspelt one."""
    schema: dict[str, Any] = kind.model_json_schema()
    node = schema
    for part in location:
        node = node["items"] if isinstance(part, int) else node.get("properties", {}).get(part, {})
        for option in [node, *node.get("anyOf", [])]:
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return sorted(node.get("properties", {}))


def _expanded(path: str) -> Path:
    """The path with ``~`` replaced, where there is such a home."""
    return Path(os.path.expanduser(path))


def absolute(spec: Spec, folder: Path) -> Spec:
    """The same spec with every file, and a model folder that exists, made absolute from ``folder``."""

    def place(source: Source) -> Source:
        if source.file is None:
            return source
        return source.model_copy(update={"file": str(folder / _expanded(source.file))})

    subsets = [subset.model_copy(update={"source": place(subset.source)}) for subset in spec.subsets]
    if isinstance(spec, TrainSpec):
        return spec.model_copy(update={"subsets": subsets})
    prompts = [prompt.model_copy(update={"source": place(prompt.source)}) for prompt in spec.prompts]
    model = spec.model
    local = folder / _expanded(model.path)
    if model.path != "demo" and (os.path.exists(local) or model.path.startswith((".", "/", "~"))):
        model = model.model_copy(update={"path": str(local)})
    return spec.model_copy(update={"subsets": subsets, "prompts": prompts, "model": model})
