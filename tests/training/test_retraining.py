"""The exact retrain: what it reads, in which order, what it leaves behind, and what it refuses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers.families import make_model
from tests.helpers.lab_unlearning import loaded
from untrac_core.data.tokens import Example
from untrac_core.errors import Cancelled, InputError
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.progress import Silent
from untrac_core.specs import ModelRef, Training
from untrac_core.training import retraining
from untrac_core.training.recipe import build_model, train_model
from untrac_core.training.retraining import BaseModelStart, Retraining

BLOCKS = {name: lab.subset(name)[:40] for name in ("toxic", "polite", "weather")}
TRAINING = Training(**lab.RECIPE.model_dump() | {"steps": 20, "batch_size": 8, "warmup_steps": 4})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def the_subset(name: str, block: Example) -> bool:
    return name == "toxic"


SINGLE = {("toxic", BLOCKS["toxic"][7].id), ("toxic", BLOCKS["toxic"][8].id), ("weather", BLOCKS["weather"][0].id)}


def some_texts(name: str, block: Example) -> bool:
    return (name, block.id) in SINGLE


def retrained_of(work: Path, target=the_subset, *, start=None, progress=None, blocks=BLOCKS, **training) -> Retraining:
    model = loaded(build_model(lab.RECIPE, lab.vocabulary(), 0).eval())
    recipe = TRAINING.model_copy(update=training)
    vocabulary, tokenizer = model.facts.vocab_size, model.tokenizer
    return Retraining(recipe, blocks, vocabulary, start, tokenizer, lab.CPU, work, progress or Silent(), target)


def flat(steps: list[list[Example]]) -> list[str]:
    return [block.id for batch in steps for block in batch]


@pytest.mark.parametrize("target", [the_subset, some_texts])
def test_the_forget_set_is_never_read_and_the_rest_keeps_its_order(tmp_path, read, target):
    retrained = retrained_of(tmp_path, target, steps=40)  # nearly three passes over the texts
    retrained.full.folder(3)
    full = flat(read)
    gone = {block.id for name, blocks in BLOCKS.items() for block in blocks if target(name, block)}
    assert len(gone) == {the_subset: 40, some_texts: 3}[target]
    assert gone <= set(full)  # so that its absence says something
    read.clear()
    retrained.folder(3)
    assert not gone & set(flat(read))
    assert len(read) == 40
    assert {len(batch) for batch in read} == {8}
    retain = [each for each in full if each not in gone]
    assert flat(read)[: len(retain)] == retain[: len(flat(read))]


@pytest.mark.parametrize("target", [the_subset, some_texts])
def test_it_is_ordinary_training_to_the_bit(tmp_path, target):
    """On everything, and without the forget set."""
    retrained = retrained_of(tmp_path, target)
    for one, without in ((retrained.full, None), (retrained, target)):
        module = build_model(TRAINING, lab.vocabulary(), 5)
        train_model(module, BLOCKS, TRAINING, 5, lab.CPU, without=without)
        assert hash_weights(one.trained(5)) == hash_weights(module)
        assert not one.trained(5).training
    assert hash_weights(retrained.trained(5)) != hash_weights(retrained.full.trained(5))


def test_a_folder_loads_as_a_model_does(tmp_path):
    retrained = retrained_of(tmp_path)
    model = load_model(ModelRef(path=str(retrained.folder(1))), lab.CPU)
    assert hash_weights(model.module) == hash_weights(retrained.trained(1))
    assert model.facts.vocab_size == lab.vocabulary()


def test_weights_that_have_another_name_in_files_come_back_as_they_were_trained(tmp_path):
    """GPT-NeoX's output layer: read by the names of memory it would silently stay as it was at the start."""
    family = str(make_model(tmp_path / "neox", "neox"))
    model = load_model(ModelRef(path=family), lab.CPU)
    start = BaseModelStart(model.digest, lambda: load_model(ModelRef(path=family), lab.CPU).module, model.tokenizer)
    short = {name: [replace(b, ids=b.ids % model.facts.vocab_size) for b in blocks] for name, blocks in BLOCKS.items()}
    retrained = replace(
        retrained_of(tmp_path / "work", start=start, blocks=short, init="base"), tokenizer=model.tokenizer
    )
    trained, _ = retrained.train(0)
    assert not torch.equal(trained.lm_head.weight, model.module.lm_head.weight)
    assert hash_weights(retrained.trained(0)) == hash_weights(trained)


