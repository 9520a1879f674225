"""Unlearnings of other kinds: without a recipe, of an adapter, of a seq2seq model, and those that go wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from families import make_adapter, make_model
from unlearning_requests import unlearn_spec, unseen, without_recipe

from untrac_core.errors import InputError
from untrac_core.models import hash_weights
from untrac_core.removal import Remover, unlearn
from untrac_core.removal_measures import FORGET, STAYS

CPU = torch.device("cpu")


@pytest.fixture
def shown(tmp_path):
    """Run a request and return its result; its JSON must have no number that is none."""

    def run(spec):
        told = unlearn(spec, tmp_path / "out", cache=tmp_path / "cells", threads=1)
        json.loads((told.folder / "summary.json").read_text(), parse_constant=pytest.fail)
        return told

    return run


def found(measures, subject, measure, on=FORGET, seed=0):
    here = (measures.subject == subject) & (measures.seed == seed) & (measures.measure == measure)
    return measures[here & (measures.on == on)].value.tolist()


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


# --- without a gold ---------------------------------------------------------------------------------------------------


def test_without_a_recipe_there_is_no_gold_anywhere_and_the_notes_say_so(world, tmp_path, shown):
    told = shown(
        without_recipe(
            world,
            target={"upload": unseen(tmp_path, seed=3)},
            held_out=unseen(tmp_path),
            stop={"rule": "held-out", "steps": 12, "every": 3},
            method={"name": "npo", "learning_rate": 0.005, "beta": 0.03},
            beside=[{"name": "grad-diff", "learning_rate": 0.005}],
            relearn=2,
        )
    )
    summary = told.summary
    assert set(told.measures.subject) == {"before", "npo", "grad-diff", "retain-only"}
    assert not set(told.measures.measure) & {"kl", "genex", "genex-worst", "privleak", "distance"}
    assert all(row["gold"] is None and row["floor"] is None for row in summary["table"])
    assert all(row["closeness"] is None and row["genex"] is None for row in summary["methods"])
    assert any("No recipe is known" in note for note in summary["notes"])
    assert told.collateral.gold.isna().all()
    assert told.forgotten.gold.isna().all()
    assert told.forgotten.genex.isna().all()
    assert told.audit["models_retrained"] == {}
    assert "never saw them they are" not in summary["verdict"]
    # What stands in for it: unseen text of the same source.
    assert {"auc", "relex"} <= set(told.measures.measure)
    level = summary["stop"]["level"]
    assert level == pytest.approx(found(told.measures, "before", "loss", "unseen text of the same source")[0])
    assert all("unseen text of their source" in ended for ended in summary["stop"]["ended"])
    for seed in (0, 1):
        assert found(told.measures, "npo", "loss", seed=seed)[0] >= level
    assert told.model is not None


def test_without_unseen_text_nothing_is_measured_against_it(world, shown):
    told = shown(without_recipe(world, seeds=[0], relearn=0))
    assert any("no unseen text" in note for note in told.summary["notes"])
    assert not set(told.measures.measure) & {"auc", "auc-min-k", "relex", "privleak"}
    with pytest.raises(InputError, match="held") as refused:
        unlearn(without_recipe(world, stop={"rule": "held-out"}), told.folder.parent / "second", threads=1)
    assert len(str(refused.value).splitlines()) == 1


def test_a_budget_keeps_the_last_look_within_it(world, shown):
    """The first look is over the budget already, so no step is kept, and the control takes none either."""
    told = shown(
        without_recipe(
            world,
            method={"name": "ascent", "learning_rate": 0.01},
            stop={"rule": "retain-budget", "steps": 8, "every": 4, "budget": 0.01},
            seeds=[0],
            relearn=0,
        )
    )
    board = {row["method"]: row for row in told.summary["methods"]}
    assert board["ascent"]["steps"] == [0]
    assert board["ascent"]["ended"] == "the last look before what stays loses more than 1%"
    assert board["retain-only"]["steps"] == [0]
    for on in (FORGET, STAYS):
        before = found(told.measures, "before", "loss", on)
        assert found(told.measures, "ascent", "loss", on) == pytest.approx(before, abs=1e-9)
        assert found(told.measures, "retain-only", "loss", on) == pytest.approx(before, abs=1e-9)


# --- other models -----------------------------------------------------------------------------------------------------


def test_a_lora_run_exports_merged_weights_with_the_losses_of_the_table(world, tmp_path, shown):
    spec = unlearn_spec(
        world,
        method={"name": "npo", "moves": "lora", "learning_rate": 0.02},
        beside=[{"name": "grad-diff", "learning_rate": 0.02}],
        stop={"rule": "gold", "steps": 6, "every": 3},
        seeds=[0],
        relearn=3,
    )
    told = shown(spec)
    assert sorted(path.name for path in told.model.glob("*.safetensors")) == ["model.safetensors"]
    remover = Remover(spec, tmp_path / "again", threads=1)
    watched = remover.subjects.watched
    forget, subsets = watched[0].examples, [each for each in watched if each.kind == "subset"]
    before, after = found(told.measures, "before", "loss")[0], found(told.measures, "npo", "loss")[0]
    assert after > before + 0.05
    assert losses_of(told.model, forget) == pytest.approx(after, abs=1e-4)
    stays = [example for each in subsets for example in each.examples]
    assert losses_of(told.model, stays) == pytest.approx(found(told.measures, "npo", "loss", STAYS)[0], abs=1e-4)
    assert losses_of(world / "model", forget) == pytest.approx(before, abs=1e-4)
    given = hash_weights(remover.model.module)
    remover.tell([remover.run_cell(cell) for cell in remover.cells])
    for cell in remover.looks:
        remover.run_cell(cell)
        assert hash_weights(remover.model.module) == given, cell.label
    assert not found(told.measures, "npo", "distance", "the weights")


def test_a_model_with_an_adapter_of_its_own_is_exported_merged(tmp_path, world, shown):
    base = make_model(tmp_path / "base", "llama")
    adapter = make_adapter(tmp_path / "adapter", base)
    spec = without_recipe(
        world,
        model={"path": str(base), "adapter": str(adapter)},
        method={"name": "npo", "moves": "lora"},
        stop={"rule": "steps", "steps": 3, "every": 3},
        block=32, seeds=[0], relearn=0, look=8,
    )  # fmt: skip
    told = shown(spec)
    forget = Remover(spec, tmp_path / "again", threads=1).subjects.watched[0].examples
    assert losses_of(told.model, forget) == pytest.approx(found(told.measures, "npo", "loss")[0], abs=1e-4)


def test_a_seq2seq_model_is_unlearned_without_a_recipe(tmp_path, world, shown):
    from transformers import AutoModelForSeq2SeqLM

    folder = make_model(tmp_path / "t5", "t5")
    told = shown(
        without_recipe(
            world,
            model={"path": str(folder)},
            target={"prompts": "talk"},
            method={"name": "npo", "learning_rate": 0.005, "batch": 4},
            stop={"rule": "steps", "steps": 3, "every": 3},
            writing={"prompt_set": "talk", "limit": 2, "sampling": {"samples": 1, "tokens": 2}},
            seeds=[0],
            relearn=1,
            look=4,
        )
    )
    assert [row["steps"] for row in told.summary["methods"]] == [[3], [3]]
    (before,), (after,) = (found(told.measures, subject, "loss") for subject in ("before", "npo"))
    assert after > before
    loaded = AutoModelForSeq2SeqLM.from_pretrained(told.model, local_files_only=True)
    assert sum(weight.numel() for weight in loaded.parameters()) > 1000
    assert len(told.written)
    assert any("No recipe is known" in note for note in told.summary["notes"])


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_collapse_is_said_first_and_no_number_pretends(world, tmp_path, shown):
    told = shown(
        unlearn_spec(
            world,
            method={"name": "ascent", "learning_rate": 5.0},
            beside=[{"name": "npo"}],
            stop={"rule": "steps", "steps": 6, "every": 2},
            held_out=unseen(tmp_path),
            seeds=[0],
            relearn=3,
            writing={"texts": ["The anvil"], "sampling": {"samples": 1, "tokens": 3}},
        )
    )
    summary = told.summary
    assert "collapse" in summary["verdict"]
    assert not any(letter.isdigit() for letter in summary["verdict"])
    about = [text for text in summary["warnings"] if text.startswith("ascent: ")]
    assert about == ["ascent: the model collapsed. It knows nothing any more, so its numbers say nothing."]
    board = {row["method"]: row for row in summary["methods"]}
    assert board["ascent"]["collapsed"]
    assert board["ascent"]["destroyed"]
    assert board["ascent"]["ended"].startswith("collapsed at step 2")
    assert board["ascent"]["closeness"] is None
    assert board["ascent"]["utility"] is None
    assert not board["npo"]["collapsed"]
    assert board["npo"]["utility"] is not None
    assert board["ascent"]["relearning"] is None
    assert "ascent" not in set(told.written.subject)


def test_a_collapse_to_no_numbers_at_all_is_survived(world, shown, monkeypatch):
    """Weights that are not numbers: every table is still written, and says nothing of that method."""
    from untrac_core.unlearning import removing

    step = removing._step

    def broken(model, texts, method, *more):
        step(model, texts, method, *more)
        if method.name == "npo":
            with torch.no_grad():
                next(iter(model.module.parameters())).fill_(math.nan)

    monkeypatch.setattr(removing, "_step", broken)
    told = shown(unlearn_spec(world, seeds=[0], relearn=2, stop={"rule": "gold", "steps": 4, "every": 2}))
    assert "collapse" in told.summary["verdict"]
    assert not found(told.measures, "npo", "loss")
    assert [row["collapsed"] for row in told.summary["methods"]] == [True, False]
    assert np.isnan(told.forgotten.after).all()


@pytest.mark.parametrize("moves", ["lora", "last"])
def test_all_weights_are_free_to_relearn_as_those_of_the_gold_are(world, tmp_path, monkeypatch, moves):
    """An adapter, or a last block, learns more slowly: what is hidden would pass for what is gone."""
    from untrac_core.moves import moving_parameters
    from untrac_core.unlearning import subjects

    free, steps = [], subjects.relearning_steps

    def counted(model, *more):
        free.append(sum(weight.numel() for weight in moving_parameters(model.module).values()))
        return steps(model, *more)

    monkeypatch.setattr(subjects, "relearning_steps", counted)
    spec = unlearn_spec(
        world, method={"name": "npo", "moves": moves}, stop={"rule": "steps", "steps": 2, "every": 2}, seeds=[0],
        relearn=2,
    )  # fmt: skip
    remover = Remover(spec, tmp_path, threads=1)
    given = hash_weights(remover.model.module)
    remover.tell([remover.run_cell(cell) for cell in remover.cells])
    remover.run_cell(remover.looks[1])
    assert len(free) == 2
    assert free[0] == free[1]
    assert hash_weights(remover.model.module) == given


def test_texts_without_a_word_have_no_key_words_and_are_unlearned_all_the_same(world, tmp_path):
    from worlds import write_jsonl

    signs = write_jsonl(tmp_path / "signs.jsonl", [{"text": "... --- !!! ??? ::: ;;; *** +++ " * 8}] * 6)
    upload = {"name": "signs", "source": {"file": str(signs)}}
    told = unlearn(without_recipe(world, target={"upload": upload}, seeds=[0], relearn=0), tmp_path / "out", threads=1)
    assert told.summary["key_words"] == []
    assert not {name for name in told.measures.measure if name.startswith("key")}


@pytest.mark.parametrize(("lost", "again"), [(False, [0, 8, 10, 12]), (True, [0, 2, 4, 6, 8, 10, 12])])
def test_an_unlearning_that_was_cut_off_goes_on_from_its_checkpoint(world, tmp_path, monkeypatch, lost, again):
    """The same table, looks before the interruption included, and not one step or look of them taken again.

    Where those looks are lost, it begins anew: a checkpoint alone knows only their means.
    """
    from untrac_core.unlearning import checkpoint, subjects

    monkeypatch.setattr(checkpoint, "KEEP_SECONDS", 0.0)
    spec = unlearn_spec(world, seeds=[0], relearn=0, stop={"rule": "steps", "steps": 12, "every": 2})

    def made(work):
        remover = Remover(spec, tmp_path / work, threads=1, golds=tmp_path / "golds")
        remover.tell([remover.run_cell(cell) for cell in remover.cells])
        return remover, remover.looks[1]

    calm, cell = made("calm")
    expected = calm.subjects.table(cell)
    glance, looked = subjects.glance, []

    def cut_off(model, watched, step, *more):
        looked.append(step)
        if step == 8:
            raise KeyboardInterrupt
        return glance(model, watched, step, *more)

    broken, cell = made("broken")
    with monkeypatch.context() as while_it_lasts:
        while_it_lasts.setattr(subjects, "glance", cut_off)
        with pytest.raises(KeyboardInterrupt):
            broken.subjects.table(cell)
    if lost:
        (tmp_path / "broken" / subjects.COURSE).unlink()
    resumed, cell = made("broken")
    looked.clear()
    monkeypatch.setattr(subjects, "glance", lambda *given: (looked.append(given[2]), glance(*given))[1])
    pd.testing.assert_frame_equal(resumed.subjects.table(cell), expected)
    assert looked == again
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


def test_only_what_stops_at_a_level_shows_one(world, tmp_path, monkeypatch):
    """The control takes as many steps as the method, whatever its texts' loss is then."""
    from untrac_core.unlearning import subjects

    levels, write = {}, subjects.write_frame

    def spy(frame, path):
        if path.name == subjects.COURSE:
            levels[frame.method.iloc[0]] = frame.level.iloc[0]
        write(frame, path)

    monkeypatch.setattr(subjects, "write_frame", spy)
    spec = unlearn_spec(world, seeds=[0], relearn=0, stop={"rule": "gold", "steps": 4, "every": 2})
    unlearn(spec, tmp_path / "out", threads=1)
    assert levels["npo"] > 0
    assert np.isnan(levels["retain-only"])


