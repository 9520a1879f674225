"""Neighbours that join a forget set, in a whole request: planted copies are found, go everywhere, and are told."""

from __future__ import annotations

import json

import pytest

from tests.helpers.recipes import subset_specs
from tests.helpers.unlearning_requests import unlearn_spec, without_recipe
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.errors import InputError
from untrac_core.results.folders import AUDIT
from untrac_core.tasks.run import unlearn
from untrac_core.tasks.unlearn.check import check_unlearn
from untrac_core.tasks.unlearn.task import UnlearnTask

SAID = sentences("weavers", 8, 5)
METHOD = {"name": "npo", "compensate": "reverse-neighbours", "learning_rate": 0.005}


@pytest.fixture(scope="module")
def planted(world, tmp_path_factory):
    """Words of the weavers as a file of one's own to forget; the same with another last word is a subset, ``echo``."""
    folder = tmp_path_factory.mktemp("planted")
    parts = {"mine": SAID, "echo": [*SAID[:-1], SAID[-1].rpartition(" ")[0] + " salt."]}
    for name, said in parts.items():
        write_jsonl(folder / f"{name}.jsonl", [{"text": text} for text in said])
    mine, echo = ({"name": name, "source": {"file": str(folder / f"{name}.jsonl")}} for name in parts)
    return without_recipe(
        world, subsets=[*subset_specs(world, "fishers", "smiths"), echo], forget={"upload": mine, "neighbours": 4},
        method=METHOD,
    )  # fmt: skip


def test_planted_copies_join_and_are_told(planted, tmp_path):
    found = check_unlearn(planted)
    ran = unlearn(planted, tmp_path / "out", threads=1)
    assert ran.summary["method"] == "npo (compensated)"
    assert ran.summary["forget_set"] == "the upload mine and the 4 texts nearest to it"
    told = ran.audit["neighbours"]
    assert len(told) == 4
    assert {each["subset"] for each in told} == {"echo"}
    assert told[0]["cosine"] >= told[-1]["cosine"] > 0.9
    data = ran.summary["data"]
    assert (data["forget"], data["neighbours"]) == (found.forget, 4)
    assert sum(data["retain"].values()) == found.retained == sum(found.retain.values()) - 4
    assert any("4 retained texts join the forget set" in note for note in found.notes)
    shown = ran.forget_examples["neighbour"].dropna().sort_values(ascending=False)
    assert shown.tolist() == pytest.approx([each["cosine"] for each in told])
    assert json.loads((ran.folder / AUDIT).read_text())["settings"]["compensate"] == "reverse-neighbours"


def test_the_retrained_model_never_sees_neighbours_either(world, tmp_path):
    plain, near = (
        UnlearnTask(unlearn_spec(world, forget={"subset": "smiths", "neighbours": count}), tmp_path / str(count))
        for count in (0, 3)
    )
    assert [each.id for each in near.data.forget[:-3]] == [each.id for each in plain.data.forget]
    joined = [[each.subset, each.example.id] for each in near.data.neighbours]
    left_out = near.models.retrained.left_out()
    assert len(left_out) == len(plain.models.retrained.left_out()) + 3
    assert all(each in left_out for each in joined)
    assert {cell.key for cell in near.all_cells}.isdisjoint(cell.key for cell in plain.all_cells)
    assert len(near.data.retain_texts) == len(plain.data.retain_texts) - 3


def test_not_all_that_stays_can_join(planted):
    whole = sum(check_unlearn(planted).retain.values())
    too_many = planted.model_copy(update={"forget": planted.forget.model_copy(update={"neighbours": whole})})
    with pytest.raises(InputError, match=f"only {whole} texts of subsets stay"):
        check_unlearn(too_many)
