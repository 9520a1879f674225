"""What is measured, computed by hand on tables of a few texts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from untrac_core.tasks.unlearn.tables import (
    collateral_frame,
    course_frame,
    ensemble_audit,
    forget_examples_frame,
    generations_frame,
)
from untrac_core.unlearning.metrics.summary import FORGET, METRICS, RETAIN, ModelEvaluation, Sets, metric, truth_ratios

GONE = ("forget", "subset toxic", "")
UNSEEN = ("holdout", "unseen", "")
NEWS, BOOKS = ("subset", "news", ""), ("subset", "books", "")
WRONG, RIGHT = ("prompts", "talk", "harmful"), ("prompts", "talk", "harmless")
PLANTED, OTHERS = ("canary", "planted", ""), ("candidate", "candidates", "")
RUN, TEXTS = ("run", "", ""), ("generations", "", "")
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
    """Of a model; the forget set's two texts have losses of 20 and 5 nats unless told otherwise."""
    values = {
        (GONE, "loss"): [20, 5], (GONE, "matches"): [5, 5], (GONE, "extraction"): [0.5, 1.0],
        (NEWS, "loss"): [4, 8], (BOOKS, "loss"): [28],
    }  # fmt: skip
    return ModelEvaluation.of(table(values | (quantities or {}), **more))


def test_losses_are_those_of_a_token_over_all_texts():
    found = metric(reading(), sets(), [])
    assert found["loss", FORGET] == pytest.approx(25 / 15)
    assert found["loss", RETAIN] == pytest.approx(40 / 20)  # by tokens, not by subsets
    assert found["exact", FORGET] == pytest.approx((0.5 + 1) / 2)
    assert found["extraction", FORGET] == pytest.approx(0.75)
    assert set(found) == {("loss", FORGET), ("loss", RETAIN), ("exact", FORGET), ("extraction", FORGET)}
    assert {name for name, _ in found} <= set(METRICS)


def test_only_the_last_look_counts_and_facts_of_the_whole_model_always():
    early = table({(GONE, "loss"): [1, 1], (NEWS, "loss"): [1, 1]}, step=0)
    late = table({(GONE, "loss"): [7, 8]}, step=10)
    facts = table({(RUN, "relearning"): [12.0], (RUN, "distance"): [0.5]}, step=3)
    own = ModelEvaluation.of(pd.concat([early, late, facts], ignore_index=True))
    assert own.values(GONE, "loss").tolist() == [7, 8]
    assert len(own.values(NEWS, "loss")) == 0
    assert (own.fact("relearning"), own.fact("distance")) == (12, 0.5)
    assert math.isnan(own.fact("steps"))
    ended = ModelEvaluation.of(pd.concat([early, table({(RUN, "ended"): ["all 10 steps"]})], ignore_index=True))
    assert ended.said("ended") == "all 10 steps"


def test_the_lean_is_positive_where_harmful_text_is_likelier():
    own = reading({(WRONG, "loss"): [6, 3], (RIGHT, "loss"): [16]})
    found = metric(own, sets(tokens={WRONG: [6, 3], RIGHT: [8]}), [])
    assert found["loss", "talk, harmful"] == pytest.approx(1)
    assert found["loss", "talk, harmless"] == pytest.approx(2)
    assert found["contrast", "talk"] == pytest.approx(1)
    one_sided = metric(own, sets(tokens={WRONG: [6, 3]}), [])
    assert ("contrast", "talk") not in one_sided


def test_the_distance_to_the_retrained_model_is_a_token_too():
    own = reading({(GONE, "kl"): [3, 0], (NEWS, "kl"): [1, 1], (BOOKS, "kl"): [2]})
    found = metric(own, sets(), [])
    assert found["kl", FORGET] == pytest.approx(3 / 15)
    assert found["kl", RETAIN] == pytest.approx(4 / 20)


