"""Unlearnings from end to end on the world's model: what they write, what they leave alone, what they compare."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.unlearning_requests import RECIPE, steady, unlearn_spec
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.results.folders import (
    AUDIT,
    COLLATERAL,
    CURVES,
    ENVIRONMENT,
    FORGET_EXAMPLES,
    GENERATIONS,
    METRICS,
    SPEC,
    SUMMARY,
    UNLEARNED,
    load_unlearn,
    read_frame,
)
from untrac_core.tasks.run import unlearn
from untrac_core.tasks.unlearn.audit import hash_folder
from untrac_core.tasks.unlearn.task import UnlearnTask
from untrac_core.unlearning.metrics.summary import FORGET, RETAIN

pytestmark = pytest.mark.slow  # trainings, and unlearnings by each method

BESIDE = [
    {"name": "grin", "learning_rate": 0.01},
    {"name": "sisa", "shards": 2},
    {"name": "retrain"},
]
TITLES = ["npo", "grin", "sisa", "retrain", "grin (gradient mask)", "grin (random mask)", "retain-only"]
"""What was asked for, then the controls, which come by themselves."""
TABLES = (METRICS, CURVES, COLLATERAL, FORGET_EXAMPLES, GENERATIONS)


class Heard:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.phases = []

    def phase(self, text):
        self.phases.append(text)

    def tick(self, done, total):
        pass


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def ran(world, tmp_path_factory, cells):
    """NPO beside every kind of method, two seeds, three pairs of the ensemble audit."""
    spec = unlearn_spec(
        world,
        method={"name": "npo", "learning_rate": 0.005, "beta": 0.03},
        compare=BESIDE,
        ensemble_size=3,
        generation={"texts": ["The anvil", "The loom"], "sampling": {"samples": 2, "tokens": 6}},
    )
    return unlearn(spec, tmp_path_factory.mktemp("ran") / "out", cache=cells, threads=1)


def row_of(summary, metric, on=FORGET):
    (row,) = [row for row in summary["table"] if (row["metric"], row["on"]) == (metric, on)]
    return row


def value(metrics, subject, metric, on=FORGET, seed=0):
    found = metrics[(metrics.subject == subject) & (metrics.seed == seed)]
    (one,) = found[(found.metric == metric) & (found.on == on)].value
    return one


def plain_losses(folder, examples):
    """Summed loss of every text by a model as plain transformers loads it, computed here."""
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    losses = []
    with torch.no_grad():
        for example in examples:
            ids = torch.from_numpy(example.ids)[None]
            told = torch.log_softmax(module(ids).logits[0, :-1].double(), -1)
            each = -told.gather(1, ids[0, 1:, None])[:, 0]
            losses.append(float(each[example.first - 1 :].sum()))
    return np.array(losses)


def test_all_files_are_there_and_are_read_again(ran):
    names = {path.name for path in ran.folder.iterdir()}
    assert names == {SPEC, SUMMARY, ENVIRONMENT, AUDIT, UNLEARNED, *TABLES}
    for name in (SUMMARY, AUDIT, ENVIRONMENT):
        json.loads((ran.folder / name).read_text(), parse_constant=pytest.fail)
    again = load_unlearn(ran.folder)
    assert again.spec == ran.spec
    assert again.summary == ran.summary
    for name in ("metrics", "curves", "collateral", "forget_examples", "generations"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(ran, name))
        assert len(getattr(again, name)), name
    assert again.model == ran.folder / UNLEARNED
    (ran.folder / FORGET_EXAMPLES).rename(ran.folder / "away")
    with pytest.raises(InputError, match=FORGET_EXAMPLES):
        load_unlearn(ran.folder)
    (ran.folder / "away").rename(ran.folder / FORGET_EXAMPLES)


def test_the_summary_has_every_method_and_the_retrained_model(ran):
    summary = ran.summary
    assert [row["method"] for row in summary["methods"]] == TITLES
    assert (summary["kind"], summary["forget_set"], summary["method"]) == ("unlearn", "subset smiths", "npo")
    assert not any(row["collapsed"] for row in summary["methods"])
    assert summary["notes"]
    assert summary["data"]["retain"].keys() == {"fishers", "weavers"}
    assert len(set(summary["data"]["retain"].values()) | {summary["data"]["forget"]}) == 1  # equal tokens
    loss = row_of(summary, "loss")
    assert loss["before"] < loss["after"] <= loss["high"]
    assert loss["retrained"] > loss["before"] + 1
    assert loss["seed_noise"] == pytest.approx(loss["retrained_high"] - loss["retrained_low"])
    assert row_of(summary, "contrast", "talk")["before"] > row_of(summary, "contrast", "talk")["after"]
    models = set(zip(ran.metrics.subject, ran.metrics.seed, strict=True))
    assert models == {
        ("before", 0),
        ("retain-only", 0),
        *((subject, seed) for subject in ("retrained", *TITLES) if subject != "retain-only" for seed in (0, 1)),
    }


def test_the_retrained_model_rule_stops_at_the_loss_of_the_retrained_models(ran):
    stop = ran.summary["stop"]
    retrained_models = ran.metrics[(ran.metrics.subject == "retrained") & (ran.metrics.metric == "loss")]
    retrained_models = retrained_models[retrained_models.on == FORGET].value
    assert stop["level"] == pytest.approx(retrained_models.mean())
    assert all("as unlikely as" in ended for ended in stop["ended"])
    for seed, steps in enumerate(stop["steps"]):
        assert steps in (5, 10, 15), "an early end, or the test below shows nothing"
        curve = ran.curves[(ran.curves.method == "npo") & (ran.curves.seed == seed) & (ran.curves.kind == "forget")]
        assert curve.step.tolist() == list(range(0, int(steps) + 1, 5))
        assert curve.loss.iloc[-1] >= stop["level"] > curve.loss.iloc[-2]
        assert curve.loss.iloc[-1] == pytest.approx(value(ran.metrics, "npo", "loss", seed=seed))


def test_the_control_takes_exactly_as_many_steps_as_the_method(ran):
    leaderboard = {row["method"]: row for row in ran.summary["methods"]}
    assert leaderboard["retain-only"]["steps"] == leaderboard["npo"]["steps"][:1]
    assert leaderboard["retain-only"]["ended"] == f"all {leaderboard['npo']['steps'][0]:.0f} steps"


def test_a_retrained_model_as_method_is_the_retrained_model_itself(ran):
    for seed in (0, 1):
        for metric in ("loss", "exact", "auc", "relearning"):
            told, retrained = (value(ran.metrics, subject, metric, seed=seed) for subject in ("retrain", "retrained"))
            assert told == retrained, metric
    assert value(ran.metrics, "retrain", "kl") == pytest.approx(0, abs=1e-6)
    assert value(ran.metrics, "retrain", "kl", seed=1) == pytest.approx(value(ran.metrics, "retrained", "kl", seed=1))


def test_the_exported_model_gives_the_losses_of_the_table_in_plain_transformers(ran, cells, tmp_path):
    task = UnlearnTask(ran.spec, tmp_path, threads=1, retrained_models=cells / "retrained_models")
    (cell,) = [cell for cell in task.eval_points if (cell.method, cell.seed) == ("npo", 0)]
    frame = read_frame(cells / f"{cell.key}.parquet")
    last = frame[(frame.quantity == "loss") & (frame.step == frame.step.max())]
    for eval_sets in task.models.eval_sets:
        here = (last.kind == eval_sets.kind) & (last.name == eval_sets.name) & (last.side == eval_sets.side)
        told = last[here].sort_values("item").value.to_numpy() / eval_sets.tokens
        own = plain_losses(ran.model, eval_sets.examples) / eval_sets.tokens
        np.testing.assert_allclose(own, told, atol=1e-5, err_msg=eval_sets.name)
    forget = task.models.eval_sets[0]
    total = plain_losses(ran.model, forget.examples).sum() / forget.tokens.sum()
    assert total == pytest.approx(value(ran.metrics, "npo", "loss"), abs=1e-5)


def test_the_curves_and_the_collateral_say_the_same_as_the_measures(ran):
    gone = ran.collateral[(ran.collateral.method == "npo") & (ran.collateral.kind == "forget")].iloc[0]
    loss = row_of(ran.summary, "loss")
    assert gone.before == pytest.approx(loss["before"])
    assert gone.after == pytest.approx(loss["after"])
    assert gone.change == pytest.approx(loss["after"] - loss["before"])
    assert gone.retrained == pytest.approx(loss["retrained"] - loss["before"])
    assert gone.low < gone.change < gone.high
    assert set(ran.collateral.method) == {*TITLES, "retrained"}
    retrained = ran.collateral[ran.collateral.method == "retrained"]
    np.testing.assert_allclose(retrained.change, retrained.retrained)
    forget_examples = ran.forget_examples
    assert (forget_examples.after > forget_examples.before).all()
    assert set(forget_examples.memorised) <= {"low", "middle", "high"}
    assert len(set(forget_examples.memorised)) > 1
    total = (forget_examples.after * forget_examples.tokens).sum() / forget_examples.tokens.sum()
    assert total == pytest.approx(loss["after"])


def test_every_model_writes_to_the_same_prompts(ran):
    by = ran.generations.groupby(["subject", "seed"])
    assert {subject for subject, _ in by.groups} == {"before", "retrained", *TITLES} - {"sisa"}
    for _, part in by:
        assert part.prompt.tolist() == ["The anvil", "The anvil", "The loom", "The loom"]
    assert ran.generations.score.isna().all()
    assert not ran.generations.harmful.any()
    method, retrained = (
        ran.generations[ran.generations.subject == name].completion.tolist() for name in ("retrain", "retrained")
    )
    assert method == retrained


def test_the_ensemble_audit_says_epsilon_and_forgetting_beside_chance(ran):
    deep = ran.summary["ensemble_audit"]
    assert (deep["models"], deep["too_few"]) == (3, False)
    assert deep["observable"] == pytest.approx(math.log(2), abs=1e-4)
    for name in ("epsilon", "forgetting", "chance", "as_low_by_chance", "final"):
        assert math.isfinite(deep[name]), name
    assert 0 <= deep["forgetting"] <= 1
    assert 0 <= deep["as_low_by_chance"] <= 1
    assert {(row["kind"], row["name"]) for row in deep["klom"]} == {
        ("forget", "subset smiths"), ("holdout", "unseen"), ("subset", "fishers"), ("subset", "weavers"),
    }  # fmt: skip
    assert all(row["mean"] >= 0 and row["chance"] >= 0 for row in deep["klom"])


def test_the_audit_record_has_the_hashes_of_what_went_in_and_out(ran, world, cells):
    from untrac_core.hub.locate import hash_model

    audit = ran.audit
    assert audit["model_after"] == hash_folder(ran.model)
    assert audit["model_before"] == hash_model(world / "model")
    kept = {path.name for path in (cells / "retrained_models").iterdir()}
    for seed in ("0", "1"):
        assert f"model-{audit['models_retrained'][seed][:16]}" in kept
    assert audit["metrics"][f"loss, {FORGET}"]["after"] == row_of(ran.summary, "loss")["after"]
    assert audit["warnings"] == ran.summary["warnings"]


def test_the_same_request_again_reuses_every_cell_and_gives_the_same_bytes(ran, cells, tmp_path):
    before = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.parquet")}
    heard = Heard()
    again = unlearn(ran.spec, tmp_path / "out", heard, cache=cells, threads=1)
    assert {path.name: path.stat().st_mtime_ns for path in cells.glob("*.parquet")} == before
    assert not [text for text in heard.phases if text.startswith("training")]
    for name in (*TABLES, SPEC):
        assert (again.folder / name).read_bytes() == (ran.folder / name).read_bytes(), name
    assert steady(again.folder) == steady(ran.folder)
    assert hash_folder(again.model)["model.safetensors"] == hash_folder(ran.model)["model.safetensors"]
    assert sorted(path.name for path in again.folder.iterdir()) == sorted(path.name for path in ran.folder.iterdir())


def test_no_cell_changes_the_model_that_was_given(world, tmp_path):
    names = ["npo", "simnpo", "grad-diff", "grad-ascent", "grin", "retrain"]
    spec = unlearn_spec(
        world,
        method={"name": "npo", "trainable": "matrices"},
        compare=[
            *({"name": name} for name in names[1:]),
            {"name": "npo", "retain": "kl", "label": "held"},
            {"name": "k-fade", "samples": 4},
            {"name": "rest-flow", "samples": 4, "batch_size": 4},
            {"name": "sisa", "shards": 2, "slices": 1},
        ],
        seeds=[0],
        training=RECIPE,
        stop={"rule": "retain_budget", "steps": 4, "eval_every": 2, "max_retain_increase": 0.001},
        relearn_steps=2,
        ensemble_size=1,
        eval_samples=4,
        generation={"texts": ["The"], "sampling": {"samples": 1, "tokens": 2}},
    )
    task = UnlearnTask(spec, tmp_path / "work", threads=1)
    given, frames = hash_weights(task.model.module), []
    for stage in [task.cells, *task.later]:
        if frames:
            task.tell(frames)
        for cell in stage:
            frames.append(task.run_cell(cell))
            assert hash_weights(task.model.module) == given, cell.label
    assert len(frames) == len(task.all_cells) == 1 + 1 + 10 + 2 + 1 + 1
    assert not [part for part in frames if not len(part)]


def test_a_model_of_another_recipe_is_refused_in_one_line(world, tmp_path):
    for other in ({"hidden_size": 48}, {"architecture": "gpt2"}, {"num_layers": 1}):
        with pytest.raises(InputError, match="the recipe makes another model") as refused:
            unlearn(unlearn_spec(world, training=RECIPE | other), tmp_path / "out", threads=1)
        assert len(str(refused.value).splitlines()) == 1


def test_what_stays_is_kept_better_by_a_method_that_trains_on_it(world, tmp_path):
    """Ascent alone, at the same steps, costs the retain set; the measure must show it."""
    spec = unlearn_spec(
        world,
        method={"name": "grad-ascent", "learning_rate": 0.002},
        compare=[{"name": "grad-diff", "learning_rate": 0.002}],
        stop={"rule": "fixed", "steps": 8, "eval_every": 4},
        seeds=[0],
        relearn_steps=0,
    )
    told = unlearn(spec, tmp_path / "out", threads=1)
    assert value(told.metrics, "grad-ascent", "loss", RETAIN) > value(told.metrics, "grad-diff", "loss", RETAIN) + 0.1
    assert "relearning" not in set(told.metrics.metric)
