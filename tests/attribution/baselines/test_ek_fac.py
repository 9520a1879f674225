"""EK-FAC against the library's own scores, against the Fisher matrix written out, and where it cannot run."""

from __future__ import annotations

import re
import sys
from importlib import import_module

import numpy as np
import pytest
import torch

from tests.helpers.ek_fac_studies import KRONFLUENCE, SPEC, drawn_from, folds_of, scores_of, study_of, tiny_model
from tests.helpers.families import FAMILIES
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.attribution.base import AttributionContext, ModelIdentity
from untrac_core.attribution.baselines.ek_fac import EkFac
from untrac_core.attribution.baselines.gradients import FOLDS
from untrac_core.attribution.baselines.kronfluence_factors import (
    INSTALL,
    BlockLosses,
    fit_factors,
    linear_twin,
    tracked_layers,
    undisturbed,
)
from untrac_core.errors import Cancelled, InputError
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.models.losses import batch_losses
from untrac_core.specs import ModelRef, Source, Subset, TrainSpec, method_spec
from untrac_core.training.recipe import train


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A two-layer Llama trained on the three subsets."""
    folder = tmp_path_factory.mktemp("llama")
    subsets = []
    for name in WORDS:
        rows = [{"text": text} for text in sentences(name, 150, 0)]
        source = Source(file=str(write_jsonl(folder / f"{name}.jsonl", rows)))
        subsets.append(Subset(name=name, source=source))
    recipe = TrainSpec(
        architecture="llama", hidden_size=16, num_layers=2, num_heads=2, vocab_size=300, block_size=32, steps=40,
        batch_size=8, warmup_steps=10, learning_rate=0.01, subsets=subsets, device="cpu",
    )  # fmt: skip
    train(recipe, folder / "model")
    return load_model(ModelRef(path=str(folder / "model")), torch.device("cpu"))


@KRONFLUENCE
@pytest.mark.parametrize("head", [False, True])
def test_scores_equal_those_of_the_library_itself(llama, tmp_path, head):
    """The library's aggregated pairwise scores: its own hooks, its own gradients, its own dot products."""
    arguments, analysis = import_module("kronfluence.arguments"), import_module("kronfluence.analyzer")
    study = study_of(llama, seeds=[0])
    ours = scores_of(study, EkFac(SPEC.model_copy(update={"head": head})))

    class MeanLosses(BlockLosses):
        """Mean losses per token, of prompts and of one fold of a subset."""

        def __init__(self, queries, fold, layers):
            super().__init__(fold, layers, torch.device("cpu"))
            self.queries = queries

        def compute_train_loss(self, batch, model, sample=False):
            assert not sample
            return super().compute_train_loss(batch, model) / sum(example.tokens for example in self.examples)

        def compute_measurement(self, batch, model):
            examples = [self.queries[i] for i in batch.tolist()]
            tokens = sum(example.tokens for example in self.queries)
            return batch_losses(model, examples, self.device).sum() / tokens

    twin = linear_twin(llama)
    layers = tracked_layers(twin.module, head=head)
    assert ("lm_head" in layers) == head
    how = arguments.ScoreArguments(
        damping_factor=None, aggregate_query_gradients=True, aggregate_train_gradients=True
    )  # fmt: skip
    checked = 0
    with undisturbed(torch.device("cpu")):
        fit_factors(twin, layers, study.all_blocks, tmp_path, study.progress)
        for (name, fold), blocks in list(folds_of(study).items())[::5]:
            for side, items in drawn_from(study).items():
                analyzer = analysis.Analyzer(
                    "ek-fac", twin.module, MeanLosses(items, blocks, layers), cpu=True, disable_tqdm=True,
                    output_dir=str(tmp_path),
                )  # fmt: skip
                scores = analyzer.compute_pairwise_scores(
                    scores_name=f"{name}{fold}{side}", factors_name="fit", score_args=how,
                    query_dataset=[torch.tensor(i) for i in range(len(items))], per_device_query_batch_size=1,
                    train_dataset=[torch.tensor(i) for i in range(len(blocks))], per_device_train_batch_size=1,
                )  # fmt: skip
                theirs = analyzer.load_pairwise_scores(f"{name}{fold}{side}") if scores is None else scores
                assert ours[side, name, fold] == pytest.approx(theirs["all_modules"].item(), rel=1e-4, abs=1e-6)
                checked += 1
    assert checked == 10


