"""The benchmark's testbeds and report, without its hours of training."""

import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks.accuracy import report
from benchmarks.accuracy.testbeds import BEDS, SHARES

ROOT = Path(os.environ.get("UNTRAC_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
if not ROOT.is_dir():
    if os.environ.get("UNTRAC_REQUIRE_ALL"):
        raise FileNotFoundError(f"the real data are missing: {ROOT}")
    pytest.skip("the real data are not here; name their folder in UNTRAC_SHARED_DATA", allow_module_level=True)


def test_the_equal_beds_differ_in_their_shape_alone(tmp_path):
    specs = [BEDS[name](ROOT, tmp_path) for name in ("opt", "gpt2", "llama")]
    assert [spec.training.architecture for spec in specs] == ["opt", "gpt2", "llama"]
    assert len({spec.training.model_copy(update={"architecture": "opt"}).model_dump_json() for spec in specs}) == 1
    assert all(len(spec.subsets) == 10 and spec.training.equal_tokens for spec in specs)


def test_the_mix_has_the_shares_of_the_paper(tmp_path):
    spec = BEDS["mix"](ROOT, tmp_path)
    limits = [subset.limit for subset in spec.subsets]
    assert [limit / sum(limits) for limit in limits] == pytest.approx([share / 100 for share in SHARES])
    assert sum(limits) == spec.training.steps * spec.training.batch


def test_development_shares_no_item_with_the_beds_that_are_reported(tmp_path):
    from untrac_core.data.prompts import load_prompts

    made, told = BEDS["development"](ROOT, tmp_path), BEDS["opt"](ROOT, tmp_path)
    for one, other in zip(made.prompts, told.prompts, strict=True):
        assert one.name == other.name
        ids = [{item.id for items in load_prompts(asked).sides.values() for item in items} for asked in (one, other)]
        assert not ids[0] & ids[1]
        assert min(map(len, ids)) > 100


def summary_of(value):
    row = {"prompt_set": None, "side": "resolvable", "sides": 2, "low": value - 0.1, "high": value + 0.05}
    methods = ["untrac-inv (robust)", "grad-dot", "ek-fac"]
    board = [
        row | {"method": name, "measure": measure, "value": value - 0.2 * place}
        for place, name in enumerate(methods[:2])
        for measure in ("pearson", "spearman", "kendall", "ndcg", "top1")
    ]
    return {
        "verdict": "Trust it.",
        "noise": [{"prompt_set": "p", "side": "harmful", "agreement": 0.9, "ceiling": 0.97, "resolvable": True}],
        "methods": [
            {"method": name, "seconds": 3.0, "peak_memory_mb": 500.0, "collapsed": False, "failed": None}
            for name in methods[:2]
        ]
        + [{"method": "ek-fac", "seconds": 0.0, "peak_memory_mb": 1.0, "collapsed": False, "failed": "no hooks"}],
        "board": board,
        "differences": [
            {"first": methods[0], "second": methods[1], "side": "resolvable", "tie": False}
            | {"value": 0.2, "low": 0.1, "high": 0.3}
        ],
        "critical": {"subsets": 10, "pearson": 0.63},
    }  # fmt: skip


def test_the_report_says_what_the_results_say(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "_draw", lambda found, path: drawn.append(list(found)))
    shutil.copyfile(Path(report.__file__).parent / "README.md", tmp_path / "README.md")
    for bed in ("opt", "mix"):
        (tmp_path / "results" / bed).mkdir(parents=True)
        (tmp_path / "results" / bed / "summary.json").write_text(json.dumps(summary_of(0.9)))
        made = {"python": "3.11", "platform": "Linux", "packages": {"torch": "2", "transformers": "5", "numpy": "2"}}
        (tmp_path / "results" / bed / "environment.json").write_text(json.dumps(made))
    report.write_report(tmp_path)
    once = (tmp_path / "README.md").read_text()
    assert "| **untrac-inv (robust)** | 0.90 (0.80 to 0.95) |" in once
    assert "| ek-fac |" in once
    assert "no hooks" in once
    assert "| untrac-inv (robust) - grad-dot | +0.20 | +0.10 to +0.30 |" in once
    assert drawn == [["opt", "mix"]]
    report.write_report(tmp_path)
    assert (tmp_path / "README.md").read_text() == once
