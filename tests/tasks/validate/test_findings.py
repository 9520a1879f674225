"""What a validation finds: rows, the sentence that decides, and warnings, from tables that are made by hand."""

import json
import math

import numpy as np
import pytest

from tests.helpers.findings import BM25, DOT, PAPER, RANDOM, SIGN, SUBSETS, TRUE, TWO, outcome_of, spec_of, truth_of
from untrac_core.attribution.base import failed_frame, make_method
from untrac_core.attribution.outcome import MethodOutput
from untrac_core.cells import Cell
from untrac_core.fileio import finite
from untrac_core.specs import method_spec
from untrac_core.stats.bootstrap import ALL, CONTRASTS, RESOLVABLE
from untrac_core.tasks.validate.findings import Findings


def test_the_summary_has_every_key_that_pages_read(findings):
    summary = findings.summary()
    assert list(summary) == [
        "seeds",
        "methods",
        "ground_truth",
        "noise",
        "leaderboard",
        "calibration",
        "retraining",
        "differences",
        "critical",
        "verdict",
        "best",
        "warnings",
    ]
    rows = {
        "methods": {"method", "name", "preset", "seconds", "peak_memory_mb", "failed", "collapsed", "unit"},
        "ground_truth": {"prompt_set", "side", "subset", "rank", "influence", "low", "high"},
        "noise": {"prompt_set", "side", "agreement", "agreement_low", "agreement_high", "ceiling", "resolvable"},
        "leaderboard": {"method", "prompt_set", "side", "metric", "value", "low", "high", "sides"},
        "calibration": {"method", "prompt_set", "side", "slope", "low", "high", "signs", "rmse", "coverage", "least"},
        "retraining": {"prompt_set", "side", "metric", "value", "least", "greatest"},
        "differences": {"first", "second", "side", "value", "low", "high", "tie"},
    }
    for key, columns in rows.items():
        assert all(columns <= set(row) for row in summary[key]), key
        assert summary[key], key
    assert set(summary["critical"]) == {"subsets", "pearson", "spearman", "kendall"}
    json.dumps(summary, allow_nan=False)


def test_truth_is_ranked_with_the_interval_of_its_seeds(findings):
    rows = [row for row in findings.summary()["ground_truth"] if row["side"] == "harmful"]
    assert [row["rank"] for row in rows] == list(range(1, 9))
    assert rows[0]["subset"] == "a"
    assert rows[-1]["subset"] == "h"
    for row in rows:
        known = TRUE[SUBSETS.index(row["subset"])]
        assert row["influence"] == pytest.approx(known, abs=0.04)
        assert row["low"] < row["influence"] < row["high"]
    assert {row["side"] for row in findings.summary()["ground_truth"]} == {"harmful", "harmless", "contrast"}
    assert set(findings.truth_table().seed) == {0, 1}


def test_the_board_tells_right_from_reversed_in_every_measure(findings):
    leaderboard = {
        (row["method"], row["metric"]): row
        for row in findings.summary()["leaderboard"]
        if row["prompt_set"] is None and row["side"] == RESOLVABLE
    }
    for metric in ("pearson", "spearman", "kendall"):
        assert leaderboard["grad-dot", metric]["value"] > 0.85
        assert leaderboard["bm25", metric]["value"] < -0.85
    assert leaderboard["grad-dot", "top1"]["value"] == 1.0
    assert leaderboard["bm25", "top1"]["value"] == 0.0
    assert leaderboard["grad-dot", "ndcg"]["value"] > 0.95 > leaderboard["bm25", "ndcg"]["value"]
    for row in leaderboard.values():
        assert row["sides"] == 2
        assert row["low"] <= row["value"] <= row["high"]
    places = {(row["prompt_set"], row["side"]) for row in findings.summary()["leaderboard"]}
    assert places == {
        *(("talk", side) for side in ("harmful", "harmless", "contrast")),
        *((None, group) for group in (RESOLVABLE, ALL, CONTRASTS)),
    }


