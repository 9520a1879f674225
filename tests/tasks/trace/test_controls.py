"""The negative control of a trace: two halves of one subset have the same influence, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import prompt_spec, subset_specs
from untrac_core.data.controls import halves
from untrac_core.errors import InputError
from untrac_core.results.folders import INFLUENCE, read_frame
from untrac_core.specs import TraceSpec
from untrac_core.specs.build import build
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace import baselines
from untrac_core.tasks.trace.baselines import Controls, in_words
from untrac_core.tasks.trace.check import check
from untrac_core.tasks.trace.task import TraceTask

QUICK = {"name": "untrac-inv", "samples": 5}


def spec_of(world, **more):
    values = {"model": {"path": str(world / "model")}, "prompts": [prompt_spec(world)], "baselines": []}
    values |= {"subsets": subset_specs(world), "method": QUICK, "seeds": [0, 1], "device": "cpu"}
    return build(TraceSpec, values | more, where="test")


def test_a_control_is_told_and_changes_nothing_else(world, tmp_path):
    plain = trace(spec_of(world), tmp_path / "plain", threads=1)
    told = trace(spec_of(world, controls=["doubled"]), tmp_path / "told", threads=1)
    tables = [read_frame(tmp_path / name / INFLUENCE) for name in ("plain", "told")]
    pd.testing.assert_frame_equal(*tables)
    assert plain.summary["ranking"] == told.summary["ranking"]
    assert "controls" not in plain.summary
    [row] = told.summary["controls"]
    assert (row["control"], row["subset"], row["prompt_set"], row["side"]) == ("doubled", "fishers", "talk", "contrast")
    assert row["passed"] == (row["low"] <= 0 <= row["high"])
    said = told.summary["notes"] + told.summary["warnings"]
    assert in_words(row) in said


def test_the_keys_of_other_cells_and_their_count(world):
    plain, told = TraceTask(spec_of(world)), TraceTask(spec_of(world, controls=["doubled"]))
    assert [cell.key for cell in told.cells[: len(plain.cells)]] == [cell.key for cell in plain.cells]
    assert len({cell.key for cell in told.cells}) == len(plain.cells) + 2
    assert check(told.spec).cells == check(plain.spec).cells + 2


def test_twenty_worlds_of_which_nineteen_pass(world, monkeypatch):
    study = TraceTask(spec_of(world)).study
    spec, passed = spec_of(world, controls=["doubled"]), []
    names = list(study.subsets)
    for seed in range(20):
        turned = {name: study.subsets[name] for name in names[seed % 3 :] + names[: seed % 3]}
        monkeypatch.setattr(baselines, "halves", lambda packed, seed=seed: halves(packed, seed))
        found = Controls(spec, replace(study, subsets=turned))
        passed += [row["passed"] for row in found.rows([found.run(cell) for cell in found.cells])]
    assert len(passed) == 20
    assert sum(passed) >= 19


def test_halves_hold_every_block_once_and_whole_documents(world):
    packed = TraceTask(spec_of(world)).study.subsets["smiths"]
    packed = replace(packed, blocks=[replace(block, cluster=str(i // 3)) for i, block in enumerate(packed.blocks)])
    one, other = halves(packed)
    assert sorted(block.id for block in one.blocks + other.blocks) == sorted(block.id for block in packed.blocks)
    assert not {block.cluster for block in one.blocks} & {block.cluster for block in other.blocks}
    assert [block.id for block in halves(packed)[0].blocks] == [block.id for block in one.blocks]


def test_it_is_said_whether_a_control_passes():
    row = {
        "subset": "forum",
        "prompt_set": "talk",
        "side": "contrast",
        "found": 0.5,
        "low": 0.2,
        "high": np.float64(0.8),
    }
    assert in_words(row | {"passed": False}).startswith("Negative control failed: both halves of forum must have")
    assert in_words(row | {"passed": True}).startswith("Negative control passed")
    assert "undecided" in in_words(row | {"low": None, "high": None, "passed": None})


def test_other_methods_have_no_controls(world):
    with pytest.raises(InputError, match="UnTrac-Inv with preset 'robust' alone"):
        spec_of(world, method={"name": "untrac"}, controls=["doubled"])
