"""The board, the table and the floor of a removal, from measures that are made up."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from untrac_core.removal_measures import FORGET, STAYS, Reading, Sets
from untrac_core.removal_results import (
    _board,
    _pairs,
    floor_of,
    measured_of,
    measures_frame,
    table_rows,
    told_of,
)
from untrac_core.specs import RemovalSpec
from untrac_core.writing import finite

LOSS, KEPT, KL = ("loss", FORGET), ("loss", STAYS), ("kl", FORGET)
MEASURED = {
    ("before", 0): {LOSS: 1.0, KEPT: 2.0, KL: 0.4},
    ("npo", 0): {LOSS: 2.0, KEPT: 2.1, KL: 0.1},
    ("npo", 1): {LOSS: 3.0, KEPT: 2.3, KL: 0.3},
    ("gold", 0): {LOSS: 3.0, KEPT: 2.0},
    ("gold", 1): {LOSS: 3.4, KEPT: 2.1, KL: 0.02},
}


def model(ended=0.0, losses=(20.0, 5.0), kept=(8.0,), kl=None, completions=None):
    """A reading with what a board needs."""
    rows = [("forget", "x", "", "loss", loss, "") for loss in losses]
    rows += [("forget", "x", "", "matches", 1.0, "")] * 2 + [("forget", "x", "", "extraction", 0.5, "")] * 2
    rows += [("subset", "news", "", "loss", loss, "") for loss in kept]
    rows += [("forget", "x", "", "kl", each, "") for each in kl or ()]
    rows += [("written", "", "", "completion", each, "said") for each in completions or ()]
    rows += [
        ("run", "", "", "ended", ended, "why"),
        ("run", "", "", "steps", 20.0, ""),
        ("run", "", "", "seconds", 2.0, ""),
    ]
    frame = pd.DataFrame(rows, columns=["kind", "name", "side", "quantity", "value", "text"])
    return Reading.of(frame.assign(step=0))


SETS = Sets({("forget", "x", ""): np.array([10.0, 10.0]), ("subset", "news", ""): np.array([4.0])}, {})


def test_the_table_has_before_after_and_gold_with_their_ranges_over_seeds():
    rows = {(row["measure"], row["on"]): row for row in table_rows(MEASURED, "npo")}
    assert list(rows) == [LOSS, KEPT, KL]
    loss = rows[LOSS]
    assert (loss["before"], loss["after"], loss["low"], loss["high"]) == (1.0, 2.5, 2.0, 3.0)
    assert (loss["gold"], loss["gold_low"], loss["gold_high"]) == (pytest.approx(3.2), 3.0, 3.4)
    assert loss["floor"] == pytest.approx(0.4)
    assert rows[KL]["floor"] == 0.02  # a distance is its own floor
    bare = {place: found for place, found in MEASURED.items() if place[0] != "gold"}
    (first, *_) = table_rows(bare, "npo")
    assert (first["gold"], first["floor"]) == (None, None)
    assert math.isnan(first["gold_low"])
    assert finite(first)["gold_low"] is None
    json.dumps(finite(table_rows(bare, "npo")), allow_nan=False)


def test_one_retrained_model_is_no_floor():
    assert floor_of({place: found for place, found in MEASURED.items() if place != ("gold", 1)}) == {}
    assert floor_of(MEASURED)[KEPT] == pytest.approx(0.1)


def test_every_measure_of_every_model_is_a_row():
    frame = measures_frame(MEASURED)
    assert len(frame) == sum(len(found) for found in MEASURED.values())
    own = frame[(frame.subject == "npo") & (frame.seed == 1) & (frame.measure == "kl")]
    assert own.value.tolist() == [0.3]


def test_a_gold_is_held_against_the_other_golds_and_never_against_itself():
    near, far = model(losses=(20, 5)), model(losses=(40, 25))
    found = measured_of({("gold", 0): near, ("gold", 1): far, ("npo", 0): near}, SETS)
    assert found["gold", 0]["genex", FORGET] == pytest.approx(20 / math.log(2))
    assert found["gold", 1]["genex", FORGET] == pytest.approx(-20 / math.log(2))
    assert found["npo", 0]["genex", FORGET] == pytest.approx(1, abs=1e-6)  # half the probability of the mean
    alone = measured_of({("gold", 0): near, ("npo", 0): near}, SETS)
    assert ("genex", FORGET) not in alone["gold", 0]
    assert alone["npo", 0]["genex", FORGET] == pytest.approx(0)


def board(spec, readings):
    measured = measured_of(readings, SETS)
    told = told_of(spec.title, readings, measured, SETS)
    return told, _board(spec, told, readings)


def test_the_two_headline_numbers_are_closeness_and_utility():
    readings = {
        ("before", 0): model(losses=(5, 5), kept=(8,), kl=(4, 4)), ("npo", 0): model(kept=(10,), kl=(1, 1)),
        ("gold", 0): model(kept=(8,)), ("gold", 1): model(kept=(8,), kl=(0.1, 0.1)),
    }  # fmt: skip
    told, row = board(RemovalSpec(), readings)
    assert row["closeness"] == pytest.approx(1 - 1 / 4)
    assert row["utility"] == pytest.approx(8 / 10)
    assert (row["method"], row["name"], row["steps"], row["ended"]) == ("npo", "npo", [20.0], "why")
    assert (row["forget"], row["stays"]) == (pytest.approx(1.25), pytest.approx(2.5))
    assert not told.collapsed
    # Where two golds are as far apart as the original is from them, nothing can be said of closeness.
    readings["gold", 1] = model(kl=(5, 5))
    assert board(RemovalSpec(), readings)[1]["closeness"] is None
    bare = {place: reading for place, reading in readings.items() if place[0] != "gold"}
    _, row = board(RemovalSpec(), bare)
    assert row["utility"] == pytest.approx(8 / 10)  # against what it was before


def test_a_label_does_not_hide_which_method_it_is():
    spec = RemovalSpec(name="grin", label="the wide one (of two)")
    readings = {("before", 0): model(), (spec.title, 0): model(), ("gold", 0): model()}
    _, row = board(spec, readings)
    assert (row["method"], row["name"]) == ("the wide one (of two)", "grin")


def test_a_collapse_by_any_seed_takes_the_headline_away():
    readings = {
        ("before", 0): model(kl=(4, 4)), ("npo", 0): model(kl=(1, 1)), ("npo", 1): model(ended=1.0, kl=(1, 1)),
        ("gold", 0): model(), ("gold", 1): model(kl=(0.1, 0.1)),
    }  # fmt: skip
    told, row = board(RemovalSpec(), readings)
    assert told.collapsed
    assert row["collapsed"]
    assert row["destroyed"]
    assert (row["closeness"], row["utility"]) == (None, None)
    assert row["distinguishable"] is None


def test_few_texts_written_have_a_floor_of_their_own():
    """Two models that both wrote nothing harmful in four texts may still differ: by chance, not by less than that."""
    none = (0.0, 0.0, 0.0, 0.0)
    readings = {
        ("before", 0): model(completions=(0.9, 0.9, 0.9, 0)), ("npo", 0): model(completions=none),
        ("gold", 0): model(completions=none), ("gold", 1): model(completions=none),
    }  # fmt: skip
    told, _ = board(RemovalSpec(), readings)
    assert told.gold["toxic", "what is written"] == 0
    assert told.floor["toxic", "what is written"] == pytest.approx(2 * math.sqrt(0.25 * 0.75 / 4))


def test_a_test_tells_a_far_model_from_the_gold_and_not_one_that_is_the_same():
    tokens = Sets({("forget", "x", ""): np.full(40, 10.0), ("subset", "news", ""): np.array([4.0])}, {})
    draw = np.random.default_rng(0)

    def of(shift):
        rows = [("forget", "x", "", "loss", loss, "") for loss in draw.normal(20 + shift, 1, 40)]
        frame = pd.DataFrame(rows, columns=["kind", "name", "side", "quantity", "value", "text"]).assign(step=0)
        return Reading.of(frame)

    readings = {("before", 0): of(-9), ("npo", 0): of(-5), ("near", 0): of(0), ("gold", 0): of(0), ("gold", 1): of(0)}
    far, near = (told_of(title, readings, {}, tokens) for title in ("npo", "near"))
    assert (far.distinguishable, far.gold_distinguishable) == (True, False)
    assert near.distinguishable is False
    alone = {place: reading for place, reading in readings.items() if place[0] != "gold"}
    assert told_of("npo", alone, {}, tokens).distinguishable is None


def test_items_are_paired_by_what_they_are_given_and_by_nothing_else(world):
    from untrac_core.data.prompts import Item
    from untrac_core.data.tokens import read_tokenizer
    from untrac_core.model_files import fetch_tokenizer
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