@KRONFLUENCE
def test_close_to_the_fisher_matrix_written_out(llama):
    """(F + d)^-1 layer by layer, F from sampled labels without any factors: closer than the plain dot product is."""
    study = study_of(llama, seeds=[0])
    found = scores_of(study)
    twin = linear_twin(llama)
    layers = tracked_layers(twin.module)
    torch.manual_seed(1)
    task = BlockLosses(study.all_blocks, layers, twin.device)
    rows = {layer: [] for layer in layers}
    for number in range(4 * len(study.all_blocks)):
        twin.module.zero_grad()
        task.compute_train_loss(torch.tensor([number % len(study.all_blocks)]), twin.module, sample=True).backward()
        for layer in layers:
            rows[layer].append(twin.module.get_submodule(layer).weight.grad.flatten().clone())
    damped = {}
    for layer, each in rows.items():
        stack = torch.stack(each).double()
        fisher = stack.T @ stack / len(stack)
        damped[layer] = fisher + 0.1 * fisher.diagonal().mean() * torch.eye(len(fisher), dtype=fisher.dtype)

    def gradients(examples):
        twin.module.zero_grad()
        losses = batch_losses(twin.module, examples, twin.device).sum() / sum(each.tokens for each in examples)
        losses.backward()
        return {layer: twin.module.get_submodule(layer).weight.grad.flatten().double() for layer in layers}

    exact, plain = {}, {}
    folds = {key: gradients(blocks) for key, blocks in folds_of(study).items()}
    for side, items in drawn_from(study).items():
        query = gradients(items)
        scaled = {layer: torch.linalg.solve(damped[layer], query[layer]) for layer in layers}
        for (subset, fold), each in folds.items():
            exact[side, subset, fold] = sum(float(each[layer] @ scaled[layer]) for layer in layers)
            plain[side, subset, fold] = sum(float(each[layer] @ query[layer]) for layer in layers)
    order = list(found.index)
    table = np.corrcoef([found.to_numpy(), [exact[key] for key in order], [plain[key] for key in order]])
    assert table[0, 1] > 0.7  # 0.81; with ten times the labels 0.90, and the plain dot product's 0.07 becomes 0.23
    assert table[0, 1] > 2 * table[1, 2]


@KRONFLUENCE
def test_the_subset_that_speaks_like_the_prompts_is_ranked_first(llama):
    means = scores_of(study_of(llama)).groupby(level=["side", "subset"]).mean()
    assert means["harmful"].idxmax() == "smiths"
    assert means["harmless"].idxmax() == "weavers"
    assert means["harmful", "smiths"] > 0


@KRONFLUENCE
def test_the_model_and_random_states_stay_as_they_are(llama):
    """One pass gives every seed's cell, the same to the bit another time; nothing is left in the folder for it."""
    study, module = study_of(llama), llama.module
    weights, kinds = hash_weights(module), [type(part) for part in module.modules()]
    random = torch.random.get_rng_state()
    method = EkFac(SPEC)
    first = [scores_of(study, method, seed) for seed in (0, 1)]
    assert torch.equal(torch.random.get_rng_state(), random)
    assert hash_weights(module) == weights
    assert [type(part) for part in module.modules()] == kinds
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not first[0].equals(first[1])
    torch.manual_seed(77)
    again = scores_of(study_of(llama), seed=1)
    assert again.equals(first[1])


@KRONFLUENCE
def test_one_query_at_a_time_gives_the_same(llama):
    method = EkFac(SPEC)
    method.budget_mb = 1e-6
    few = scores_of(study_of(llama), method, 1)
    np.testing.assert_allclose(few, scores_of(study_of(llama), seed=1), rtol=1e-4, atol=1e-6)


@KRONFLUENCE
@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_it_fits(tmp_path, family):
    study = study_of(tiny_model(tmp_path, family), seeds=[0])
    if family != "opt":  # which hands its MLP all tokens of all examples as one list
        scores = scores_of(study)
        assert len(scores) == 2 * len(WORDS) * FOLDS
        assert np.isfinite(scores).all()
        return
    with pytest.raises(InputError) as error:
        scores_of(study)
    assert re.fullmatch(r"method ek-fac: kronfluence's hooks .*fc1' gets all tokens as one list\. .*", str(error.value))


@KRONFLUENCE
def test_a_pass_can_be_cancelled_anywhere(llama, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Listener:
        def __init__(self, last):
            self.phases, self.ticks, self.last = [], 0, last

        def phase(self, text):
            self.phases.append(text)

        def tick(self, done, total):
            assert 0 <= done <= total
            self.ticks += 1
            if self.ticks == self.last:
                raise Cancelled

    study = study_of(llama, seeds=[0])
    study.progress = whole = Listener(0)
    scores_of(study)
    assert len(whole.phases) == 5
    for last in (1, whole.ticks // 2, whole.ticks):
        study.progress = Listener(last)
        with pytest.raises(Cancelled):
            scores_of(study)
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_it_says_how_to_install_it(monkeypatch):
    """Before the model is loaded."""
    for name in [name for name in sys.modules if name.split(".")[0] == "kronfluence"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kronfluence", None)
    study = AttributionContext(ModelIdentity("0", "cpu", "float32", "all"), pytest.fail, {}, {}, {}, {}, [0])
    method = EkFac(SPEC)
    with pytest.raises(InputError) as error:
        method.run(study, method.cells(study)[0])
    assert str(error.value) == f"method ek-fac: kronfluence is not installed. Run '{INSTALL}'."


def test_settings(model):
    method = EkFac(method_spec("ek-fac", damping=0.5, subsample=1.0, samples=7))
    assert (method.settings.damping, method.subsample, method.settings.samples) == (0.5, 1.0, 7)
    study = study_of(model)
    keys = {cell.key for each in (method, EkFac(SPEC)) for cell in each.cells(study)}
    assert len(keys) == 4
    with pytest.raises(InputError, match="'steps' has no effect with method 'ek-fac'"):
        EkFac(method_spec("ek-fac", steps=3))
