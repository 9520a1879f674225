"""The sentence that a validation ends in: what it trusts, and when it trusts nothing."""

import json

import numpy as np
import pytest

from tests.helpers.findings import BM25, DOT, SUBSETS, TRUE, TWO, outcome_of, spec_of, truth_of
from untrac_core.specs import method_spec
from untrac_core.stats.bootstrap import ALL, CONTRASTS, RESOLVABLE
from untrac_core.tasks.validate.findings import BY_CHANCE, Findings


def board_row(method, value, low, high, side=RESOLVABLE, **more):
    row = {"method": method, "prompt_set": None, "side": side, "metric": "pearson"}
    return row | {"value": value, "low": low, "high": high, "sides": 2} | more


def difference(first, second, tie, side=RESOLVABLE):
    return {
        "first": first,
        "second": second,
        "side": side,
        "value": 0.1,
        "low": -0.1 if tie else 0.01,
        "high": 0.3,
        "tie": tie,
    }


def test_one_seed_of_truth_lets_nothing_be_trusted():
    alone = Findings(spec_of(seeds=[0]), *truth_of(TWO, seeds=[0]), [])
    best, text = alone.verdict([board_row("grad-dot", 0.99, 0.98, 1.0)], [])
    assert best is None
    assert text.startswith("Trust none yet: one seed of truth says nothing about its own noise.")
    summary = alone.summary()
    assert all(row["low"] is None for row in summary["ground_truth"])
    assert all(row["agreement"] is None and not row["resolvable"] for row in summary["noise"])
    json.dumps(summary, allow_nan=False)


def test_a_truth_that_is_noise_lets_nothing_be_trusted():
    nothing = {"harmful": np.zeros(8), "harmless": np.zeros(8)}
    noisy = Findings(spec_of(), *truth_of(nothing, noise=0.1), [outcome_of(DOT, TWO)])
    assert not any(found.resolvable for found in noisy.noises.values())
    summary = noisy.summary()
    assert summary["best"] is None
    assert summary["verdict"].startswith("Trust none here: on no side do retrainings with different seeds agree")
    assert any(
        text.startswith("Cannot separate: ") and "talk, harmful, talk, harmless and talk, contrast" in text
        for text in summary["warnings"]
    )
    assert {row["side"] for row in summary["leaderboard"] if row["prompt_set"] is None} == {ALL}


def test_a_contrast_alone_that_is_clear_is_no_side():
    """The sides share their noise, which the contrast takes out; the verdict is over sides."""
    findings = Findings(spec_of(), *truth_of(TWO), [])
    findings.groups[RESOLVABLE].clear()
    assert findings.groups[CONTRASTS]
    assert findings.verdict([board_row("grad-dot", 0.99, 0.98, 1.0)], [])[0] is None


def test_the_best_must_beat_chance_with_its_whole_interval(findings):
    critical = findings.critical["pearson"]
    assert critical == pytest.approx(0.707, abs=1e-3)
    best, text = findings.verdict([board_row("grad-dot", 0.9, critical - 0.001, 0.97)], [])
    assert best is None
    assert text.startswith(
        "Trust none here: grad-dot comes first, but not clearly better than chance. Over the 2 sides"
    )
    assert "r = 0.90 (95% interval 0.71 to 0.97)" in text
    assert findings.verdict([board_row("grad-dot", 0.9, critical + 0.001, 0.97)], [])[0] == "grad-dot"
    against = findings.verdict([board_row("grad-dot", -0.3, -0.5, -0.1), board_row("bm25", -0.6, -0.8, -0.4)], [])
    assert against[0] is None
    assert against[1].startswith("Trust none here: no method's ranking goes with that of retraining; grad-dot errs")


def test_the_sentence_goes_by_the_clear_sides_and_pearson_s_r(findings):
    rows = [
        board_row("bm25", 0.8, 0.75, 0.85),
        board_row("grad-dot", 0.9, 0.85, 0.95),
        board_row("bm25", 0.99, 0.98, 1.0, side=ALL),
        board_row("bm25", 0.99, 0.98, 1.0, metric="spearman"),
        board_row("bm25", 0.99, 0.98, 1.0, prompt_set="talk"),
    ]
    best, text = findings.verdict(rows, [difference("bm25", "grad-dot", False)])
    assert best == "grad-dot"
    assert "tie" not in text


def test_a_tie_is_said_as_a_tie(findings):
    rows = [board_row(name, value, 0.8, 0.97) for name, value in (("x", 0.9), ("y", 0.92), ("z", 0.85), ("w", 0.84))]
    ties = [
        difference("x", "y", True), difference("y", "z", True), difference("y", "w", False), difference("x", "z", True),
        difference("y", "w", True, side=ALL),
    ]  # fmt: skip
    best, text = findings.verdict(rows, ties)
    assert best == "y"
    assert text.startswith("Trust y here, the best of 4 methods tried: over the 2 sides")
    assert text.endswith(" It is a tie with x and z: the interval of the difference includes zero.")
    _, alone = findings.verdict(rows, ties[:1])
    assert alone.endswith(" It is a tie with x: the interval of the difference includes zero.")


def test_what_draws_lots_is_never_trusted(findings):
    rows = [board_row(BY_CHANCE, 0.99, 0.98, 1.0), board_row("bm25", 0.9, 0.85, 0.95)]
    assert findings.verdict(rows, [])[0] == "bm25"
    assert findings.verdict(rows[:1], []) == (None, "Trust none here: no method gave a ranking.")
    dice = method_spec("random", label="dice")
    labelled = Findings(spec_of(methods=[dice, BM25]), *truth_of(TWO), [])
    assert labelled.verdict([board_row("dice", 0.99, 0.98, 1.0), rows[1]], [])[0] == "bm25"


def test_one_draw_of_the_estimates_is_not_enough_and_nothing_is_called_nan():
    one = Findings(spec_of(methods=[DOT], estimate_seeds=[0]), *truth_of(TWO), [outcome_of(DOT, TWO, draws=[0])])
    summary = one.summary()
    assert summary["best"] is None
    assert summary["verdict"].startswith("Trust none yet: grad-dot comes first with r = ")
    assert "draw" in summary["verdict"]
    assert "nan" not in json.dumps(summary).lower()
    assert one.estimate_table.low.isna().all()


@pytest.mark.parametrize(("subsets", "pearson"), [(3, 0.997), (4, 0.95)])
def test_with_few_subsets_hardly_anything_is_better_than_chance(subsets, pearson):
    true = {"harmful": TRUE[:subsets]}
    few = Findings(spec_of(subsets=SUBSETS[:subsets]), *truth_of(true), [])
    assert few.critical["pearson"] == pytest.approx(pearson, abs=1e-3)
    assert few.critical["spearman"] is None  # even a perfect ranking of so few is not rare
    assert few.verdict([board_row("bm25", 1.0, pearson - 0.01, 1.0)], [])[0] is None
    assert few.groups[RESOLVABLE] == [("talk", "harmful")]
    assert "over the one side on which" in few.verdict([board_row("bm25", 1.0, 0.9999, 1.0)], [])[1]


def test_the_sentence_says_that_a_prompt_set_counts_once(findings):
    three = Findings(spec_of(), *truth_of(TWO), [])
    three.groups[RESOLVABLE].append(("riddle", "harmful"))
    text = three.verdict([board_row("bm25", 0.9, 0.85, 0.95)], [])[1]
    assert "over the 3 sides (of 2 prompt sets, each counted once) on which" in text
    assert text.startswith("Trust bm25 here, the only method tried: ")
