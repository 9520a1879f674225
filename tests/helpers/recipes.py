"""Validations small enough for tests: a model of two thousand weights, trained for a few steps on the world's texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.data.prompts import load_prompts
from untrac_core.data.subsets import load_subsets
from untrac_core.data.tokens import ExampleSet
from untrac_core.progress import Silent
from untrac_core.specs import Training, ValidateSpec
from untrac_core.specs.build import build
from untrac_core.tasks.prepare import encode_prompts
from untrac_core.training.leave_one_out import LeaveOneOut
from untrac_core.training.recipe import own_encoder, pack

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "vocab_size": 300,
    "block_size": 32,
    "steps": 10,
    "batch_size": 8,
    "warmup_steps": 2,
    "learning_rate": 0.01,
}
QUICK = {"name": "untrac-inv", "samples": 5}
CHEAP = [{"name": "grad-dot"}, {"name": "bm25"}, {"name": "random"}]
MARKER = "zzquark"


def subset_specs(world: Path, *names: str) -> list[dict[str, Any]]:
    """Training subsets of the world, by name; all of them unless some are named."""
    return [{"name": name, "source": {"file": str(world / f"{name}.jsonl")}} for name in names or WORDS]


def prompt_spec(world: Path, limit: int = 12) -> dict[str, Any]:
    """The world's prompt set: its harmful side speaks like the smiths, its harmless one like the weavers."""
    return {
        "name": "talk",
        "source": {"file": str(world / "prompts.jsonl")},
        "columns": {column: column for column in ("prompt", "completion", "group", "label", "id")},
        "harmful": "bad",
        "harmless": "good",
        "limit": limit,
    }


def validate_spec(world: Path, training: dict[str, Any] | None = None, **more: Any) -> ValidateSpec:
    """A validation over the world; ``training`` and the other arguments replace parts of it."""
    values = {
        "kind": "validate",
        "name": "test",
        "training": TINY | (training or {}),
        "prompts": [prompt_spec(world)],
        "subsets": subset_specs(world),
        "samples_per_subset": 16,
        "methods": [QUICK, *CHEAP],
        "seeds": [0, 1],
        "estimate_seeds": [0, 1, 2],
        "device": "cpu",
    }
    return build(ValidateSpec, values | more, where="test")


def leave_out_of(spec: ValidateSpec, work: Path, progress: Any = None, start: Any = None) -> LeaveOneOut:
    """The ground truth of a spec, as a validation makes it."""
    data = load_subsets(spec.subsets)
    encoder = own_encoder(data, spec.training.vocab_size)
    material = pack(data, encoder, spec.training.block_size, equal=spec.training.equal_tokens)
    prompts = encode_prompts(encoder, {one.name: load_prompts(one) for one in spec.prompts}, spec.training.block_size)
    eval_sets = [ExampleSet(items, "", name, side) for name, sides in prompts.items() for side, items in sides.items()]
    return LeaveOneOut(spec.training, material, start, eval_sets, CPU, work, progress or Silent())


def training_of(**more: Any) -> Training:
    """A tiny recipe."""
    return Training.model_validate(TINY | more)


def marked(folder: Path) -> dict[str, Any]:
    """A subset whose every sentence has a word that no other text has."""
    rows = [{"text": f"{MARKER} {text}"} for text in sentences("fishers", 120, 5)]
    return {"name": "marked", "source": {"file": str(write_jsonl(folder / "marked.jsonl", rows))}}
