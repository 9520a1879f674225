"""The headline: who is first, by how much, whether that is significant, and how far retraining agrees."""

from dataclasses import replace

import pytest

from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace
from untrac_core.tasks.trace.scale import evidence, headline, what_would_settle
from untrac_core.text.labels import labels


@pytest.fixture(scope="module")
def demo():
    return load_trace(DEMO / "run")


def changed(demo, **first):
    rows = [dict(row) for row in demo.summary["ranking"]]
    for row in rows:
        if (row["prompt_set"], row["side"], row["rank"]) == ("toxicity", "contrast", 1):
            row.update(first)
    verdicts = [v | ({"top": None} if first else {}) for v in demo.summary["verdicts"]]
    return replace(demo, summary=demo.summary | {"ranking": rows, "verdicts": verdicts})


def test_who_is_first_and_by_how_much(demo):
    told = headline(demo, demo.spec.prompts[0], "contrast")
    assert told.startswith(
        "forum contributes most to toxic rather than benign text: 2.7 times as much as the next, blog."
    )
    assert told.endswith("The lead is significant.")


def test_what_is_open_is_said(demo):
    prompts = demo.spec.prompts[0]
    assert "its lead over blog is not significant" in headline(changed(demo, separable=False), prompts, "contrast")
    assert "No subset stands out" in headline(changed(demo, low=-1.0), prompts, "contrast")
    assert "it may be chance" in headline(changed(demo, low=None, high=None), prompts, "contrast")
    nothing = replace(demo, summary=demo.summary | {"ranking": []})
    assert headline(nothing, prompts, "contrast") == "There is no ranking."


def test_the_best_evidence_is_told(demo):
    prompts = demo.spec.prompts[0]
    assert evidence(demo, prompts, "contrast").startswith(
        "Models that were retrained without each subset agree: r = 0.9"
    )
    assert "the testbed that is most like this run" in evidence(replace(demo, ground_truth=None), prompts, "contrast")


@pytest.mark.parametrize("own", ["1", "0.0", "yes", "None", "<b>"])
def test_labels_that_say_nothing_reach_no_sentence(demo, own):
    prompts = demo.spec.prompts[0].model_copy(update={"harmful": own})
    assert labels(prompts) == ("harmful", "benign")


def test_an_open_verdict_says_what_would_settle_it(demo):
    prompts = demo.spec.prompts[0]
    assert what_would_settle(demo, prompts, "contrast") is None
    asked = ("toxicity", "contrast", 2)
    second = next(r for r in demo.summary["ranking"] if (r["prompt_set"], r["side"], r["rank"]) == asked)
    near = second["influence"] * 1.1
    half = (second["high"] - second["low"]) / 2
    told = what_would_settle(changed(demo, influence=near, low=near - half, high=near + half), prompts, "contrast")
    times = 2 * half**2 / (near - second["influence"]) ** 2
    assert told.startswith("About ") == (times <= 50)
    wide = changed(demo, low=-1e3, high=1e3)
    assert "more text will hardly tell them apart" in what_would_settle(wide, prompts, "contrast")
    assert "at least two seeds" in what_would_settle(changed(demo, low=None, high=None), prompts, "contrast")
