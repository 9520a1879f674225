"""What stands beside a ranking: baselines with their agreement, and what cannot be separated; also after a collapse."""

import json

import numpy as np
import pytest

from untrac_core.results.folders import load_trace
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.baselines import agreement_rows, baseline_rows, bracket_rows
from untrac_core.tasks.trace.ranking import ranking_rows, verdicts
from untrac_core.tasks.trace.task import TraceTask

SIDES = ("harmful", "harmless", "contrast")
COLLAPSING = {
    "name": "untrac-inv",
    "preset": "paper",
    "optimizer": "adam",
    "learning_rate": 5e-4,
    "steps": 100,
    "eval_points": 2,
}


def rows_of(values, key="influence", **more):
    return [
        {"prompt_set": "talk", "side": "harmful", "subset": name, key: value} | more
        for name, value in sorted(values.items(), key=lambda pair: -pair[1])
    ]


def test_agreement_is_spearman_s_rho_and_the_first():
    own = rows_of({"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0})
    same = rows_of({"a": 9.0, "b": 0.3, "c": 0.2, "d": -5.0}, "score", method="same")
    turned = rows_of({"a": -3.0, "b": -2.0, "c": -1.0, "d": 0.0}, "score", method="turned")
    flat = rows_of(dict.fromkeys("abcd", 1.0), "score", method="flat")
    swapped = rows_of({"a": 2.0, "b": 3.0, "c": 1.0, "d": 0.0}, "score", method="swapped")
    found = {row["method"]: row for row in agreement_rows(own, [*same, *turned, *flat, *swapped])}
    assert (found["same"]["spearman"], found["same"]["same_top"]) == (pytest.approx(1), True)
    assert (found["turned"]["spearman"], found["turned"]["same_top"]) == (pytest.approx(-1), False)
    assert found["flat"]["spearman"] is None
    assert (found["swapped"]["spearman"], found["swapped"]["same_top"]) == (pytest.approx(0.8), False)
    assert set(found["same"]) == {"method", "prompt_set", "side", "spearman", "same_top"}


def test_there_is_no_agreement_with_a_side_that_was_refused():
    other = rows_of({"a": 1.0, "b": 2.0}, "score", method="other")
    assert agreement_rows([], other) == []
    assert agreement_rows([row | {"side": "harmless"} for row in rows_of({"a": 1.0, "b": 2.0})], other) == []


@pytest.fixture(scope="module")
def world_spec(world):
    """A trace over the world, whose parts can be replaced; of a module, as its run is looked at several times."""
    from tests.helpers.recipes import prompt_spec, subset_specs
    from untrac_core.specs import TraceSpec
    from untrac_core.specs.build import build

    def make(**more):
        values = {"kind": "trace", "model": {"path": str(world / "model")}, "prompts": [prompt_spec(world, 20)]}
        values |= {"subsets": subset_specs(world), "seeds": [0, 1, 2], "device": "cpu"}
        return build(TraceSpec, values | more, where="test")

    return make


@pytest.fixture(scope="module")
def beside(world_spec, tmp_path_factory):
    """A trace with baselines beside it."""
    spec = world_spec(baselines=["grad-dot", "bm25", "tracin", "random"])
    return trace(spec, tmp_path_factory.mktemp("beside"))


def test_baselines_rank_every_side_beside_the_method(beside):
    summary = beside.summary
    rows = {}
    for row in summary["baselines"]:
        rows.setdefault((row["method"], row["prompt_set"], row["side"]), []).append(row)
    assert set(rows) == {(name, "talk", side) for name in ("grad-dot", "bm25", "random") for side in SIDES}
    for place, ranked in rows.items():
        assert [row["rank"] for row in ranked] == [1, 2, 3]
        assert [row["score"] for row in ranked] == sorted((row["score"] for row in ranked), reverse=True)
        assert {row["subset"] for row in ranked} == {"fishers", "weavers", "smiths"}
        assert all(row["low"] <= row["score"] <= row["high"] for row in ranked)
        if place[0] != "random":
            assert ranked[0]["subset"] == ("weavers" if place[2] == "harmless" else "smiths")
    assert {row["unit"] for row in summary["baselines"] if row["method"] == "bm25"} == {"BM25 score"}


def test_a_baseline_that_cannot_work_is_a_warning_and_no_row(beside):
    (said,) = [text for text in beside.summary["warnings"] if "tracin" in text]
    assert said.startswith("The baseline tracin has no ranking: ")
    assert "checkpoints" in said
    assert not any(row["method"] == "tracin" for row in beside.summary["baselines"] + beside.summary["agreement"])


def test_agreement_of_a_run_is_that_of_its_rows(beside):
    summary = beside.summary
    assert len(summary["agreement"]) == 9
    for row in summary["agreement"]:
        own = beside.ranking("talk", row["side"]).set_index("subset")["rank"]
        other = {
            one["subset"]: one["rank"]
            for one in summary["baselines"]
            if (one["method"], one["side"]) == (row["method"], row["side"])
        }
        squared = sum((own[name] - rank) ** 2 for name, rank in other.items())
        assert row["spearman"] == pytest.approx(1 - 6 * squared / 24)
        assert row["same_top"] == (own.idxmin() == min(other, key=other.get))
    assert all(row["same_top"] for row in summary["agreement"] if row["method"] in ("bm25", "grad-dot"))


def test_the_table_has_the_baselines_and_the_result_the_method_alone(beside):
    from untrac_core.results.folders import INFLUENCE, read_frame

    table = read_frame(beside.folder / INFLUENCE)
    assert set(table.method) == {"untrac-inv", "grad-dot", "bm25", "random"}
    assert set(load_trace(beside.folder).influence.method) == {"untrac-inv"}


def test_brackets_are_runs_of_neighbours_that_cannot_be_separated(beside):
    groups = {row["side"]: row["subsets"] for row in beside.summary["ties"]}
    assert set(groups) == set(SIDES)
    for side, ties in groups.items():
        ranked = beside.ranking("talk", side)
        order = list(ranked.subset)
        for bracket in ties:
            start = order.index(bracket[0])
            assert order[start : start + len(bracket)] == bracket
            assert len(bracket) > 1
        held = {name for bracket in ties for name in bracket}
        pale = {row.subset for row in ranked.itertuples() if not row.separable}
        assert pale <= held  # a bracket compares all pairs, so it may also hold what stands clear of its neighbours


def test_one_seed_separates_nothing(world_spec):
    tracer = TraceTask(world_spec(seeds=[0], baselines=[], method={"name": "grad-dot"}))
    frames = [tracer.run_cell(cell) for cell in tracer.cells]
    (outcome,) = tracer.panel.outcomes(tracer.study, tracer.cells, frames)
    rows = ranking_rows(outcome)
    order = [row["subset"] for row in rows if row["side"] == "harmful"]
    found = {row["side"]: row["subsets"] for row in bracket_rows(outcome, rows)}
    assert found["harmful"] == [order]
    assert bracket_rows(outcome, []) == []
    assert {row["low"] for row in baseline_rows([outcome])} == {None}


@pytest.fixture(scope="module")
def collapsed(world_spec, tmp_path_factory):
    """The paper's preset at ten times its rate, and many steps."""
    spec = world_spec(method=COLLAPSING, seeds=[0, 1], baselines=["grad-dot", "bm25", "random"])
    return trace(spec, tmp_path_factory.mktemp("collapsed"))


def test_the_paper_s_preset_ranks_collapsed_models_and_says_what_they_are(collapsed):
    summary = collapsed.summary
    assert len(summary["collapsed"]) == 4  # two sides, two seeds
    assert {row["side"] for row in summary["ranking"]} == set(SIDES)
    assert all(row["collapsed"] and not row["separable"] for row in summary["ranking"])
    for row in summary["ties"]:
        assert row["subsets"] == [list(collapsed.ranking("talk", row["side"]).subset)], "nothing is separated"
    assert {verdict["side"] for verdict in summary["verdicts"]} == set(SIDES)
    for verdict in summary["verdicts"]:
        assert (verdict["top"], verdict["collapsed"]) == (None, True)
        assert verdict["text"].startswith("Do not rely on this ranking: the models collapsed while the prompts were ")
        assert "the paper ranks them too" in verdict["text"]
    assert any(
        "The model collapsed in 4 of 4 cells" in text and "the paper ranks such models too" in text
        for text in summary["warnings"]
    )
    assert any(text.startswith("collapsed at step") for text in summary["ended"])


def test_baselines_still_rank_beside_a_collapse(collapsed):
    summary = collapsed.summary
    assert {(row["method"], row["side"]) for row in summary["baselines"]} == {
        (method, side) for method in ("grad-dot", "bm25", "random") for side in SIDES
    }
    top = {(row["method"], row["side"]): row["subset"] for row in summary["baselines"] if row["rank"] == 1}
    assert top["grad-dot", "harmful"] == top["bm25", "harmful"] == "smiths"
    assert "NaN" not in json.dumps(summary)


@pytest.mark.parametrize("sound", [True, False])
def test_one_side_s_collapse_marks_that_side_and_the_contrast_or_refuses_them(world_spec, sound):
    """Made of a sound run by calling one cell collapsed, with or without losses that are numbers."""
    tracer = TraceTask(
        world_spec(method={"name": "untrac-inv", "preset": "paper", "steps": 1}, baselines=[], seeds=[0, 1])
    )
    frames = [tracer.run_cell(cell) for cell in tracer.cells]
    at = next(i for i, cell in enumerate(tracer.cells) if cell.side == "harmful")
    frames[at] = frames[at].assign(collapsed=np.True_)
    if not sound:
        frames[at] = frames[at].assign(change=np.nan)
    (outcome,) = tracer.panel.outcomes(tracer.study, tracer.cells, frames)
    rows = ranking_rows(outcome)
    assert {row["side"] for row in rows} == (set(SIDES) if sound else {"harmless"})
    assert {row["side"] for row in bracket_rows(outcome, rows)} == {row["side"] for row in rows}
    assert {row["side"] for row in rows if row["collapsed"]} == ({"harmful", "contrast"} if sound else set())
    for verdict in verdicts(outcome, rows):
        gone = verdict["side"] != "harmless"
        assert verdict["collapsed"] == gone
        assert not gone or verdict["text"].startswith("Do not rely on" if sound else "No ranking")
