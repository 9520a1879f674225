"""The exact retrain: what it reads, in which order, what it leaves behind, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import unlearning_lab as lab
from lab_removals import loaded

from untrac_core.data.tokens import Example
from untrac_core.errors import Cancelled, InputError
from untrac_core.leave_out import Start
from untrac_core.models import hash_weights, load_model
from untrac_core.progress import Silent
from untrac_core.specs import ModelRef, Training
from untrac_core.training import build_model, fit
from untrac_core.unlearning import gold as gold_module
from untrac_core.unlearning.gold import Gold

BLOCKS = {name: lab.subset(name)[:40] for name in ("toxic", "polite", "weather")}
TRAINING = Training(**lab.RECIPE.model_dump() | {"steps": 20, "batch": 8, "warmup": 4})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def the_subset(name: str, block: Example) -> bool:
    return name == "toxic"


SINGLE = {("toxic", BLOCKS["toxic"][7].id), ("toxic", BLOCKS["toxic"][8].id), ("weather", BLOCKS["weather"][0].id)}


def some_texts(name: str, block: Example) -> bool:
    return (name, block.id) in SINGLE


def gold_of(work: Path, target=the_subset, *, start=None, progress=None, blocks=BLOCKS, **training) -> Gold:
    model = loaded(build_model(lab.RECIPE, lab.vocabulary(), 0).eval())
    recipe = TRAINING.model_copy(update=training)
    return Gold(recipe, blocks, target, start, model, work, progress or Silent())


def flat(steps: list[list[Example]]) -> list[str]:
    return [block.id for batch in steps for block in batch]


@pytest.mark.parametrize("target", [the_subset, some_texts])
def test_what_is_to_go_is_never_read_and_the_rest_keeps_its_order(tmp_path, read, target):
    gold = gold_of(tmp_path, target, steps=40)  # nearly three passes over the texts
    gold.folder(3, full=True)
    full = flat(read)
    gone = {block.id for name, blocks in BLOCKS.items() for block in blocks if target(name, block)}
    assert len(gone) == {the_subset: 40, some_texts: 3}[target]
    assert gone <= set(full)  # so that its absence says something
    read.clear()
    gold.folder(3)
    assert not gone & set(flat(read))
    assert len(read) == 40
    assert {len(batch) for batch in read} == {8}
    stays = [each for each in full if each not in gone]
    assert flat(read)[: len(stays)] == stays[: len(flat(read))]


@pytest.mark.parametrize("target", [the_subset, some_texts])
def test_it_is_ordinary_training_to_the_bit(tmp_path, target):
    """On everything with ``full``; else without what is to go."""
    gold = gold_of(tmp_path, target)
    for full in (True, False):
        module = build_model(TRAINING, lab.vocabulary(), 5)
        fit(module, BLOCKS, TRAINING, 5, lab.CPU, without=None if full else target)
        assert hash_weights(gold.trained(5, full=full)) == hash_weights(module)
        assert not gold.trained(5, full=full).training
    assert hash_weights(gold.trained(5)) != hash_weights(gold.trained(5, full=True))


def test_a_folder_loads_as_a_model_does(tmp_path):
    gold = gold_of(tmp_path)
    model = load_model(ModelRef(path=str(gold.folder(1))), lab.CPU)
    assert hash_weights(model.module) == hash_weights(gold.trained(1))
    assert model.facts.vocabulary == lab.vocabulary()


def test_a_model_is_trained_once(tmp_path, read):
    gold = gold_of(tmp_path)
    folder = gold.folder(0)
    assert len(read) == TRAINING.steps
    assert gold_of(tmp_path).folder(0) == folder
    gold.trained(0)
    assert len(read) == TRAINING.steps
    gold.discard(0)
    assert not folder.exists()
    gold.folder(0)
    assert len(read) == 2 * TRAINING.steps


class Interrupted(Silent):
    def tick(self, done: int, total: int) -> None:
        if done == 9:
            raise Cancelled


def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    """Interrupted in training, or killed while it is written; what is left half made is gone afterwards."""
    with pytest.raises(Cancelled):
        gold_of(tmp_path, progress=Interrupted()).folder(0)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:

        def half(module, tokenizer, folder):
            (folder / "model.safetensors").write_bytes(b"half")
            raise Cancelled

        patch.setattr(gold_module, "save_model", half)
        with pytest.raises(Cancelled):
            gold_of(tmp_path).folder(0)
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    folder = gold_of(tmp_path).folder(0)
    assert list(tmp_path.iterdir()) == [folder]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


def test_the_models_that_were_looked_at_last_stay(tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(gold_module, "KEPT", 2)
    gold = gold_of(tmp_path, steps=1)
    first, second = gold.folder(0), gold.folder(1)
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    gold.folder(0)
    third = gold.folder(2)
    assert {*tmp_path.iterdir()} == {first, third}


def test_a_recipe_of_another_shape_is_refused(tmp_path):
    gold_of(tmp_path).check()
    for other in ({"hidden": 32}, {"layers": 1}, {"block": 32}, {"architecture": "opt"}):
        with pytest.raises(InputError, match="the recipe makes another model"):
            gold_of(tmp_path, **other).check()
    assert list(tmp_path.iterdir()) == []


def test_training_goes_on_from_a_model_that_it_is_given(tmp_path):
    """With steps of almost no size that model comes out; it is not checked, as it need not be of the recipe's shape."""
    given = build_model(lab.RECIPE, lab.vocabulary(), 77).eval()

    def begin():
        module = build_model(lab.RECIPE, lab.vocabulary(), 77)
        assert next(module.parameters()).device == lab.CPU
        return module

    gold = gold_of(tmp_path, start=Start("digest", begin, None), init="base", learning_rate=1e-12)
    gold.check()
    for name, tensor in gold.trained(0).state_dict().items():
        torch.testing.assert_close(tensor, given.state_dict()[name], rtol=0, atol=1e-6)


def test_identity_stands_for_the_weights(tmp_path):
    base = gold_of(tmp_path)
    known = {base.identity(0), base.identity(1), base.identity(0, full=True)}
    assert len(known) == 3
    others = {
        "texts that are to go": gold_of(tmp_path, some_texts),
        "nothing to go": gold_of(tmp_path, lambda name, block: False),
        "rate": gold_of(tmp_path, learning_rate=0.002),
        "start": gold_of(tmp_path, start=Start("one", lambda: None, None)),
        "another start": gold_of(tmp_path, start=Start("two", lambda: None, None)),
        "fewer texts": gold_of(tmp_path, blocks=BLOCKS | {"polite": BLOCKS["polite"][:-1]}),
        "names": gold_of(tmp_path, blocks={f"{name}s": blocks for name, blocks in BLOCKS.items()}),
    }
    found = {what: gold.identity(0) for what, gold in others.items() if what != "nothing to go"}
    assert len({*found.values(), *known}) == len(found) + 3
    assert others["nothing to go"].identity(0) == base.identity(0, full=True)
    assert others["texts that are to go"].identity(0, full=True) == base.identity(0, full=True)
    assert others["texts that are to go"].left_out() == [list(each) for each in sorted(SINGLE)]


def test_other_tokens_are_another_model(tmp_path):
    changed = [replace(BLOCKS["polite"][0], ids=BLOCKS["polite"][0].ids[::-1].copy()), *BLOCKS["polite"][1:]]
    assert gold_of(tmp_path).identity(0) != gold_of(tmp_path, blocks=BLOCKS | {"polite": changed}).identity(0)
