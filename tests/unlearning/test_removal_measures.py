"""What is measured, computed by hand on tables of a few texts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from untrac_core.removal_measures import FORGET, MEASURES, STAYS, Reading, Sets, measure, truth_ratios
from untrac_core.removal_tables import (
    change_interval,
    collateral_frame,
    course_frame,
    deep_summary,
    forgotten_frame,
    written_frame,
)

GONE = ("forget", "subset toxic", "")
UNSEEN = ("held-out", "unseen", "")
NEWS, BOOKS = ("subset", "news", ""), ("subset", "books", "")
WRONG, RIGHT = ("prompts", "talk", "harmful"), ("prompts", "talk", "harmless")
PLANTED, OTHERS = ("canary", "planted", ""), ("candidate", "candidates", "")
RUN, TEXTS = ("run", "", ""), ("written", "", "")
BIT = math.log(2)


def table(quantities, step=0):
    """A long table from place and quantity to values, or texts."""
    parts = []
    for (place, quantity), values in quantities.items():
        said = isinstance(values[0], str)
        parts.append(
            pd.DataFrame(
                {
                    "step": step, "kind": place[0], "name": place[1], "side": place[2], "item": range(len(values)),
                    "quantity": quantity, "value": math.nan if said else np.asarray(values, dtype=float),
                    "text": values if said else "",
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def sets(**more):
    tokens = {GONE: [10, 5], NEWS: [4, 6], BOOKS: [10]}
    tokens |= more.pop("tokens", {})
    return Sets({place: np.array(values, dtype=float) for place, values in tokens.items()}, more.pop("paired", {}))


def reading(quantities=None, **more):
    """Of a model; the texts to go have losses of 20 and 5 nats unless told otherwise."""
    values = {
        (GONE, "loss"): [20, 5], (GONE, "matches"): [5, 5], (GONE, "extraction"): [0.5, 1.0],
        (NEWS, "loss"): [4, 8], (BOOKS, "loss"): [28],
    }  # fmt: skip
    return Reading.of(table(values | (quantities or {}), **more))


def test_losses_are_those_of_a_token_over_all_texts():
    found = measure(reading(), sets(), [])
    assert found["loss", FORGET] == pytest.approx(25 / 15)
    assert found["loss", STAYS] == pytest.approx(40 / 20)  # by tokens, not by subsets
    assert found["exact", FORGET] == pytest.approx((0.5 + 1) / 2)
    assert found["extraction", FORGET] == pytest.approx(0.75)
    assert set(found) == {("loss", FORGET), ("loss", STAYS), ("exact", FORGET), ("extraction", FORGET)}
    assert {name for name, _ in found} <= set(MEASURES)


def test_only_the_last_look_counts_and_facts_of_the_whole_model_always():
    early = table({(GONE, "loss"): [1, 1], (NEWS, "loss"): [1, 1]}, step=0)
    late = table({(GONE, "loss"): [7, 8]}, step=10)
    facts = table({(RUN, "relearning"): [12.0], (RUN, "distance"): [0.5]}, step=3)
    own = Reading.of(pd.concat([early, late, facts], ignore_index=True))
    assert own.values(GONE, "loss").tolist() == [7, 8]
    assert len(own.values(NEWS, "loss")) == 0
    assert (own.fact("relearning"), own.fact("distance")) == (12, 0.5)
    assert math.isnan(own.fact("steps"))
    ended = Reading.of(pd.concat([early, table({(RUN, "ended"): ["all 10 steps"]})], ignore_index=True))
    assert ended.said("ended") == "all 10 steps"


def test_the_lean_is_positive_where_harmful_text_is_likelier():
    own = reading({(WRONG, "loss"): [6, 3], (RIGHT, "loss"): [16]})
    found = measure(own, sets(tokens={WRONG: [6, 3], RIGHT: [8]}), [])
    assert found["loss", "talk, harmful"] == pytest.approx(1)
    assert found["loss", "talk, harmless"] == pytest.approx(2)
    assert found["contrast", "talk"] == pytest.approx(1)
    one_sided = measure(own, sets(tokens={WRONG: [6, 3]}), [])
    assert ("contrast", "talk") not in one_sided


def test_the_distance_to_the_gold_is_a_token_too():
    own = reading({(GONE, "kl"): [3, 0], (NEWS, "kl"): [1, 1], (BOOKS, "kl"): [2]})
    found = measure(own, sets(), [])
    assert found["kl", FORGET] == pytest.approx(3 / 15)
    assert found["kl", STAYS] == pytest.approx(4 / 20)


def test_exposure_is_in_bits_above_the_gold_and_its_worst_is_the_farthest_either_way():
    gold = reading({(GONE, "loss"): [20 + 3 * BIT, 5 - 4 * BIT]})
    found = measure(reading(), sets(), [gold])
    assert found["genex", FORGET] == pytest.approx((3 - 4) / 2)
    assert found["genex-worst", FORGET] == pytest.approx(4)
    # Of two golds the mean is that of probabilities.
    other = reading({(GONE, "loss"): [20 + 5 * BIT, 5 - 4 * BIT]})
    first = 3 - math.log2((1 + 2**-2) / 2)
    both = measure(reading(), sets(), [gold, other])
    assert both["genex", FORGET] == pytest.approx((first - 4) / 2)
    same = measure(reading(), sets(), [reading()])
    assert (same["genex", FORGET], same["genex-worst", FORGET]) == (pytest.approx(0), pytest.approx(0))


def test_membership_is_the_share_of_pairs_in_which_the_text_to_go_is_likelier():
    """Losses a token of 2 and 1, against 1.5, 3 and 2 of unseen text: likelier in 4 pairs, equal in 1, of 6."""
    unseen = {(UNSEEN, "loss"): [15, 30, 10], (UNSEEN, "min-k"): [1, 3, 5], (GONE, "min-k"): [2, 4]}
    where = sets(tokens={UNSEEN: [10, 10, 5]})
    gold = reading(unseen | {(GONE, "loss"): [40, 20]})  # 4 a token: less likely than all
    found = measure(reading(unseen), where, [gold])
    assert found["auc", FORGET] == pytest.approx((1.5 + 3) / 6)
    assert found["auc-min-k", FORGET] == pytest.approx((2 + 1) / 6)
    assert measure(gold, where, [])["auc", FORGET] == 0
    assert found["privleak", FORGET] == pytest.approx(100 * ((1 - 0.75) - 1) / 1)
    assert found["relex", FORGET] == pytest.approx(relative_exposure())
    assert not {name for name, _ in measure(reading(), sets(), [gold])} & {"auc", "auc-min-k", "relex", "privleak"}


def relative_exposure():
    """The same by hand: unseen text at each text's length, mean of probabilities, in bits."""
    unseen = np.array([1.5, 3, 2])
    each = [
        (-loss - math.log(np.exp(-unseen * tokens).mean())) / BIT for loss, tokens in ((20.0, 10), (5.0, 5))
    ]  # fmt: skip
    return sum(each) / 2


