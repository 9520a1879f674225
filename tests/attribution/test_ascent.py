from dataclasses import replace

import numpy as np
import pytest
import torch

from untrac_core.attribution.ascent import Point, ascend
from untrac_core.attribution.settings import PRESETS, evaluation_steps, plan_steps
from untrac_core.data.prompts import Item
from untrac_core.models.loading import hash_weights, load_model, weights_restored
from untrac_core.models.losses import batch_losses
from untrac_core.specs import ModelRef
from untrac_core.training.preconditioner import own_loss

PAPER, PAPER_INVERSE = PRESETS["untrac", "paper"], PRESETS["untrac-inv", "paper"]


@pytest.fixture
def examples(model):
    words = ("anvil", "forge", "ember", "rivet", "tongs", "blade")
    items = [Item(word, "", f"The {word} and the hammer wait by the steel.", "", 1) for word in words]
    return model.encoder.items(items, context=32, where="")


def break_off(model):
    with weights_restored(model.module):
        next(model.module.parameters()).data.add_(1.0)
        raise RuntimeError


def climb(model, examples, settings, direction=1.0, seed=0):
    start = Point(0, own_loss(model, examples), np.zeros(1))
    with weights_restored(model.module):
        trajectory = ascend(
            model, examples, settings, lambda: np.zeros(1), before=start, direction=direction, order_seed=seed
        )
        return trajectory, hash_weights(model.module)


@pytest.mark.parametrize("settings", [PAPER, PAPER_INVERSE, replace(PAPER, optimizer="sgd", learning_rate=0.01)])
def test_ascent_raises_the_forget_loss_and_descent_lowers_it(model, examples, settings):
    up, _ = climb(model, examples, settings)
    down, _ = climb(model, examples, settings, direction=-1.0)
    assert up.points[-1].own > up.points[0].own > down.points[-1].own


def test_weights_come_back_to_the_bit(model, examples):
    before = hash_weights(model.module)
    _, moved = climb(model, examples, PAPER_INVERSE)
    assert moved != before
    assert hash_weights(model.module) == before
    with pytest.raises(RuntimeError):
        break_off(model)
    assert hash_weights(model.module) == before


@pytest.mark.parametrize("method", ["untrac", "untrac-inv"])
def test_the_papers_preset_is_plain_adam_on_minus_the_loss(model, examples, method):
    """Against a loop written out here: batch 1 and one epoch, or the whole set as one batch and 5 steps."""
    settings = PRESETS[method, "paper"]
    _, ours = climb(model, examples, settings)
    with weights_restored(model.module):
        optimizer = torch.optim.Adam(model.module.parameters(), lr=5e-5, betas=(0.9, 0.999))
        batches = (
            [[example] for example in examples]
            if method == "untrac"
            else [sorted(examples, key=lambda example: len(example.ids))] * 5
        )
        for batch in batches:
            loss = batch_losses(model.module, batch, model.device).sum() / sum(example.tokens for example in batch)
            optimizer.zero_grad()
            (-loss).backward()
            optimizer.step()
        assert hash_weights(model.module) == ours


@pytest.fixture
def with_dropout(model):
    """The same model with OPT's dropout of .1."""
    parts = [part for part in model.module.modules() if isinstance(getattr(part, "dropout", None), float)]
    assert parts
    was = [part.dropout for part in parts]
    for part in parts:
        part.dropout = 0.1
    yield model
    for part, value in zip(parts, was, strict=True):
        part.dropout = value


def test_the_papers_preset_unlearns_with_dropout_and_each_seed_again_to_the_bit(with_dropout, examples):
    model = with_dropout
    walks = {seed: climb(model, examples, PAPER_INVERSE, seed=seed)[1] for seed in (0, 1)}
    torch.rand(7)  # what is drawn in between changes nothing
    assert climb(model, examples, PAPER_INVERSE, seed=0)[1] == walks[0] != walks[1]
    assert climb(model, examples, replace(PAPER_INVERSE, dropout=False))[1] not in walks.values()


def test_losses_are_measured_without_dropout_and_the_mode_comes_back(with_dropout, examples):
    model, modes = with_dropout, []
    start = Point(0, own_loss(model, examples), np.zeros(1))

    def watch():
        modes.append(model.module.training)
        return np.array([own_loss(model, examples)])

    with weights_restored(model.module):
        found = ascend(model, examples, PAPER_INVERSE, watch, before=start)
    assert modes == [False] * 5
    assert not any(part.training for part in model.module.modules())
    assert [point.own for point in found.points[1:]] == [point.losses[0] for point in found.points[1:]]


def test_an_ascent_up_to_a_step_draws_the_same_masks(with_dropout, examples):
    model, settings = with_dropout, replace(PAPER, epochs=None, steps=4, eval_points=4)
    start, found = Point(0, own_loss(model, examples), np.zeros(1)), []
    for until in (None, 4):
        with weights_restored(model.module):
            ascend(model, examples, settings, lambda: np.zeros(1), before=start, until=until)
            found.append(hash_weights(model.module))
    assert found[0] == found[1]


def test_it_stops_before_the_dose_is_exceeded(model, examples):
    settings = replace(PAPER_INVERSE, learning_rate=0.002, steps=10, eval_points=10, max_loss_increase=0.2)
    trajectory, _ = climb(model, examples, settings)
    increases = [point.own - trajectory.points[0].own for point in trajectory.points]
    assert len(increases) < 11
    assert max(increases[2:], default=0) <= 0.2
    assert "loss increase over 0.2" in trajectory.ended
    assert not trajectory.collapsed


def test_collapse_is_seen_and_said(model, examples):
    settings = replace(PAPER_INVERSE, learning_rate=0.05, steps=20, eval_points=20)
    trajectory, _ = climb(model, examples, replace(settings, past_collapse=False))
    assert trajectory.collapsed
    assert "collapsed at step" in trajectory.ended
    assert len(trajectory.points) < 21
    whole, _ = climb(model, examples, settings)
    assert whole.collapsed
    assert whole.ended == f"{trajectory.ended}; it went on to the end"
    assert [point.step for point in whole.points] == list(range(21))


def test_plans():
    assert plan_steps(256, PAPER) == 256
    assert plan_steps(10, replace(PAPER, batch_size=4, epochs=2)) == 6
    assert plan_steps(256, PAPER_INVERSE) == 5
    assert evaluation_steps(256, 5) == [51, 102, 154, 205, 256]
    assert evaluation_steps(2, 5) == [1, 2]


@pytest.mark.parametrize("trainable", ["matrices", "last_layers", "lora"])
def test_only_what_can_move_moves_and_all_of_it_comes_back(world, trainable):
    model = load_model(ModelRef(path=str(world / "model")), torch.device("cpu"), trainable)
    items = [Item("1", "", "The anvil and the hammer wait by the steel.", "", 1)]
    examples = model.encoder.items(items, context=32, where="")
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    whole = hash_weights(model.module)
    with weights_restored(model.module):
        start = Point(0, own_loss(model, examples), np.zeros(1))
        up = ascend(model, examples, PAPER_INVERSE, lambda: np.zeros(1), before=start)
        assert up.points[-1].own > start.own
        moved = {name for name, tensor in model.module.state_dict().items() if not torch.equal(tensor, before[name])}
    moving = {name for name, parameter in model.module.named_parameters() if parameter.requires_grad}
    tied = {name for name in moved if "lm_head" in name}
    assert moved - tied <= moving
    assert moved
    assert hash_weights(model.module) == whole
