"""Benchmarks of unlearning by name: a side of TOFU, WMDP and PKU-SafeRLHF is unlearned from a tiny model."""

from __future__ import annotations

import pytest
from families import make_model
from probe_files import copies
from recipes import subset_specs
from unlearning_requests import without_recipe

from untrac_core.data.probes import probe
from untrac_core.removal import Remover, unlearn
from untrac_core.removal_measures import FORGET, STAYS


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model with room for the probes' longest items."""
    folder = tmp_path_factory.mktemp("wide") / "model"
    return make_model(folder, "llama", max_position_embeddings=256)


def of_probe(world, wide, copy, **more):
    prompts = {"name": "mine", "probe": copy.probe, "source": copy.source.model_dump(exclude_none=True)}
    values = {
        "model": {"path": str(wide)},
        "target": {"prompts": "mine", "side": "harmful"},
        "prompts": [prompts],
        "subsets": subset_specs(world, "weavers"),
        "method": {"name": "npo", "learning_rate": 0.003, "batch": 8},
        "stop": {"rule": "steps", "steps": 4, "every": 2},
        "block": 32,
        "seeds": [0],
        "look": 16,
        "relearn": 2,
    }
    return without_recipe(world, **(values | more))


@pytest.mark.parametrize("name", ["tofu", "wmdp", "pku_saferlhf"])
def test_the_harmful_side_is_what_goes_and_the_harmless_one_stays(name, world, wide, tmp_path):
    copy = copies(name, tmp_path)[0]
    spec = of_probe(world, wide, copy)
    told = unlearn(spec, tmp_path / "out", threads=1)
    bad = [item for item in copy.items if item[0] == probe(name).harmful]
    good = [item for item in copy.items if item[0] == probe(name).harmless]
    assert told.summary["target"] == "the harmful side of mine"
    assert told.summary["data"]["forget"] == len(bad) > 0
    assert told.summary["data"]["prompts"]["mine"] == {"harmful": len(bad), "harmless": len(good)}
    remover = Remover(spec, tmp_path / "again", threads=1)
    texts = sorted(remover.model.encoder.example_text(example) for example in remover.data.forget)
    assert texts == sorted(f"{prompt} {completion}" for _, _, prompt, completion in bad)
    # The other side is trained on to be kept, beside the subset; the side that goes is not.
    kept = {id(example) for example in remover.subjects.retained}
    assert all(id(example) in kept for example in remover.data.prompts["mine"]["harmless"])
    assert not [example for example in remover.data.forget if id(example) in kept]
    own = told.measures[told.measures.subject == "npo"].set_index(["measure", "on"]).value
    before = told.measures[told.measures.subject == "before"].set_index(["measure", "on"]).value
    assert own["loss", FORGET] > before["loss", FORGET]
    assert own["loss", STAYS] < before["loss", STAYS]
    assert "contrast" in set(told.measures.measure)
    assert ("truth" in set(told.measures.measure)) == (name != "tofu")  # TOFU's two sides ask different questions
    assert told.summary["stop"]["steps"] == [4]


def test_the_harmless_side_of_a_probe_may_go_as_well(world, wide, tmp_path):
    copy = copies("tofu", tmp_path)[0]
    spec = of_probe(world, wide, copy, target={"prompts": "mine", "side": "harmless"})
    remover = Remover(spec, tmp_path / "work", threads=1)
    good = [item for item in copy.items if item[0] == probe("tofu").harmless]
    assert len(remover.data.forget) == len(good)


def test_a_probe_alone_without_any_subset_is_enough(world, wide, tmp_path):
    """What stays is then the other side: it, and not what is to go, tells whether the model is damaged."""
    copy = copies("wmdp", tmp_path)[0]
    spec = of_probe(
        world, wide, copy, subsets=[], method={"name": "ascent", "learning_rate": 0.01},
        stop={"rule": "retain-budget", "steps": 4, "every": 1, "budget": 10.0},
    )  # fmt: skip
    remover = Remover(spec, tmp_path / "work", threads=1)
    frame = remover.run_cell(remover.looks[1])
    assert frame[frame.quantity == "ended"].text.tolist() == ["all 4 steps"]
    told = unlearn(spec, tmp_path / "out", threads=1)
    rows = told.measures[told.measures.subject == "before"].set_index(["measure", "on"]).value
    assert rows["loss", STAYS] == pytest.approx(rows["loss", "mine, harmless"])
