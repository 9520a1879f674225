"""Unlearnings from end to end on the world's model: what they write, what they leave alone, what they compare."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from unlearning_requests import RECIPE, steady, unlearn_spec

from untrac_core.audit import hash_folder
from untrac_core.errors import InputError
from untrac_core.models import hash_weights
from untrac_core.removal import Remover, unlearn
from untrac_core.removal_measures import FORGET, STAYS
from untrac_core.results import (
    AUDIT,
    COLLATERAL,
    CURVES,
    ENVIRONMENT,
    FORGOTTEN,
    MEASURES,
    SPEC,
    SUMMARY,
    UNLEARNED,
    WRITTEN,
    load_removed,
    read_frame,
)

BESIDE = [
    {"name": "grin", "learning_rate": 0.01},
    {"name": "sisa", "shards": 2},
    {"name": "retrain"},
]
TITLES = ["npo", "grin", "sisa", "retrain", "grin (gradient mask)", "grin (random mask)", "retain-only"]
"""What was asked for, then the controls, which come by themselves."""
TABLES = (MEASURES, CURVES, COLLATERAL, FORGOTTEN, WRITTEN)


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
    """NPO beside every kind of method, two seeds, three pairs of the deep check."""
    spec = unlearn_spec(
        world,
        method={"name": "npo", "learning_rate": 0.005, "beta": 0.03},
        beside=BESIDE,
        deep=3,
        writing={"texts": ["The anvil", "The loom"], "sampling": {"samples": 2, "tokens": 6}},
    )
    return unlearn(spec, tmp_path_factory.mktemp("ran") / "out", cache=cells, threads=1)


def row_of(summary, measure, on=FORGET):
    (row,) = [row for row in summary["table"] if (row["measure"], row["on"]) == (measure, on)]
    return row


def value(measures, subject, measure, on=FORGET, seed=0):
    found = measures[(measures.subject == subject) & (measures.seed == seed)]
    (one,) = found[(found.measure == measure) & (found.on == on)].value
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
    again = load_removed(ran.folder)
    assert again.spec == ran.spec
    assert again.summary == ran.summary
    for name in ("measures", "curves", "collateral", "forgotten", "written"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(ran, name))
        assert len(getattr(again, name)), name
    assert again.model == ran.folder / UNLEARNED
    (ran.folder / FORGOTTEN).rename(ran.folder / "away")
    with pytest.raises(InputError, match=FORGOTTEN):
        load_removed(ran.folder)
    (ran.folder / "away").rename(ran.folder / FORGOTTEN)


def test_the_summary_has_every_method_and_the_gold(ran):
    summary = ran.summary
    assert [row["method"] for row in summary["methods"]] == TITLES
    assert (summary["kind"], summary["target"], summary["method"]) == ("unlearn", "subset smiths", "npo")
    assert not any(row["collapsed"] for row in summary["methods"])
    assert summary["notes"]
    assert summary["data"]["stays"].keys() == {"fishers", "weavers"}
    assert len(set(summary["data"]["stays"].values()) | {summary["data"]["forget"]}) == 1  # equal tokens
    loss = row_of(summary, "loss")
    assert loss["before"] < loss["after"] <= loss["high"]
    assert loss["gold"] > loss["before"] + 1
    assert loss["floor"] == pytest.approx(loss["gold_high"] - loss["gold_low"])
    assert row_of(summary, "contrast", "talk")["before"] > row_of(summary, "contrast", "talk")["after"]
    subjects = set(zip(ran.measures.subject, ran.measures.seed, strict=True))
    assert subjects == {
        ("before", 0),
        ("retain-only", 0),
        *((subject, seed) for subject in ("gold", *TITLES) if subject != "retain-only" for seed in (0, 1)),
    }


def test_the_gold_rule_stops_at_the_loss_of_the_retrained_models(ran):
    stop = ran.summary["stop"]
    golds = ran.measures[(ran.measures.subject == "gold") & (ran.measures.measure == "loss")]
    golds = golds[golds.on == FORGET].value
    assert stop["level"] == pytest.approx(golds.mean())
    assert all("as unlikely as" in ended for ended in stop["ended"])
    for seed, steps in enumerate(stop["steps"]):
        assert steps in (5, 10, 15), "an early end, or the test below shows nothing"
        curve = ran.curves[(ran.curves.method == "npo") & (ran.curves.seed == seed) & (ran.curves.kind == "forget")]
        assert curve.step.tolist() == list(range(0, int(steps) + 1, 5))
        assert curve.loss.iloc[-1] >= stop["level"] > curve.loss.iloc[-2]
        assert curve.loss.iloc[-1] == pytest.approx(value(ran.measures, "npo", "loss", seed=seed))


def test_the_control_takes_exactly_as_many_steps_as_the_method(ran):
    board = {row["method"]: row for row in ran.summary["methods"]}
    assert board["retain-only"]["steps"] == board["npo"]["steps"][:1]
    assert board["retain-only"]["ended"] == f"all {board['npo']['steps'][0]:.0f} steps"


def test_a_retrained_model_as_method_is_the_gold_itself(ran):
    for seed in (0, 1):
        for measure in ("loss", "exact", "auc", "relearning"):
            told, gold = (value(ran.measures, subject, measure, seed=seed) for subject in ("retrain", "gold"))
            assert told == gold, measure
    assert value(ran.measures, "retrain", "kl") == pytest.approx(0, abs=1e-6)
    assert value(ran.measures, "retrain", "kl", seed=1) == pytest.approx(value(ran.measures, "gold", "kl", seed=1))


def test_the_exported_model_gives_the_losses_of_the_table_in_plain_transformers(ran, cells, tmp_path):
    remover = Remover(ran.spec, tmp_path, threads=1, golds=cells / "golds")
    (cell,) = [cell for cell in remover.looks if (cell.method, cell.seed) == ("npo", 0)]
    frame = read_frame(cells / f"{cell.key}.parquet")
    last = frame[(frame.quantity == "loss") & (frame.step == frame.step.max())]
    for watched in remover.subjects.watched:
        here = (last.kind == watched.kind) & (last.name == watched.name) & (last.side == watched.side)
        told = last[here].sort_values("item").value.to_numpy() / watched.tokens
        own = plain_losses(ran.model, watched.examples) / watched.tokens
        np.testing.assert_allclose(own, told, atol=1e-5, err_msg=watched.name)
    forget = remover.subjects.watched[0]
    total = plain_losses(ran.model, forget.examples).sum() / forget.tokens.sum()
    assert total == pytest.approx(value(ran.measures, "npo", "loss"), abs=1e-5)


def test_the_curves_and_the_collateral_say_the_same_as_the_measures(ran):
    gone = ran.collateral[(ran.collateral.method == "npo") & (ran.collateral.kind == "forget")].iloc[0]
    loss = row_of(ran.summary, "loss")
    assert gone.before == pytest.approx(loss["before"])
    assert gone.after == pytest.approx(loss["after"])
    assert gone.change == pytest.approx(loss["after"] - loss["before"])
    assert gone.gold == pytest.approx(loss["gold"] - loss["before"])
    assert gone.low < gone.change < gone.high
    assert set(ran.collateral.method) == {*TITLES, "gold"}
    gold = ran.collateral[ran.collateral.method == "gold"]
    np.testing.assert_allclose(gold.change, gold.gold)
    forgotten = ran.forgotten
    assert (forgotten.after > forgotten.before).all()
    assert set(forgotten.memorised) <= {"low", "middle", "high"}
    assert len(set(forgotten.memorised)) > 1
    total = (forgotten.after * forgotten.tokens).sum() / forgotten.tokens.sum()
    assert total == pytest.approx(loss["after"])


def test_every_model_writes_to_the_same_prompts(ran):
    by = ran.written.groupby(["subject", "seed"])
    assert {subject for subject, _ in by.groups} == {"before", "gold", *TITLES} - {"sisa"}
    for _, part in by:
        assert part.prompt.tolist() == ["The anvil", "The anvil", "The loom", "The loom"]
    assert ran.written.score.isna().all()
    assert not ran.written.harmful.any()
    retrained, gold = (ran.written[ran.written.subject == name].completion.tolist() for name in ("retrain", "gold"))
    assert retrained == gold


def test_the_deep_check_says_epsilon_and_forgetting_beside_chance(ran):
    deep = ran.summary["deep"]
    assert (deep["models"], deep["too_few"]) == (3, False)
    assert deep["observable"] == pytest.approx(math.log(2), abs=1e-4)
    for name in ("epsilon", "forgetting", "chance", "as_low_by_chance", "final"):
        assert math.isfinite(deep[name]), name
    assert 0 <= deep["forgetting"] <= 1
    assert 0 <= deep["as_low_by_chance"] <= 1
    assert {(row["kind"], row["name"]) for row in deep["klom"]} == {
        ("forget", "subset smiths"), ("held-out", "unseen"), ("subset", "fishers"), ("subset", "weavers"),
    }  # fmt: skip
    assert all(row["mean"] >= 0 and row["chance"] >= 0 for row in deep["klom"])


def test_the_audit_record_has_the_hashes_of_what_went_in_and_out(ran, world, cells):
    from untrac_core.model_files import hash_model

    audit = ran.audit
    assert audit["model_after"] == hash_folder(ran.model)
    assert audit["model_before"] == hash_model(world / "model")
    kept = {path.name for path in (cells / "golds").iterdir()}
    for seed in ("0", "1"):
        assert f"gold-{audit['models_retrained'][seed][:16]}" in kept
    assert audit["measures"][f"loss, {FORGET}"]["after"] == row_of(ran.summary, "loss")["after"]
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
    names = ["npo", "sim-npo", "grad-diff", "ascent", "grin", "retrain"]
    spec = unlearn_spec(
        world,
        method={"name": "npo", "moves": "matrices"},
        beside=[
            *({"name": name} for name in names[1:]),
            {"name": "npo", "retain": "kl", "label": "held"},
            {"name": "sisa", "shards": 2, "slices": 1},
        ],
        seeds=[0],
        training=RECIPE,
        stop={"rule": "retain-budget", "steps": 4, "every": 2, "budget": 0.001},
        relearn=2,
        deep=1,
        look=4,
        writing={"texts": ["The"], "sampling": {"samples": 1, "tokens": 2}},
    )
    remover = Remover(spec, tmp_path / "work", threads=1)
    given, frames = hash_weights(remover.model.module), []
    for stage in [remover.cells, *remover.later]:
        if frames:
            remover.tell(frames)
        for cell in stage:
            frames.append(remover.run_cell(cell))
            assert hash_weights(remover.model.module) == given, cell.label
    assert len(frames) == len(remover.all_cells) == 1 + 1 + 8 + 2 + 1 + 1
    assert not [part for part in frames if not len(part)]


def test_a_model_of_another_recipe_is_refused_in_one_line(world, tmp_path):
    for other in ({"hidden": 48}, {"architecture": "gpt2"}, {"layers": 1}):
        with pytest.raises(InputError, match="the recipe makes another model") as refused:
            unlearn(unlearn_spec(world, training=RECIPE | other), tmp_path / "out", threads=1)
        assert len(str(refused.value).splitlines()) == 1


def test_what_stays_is_kept_better_by_a_method_that_trains_on_it(world, tmp_path):
    """Ascent alone, at the same steps, costs what stays; the measure must show it."""
    spec = unlearn_spec(
        world,
        method={"name": "ascent", "learning_rate": 0.002},
        beside=[{"name": "grad-diff", "learning_rate": 0.002}],
        stop={"rule": "steps", "steps": 8, "every": 4},
        seeds=[0],
        relearn=0,
    )
    told = unlearn(spec, tmp_path / "out", threads=1)
    assert value(told.measures, "ascent", "loss", STAYS) > value(told.measures, "grad-diff", "loss", STAYS) + 0.1
    assert "relearning" not in set(told.measures.measure)
