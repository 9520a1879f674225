"""Unlearnings of other kinds: without a recipe, of an adapter, of a seq2seq model, and those that go wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.families import make_adapter, make_model
from tests.helpers.unlearning_requests import unlearn_spec, unseen, without_recipe
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.tasks.run import unlearn
from untrac_core.tasks.unlearn.task import UnlearnTask
from untrac_core.unlearning.metrics.summary import FORGET, RETAIN

pytestmark = pytest.mark.slow  # a training and an unlearning for each kind of request

CPU = torch.device("cpu")


@pytest.fixture
def shown(tmp_path):
    """Run a request and return its result; its JSON must have no number that is none."""

    def run(spec):
        told = unlearn(spec, tmp_path / "out", cache=tmp_path / "cells", threads=1)
        json.loads((told.folder / "summary.json").read_text(), parse_constant=pytest.fail)
        return told

    return run


def found(metrics, subject, metric, on=FORGET, seed=0):
    here = (metrics.subject == subject) & (metrics.seed == seed) & (metrics.metric == metric)
    return metrics[here & (metrics.on == on)].value.tolist()


def losses_of(folder, examples):
    """Loss in nats per token of all texts by a causal model as plain transformers loads it."""
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    total = 0.0
    with torch.no_grad():
        for example in examples:
            ids = torch.from_numpy(example.ids)[None]
            told = torch.log_softmax(module(ids).logits[0, :-1].double(), -1)
            total -= float(told.gather(1, ids[0, 1:, None])[example.first - 1 :].sum())
    return total / sum(example.tokens for example in examples)


# --- without a retrained model ----------------------------------------------------------------------------------------


def test_without_a_recipe_there_is_no_retrained_model_anywhere_and_the_notes_say_so(world, tmp_path, shown):
    told = shown(
        without_recipe(
            world,
            forget={"upload": unseen(tmp_path, seed=3)},
            holdout=unseen(tmp_path),
            stop={"rule": "match_holdout", "steps": 12, "eval_every": 3},
            method={"name": "npo", "learning_rate": 0.005, "beta": 0.03},
            compare=[{"name": "grad-diff", "learning_rate": 0.005}],
            relearn_steps=2,
        )
    )
    summary = told.summary
    assert set(told.metrics.subject) == {"before", "npo", "grad-diff", "retain-only"}
    assert not set(told.metrics.metric) & {"kl", "genex", "genex-worst", "privleak", "distance"}
    assert all(row["retrained"] is None and row["seed_noise"] is None for row in summary["table"])
    assert all(row["forget_quality"] is None and row["genex"] is None for row in summary["methods"])
    assert any("No recipe is known" in note for note in summary["notes"])
    assert told.collateral.retrained.isna().all()
    assert told.forget_examples.retrained.isna().all()
    assert told.forget_examples.genex.isna().all()
    assert told.audit["models_retrained"] == {}
    assert "never saw them they are" not in summary["verdict"]
    # What stands in for it: holdout text.
    assert {"auc", "relex"} <= set(told.metrics.metric)
    level = summary["stop"]["level"]
    assert level == pytest.approx(found(told.metrics, "before", "loss", "holdout text")[0])
    assert all("the holdout set" in ended for ended in summary["stop"]["ended"])
    for seed in (0, 1):
        assert found(told.metrics, "npo", "loss", seed=seed)[0] >= level
    assert told.model is not None


def test_without_unseen_text_nothing_is_measured_against_it(world, shown):
    told = shown(without_recipe(world, seeds=[0], relearn_steps=0))
    assert any("no holdout set" in note for note in told.summary["notes"])
    assert not set(told.metrics.metric) & {"auc", "auc-min-k", "relex", "privleak"}
    with pytest.raises(InputError, match="holdout") as refused:
        unlearn(without_recipe(world, stop={"rule": "match_holdout"}), told.folder.parent / "second", threads=1)
    assert len(str(refused.value).splitlines()) == 1


def test_a_budget_keeps_the_last_look_within_it(world, shown):
    """The first evaluation is over the budget already, so no step is kept, and the control takes none either."""
    told = shown(
        without_recipe(
            world,
            method={"name": "grad-ascent", "learning_rate": 0.01},
            stop={"rule": "retain_budget", "steps": 8, "eval_every": 4, "max_retain_increase": 0.01},
            seeds=[0],
            relearn_steps=0,
        )
    )
    leaderboard = {row["method"]: row for row in told.summary["methods"]}
    assert leaderboard["grad-ascent"]["steps"] == [0]
    assert leaderboard["grad-ascent"]["ended"] == "the last evaluation before the retain set loses more than 1%"
    assert leaderboard["retain-only"]["steps"] == [0]
    for on in (FORGET, RETAIN):
        before = found(told.metrics, "before", "loss", on)
        assert found(told.metrics, "grad-ascent", "loss", on) == pytest.approx(before, abs=1e-9)
        assert found(told.metrics, "retain-only", "loss", on) == pytest.approx(before, abs=1e-9)


# --- other models -----------------------------------------------------------------------------------------------------


def test_a_lora_run_exports_merged_weights_with_the_losses_of_the_table(world, tmp_path, shown):
    spec = unlearn_spec(
        world,
        method={"name": "npo", "trainable": "lora", "learning_rate": 0.02},
        compare=[{"name": "grad-diff", "learning_rate": 0.02}],
        stop={"rule": "match_retrained", "steps": 6, "eval_every": 3},
        seeds=[0],
        relearn_steps=3,
    )
    told = shown(spec)
    assert sorted(path.name for path in told.model.glob("*.safetensors")) == ["model.safetensors"]
    task = UnlearnTask(spec, tmp_path / "again", threads=1)
    eval_sets = task.models.eval_sets
    forget, subsets = eval_sets[0].examples, [each for each in eval_sets if each.kind == "subset"]
    before, after = found(told.metrics, "before", "loss")[0], found(told.metrics, "npo", "loss")[0]
    assert after > before + 0.05
    assert losses_of(told.model, forget) == pytest.approx(after, abs=1e-4)
    retain = [example for each in subsets for example in each.examples]
    assert losses_of(told.model, retain) == pytest.approx(found(told.metrics, "npo", "loss", RETAIN)[0], abs=1e-4)
    assert losses_of(world / "model", forget) == pytest.approx(before, abs=1e-4)
    given = hash_weights(task.model.module)
    task.tell([task.run_cell(cell) for cell in task.cells])
    for cell in task.eval_points:
        task.run_cell(cell)
        assert hash_weights(task.model.module) == given, cell.label
    assert not found(told.metrics, "npo", "distance", "the weights")


def test_a_model_with_an_adapter_of_its_own_is_exported_merged(tmp_path, world, shown):
    base = make_model(tmp_path / "base", "llama")
    adapter = make_adapter(tmp_path / "adapter", base)
    spec = without_recipe(
        world,
        model={"path": str(base), "adapter": str(adapter)},
        method={"name": "npo", "trainable": "lora"},
        stop={"rule": "fixed", "steps": 3, "eval_every": 3},
        block_size=32, seeds=[0], relearn_steps=0, eval_samples=8,
    )  # fmt: skip
    told = shown(spec)
    forget = UnlearnTask(spec, tmp_path / "again", threads=1).models.eval_sets[0].examples
    assert losses_of(told.model, forget) == pytest.approx(found(told.metrics, "npo", "loss")[0], abs=1e-4)


def test_a_seq2seq_model_is_unlearned_without_a_recipe(tmp_path, world, shown):
    from transformers import AutoModelForSeq2SeqLM

    folder = make_model(tmp_path / "t5", "t5")
    told = shown(
        without_recipe(
            world,
            model={"path": str(folder)},
            forget={"prompts": "talk"},
            method={"name": "npo", "learning_rate": 0.005, "batch_size": 4},
            stop={"rule": "fixed", "steps": 3, "eval_every": 3},
            generation={"prompt_set": "talk", "limit": 2, "sampling": {"samples": 1, "tokens": 2}},
            seeds=[0],
            relearn_steps=1,
            eval_samples=4,
        )
    )
    assert [row["steps"] for row in told.summary["methods"]] == [[3], [3]]
    (before,), (after,) = (found(told.metrics, subject, "loss") for subject in ("before", "npo"))
    assert after > before
    loaded = AutoModelForSeq2SeqLM.from_pretrained(told.model, local_files_only=True)
    assert sum(weight.numel() for weight in loaded.parameters()) > 1000
    assert len(told.generations)
    assert any("No recipe is known" in note for note in told.summary["notes"])


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_collapse_is_said_first_and_no_number_pretends(world, tmp_path, shown):
    told = shown(
        unlearn_spec(
            world,
            method={"name": "grad-ascent", "learning_rate": 5.0},
            compare=[{"name": "npo"}],
            stop={"rule": "fixed", "steps": 6, "eval_every": 2},
            holdout=unseen(tmp_path),
            seeds=[0],
            relearn_steps=3,
            generation={"texts": ["The anvil"], "sampling": {"samples": 1, "tokens": 3}},
        )
    )
    summary = told.summary
    assert "collapse" in summary["verdict"]
    assert not any(letter.isdigit() for letter in summary["verdict"])
    about = [text for text in summary["warnings"] if text.startswith("grad-ascent: ")]
    assert about == ["grad-ascent: the model collapsed. It knows nothing any more, so its numbers say nothing."]
    leaderboard = {row["method"]: row for row in summary["methods"]}
    assert leaderboard["grad-ascent"]["collapsed"]
    assert leaderboard["grad-ascent"]["destroyed"]
    assert leaderboard["grad-ascent"]["ended"].startswith("collapsed at step 2")
    assert leaderboard["grad-ascent"]["forget_quality"] is None
    assert leaderboard["grad-ascent"]["utility"] is None
    assert not leaderboard["npo"]["collapsed"]
    assert leaderboard["npo"]["utility"] is not None
    assert leaderboard["grad-ascent"]["relearning"] is None
    assert "grad-ascent" not in set(told.generations.subject)


def test_a_collapse_to_no_numbers_at_all_is_survived(world, shown, monkeypatch):
    """Weights that are not numbers: every table is still written, and says nothing of that method."""
    from untrac_core.unlearning import loop as removing

    step = removing._step

    def broken(model, texts, method, *more):
        step(model, texts, method, *more)
        if method.name == "npo":
            with torch.no_grad():
                next(iter(model.module.parameters())).fill_(math.nan)

    monkeypatch.setattr(removing, "_step", broken)
    told = shown(
        unlearn_spec(world, seeds=[0], relearn_steps=2, stop={"rule": "match_retrained", "steps": 4, "eval_every": 2})
    )
    assert "collapse" in told.summary["verdict"]
    assert not found(told.metrics, "npo", "loss")
    assert [row["collapsed"] for row in told.summary["methods"]] == [True, False]
    assert np.isnan(told.forget_examples.after).all()


@pytest.mark.parametrize("trainable", ["lora", "last_layers"])
def test_all_weights_are_free_to_relearn_as_those_of_the_retrained_model_are(world, tmp_path, monkeypatch, trainable):
    """An adapter, or a last block, learns more slowly: what is hidden would pass for what is gone."""
    from untrac_core.models.trainable import moving_parameters
    from untrac_core.tasks.unlearn import models as models

    free, steps = [], models.relearning_steps

    def counted(model, *more):
        free.append(sum(weight.numel() for weight in moving_parameters(model.module).values()))
        return steps(model, *more)

    monkeypatch.setattr(models, "relearning_steps", counted)
    spec = unlearn_spec(
        world,
        method={"name": "npo", "trainable": trainable},
        stop={"rule": "fixed", "steps": 2, "eval_every": 2},
        seeds=[0],
        relearn_steps=2,
    )
    task = UnlearnTask(spec, tmp_path, threads=1)
    given = hash_weights(task.model.module)
    task.tell([task.run_cell(cell) for cell in task.cells])
    task.run_cell(task.eval_points[1])
    assert len(free) == 2
    assert free[0] == free[1]
    assert hash_weights(task.model.module) == given


def test_texts_without_a_word_have_no_key_words_and_are_unlearned_all_the_same(world, tmp_path):
    from tests.helpers.worlds import write_jsonl

    signs = write_jsonl(tmp_path / "signs.jsonl", [{"text": "... --- !!! ??? ::: ;;; *** +++ " * 8}] * 6)
    upload = {"name": "signs", "source": {"file": str(signs)}}
    told = unlearn(
        without_recipe(world, forget={"upload": upload}, seeds=[0], relearn_steps=0), tmp_path / "out", threads=1
    )
    assert told.summary["key_words"] == []
    assert not {name for name in told.metrics.metric if name.startswith("key")}


@pytest.mark.parametrize(("lost", "again"), [(False, [0, 8, 10, 12]), (True, [0, 2, 4, 6, 8, 10, 12])])
def test_an_unlearning_that_was_cut_off_goes_on_from_its_checkpoint(world, tmp_path, monkeypatch, lost, again):
    """The same table, looks before the interruption included, and not one step or look of them taken again.

    Where those looks are lost, it begins anew: a checkpoint alone knows only their means.
    """
    from untrac_core.tasks.unlearn import models as models
    from untrac_core.unlearning import checkpoint

    monkeypatch.setattr(checkpoint, "KEEP_SECONDS", 0.0)
    spec = unlearn_spec(world, seeds=[0], relearn_steps=0, stop={"rule": "fixed", "steps": 12, "eval_every": 2})

    def made(work):
        task = UnlearnTask(spec, tmp_path / work, threads=1, retrained_models=tmp_path / "retrained_models")
        task.tell([task.run_cell(cell) for cell in task.cells])
        return task, task.eval_points[1]

    calm, cell = made("calm")
    expected = calm.models.table(cell)
    glance, looked = models.evaluate_losses, []

    def cut_off(model, eval_sets, step, *more):
        looked.append(step)
        if step == 8:
            raise KeyboardInterrupt
        return glance(model, eval_sets, step, *more)

    broken, cell = made("broken")
    with monkeypatch.context() as while_it_lasts:
        while_it_lasts.setattr(models, "evaluate_losses", cut_off)
        with pytest.raises(KeyboardInterrupt):
            broken.models.table(cell)
    if lost:
        (tmp_path / "broken" / models.HISTORY).unlink()
    resumed, cell = made("broken")
    looked.clear()
    monkeypatch.setattr(models, "evaluate_losses", lambda *given: (looked.append(given[2]), glance(*given))[1])
    pd.testing.assert_frame_equal(resumed.models.table(cell), expected)
    assert looked == again
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


def test_only_what_stops_at_a_level_shows_one(world, tmp_path, monkeypatch):
    """The control takes as many steps as the method, whatever its texts' loss is then."""
    from untrac_core.tasks.unlearn import models as models

    levels, write = {}, models.write_frame

    def spy(frame, path):
        if path.name == models.HISTORY:
            levels[frame.method.iloc[0]] = frame.level.iloc[0]
        write(frame, path)

    monkeypatch.setattr(models, "write_frame", spy)
    spec = unlearn_spec(
        world, seeds=[0], relearn_steps=0, stop={"rule": "match_retrained", "steps": 4, "eval_every": 2}
    )
    unlearn(spec, tmp_path / "out", threads=1)
    assert levels["npo"] > 0
    assert np.isnan(levels["retain-only"])