def test_the_best_is_trusted_with_its_number_its_interval_and_what_chance_does(findings):
    summary = findings.summary()
    assert summary["best"] == "grad-dot"
    row = next(
        row
        for row in summary["leaderboard"]
        if (row["method"], row["prompt_set"], row["side"], row["metric"]) == ("grad-dot", None, RESOLVABLE, "pearson")
    )
    assert summary["verdict"] == (
        "Trust grad-dot here, the best of 2 methods tried: "
        "over the 2 sides on which retraining is reproducible, its ranking agrees with "
        f"retraining by r = {row['value']:.2f} (95% interval {row['low']:.2f} to {row['high']:.2f}); with 8 subsets, "
        "chance alone stays below 0.71 in 95 of 100 cases."
    )


def test_differences_have_their_sign_and_tell_ties(findings):
    rows = {(row["first"], row["second"], row["side"]): row for row in findings.summary()["differences"]}
    row = rows["grad-dot", "bm25", RESOLVABLE]
    assert row["value"] > 1.7
    assert not row["tie"]
    twin = outcome_of(BM25, {side: 30 * values for side, values in TWO.items()}, noise=1.0, seed=1)
    tied = Findings(spec_of(), *truth_of(TWO), [findings.outcomes[0], twin]).summary()
    assert all(row["tie"] == (row["low"] <= 0 <= row["high"]) for row in tied["differences"])
    assert all(row["tie"] for row in tied["differences"])
    assert tied["verdict"].endswith("It is a tie with bm25: the interval of the difference includes zero.") or tied[
        "verdict"
    ].endswith("It is a tie with grad-dot: the interval of the difference includes zero.")


def test_the_table_of_estimates_has_each_method_s_mean_and_interval(findings):
    table = findings.estimate_table
    assert list(table.columns) == ["method", "prompt_set", "side", "subset", "influence", "low", "high"]
    assert len(table) == 3 * 3 * 8
    dot = table[(table.method == "grad-dot") & (table.side == "harmful")]
    assert dot.influence.to_numpy() == pytest.approx(30 * TRUE, abs=1.0)
    assert ((table.low < table.influence) & (table.influence < table.high)).all()
    wide = table.set_index(["method", "side", "subset"]).influence
    assert wide["bm25", "contrast", "a"] == pytest.approx(wide["bm25", "harmful", "a"] - wide["bm25", "harmless", "a"])


def test_seconds_are_added_and_memory_is_the_most(findings):
    rows = {row["method"]: row for row in findings.summary()["methods"]}
    assert rows["grad-dot"]["seconds"] == 1.5
    assert rows["grad-dot"]["peak_memory_mb"] == 102.0
    assert (rows["bm25"]["name"], rows["bm25"]["preset"], rows["bm25"]["unit"]) == ("bm25", None, "BM25 score")
    assert all(row["failed"] is None and row["collapsed"] is False for row in rows.values())


def test_methods_that_failed_or_collapsed_have_no_numbers_and_leave_the_others_as_they_are(findings):
    failed = MethodOutput(
        findings.outcomes[0].study,
        make_method(method_spec("tracin")),
        "tracin",
        [Cell("t", "tracin, seed 0", 0, method="tracin")],
        [failed_frame("needs checkpoints").assign(seconds=0.1, peak_memory_mb=1.0)],
    )
    gone = outcome_of(SIGN, TWO)
    gone.frames[1]["collapsed"] = True
    methods = [DOT, method_spec("tracin"), BM25, SIGN, RANDOM]
    outcomes = [findings.outcomes[0], failed, findings.outcomes[1], gone, findings.outcomes[2]]
    mixed = Findings(spec_of(methods=methods), *truth_of(TWO), outcomes)
    summary = mixed.summary()
    rows = {row["method"]: row for row in summary["methods"]}
    assert (rows["tracin"]["failed"], rows["tracin"]["collapsed"]) == ("needs checkpoints", False)
    assert (rows["sign-dot"]["failed"], rows["sign-dot"]["collapsed"]) == (None, True)
    assert {row["method"] for row in summary["leaderboard"]} == {"grad-dot", "bm25", "random"}
    assert set(mixed.estimate_table.method) == {"grad-dot", "bm25", "random"}
    clean = findings.summary()
    for key in ("leaderboard", "differences", "verdict", "best", "ground_truth", "noise"):
        assert summary[key] == clean[key], key
    assert any(text == "tracin did not work here: needs checkpoints" for text in summary["warnings"])
    assert any(
        text.startswith("sign-dot collapsed in 1 of 3 cells, so it has no ranking: sign-dot, seed 1")
        for text in summary["warnings"]
    )


