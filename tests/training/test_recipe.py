import numpy as np
import pytest

from tests.helpers.worlds import WORDS
from untrac_core.errors import InputError
from untrac_core.models.loading import load_model
from untrac_core.specs import ModelRef, Source, Subset, TrainSpec
from untrac_core.specs.files import load_spec
from untrac_core.training.recipe import batch_stream, build_model, prepare, train, train_model


@pytest.fixture
def recipe(world):
    subsets = [Subset(name=name, source=Source(file=str(world / f"{name}.jsonl"))) for name in WORDS]
    return TrainSpec(
        hidden_size=16, num_layers=1, num_heads=2, vocab_size=280, block_size=16, steps=12, batch_size=4,
        warmup_steps=3, subsets=subsets, device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize("architecture", ["opt", "gpt2", "llama", "gpt-neox", "qwen3"])
def test_a_recipe_writes_a_model_that_loads(recipe, tmp_path, architecture):
    spec = recipe.model_copy(update={"architecture": architecture})
    done = train(spec, tmp_path / "m")
    assert done["last_loss"] < done["first_loss"]
    loaded = load_model(ModelRef(path=str(tmp_path / "m")), __import__("torch").device("cpu"))
    assert loaded.facts.parameters > 0
    assert load_spec(tmp_path / "m" / "recipe.yaml") == spec
    assert not list(tmp_path.glob(".*"))


def test_the_same_recipe_gives_the_same_bytes(recipe, tmp_path):
    for name in ("one", "two"):
        train(recipe, tmp_path / name)
    for file in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_folder_with_something_in_it_is_refused(recipe, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        train(recipe, tmp_path)
    assert (tmp_path / "x").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused_before_the_training(recipe, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be made"):
        train(recipe.model_copy(update={"steps": 10**6}), tmp_path / "file" / "model")


def test_subsets_are_cut_to_equal_tokens_and_it_is_said(recipe, tmp_path, world):
    (tmp_path / "short.txt").write_text((world / "smiths.jsonl").read_text()[:3000])
    short = Subset(name="short", source=Source(file=str(tmp_path / "short.txt")))
    material = prepare(recipe.model_copy(update={"subsets": [*recipe.subsets, short]}))
    assert len({len(blocks) for blocks in material.blocks.values()}) == 1
    assert any("equal tokens" in note for note in material.notes)
    free = prepare(recipe.model_copy(update={"subsets": [*recipe.subsets, short], "equal_tokens": False}))
    assert len({len(blocks) for blocks in free.blocks.values()}) > 1


def test_leaving_a_subset_out_keeps_the_order_of_the_rest(recipe):
    material = prepare(recipe)
    total = sum(len(blocks) for blocks in material.blocks.values())
    left_out = {id(block) for block in material.blocks["smiths"]}

    def flat(without, count):
        stream = batch_stream(material.blocks, recipe.batch_size, recipe.seed, without)
        return [id(block) for _ in range(count) for block in next(stream)]

    full = flat(None, 2 * total // recipe.batch_size)
    kept = [block for block in full if block not in left_out]
    assert flat("smiths", len(kept) // recipe.batch_size) == kept[: len(kept) // recipe.batch_size * recipe.batch_size]
    assert sorted(full[:total]) == sorted(id(block) for blocks in material.blocks.values() for block in blocks)


def test_nothing_left_to_train_on(recipe):
    material = prepare(recipe)
    with pytest.raises(InputError, match="nothing is left"):
        next(batch_stream({"smiths": material.blocks["smiths"]}, recipe.batch_size, recipe.seed, "smiths"))


def test_the_rate_warms_up_and_falls_to_zero(recipe):
    import torch

    material = prepare(recipe)
    module = build_model(recipe, material.vocab_size, recipe.seed)
    seen = []
    original = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        seen.append(self.param_groups[0]["lr"])
        return original(self, *args, **kwargs)

    torch.optim.AdamW.step = spy
    try:
        train_model(module, material.blocks, recipe, recipe.seed, torch.device("cpu"))
    finally:
        torch.optim.AdamW.step = original
    assert len(seen) == recipe.steps
    assert np.argmax(seen) == recipe.warmup_steps - 1
    assert seen[-1] == pytest.approx(recipe.learning_rate / (recipe.steps - recipe.warmup_steps))


def read(material, recipe, times, batches):
    """The blocks of so many batches, in their order."""
    stream = batch_stream(material.blocks, recipe.batch_size, recipe.seed, times=times)
    return [id(block) for _ in range(batches) for block in next(stream)]


def test_a_subset_that_is_read_no_times_is_left_out(recipe):
    material = prepare(recipe)
    left_out = batch_stream(material.blocks, recipe.batch_size, recipe.seed, "smiths")
    same = batch_stream(material.blocks, recipe.batch_size, recipe.seed, times={"smiths": 0.0})
    assert [next(same) for _ in range(5)] == [next(left_out) for _ in range(5)]
    with pytest.raises(InputError, match="nothing is left"):
        next(batch_stream(material.blocks, recipe.batch_size, recipe.seed, times=dict.fromkeys(material.blocks, 0.0)))


def test_a_mix_reads_subsets_as_often_as_it_says_and_keeps_the_order_of_the_rest(recipe):
    material = prepare(recipe)
    name, *others = material.blocks
    own = [id(block) for block in material.blocks[name]]
    rest = [id(block) for other in others for block in material.blocks[other]]
    plain = [block for block in read(material, recipe, None, 4 * len(rest) // recipe.batch_size) if block in rest]
    for times in (0.5, 1.5, 2.0):
        seen = read(material, recipe, {name: times}, int(2 * (len(rest) + times * len(own))) // recipe.batch_size)
        kept = [block for block in seen if block in rest]
        assert kept == plain[: len(kept)]
        assert (len(seen) - len(kept)) / len(kept) == pytest.approx(times * len(own) / len(rest), rel=0.25)
        each = [seen.count(block) for block in own]
        assert max(each) <= 2 * times
        assert min(each) >= times - 1, "each is read about equally often in two passes"
