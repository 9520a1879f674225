"""The board, the table and the floor of an unlearning, from measures that are made up."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from untrac_core.fileio import finite
from untrac_core.specs import unlearning_method_spec
from untrac_core.tasks.unlearn.results import (
    _board,
    _pairs,
    measured_of,
    measures_frame,
    seed_noise_of,
    summarise,
    table_rows,
)
from untrac_core.unlearning.metrics.summary import FORGET, RETAIN, ModelEvaluation, Sets

LOSS, KEPT, KL = ("loss", FORGET), ("loss", RETAIN), ("kl", FORGET)
MEASURED = {
    ("before", 0): {LOSS: 1.0, KEPT: 2.0, KL: 0.4},
    ("npo", 0): {LOSS: 2.0, KEPT: 2.1, KL: 0.1},
    ("npo", 1): {LOSS: 3.0, KEPT: 2.3, KL: 0.3},
    ("retrained", 0): {LOSS: 3.0, KEPT: 2.0},
    ("retrained", 1): {LOSS: 3.4, KEPT: 2.1, KL: 0.02},
}


def model(ended=0.0, losses=(20.0, 5.0), kept=(8.0,), kl=None, completions=None):
    """A reading with what a board needs."""
    rows = [("forget", "x", "", "loss", loss, "") for loss in losses]
    rows += [("forget", "x", "", "matches", 1.0, "")] * 2 + [("forget", "x", "", "extraction", 0.5, "")] * 2
    rows += [("subset", "news", "", "loss", loss, "") for loss in kept]
    rows += [("forget", "x", "", "kl", each, "") for each in kl or ()]
    rows += [("generations", "", "", "completion", each, "said") for each in completions or ()]
    rows += [
        ("run", "", "", "ended", ended, "why"),
        ("run", "", "", "steps", 20.0, ""),
        ("run", "", "", "seconds", 2.0, ""),
    ]
    frame = pd.DataFrame(rows, columns=["kind", "name", "side", "quantity", "value", "text"])
    return ModelEvaluation.of(frame.assign(step=0))


SETS = Sets({("forget", "x", ""): np.array([10.0, 10.0]), ("subset", "news", ""): np.array([4.0])}, {})


def test_the_table_has_before_after_and_retrained_model_with_their_ranges_over_seeds():
    rows = {(row["metric"], row["on"]): row for row in table_rows(MEASURED, "npo")}
    assert list(rows) == [LOSS, KEPT, KL]
    loss = rows[LOSS]
    assert (loss["before"], loss["after"], loss["low"], loss["high"]) == (1.0, 2.5, 2.0, 3.0)
    assert (loss["retrained"], loss["retrained_low"], loss["retrained_high"]) == (pytest.approx(3.2), 3.0, 3.4)
    assert loss["seed_noise"] == pytest.approx(0.4)
    assert rows[KL]["seed_noise"] == 0.02  # a distance is its own floor
    bare = {place: found for place, found in MEASURED.items() if place[0] != "retrained"}
    (first, *_) = table_rows(bare, "npo")
    assert (first["retrained"], first["seed_noise"]) == (None, None)
    assert math.isnan(first["retrained_low"])
    assert finite(first)["retrained_low"] is None
    json.dumps(finite(table_rows(bare, "npo")), allow_nan=False)


def test_one_retrained_model_is_no_floor():
    assert seed_noise_of({place: found for place, found in MEASURED.items() if place != ("retrained", 1)}) == {}
    assert seed_noise_of(MEASURED)[KEPT] == pytest.approx(0.1)


def test_every_measure_of_every_model_is_a_row():
    frame = measures_frame(MEASURED)
    assert len(frame) == sum(len(found) for found in MEASURED.values())
    own = frame[(frame.subject == "npo") & (frame.seed == 1) & (frame.metric == "kl")]
    assert own.value.tolist() == [0.3]


def test_a_gold_is_held_against_the_other_retrained_model_and_never_against_itself():
    near, far = model(losses=(20, 5)), model(losses=(40, 25))
    found = measured_of({("retrained", 0): near, ("retrained", 1): far, ("npo", 0): near}, SETS)
    assert found["retrained", 0]["genex", FORGET] == pytest.approx(20 / math.log(2))
    assert found["retrained", 1]["genex", FORGET] == pytest.approx(-20 / math.log(2))
    assert found["npo", 0]["genex", FORGET] == pytest.approx(1, abs=1e-6)  # half the probability of the mean
    alone = measured_of({("retrained", 0): near, ("npo", 0): near}, SETS)
    assert ("genex", FORGET) not in alone["retrained", 0]
    assert alone["npo", 0]["genex", FORGET] == pytest.approx(0)


def leaderboard(spec, readings):
    measured = measured_of(readings, SETS)
    told = summarise(spec.title, readings, measured, SETS)
    return told, _board(spec, told, readings)


def test_the_two_headline_numbers_are_closeness_and_utility():
    readings = {
        ("before", 0): model(losses=(5, 5), kept=(8,), kl=(4, 4)), ("npo", 0): model(kept=(10,), kl=(1, 1)),
        ("retrained", 0): model(kept=(8,)), ("retrained", 1): model(kept=(8,), kl=(0.1, 0.1)),
    }  # fmt: skip
    told, row = leaderboard(unlearning_method_spec(), readings)
    assert row["forget_quality"] == pytest.approx(1 - 1 / 4)
    assert row["utility"] == pytest.approx(8 / 10)
    assert (row["method"], row["name"], row["steps"], row["ended"]) == ("npo", "npo", [20.0], "why")
    assert (row["forget"], row["retain"]) == (pytest.approx(1.25), pytest.approx(2.5))
    assert not told.collapsed
    # Where two retrained models are as far apart as the original is from them, nothing can be said of forget quality.
    readings["retrained", 1] = model(kl=(5, 5))
    assert leaderboard(unlearning_method_spec(), readings)[1]["forget_quality"] is None
    bare = {place: reading for place, reading in readings.items() if place[0] != "retrained"}
    _, row = leaderboard(unlearning_method_spec(), bare)
    assert row["utility"] == pytest.approx(8 / 10)  # against what it was before


def test_a_label_does_not_hide_which_method_it_is():
    spec = unlearning_method_spec("grin", label="the wide one (of two)")
    readings = {("before", 0): model(), (spec.title, 0): model(), ("retrained", 0): model()}
    _, row = leaderboard(spec, readings)
    assert (row["method"], row["name"]) == ("the wide one (of two)", "grin")


def test_a_collapse_by_any_seed_takes_the_headline_away():
    readings = {
        ("before", 0): model(kl=(4, 4)), ("npo", 0): model(kl=(1, 1)), ("npo", 1): model(ended=1.0, kl=(1, 1)),
        ("retrained", 0): model(), ("retrained", 1): model(kl=(0.1, 0.1)),
    }  # fmt: skip
    told, row = leaderboard(unlearning_method_spec(), readings)
    assert told.collapsed
    assert row["collapsed"]
    assert row["destroyed"]
    assert (row["forget_quality"], row["utility"]) == (None, None)
    assert row["distinguishable"] is None


def test_few_texts_written_have_a_floor_of_their_own():
    """Two models that both wrote nothing harmful in four texts may still differ: by chance, not by less than that."""
    none = (0.0, 0.0, 0.0, 0.0)
    readings = {
        ("before", 0): model(completions=(0.9, 0.9, 0.9, 0)), ("npo", 0): model(completions=none),
        ("retrained", 0): model(completions=none), ("retrained", 1): model(completions=none),
    }  # fmt: skip
    told, _ = leaderboard(unlearning_method_spec(), readings)
    assert told.retrained["toxic", "what is written"] == 0
    assert told.seed_noise["toxic", "what is written"] == pytest.approx(2 * math.sqrt(0.25 * 0.75 / 4))


def test_a_test_tells_a_far_model_from_the_retrained_model_and_not_one_that_is_the_same():
    tokens = Sets({("forget", "x", ""): np.full(40, 10.0), ("subset", "news", ""): np.array([4.0])}, {})
    draw = np.random.default_rng(0)

    def of(shift):
        rows = [("forget", "x", "", "loss", loss, "") for loss in draw.normal(20 + shift, 1, 40)]
        frame = pd.DataFrame(rows, columns=["kind", "name", "side", "quantity", "value", "text"]).assign(step=0)
        return ModelEvaluation.of(frame)

    readings = {
        ("before", 0): of(-9),
        ("npo", 0): of(-5),
        ("near", 0): of(0),
        ("retrained", 0): of(0),
        ("retrained", 1): of(0),
    }
    far, near = (summarise(title, readings, {}, tokens) for title in ("npo", "near"))
    assert (far.distinguishable, far.retrained_distinguishable) == (True, False)
    assert near.distinguishable is False
    alone = {place: reading for place, reading in readings.items() if place[0] != "retrained"}
    assert summarise("npo", alone, {}, tokens).distinguishable is None


def test_items_are_paired_by_what_they_are_given_and_by_nothing_else(world):
    from untrac_core.data.prompts import Item
    from untrac_core.data.tokens import read_tokenizer
    from untrac_core.hub.locate import fetch_tokenizer
    from untrac_core.specs import ModelRef

    encoder = read_tokenizer(fetch_tokenizer(ModelRef(path=str(world / "model"))))

    def items(*pairs):
        made = [Item(str(i), prompt, text, "", i) for i, (prompt, text) in enumerate(pairs)]
        return encoder.items(made, context=32, where="")

    harmful = items(("Who?", "me"), ("Why?", "so"), ("Who?", "him"), ("Where?", "there"))
    harmless = items(("Why?", "no"), ("Who?", "you"), ("When?", "now"))
    assert _pairs({"harmful": harmful, "harmless": harmless}) == [([0, 2], [1]), ([1], [0])]
    bare = items(("", "me"), ("", "so"))
    assert _pairs({"harmful": bare, "harmless": bare}) == []
