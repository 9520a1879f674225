"""Which weights GRIN and its controls move, and what it does to them before the first step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers.lab_unlearning import loaded, method_of, quick, result, unequal_weights
from untrac_core.unlearning.methods import masks as masks_module
from untrac_core.unlearning.methods.base import UnlearningData
from untrac_core.unlearning.methods.masks import gradient_ratios, masks, quantile

FORGET, RETAIN = lab.subset("toxic")[:16], lab.subset("polite")[:16]
KINDS = ("gradient-ratio", "gradient", "random")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def drawn(seed: int, scales: dict[str, float]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(400, 5, generator=generator) for name, scale in scales.items()}


def prepared(module, seed: int = 0, **spec):
    """GRIN's method on a model that it has prepared: mask and noise, no step."""
    model = loaded(module)
    method = method_of(FORGET, **{"name": "grin", **spec})
    method.prepare(model, UnlearningData(FORGET, RETAIN), seed, lambda done, total: None)
    return method, model.module


def test_the_score_of_a_model_of_two_weights():
    """|g_f| / (|g_r| + e); of two |g_r| the 5th percentile is the smaller."""
    forget = {"a": torch.tensor([-3.0]), "b": torch.tensor([0.5])}
    retain = {"a": torch.tensor([2.0]), "b": torch.tensor([-0.25])}
    scores = gradient_ratios(forget, retain)
    assert float(scores["a"]) == pytest.approx(3.0 / (2.0 + 0.25))
    assert float(scores["b"]) == pytest.approx(0.5 / (0.25 + 0.25))
    found = masks("gradient-ratio", forget, retain, 0.5, 0)
    assert {name: mask.tolist() for name, mask in found.items()} == {"a": [True], "b": [False]}


def test_kinds_choose_by_what_they_say():
    forget = {"w": torch.tensor([4.0, -5.0, 1.0, 0.1])}
    retain = {"w": torch.tensor([40.0, 1.0, 0.01, 10.0])}
    assert masks("gradient", forget, retain, 0.5, 0)["w"].tolist() == [True, True, False, False]
    assert masks("gradient-ratio", forget, retain, 0.5, 0)["w"].tolist() == [False, True, True, False]
    drawn_masks = {tuple(masks("random", forget, retain, 0.5, seed)["w"].tolist()) for seed in range(20)}
    assert len(drawn_masks) > 1
    assert {sum(mask) for mask in drawn_masks} == {2}
    assert masks("random", forget, retain, 0.5, 3)["w"].equal(masks("random", forget, retain, 0.5, 3)["w"])


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_share_is_that_of_all_weights(kind, share):
    forget, retain = drawn(0, {"a": 1.0, "b": 1.0, "c": 3.0}), drawn(1, {"a": 1.0, "b": 1.0, "c": 1.0})
    found = masks(kind, forget, retain, share, 0)
    assert sum(int(mask.sum()) for mask in found.values()) == round(share * 6000)


@pytest.mark.parametrize("kind", ["gradient-ratio", "gradient"])
def test_one_threshold_for_all_layers(kind):
    """A layer that the forget set pulls at a hundred times as hard has all the weights that move."""
    forget, retain = drawn(0, {"quiet": 0.001, "loud": 100.0}), drawn(1, {"quiet": 1.0, "loud": 1.0})
    found = masks(kind, forget, retain, 0.4, 0)
    assert int(found["quiet"].sum()) == 0
    assert int(found["loud"].sum()) == 1600


def test_a_weight_without_a_gradient_from_the_forget_set_never_moves():
    """Also where these are most of all: rows of words that it does not have."""
    forget = {"rows": torch.zeros(90), "rest": torch.arange(1.0, 11.0)}
    retain = {"rows": torch.ones(90), "rest": torch.ones(10)}
    for kind in ("gradient", "gradient-ratio"):
        found = masks(kind, forget, retain, 0.3, 0)
        assert (int(found["rows"].sum()), int(found["rest"].sum())) == (0, 10)
    assert sum(int(mask.sum()) for mask in masks("random", forget, retain, 0.3, 0).values()) == 30