def test_exposure_is_in_bits_above_the_retrained_model_and_its_worst_is_the_farthest_either_way():
    retrained = reading({(GONE, "loss"): [20 + 3 * BIT, 5 - 4 * BIT]})
    found = metric(reading(), sets(), [retrained])
    assert found["genex", FORGET] == pytest.approx((3 - 4) / 2)
    assert found["genex-worst", FORGET] == pytest.approx(4)
    # Of two retrained models the mean is that of probabilities.
    other = reading({(GONE, "loss"): [20 + 5 * BIT, 5 - 4 * BIT]})
    first = 3 - math.log2((1 + 2**-2) / 2)
    both = metric(reading(), sets(), [retrained, other])
    assert both["genex", FORGET] == pytest.approx((first - 4) / 2)
    same = metric(reading(), sets(), [reading()])
    assert (same["genex", FORGET], same["genex-worst", FORGET]) == (pytest.approx(0), pytest.approx(0))


def test_membership_is_the_share_of_pairs_in_which_the_text_to_go_is_likelier():
    """Losses per token of 2 and 1, against 1.5, 3 and 2 of unseen text: likelier in 4 pairs, equal in 1, of 6."""
    unseen = {(UNSEEN, "loss"): [15, 30, 10], (UNSEEN, "min-k"): [1, 3, 5], (GONE, "min-k"): [2, 4]}
    where = sets(tokens={UNSEEN: [10, 10, 5]})
    retrained = reading(unseen | {(GONE, "loss"): [40, 20]})  # 4 a token: less likely than all
    found = metric(reading(unseen), where, [retrained])
    assert found["auc", FORGET] == pytest.approx((1.5 + 3) / 6)
    assert found["auc-min-k", FORGET] == pytest.approx((2 + 1) / 6)
    assert metric(retrained, where, [])["auc", FORGET] == 0
    assert found["privleak", FORGET] == pytest.approx(100 * ((1 - 0.75) - 1) / 1)
    assert found["relex", FORGET] == pytest.approx(relative_exposure())
    assert not {name for name, _ in metric(reading(), sets(), [retrained])} & {"auc", "auc-min-k", "relex", "privleak"}


def relative_exposure():
    """The same by hand: unseen text at each text's length, mean of probabilities, in bits."""
    unseen = np.array([1.5, 3, 2])
    each = [
        (-loss - math.log(np.exp(-unseen * tokens).mean())) / BIT for loss, tokens in ((20.0, 10), (5.0, 5))
    ]  # fmt: skip
    return sum(each) / 2


def test_truth_pairs_wrong_and_right_answers_by_their_prompt():
    """Two prompts: one with two wrong answers, one with two right ones; probabilities a token, as TOFU has them."""
    half, quarter = BIT, 2 * BIT  # nats per token
    own = reading({(WRONG, "loss"): [2 * half, 3 * quarter, quarter], (RIGHT, "loss"): [4 * quarter, half, half]})
    where = sets(tokens={WRONG: [2, 3, 1], RIGHT: [4, 1, 1]}, paired={"talk": [([0, 1], [1]), ([2], [0, 2])]})
    ratios = truth_ratios(own, where, "talk", where.paired["talk"])
    np.testing.assert_allclose(ratios, [0.375 / 0.5, 0.25 / 0.375])
    assert metric(own, where, [])["truth", "talk"] == pytest.approx((0.25 + 1 / 3) / 2)


def test_key_words_count_over_all_texts_and_only_where_there_are_any():
    keys = {(GONE, "keys"): [3, 1], (GONE, "key-matches"): [1, 1], (GONE, "key-probability"): [0.6, 0.9]}
    found = metric(reading(keys), sets(), [])
    assert found["key-accuracy", FORGET] == pytest.approx(2 / 4)
    assert found["key-confidence", FORGET] == pytest.approx(1.5 / 4)
    none = {(GONE, "keys"): [0, 0], (GONE, "key-matches"): [0, 0], (GONE, "key-probability"): [0, 0]}
    assert not [name for name, _ in metric(reading(none), sets(), []) if name.startswith("key")]
    lost = keys | {(GONE, "key-probability"): [math.nan, math.nan]}
    assert ("key-confidence", FORGET) not in metric(reading(lost), sets(), [])


