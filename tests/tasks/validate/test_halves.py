"""The linear datamodeling score: which halves are trained, on what, and how sums of influence are held against them."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import CHEAP, leave_out_of, validate_spec
from tests.helpers.worlds import WORDS
from untrac_core.errors import InputError
from untrac_core.results.folders import HALVES, read_frame
from untrac_core.stats.agreement import spearman
from untrac_core.tasks.run import validate
from untrac_core.tasks.validate.additions.halves import random_halves
from untrac_core.tasks.validate.additions.sets import score_rows, set_losses
from untrac_core.tasks.validate.check import check_validate, count_trainings

NAMES = ["a", "b", "c", "d", "e", "f"]
INFLUENCE = {"harmful": [5.0, 3.0, 1.0, 0.0, -2.0, -4.0], "harmless": [1.0, -1.0, 2.0, -3.0, 0.5, 0.0]}


def tables_of(halves, noise=0.0):
    """The tables of trainings whose losses are a sum over the subsets that they lack, two items of unequal length."""
    draw = np.random.default_rng(1)
    for half in halves:
        rows = []
        for side, values in INFLUENCE.items():
            loss = 9 + sum(value for name, value in zip(NAMES, values, strict=True) if name in half)
            loss += noise * draw.normal()
            rows += [("set", side, i, loss * tokens, tokens) for i, tokens in enumerate((3, 7))]
        yield pd.DataFrame(rows, columns=["prompt_set", "side", "example", "loss", "tokens"])


def estimates_of(method, influence):
    rows = [
        (method, "set", side, name, value)
        for side, values in influence.items()
        for name, value in zip(NAMES, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["method", "prompt_set", "side", "subset", "influence"])


def with_contrast(influence):
    return influence | {"contrast": [a - b for a, b in zip(influence["harmful"], influence["harmless"], strict=True)]}


def test_halves_are_different_and_the_same_each_time():
    found = random_halves(NAMES, 12)
    assert len(set(found)) == 12
    assert {len(half) for half in found} == {3}
    assert found == random_halves(NAMES, 12)
    assert found[:5] == random_halves(NAMES, 5)
    assert set(random_halves(NAMES, 50)) == set(map(frozenset, itertools.combinations(NAMES, 3)))
    assert random_halves(NAMES, 0) == []
    assert {len(half) for half in random_halves(NAMES[:5], 4)} == {2}


def test_a_linear_world_is_scored_as_by_brute_force():
    halves = random_halves(NAMES, 16)
    truth = set_losses(halves, list(tables_of(halves, noise=1.0)))
    told = with_contrast({"harmful": [4.0, 4.5, 0.0, 1.0, -1.0, -3.0], "harmless": INFLUENCE["harmless"]})
    rows = score_rows(truth, estimates_of("m", told), {"all": [("set", "harmful"), ("set", "harmless")]})
    found = {(row["prompt_set"], row["side"]): row for row in rows}
    for side, values in told.items():
        sums = [sum(values[NAMES.index(name)] for name in half) for half in halves]
        losses = [float(np.average(part.loss / part.tokens)) for part in _of(side, halves)]
        assert found["set", side]["value"] == pytest.approx(float(spearman(np.array(sums), np.array(losses))))
    both = (found["set", "harmful"]["value"] + found["set", "harmless"]["value"]) / 2
    assert found[None, "all"]["value"] == pytest.approx(both)
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def _of(side, halves):
    """Each training's rows of a side; of the contrast, the difference of the two."""
    for table in tables_of(halves, noise=1.0):
        parts = {name: part.reset_index(drop=True) for name, part in table.groupby("side")}
        if side != "contrast":
            yield parts[side]
        else:
            yield parts["harmful"].assign(loss=parts["harmful"].loss - parts["harmless"].loss)


def test_the_truth_itself_scores_one_and_its_reverse_minus_one():
    halves = random_halves(NAMES, 10)
    truth = set_losses(halves, list(tables_of(halves)))
    right = estimates_of("right", with_contrast(INFLUENCE))
    wrong = right.assign(method="wrong", influence=-right["influence"])
    rows = score_rows(truth, pd.concat([right, wrong]), {})
    assert {(row["method"], round(row["value"], 9)) for row in rows} == {("right", 1.0), ("wrong", -1.0)}


def test_a_request_needs_enough_of_them_and_is_told_their_price(world):
    with pytest.raises(InputError, match="at least 4"):
        validate_spec(world, halves=2)
    spec, plain = validate_spec(world, halves=10), validate_spec(world)
    assert count_trainings(spec) == count_trainings(plain) + 3  # of three subsets there are three halves
    assert check_validate(spec).trainings == 2 * 4 + 3


def test_a_half_reads_none_of_what_it_lacks_and_leaves_other_cells_alone(world, tmp_path):
    truth = leave_out_of(validate_spec(world), tmp_path)
    keys = [cell.key for cell in truth.cells([0])]
    lacking = frozenset({"smiths", "weavers"})
    cell = truth.set_cells(0, [lacking])[0]
    assert cell.label == "training without smiths and weavers, seed 0"
    assert cell.key not in keys
    assert {name for name, _ in truth.full.leaving(lacking).left_out()} == lacking
    assert [cell.key for cell in truth.cells([0])] == keys


@pytest.mark.slow  # trains eleven models
def test_from_end_to_end_with_cells_that_are_kept(world, tmp_path):
    plain = validate_spec(world, methods=CHEAP)
    validate(plain, tmp_path / "plain", cache=tmp_path / "cells", threads=1)
    before = set((tmp_path / "cells").rglob("*.parquet"))
    spec = plain.model_copy(update={"halves": 4})
    result = validate(spec, tmp_path / "out", cache=tmp_path / "cells", threads=1)
    assert len(set((tmp_path / "cells").rglob("*.parquet")) - before) == 3
    halves = result.summary["halves"]
    assert (halves["count"], halves["without"], halves["seed"]) == (3, 1, 0)
    assert {row["method"] for row in halves["scores"]} == {"grad-dot", "bm25", "random"}
    table = read_frame(tmp_path / "out" / HALVES)
    assert set(table["without"]) == set(WORDS)
    assert set(table["side"]) == {"harmful", "harmless", "contrast"}
    # A half that lacks one subset is the leave-one-out training of the same seed.
    truth = result.ground_truth[(result.ground_truth.seed == 0) & (result.ground_truth.side == "harmful")]
    losses = table[table.side == "harmful"].set_index("without").loss
    gaps = truth.set_index("subset").influence - losses
    assert gaps.max() - gaps.min() == pytest.approx(0, abs=1e-9)