def test_the_paper_s_collapsed_ranking_is_held_to_the_truth_but_never_trusted(findings):
    """It says the truth here, and still another comes first, without being tied to it."""
    gone = outcome_of(PAPER, TWO, noise=0.0)
    gone.frames[1]["collapsed"] = True
    summary = Findings(spec_of(methods=[DOT, PAPER]), *truth_of(TWO), [findings.outcomes[0], gone]).summary()
    rows = {row["method"]: row for row in summary["methods"]}
    assert (rows["untrac-inv (paper)"]["preset"], rows["untrac-inv (paper)"]["collapsed"]) == ("paper", True)
    r = one(summary["leaderboard"], method="untrac-inv (paper)", prompt_set=None, side=RESOLVABLE, metric="pearson")
    assert r["value"] > 0.99
    assert summary["best"] == "grad-dot"
    assert "untrac-inv (paper)" not in summary["verdict"]
    assert any("the paper ranks such models too: untrac-inv (paper), seed 1" in text for text in summary["warnings"])
    alone = Findings(spec_of(methods=[PAPER]), *truth_of(TWO), [gone]).summary()
    assert (alone["best"], alone["verdict"]) == (None, "Trust none here: no method gave a ranking.")


def test_where_no_method_works_there_is_nothing_to_trust(findings):
    gone = outcome_of(SIGN, TWO)
    for frame in gone.frames:
        frame["collapsed"] = True
    none = Findings(spec_of(methods=[SIGN]), *truth_of(TWO), [gone])
    summary = none.summary()
    assert (summary["best"], summary["leaderboard"], summary["differences"]) == (None, [], [])
    assert summary["verdict"] == "Trust none here: no method gave a ranking."
    assert none.estimate_table.empty


# The sentence, from rows that are made.


def test_finite_values_are_what_json_can_hold():
    row = finite({"a": math.nan, "b": np.float64(1.5), "c": np.bool_(True), "d": math.inf, "e": "x", "f": None, "g": 3})
    assert row == {"a": None, "b": 1.5, "c": True, "d": None, "e": "x", "f": None, "g": 3}
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_two_seeds_are_said_to_say_little(findings):
    assert any("Two seeds say little" in text for text in findings.summary()["warnings"])
    three = Findings(spec_of(seeds=[0, 1, 2]), *truth_of(TWO, seeds=[0, 1, 2]), findings.outcomes)
    assert not any("Two seeds" in text for text in three.summary()["warnings"])


# Size and sign.


