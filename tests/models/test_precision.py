"""Computing in bfloat16 or float16: weights that move stay float32, and the answer stays the answer."""

import json

import numpy as np
import pytest
import torch

from untrac_core.data.prompts import Item
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.models.losses import example_losses
from untrac_core.specs import ModelRef
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.context import with_precision
from untrac_core.tasks.trace.task import TraceTask
from untrac_core.training.preconditioner import mean_gradient

pytestmark = pytest.mark.slow  # a trace in each precision

CPU = torch.device("cpu")
HALF = ["bfloat16", "float16"]


def load(world, dtype, trainable="matrices"):
    return load_model(ModelRef(path=str(world / "model"), dtype=dtype), CPU, trainable)


@pytest.fixture
def texts(model):
    items = [Item(text, "They say:", text, "", 1) for text in ("the anvil waits.", "the loom", "the forge and ember")]
    return model.encoder.items(items, context=None, where="")


@pytest.mark.parametrize("trainable", ["all", "matrices", "last_layers", "lora"])
@pytest.mark.parametrize("dtype", HALF)
def test_what_moves_is_held_in_float32_and_the_rest_is_not(world, dtype, trainable):
    model = load(world, dtype, trainable)
    assert model.dtype == getattr(torch, dtype)
    for name, parameter in model.module.named_parameters():
        whole = parameter.requires_grad or parameter.dim() < 2
        assert parameter.dtype == (torch.float32 if whole else model.dtype), name
    with model.computing():
        logits = model.module(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert logits.dtype == model.dtype


@pytest.mark.parametrize("dtype", HALF)
def test_losses_and_gradients_are_close_to_those_of_float32(world, model, texts, dtype):
    half = load(world, dtype, "all")
    exact = example_losses(model.module, texts, CPU, 300)
    ours = example_losses(half.module, texts, CPU, 300, dtype=half.dtype)
    assert not np.array_equal(ours, exact)
    np.testing.assert_allclose(ours, exact, rtol=0.02 if dtype == "bfloat16" else 0.003)
    gradients = []
    for loaded in (model, half):
        mean_gradient(loaded, texts)
        gradients.append(torch.cat([p.grad.flatten() for p in loaded.module.parameters() if p.grad is not None]))
        loaded.module.zero_grad(set_to_none=True)
    assert gradients[1].dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0)
    assert cosine > (0.99 if dtype == "bfloat16" else 0.9999)
    assert gradients[1].norm() == pytest.approx(float(gradients[0].norm()), rel=0.02)


def test_float16_gradients_too_small_for_it_and_too_large_come_through(world, texts):
    """A loss scaled up for the way back, by less where that overflows; the same numbers, whatever the scale."""
    half = load(world, "float16", "all")
    norms = []
    for weight in (1e-7, 1.0, 1e6):
        mean_gradient(half, texts, weight=weight)
        flat = torch.cat([p.grad.flatten() for p in half.module.parameters() if p.grad is not None])
        norms.append(float(flat.norm()) / weight)
    assert norms == pytest.approx([norms[1]] * 3, rel=0.05)
    assert norms[1] > 0


def test_the_ranking_is_that_of_float32(request_of, world, tmp_path):
    """Of UnTrac-Inv and continuation; UnTrac refuses half precision (tests/attribution/test_rest_flow.py)."""
    rankings, trained = {}, {}
    for dtype in ("float32", *HALF):
        model = {"path": str(world / "model"), "dtype": dtype}
        spec = request_of({"samples": 24}, model=model, seeds=[0])
        result = trace(spec, tmp_path / dtype)
        short = {"name": "continuation", "steps": 20, "batch_size": 4, "learning_rate": 2e-3}
        by_training = trace(request_of(short, model=model, seeds=[0]), tmp_path / f"trained-{dtype}")
        trained[dtype] = by_training.ranking("talk", "contrast").set_index("subset").influence
        rankings[dtype] = result.ranking("talk", "contrast").set_index("subset").influence
        environment = json.loads((tmp_path / dtype / "environment.json").read_text())
        assert environment["model"]["dtype"] == dtype
    exact = rankings["float32"]
    for dtype in HALF:
        assert list(rankings[dtype].index) == list(exact.index)
        assert np.corrcoef(rankings[dtype][exact.index], exact)[0, 1] > 0.99
        assert np.corrcoef(trained[dtype][exact.index], trained["float32"][exact.index])[0, 1] > 0.95


@pytest.mark.parametrize("dtype", HALF)
def test_weights_come_back_to_the_bit(request_of, world, dtype):
    for trainable in ("last_layers", "lora"):
        model = {"path": str(world / "model"), "dtype": dtype}
        tracer = TraceTask(request_of({"trainable": trainable, "samples": 8}, model=model))
        before = hash_weights(tracer.study.model.module)
        frame = tracer.run_cell(tracer.cells[0])
        assert (frame[frame.step > 0].change != 0).any()
        assert hash_weights(tracer.study.model.module) == before


def test_auto_is_float32_where_that_fits_the_device(request_of, monkeypatch):
    assert with_precision(request_of()).dtype == "float32"
    monkeypatch.setattr("untrac_core.tasks.costs.USABLE", 1e-6)
    assert with_precision(request_of()).dtype == "bfloat16"