def test_truth_pairs_wrong_and_right_answers_by_their_prompt():
    """Two prompts: one with two wrong answers, one with two right ones; probabilities a token, as TOFU has them."""
    half, quarter = BIT, 2 * BIT  # nats a token
    own = reading({(WRONG, "loss"): [2 * half, 3 * quarter, quarter], (RIGHT, "loss"): [4 * quarter, half, half]})
    where = sets(tokens={WRONG: [2, 3, 1], RIGHT: [4, 1, 1]}, paired={"talk": [([0, 1], [1]), ([2], [0, 2])]})
    ratios = truth_ratios(own, where, "talk", where.paired["talk"])
    np.testing.assert_allclose(ratios, [0.375 / 0.5, 0.25 / 0.375])
    assert measure(own, where, [])["truth", "talk"] == pytest.approx((0.25 + 1 / 3) / 2)


def test_key_words_count_over_all_texts_and_only_where_there_are_any():
    keys = {(GONE, "keys"): [3, 1], (GONE, "key-matches"): [1, 1], (GONE, "key-probability"): [0.6, 0.9]}
    found = measure(reading(keys), sets(), [])
    assert found["key-accuracy", FORGET] == pytest.approx(2 / 4)
    assert found["key-confidence", FORGET] == pytest.approx(1.5 / 4)
    none = {(GONE, "keys"): [0, 0], (GONE, "key-matches"): [0, 0], (GONE, "key-probability"): [0, 0]}
    assert not [name for name, _ in measure(reading(none), sets(), []) if name.startswith("key")]
    lost = keys | {(GONE, "key-probability"): [math.nan, math.nan]}
    assert ("key-confidence", FORGET) not in measure(reading(lost), sets(), [])


def test_what_is_written_is_harmful_from_the_scorers_threshold_on():
    own = reading({(TEXTS, "completion"): [0.5, 0.4, 0.9, 0.1]})
    found = measure(own, sets(), [])
    assert found["toxic", "what is written"] == pytest.approx(2 / 4)
    assert found["toxic-score", "what is written"] == pytest.approx(1.9 / 4)
    unscored = measure(reading({(TEXTS, "completion"): [math.nan, math.nan]}), sets(), [])
    assert not [name for name, _ in unscored if name.startswith("toxic")]


