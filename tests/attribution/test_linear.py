"""UnTrac-Inv as a product of gradients: the right one, from both populations, in every precision, and no other's."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers import families
from untrac_core.attribution.base import BLOCKS, ITEMS
from untrac_core.attribution.example_products import ExampleProducts
from untrac_core.attribution.linear import MICRO, LinearInfluence
from untrac_core.attribution.outcome import method_output
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.models.losses import token_losses
from untrac_core.specs import method_spec
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.ranking import estimates, item_changes, watched_tokens
from untrac_core.tasks.trace.task import TraceTask
from untrac_core.training.vectors import Stack

INV = {"name": "untrac-inv", "samples": 24}
SMALL_STEPS = {
    "preset": "paper",
    "optimizer": "kronecker",
    "target_loss_increase": 0.002,
    "samples": 24,
    "damping": 0.1,
    "steps": 1,
    "eval_points": 1,
    "subsample": 1.0,
    "two_sided": True,
}
"""The finite difference whose limit the product is."""


def tables(request) -> tuple[TraceTask, pd.DataFrame]:
    """A task, and the rows of all its cells with their seeds."""
    task = TraceTask(request)
    frames = [task.run_cell(cell).assign(seed=cell.seed) for cell in task.cells]
    return task, pd.concat(frames, ignore_index=True)


def influence(frame: pd.DataFrame, population: str = BLOCKS) -> pd.Series:
    """Nats per token and micro-step of every (prompt set, side, subset), over all seeds."""
    rows = frame[frame.population == population]
    if population == BLOCKS:  # each seed has every block
        rows = rows.groupby(["prompt_set", "side", "subset", "example"])[["change", "tokens"]].mean().reset_index()
    sums = rows.groupby(["prompt_set", "side", "subset"])[["change", "tokens"]].sum()
    return sums.change / sums.tokens


def contrasts(values: pd.Series) -> np.ndarray:
    return (values.xs("harmful", level="side") - values.xs("harmless", level="side")).to_numpy()


@pytest.mark.parametrize("family", ["opt", "gpt2", "neox", "llama", "qwen", "t5"])
def test_products_are_those_of_each_examples_own_gradient(tmp_path, family):
    """The oracle reads one example at a time, by ordinary gradients."""
    folder = families.make_model(tmp_path / "model", family)
    study = TraceTask(families.request(folder, tmp_path, INV)).study
    study.set_trainable("matrices")
    stack = Stack(study.model.module, 3)
    stack.matrix.copy_(torch.randn(stack.matrix.shape, generator=torch.Generator().manual_seed(0)))
    hashed = hash_weights(study.model.module)
    for examples in (study.all_blocks[:5], study.all_items[:5]):
        reader = ExampleProducts(study.model, stack)
        gathered = torch.zeros_like(stack.matrix[0])
        products, losses = reader(examples, gathered)
        assert reader.by_hooks
        oracle = ExampleProducts(study.model, stack)
        oracle.by_hooks = False
        total = torch.zeros_like(gathered)
        expected, expected_losses = oracle(examples, total)
        np.testing.assert_allclose(products, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
        torch.testing.assert_close(gathered, total, rtol=1e-3, atol=1e-4 * float(total.abs().max()))
    assert hash_weights(study.model.module) == hashed


@pytest.mark.parametrize("trainable", ["last_layers", "lora"])
def test_hooks_read_what_moves_and_nothing_else(request_of, trainable):
    study = TraceTask(request_of(INV | {"trainable": trainable})).study
    stack = Stack(study.model.module, 2)
    stack.matrix.copy_(torch.randn(stack.matrix.shape, generator=torch.Generator().manual_seed(0)))
    reader, oracle = ExampleProducts(study.model, stack), ExampleProducts(study.model, stack)
    oracle.by_hooks = False
    products, _ = reader(study.all_blocks[:4])
    assert reader.by_hooks
    expected, _ = oracle(study.all_blocks[:4])
    np.testing.assert_allclose(products, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_layer_that_hooks_misread_is_read_by_ordinary_gradients(request_of, monkeypatch):
    study = TraceTask(request_of(INV)).study
    study.set_trainable("matrices")
    layer = next(part for part in study.model.module.modules() if isinstance(part, torch.nn.Linear))
    monkeypatch.setattr(layer, "forward", lambda x: torch.nn.functional.linear(2 * x, layer.weight, layer.bias))
    stack = Stack(study.model.module, 1)
    stack.matrix.fill_(1.0)
    reader = ExampleProducts(study.model, stack)
    products, _ = reader(study.all_blocks[:3])
    assert reader.by_hooks is False
    assert products.shape == (3, 1)


def test_blocks_and_items_add_up_to_the_same_influence(request_of):
    _, frame = tables(request_of(INV, seeds=[3, 1, 2]))
    by_blocks, by_items = influence(frame), influence(frame, ITEMS)
    np.testing.assert_allclose(by_blocks, by_items, rtol=1e-4, atol=1e-4 * by_blocks.abs().max())
    items = frame[(frame.population == ITEMS) & (frame.subset == "smiths")]
    assert sorted(items.query("side == 'harmful'").example) == list(range(40)), "every item stands in one seed's part"


def test_seeds_only_deal_the_items(request_of):
    one, three = (influence(tables(request_of(INV, seeds=seeds))[1]) for seeds in ([0], [5, 6, 7]))
    np.testing.assert_allclose(one, three, rtol=1e-4, atol=1e-5 * one.abs().max())


def test_it_is_the_limit_of_small_steps(request_of):
    product = influence(tables(request_of(INV, seeds=[0]))[1])
    stepped = TraceTask(request_of({"name": "untrac-inv", **SMALL_STEPS}, seeds=[0]))
    size = next(iter(stepped.panel.methods.values())).scaled(stepped.study).size
    frames = pd.concat([stepped.run_cell(cell) for cell in stepped.cells], ignore_index=True)
    sums = frames[frames.step == 1].groupby(["prompt_set", "side", "subset"])[["change", "tokens"]].sum()
    by_steps = sums.change / sums.tokens * (MICRO / size)
    np.testing.assert_allclose(by_steps, product, atol=0.02 * product.abs().max())


def test_untrac_tends_to_the_same_number(request_of):
    product = influence(tables(request_of(INV, seeds=[0]))[1])
    stepped = TraceTask(request_of({"name": "untrac", **SMALL_STEPS, "batch_size": 10_000}, seeds=[0]))
    size = next(iter(stepped.panel.methods.values())).scaled(stepped.study).size
    frames = pd.concat([stepped.run_cell(cell) for cell in stepped.cells], ignore_index=True)
    sums = frames[frames.step == 1].groupby(["prompt_set", "side", "subset"])[["change", "tokens"]].sum()
    np.testing.assert_allclose(sums.change / sums.tokens * (MICRO / size), product, atol=0.03 * product.abs().max())


@pytest.mark.parametrize(("dtype", "least"), [("bfloat16", 0.999), ("float16", 0.9999)])
def test_half_precision_gives_the_same_numbers(request_of, world, dtype, least):
    """Contrasts too: a difference of two like numbers, which steps of half precision drown in rounding."""
    exact = influence(tables(request_of(INV))[1])
    half = influence(tables(request_of(INV, model={"path": str(world / "model"), "dtype": dtype}))[1])
    assert np.corrcoef(half, exact)[0, 1] > least
    assert np.corrcoef(contrasts(half), contrasts(exact))[0, 1] > least
    np.testing.assert_allclose(half, exact, atol=0.03 * exact.abs().max())


def test_another_prompt_set_changes_nothing(request_of):
    alone = request_of(INV)
    second = alone.prompts[0].model_copy(update={"name": "more", "limit": 10})
    first = influence(tables(alone)[1])
    both = influence(tables(alone.model_copy(update={"prompts": [second, *alone.prompts]}))[1])
    np.testing.assert_allclose(both["talk"], first["talk"], rtol=1e-5, atol=1e-6 * first.abs().max())


def test_what_does_not_fit_at_once_is_read_in_parts(request_of, monkeypatch):
    whole = influence(tables(request_of(INV))[1])
    monkeypatch.setattr(LinearInfluence, "budget_mb", 0.0)  # one direction at a time
    parts = influence(tables(request_of(INV))[1])
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5 * whole.abs().max())


def test_equal_subsets_get_equal_numbers(request_of):
    spec = request_of(INV)
    twin = spec.subsets[0].model_copy(update={"name": "twin"})
    found = influence(tables(spec.model_copy(update={"subsets": [*spec.subsets, twin]}))[1]).unstack("subset")
    np.testing.assert_allclose(found["twin"], found[spec.subsets[0].name], rtol=1e-6)


def test_tokens_add_up_to_their_text(request_of):
    task, frame = tables(request_of(INV))
    method = next(iter(task.panel.methods.values()))
    side = next(part for part in task.study.prompt_parts() if part.side == "harmful")
    blocks = task.study.subsets["smiths"].blocks[:4]
    before, change = method.token_changes(task.study, side, blocks)
    ends = np.cumsum([block.tokens for block in blocks])
    rows = frame[(frame.population == BLOCKS) & (frame.subset == "smiths") & (frame.side == "harmful")]
    expected = rows.groupby("example").change.mean().to_numpy()[:4]
    summed = np.add.reduceat(change, [0, *ends[:-1]])
    np.testing.assert_allclose(summed, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    study = task.study
    losses = token_losses(study.model.module, blocks, study.model.device, study.model.facts.vocab_size)
    np.testing.assert_allclose(before, losses, rtol=1e-4, atol=1e-5)


def test_the_interval_is_that_of_blocks_and_items_and_needs_no_seeds(request_of, tmp_path):
    task = TraceTask(request_of(INV, seeds=[0]))
    frames = [task.run_cell(cell) for cell in task.cells]
    outcome = method_output(task.study, next(iter(task.panel.methods.values())), "it", task.cells, frames)
    found = estimates(outcome)["talk", "harmful"]["smiths"]
    assert found.exact
    # Against the mean of all subsets, each of which has noise of its own.
    assert {name: len(values) for name, values in found.residuals.items()} == {
        **{f"subset {name}": clusters.here for name, clusters in task.study.block_clusters.items()},
        "prompts talk harmful": 40,
    }
    low, high = found.interval()
    assert low < found.value < high
    means = {
        subset: changes.sum() / tokens.sum()
        for (subset, _, side), (changes, tokens) in item_changes(outcome).items()
        if side == "harmful"
    }
    assert 0.5 * (means["smiths"] - np.mean(list(means.values()))) == pytest.approx(found.value, rel=1e-4)
    assert watched_tokens(outcome)["smiths", "talk", "harmful"].sum() == task.study.subsets["smiths"].tokens
    result = trace(request_of(INV, seeds=[0]), tmp_path)
    assert result.ranking("talk", "harmful").low.notna().all()
    assert result.summary["verdicts"][0]["top"] == "smiths"


def test_its_groups_add_up_to_the_side(request_of, tmp_path):
    result = trace(request_of(INV), tmp_path)
    table = result.groups("talk", "harmful")
    groups = table.groupby("subset").influence.mean()
    ranking = result.ranking("talk", "harmful").set_index("subset").influence
    assert set(table.group) == {"g0", "g1"}
    np.testing.assert_allclose(groups[ranking.index], ranking, rtol=0.1)


@pytest.mark.parametrize("setting", ["steps", "target_loss_increase", "subsample", "eval_points"])
def test_a_setting_of_steps_is_refused(setting):
    with pytest.raises(InputError, match=f"'{setting}' has no effect on UnTrac-Inv with preset 'robust'"):
        LinearInfluence(method_spec("untrac-inv", **{setting: 1}))
