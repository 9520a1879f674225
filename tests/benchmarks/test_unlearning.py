"""The benchmark of unlearning: its tables are those of the committed results, and its requests can run."""

from __future__ import annotations

from statistics import fmean

import pytest

from benchmarks.unlearning import __main__ as benchmark
from benchmarks.unlearning import demo, report
from untrac_core.specs import unlearning_method_spec
from untrac_core.specs.catalogue import CONTROL, UNLEARNING

COMMITTED = sorted(path.stem for path in report.RESULTS.glob("*.json"))


def test_every_method_that_moves_weights_is_in():
    assert {of["name"] for of in benchmark.METHODS.values()} == {name for name, row in UNLEARNING.items() if row.path}
    assert set(demo.METHODS) <= set(benchmark.METHODS)
    for of in (*benchmark.METHODS.values(), *benchmark.CHOICES.values()):
        unlearning_method_spec(**{key: value for key, value in of.items() if key != "most"})


def test_the_demo_is_asked_by_a_request_of_the_product():
    methods = {title: {"name": title} | demo.held(title) for title in ("npo", "k-fade", CONTROL)}
    spec = demo.request(methods, (3,))
    assert [(each.title, getattr(each, "retain", None)) for each in spec.methods] == [
        ("npo", "kl"), ("k-fade", None), (CONTROL, "nll"),
    ]  # fmt: skip
    assert (spec.stop.rule, spec.seeds, spec.forget.subset) == ("match_retrained", [3], "forum")


@pytest.mark.parametrize("bed", COMMITTED)
def test_a_table_has_the_means_and_ranges_of_the_committed_results(bed):
    found = report.results(bed)["found"]
    lines = report.table(bed).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(rows) == len(found) + 2
    distances = []
    for row in rows[2:]:
        by = found[row[0].split("`, ")[0].strip("`") if row[0].startswith("`") else row[0].split(",")[0]]
        told = [each["loss_forget"] for each in by.values()]
        cell = row[rows[0].index("Loss, forget set")]
        mean = f"{fmean(told):.2f}".removeprefix("0")
        assert cell == mean or cell == f"{mean} ({min(told):.2f} to {max(told):.2f})".replace("0.", ".")
        distances.append(fmean(each.get("kl_forget", 0.0) for each in by.values()))
    assert distances == sorted(distances)


def test_what_the_docs_say_of_the_laboratory_is_so():
    found = report.results("laboratory")["found"]
    means = report.means("laboratory")
    npo, k_fade, grad_diff, flow = (found[name] for name in ("npo", "k-fade", "grad-diff", "rest-flow"))
    assert means["k-fade"]["kl_forget"] > means["npo"]["kl_forget"]
    assert [npo[seed]["kl_forget"] > k_fade[seed]["kl_forget"] for seed in ("0", "1")] == [False, True]
    assert k_fade["0"]["kl_retain"] > 2 * npo["0"]["kl_retain"]
    assert abs(k_fade["1"]["kl_retain"] - npo["1"]["kl_retain"]) < 0.002
    for seed in ("0", "1"):
        assert all(k_fade[seed][name] < grad_diff[seed][name] for name in ("kl_forget", "kl_retain"))
        assert k_fade[seed]["relearning"] < npo[seed]["relearning"]
    way = flow["0"]["loss_forget"] - found[report.BEFORE]["0"]["loss_forget"]
    whole = found[report.REFERENCE]["0"]["loss_forget"] - found[report.BEFORE]["0"]["loss_forget"]
    assert 0.1 < way / whole < 0.15
    assert flow["0"]["relearning"] == 1
    grin, before = found["grin"], found[report.BEFORE]
    for seed in ("0", "1"):
        assert grin[seed]["kl_forget"] < 0.2 * before[seed]["kl_forget"]
        assert grin[seed]["relearning"] < npo[seed]["relearning"]
    assert means["retain-only"]["kl_forget"] < means["npo"]["kl_forget"]
    assert means["retain-only"]["loss_forget"] < means["npo"]["loss_forget"]
    methods = [title for title in benchmark.METHODS if title in found]
    assert flow["0"]["kl_retain"] < 1.1 * min(found[title]["0"]["kl_retain"] for title in methods)
    assert all(means[title]["kl_forget"] > means[report.OTHER]["kl_forget"] for title in methods)


def test_a_number_that_collapsed_or_is_not_there_is_said(monkeypatch):
    found = {
        report.REFERENCE: {"0": {"loss_forget": 2.0}},
        "npo": {"0": {"kl_forget": 0.5, "collapsed": 0.0}, "1": {"kl_forget": 1.5, "collapsed": 1.0}},
    }
    monkeypatch.setattr(report, "results", lambda bed: {"found": found})
    assert report.table("x").splitlines()[2:] == [
        "| retrained, 1 of 2 seeds |  | 2.00 |", "| `npo`, 1 of 2 collapsed | 1.00 (.50 to 1.50) |  |",
    ]  # fmt: skip
