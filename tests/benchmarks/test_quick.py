"""The benchmark from end to end on its quick testbed: trainings, every kind of method, what is kept, and going on."""

import json

import pytest

from benchmarks.accuracy import __main__ as accuracy
from benchmarks.accuracy.testbeds import QUICK
from tests.helpers.real_data import ROOT


@pytest.mark.slow  # trains eight models
def test_the_quick_testbed_runs_and_goes_on(tmp_path, monkeypatch):
    """On ToxiGen's contrast our methods agree with retraining, and a second call trains nothing."""
    monkeypatch.setenv("UNTRAC_SHARED_DATA", str(ROOT))
    summary = accuracy.run(QUICK, tmp_path / "work", tmp_path / "results")
    kept = json.loads((tmp_path / "results" / QUICK / "summary.json").read_text(encoding="utf-8"))
    assert kept["leaderboard"] == summary["leaderboard"]
    found = {
        row["method"]: row["value"]
        for row in summary["leaderboard"]
        if (row["prompt_set"], row["side"], row["metric"]) == ("toxigen", "contrast", "pearson")
    }
    assert set(found) == {"untrac-inv (robust)", "untrac (robust)", "continuation", "bm25", "random"}
    assert min(found["untrac-inv (robust)"], found["untrac (robust)"], found["continuation"]) > 0.5

    def trained(*_, **__):
        raise AssertionError("a model was trained again")

    monkeypatch.setattr("untrac_core.training.retraining.train_model", trained)
    again = accuracy.run(QUICK, tmp_path / "work", tmp_path / "again")
    assert again["leaderboard"] == summary["leaderboard"]