def test_where_nothing_that_stays_has_a_gradient_scores_are_numbers():
    scores = gradient_ratios({"w": torch.tensor([0.0, 1e-3])}, {"w": torch.zeros(2)})
    assert not scores["w"].isnan().any()
    assert scores["w"][0] == 0
    assert scores["w"][1] > 1


def test_quantile_of_a_sample_is_near_that_of_all(monkeypatch):
    values = drawn(0, {"a": 1.0, "b": 5.0})
    every = np.concatenate([value.numpy().ravel() for value in values.values()])
    for at in (0.05, 0.5, 0.9):
        assert quantile(values, at) == pytest.approx(float(np.quantile(every, at)), abs=0.05)
    monkeypatch.setattr(masks_module, "SAMPLED", 2000)
    place = float((every < quantile(values, 0.9)).mean())
    assert place == pytest.approx(0.9, abs=0.03)
    assert quantile(values, 0.9) == quantile(values, 0.9)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_stands_on_the_mask_and_nowhere_else(kind):
    """And is as large as is said, so that what the random mask draws is none of what the noise does."""
    before = quick()
    method, noisy = prepared(quick(), mask=kind)
    moved = unequal_weights(before, noisy)
    for name, mask in method.masks.items():
        assert not bool((moved[name] & ~mask).any()), name
    total = sum(mask.numel() for mask in method.masks.values())
    chosen = sum(int(mask.sum()) for mask in method.masks.values())
    assert abs(chosen / total - 0.3) < 0.01
    old, new = ({n: p.detach() for n, p in each.named_parameters()} for each in (before, noisy))
    sizes = []
    for name, mask in method.masks.items():
        spread = float(old[name].std(correction=0))
        if int(mask.sum()) > 1000 and spread > 0:
            sizes.append(float((new[name] - old[name])[mask].std()) / spread)
    assert len(sizes) >= 3
    assert sizes == pytest.approx([0.5] * len(sizes), abs=0.05)


def test_noise_hangs_on_the_seed_and_can_be_none():
    first, again, other = (prepared(quick(), seed, noise=0.5)[1] for seed in (0, 0, 1))
    assert not any(bool(each.any()) for each in unequal_weights(first, again).values())
    assert any(bool(each.any()) for each in unequal_weights(first, other).values())
    still = prepared(quick(), noise=0.0)[1]
    assert not any(bool(each.any()) for each in unequal_weights(quick(), still).values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["npo", "grad-diff", "po"])
def test_weights_outside_the_mask_keep_every_bit(kind, objective):
    """Also a minus before a zero, which adding nothing at all takes away."""
    module = quick()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.view(-1)[::3] = -0.0
    spec = {"name": "grin", "mask": kind, "objective": objective, "mask_fraction": 0.2}
    if objective == "po":
        spec["refusal"] = "mix the oats"
    done = result(module, FORGET, RETAIN, spec, steps=4, eval_every=4)
    moved = unequal_weights(module, done.module)
    chosen = done.method.masks
    assert not any(bool((moved[name] & ~mask).any()) for name, mask in chosen.items())
    at_work = sum(int((moved[name] & mask).sum()) for name, mask in chosen.items())
    assert at_work > 0.5 * sum(int(mask.sum()) for mask in chosen.values()) > 0


def test_the_reference_is_the_model_before_the_noise(monkeypatch):
    """With so much noise that it shows in every loss."""
    seen = []
    from untrac_core.unlearning.methods.npo import NegativePreference

    original = NegativePreference.loss
    monkeypatch.setattr(NegativePreference, "loss", lambda self, step: seen.append(step) or original(self, step))
    module = quick()
    result(module, FORGET, RETAIN, {"name": "grin", "noise": 3.0, "batch_size": 16}, steps=1, eval_every=1)
    reference = seen[0].reference.numpy()
    np.testing.assert_allclose(np.sort(reference), np.sort(lab.losses(module, FORGET)), rtol=1e-5)
    assert float((seen[0].losses.detach() - seen[0].reference).abs().max()) > 1
