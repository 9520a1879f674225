"""Leave-two-out: which pairs are trained without, what an interaction is, and when seeds alone would make it."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import CHEAP, leave_out_of, validate_spec
from untrac_core.errors import InputError
from untrac_core.results.folders import PAIRS, read_frame
from untrac_core.tasks.run import validate
from untrac_core.tasks.validate.additions.pairs import Interactions, PairNoise, chosen_pairs, pair_weights, side_row
from untrac_core.tasks.validate.additions.sets import SetLosses, score_rows
from untrac_core.tasks.validate.check import check_validate, count_trainings

NAMES = ["a", "b", "c", "d", "e", "f"]
SIZES = dict(zip(NAMES, (1.0, 2.0, 3.0, 1.0, 2.0, 1.0), strict=True))
GAIN = dict(zip(NAMES, (5.0, 3.0, 1.0, 0.0, -2.0, -4.0), strict=True))
EVERY = [frozenset(pair) for pair in itertools.combinations(NAMES, 2)]


def loss(without, extra=0.0):
    """Of a model to which a token of each subset is worth its gain, whatever else it reads."""
    kept = [name for name in NAMES if name not in without]
    return 9 - sum(SIZES[name] * GAIN[name] for name in kept) / sum(SIZES[name] for name in kept) + extra


def influences():
    return {name: loss({name}) - loss(()) for name in NAMES}


def found_of(pairs, extra=lambda pair: 0.0, noise=0.0, seeds=3, draw=None, known=None):
    """The interactions of pairs in that world, each training with noise of its own."""
    draw = draw or np.random.default_rng(0)
    weights = pair_weights(NAMES, pairs, SIZES)
    single = np.array(list(influences().values())) + noise * draw.normal(size=(seeds, len(NAMES)))
    both = np.array([loss(pair, extra(pair)) - loss(()) for pair in pairs]) + noise * draw.normal(
        size=(seeds, len(pairs))
    )
    full = noise * draw.normal(size=(seeds, 1))  # the training on everything is part of every difference
    return Interactions(both - full, (single - full) @ weights.T, known or PairNoise(weights, seeds))


def test_influences_that_add_up_leave_no_interaction():
    found = found_of(EVERY)
    np.testing.assert_allclose(found.means, 0, atol=1e-12)
    plain = np.array([sum(influences()[name] for name in pair) for pair in EVERY])
    assert np.abs(found.both[0] - plain).max() > 0.1  # for the plain sum they do not add up


def test_a_pair_that_stands_in_for_each_other_is_found_among_noise():
    pair = frozenset("ab")
    found = found_of(EVERY, extra=lambda one: 0.5 * (one == pair), noise=0.03)
    beyond = np.abs(found.means) > found.margin
    assert beyond.tolist() == [one == pair for one in EVERY]
    row = side_row(("set", "harmful"), found)
    assert row["separable"]
    assert row["interaction"] == pytest.approx(0.5 / len(EVERY) ** 0.5, rel=0.3)
    assert row["noise"] < 0.5 * row["interaction"]


@pytest.mark.parametrize(("seeds", "pairs"), [(2, EVERY), (3, EVERY[::5])], ids=["every pair", "three pairs"])
def test_noise_alone_is_told_apart_from_nothing_19_of_20_times(seeds, pairs):
    draw, times = np.random.default_rng(7), 1000
    known = PairNoise(pair_weights(NAMES, pairs, SIZES), seeds)
    found = [found_of(pairs, noise=1.0, seeds=seeds, draw=draw, known=known) for _ in range(times)]
    some = sum(bool((np.abs(one.means) > one.margin).any()) for one in found)
    tested = sum(side_row(("set", "harmful"), one)["separable"] for one in found)
    assert 0.03 * times <= some <= 0.07 * times
    assert 0.03 * times <= tested <= 0.07 * times


def test_one_seed_cannot_tell():
    found = found_of(EVERY, noise=0.1, seeds=1)
    row = side_row(("set", "harmful"), found)
    assert (row["noise"], row["p_value"], row["separable"]) == (None, None, False)
    assert np.isnan(found.margin)


def test_sums_of_influence_are_scored_at_the_shares_that_the_rest_has():
    truth = SetLosses(EVERY, {("set", "harmful"): np.array([loss(pair) for pair in EVERY])}, SIZES)
    rows = [("m", "set", "harmful", name, value) for name, value in influences().items()]
    estimates = pd.DataFrame(rows, columns=["method", "prompt_set", "side", "subset", "influence"])
    [row] = score_rows(truth, estimates, {})
    assert row["value"] == pytest.approx(1.0)
    found = truth.predicted(influences()) + loss(())
    np.testing.assert_allclose(found, truth.losses["set", "harmful"], atol=1e-12)


def test_named_pairs_come_first_and_none_comes_twice(world):
    names = ["fishers", "weavers", "smiths"]
    spec = validate_spec(world, named_pairs=[["smiths", "weavers"]])
    assert chosen_pairs(names, spec) == [frozenset({"smiths", "weavers"})]
    both = validate_spec(world, named_pairs=[["smiths", "weavers"]], pairs=1)
    assert len(set(chosen_pairs(names, both))) == 2
    every = validate_spec(world, pairs=50)
    assert set(chosen_pairs(names, every)) == {frozenset(pair) for pair in itertools.combinations(names, 2)}
    assert count_trainings(every) == count_trainings(validate_spec(world)) + 2 * 3
    assert chosen_pairs(names, validate_spec(world)) == []


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([["smiths", "smiths"]], "names one subset twice"),
        ([["smiths", "weavers"], ["weavers", "smiths"]], "two pairs are named 'smiths and weavers'"),
        ([["smiths"]], "at least 2"),
        ([["smiths", "nobody"]], "there is no subset 'nobody'"),
    ],
)
def test_pairs_that_cannot_be_left_out_are_refused(world, pairs, said):
    with pytest.raises(InputError, match=said):
        check_validate(validate_spec(world, named_pairs=pairs))


@pytest.mark.slow  # trains twelve models
def test_from_end_to_end_with_cells_that_are_kept(world, tmp_path):
    plain = validate_spec(world, methods=CHEAP)
    validate(plain, tmp_path / "plain", cache=tmp_path / "cells", threads=1)
    before = set((tmp_path / "cells").rglob("*.parquet"))
    spec = plain.model_copy(update={"named_pairs": [["smiths", "weavers"]], "pairs": 1})
    result = validate(spec, tmp_path / "out", cache=tmp_path / "cells", threads=1)
    assert len(set((tmp_path / "cells").rglob("*.parquet")) - before) == 4
    told = result.summary["pairs"]
    assert (told["count"], told["seeds"], told["scores"]) == (2, [0, 1], [])
    table = read_frame(tmp_path / "out" / PAIRS)
    assert table["without"].iloc[0] == "smiths\nweavers"
    row = next(row for row in told["interactions"] if row["side"] == "harmful")
    own = table[(table["without"] == "smiths\nweavers") & (table["side"] == "harmful")]
    assert row["interaction"] == pytest.approx((own["both"] - own["expected"]).mean())
    assert row["low"] < row["interaction"] < row["high"]
    # By hand: three subsets of one size, so that a sum counts (1 - 1/3) / (1 - 2/3) times.
    truth = result.ground_truth[result.ground_truth["side"] == "harmful"]
    singles = truth[truth["subset"] != "fishers"].groupby("seed")["influence"].sum()
    np.testing.assert_allclose(own["expected"], 2 * singles, rtol=1e-9)
    leave_out = leave_out_of(spec, tmp_path / "again")
    cells = [*leave_out.set_cells(0, [frozenset({"smiths", "weavers"})]), leave_out.cells([0])[0]]
    frames = [leave_out.run(cell).query("side == 'harmful'") for cell in cells]
    losses = [frame["loss"].sum() / frame["tokens"].sum() for frame in frames]
    assert own["both"].iloc[0] == pytest.approx(losses[0] - losses[1], abs=1e-6)
