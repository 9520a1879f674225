"""Gradient products against loops of autograd in float64 and numpy's matrices."""

import numpy as np
import pytest
import torch

from tests.helpers.exact import Exact, drawn, expect, make_study, scores
from tests.helpers.families import make_model
from tests.helpers.worlds import WORDS, sentences
from untrac_core.models.loading import load_model
from untrac_core.models.trainable import moving_matrices
from untrac_core.specs import ModelRef
from untrac_core.training.batches import MICRO_BATCH

SAMPLES, DAMPING = 6, 0.2


def micro_batches(study) -> list:
    """As the curvature draws them."""
    generator = np.random.default_rng(0)
    blocks = study.all_blocks
    return [[blocks[i] for i in generator.choice(len(blocks), size=MICRO_BATCH, replace=False)] for _ in range(SAMPLES)]


@pytest.mark.parametrize("family", ["trained", "gpt2", "llama"])
def test_grad_dot(study, tmp_path, family):
    if family != "trained":
        model = load_model(ModelRef(path=str(make_model(tmp_path / family, family))), torch.device("cpu"))
        subsets = {name: sentences(name, 9, 5) for name in WORDS}
        study = make_study(model, subsets, {"harmful": sentences("smiths", 5, 6)}, seeds=[3])
    exact = Exact(study.model.module)
    expect(
        study,
        scores(study, "grad-dot"),
        lambda subset, fold, seed, side: exact.gradient(fold) @ exact.gradient(drawn(study, seed, side)),
    )


def test_grad_cos(study):
    exact = Exact(study.model.module)
    whole = {name: np.linalg.norm(exact.gradient(packed.blocks)) for name, packed in study.subsets.items()}

    def score(subset, fold, seed, side):
        asked = exact.gradient(drawn(study, seed, side))
        return exact.gradient(fold) @ asked / (whole[subset] * np.linalg.norm(asked))

    found = scores(study, "grad-cos")
    expect(study, found, score)
    asked = exact.gradient(drawn(study, 0, "harmful"))
    for name, packed in study.subsets.items():
        values, tokens = found[0, name, "harmful"]
        cosine = exact.gradient(packed.blocks) @ asked / (whole[name] * np.linalg.norm(asked))
        assert np.average(values, weights=tokens) == pytest.approx(cosine, rel=1e-4)


def test_sign_dot(study):
    exact = Exact(study.model.module)
    expect(
        study,
        scores(study, "sign-dot"),
        lambda subset, fold, seed, side: exact.gradient(fold) @ np.sign(exact.gradient(drawn(study, seed, side))),
    )


def test_fisher_dot(part_study, exact):
    """Against the explicit diagonal matrix."""
    study = part_study
    fisher = np.diag(np.mean([exact.gradient(batch) ** 2 for batch in micro_batches(study)], axis=0))
    fisher += DAMPING * np.trace(fisher) / len(fisher) * np.eye(len(fisher))
    expect(
        study,
        scores(study, "fisher-dot", samples=SAMPLES, damping=DAMPING),
        lambda subset, fold, seed, side: (
            exact.gradient(fold) @ np.linalg.solve(fisher, exact.gradient(drawn(study, seed, side)))
        ),
    )


def test_kronecker_dot(study):
    """Against the explicit Kronecker product of both factors of a matrix, one matrix at a time."""
    name = "layers.1.fc2.weight"
    study.names = (name,)
    study.set_trainable("matrices")
    (parameter, vocabulary) = next(iter(moving_matrices(study.model.module).values()))
    assert not vocabulary
    exact = Exact(study.model.module, study.names)
    samples = [exact.gradient(batch).reshape(parameter.shape) for batch in micro_batches(study)]
    left, right = np.mean([g @ g.T for g in samples], axis=0), np.mean([g.T @ g for g in samples], axis=0)
    trace = np.trace(left)
    factors = [side + DAMPING * trace / len(side) * np.eye(len(side)) for side in (left, right)]

    def score(subset, fold, seed, side):
        asked = exact.gradient(drawn(study, seed, side)).reshape(parameter.shape)
        return exact.gradient(fold) @ (trace * np.linalg.solve(factors[0], asked) @ np.linalg.inv(factors[1])).ravel()

    expect(study, scores(study, "shampoo-dot", samples=SAMPLES, damping=DAMPING), score)


def flat(tensors: dict[str, torch.Tensor]) -> np.ndarray:
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()]).double().numpy()


@pytest.mark.parametrize("scaling", ["none", "adam"])
def test_tracin(study, scaling):
    """The sum of rate times product over two checkpoints that are set by hand, each with second moments of its own."""
    from untrac_core.attribution.base import Checkpoint

    module = study.model.module
    kept = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    def shrunk(factor: float) -> dict:
        return {name: tensor * factor if tensor.is_floating_point() else tensor for name, tensor in kept.items()}

    exacts = []
    for factor in (0.7, 0.9):
        module.load_state_dict(shrunk(factor))
        exacts.append(Exact(module))
    module.load_state_dict(kept)
    study.checkpoints = [
        Checkpoint(lambda factor=factor: module.load_state_dict(shrunk(factor)), rate, lambda factor=factor: v[factor])
        for factor, rate in ((0.7, 0.01), (0.9, 0.003))
    ]
    draw = torch.Generator().manual_seed(0)
    v = {
        factor: {name: 0.1 + torch.rand(p.shape, generator=draw) for name, p in module.named_parameters()}
        for factor in (0.7, 0.9)
    }
    rules = {"none": lambda g, _: g, "adam": lambda g, factor: g / (np.sqrt(flat(v[factor])) + 1e-8)}

    def score(subset, fold, seed, side):
        asked = drawn(study, seed, side)
        rated = zip(exacts, (0.7, 0.9), (0.01, 0.003), strict=True)
        return sum(
            rate * exact.gradient(fold) @ rules[scaling](exact.gradient(asked), factor) for exact, factor, rate in rated
        )

    expect(study, scores(study, "tracin", scaling=scaling), score)
