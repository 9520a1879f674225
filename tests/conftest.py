"""A small model, trained once a session on texts that the tests make up, and the data it was trained on."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from worlds import WORDS, sentences, write_jsonl

LONGEST = (
    "test_real_data.py",
    "test_acceptance.py",
    "test_families_page.py",
    "test_removal_kinds.py",
    "test_walk.py",
    "test_own.py",
)
"""Begun first, so that no process is left with one of them when the others have ended."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder with three subsets, a prompt set whose harmful side speaks like the smiths, and a model trained on them.

    The harmless side speaks like the weavers; nothing in the prompt set stands in a subset.
    """
    import torch

    from untrac_core.specs import Source, Subset, TrainSpec
    from untrac_core.training import train

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    for name in WORDS:
        rows = [{"id": f"{name}-{i}", "text": text} for i, text in enumerate(sentences(name, 150, 0))]
        write_jsonl(folder / f"{name}.jsonl", rows)
    prompts = [
        {"id": f"{label}-{i}", "prompt": "They say:", "completion": text, "group": f"g{i % 2}", "label": label}
        for label, subset in (("bad", "smiths"), ("good", "weavers"))
        for i, text in enumerate(sentences(subset, 40, 1))
    ]
    write_jsonl(folder / "prompts.jsonl", prompts)
    subsets = [Subset(name=name, source=Source(file=str(folder / f"{name}.jsonl"))) for name in WORDS]
    recipe = TrainSpec(
        hidden=32, layers=2, heads=2, vocabulary=300, block=32, steps=80, batch=8, warmup=10, subsets=subsets,
        learning_rate=0.005, device="cpu",
    )  # fmt: skip
    train(recipe, folder / "model")
    return folder


@pytest.fixture(scope="session")
def model(world):
    """The small model, loaded; tests that change its weights must put them back."""
    import torch

    from untrac_core.models import load_model
    from untrac_core.specs import ModelRef

    return load_model(ModelRef(path=str(world / "model")), torch.device("cpu"))


@pytest.fixture(scope="session")
def request_of(world):
    """Make a trace spec over the world; keyword arguments replace its parts."""
    from untrac_core.spec_files import build
    from untrac_core.specs import TraceSpec

    def make(method: dict | None = None, **more) -> TraceSpec:
        values = {
            "kind": "trace",
            "name": "test",
            "model": {"path": str(world / "model")},
            "prompts": [
                {
                    "name": "talk",
                    "source": {"file": str(world / "prompts.jsonl")},
                    "columns": {c: c for c in ("prompt", "completion", "group", "label", "id")},
                    "harmful": "bad",
                    "harmless": "good",
                }
            ],
            "subsets": [{"name": name, "source": {"file": str(world / f"{name}.jsonl")}} for name in WORDS],
            "method": method or {},
            "seeds": [0, 1],
            "baselines": [],
            "device": "cpu",
        }
        return build(TraceSpec, values | more, where="test")

    return make


@pytest.fixture
def read(monkeypatch):
    """The examples of every training step, as the loss gets them."""
    import untrac_core.training

    steps = []
    original = untrac_core.training.batch_losses

    def spy(module, batch, device):
        steps.append(list(batch))
        return original(module, batch, device)

    monkeypatch.setattr(untrac_core.training, "batch_losses", spy)
    return steps
