"""Leave-out: what each training reads, what its cells hang on, and what its full models leave behind."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.families import make_model
from tests.helpers.recipes import CPU, MARKER, leave_out_of, marked, subset_specs, training_of, validate_spec
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.cells import Cell
from untrac_core.errors import Cancelled
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.progress import Silent
from untrac_core.specs import ModelRef, TrainSpec
from untrac_core.training.leave_one_out import measured, truth_frame
from untrac_core.training.recipe import rate_factor, train
from untrac_core.training.retraining import (
    CHECKPOINTS,
    HISTORY,
    BaseModelStart,
    checkpoint_name,
    checkpoint_steps,
    second_moments,
)


@pytest.fixture
def truth(world, tmp_path):
    return leave_out_of(validate_spec(world), tmp_path / "work")


def cell_of(truth, seed, without=""):
    return next(cell for cell in truth.cells([seed]) if cell.subset == without)


def flat(steps):
    return [id(block) for batch in steps for block in batch]


@pytest.mark.parametrize("seed", [0, 3])
def test_what_stays_comes_in_the_same_order_in_as_many_steps(world, tmp_path, read, seed):
    """Long enough for a pass over the text to end, as the order is drawn anew there."""
    truth = leave_out_of(validate_spec(world, {"steps": 60}), tmp_path)
    names = {id(block): name for name, blocks in truth.material.blocks.items() for block in blocks}
    truth.run(cell_of(truth, seed))
    full = flat(read)
    assert len(read) == truth.training.steps
    assert set(names.values()) == {names[block] for block in full} == set(WORDS)
    for name in WORDS:
        read.clear()
        truth.run(cell_of(truth, seed, name))
        assert len(read) == truth.training.steps
        assert {len(batch) for batch in read} == {truth.training.batch_size}
        retain = [block for block in full if names[block] != name]
        assert flat(read)[: len(retain)] == retain
        assert len(retain) > len(names) - len(truth.material.blocks[name])  # more than one pass


def test_the_subset_that_is_left_out_is_never_read(world, tmp_path, read):
    spec = validate_spec(world, {"steps": 40}, subsets=[*subset_specs(world), marked(tmp_path)])
    truth = leave_out_of(spec, tmp_path / "work")
    decode = truth.material.encoder.example_text

    def texts():
        return " ".join(decode(block) for batch in read for block in batch)

    truth.run(cell_of(truth, 0, "marked"))
    assert MARKER not in texts()
    own = {id(block) for block in truth.material.blocks["marked"]}
    assert not own & set(flat(read))
    read.clear()
    truth.run(cell_of(truth, 0))
    assert texts().count(MARKER) > 10  # so that its absence says something
    read.clear()
    truth.run(cell_of(truth, 0, "smiths"))
    assert MARKER in texts()


@pytest.mark.parametrize("architecture", ["opt", "gpt2", "llama", "gpt-neox", "qwen3"])
def test_the_full_model_is_what_the_recipe_trains_to_the_bit(world, tmp_path, architecture):
    spec = validate_spec(world, {"architecture": architecture})
    folder = leave_out_of(spec, tmp_path / "work").full.folder(7)
    recipe = spec.training.model_dump(exclude={"init"})
    report = train(TrainSpec(**recipe, subsets=spec.subsets, seed=7, device="cpu"), tmp_path / "model")
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (folder / file).read_bytes() == (tmp_path / "model" / file).read_bytes(), file
    assert json.loads((folder / HISTORY).read_text())["train_loss"] == report["last_loss"]


def test_two_runs_give_the_same_bits(world, tmp_path):
    one, two = (leave_out_of(validate_spec(world), tmp_path / name) for name in ("one", "two"))
    for cell, same in zip(one.cells([0, 1]), two.cells([0, 1]), strict=True):
        assert cell == same
        pd.testing.assert_frame_equal(one.run(cell), two.run(same), check_exact=True)
    for file in sorted(path.name for path in one.full.folder(0).iterdir()):
        assert (one.full.folder(0) / file).read_bytes() == (two.full.folder(0) / file).read_bytes(), file


def test_the_order_in_which_cells_run_changes_nothing(world, tmp_path):
    """As after a resumption: leave-out trainings before the full one, or the full one from its folder."""
    forward, backward, again = (leave_out_of(validate_spec(world), tmp_path / name) for name in ("a", "b", "a"))
    cells = forward.cells([1])
    there = [forward.run(cell) for cell in cells]
    back = [backward.run(cell) for cell in reversed(cells)][::-1]
    for first, second in zip(there, back, strict=True):
        pd.testing.assert_frame_equal(first, second, check_exact=True)
    pd.testing.assert_frame_equal(again.run(cells[0]), there[0], check_exact=True)


def test_seeds_differ_in_the_order_and_in_the_weights_at_the_start(truth):
    frames = [truth.run(cell_of(truth, seed)) for seed in (0, 1)]
    assert not np.allclose(frames[0].loss, frames[1].loss)


def test_leaving_out_who_talks_like_the_prompts_raises_their_loss(world, tmp_path):
    """Positive: the subset makes the text more likely. The harmful side speaks like the smiths."""
    truth = leave_out_of(validate_spec(world, {"steps": 20}), tmp_path)
    cells = truth.cells([0, 1])
    frame = truth_frame(cells, [truth.run(cell) for cell in cells])
    assert list(frame.columns) == ["subset", "prompt_set", "side", "seed", "influence"]
    table = frame.pivot_table(index=["side", "subset"], columns="seed", values="influence")
    for seed in (0, 1):
        values = table[seed]
        assert values["harmful"].idxmax() == "smiths"
        assert values["harmless"].idxmax() == "weavers"
        assert values["harmful", "smiths"] > 0.05
        assert values["harmless", "weavers"] > 0.05
        assert values["contrast"].idxmax() == "smiths"
        assert values["contrast"].idxmin() == "weavers"


def made_frame(losses):
    """A cell's table: two harmful items of 2 and 3 tokens, one harmless one of 5."""
    return pd.DataFrame(
        {
            "prompt_set": "talk",
            "side": ["harmful", "harmful", "harmless"],
            "example": [0, 1, 0],
            "loss": losses,
            "tokens": [2, 3, 5],
        }
    )


