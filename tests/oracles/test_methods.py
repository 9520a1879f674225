"""What holds for every gradient method: sign, equality, what comes back, memory, settings."""

import gc
from copy import deepcopy
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from tests.helpers.exact import drawn, make_study, scores, table
from tests.helpers.worlds import sentences
from untrac_core.attribution.base import Checkpoint, make_method
from untrac_core.attribution.baselines import hessian, vectors
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.models.losses import batch_losses
from untrac_core.specs import MethodSpec, method_spec
from untrac_core.training.preconditioner import mean_gradient
from untrac_core.training.vectors import vector_length

FEW = {"fisher-dot": {"samples": 6}, "shampoo-dot": {"samples": 6}, "arnoldi": {"samples": 8}}
NAMES = ["grad-dot", "grad-cos", "sign-dot", "fisher-dot", "shampoo-dot", "tracin", "lissa", "arnoldi"]
CHUNKED = [name for name in NAMES if name != "arnoldi"]


def spec_of(name: str, **more) -> MethodSpec:
    return method_spec(name, **(FEW.get(name, {}) | more))


def checkpoint_of(study) -> Checkpoint:
    """The weights, a little smaller."""
    module = study.model.module

    def load() -> None:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(0.95)

    return Checkpoint(load, 0.01, dict)


@pytest.fixture
def copies(model):
    """A subset that is a copy of the harmful side, another copy, and two that are not."""
    asked = sentences("smiths", 12, 7)
    subsets = {
        "fishers": sentences("fishers", 12, 5),
        "copy": asked,
        "weavers": sentences("weavers", 12, 5),
        "twin": list(asked),
    }
    study = make_study(model, subsets, {"harmful": asked, "harmless": sentences("weavers", 12, 7)})
    study.checkpoints = [checkpoint_of(study)]
    return study


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_ranks_first_its_twin_scores_the_same_and_all_comes_back(copies, name):
    module = copies.model.module
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    weights, moved = hash_weights(module), [parameter.requires_grad for parameter in module.parameters()]
    try:
        found = table(copies, make_method(spec_of(name)))
        assert hash_weights(module) == weights
        assert [parameter.requires_grad for parameter in module.parameters()] == moved
        assert all(parameter.grad is None for parameter in module.parameters())
    finally:
        module.requires_grad_(True)
    for seed in copies.seeds:
        totals = {}
        for subset in copies.subsets:
            values, tokens = found[seed, subset, "harmful"]
            totals[subset] = np.average(values, weights=tokens)
            assert np.isfinite(values).all()
            assert len(values) == 8
        for side in ("harmful", "harmless"):
            assert found[seed, "copy", side][0].tolist() == found[seed, "twin", side][0].tolist()
        assert totals["copy"] > 0
        assert totals["copy"] > max(totals["fishers"], totals["weavers"])