def one(rows, **wanted):
    """The row that has these values."""
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_size_and_sign_are_those_of_the_two_tables(findings):
    """GradDot says thirty times the truth, BM25 its reverse, and random tells neither size nor sign."""
    rows = findings.summary()["calibration"]
    dot = one(rows, method="grad-dot", prompt_set=None, side=RESOLVABLE)
    assert (dot["sides"], dot["values"]) == (2, 16)
    assert dot["low"] < dot["slope"] < dot["high"]
    assert dot["slope"] == pytest.approx(1 / 30, rel=0.15)
    assert dot["signs"] >= 0.8
    assert dot["rmse"] < 0.05
    assert dot["rmse_share"] == pytest.approx(
        dot["rmse"] / np.std([findings.per_seed["talk", side].mean(0) for side in TWO])
    )
    assert dot["coverage"] >= 0.9
    assert one(rows, method="bm25", prompt_set=None, side=RESOLVABLE)["high"] < -0.5
    lots = one(rows, method="random", prompt_set=None, side=RESOLVABLE)
    assert lots["low"] < 0 < lots["high"]
    single = one(rows, method="grad-dot", prompt_set="talk", side="harmful")
    assert (single["sides"], single["values"]) == (1, 8)
    table = findings.estimate_table
    told = table[(table.method == "grad-dot") & (table.side == "harmful")].set_index("subset").influence[SUBSETS]
    true = findings.per_seed["talk", "harmful"].mean(0)
    assert single["slope"] == pytest.approx((told * true).sum() / (told**2).sum())


def test_the_least_agreement_names_the_subset_that_carries_the_rest():
    """Right about one subset that is far from all others, and about nothing else."""
    true = {"harmful": np.array([2.0, 0.1, 0.08, 0.05, 0.02, 0.0, -0.03, -0.1])}
    says = {"harmful": np.array([2.0, -0.1, 0.03, -0.02, 0.05, 0.0, -0.08, 0.1])}
    summary = Findings(spec_of(methods=[DOT]), *truth_of(true), [outcome_of(DOT, says, noise=0.001)]).summary()
    row = one(summary["calibration"], method="grad-dot", prompt_set=None, side=RESOLVABLE)
    r = one(summary["leaderboard"], method="grad-dot", prompt_set=None, side=RESOLVABLE, metric="pearson")
    assert r["value"] > 0.98
    assert row["least_without"] == "a"
    assert row["least"] < 0


def test_a_retraining_is_held_to_the_others_as_a_method_is(findings):
    rows = findings.summary()["retraining"]
    both = one(rows, prompt_set=None, side=RESOLVABLE, metric="pearson")
    assert both["sides"] == 2
    assert both["least"] == both["value"] == both["greatest"], "two seeds are each other's others"
    assert both["value"] == pytest.approx(np.mean([findings.noises["talk", side].agreement for side in TWO]))
    assert one(rows, prompt_set=None, side=RESOLVABLE, metric="slope")["value"] == pytest.approx(1, abs=0.1)
    assert 0.7 <= one(rows, prompt_set=None, side=RESOLVABLE, metric="signs")["value"] <= 1
    three = Findings(spec_of(seeds=[0, 1, 2]), *truth_of(TWO, seeds=[0, 1, 2], noise=0.05), []).summary()
    row = one(three["retraining"], prompt_set="talk", side="harmful", metric="pearson")
    assert row["least"] < row["value"] < row["greatest"]
    alone = Findings(spec_of(seeds=[0]), *truth_of(TWO, seeds=[0]), []).summary()
    assert {row["value"] for row in alone["retraining"]} == {None}


def test_one_draw_has_a_slope_but_neither_its_noise_nor_coverage():
    summary = Findings(spec_of(methods=[DOT]), *truth_of(TWO), [outcome_of(DOT, TWO, draws=[0])]).summary()
    row = one(summary["calibration"], method="grad-dot", prompt_set=None, side=RESOLVABLE)
    assert row["slope"] == pytest.approx(1, rel=0.2)
    assert row["signs"] > 0.8
    assert (row["low"], row["high"], row["coverage"]) == (None, None, None)


@pytest.mark.parametrize(("subsets", "chance"), [(3, "a fifth"), (4, "a tenth"), (5, None)])
def test_with_fewer_than_five_subsets_no_side_is_known_to_be_steady(subsets, chance):
    true = {"harmful": TRUE[:subsets]}
    warnings = Findings(spec_of(subsets=SUBSETS[:subsets]), *truth_of(true), []).summary()["warnings"]
    said = [text for text in warnings if "which sides can be resolved cannot be told" in text]
    assert bool(said) == (chance is not None)
    assert all(chance in text for text in said)
