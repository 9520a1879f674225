"""Blends of results: the recorded ones of the demo with each other, with retrainings, and with a few subsets' own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import untrac_core as untrac
from untrac_core.errors import InputError
from untrac_core.paths import DEMO
from untrac_core.specs import method_spec
from untrac_core.tasks.blending import RETRAINED, blended, closer
from untrac_core.tasks.ladder import large_or_undecided, next_rung
from untrac_core.tasks.run import trace


@pytest.fixture(scope="module")
def demo():
    return untrac.open_result("demo"), untrac.open_result(DEMO / "untrac")


def places(result):
    return [(prompts.name, side) for prompts in result.spec.prompts for side in ("contrast", "harmful", "harmless")]


def truth_of(result, prompt_set, side):
    rows = result.data.ground_truth
    rows = rows[(rows["prompt_set"] == prompt_set) & (rows["side"] == side)]
    return rows.groupby("subset")["influence"].mean()


def test_every_bar_says_how_much_of_it_comes_from_where(demo):
    product, flow = demo
    found = product.blended(flow)
    assert list(found.weights.columns) == ["subset", "UnTrac-Inv", "UnTrac", RETRAINED]
    assert found.weights[["UnTrac-Inv", "UnTrac", RETRAINED]].sum(axis=1).to_numpy() == pytest.approx(np.ones(8))
    assert found.scale.calibrated
    assert found.scale.ranked["subset"].iloc[0] == "forum"
    assert list(found.weights["subset"]) == list(found.scale.ranked["subset"])


def test_a_blend_holds_the_retrainings_and_is_narrower_than_the_calibrated_estimate(demo):
    product, flow = demo
    held, widths = [], []
    for place in places(product):
        ranked = product.blended(flow, prompt_set=place[0], side=place[1]).scale.ranked.set_index("subset")
        alone = product.shown(*place).ranked.set_index("subset")
        true = truth_of(product, *place).loc[ranked.index]
        held.append(((ranked["low"] <= true) & (true <= ranked["high"])).mean())
        widths.append(((ranked["high"] - ranked["low"]) / (alone["high"] - alone["low"]).loc[ranked.index]).mean())
    assert np.mean(held) >= 0.85
    assert np.mean(widths) < 0.9


def test_one_retraining_counts_half(demo):
    product, _ = demo
    one = product.data.ground_truth[product.data.ground_truth["seed"] == 0]
    found = blended(product.data, [], "toxicity", "harmful", one)
    assert found.weights[RETRAINED].to_numpy() == pytest.approx(np.full(8, 0.5))


def test_a_few_retrainings_do_and_the_others_are_calibrated_by_them(demo):
    product, flow = demo
    few = product.data.ground_truth[product.data.ground_truth["subset"].isin(["forum", "code", "blog", "books"])]
    found = blended(product.data, [flow.data], "toxicity", "contrast", few)
    weights = found.weights.set_index("subset")[RETRAINED]
    assert (weights[["news", "stories", "encyclopedia", "web"]] == 0).all()
    assert (weights[["forum", "code"]] > 0).all()
    true = truth_of(product, "toxicity", "contrast")
    ranked = found.scale.ranked.set_index("subset")["influence"]
    assert np.corrcoef(ranked, true.loc[ranked.index])[0, 1] > 0.95


def test_without_retrainings_it_is_relative(demo):
    product, flow = demo
    bare = replace(product.data, ground_truth=None)
    found = blended(bare, [flow.data], "toxicity", "contrast")
    assert not found.scale.calibrated
    assert found.scale.ranked["influence"].abs().max() == pytest.approx(1)
    assert list(found.weights.columns) == ["subset", "UnTrac-Inv", "UnTrac"]
    assert blended(bare, [], "toxicity", "contrast") is None


def test_only_a_closer_look_at_the_same_question_is_blended(demo):
    product, flow = demo
    assert closer(product.spec, flow.spec)
    assert not closer(flow.spec, product.spec)
    assert not closer(product.spec, flow.spec.model_copy(update={"method": method_spec("untrac", preset="paper")}))
    assert not closer(product.spec, flow.spec.model_copy(update={"subsets": flow.spec.subsets[1:]}))
    with pytest.raises(InputError, match="not the same question by a closer method"):
        flow.blended(product)


def test_a_closer_look_at_some_subsets_alone(request_of, tmp_path):
    spec = request_of({"name": "untrac-inv", "samples": 8})
    first = trace(spec, tmp_path / "first")
    chosen = large_or_undecided(first)
    assert set(chosen) <= {"fishers", "weavers", "smiths"}
    rung = next_rung(spec, "continuation", ["weavers", "fishers"]).spec
    rung = rung.model_copy(update={"method": rung.method.model_copy(update={"steps": 20, "batch_size": 4})})
    result = trace(rung, tmp_path / "rung")
    assert {row["subset"] for row in result.summary["ranking"]} == {"fishers", "weavers"}
    assert "Only 2 of 3 subsets were asked about." in " ".join(v["text"] for v in result.summary["verdicts"])
    whole = trace(
        rung.model_copy(update={"method": rung.method.model_copy(update={"leave_out": None})}), tmp_path / "whole"
    )
    pd.testing.assert_frame_equal(
        result.influence.reset_index(drop=True),
        whole.influence[whole.influence["subset"] != "smiths"].reset_index(drop=True),
    )


def test_a_flow_of_one_subset_is_that_of_all(request_of, tmp_path):
    method = {"name": "untrac", "samples": 8, "steps": 4, "batch_size": 4}
    whole = trace(request_of(method, seeds=[0]), tmp_path / "whole")
    one = trace(request_of(method | {"leave_out": ["smiths"]}, seeds=[0]), tmp_path / "one")
    assert set(one.influence["subset"]) == {"smiths"}
    mine = one.influence["influence"].to_numpy()
    assert mine == pytest.approx(
        whole.influence.query("subset == 'smiths'")["influence"].to_numpy(), rel=1e-4, abs=1e-7
    )
    assert "nothing to compare it with" in one.summary["verdicts"][0]["text"]


def test_a_subset_that_is_none_of_them_is_named(request_of, tmp_path):
    for name in ("untrac", "continuation"):
        with pytest.raises(InputError, match=r"'leave_out': there is no subset 'smith'.*fishers"):
            trace(request_of({"name": name, "leave_out": ["smith"]}), tmp_path / name)
    with pytest.raises(InputError, match="'leave_out' has no effect on UnTrac-Inv"):
        trace(request_of({"name": "untrac-inv", "leave_out": ["smiths"]}), tmp_path / "inverse")
