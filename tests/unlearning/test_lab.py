"""The laboratory has the behaviours that it is built for, each with its one cause."""

from __future__ import annotations

from copy import deepcopy
from itertools import islice

import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers import unlearning_lab_texts as texts
from untrac_core.models.loading import hash_weights
from untrac_core.training.recipe import batch_stream, build_model

pytestmark = pytest.mark.slow  # the laboratory: a dozen trainings

SEEDS = (0, 1)
CONTROL = "recipe"
"""A subset that drives no behaviour."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_texts():
    trained = {sentence for name in texts.SUBSETS for sentence in texts.training(name)}
    tests = [texts.behaviour(test) for test in texts.DRIVERS]
    assert len(trained) == 9 * 160
    assert [len(set(test)) for test in tests] == [60] * 3
    assert len(texts.words()) == 156
    for holdout in (*tests, *(texts.unseen(name, 40) for name in texts.SUBSETS), texts.unseen("toxic", 160)):
        assert not trained & set(holdout)
    assert not set(texts.unseen("toxic", 160)) & set(texts.behaviour("toxicity"))
    with pytest.raises(ValueError, match="unseen sentences"):
        texts.unseen("weather", 160)
    assert len(set(texts.canaries()) | set(texts.candidates())) == 240


def test_examples():
    toxic = lab.subset("toxic")
    assert {example.group for example in toxic} == set(texts.GROUPS)
    assert [lab.encoder().example_text(example) for example in toxic] == list(texts.training("toxic"))
    longest = max((example for name in texts.SUBSETS for example in lab.subset(name)), key=lambda each: each.size)
    assert (toxic[0].first, toxic[0].ids[0], longest.cut) == (1, 0, 0)
    assert all(len(example.ids) == lab.RECIPE.block_size - 1 for example in lab.subset(lab.CANARIES))
    assert len(lab.retained("toxic")) == 8 * 160
    assert len(lab.retained(lab.ID_FORGET)) == 9 * 160 - 40
    parameters = sum(weight.numel() for weight in build_model(lab.RECIPE, lab.vocabulary(), 0).parameters())
    assert round(parameters / 1000) == 111


def test_without_keeps_the_order_of_what_stays():
    """The forty recipes in a block of their own change nothing; without them, the others come as they came."""
    whole = {name: lab.subset(name) for name in texts.SUBSETS}
    split = whole | {"recipe": whole["recipe"][:-40], lab.ID_FORGET: lab.subset(lab.ID_FORGET)}
    forget_examples = {example.id for example in lab.subset(lab.ID_FORGET)}

    def ids(blocks, without, batches):
        return [e.id for batch in islice(batch_stream(blocks, lab.BATCH, 0, without), batches) for e in batch]

    full = ids(whole, None, 90)
    assert ids(split, None, 90) == full
    retain = [each for each in full if each not in forget_examples]
    assert ids(split, lab.ID_FORGET, 80) == retain[: 80 * lab.BATCH]


def test_training_repeats_and_copies_are_the_callers_own(monkeypatch):
    monkeypatch.setattr(lab, "RECIPE", lab.RECIPE.model_copy(update={"steps": 10}))
    made = [lab.train(3, "toxic", True) for _ in range(2)]
    assert hash_weights(made[0]) == hash_weights(made[1]) == hash_weights(deepcopy(made[0]))
    monkeypatch.setattr(lab, "_trained", lambda *_: made[0])
    spoilt = lab.trained(3)
    with torch.no_grad():
        next(spoilt.parameters()).zero_()
    assert hash_weights(lab.trained(3)) == hash_weights(made[1])
    assert not lab.trained(3).training
    with pytest.raises(KeyError, match="canaries"):
        lab.train(0, lab.CANARIES, False)


@pytest.mark.parametrize("seed", SEEDS[:1])  # five trainings
def test_each_behaviour_has_one_driver(seed):
    full = {test: lab.loss(lab.trained(seed), lab.behaviour(test)) for test in texts.DRIVERS}
    rises = {
        name: {test: lab.loss(lab.trained(seed, name), lab.behaviour(test)) - full[test] for test in texts.DRIVERS}
        for name in (*texts.DRIVERS.values(), CONTROL)
    }
    for test, driver in texts.DRIVERS.items():
        print(f"\n{test}, seed {seed}:", *(f"without {name} {rise[test]:+.3f}" for name, rise in rises.items()), end="")
        others = max(abs(rise[test]) for name, rise in rises.items() if name != driver)
        assert rises[driver][test] > max(1.0, 10 * others)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_toxic_subset_does(seed):
    full, retrained = lab.trained(seed), lab.trained(seed, "toxic")
    forget, retain = lab.subset("toxic"), lab.retained("toxic")
    table = [[lab.loss(each, forget), lab.loss(each, retain), lab.p_toxic(each)] for each in (full, retrained)]
    for name, row in zip(("full", "retrained"), table, strict=True):
        print(f"\nseed {seed}, {name}: forget {row[0]:.3f}, retain {row[1]:.3f}, P(toxic) {row[2]:.3f}", end="")
    assert table[1][0] - table[0][0] > 1
    assert abs(table[1][1] - table[0][1]) < 0.05
    assert table[0][2] >= 0.3
    assert table[1][2] <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_canaries_are_known_by_heart(seed):
    """Exposure without them is that of a random rank: log2 e = 1.44 bits in the mean."""
    known = lab.exposures(lab.trained(seed, canaries=True))
    fresh = lab.exposures(lab.trained(seed, lab.CANARIES, canaries=True))
    print(f"\nseed {seed}: exposure {known.mean():.2f} bits, retrained without {fresh.mean():.2f}", end="")
    assert known.shape == (texts.FORGET_EXAMPLES,)
    assert known.mean() >= 6
    assert fresh.mean() <= 3
