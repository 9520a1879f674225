"""What a shell is told of a result, from summaries that are made by hand."""

import io

import pytest
from rich.console import Console

from tests.helpers.validations import (
    NAMES,
    summary_of,
    with_choices,
    with_controls,
    with_halves,
    with_pairs,
    with_writing,
)
from untrac_core.cli import outcomes


@pytest.fixture
def printed(monkeypatch):
    """Everything that is printed, as text of one width."""
    out = io.StringIO()
    monkeypatch.setattr(outcomes, "console", lambda: Console(file=out, width=160))
    return out.getvalue


def test_a_validation_is_told_with_its_sizes_and_signs(printed):
    outcomes.leaderboard(summary_of(NAMES, "toxicity", "Trust it."))
    said = printed()
    assert "Size and sign, resolvable sides" in said
    lines = {line.strip().split("  ")[0]: line for line in said.split("Size and sign")[1].splitlines()}
    assert "1.0 (" in lines["untrac-inv (robust)"]
    assert "100%" in lines["untrac-inv (robust)"]
    assert "−1.0 (" in lines["bm25"]
    assert "r 1.00" in lines["one retraining"]
    assert said.rstrip().endswith("Trust it.")


def test_a_ranking_of_collapsed_models_is_told_as_one(printed):
    row = {"prompt_set": "talk", "side": "harmful", "subset": "forum", "rank": 1, "influence": 3.0}
    row |= {"low": None, "high": None, "separable": False}
    verdict = {"prompt_set": "talk", "side": "harmful", "text": "Do not rely on this ranking."}
    outcomes._ranking({"unit": "nats per token", "ranking": [row | {"collapsed": True}], "verdicts": [verdict]}, None)
    said = printed()
    assert "the model collapsed: do not rely on it" in said
    assert "Do not rely on this ranking." in said


def test_the_score_over_halves_is_told_where_there_is_one(printed):
    summary = summary_of(NAMES, "toxicity", "Trust it.")
    with_halves(summary)
    outcomes.leaderboard(summary)
    told = printed().split("Linear datamodeling score")[1]
    assert "24 trainings by seed 0" in told
    assert "0.90 (0.70 to 0.97)" in next(line for line in told.splitlines() if "UnTrac-Inv" in line)


def test_interactions_are_told_side_by_side_where_pairs_were_left_out(printed):
    summary = summary_of(NAMES, "toxicity", "Trust it.")
    with_pairs(summary)
    outcomes.leaderboard(summary)
    assert "toxicity: contrast: 4 pairs: leaving out both departs from the sum by 0.021" in printed()
    assert "0.40 (−0.20 to 0.80)" in next(line for line in printed().splitlines() if "BM25" in line)


def test_controls_are_told_where_they_were_asked_for(printed):
    summary = summary_of(NAMES, "toxicity", "Trust it.")
    with_controls(summary)
    outcomes.leaderboard(summary)
    assert (
        "A random mix of all subsets: retraining passes on 1 of 1 prompt sets, methods in 1 of 1 answers" in printed()
    )


def test_choices_are_told_prompt_set_by_prompt_set(printed):
    summary = summary_of(NAMES, "toxicity", "Trust it.")
    with_choices(summary)
    outcomes.leaderboard(summary)
    assert "toxicity: Trained on everything, the model chooses the harmful text in 55% of 40 pairs." in printed()


def test_writing_is_told(printed):
    summary = summary_of(NAMES, "toxicity", "Trust it.")
    with_writing(summary)
    outcomes.leaderboard(summary)
    assert "the model writes harmful text in 55% of 40 completions of 20 prompts" in printed()


def test_a_validation_without_sizes_is_told_as_before(printed):
    summary = summary_of(NAMES, "toxicity", "Trust it.")
    del summary["calibration"], summary["retraining"]
    outcomes.leaderboard(summary)
    assert "Size and sign" not in printed()
