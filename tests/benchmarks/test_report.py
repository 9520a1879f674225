"""The benchmark's report: tables that say what the results say."""

import json
import shutil
from pathlib import Path

import pandas as pd

from benchmarks.accuracy import report
from untrac_core.results.folders import write_frame


def summary_of(value):
    row = {"prompt_set": None, "side": "resolvable", "sides": 2, "low": value - 0.1, "high": value + 0.05}
    methods = ["untrac-inv (robust)", "grad-dot", "ek-fac"]
    leaderboard = [
        row | {"method": name, "metric": metric, "value": value - 0.2 * place}
        for place, name in enumerate(methods[:2])
        for metric in ("pearson", "spearman", "kendall", "ndcg", "top1")
    ]
    place = {"prompt_set": "p", "side": "harmful", "method": "untrac-inv (robust)", "metric": "pearson"}
    leaderboard.append(place | {"value": 0.42, "low": 0.3, "high": 0.5})
    return {
        "verdict": "Trust it.",
        "noise": [{"prompt_set": "p", "side": "harmful", "agreement": 0.9, "ceiling": 0.97, "resolvable": True}],
        "methods": [
            {"method": name, "seconds": 3.0, "peak_memory_mb": 500.0, "collapsed": False, "failed": None}
            for name in methods[:2]
        ]
        + [{"method": "ek-fac", "seconds": 0.0, "peak_memory_mb": 1.0, "collapsed": False, "failed": "no hooks"}],
        "leaderboard": leaderboard,
        "differences": [
            {"first": methods[0], "second": methods[1], "side": "resolvable", "tie": False}
            | {"value": 0.2, "low": 0.1, "high": 0.3}
        ],
        "critical": {"subsets": 10, "pearson": 0.63},
        "data": {
            "subsets": {name: {"trained_blocks": 100} for name in "abcd"},
            "prompt_sets": {"p": {"harmful": {"items": 128, "tokens": 700}}},
        },
    }  # fmt: skip


def write_bed(folder, summary, true, told):
    """The results of a testbed; ``true`` and ``told``: a value for each of four subsets."""
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    made = {"python": "3.11", "platform": "Linux", "packages": {"torch": "2", "transformers": "5", "numpy": "2"}}
    (folder / "environment.json").write_text(json.dumps(made))
    place = {"prompt_set": "p", "side": "harmful"}
    rows = [place | {"subset": name, "influence": value} for name, value in zip("abcd", true, strict=True)]
    seeds = [row | {"seed": seed, "influence": row["influence"] + 0.1 * seed} for row in rows for seed in (0, 1)]
    write_frame(pd.DataFrame(seeds), folder / "ground_truth.parquet")
    rows = [place | {"subset": name, "influence": value} for name, value in zip("abcd", told, strict=True)]
    frame = pd.DataFrame([row | {"low": row["influence"] - 0.1, "high": row["influence"] + 0.1} for row in rows])
    frames = [frame.assign(method=name) for name in report.OURS]
    write_frame(pd.concat(frames, ignore_index=True), folder / "estimates.parquet")


def test_the_report_says_what_the_results_say(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "_draw", lambda found, path: drawn.append(list(found)))
    shutil.copyfile(Path(report.__file__).parent / "README.md", tmp_path / "README.md")
    for bed in ("opt", "mix"):
        write_bed(tmp_path / "results" / bed, summary_of(0.9), [1.0, -1.0, 2.0, -2.0], [0.5, -0.5, 1.0, -1.0])
    report.write_report(tmp_path)
    once = (tmp_path / "README.md").read_text()
    assert "| **untrac-inv (robust)** | 0.90 (0.80 to 0.95) |" in once
    assert "| p | harmful | 128 | 0.90 | 1.00 | 0.97 | resolvable | 0.42 |  |  |  |" in once
    assert "| **untrac-inv (robust)** | 0.42 | 1.00 (" in once
    assert ") | 0.00 | 2.0 (" in once
    assert "| one retraining against the mean of the others | 1.00, by seed 1.00 to 1.00 |" in once
    assert "| ek-fac |" in once
    assert "no hooks" in once
    assert "| untrac-inv (robust) - grad-dot | +0.20 | +0.10 to +0.30 |" in once
    assert drawn == [["opt", "mix"]]
    report.write_report(tmp_path)
    assert (tmp_path / "README.md").read_text() == once


def test_an_unequal_mix_is_looked_at_without_its_largest_subset(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_draw", lambda found, path: None)
    shutil.copyfile(Path(report.__file__).parent / "README.md", tmp_path / "README.md")
    folder = tmp_path / "results" / "mix"
    summary = summary_of(0.9)
    summary["data"]["subsets"]["a"]["trained_blocks"] = 300
    write_bed(folder, summary, [-9.0, 1.0, 2.0, 3.0], [9.0, 1.0, 2.0, 3.0])  # wrong about the largest alone
    report.write_report(tmp_path)
    once = (tmp_path / "README.md").read_text()
    assert "the same without a, 50% of the training" in once
    assert "| p | harmful | -0.93 | 1.00 | -0.93 | 1.00 |" in once
