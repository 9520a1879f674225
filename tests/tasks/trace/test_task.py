"""The files of a result, the same bytes each time, and what a verdict says."""

import json

import pandas as pd
import pytest

from untrac_core.attribution import untrac
from untrac_core.attribution.ascent import Trajectory
from untrac_core.errors import InputError
from untrac_core.results.folders import (
    EXAMPLE_COLUMNS,
    INFLUENCE,
    INFLUENCE_COLUMNS,
    SUMMARY,
    load_trace,
    write_frame,
)
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.check import check
from untrac_core.tasks.trace.scale import scale_of
from untrac_core.tasks.trace.task import TraceTask


@pytest.fixture(scope="module")
def results(world, tmp_path_factory):
    """A finished run of each method."""
    from untrac_core.specs import TraceSpec

    def run(name):
        columns = {c: c for c in ("prompt", "completion", "group", "label", "id")}
        spec = TraceSpec.model_validate(
            {
                "name": name,
                "model": {"path": str(world / "model")},
                "prompts": [
                    {
                        "name": "talk",
                        "source": {"file": str(world / "prompts.jsonl")},
                        "columns": columns,
                        "harmful": "bad",
                        "harmless": "good",
                    }
                ],
                "subsets": [
                    {"name": subset, "source": {"file": str(world / f"{subset}.jsonl")}}
                    for subset in ("fishers", "weavers", "smiths")
                ],
                # Further steps pass over these few texts again and again, and seeds go apart.
                "method": {"name": name} | ({"steps": 5, "eval_points": 1} if name == "untrac" else {}),
                "seeds": [0, 1, 2],
                "device": "cpu",
            }
        )
        return trace(spec, tmp_path_factory.mktemp(name))

    return {name: run(name) for name in ("untrac", "untrac-inv")}


@pytest.mark.parametrize("name", ["untrac", "untrac-inv"])
def test_influence_table(results, name):
    frame = results[name].influence
    assert list(frame.columns) == INFLUENCE_COLUMNS
    assert set(frame.subset) == {"fishers", "weavers", "smiths"}
    assert (frame[frame.step == 0].influence == 0).all()
    if name == "untrac":
        assert set(frame.step) == {0, 5}
    pd.testing.assert_series_equal(frame.loss_after - frame.loss_before, frame.influence, check_names=False)
    assert set(frame.group) == {"", "g0", "g1"}
    steps = 2 if name == "untrac" else 1  # the product takes none: its one row is the influence itself
    assert len(frame) == 3 * 2 * 3 * steps * 3  # subsets, sides, seeds, steps, groups


def test_groups_add_up_to_the_whole(results):
    frame = results["untrac"].influence
    keys = ["subset", "side", "seed", "step"]
    total = frame[frame.group == ""].set_index(keys).sort_index()
    parts = frame[frame.group != ""].assign(weighted=lambda f: f.influence * f.tokens).groupby(keys)
    pd.testing.assert_series_equal(
        parts.weighted.sum() / parts.tokens.sum(), total.influence, check_names=False, rtol=1e-9, atol=1e-12
    )


def test_example_scores_average_to_the_subsets(results):
    result = results["untrac-inv"]
    parts = [result.examples("talk", side) for side in ("contrast", "harmful", "harmless")]
    examples = pd.concat(parts, ignore_index=True)
    assert list(examples.columns) == EXAMPLE_COLUMNS
    weighted = examples.assign(w=examples.influence * examples.tokens).groupby(["side", "subset"])
    means = weighted.w.sum() / weighted.tokens.sum()
    for side in ("harmful", "harmless", "contrast"):
        for row in result.ranking("talk", side).itertuples():  # of three equal subsets: half, less the mean of all
            expected = 0.5 * (means[side, row.subset] - means[side].mean())
            assert row.influence == pytest.approx(expected, abs=1e-9)
    assert examples.text.str.contains("anvil").any()


def test_ranking_and_table_agree(results):
    for result in results.values():
        frame = result.influence
        end = frame.groupby("seed").step.max().min()  # the last that all seeds have
        last = frame[(frame.step == end) & (frame.group == "")]
        means = last.groupby(["side", "subset"]).influence.mean()
        if result.summary["method"] == "untrac-inv":  # of leaving a third out, against the mean
            means = 0.5 * (means - means.groupby("side").transform("mean"))
        ranking = result.ranking("talk", "harmful")
        assert list(ranking["rank"]) == [1, 2, 3]
        for row in ranking.itertuples():
            assert row.influence == pytest.approx(means["harmful", row.subset])
            assert row.low < row.influence < row.high
        contrast = result.ranking("talk", "contrast").set_index("subset").influence
        for subset, value in contrast.items():
            assert value == pytest.approx(means["harmful", subset] - means["harmless", subset])