def test_a_model_is_trained_once(tmp_path, read):
    retrained = retrained_of(tmp_path)
    folder = retrained.folder(0)
    assert len(read) == TRAINING.steps
    assert retrained_of(tmp_path).folder(0) == folder
    retrained.trained(0)
    assert len(read) == TRAINING.steps
    retrained.discard(0)
    assert not folder.exists()
    retrained.folder(0)
    assert len(read) == 2 * TRAINING.steps


class Interrupted(Silent):
    def tick(self, done: int, total: int) -> None:
        if done == 9:
            raise Cancelled


def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    """Interrupted in training, or killed while it is written; what is left half made is gone afterwards."""
    with pytest.raises(Cancelled):
        retrained_of(tmp_path, progress=Interrupted()).folder(0)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:

        def half(module, tokenizer, folder):
            (folder / "model.safetensors").write_bytes(b"half")
            raise Cancelled

        patch.setattr(retraining, "save_model", half)
        with pytest.raises(Cancelled):
            retrained_of(tmp_path).folder(0)
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    folder = retrained_of(tmp_path).folder(0)
    assert list(tmp_path.iterdir()) == [folder]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


def test_the_models_that_were_looked_at_last_stay(tmp_path):
    retrained = replace(retrained_of(tmp_path, steps=1), room=2)
    first, second = retrained.folder(0), retrained.folder(1)
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    retrained.folder(0)
    third = retrained.folder(2)
    assert {*tmp_path.iterdir()} == {first, third}


def test_a_recipe_of_another_shape_is_refused(tmp_path):
    model = loaded(build_model(lab.RECIPE, lab.vocabulary(), 0).eval())
    retrained_of(tmp_path).check(model)
    for other in ({"hidden_size": 32}, {"num_layers": 1}, {"block_size": 32}, {"architecture": "opt"}):
        with pytest.raises(InputError, match="the recipe makes another model"):
            retrained_of(tmp_path, **other).check(model)
    assert list(tmp_path.iterdir()) == []


def test_training_goes_on_from_a_model_that_it_is_given(tmp_path):
    """With steps of almost no size that model comes out; it is not checked, as it need not be of the recipe's shape."""
    given = build_model(lab.RECIPE, lab.vocabulary(), 77).eval()

    def begin():
        module = build_model(lab.RECIPE, lab.vocabulary(), 77)
        assert next(module.parameters()).device == lab.CPU
        return module

    retrained = retrained_of(tmp_path, start=BaseModelStart("digest", begin, None), init="base", learning_rate=1e-12)
    retrained.check(loaded(given))
    for name, tensor in retrained.trained(0).state_dict().items():
        torch.testing.assert_close(tensor, given.state_dict()[name], rtol=0, atol=1e-6)


def test_identity_stands_for_the_weights(tmp_path):
    base = retrained_of(tmp_path)
    known = {base.identity(0), base.identity(1), base.full.identity(0)}
    assert len(known) == 3
    others = {
        "texts of the forget set": retrained_of(tmp_path, some_texts),
        "nothing to go": retrained_of(tmp_path, lambda name, block: False),
        "rate": retrained_of(tmp_path, learning_rate=0.002),
        "start": retrained_of(tmp_path, start=BaseModelStart("one", lambda: None, None)),
        "another start": retrained_of(tmp_path, start=BaseModelStart("two", lambda: None, None)),
        "fewer texts": retrained_of(tmp_path, blocks=BLOCKS | {"polite": BLOCKS["polite"][:-1]}),
        "names": retrained_of(tmp_path, blocks={f"{name}s": blocks for name, blocks in BLOCKS.items()}),
    }
    found = {what: retrained.identity(0) for what, retrained in others.items() if what != "nothing to go"}
    assert len({*found.values(), *known}) == len(found) + 3
    assert retrained_of(tmp_path, "toxic").identity(0) == base.identity(0)
    assert others["nothing to go"].identity(0) == base.full.identity(0)
    assert others["texts of the forget set"].full.identity(0) == base.full.identity(0)
    assert others["texts of the forget set"].left_out() == [list(each) for each in sorted(SINGLE)]


def test_other_tokens_are_another_model(tmp_path):
    changed = [replace(BLOCKS["polite"][0], ids=BLOCKS["polite"][0].ids[::-1].copy()), *BLOCKS["polite"][1:]]
    assert retrained_of(tmp_path).identity(0) != retrained_of(tmp_path, blocks=BLOCKS | {"polite": changed}).identity(0)
