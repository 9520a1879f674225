"""The pass over second moments: stopped anywhere and resumed it ends with the same bits."""

import os

import pytest
import torch

from untrac_core.data.prompts import Item
from untrac_core.errors import Cancelled
from untrac_core.training import factors as module
from untrac_core.training.factors import FactorCache, FactorSums
from untrac_core.training.preconditioner import estimate_curvature

SAMPLES = 6


@pytest.fixture
def blocks(model):
    texts = [f"The {word} waits by the forge." for word in ("net", "loom", "oar", "tide", "sail")]
    return model.encoder.items([Item(text, "", text, "", 1) for text in texts], context=32, where="")


def factors(model, blocks, kept=None, progress=None):
    preconditioner = estimate_curvature(model, blocks, samples=SAMPLES, damping=0.1, kept=kept, progress=progress)
    return {name: (left.inverse, right.inverse) for name, (left, right) in preconditioner.factors.items()}


class Stops:
    """Cancels after some samples."""

    def __init__(self, after):
        self.after = after

    def phase(self, text):
        pass

    def tick(self, done, total):
        if done == self.after:
            raise Cancelled


def equal(one, other):
    return all(torch.equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True))


@pytest.mark.parametrize("after", [1, 4])
def test_a_pass_that_was_stopped_goes_on_to_the_same_bits(model, blocks, tmp_path, monkeypatch, after):
    monkeypatch.setattr(module, "SAVE_SECONDS", -1.0)
    whole = factors(model, blocks)
    kept = FactorCache(tmp_path, "a")
    with pytest.raises(Cancelled):
        factors(model, blocks, kept, Stops(after))
    sums = {}
    real = module.FactorSums.add
    monkeypatch.setattr(
        module.FactorSums, "add", lambda self, g: (sums.setdefault("added", []).append(1), real(self, g))
    )
    assert equal(factors(model, blocks, FactorCache(tmp_path, "a")), whole)
    matrices = len(whole)
    assert len(sums["added"]) == matrices * (SAMPLES - after)
    sums.clear()
    assert equal(factors(model, blocks, FactorCache(tmp_path, "a")), whole)
    assert not sums


def test_a_file_that_is_damaged_or_of_another_model_is_not_used(model, blocks, tmp_path):
    whole = factors(model, blocks, FactorCache(tmp_path, "a"))
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert FactorCache(tmp_path, "a").load({}) == 0
    assert equal(factors(model, blocks, FactorCache(tmp_path, "a")), whole)
    other = {"x": FactorSums(torch.zeros(2), torch.zeros(3, 3))}
    assert FactorCache(tmp_path, "a").load(other) == 0


def test_the_oldest_go_first(tmp_path, monkeypatch):
    held = {"x": FactorSums(torch.ones(4), torch.ones(3, 3))}
    for age, name in enumerate("abc"):
        FactorCache(tmp_path, name).save(held, 1, last=True)
        os.utime(tmp_path / f"{name}.safetensors", (1000 + age, 1000 + age))
    monkeypatch.setattr(module, "KEPT_BYTES", 2 * (tmp_path / "a.safetensors").stat().st_size)
    assert FactorCache(tmp_path, "a").load(held) == 1  # used just now
    FactorCache(tmp_path, "d").save(held, 1, last=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "d.safetensors"]
