"""Unlearnings small enough for tests: the world's model, which the recipe here makes, and requests about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers.recipes import prompt_spec, subset_specs
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.specs import UnlearnSpec
from untrac_core.specs.build import build

RECIPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "vocab_size": 300,
    "block_size": 32,
    "steps": 80,
    "batch_size": 8,
    "warmup_steps": 10,
    "learning_rate": 0.005,
}
"""How the model of the world was trained."""
SECONDS = ("seconds", "peak_memory_mb", "run")
"""Of a summary, what differs from run to run."""


def request_values(world: Path) -> dict[str, Any]:
    """A request as a user writes it: the smiths are to go from the world's model, by a few steps of NPO."""
    return {
        "kind": "unlearn",
        "name": "test",
        "model": {"path": str(world / "model")},
        "forget": {"subset": "smiths"},
        "subsets": subset_specs(world),
        "prompts": [prompt_spec(world)],
        "method": {"name": "npo"},
        "stop": {"rule": "match_retrained", "steps": 20, "eval_every": 5},
        "training": RECIPE,
        "eval_samples": 16,
        "relearn_steps": 12,
        "device": "cpu",
    }


def unlearn_spec(world: Path, **more: Any) -> UnlearnSpec:
    """That request; the arguments replace parts of it."""
    return build(UnlearnSpec, request_values(world) | more, where="test")


def without_recipe(world: Path, **more: Any) -> UnlearnSpec:
    """The same where nobody knows how the model was trained."""
    return unlearn_spec(world, **({"training": None, "stop": {"rule": "fixed", "steps": 6, "eval_every": 3}} | more))


def unseen(folder: Path, subset: str = "smiths", count: int = 60, seed: int = 9) -> dict[str, Any]:
    """Sentences of a subset that stand in no file of the world, as a subset of a request's own."""
    rows = [{"text": text} for text in sentences(subset, count, seed)]
    path = write_jsonl(folder / f"unseen-{subset}-{seed}.jsonl", rows)
    return {"name": f"unseen {subset}", "source": {"file": str(path)}}


def steady(folder: Path) -> dict[str, Any]:
    """A summary as it is written, without what differs from run to run."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    methods = [{key: value for key, value in row.items() if key != "seconds"} for row in summary["methods"]]
    return {key: value for key, value in summary.items() if key not in SECONDS} | {"methods": methods}
