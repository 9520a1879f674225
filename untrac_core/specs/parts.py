"""What the specs of several kinds of run are made of: models, methods, recipes, how completions are drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from untrac_core.specs.data import Name, Source, Strict

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Trainable = Literal["all", "matrices", "last_layers", "lora"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class ModelRef(Strict):
    """A causal or seq2seq language model: ``demo``, a local folder, or a hub id, with or without a LoRA adapter."""

    path: Annotated[str, Field(min_length=1, max_length=500)]
    """``demo``, a local folder, or the id of a model on the hub."""
    revision: Annotated[str, Field(max_length=200)] | None = None
    """A commit, tag or branch on the hub; unset: the newest, and the result names its commit."""
    adapter: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """A LoRA adapter for it: a local folder or a hub id."""
    adapter_revision: Annotated[str, Field(max_length=200)] | None = None
    """The adapter's commit, tag or branch on the hub."""
    dtype: Dtype = "auto"
    """The number format of the computation; ``auto`` is float32 where it fits the device's memory, else bfloat16.
    Weights that move are always held in float32."""

    @model_validator(mode="after")
    def _adapter_has_its_revision(self) -> Self:
        if self.adapter_revision is not None and self.adapter is None:
            raise ValueError("'adapter_revision' is named without 'adapter'")
        return self


Optimizer = Literal["kronecker", "adam", "sgd"]
Positive = Annotated[float, Field(gt=0, le=1e6, strict=False)]


def refuse_repeats(names: list[str], what: str) -> None:
    """Raise :class:`ValueError` where two of some names are the same."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two {what} are named {repeated[0]!r}; give each its own name")


class Recipe(Strict):
    """How a small causal language model and its byte-level BPE tokenizer are trained, whatever the data."""

    architecture: Literal["opt", "gpt2", "llama", "gpt-neox", "qwen3"] = "opt"
    """The model's architecture."""
    hidden_size: Annotated[int, Field(ge=8, le=8192)] = 128
    """Width of the hidden states."""
    num_layers: Annotated[int, Field(ge=1, le=128)] = 2
    """Number of transformer blocks."""
    num_heads: Annotated[int, Field(ge=1, le=128)] = 4
    """Attention heads of a block."""
    vocab_size: Annotated[int, Field(ge=260, le=200_000)] = 1024
    """Tokens of the tokenizer."""
    block_size: Annotated[int, Field(ge=8, le=8192)] = 64
    """Block size (tokens) of training text."""
    steps: Annotated[int, Field(ge=1)] = 500
    """Optimiser steps."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Blocks per step."""
    learning_rate: Annotated[float, Field(gt=0, le=1, strict=False)] = 0.002
    """The highest rate: AdamW rises to it, then falls in a straight line to zero."""
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    """Steps until the learning rate is reached."""
    equal_tokens: bool = True
    """Cut every subset to the tokens of the smallest one, so that size does not pass for influence."""

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise ValueError(f"hidden_size {self.hidden_size} must be an even multiple of num_heads {self.num_heads}")
        return self


class Training(Recipe):
    """How the ground truth trains, and from where.

    ``scratch``: a fresh model of the recipe's shape. ``base``: fine-tuning of the spec's model. ``continued``: the
    spec's model is finished and its training cannot be repeated, so it is trained a little further with and without
    each subset (FiMODA; Wei et al., NeurIPS 2025), at about a tenth of the rate that it was trained with.
    """

    init: Literal["scratch", "base", "continued"] = "scratch"
    """Where a training starts."""
    block_size: Annotated[int, Field(ge=8, le=8192)] = 64
    """Block size (tokens) of training text; with ``base`` and ``continued`` at most the model's context."""


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
    "continued": (
        "A finished model, whose training cannot be repeated",
        "It is trained a little further, with and without each subset.",
        "further training",
    ),
}
"""Where the trainings of a validation start: title, what is done, in two words."""


class NamedText(Strict):
    """A training text, by its subset and its id there, as ``examples.parquet`` has it."""

    subset: Name
    """The text's subset."""
    id: Annotated[str, Field(min_length=1, max_length=10_000)]
    """The text's id in that subset."""


class Sampling(Strict):
    """How completions are drawn."""

    samples: Annotated[int, Field(ge=1, le=100)] = 1
    """Completions of each prompt."""
    tokens: Annotated[int, Field(ge=1, le=1024)] = 40
    """Most tokens of a completion."""
    temperature: Annotated[float, Field(ge=0, le=10, strict=False)] = 1.0
    """0: the likeliest token always."""
    top_p: Annotated[float, Field(gt=0, le=1, strict=False)] = 0.95
    """Draw from the likeliest tokens that together have this probability."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """The seed of the random numbers."""


CLASSIFIERS: dict[str, str] = {
    "detoxify": "unitary/toxic-bert",
    "detoxify-unbiased": "unitary/unbiased-toxic-roberta",
}
"""Classifiers of toxicity that are called by a name, and where on the hub they are: those of Detoxify, in English."""


class Scorer(Strict):
    """What calls a completion harmful: a list of words, or a sequence classifier that the user names."""

    lexicon: Source | None = None
    """A word or phrase per line; the score is the share of words that stand in it."""
    classifier: ModelRef | None = None
    """A sequence classifier, or the name of a known one; its score is the probability of ``label``."""
    label: Annotated[str, Field(max_length=200)] | None = None
    """The classifier's label whose probability is the score; unset: the one whose name suggests harm."""
    threshold: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    """Scores from here on are harmful; unset: 0.5 for a classifier, any listed word for a lexicon."""

    @field_validator("classifier", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in CLASSIFIERS:
            raise ValueError(f"{value[:60]!r} is no known classifier: write one of {list(CLASSIFIERS)}, or its 'path'")
        return {"path": CLASSIFIERS[value]}

    @model_validator(mode="after")
    def _one_scorer(self) -> Self:
        if (self.lexicon is None) == (self.classifier is None):
            raise ValueError("name exactly one of 'lexicon' and 'classifier'")
        if self.classifier is not None and self.classifier.adapter is not None:
            raise ValueError("a classifier takes no 'adapter': merge it into the classifier's weights")
        if self.classifier is not None and self.classifier.dtype != "auto":
            raise ValueError("a classifier takes no 'dtype', it always computes in float32: leave it out")
        return self


CONTRAST = "contrast"


def is_local(path: str) -> bool:
    """Whether a reference names a place on this machine, be it there or not; else it must be a hub id."""
    return Path(path).is_absolute() or path.startswith((".", "~")) or os.path.exists(path)