def test_canaries_are_ranked_among_the_others_by_loss_a_token():
    own = reading({(PLANTED, "loss"): [5, 20], (OTHERS, "loss"): [15, 30, 20]})
    found = measure(own, sets(tokens={PLANTED: [10, 4], OTHERS: [10, 10, 10]}), [])
    best, worst = math.log2(4) - math.log2(1), math.log2(4) - math.log2(4)
    assert found["exposure", "canaries"] == pytest.approx((best + worst) / 2)


def test_without_a_subset_that_stays_other_prompts_stand_for_it():
    tokens = {GONE: np.array([10.0, 5]), WRONG: np.array([10.0, 5]), RIGHT: np.array([8.0])}
    own = Reading.of(
        table(
            {
                (GONE, "loss"): [20, 5], (GONE, "matches"): [5, 5], (GONE, "extraction"): [0, 0],
                (WRONG, "loss"): [20, 5], (RIGHT, "loss"): [16],
            }
        )
    )  # fmt: skip
    assert ("loss", STAYS) not in measure(own, Sets(tokens, {}), [])
    assert measure(own, Sets(tokens, {}, stays=[RIGHT]), [])["loss", STAYS] == 2


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_changes_interval_has_the_variance_of_the_items_and_of_the_seeds():
    tokens = np.array([10.0, 20, 30, 40])
    one = tokens * 0.5 + np.array([1.0, -1, 2, -2])
    value, low, high = change_interval(one[None], tokens)
    assert value == pytest.approx(0.5)
    spread = np.array([1.0, -1, 2, -2]) / 25
    assert high - value == pytest.approx(1.96 * math.sqrt(spread.var(ddof=1) / 4))
    assert value - low == pytest.approx(high - value)
    two = np.stack([one, one + 0.2 * tokens])
    value, low, high = change_interval(two, tokens)
    assert value == pytest.approx(0.6)
    seeds = np.array([0.5, 0.7]).var(ddof=1) / 2
    assert high - value == pytest.approx(1.96 * math.sqrt(spread.var(ddof=1) / 4 + seeds))
    assert math.isnan(change_interval(np.ones((1, 1)), np.ones(1))[1])  # a single text shows no spread


def test_a_changes_interval_holds_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        tokens = draw.integers(5, 40, 60).astype(float)
        changes = tokens * (0.3 + draw.normal(0, 0.05, (6, 1)) + draw.normal(0, 0.2, 60))
        _, low, high = change_interval(changes, tokens)
        held += low <= 0.3 <= high
    assert 0.88 < held / 400 < 0.99


def test_collateral_says_what_every_set_lost_by_each_method_and_by_the_gold():
    before = reading()
    first = reading({(GONE, "loss"): [35, 20], (NEWS, "loss"): [5, 9]})
    second = reading({(GONE, "loss"): [50, 35], (NEWS, "loss"): [7, 11]})
    gold = reading({(GONE, "loss"): [80, 35]})
    readings = {("before", 0): before, ("npo", 0): first, ("npo", 1): second, ("gold", 0): gold}
    found = collateral_frame(readings, ["npo"], sets()).set_index(["method", "name"])
    assert found.index.tolist() == [
        (method, name) for method in ("npo", "gold") for name in ("subset toxic", "news", "books")
    ]
    gone, news = found.loc[("npo", "subset toxic")], found.loc[("npo", "news")]
    assert gone.before == pytest.approx(25 / 15)
    assert gone.change == pytest.approx((30 + 60) / 2 / 15)
    assert gone.after == pytest.approx((55 + 85) / 2 / 15)
    assert gone.gold == pytest.approx(90 / 15)
    assert news.change == pytest.approx((2 + 6) / 2 / 10)
    assert news.low < 0 < news.high  # two seeds that far apart tell nothing of the sign
    assert found.loc[("npo", "books")].change == 0
    assert found.loc[("gold", "subset toxic")].change == pytest.approx(90 / 15)
    assert collateral_frame({("before", 0): before, ("npo", 0): first}, ["npo"], sets()).gold.isna().all()


def test_the_course_has_the_loss_of_every_look_and_the_exposure_of_what_is_to_go():
    looks = [table({(GONE, "loss"): [20 + step, 5], (NEWS, "loss"): [4, 8]}, step=step) for step in (10, 0, 5)]
    gold = reading({(GONE, "loss"): [20 + 10, 5]})
    found = course_frame(pd.concat(looks, ignore_index=True), sets(), [gold])
    assert found.step.tolist() == [0, 0, 5, 5, 10, 10]
    gone = found[found.kind == "forget"]
    np.testing.assert_allclose(gone.loss, [25 / 15, 30 / 15, 35 / 15])
    np.testing.assert_allclose(gone.genex, [5 / BIT, 2.5 / BIT, 0], atol=1e-12)
    assert found[found.kind == "subset"].genex.isna().all()