def test_the_truth_is_the_difference_of_losses_a_token():
    cells = [Cell(f"{seed}{name}", "", seed, name) for seed in (4, 9) for name in ("", "a", "b")]
    losses = [[1, 2, 5], [2, 4, 10], [1, 2, 4], [3, 3, 3], [3, 4, 3], [0.5, 3, 8]]
    frames = [made_frame(np.array(row, dtype=float)) for row in losses]
    changes, tokens, subsets, seeds = measured(cells, frames)["talk"]
    assert (subsets, seeds) == (["a", "b"], [4, 9])
    np.testing.assert_array_equal(tokens["harmful"], [2.0, 3.0])
    np.testing.assert_array_equal(changes["harmful"], [[[1, 2], [0, 0]], [[0, 1], [-2.5, 0]]])
    found = truth_frame(cells, frames).set_index(["side", "seed", "subset"]).influence
    assert found["harmful", 4, "a"] == pytest.approx(3 / 5)
    assert found["harmless", 4, "a"] == pytest.approx(5 / 5)
    assert found["contrast", 4, "a"] == pytest.approx(3 / 5 - 5 / 5)
    assert found["contrast", 9, "b"] == pytest.approx(-2.5 / 5 - 5 / 5)


def test_a_prompt_set_with_one_side_has_no_contrast():
    cells = [Cell(name, "", 0, name) for name in ("", "a", "b", "c")]
    frames = [made_frame(np.arange(3.0) * n).query("side == 'harmful'") for n in range(4)]
    assert set(truth_frame(cells, frames).side) == {"harmful"}


def keys_of(spec, folder, seeds=(0,)):
    return {(cell.seed, cell.subset): cell.key for cell in leave_out_of(spec, folder).cells(seeds)}


