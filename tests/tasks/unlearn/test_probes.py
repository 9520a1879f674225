"""Benchmarks of unlearning by name: a side of TOFU, WMDP and PKU-SafeRLHF is unlearned from a tiny model."""

from __future__ import annotations

import pytest

from tests.helpers.families import make_model
from tests.helpers.probe_files import copies
from tests.helpers.recipes import subset_specs
from tests.helpers.unlearning_requests import without_recipe
from untrac_core.data.probes.loader import probe
from untrac_core.tasks.run import unlearn
from untrac_core.tasks.unlearn.task import UnlearnTask
from untrac_core.unlearning.metrics.summary import FORGET, RETAIN


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model with room for the probes' longest items."""
    folder = tmp_path_factory.mktemp("wide") / "model"
    return make_model(folder, "llama", max_position_embeddings=256)


def of_probe(world, wide, copy, **more):
    prompts = {"name": "mine", "probe": copy.probe, "source": copy.source.model_dump(exclude_none=True)}
    values = {
        "model": {"path": str(wide)},
        "forget": {"prompts": "mine", "side": "harmful"},
        "prompts": [prompts],
        "subsets": subset_specs(world, "weavers"),
        "method": {"name": "npo", "learning_rate": 0.003, "batch_size": 8},
        "stop": {"rule": "fixed", "steps": 4, "eval_every": 2},
        "block_size": 32,
        "seeds": [0],
        "eval_samples": 16,
        "relearn_steps": 2,
    }
    return without_recipe(world, **(values | more))


@pytest.mark.parametrize("name", ["tofu", "wmdp", "pku_saferlhf"])
def test_the_harmful_side_is_what_goes_and_the_harmless_one_stays(name, world, wide, tmp_path):
    copy = copies(name, tmp_path)[0]
    spec = of_probe(world, wide, copy)
    told = unlearn(spec, tmp_path / "out", threads=1)
    bad = [item for item in copy.items if item[0] == probe(name).harmful]
    good = [item for item in copy.items if item[0] == probe(name).harmless]
    assert told.summary["forget_set"] == "the harmful side of mine"
    assert told.summary["data"]["forget"] == len(bad) > 0
    assert told.summary["data"]["prompts"]["mine"] == {"harmful": len(bad), "harmless": len(good)}
    task = UnlearnTask(spec, tmp_path / "again", threads=1)
    texts = sorted(task.model.encoder.example_text(example) for example in task.data.forget)
    assert texts == sorted(f"{prompt} {completion}" for _, _, prompt, completion in bad)
    # The other side is trained on to be kept, beside the subset; the side that goes is not.
    kept = {id(example) for example in task.models.retained}
    assert all(id(example) in kept for example in task.data.prompts["mine"]["harmless"])
    assert not [example for example in task.data.forget if id(example) in kept]
    own = told.metrics[told.metrics.subject == "npo"].set_index(["metric", "on"]).value
    before = told.metrics[told.metrics.subject == "before"].set_index(["metric", "on"]).value
    assert own["loss", FORGET] > before["loss", FORGET]
    assert own["loss", RETAIN] < before["loss", RETAIN]
    assert "contrast" in set(told.metrics.metric)
    assert ("truth" in set(told.metrics.metric)) == (name != "tofu")  # TOFU's two sides ask different questions
    assert told.summary["stop"]["steps"] == [4]


def test_the_harmless_side_of_a_probe_may_go_as_well(world, wide, tmp_path):
    copy = copies("tofu", tmp_path)[0]
    spec = of_probe(world, wide, copy, forget={"prompts": "mine", "side": "harmless"})
    task = UnlearnTask(spec, tmp_path / "work", threads=1)
    good = [item for item in copy.items if item[0] == probe("tofu").harmless]
    assert len(task.data.forget) == len(good)


def test_a_probe_alone_without_any_subset_is_enough(world, wide, tmp_path):
    """The retain set is then the other side: it, and not the forget set, tells whether the model is damaged."""
    copy = copies("wmdp", tmp_path)[0]
    spec = of_probe(
        world, wide, copy, subsets=[], method={"name": "grad-ascent", "learning_rate": 0.01},
        stop={"rule": "retain_budget", "steps": 4, "eval_every": 1, "max_retain_increase": 10.0},
    )  # fmt: skip
    task = UnlearnTask(spec, tmp_path / "work", threads=1)
    frame = task.run_cell(task.eval_points[1])
    assert frame[frame.quantity == "ended"].text.tolist() == ["all 4 steps"]
    told = unlearn(spec, tmp_path / "out", threads=1)
    rows = told.metrics[told.metrics.subject == "before"].set_index(["metric", "on"]).value
    assert rows["loss", RETAIN] == pytest.approx(rows["loss", "mine, harmless"])