def test_the_verdict_names_the_top_in_words(results):
    verdict = next(v for v in results["untrac-inv"].summary["verdicts"] if v["side"] == "contrast")
    assert verdict["top"] == "smiths"
    assert verdict["text"].startswith("smiths pushes the model towards bad rather than good texts of talk, more than")
    assert "(relative influence 1.00, 95% interval " in verdict["text"]
    assert "nats" not in verdict["text"]
    verdict = next(v for v in results["untrac"].summary["verdicts"] if v["side"] == "contrast")
    assert verdict["text"].startswith(
        "Unlearning smiths while the rest is trained on makes bad rather than good texts of talk less likely, more so"
    )


def test_the_same_spec_gives_the_same_bytes(request_of, tmp_path):
    for name in ("one", "two"):
        trace(request_of(seeds=[0, 1]), tmp_path / name)
    for file in (INFLUENCE, "examples.parquet", "spec.yaml"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_cached_cells_give_the_same_bytes_and_are_not_run_again(request_of, tmp_path):
    cache = tmp_path / "cells"
    trace(request_of(), tmp_path / "one", cache=cache)
    generations = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    trace(request_of(), tmp_path / "two", cache=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == generations
    assert (tmp_path / "one" / INFLUENCE).read_bytes() == (tmp_path / "two" / INFLUENCE).read_bytes()


def test_one_seed_cannot_separate(request_of, tmp_path):
    result = trace(request_of({"name": "untrac", "samples": 24}, seeds=[5]), tmp_path)
    assert all(row["low"] is None and not row["separable"] for row in result.summary["ranking"])
    assert all(verdict["top"] is None for verdict in result.summary["verdicts"])
    assert any("One seed" in warning for warning in result.summary["warnings"])


def test_one_block_or_one_prompt_gets_no_interval_and_no_verdict(request_of, world, tmp_path):
    """They once had the narrowest interval of all, and a confident sentence."""
    tiny = tmp_path / "tiny.jsonl"
    tiny.write_text(json.dumps({"text": "the anvil waits by the forge."}) + "\n")
    rest = [subset.model_dump() for subset in request_of().subsets]
    subsets = [{"name": "tiny", "source": {"file": str(tiny)}}, *rest]
    summary = trace(request_of(subsets=subsets), tmp_path / "one-block").summary
    rows = {row["subset"]: row for row in summary["ranking"] if row["side"] == "harmful"}
    assert rows["tiny"]["low"] is None
    assert not rows["tiny"]["separable"]
    assert rows["smiths"]["low"] is not None
    assert any(warning.startswith("Subset 'tiny' has 1 block: of fewer than 8") for warning in summary["warnings"])

    prompts = [request_of().prompts[0].model_dump() | {"limit": 1}]
    for method in ({"samples": 24}, {"name": "untrac", "samples": 24}, {"name": "grad-dot"}):
        folder = tmp_path / f"one-prompt-{method.get('name')}"
        summary = trace(request_of(method, prompts=prompts), folder).summary
        assert all(row["low"] is None for row in summary["ranking"])
        assert all(verdict["top"] is None for verdict in summary["verdicts"])
        assert all("fewer than 8" in verdict["text"] for verdict in summary["verdicts"])


def test_untrac_s_collapsed_ranking_names_the_subsets_whose_models_collapsed(request_of, tmp_path):
    method = {"name": "untrac", "preset": "paper", "learning_rate": 0.05, "steps": 20, "eval_points": 2}
    result = trace(request_of(method), tmp_path)
    assert result.summary["collapsed"]
    for verdict in result.summary["verdicts"]:
        order = list(result.ranking("talk", verdict["side"]).subset)
        assert len(order) == 3
        assert verdict["collapsed"]
        assert verdict["top"] is None
        assert all(name in verdict["text"] for name in order)
        assert "collapsed while unlearning" in verdict["text"]
    assert not scale_of(result, "talk", "harmful").calibrated


def test_the_paper_s_seeds_each_unlearn_a_fresh_sample_of_a_subset(request_of, monkeypatch):
    """Without it they would differ in the order of the blocks alone, and no interval would know of other texts."""
    tracer, drawn = TraceTask(request_of({"name": "untrac", "preset": "paper"}, seeds=[0, 1])), {}

    def seen(model, examples, settings, watch, *, before, **more):
        drawn[more["order_seed"]] = {example.id for example in examples}
        return Trajectory([before, before], "all", False)

    monkeypatch.setattr(untrac, "ascend", seen)
    cells = [cell for cell in tracer.cells if cell.subset == "smiths"][:2]
    for cell in cells:
        tracer.run_cell(cell)
    whole = {block.id for block in tracer.study.subsets["smiths"].blocks}
    assert drawn[0] != drawn[1]
    assert all(0.6 * len(whole) <= len(found) <= 0.7 * len(whole) for found in drawn.values())


def test_equal_subsets_get_equal_influence_and_a_warning(request_of, tmp_path):
    spec = request_of()
    twin = spec.subsets[0].model_dump() | {"name": "twin"}
    subsets = [twin, *(subset.model_dump() for subset in spec.subsets)]
    result = trace(request_of(subsets=subsets), tmp_path)
    harmful = result.ranking("talk", "harmful").set_index("subset").influence
    assert harmful["twin"] == pytest.approx(harmful["fishers"], abs=1e-9)
    assert any("same texts" in warning for warning in result.summary["warnings"])
    assert any("same texts" in warning for warning in check(request_of(subsets=subsets)).warnings)


def test_check_counts_what_the_run_does(request_of, results):
    found = check(request_of(seeds=[0, 1, 2]))
    data = results["untrac-inv"].summary["data"]
    assert found.cells == 3 + 2  # seeds, and a close look at each side
    assert {s.name: s.blocks for s in found.subsets} == {k: v["blocks"] for k, v in data["subsets"].items()}
    assert {p.side: p.tokens for p in found.prompt_sets} == {
        side: value["tokens"] for side, value in data["prompt_sets"]["talk"].items()
    }
    assert found.seconds > 0
    assert found.memory_mb > 0


def test_a_subset_that_is_the_prompt_set_is_refused(request_of, world, tmp_path):
    spec = request_of()
    same = {"name": "same", "source": {"file": str(world / "prompts.jsonl")}, "text": "completion"}
    with pytest.raises(InputError, match="same as prompt set 'talk'"):
        check(request_of(subsets=[same, spec.subsets[0].model_dump()]))
    again = tmp_path / "again.csv"  # saved anew, and only a part of the prompt set is used
    rows = [json.loads(line) for line in (world / "prompts.jsonl").read_text().splitlines()]
    pd.DataFrame(rows).to_csv(again, index=False)
    limited = [spec.prompts[0].model_dump() | {"limit": 5}]
    copy = same | {"source": {"file": str(again)}}
    with pytest.raises(InputError, match="same as prompt set 'talk'"):
        check(request_of(prompts=limited, subsets=[copy, spec.subsets[0].model_dump()]))


def test_a_prompt_longer_than_the_context_is_left_out_and_a_set_of_them_refused(request_of, tmp_path):
    from tests.helpers.worlds import write_jsonl

    long = write_jsonl(tmp_path / "long.jsonl", [{"id": "7", "prompt": "They say " * 40, "completion": "so"}])
    prompts = {"name": "q", "source": {"file": str(long)}, "columns": {"prompt": "prompt", "id": "id"}}
    with pytest.raises(InputError, match=r"item '7' \(line 1\) has a prompt of 200 tokens.*context is 32"):
        check(request_of(prompts=[prompts]))
    rows = [
        {"id": "7", "prompt": "They say " * 40, "completion": "so"},
        {"id": "8", "prompt": "No:", "completion": "so"},
    ]
    write_jsonl(long, rows)
    found = check(request_of(prompts=[prompts]))
    assert found.prompt_sets[0].items == 1
    assert "prompt set 'q', harmful: 1 items are not used, as their prompt fills the model's context" in found.notes


def test_a_block_longer_than_the_context_is_refused(request_of):
    with pytest.raises(InputError, match="longer than the model's context of 32"):
        check(request_of(block_size=64))


def test_damaged_results_are_said(results, tmp_path):
    with pytest.raises(InputError, match=r"spec.yaml is missing"):
        load_trace(tmp_path)
    import shutil

    shutil.copytree(results["untrac"].folder, tmp_path / "copy")
    (tmp_path / "copy" / INFLUENCE).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged"):
        load_trace(tmp_path / "copy")


def test_summary_is_plain_json(results):
    text = (results["untrac"].folder / SUMMARY).read_text()
    assert json.loads(text)["method"] == "untrac"
    assert "NaN" not in text


def test_tables_are_written_whole_or_not_at_all(tmp_path):
    frame = pd.DataFrame({"a": [1, 2]})
    write_frame(frame, tmp_path / "a.parquet")
    first = (tmp_path / "a.parquet").read_bytes()
    write_frame(frame, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