def test_retraining_as_the_method_exports_the_retrained_model(world, tmp_path, shown):
    spec = unlearn_spec(world, method={"name": "retrain"}, seeds=[0, 1], relearn_steps=0)
    told = shown(spec)
    (forget,) = found(told.metrics, "retrained", "loss")
    eval_sets = UnlearnTask(spec, tmp_path / "again", threads=1).models.eval_sets[0]
    assert losses_of(told.model, eval_sets.examples) == pytest.approx(forget, abs=1e-5)
    assert [row["method"] for row in told.summary["methods"]] == ["retrain"]


def test_sisa_as_the_method_exports_every_shard(world, shown):
    from transformers import AutoModelForCausalLM

    told = shown(unlearn_spec(world, method={"name": "sisa", "shards": 3, "slices": 1}, seeds=[0], relearn_steps=0))
    shards = sorted(path.name for path in told.model.iterdir() if path.is_dir())
    assert shards == ["shard-1", "shard-2", "shard-3"]
    for shard in shards:
        AutoModelForCausalLM.from_pretrained(told.model / shard, local_files_only=True)
    assert "3 of 3 shards trained again" in told.summary["methods"][0]["ended"]


def test_planted_texts_are_exposed_before_and_less_so_after(world, tmp_path, shown):
    from tests.helpers.worlds import sentences, write_jsonl

    rows = [{"text": text} for text in sentences("smiths", 150, 0)[:20]]
    planted = {"name": "planted", "source": {"file": str(write_jsonl(tmp_path / "planted.jsonl", rows))}}
    told = shown(
        unlearn_spec(
            world,
            canaries={"planted": planted, "candidates": unseen(tmp_path, "weavers", 40)},
            method={"name": "npo", "learning_rate": 0.005, "beta": 0.03},
            seeds=[0],
            relearn_steps=0,
        )
    )
    (before,), (after,), (retrained,) = (
        found(told.metrics, who, "exposure", "canaries") for who in ("before", "npo", "retrained")
    )
    assert before > after
    assert before > retrained