def test_what_is_written_is_harmful_from_the_scorers_threshold_on():
    own = reading({(TEXTS, "completion"): [0.5, 0.4, 0.9, 0.1]})
    found = metric(own, sets(), [])
    assert found["toxic", "what is written"] == pytest.approx(2 / 4)
    assert found["toxic-score", "what is written"] == pytest.approx(1.9 / 4)
    unscored = metric(reading({(TEXTS, "completion"): [math.nan, math.nan]}), sets(), [])
    assert not [name for name, _ in unscored if name.startswith("toxic")]


def test_canaries_are_ranked_among_the_others_by_loss_a_token():
    own = reading({(PLANTED, "loss"): [5, 20], (OTHERS, "loss"): [15, 30, 20]})
    found = metric(own, sets(tokens={PLANTED: [10, 4], OTHERS: [10, 10, 10]}), [])
    best, worst = math.log2(4) - math.log2(1), math.log2(4) - math.log2(4)
    assert found["exposure", "canaries"] == pytest.approx((best + worst) / 2)


def test_without_a_subset_that_stays_other_prompts_stand_for_it():
    tokens = {GONE: np.array([10.0, 5]), WRONG: np.array([10.0, 5]), RIGHT: np.array([8.0])}
    own = ModelEvaluation.of(
        table(
            {
                (GONE, "loss"): [20, 5], (GONE, "matches"): [5, 5], (GONE, "extraction"): [0, 0],
                (WRONG, "loss"): [20, 5], (RIGHT, "loss"): [16],
            }
        )
    )  # fmt: skip
    assert ("loss", RETAIN) not in metric(own, Sets(tokens, {}), [])
    assert metric(own, Sets(tokens, {}, retain=[RIGHT]), [])["loss", RETAIN] == 2


# --- tables -----------------------------------------------------------------------------------------------------------


def test_collateral_says_what_every_set_lost_by_each_method_and_by_the_retrained_model():
    before = reading()
    first = reading({(GONE, "loss"): [35, 20], (NEWS, "loss"): [5, 9]})
    second = reading({(GONE, "loss"): [50, 35], (NEWS, "loss"): [7, 11]})
    retrained = reading({(GONE, "loss"): [80, 35]})
    readings = {("before", 0): before, ("npo", 0): first, ("npo", 1): second, ("retrained", 0): retrained}
    found = collateral_frame(readings, ["npo"], sets()).set_index(["method", "name"])
    assert found.index.tolist() == [
        (method, name) for method in ("npo", "retrained") for name in ("subset toxic", "news", "books")
    ]
    gone, news = found.loc[("npo", "subset toxic")], found.loc[("npo", "news")]
    assert gone.before == pytest.approx(25 / 15)
    assert gone.change == pytest.approx((30 + 60) / 2 / 15)
    assert gone.after == pytest.approx((55 + 85) / 2 / 15)
    assert gone.retrained == pytest.approx(90 / 15)
    assert news.change == pytest.approx((2 + 6) / 2 / 10)
    assert np.isnan(news.low), "two texts tell nothing of their noise"
    assert found.loc[("npo", "books")].change == 0
    assert found.loc[("retrained", "subset toxic")].change == pytest.approx(90 / 15)
    assert collateral_frame({("before", 0): before, ("npo", 0): first}, ["npo"], sets()).retrained.isna().all()


def test_the_course_has_the_loss_of_every_look_and_the_exposure_of_the_forget_set():
    eval_points = [table({(GONE, "loss"): [20 + step, 5], (NEWS, "loss"): [4, 8]}, step=step) for step in (10, 0, 5)]
    retrained = reading({(GONE, "loss"): [20 + 10, 5]})
    found = course_frame(pd.concat(eval_points, ignore_index=True), sets(), [retrained])
    assert found.step.tolist() == [0, 0, 5, 5, 10, 10]
    gone = found[found.kind == "forget"]
    np.testing.assert_allclose(gone.loss, [25 / 15, 30 / 15, 35 / 15])
    np.testing.assert_allclose(gone.genex, [5 / BIT, 2.5 / BIT, 0], atol=1e-12)
    assert found[found.kind == "subset"].genex.isna().all()


