"""The headline: who is first, by how much, whether that is significant, and how far retraining agrees."""

from dataclasses import replace

import pytest

from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace
from untrac_core.tasks.trace.scale import evidence, headline
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


@pytest.mark.parametrize("own", ["1", "0.0", "true", "None", "<b>"])
def test_labels_that_say_nothing_reach_no_sentence(demo, own):
    prompts = demo.spec.prompts[0].model_copy(update={"harmful": own})
    assert labels(prompts) == ("harmful", "benign")
