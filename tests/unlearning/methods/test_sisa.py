"""Sharded training: what an unlearning trains again, what it leaves alone, and what the shards say together."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers.lab_unlearning import fresh
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.progress import Silent
from untrac_core.specs import Training
from untrac_core.training.recipe import build_model, train_model
from untrac_core.unlearning.methods.sisa import Ensemble, Sharded

BLOCKS = {name: lab.subset(name)[:24] for name in ("toxic", "polite")}
SHARDS, SLICES, STEPS = 3, 2, 60
TRAINING = Training(**lab.RECIPE.model_dump() | {"steps": STEPS, "batch_size": 4, "warmup_steps": 4})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(one_thread) -> Sharded:
    return sharded(SHARDS, SLICES)


def sharded(shards: int, slices: int, seed: int = 4) -> Sharded:
    made = Sharded(lambda at: build_model(TRAINING, lab.vocabulary(), at), TRAINING, lab.CPU, Silent(), seed)
    made.train(BLOCKS, shards, slices)
    return made


def only(*named):
    wanted = {(name, block.id) for name, block in named}
    return lambda name, block: (name, block.id) in wanted


def test_the_ensemble_speaks_with_the_mean_of_the_probabilities():
    members = [fresh(seed).module for seed in range(3)]
    with torch.no_grad():  # so that they disagree
        for member in members:
            for parameter in member.parameters():
                parameter.mul_(3.0)
    ids = torch.tensor([lab.subset("toxic")[0].ids])
    with torch.no_grad():
        each = [torch.softmax(member(input_ids=ids).logits.double(), -1) for member in members]
        logits = Ensemble(members).eval()(input_ids=ids, use_cache=False).logits
    mean = sum(each) / 3
    torch.testing.assert_close(logits.double(), mean.log(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.log_softmax(logits, -1), logits, rtol=0, atol=1e-5)
    assert float((each[0] - each[1]).abs().max()) > 0.01


def test_one_member_speaks_for_itself():
    module = fresh().module
    texts = lab.subset("toxic")[:4]
    np.testing.assert_allclose(lab.losses(Ensemble([module]), texts), lab.losses(module, texts), rtol=1e-5)


def test_every_text_stands_in_one_shard(trained):
    dealt = [(name, block.id) for parts in trained.shards for part in parts for name, block in part]
    assert sorted(dealt) == sorted((name, block.id) for name, blocks in BLOCKS.items() for block in blocks)
    assert [[len(part) for part in parts] for parts in trained.shards] == [[8, 8]] * SHARDS
    assert trained.steps_taken == STEPS


@pytest.mark.parametrize("cut", range(SLICES))
def test_a_removal_trains_its_shard_again_from_its_slice_and_no_other(trained, cut):
    work = deepcopy(trained)
    before = [hash_weights(model) for model in work.models]
    gone = work.shards[1][cut][3]
    assert work.remove(only(gone)) == [1]
    assert work.steps_taken - STEPS == STEPS // (SHARDS * SLICES) * (SLICES - cut)
    after = [hash_weights(model) for model in work.models]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert gone[1].id not in {block.id for part in work.shards[1] for _, block in part}


@pytest.mark.parametrize("cut", range(SLICES))
def test_the_shard_is_what_training_without_the_text_makes(trained, cut):
    """The same start, the same slices, and a text that was never there."""
    work = deepcopy(trained)
    gone = work.shards[1][cut][3]
    parts = [[named for named in part if named[1].id != gone[1].id] for part in trained.shards[1]]
    module = build_model(TRAINING, lab.vocabulary(), 4 + 1)
    steps = STEPS // (SHARDS * SLICES)
    for number in range(SLICES):
        seen = {}
        for name, block in (named for part in parts[: number + 1] for named in part):
            seen.setdefault(name, []).append(block)
        recipe = TRAINING.model_copy(update={"steps": steps, "warmup_steps": min(4, steps // 4)})
        train_model(module, seen, recipe, 4 + 1000 + number, lab.CPU)
    work.remove(only(gone))
    assert hash_weights(work.models[1]) == hash_weights(module)
    assert hash_weights(work.models[1]) != hash_weights(trained.models[1])


def test_what_is_removed_is_never_read_again(trained, monkeypatch):
    import untrac_core.training.recipe

    read = []
    original = untrac_core.training.recipe.batch_losses
    monkeypatch.setattr(
        untrac_core.training.recipe, "batch_losses", lambda m, batch, d: read.extend(batch) or original(m, batch, d)
    )
    work = deepcopy(trained)
    gone = {block.id for block in BLOCKS["toxic"]}
    assert work.remove(lambda name, block: name == "toxic") == [0, 1, 2]
    assert read
    assert not gone & {block.id for block in read}


def test_a_second_removal_goes_on_from_the_first(trained):
    """What was removed stays away, and what the shard was before each slice is that of the first removal."""
    one = deepcopy(trained)
    first, second = one.shards[0][0][1], one.shards[0][1][2]
    one.remove(only(first))
    one.remove(only(second))
    both = deepcopy(trained)
    both.remove(only(first, second))
    assert hash_weights(one.models[0]) == hash_weights(both.models[0])
    assert one.remove(only(first)) == []


def test_a_slice_that_is_emptied_trains_nothing(trained):
    work = deepcopy(trained)
    assert work.remove(only(*work.shards[2][0])) == [2]
    assert work.steps_taken - STEPS == STEPS // (SHARDS * SLICES)
    assert work.shards[2][0] == []
    everything = deepcopy(trained)
    everything.remove(only(*[named for part in everything.shards[2] for named in part]))
    untrained = build_model(TRAINING, lab.vocabulary(), 4 + 2)
    assert hash_weights(everything.models[2]) == hash_weights(untrained)


def test_a_random_text_costs_less_than_its_shard(monkeypatch):
    """(1 / S) (1 / 2 + 1 / 2R) of all steps in the mean, as every slice has as many of them."""
    import untrac_core.unlearning.methods.sisa as sisa

    monkeypatch.setattr(sisa, "train_model", lambda *args: None)  # steps are counted, not taken
    for shards, slices in ((3, 2), (4, 3), (2, 1)):
        whole = sharded(shards, slices)
        costs = []
        for name, blocks in BLOCKS.items():
            for block in blocks:
                work = deepcopy(whole)
                work.remove(only((name, block)))
                costs.append((work.steps_taken - whole.steps_taken) / whole.steps_taken)
        assert np.mean(costs) == pytest.approx((1 / 2 + 1 / (2 * slices)) / shards)
        assert (np.mean(costs) < 1 / shards) == (slices > 1)


def test_the_ensemble_is_a_copy_and_learns(trained):
    ensemble = trained.ensemble()
    assert not ensemble.training
    untrained = Ensemble([build_model(TRAINING, lab.vocabulary(), 4 + shard) for shard in range(SHARDS)])
    texts = [block for blocks in BLOCKS.values() for block in blocks]
    assert lab.loss(ensemble, texts) < lab.loss(untrained, texts) - 0.5
    with torch.no_grad():
        next(ensemble.parameters()).zero_()
    assert hash_weights(trained.models[0]) != hash_weights(ensemble.members[0])


def test_too_few_texts_are_refused():
    with pytest.raises(InputError, match="too few for 64 shards"):
        sharded(64, 2)


def test_training_repeats():
    first, second, other = sharded(2, 2), sharded(2, 2), sharded(2, 2, seed=5)
    assert [hash_weights(m) for m in first.models] == [hash_weights(m) for m in second.models]
    assert hash_weights(first.models[0]) != hash_weights(other.models[0])