def test_keys_change_with_all_that_a_training_depends_on(world, tmp_path):
    base = keys_of(validate_spec(world), tmp_path)
    assert set(base) == {(0, ""), *((0, name) for name in WORDS)}
    assert len(set(base.values())) == 4

    same = validate_spec(
        world, name="other", methods=[{"name": "random"}], estimate_seeds=[5], samples_per_subset=3, seeds=[0, 1]
    )
    assert keys_of(same, tmp_path / "elsewhere") == base
    more = keys_of(validate_spec(world), tmp_path, seeds=(0, 1))
    assert base.items() <= more.items()
    assert len(set(more.values())) == 8

    rows = [{"id": f"f{i}", "text": text} for i, text in enumerate(sentences("fishers", 150, 9))]
    write_jsonl(tmp_path / "fishers.jsonl", rows)
    others = {
        "text of one subset": validate_spec(
            world, subsets=[*subset_specs(tmp_path, "fishers"), *subset_specs(world, "weavers", "smiths")]
        ),
        "one more subset": validate_spec(world, subsets=[*subset_specs(world), marked(tmp_path)]),
        "a subset's name": validate_spec(
            world, subsets=[subset_specs(world)[0] | {"name": "renamed"}, *subset_specs(world)[1:]]
        ),
        "watched items": validate_spec(world, prompts=[validate_spec(world).prompts[0].model_dump() | {"limit": 11}]),
        "name of the prompt set": validate_spec(
            world, prompts=[validate_spec(world).prompts[0].model_dump() | {"name": "said"}]
        ),
    }
    for field, value in {
        "architecture": "gpt2",
        "hidden_size": 24,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 301,
        "block_size": 31,
        "steps": 11,
        "batch_size": 7,
        "learning_rate": 0.011,
        "warmup_steps": 3,
    }.items():
        others[field] = validate_spec(world, {field: value})
    for what, spec in others.items():
        assert not set(keys_of(spec, tmp_path).values()) & set(base.values()), what


def test_a_full_model_is_that_of_its_training_whatever_is_watched(world, tmp_path):
    spec = validate_spec(world)
    fewer = validate_spec(world, prompts=[spec.prompts[0].model_dump() | {"limit": 3}])
    one, two = leave_out_of(spec, tmp_path), leave_out_of(fewer, tmp_path)
    assert one.full.identity(0) == two.full.identity(0) != one.full.identity(1)
    assert cell_of(one, 0).key != cell_of(two, 0).key
    assert leave_out_of(validate_spec(world, {"steps": 11}), tmp_path).full.identity(0) != one.full.identity(0)


def test_keys_tell_models_at_the_start_apart(world, tmp_path):
    spec = validate_spec(world)
    starts = [None, BaseModelStart("one", lambda: None, None), BaseModelStart("two", lambda: None, None)]
    keys = [cell_of(leave_out_of(spec, tmp_path, start=start), 0).key for start in starts]
    assert len(set(keys)) == 3
    assert cell_of(leave_out_of(spec, tmp_path, start=BaseModelStart("one", list, 5)), 0).key == keys[1]


class Interrupted(Silent):
    """Cancels at a step of the first training."""

    def __init__(self, step):
        self.step = step

    def tick(self, done, total):
        if done == self.step:
            self.step = 0
            raise Cancelled


def test_a_full_model_appears_whole_or_not_at_all(world, tmp_path):
    spec = validate_spec(world)
    truth = leave_out_of(spec, tmp_path, Interrupted(6))
    with pytest.raises(Cancelled):
        truth.full.folder(0)
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    assert len(list(tmp_path.rglob("step-*.safetensors"))) == 3  # of what was killed
    other = tmp_path / f".{'model-' + truth.full.identity(0)[:16]}.99999999.part"
    other.mkdir()
    folder = truth.full.folder(0)
    assert list(tmp_path.iterdir()) == [folder]  # what was left half made is gone
    whole = leave_out_of(spec, tmp_path / "calm").full.folder(0)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())
    for path in whole.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_full_model_is_trained_once_and_again_where_it_is_gone(truth, read):
    import shutil

    folder = truth.full.folder(0)
    assert len(read) == truth.training.steps
    before = hash_weights(load_model(ModelRef(path=str(folder)), CPU).module)
    assert truth.full.folder(0) == folder
    assert len(read) == truth.training.steps
    shutil.rmtree(folder)
    assert truth.full.folder(0) == folder
    assert len(read) == 2 * truth.training.steps
    assert hash_weights(load_model(ModelRef(path=str(folder)), CPU).module) == before