class Watch:
    """Counts the bytes of the tensors that came since it was made, whenever it hears of progress."""

    def __init__(self, module) -> None:
        self.module, self.most = module, 0
        gc.collect()
        gc.freeze()  # what is there already is not looked at

    def phase(self, text: str) -> None:
        self.tick(0, 1)

    def tick(self, done: int, total: int) -> None:
        assert 0 <= done <= total
        held = {}
        gradients = [parameter.grad for parameter in self.module.parameters()]
        for thing in chain(gc.get_objects(), gradients):  # as one list, it would hold itself
            if type(thing) is torch.Tensor:
                held[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        self.most = max(self.most, sum(held.values()))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_keep_to_the_budget_and_change_nothing(copies, name):
    """Room for one query or two at a time, of four; every tick looks at what is in memory."""
    copies.subsets = {name: copies.subsets[name] for name in ("fishers", "copy")}
    whole = table(copies, make_method(spec_of(name)))
    copies.set_trainable("matrices" if name == "shampoo-dot" else "all")
    vector_mb = 4 * vector_length(copies.model.module) / 2**20
    method = make_method(spec_of(name))
    budget = vector_mb * (9 if name == "lissa" else 3) * 1.001
    method.budget_mb = budget
    if name == "shampoo-dot":  # the factors are not the method's: they are there before it
        copies.preconditioner("matrices", 6, 0.1)
    if name == "tracin":
        budget += vector_mb * 1.1  # the weights that come back, and buffers
    copies.progress = watch = Watch(copies.model.module)
    try:
        parts = table(copies, method)
    finally:
        gc.unfreeze()
    assert 0.5 * budget < watch.most / 2**20 <= budget
    largest = max(np.abs(values).max() for values, _ in whole.values())
    for place, (values, _) in whole.items():
        np.testing.assert_allclose(parts[place][0], values, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grad-cos", "lissa", "arnoldi"])
def test_micro_batches_add_up(copies, monkeypatch, name):
    """Texts that do not fit one batch give what they give in one."""
    whole = scores(copies, name, **FEW.get(name, {}))
    for module in (vectors, hessian):
        monkeypatch.setattr(module, "batch_tokens", lambda vocabulary: 64)
    parts = scores(copies, name, **FEW.get(name, {}))
    largest = max(np.abs(values).max() for values, _ in whole.values())
    for place, (values, _) in whole.items():
        np.testing.assert_allclose(parts[place][0], values, rtol=1e-3, atol=1e-4 * largest)


def test_at_least_one_query_is_held(copies):
    method = make_method(spec_of("grad-dot"))
    method.budget_mb = 1e-6
    parts, whole = table(copies, method), scores(copies, "grad-dot")
    for place, (values, _) in whole.items():
        np.testing.assert_allclose(parts[place][0], values, rtol=1e-4, atol=1e-7)


def test_directions_that_do_not_fit_are_an_input_error(copies):
    method = make_method(spec_of("arnoldi"))
    method.budget_mb = 1.0
    with pytest.raises(InputError, match=r"25 directions take \d MB, and 1 MB is the limit"):
        method.run(copies, method.cells(copies)[0])


def test_tracin_needs_checkpoints(copies):
    copies.checkpoints = []
    method = make_method(spec_of("tracin"))
    with pytest.raises(InputError, match=r"there are none.*grad-dot"):
        method.run(copies, method.cells(copies)[0])


@pytest.mark.parametrize("name", NAMES)
def test_settings_come_from_the_spec_or_are_refused(name):
    assert make_method(method_spec(name)).subsample == 0.5
    method = make_method(method_spec(name, subsample=0.25, trainable="last_layers", label="mine"))
    assert (method.subsample, method.settings.trainable) == (0.25, "last_layers")
    with pytest.raises(InputError, match=f"'target_loss_increase' has no effect with method '{name}'"):
        make_method(method_spec(name, target_loss_increase=0.1))
    has_samples = name in ("fisher-dot", "shampoo-dot", "lissa", "arnoldi")
    if has_samples:
        assert make_method(method_spec(name, samples=7)).settings.samples == 7
    else:
        with pytest.raises(InputError, match="'samples' has no effect"):
            make_method(method_spec(name, samples=7))


def test_cells_are_one_a_seed_and_know_what_they_depend_on(copies):
    def keys(name="grad-dot", **more):
        return [cell.key for cell in make_method(spec_of(name, **more)).cells(copies)]

    base = keys()
    assert len(set(base)) == len(base) == 2
    others = [
        keys("grad-cos"),
        keys(subsample=0.4),
        keys(trainable="matrices"),
        keys("lissa"),
        keys("lissa", damping=0.2),
    ]
    assert not {key for other in others for key in other} & set(base)
    tracin = keys("tracin")
    copies.checkpoints = [*copies.checkpoints, checkpoint_of(copies)]
    assert not set(keys("tracin")) & set(tracin)
    assert keys() == base


def test_a_smaller_step_is_predicted(copies, monkeypatch):
    """GradDot is the slope: a small step up along the prompts' gradient raises a subset's loss by step x score.

    A model in float64 takes it: in float32 the difference of the losses would be mostly rounding, and a step large
    enough for that would bring units of the ReLU past their kinks.
    """
    # As an input the padding token, which is the start token, too, has a slope that autograd leaves out.
    monkeypatch.setattr(copies.model.module.get_input_embeddings(), "padding_idx", None)
    found = scores(copies, "grad-dot")
    model, step = replace(copies.model, module=deepcopy(copies.model.module).double()), 1e-8
    module = model.module
    mean_gradient(model, drawn(copies, 0, "harmful"))
    gradients = [parameter.grad.clone() for parameter in module.parameters()]
    sides = []
    for size in (step, -2 * step):
        with torch.no_grad():
            for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                parameter.add_(gradient, alpha=size)
            losses = {
                name: batch_losses(module, packed.blocks, model.device) for name, packed in copies.subsets.items()
            }
        sides.append({name: float(each.sum()) for name, each in losses.items()})
    for name, packed in copies.subsets.items():
        values, tokens = found[0, name, "harmful"]
        slope = (sides[0][name] - sides[1][name]) / (2 * step) / packed.tokens
        assert np.average(values, weights=tokens) == pytest.approx(slope, rel=1e-3)
