"""Choices between the two texts of a pair: which one a model takes, and which rankings tell how that changes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from tests.helpers.validations import NAMES, validate_spec
from untrac_core.cells import Cell
from untrac_core.stats.clusters import clusters_by_side
from untrac_core.tasks.validate.additions.choices import choice_summary, choices_of, pair_choices
from untrac_core.tasks.validate.findings import Findings

PAIRS = 40
PUSH = dict(zip(NAMES, (0.5, 0.25, 0.0, -0.25, -0.5), strict=True))
"""By how much a subset lowers the loss of every harmful text."""


def clusters_of(harmful, harmless):
    return clusters_by_side({"harmful": harmful, "harmless": harmless})


def test_the_likeliest_text_of_a_question_is_chosen():
    clusters = clusters_of(["a", "a", "b", "c", "d"], ["a", "b", "b", "c", "e"])
    losses = np.array([5.0, 3.0, 4.0, 2.0, 1.0, 4.0, 6.0, 3.5, 2.0, 1.0])
    # a: 3 against 4; b: 4 against 3.5; c: a tie; d and e have no other side.
    assert pair_choices(losses, clusters).tolist() == [1.0, 0.0, 0.5]


@pytest.fixture
def found(tmp_path):
    """Findings of trainings in which each subset makes the harmful texts likelier by its push."""
    spec, names = validate_spec(tmp_path), [f"p{i}" for i in range(PAIRS)]
    clusters = clusters_of(names, names)
    gaps = np.random.default_rng(0).normal(size=PAIRS)
    cells, frames = [], []
    for seed in spec.seeds:
        for without in ("", *NAMES):
            lack = 0.0 if not without else PUSH[without]
            losses = np.concatenate([30 + gaps + lack, np.full(PAIRS, 30.0)])
            frame = {"prompt_set": "toxicity", "side": ["harmful"] * PAIRS + ["harmless"] * PAIRS, "loss": losses}
            frames.append(pd.DataFrame(frame | {"example": [*range(PAIRS)] * 2, "tokens": 6, "train_loss": 1.0}))
            cells.append(Cell("", "", seed, without))
    return Findings(spec, cells, frames, [], {("toxicity", side): of for side, of in clusters.items()})


def test_a_subset_that_pushes_towards_one_text_makes_it_chosen_more_often(found):
    [told] = choice_summary(found)["choices"]
    gaps = np.random.default_rng(0).normal(size=PAIRS)
    assert (told["prompt_set"], told["pairs"]) == ("toxicity", PAIRS)
    assert told["rate"] == pytest.approx((gaps < 0).mean())
    changes = {row["subset"]: row for row in told["changes"]}
    for name, push in PUSH.items():
        assert changes[name]["change"] == pytest.approx((gaps < 0).mean() - (gaps + push < 0).mean())
    assert changes["forum"]["low"] > 0 > changes["poems"]["high"]
    [own] = told["agreement"]  # no method was asked
    assert own["method"] is None
    assert own["value"] == pytest.approx(1.0)
    assert 0.5 < own["low"] <= own["value"]


def test_a_ranking_the_wrong_way_round_disagrees(found):
    [choices] = choices_of(found).values()
    told = choices.agreement(-found.per_seed["toxicity", "contrast"].mean(0))
    assert told["value"] == pytest.approx(-1.0)
    assert told["high"] < 0


@dataclass
class Unpaired:
    """What is asked of findings whose sides are not pairs."""

    truths: dict
    clusters: dict


def test_sides_that_are_no_pairs_have_no_choices(found):
    clusters = clusters_of(["a", "b"], ["c", "d"])
    assert not clusters["harmful"].paired
    truths = {("set", "harmful"): None, ("set", "harmless"): None}
    assert choice_summary(Unpaired(truths, {("set", side): of for side, of in clusters.items()})) == {}