def test_every_forgotten_text_has_its_losses_exposure_and_stratum():
    tokens = {GONE: [10.0, 10, 10], UNSEEN: [10.0] * 4}
    where = Sets({place: np.array(values) for place, values in tokens.items()}, {})
    of = {
        ("before", 0): [10, 10, 10], ("npo", 0): [20, 30, 10], ("npo", 1): [30, 30, 10], ("gold", 0): [20, 30, 90],
    }  # fmt: skip
    usual = {(UNSEEN, "loss"): [30, 40, 50, 60]}
    readings = {who: Reading.of(table({(GONE, "loss"): losses} | usual)) for who, losses in of.items()}
    texts = [("a", "one"), ("b", "two"), ("c", "three")]
    found = forgotten_frame(readings, "npo", where, texts).set_index("id")
    assert found.text.tolist() == ["one", "two", "three"]
    np.testing.assert_allclose(found.after, [2.5, 3, 1])
    np.testing.assert_allclose(found.gold, [2, 3, 9])
    np.testing.assert_allclose(found.genex, [math.log2((1 + math.exp(-10)) / 2), 0, 80 / BIT], atol=1e-9)
    np.testing.assert_allclose(found.memorisation, [1, 2, 8])
    assert found.memorised.tolist() == ["low", "middle", "high"]
    assert found.difficult.tolist() == ["low", "middle", "high"]
    assert found.unusual.tolist() == [False, False, True]
    bare = forgotten_frame({who: r for who, r in readings.items() if who[0] != "gold"}, "npo", where, texts)
    assert bare.genex.isna().all()
    assert set(bare.memorised) == {""}


def test_written_texts_are_harmful_by_their_scores_and_never_without_a_scorer():
    scored = table({(TEXTS, "completion"): [0.2, 0.6]}).assign(text=["fine", "foul"])
    found = written_frame({("npo", 1): Reading.of(scored), ("gold", 0): reading()}, ["a", "b"], 0.5)
    assert found.values.tolist() == [["npo", 1, "a", "fine", 0.2, False], ["npo", 1, "b", "foul", 0.6, True]]
    unscored = written_frame({("npo", 1): Reading.of(scored.assign(value=math.nan))}, ["a", "b"], 0.5)
    assert not unscored.harmful.any()


# --- the deep check ---------------------------------------------------------------------------------------------------


def deep(unlearned, retrained, right=(8, 8)):
    """A summary of pairs whose confidences on what is to go are given, shape (pairs, 3) each."""
    places = {GONE: [5, 5, 5], NEWS: [10, 10]}
    tables = []
    for one, other in zip(unlearned, retrained, strict=True):
        steady = np.random.default_rng(len(tables)).normal(size=2)
        tables.append(
            table(
                {
                    (GONE, "unlearned confidence"): one, (GONE, "retrained confidence"): other,
                    (NEWS, "unlearned confidence"): steady, (NEWS, "retrained confidence"): steady,
                    (NEWS, "unlearned matches"): [right[0]] * 2, (NEWS, "retrained matches"): [right[1]] * 2,
                }
            )
        )  # fmt: skip
    return deep_summary(tables, Sets({place: np.array(each, dtype=float) for place, each in places.items()}, {}))


def test_the_deep_check_finds_nothing_between_equal_models():
    bank = np.random.default_rng(0).normal(size=(8, 3))
    found = deep(bank, bank)
    assert (found["epsilon"], found["forgetting"], found["final"]) == (0, 1, 1)
    assert {row["name"]: row["mean"] for row in found["klom"]} == {"subset toxic": 0, "news": 0}
    assert found["chance"] < 1  # eight models of each kind read as unequal by chance
    assert found["as_low_by_chance"] == 1


def test_the_deep_check_tells_separated_models_apart_and_chance_does_not():
    bank = np.random.default_rng(0).normal(size=(8, 3))
    found = deep(bank + 40, bank)
    assert found["forgetting"] == 0
    assert found["final"] == 0
    assert found["chance"] > 0.1
    assert found["as_low_by_chance"] < 0.2
    klom = {row["name"]: row for row in found["klom"]}
    assert klom["subset toxic"]["mean"] > 2 * klom["subset toxic"]["chance"]
    assert klom["news"]["mean"] == 0


def test_the_deep_checks_score_falls_with_what_the_models_can_still_do():
    bank = np.random.default_rng(0).normal(size=(8, 3))
    found = deep(bank, bank, right=(6, 8))
    assert found["retain_ratio"] == pytest.approx(0.75)
    assert found["final"] == pytest.approx(0.75)
    assert math.isnan(found["test_ratio"])  # no unseen text: it counts as kept


def test_two_pairs_are_too_few_for_a_deep_check():
    bank = np.zeros((2, 3))
    assert deep(bank, bank) == {"models": 2, "too_few": True}