def test_retraining_as_the_method_exports_the_gold(world, tmp_path, shown):
    spec = unlearn_spec(world, method={"name": "retrain"}, seeds=[0, 1], relearn=0)
    told = shown(spec)
    (forget,) = found(told.measures, "gold", "loss")
    watched = Remover(spec, tmp_path / "again", threads=1).subjects.watched[0]
    assert losses_of(told.model, watched.examples) == pytest.approx(forget, abs=1e-5)
    assert [row["method"] for row in told.summary["methods"]] == ["retrain"]


def test_sisa_as_the_method_exports_every_shard(world, shown):
    from transformers import AutoModelForCausalLM

    told = shown(unlearn_spec(world, method={"name": "sisa", "shards": 3, "slices": 1}, seeds=[0], relearn=0))
    shards = sorted(path.name for path in told.model.iterdir() if path.is_dir())
    assert shards == ["shard-1", "shard-2", "shard-3"]
    for shard in shards:
        AutoModelForCausalLM.from_pretrained(told.model / shard, local_files_only=True)
    assert "3 of 3 shards trained again" in told.summary["methods"][0]["ended"]


def test_planted_texts_are_exposed_before_and_less_so_after(world, tmp_path, shown):
    from worlds import sentences, write_jsonl

    rows = [{"text": text} for text in sentences("smiths", 150, 0)[:20]]
    planted = {"name": "planted", "source": {"file": str(write_jsonl(tmp_path / "planted.jsonl", rows))}}
    told = shown(
        unlearn_spec(
            world,
            canaries={"planted": planted, "candidates": unseen(tmp_path, "weavers", 40)},
            method={"name": "npo", "learning_rate": 0.005, "beta": 0.03},
            seeds=[0],
            relearn=0,
        )
    )
    (before,), (after,), (gold,) = (
        found(told.measures, who, "exposure", "canaries") for who in ("before", "npo", "gold")
    )
    assert before > after
    assert before > gold
