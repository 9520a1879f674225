"""A small model, trained once a session on texts that the tests make up, and the data it was trained on."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

from tests.helpers.worlds import WORDS, sentences, write_jsonl

LONGEST = (
    "unlearning/test_acceptance.py",
    "data/test_real_data.py",
    "browser/test_own.py",
    "unlearning/test_lab.py",
    "engine/test_kills.py",
    "data/test_streaming.py",
    "engine/test_unlearn.py",
    "browser/test_walk.py",
    "browser/test_see.py",
    "pages/test_families_page.py",
    "cli/test_runs.py",
    "attribution/test_attribution.py",
    "models/test_precision.py",
    "tasks/unlearn/test_task.py",
    "tasks/unlearn/test_kinds.py",
    "browser/test_validate.py",
    "engine/test_validate.py",
    "test_extending.py",
    "browser/test_report.py",
    "tasks/test_costs.py",
)
"""Begun first, and in this order, so that no process is left with one of them when the others have ended."""
QUICK = {"samples": 24}
"""Of the curvature, in most tests: what they assert does not hang on how well it is known."""


def pytest_ignore_collect(collection_path, config):
    """Where only what is held to a time is asked for, files without any are not even imported."""
    if config.getoption("markexpr").startswith("timed") and collection_path.match("test_*.py"):
        return "mark.timed" not in collection_path.read_text(encoding="utf-8") or None
    return None


def pytest_collection_modifyitems(items):
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session", autouse=True)
def _shared_lab(tmp_path_factory):
    """A folder that all processes of this session share."""
    folder = tmp_path_factory.getbasetemp()
    os.environ["UNTRAC_TEST_LAB"] = str((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "lab")


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder with three subsets, a prompt set whose harmful side speaks like the smiths, and a model trained on them.

    The harmless side speaks like the weavers; nothing in the prompt set stands in a subset.
    """
    import torch

    from untrac_core.specs import Source, Subset, TrainSpec
    from untrac_core.training.recipe import train

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
        hidden_size=32, num_layers=2, num_heads=2, vocab_size=300, block_size=32, steps=80, batch_size=8,
        warmup_steps=10, learning_rate=0.005, subsets=subsets, device="cpu",
    )  # fmt: skip
    train(recipe, folder / "model")
    return folder


@pytest.fixture(scope="session")
def model(world):
    """The small model, loaded; tests that change its weights must put them back."""
    import torch

    from untrac_core.models.loading import load_model
    from untrac_core.specs import ModelRef

    return load_model(ModelRef(path=str(world / "model")), torch.device("cpu"))


@pytest.fixture(scope="session")
def request_of(world):
    """Make a trace spec over the world; keyword arguments replace its parts."""
    from untrac_core.specs import TraceSpec
    from untrac_core.specs.build import build

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
            "method": method or QUICK,
            "seeds": [0, 1],
            "baselines": [],
            "device": "cpu",
        }
        return build(TraceSpec, values | more, where="test")

    return make


@pytest.fixture
def read(monkeypatch):
    """The examples of every training step, as the loss gets them."""
    import untrac_core.training.recipe

    steps = []
    original = untrac_core.training.recipe.batch_losses

    def spy(module, batch, device):
        steps.append(list(batch))
        return original(module, batch, device)

    monkeypatch.setattr(untrac_core.training.recipe, "batch_losses", spy)
    return steps