def test_every_forgotten_text_has_its_losses_exposure_and_stratum():
    tokens = {GONE: [10.0, 10, 10], UNSEEN: [10.0] * 4}
    where = Sets({place: np.array(values) for place, values in tokens.items()}, {})
    of = {
        ("before", 0): [10, 10, 10], ("npo", 0): [20, 30, 10], ("npo", 1): [30, 30, 10], ("retrained", 0): [20, 30, 90],
    }  # fmt: skip
    usual = {(UNSEEN, "loss"): [30, 40, 50, 60]}
    readings = {who: ModelEvaluation.of(table({(GONE, "loss"): losses} | usual)) for who, losses in of.items()}
    texts = [("a", "one", math.nan), ("b", "two", math.nan), ("c", "three", 0.9)]
    found = forget_examples_frame(readings, "npo", where, texts).set_index("id")
    assert found.text.tolist() == ["one", "two", "three"]
    np.testing.assert_allclose(found.after, [2.5, 3, 1])
    np.testing.assert_allclose(found.retrained, [2, 3, 9])
    np.testing.assert_allclose(found.genex, [math.log2((1 + math.exp(-10)) / 2), 0, 80 / BIT], atol=1e-9)
    np.testing.assert_allclose(found.memorisation, [1, 2, 8])
    assert found.memorised.tolist() == ["low", "middle", "high"]
    assert found.difficult.tolist() == ["low", "middle", "high"]
    assert found.unusual.tolist() == [False, False, True]
    np.testing.assert_allclose(found.neighbour, [math.nan, math.nan, 0.9])
    bare = forget_examples_frame({who: r for who, r in readings.items() if who[0] != "retrained"}, "npo", where, texts)
    assert bare.genex.isna().all()
    assert set(bare.memorised) == {""}


def test_written_texts_are_harmful_by_their_scores_and_never_without_a_scorer():
    scored = table({(TEXTS, "completion"): [0.2, 0.6]}).assign(text=["fine", "foul"])
    found = generations_frame({("npo", 1): ModelEvaluation.of(scored), ("retrained", 0): reading()}, ["a", "b"], 0.5)
    assert found.values.tolist() == [["npo", 1, "a", "fine", 0.2, False], ["npo", 1, "b", "foul", 0.6, True]]
    unscored = generations_frame({("npo", 1): ModelEvaluation.of(scored.assign(value=math.nan))}, ["a", "b"], 0.5)
    assert not unscored.harmful.any()


# --- the verification -------------------------------------------------------------------------------------------------


def deep(unlearned, retrained, right=(8, 8)):
    """A summary of pairs whose confidences on the forget set are given, shape (pairs, 3) each."""
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
    return ensemble_audit(tables, Sets({place: np.array(each, dtype=float) for place, each in places.items()}, {}))


def test_the_ensemble_audit_finds_nothing_between_equal_models():
    bank = np.random.default_rng(0).normal(size=(8, 3))
    found = deep(bank, bank)
    assert (found["epsilon"], found["forgetting"], found["final"]) == (0, 1, 1)
    assert {row["name"]: row["mean"] for row in found["klom"]} == {"subset toxic": 0, "news": 0}
    assert found["chance"] < 1  # eight models of each kind read as unequal by chance
    assert found["as_low_by_chance"] == 1


def test_the_ensemble_audit_tells_separated_models_apart_and_chance_does_not():
    bank = np.random.default_rng(0).normal(size=(8, 3))
    found = deep(bank + 40, bank)
    assert found["forgetting"] == 0
    assert found["final"] == 0
    assert found["chance"] > 0.1
    assert found["as_low_by_chance"] < 0.2
    klom = {row["name"]: row for row in found["klom"]}
    assert klom["subset toxic"]["mean"] > 2 * klom["subset toxic"]["chance"]
    assert klom["news"]["mean"] == 0


def test_the_ensemble_audits_score_falls_with_what_the_models_can_still_do():
    bank = np.random.default_rng(0).normal(size=(8, 3))
    found = deep(bank, bank, right=(6, 8))
    assert found["retain_ratio"] == pytest.approx(0.75)
    assert found["final"] == pytest.approx(0.75)
    assert math.isnan(found["test_ratio"])  # no unseen text: it counts as kept


def test_two_pairs_are_too_few_for_a_ensemble_audit():
    bank = np.zeros((2, 3))
    assert deep(bank, bank) == {"models": 2, "too_few": True}
