"""Pairs, questions and documents through a whole trace: kept together, paired in the contrast, counted once."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import prompt_spec, subset_specs
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data.prompts import load_prompts
from untrac_core.results.folders import INFLUENCE, read_frame
from untrac_core.specs import TraceSpec
from untrac_core.specs.build import build
from untrac_core.stats.intervals import Estimate
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace import baselines
from untrac_core.tasks.trace.ranking import estimates
from untrac_core.tasks.trace.task import TraceTask

PAIRS = 30


@pytest.fixture(scope="module")
def paired(world, tmp_path_factory):
    """A file of sentences of all crafts, each twice, with and without one word; the sides in different orders."""
    texts = [text for name in ("smiths", "weavers", "fishers") for text in sentences(name, PAIRS // 3, 4)]
    rows = [{"id": f"talk-{i}-s", "completion": text, "label": "bad", "which": f"p{i}"} for i, text in enumerate(texts)]
    rows += [
        {"id": f"talk-{i}-a", "completion": f"Now {text[0].lower()}{text[1:]}", "label": "good", "which": f"p{i}"}
        for i, text in reversed(list(enumerate(texts)))
    ]
    return write_jsonl(tmp_path_factory.mktemp("paired") / "pairs.jsonl", rows)


@pytest.fixture(scope="module")
def spec_of(world, paired):
    """A trace of the pairs; ``columns`` beside text and label."""

    def make(columns=None, limit=None, path=paired, **more):
        prompts = prompt_spec(world) | {
            "source": {"file": str(path)},
            "columns": {"completion": "completion", "label": "label"} | (columns or {}),
            "limit": limit,
        }
        values = {"kind": "trace", "model": {"path": str(world / "model")}, "prompts": [prompts], "baselines": []}
        values |= {"subsets": subset_specs(world), "method": {"samples": 24}, "seeds": [0, 1], "device": "cpu"}
        return build(TraceSpec, values | more, where="test")

    return make


def stems(data):
    """Of each side, the pairs that it has."""
    return [{item.cluster for item in items} for items in data.sides.values()]


def widths(result, side="contrast"):
    ranking = result.ranking("talk", side).set_index("subset").sort_index()
    return (ranking.high - ranking.low).to_numpy(), ranking.influence.to_numpy()


def outcome_of(spec):
    task = TraceTask(spec)
    frames = [task.run_cell(cell) for cell in task.cells]
    return task.panel.outcomes(task.study, task.cells, frames)[0]


@pytest.mark.parametrize("columns", [{"id": "id"}, {"cluster": "which"}], ids=["ids", "column"])
@pytest.mark.parametrize("limit", [1, 9, 29])
def test_pairs_stay_together_under_a_limit(spec_of, columns, limit):
    first, second = stems(load_prompts(spec_of(columns, limit).prompts[0]))
    assert first == second
    assert len(first) == limit


def test_a_limit_without_pairs_takes_what_it_always_took(spec_of, paired):
    items = load_prompts(spec_of({}, 9).prompts[0]).sides["harmful"]
    texts = [json.loads(line)["completion"] for line in paired.read_text().splitlines()][:PAIRS]
    order = np.random.default_rng(20240817).permutation(PAIRS)[:9]
    assert [item.completion for item in items] == [texts[i] for i in sorted(order)]


def test_ids_tell_pairs_only_where_all_of_them_do(tmp_path, spec_of):
    rows = [{"id": name, "completion": "The net waits.", "label": "bad"} for name in ("x-1-f0", "x-1-f12", "x-2-t0")]
    rows += [{"id": "x-1-t0", "completion": "The net waits.", "label": "good"}]
    told = load_prompts(spec_of({"id": "id"}, path=write_jsonl(tmp_path / "all.jsonl", rows)).prompts[0])
    assert [[item.cluster for item in items] for items in told.sides.values()] == [["x-1", "x-1", "x-2"], ["x-1"]]
    assert any(note.endswith("3 items belong to pairs or questions and count as 1") for note in told.notes)
    rows += [{"id": "x-3", "completion": "The oar waits.", "label": "good"}]
    path = write_jsonl(tmp_path / "some.jsonl", rows)
    assert stems(load_prompts(spec_of({"id": "id"}, path=path).prompts[0])) == [{""}, {""}]


@pytest.mark.parametrize("name", ["untrac-inv", "untrac"])
def test_a_contrast_over_pairs_is_narrower_and_its_sides_are_as_they_were(spec_of, tmp_path, name):
    steps = {"steps": 5, "eval_points": 1} if name == "untrac" else {}
    more = {"method": {"name": name, "samples": 24} | steps, "seeds": [0, 1, 2, 3]}
    found = {
        kind: trace(spec_of(columns, **more), tmp_path / kind)
        for kind, columns in (("paired", {"cluster": "which"}), ("unpaired", {}))
    }
    for side in ("harmful", "harmless"):
        for one, other in zip(*(widths(result, side) for result in found.values()), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    (narrow, values), (wide, others) = (widths(result) for result in found.values())
    np.testing.assert_allclose(values, others, rtol=1e-6, atol=1e-12)
    assert (narrow < wide).all()
    assert narrow.sum() < 0.85 * wide.sum()


def test_the_parts_of_seeds_hold_whole_pairs(spec_of):
    task = TraceTask(spec_of({"cluster": "which"}, seeds=[0, 1, 2]))
    for cell in task.cells:
        frame = task.run_cell(cell)
        rows = frame[(frame.population == "items") & (frame.subset == "smiths")]
        parts = [
            {task.study.prompts["talk"][side][i].cluster for i in part.example} for side, part in rows.groupby("side")
        ]
        assert parts[0] == parts[1]
        assert len(parts[0]) == PAIRS / 3


def test_pairs_are_one_population_and_other_items_two(spec_of):
    for columns, names in (
        ({"id": "id"}, {"subset smiths": None, "prompts talk": PAIRS}),
        ({}, {"subset smiths": None, "prompts talk harmful": PAIRS, "prompts talk harmless": PAIRS}),
    ):
        residuals = estimates(outcome_of(spec_of(columns)))["talk", "contrast"]["smiths"].residuals
        assert {name for name in residuals if not name.startswith("subset")} | {"subset smiths"} == set(names)
        assert all(len(residuals[name]) == count for name, count in names.items() if count)


def test_clusters_of_one_change_no_number_and_no_key(world, spec_of, tmp_path):
    rows = [json.loads(line) for line in (world / "prompts.jsonl").read_text().splitlines()]
    path = write_jsonl(tmp_path / "own.jsonl", [row | {"own": f"c{i}"} for i, row in enumerate(rows)])
    more = {"path": path, "limit": 20, "baselines": ["grad-dot", "bm25"]}
    specs = [spec_of(columns | {"group": "group"}, **more) for columns in ({}, {"cluster": "own"})]
    first, second = (trace(spec, tmp_path / f"result-{i}") for i, spec in enumerate(specs))
    for key in ("ranking", "ties", "verdicts", "baselines"):
        assert first.summary[key] == second.summary[key]
    tables = [read_frame(result.folder / INFLUENCE) for result in (first, second)]
    pd.testing.assert_frame_equal(*tables)
    pd.testing.assert_frame_equal(first.groups("talk", "contrast"), second.groups("talk", "contrast"))
    assert len({tuple(cell.key for cell in TraceTask(spec).cells) for spec in specs}) == 1


@pytest.mark.parametrize("name", ["untrac-inv", "grad-dot", "bm25"])
def test_cells_that_deal_or_draw_pairs_have_a_key_of_their_own(spec_of, name):
    keys = [
        [cell.key for cell in TraceTask(spec_of(columns, method={"name": name})).cells]
        for columns in ({"cluster": "which"}, {})
    ]
    assert not set(keys[0]) & set(keys[1])


def test_blocks_of_one_document_are_one_observation(spec_of, world, tmp_path):
    """Few long documents have many blocks; they once had an interval as if each block were a text of its own."""
    texts = sentences("smiths", 150, 0)
    long = [{"id": f"d{i}", "text": " ".join(texts[30 * i : 30 * i + 30])} for i in range(5)]
    medium = [{"id": f"d{i}", "text": " ".join(texts[15 * i : 15 * i + 15])} for i in range(10)]
    files = {"long": write_jsonl(tmp_path / "long.jsonl", long), "medium": write_jsonl(tmp_path / "m.jsonl", medium)}
    subsets = [{"name": name, "source": {"file": str(path)}} for name, path in files.items()]
    for method in ({"samples": 24}, {"name": "untrac", "samples": 24}, {"name": "grad-dot"}):
        name = method.get("name", "untrac-inv")
        spec = spec_of(subsets=[*subsets, *subset_specs(world)], method=method)
        result = trace(spec, tmp_path / name)
        rows = result.ranking("talk", "harmful").set_index("subset")
        assert pd.isna(rows.low["long"])
        assert not rows.separable["long"]
        assert pd.notna(rows.low["medium"])
        warnings = result.summary["warnings"]
        assert any(warning.startswith("Subset 'long' has 5 documents: of fewer than 8") for warning in warnings)
    study = TraceTask(spec).study
    assert study.block_clusters["medium"].count == 10 < len(study.subsets["medium"].blocks) / 2
    (drawn,) = estimates(outcome_of(spec_of(subsets=subsets, method={"name": "untrac", "samples": 24})))[
        "talk", "harmful"
    ]["medium"].residuals.values()
    assert len(drawn) == PAIRS


def test_brackets_hold_for_all_pairs_together(monkeypatch):
    """Eight subsets without any difference: some pair stood apart in a fifth of all cases."""
    generator, apart = np.random.default_rng(0), []
    names = [f"subset {i}" for i in range(8)]
    for _ in range(300):
        values = generator.normal(0, 1, (8, 60))
        found = {
            name: Estimate(np.array([row.mean()]), {name: row - row.mean()}, exact=True)
            for name, row in zip(names, values, strict=True)
        }
        order = sorted(names, key=lambda name, found=found: -found[name].value)
        rows = [{"prompt_set": "talk", "side": "harmful", "subset": name} for name in order]
        monkeypatch.setattr(baselines, "estimates", lambda _, found=found: {("talk", "harmful"): found})
        (row,) = baselines.bracket_rows(None, rows)
        apart.append(row["subsets"] != [order])
    assert np.mean(apart) <= 0.08
