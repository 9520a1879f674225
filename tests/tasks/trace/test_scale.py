"""In which unit influence is shown: calibrated against retraining, or relative, and never the one as the other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace
from untrac_core.tasks.trace.frames import ranking, sides_of
from untrac_core.tasks.trace.scale import in_nats, relative, scale_of
from untrac_core.text.numbers import RELATIVE_UNIT, RETRAINED_UNIT, STEP_UNIT, UNIT


@pytest.fixture(scope="module", params=["run", "untrac"])
def demo(request):
    return load_trace(DEMO / request.param)


def truths(demo, prompt_set, side):
    rows = demo.ground_truth
    return rows[(rows.prompt_set == prompt_set) & (rows.side == side)].groupby("subset").influence.mean()


def test_the_demos_intervals_hold_what_retraining_shows(demo):
    for prompts in demo.spec.prompts:
        for side in sides_of(demo.summary, prompts.name):
            scale, truth = scale_of(demo, prompts.name, side), truths(demo, prompts.name, side)
            assert (scale.calibrated, scale.unit) == (True, RETRAINED_UNIT)
            held = [row.low <= truth[row.subset] <= row.high for row in scale.ranked.itertuples()]
            assert sum(held) >= 7, (prompts.name, side)
            if side == "contrast":  # the default view: what its sentence is about
                assert held[0]


def test_no_subset_is_calibrated_by_its_own_retraining(demo):
    """A truth that is altered changes every number but its own subset's centre."""
    before = scale_of(demo, "toxicity", "contrast").ranked.set_index("subset").influence
    rows = demo.ground_truth
    altered = rows.assign(influence=rows.influence.where(rows.subset != "forum", rows.influence * 1.5))
    after = scale_of(replace(demo, ground_truth=altered), "toxicity", "contrast").ranked.set_index("subset").influence
    assert after["forum"] == before["forum"]
    assert (after.drop("forum") != before.drop("forum")).all()


def test_the_sentence_states_the_calibrated_size(demo):
    prompts = demo.spec.prompts[0]
    scale = scale_of(demo, prompts.name, "contrast")
    said = in_nats(scale, prompts, "contrast")
    assert said.startswith("Retraining without forum would raise the loss of toxic text, beyond that of benign text,")
    assert f"by about {scale.ranked.influence[0]:.2f} nats per token (95% interval +" in said


def test_without_retrained_models_numbers_are_shares(demo):
    bare = replace(demo, ground_truth=None)
    prompts = demo.spec.prompts[0]
    scale, own = scale_of(bare, "toxicity", "contrast"), ranking(demo.summary, "toxicity", "contrast")
    assert (scale.unit, scale.calibrated) == (RELATIVE_UNIT, False)
    assert scale.ranked.influence.abs().max() == 1.0
    np.testing.assert_allclose(
        scale.ranked.high / scale.ranked.influence, own.high / own.influence, err_msg="intervals go with their numbers"
    )
    assert in_nats(scale, prompts, "contrast") is None
    verdict = next(v for v in bare.summary["verdicts"] if (v["prompt_set"], v["side"]) == ("toxicity", "contrast"))
    assert "nats" not in verdict["text"]
    assert "(relative influence " in verdict["text"]


def test_a_truth_that_contradicts_the_estimates_calibrates_nothing(demo):
    rows = demo.ground_truth.assign(influence=-demo.ground_truth.influence)
    assert scale_of(replace(demo, ground_truth=rows), "toxicity", "contrast").unit == RELATIVE_UNIT


def test_scores_and_measured_unlearnings_keep_their_unit():
    rows = pd.DataFrame(
        {"subset": ["a", "b"], "rank": [1, 2], "influence": [4.0, 1.0], "low": 0.5, "high": 5.0, "separable": True}
    )
    assert relative(rows, UNIT).ranked.equals(rows)
    assert relative(rows, "cosine").unit == "cosine"
    assert list(relative(rows, STEP_UNIT).ranked.influence) == [1.0, 0.25]
    assert relative(rows.iloc[:0], STEP_UNIT).ranked.empty


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A validation of the demo, as its summary would be, and the trace that it is about."""
    return load_trace(DEMO / "run")


def test_a_validation_of_the_same_texts_calibrates(validated):
    from types import SimpleNamespace

    from untrac_core.tasks.trace.scale import fits

    spec = validated.spec
    row = {"method": spec.method.title, "prompt_set": None, "side": "all", "slope": 50.0, "low": 40.0, "high": 60.0}
    other = SimpleNamespace(
        spec=SimpleNamespace(name="check", subsets=spec.subsets, prompts=spec.prompts, methods=[spec.method]),
        summary={"calibration": [row | {"rmse": 0.05}]},
    )
    assert fits(validated, other)
    bare = replace(validated, ground_truth=None)
    scale, own = scale_of(bare, "bias", "contrast", other), ranking(validated.summary, "bias", "contrast")
    assert scale.calibrated
    assert "check" in scale.said
    np.testing.assert_allclose(scale.ranked.influence, 50 * own.influence)
    assert (scale.ranked.high - scale.ranked.low > 50 * (own.high - own.low)).all()
    other.summary = {"calibration": [row | {"rmse": 0.05, "low": -1.0}]}
    assert not scale_of(bare, "bias", "contrast", other).calibrated
    other.spec.subsets = spec.subsets[:-1]
    assert not fits(validated, other)