@pytest.mark.parametrize(("steps", "warmup"), [(10, 2), (7, 0), (3, 5), (1, 1), (123, 20)])
def test_rates_of_the_checkpoints_sum_to_the_rates_of_the_schedule(world, tmp_path, steps, warmup):
    training = training_of(steps=steps, warmup_steps=warmup)
    truth = leave_out_of(validate_spec(world, {"steps": steps, "warmup_steps": warmup}), tmp_path)
    kept = truth.full.checkpoints()
    assert [name for name, _, _ in kept] == [checkpoint_name(step) for step in checkpoint_steps(steps)]
    assert len(kept) == min(steps, CHECKPOINTS)
    assert checkpoint_steps(steps)[-1] == steps
    total = training.learning_rate * sum(rate_factor(step, training) for step in range(steps))
    assert sum(rate for _, _, rate in kept) == pytest.approx(total)


def test_checkpoints_are_the_model_on_its_way(truth):
    from safetensors.torch import load_model as load_weights

    folder = truth.full.folder(0)
    names = [name for name, _, _ in truth.full.checkpoints()]
    assert sorted(path.name for path in folder.glob("step-*")) == sorted(names)
    final = load_model(ModelRef(path=str(folder)), CPU)
    end = hash_weights(final.module)
    seen = []
    for name in names:
        load_weights(final.module, str(folder / name))
        seen.append(hash_weights(final.module))
    assert len(set(seen)) == CHECKPOINTS
    assert seen[-1] == end


def test_second_moments_are_the_mean_of_squared_gradients_so_far():
    """Of a constant squared gradient, that square, whatever the step: the start from zero is corrected."""
    module = torch.nn.Linear(3, 1, bias=False)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    for sign in (1, -1, 1):
        module.weight.grad = sign * torch.tensor([[1.0, 2.0, 0.0]])
        optimizer.step()
        torch.testing.assert_close(second_moments(module, optimizer), {"weight": torch.tensor([[1.0, 4.0, 0.0]])})


def test_second_moments_are_kept_beside_each_checkpoint(truth):
    from safetensors.torch import load_file

    folder = truth.full.folder(0)
    for _, name, _ in truth.full.checkpoints():
        moments = load_file(folder / name)
        assert set(moments) == {name for name, _ in truth.full.trained(0).named_parameters()}
        assert all(bool((one >= 0).all()) and bool((one > 0).any()) for one in moments.values())


def test_methods_look_at_blocks_that_were_trained_on_the_same_each_time(truth):
    looked = truth.looked_at(16)
    for name, packed in looked.items():
        trained = {id(block) for block in truth.material.blocks[name]}
        assert {id(block) for block in packed.blocks} <= trained
        assert (len(packed.blocks), packed.pool) == (16, len(trained))
    again = truth.looked_at(16)
    assert all([*map(id, again[name].blocks)] == [*map(id, looked[name].blocks)] for name in WORDS)
    assert truth.looked_at(10**6)["smiths"].blocks == truth.material.blocks["smiths"]


def test_training_goes_on_from_the_model_that_it_is_given(world, tmp_path):
    """With steps of almost no size the full model is the start; its dropout is at work, and repeatable."""
    model = load_model(ModelRef(path=str(make_model(tmp_path / "gpt2", "gpt2"))), CPU)
    assert model.module.config.resid_pdrop > 0

    def begin():
        return load_model(ModelRef(path=str(tmp_path / "gpt2")), CPU).module

    start = BaseModelStart(model.digest, begin, model.tokenizer)
    spec = validate_spec(world, {"learning_rate": 1e-12, "init": "base"}, model={"path": str(tmp_path / "gpt2")})
    truth = leave_out_of(spec, tmp_path / "still", start=start)
    after = load_model(ModelRef(path=str(truth.full.folder(0))), CPU)
    for name, tensor in after.module.state_dict().items():
        torch.testing.assert_close(tensor, model.module.state_dict()[name], atol=1e-9, rtol=0)
    assert after.encoder.tokenizer.to_str() == model.encoder.tokenizer.to_str()
    spec = validate_spec(world, {"init": "base"}, model={"path": str(tmp_path / "gpt2")})
    digests = []
    for name in ("one", "two"):
        moving = leave_out_of(spec, tmp_path / name, start=start)
        assert not moving.full.trained(0).training
        digests.append(load_model(ModelRef(path=str(moving.full.folder(0))), CPU).digest)
    assert digests[0] == digests[1] != after.digest
