"""Negative controls of a validation: what they are made of, and that zero is found where it must be, 19 of 20 times."""

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import CHEAP, QUICK, subset_specs, validate_spec
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.data.controls import dealt, mixed
from untrac_core.data.tokens import Example, Packed
from untrac_core.errors import InputError
from untrac_core.tasks.run import validate
from untrac_core.tasks.validate.additions.controls import (
    MIX,
    ONE,
    OTHER,
    PREFIX,
    asked_places,
    doubled,
    mixed_in,
    parts_of,
)
from untrac_core.tasks.validate.check import check_validate, count_trainings
from untrac_core.tasks.validate.task import ValidateTask

BOTH = ["doubled", "mixed"]


def packed_of(name, documents, blocks_each=2):
    """Blocks of some documents."""
    blocks = [
        Example(f"{name}-{i} @{j}", np.arange(4), 1, cluster=f"{name}-{i}")
        for i in range(documents)
        for j in range(blocks_each)
    ]
    return Packed(blocks, len(blocks), 0, 0)


def test_methods_are_asked_of_all_text_once_and_of_whole_documents():
    subsets = {name: packed_of(name, 10) for name in ("a", "b", "c", "d")}
    sizes = dict.fromkeys(subsets, 40.0)
    parts = parts_of(BOTH, subsets, sizes)
    assert list(parts.blocks) == ["b", "c", "d", MIX, ONE, OTHER]
    every = sorted(block.id for packed in parts.blocks.values() for block in packed.blocks)
    assert every == sorted(block.id for packed in subsets.values() for block in packed.blocks)
    clusters = [{block.cluster for block in packed.blocks} for packed in parts.blocks.values()]
    assert sum(map(len, clusters)) == len(set().union(*clusters))
    assert sum(parts.sizes.values()) == pytest.approx(160)
    assert parts.sizes[MIX] == pytest.approx(40 * 4 * 0.2)  # 2 of 10 documents: a quarter of each, in whole ones
    assert {cluster[0] for cluster in clusters[3]} == {"a", "b", "c", "d"}
    assert parts_of(["doubled"], subsets, sizes).sizes[ONE] == 20


def test_chance_says_which_half_comes_first():
    blocks = packed_of("a", 5).blocks
    assert {len(dealt(blocks, seed)[0]) for seed in range(20)} == {4, 6}
    assert mixed({"a": blocks}, 0.9, 1)["a"] != blocks  # never all of a subset
    assert mixed({"a": blocks[:1]}, 0.5)["a"] == []


def test_what_is_zero_is_found_to_be_19_of_20_times():
    """Halves whose texts and trainings differ by chance alone, and mixes about a model that is one of them."""
    draw, times, passed = np.random.default_rng(3), 2000, {"doubled": 0, "mixed": 0}
    for _ in range(times):
        half, training = draw.normal(size=(5, 1)), 0.3 * draw.normal(size=(5, 2))
        losses = 9 + 1 + half * [1, -1] + training
        found = doubled(losses.reshape(-1), 9.0, 0.95)
        passed["doubled"] += found["low"] <= 0 <= found["high"]
        every = 9 + draw.normal(size=6)
        found = mixed_in(every[:5], float(every[5]), 0.95)
        passed["mixed"] += found["low"] <= 0 <= found["high"]
    assert all(0.94 * times <= count <= 0.96 * times for count in passed.values())


def test_a_half_that_is_not_like_the_other_fails():
    losses = 9 + np.array([0.5, 0.1, 0.52, 0.13, 0.49, 0.08, 0.51, 0.12, 0.5, 0.09])
    found = doubled(losses, 9.0, 0.95)
    assert found["low"] > 0
    assert found["share"] == pytest.approx(0.504 / (0.504 + 0.104))
    assert mixed_in(losses[::2], 9.0, 0.95)["low"] > 0


def test_each_prompt_set_is_asked_once():
    found = dict.fromkeys([("a", "harmful"), ("a", "harmless"), ("a", "contrast"), ("b", "harmful")])
    assert asked_places(found) == [("a", "contrast"), ("b", "harmful")]


def test_other_cells_stay_as_they_are_and_the_price_is_known(world):
    plain, told = validate_spec(world), validate_spec(world, controls=BOTH)
    assert count_trainings(told) == count_trainings(plain) + 15
    assert sum(check_validate(told).method_seconds.values()) == pytest.approx(
        2 * sum(check_validate(plain).method_seconds.values())
    )
    tasks = [ValidateTask(spec, world / "unused") for spec in (plain, told)]
    keys = [[cell.key for cell in task.cells] for task in tasks]
    assert set(keys[0]) < set(keys[1])
    assert len(set(keys[1])) == len(keys[1])
    trained = [cell for cell in tasks[1].controls.cells if cell.subset.startswith(ONE)]
    assert trained[0].label == "training without control: first half, dealing 1, seed 0"
    assert {cell.method for cell in tasks[1].controls.asked} == {
        PREFIX + title for title in ("untrac-inv (robust)", "grad-dot", "bm25")
    }


def test_a_subset_of_one_document_cannot_be_parted(world, tmp_path):
    alone = {"name": "alone", "source": {"file": str(write_jsonl(tmp_path / "alone.jsonl", [{"text": "x " * 900}]))}}
    spec = validate_spec(world, subsets=[*subset_specs(world), alone], controls=["doubled"])
    check_validate(spec)  # the first subset has many
    with pytest.raises(InputError, match="'alone' has one document alone"):
        check_validate(spec.model_copy(update={"controls": ["mixed"]}))


@pytest.mark.slow  # trains nineteen models
def test_from_end_to_end(tmp_path):
    for name in WORDS:
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": text} for text in sentences(name, 300, 0)])
    rows = [
        {"id": f"{side}{i}", "prompt": text[:20], "completion": text[20:], "group": "", "label": side}
        for side, who in (("bad", "smiths"), ("good", "weavers"))
        for i, text in enumerate(sentences(who, 24, 9))
    ]
    write_jsonl(tmp_path / "prompts.jsonl", rows)
    spec = validate_spec(tmp_path, controls=BOTH, methods=[QUICK, *CHEAP], seeds=[0])
    result = validate(spec, tmp_path / "out", threads=1)
    told = pd.DataFrame(result.summary["controls"])
    assert list(told["control"][told["method"].isna()]) == BOTH
    assert set(told["method"].dropna()) == {"untrac-inv (robust)", "grad-dot", "bm25"}
    assert (told["side"] == "contrast").all()
    for row in result.summary["controls"]:
        assert row["passed"] == (None if row["low"] is None else row["low"] <= 0 <= row["high"])
        assert row["largest"] > abs(row["found"])
