"""Validations small enough for tests: a model of two thousand weights, trained for a few steps on the world's texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from worlds import WORDS, sentences, write_jsonl

from untrac_core.attribution.protocol import Part
from untrac_core.check import encode_prompts
from untrac_core.data.prompts import load_prompts
from untrac_core.data.subsets import load_subsets
from untrac_core.leave_out import LeaveOut
from untrac_core.progress import Silent
from untrac_core.spec_files import build
from untrac_core.specs import Training, ValidateSpec
from untrac_core.training import own_encoder, pack

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "hidden": 16, "layers": 1, "heads": 2, "vocabulary": 300, "block": 32, "steps": 10, "batch": 8, "warmup": 2,
    "learning_rate": 0.01,
}  # fmt: skip
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
        "blocks": 16,
        "methods": [QUICK, *CHEAP],
        "seeds": [0, 1],
        "draws": [0, 1, 2],
        "device": "cpu",
    }
    return build(ValidateSpec, values | more, where="test")


def leave_out_of(spec: ValidateSpec, work: Path, progress: Any = None, start: Any = None) -> LeaveOut:
    """The ground truth of a spec, as a validation makes it."""
    data = load_subsets(spec.subsets)
    encoder = own_encoder(data, spec.training.vocabulary)
    material = pack(data, encoder, spec.training.block, equal=spec.training.equal_tokens)
    prompts = encode_prompts(encoder, {one.name: load_prompts(one) for one in spec.prompts}, spec.training.block)
    watched = [Part(items, "", name, side) for name, sides in prompts.items() for side, items in sides.items()]
    return LeaveOut(spec.training, material, start, watched, CPU, work, progress or Silent())


def training_of(**more: Any) -> Training:
    """A tiny recipe."""
    return Training.model_validate(TINY | more)


def marked(folder: Path) -> dict[str, Any]:
    """A subset whose every sentence has a word that no other text has."""
    rows = [{"text": f"{MARKER} {text}"} for text in sentences("fishers", 120, 5)]
    return {"name": "marked", "source": {"file": str(write_jsonl(folder / "marked.jsonl", rows))}}
