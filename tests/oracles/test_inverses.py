"""LiSSA and Arnoldi against Hessians that are written down, and Hessian products of every shape of model."""

import numpy as np
import pytest
import torch

from tests.helpers.exact import drawn, encode, expect, make_study, scores, table
from tests.helpers.families import FAMILIES, MORE, make_model
from tests.helpers.worlds import sentences
from untrac_core.attribution.base import make_method
from untrac_core.attribution.baselines import influence_functions as lissa
from untrac_core.attribution.baselines.hessian import draw_blocks, hessian_products, random_vector
from untrac_core.data.subsets import Document
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.specs import ModelRef, method_spec
from untrac_core.training.preconditioner import mean_gradient
from untrac_core.training.vectors import Stack

ITERATIONS, DAMPING = 10, 0.05


def test_lissa_is_the_neumann_series(part_study, exact, hessian, monkeypatch):
    """With all blocks in every batch: (1 / scale) x sum over k of ((1 - d) I - H / scale)^k g."""
    scale = 1.5 * np.abs(np.linalg.eigvalsh(hessian)).max()
    monkeypatch.setattr(lissa.Lissa, "_largest_eigenvalue", lambda self, study: scale)
    method = make_method(
        method_spec("lissa", iterations=ITERATIONS, damping=DAMPING, samples=len(part_study.all_blocks))
    )
    found = table(part_study, method)
    assert (method.doublings, method.scale_used) == (0, scale)
    step = (1 - DAMPING) * np.eye(len(hessian)) - hessian / scale
    series = sum(np.linalg.matrix_power(step, power) for power in range(ITERATIONS + 1)) / scale
    expect(
        part_study,
        found,
        lambda subset, fold, seed, side: exact.gradient(fold) @ series @ exact.gradient(drawn(part_study, seed, side)),
    )


def test_lissa_takes_fresh_batches(part_study, exact, hessian):
    """Each iteration its own Hessian; each seed its own batches; the scale is the largest eigenvalue."""
    method = make_method(method_spec("lissa", iterations=2, samples=4))
    found = table(part_study, method)
    assert len(part_study.all_blocks) <= lissa.POWER_BLOCKS
    largest = np.abs(np.linalg.eigvalsh(hessian)).max()
    assert method.scale_used == pytest.approx(2**method.doublings * largest, rel=0.1)
    inverses = {}
    for seed in part_study.seeds:
        generator = np.random.default_rng(seed)
        inverse = np.eye(len(hessian))
        for _ in range(2):
            batch = exact.hessian(draw_blocks(part_study, 4, generator))
            inverse = (
                np.eye(len(hessian)) + (1 - method.settings.damping) * inverse - batch @ inverse / method.scale_used
            )
        inverses[seed] = inverse / method.scale_used
    expect(
        part_study,
        found,
        lambda subset, fold, seed, side: (
            exact.gradient(fold) @ inverses[seed] @ exact.gradient(drawn(part_study, seed, side))
        ),
    )


def test_lissa_doubles_its_scale_where_it_diverges_and_says_so(part_study, monkeypatch):
    method = make_method(method_spec("lissa"))
    largest = method._largest_eigenvalue
    monkeypatch.setattr(lissa.Lissa, "_largest_eigenvalue", lambda self, study: largest(study) / 16)
    part_study.set_trainable("all")
    frame = method.run(part_study, method.cells(part_study)[0])
    assert 0 < method.doublings <= lissa.DOUBLINGS
    assert frame.ended[0].endswith(f"its scale is {2**method.doublings} times larger")
    assert not frame.collapsed.any()
    monkeypatch.setattr(lissa.Lissa, "_largest_eigenvalue", lambda self, study: largest(study) / 1e6)
    method = make_method(method_spec("lissa"))
    before = hash_weights(part_study.model.module)
    for cell in method.cells(part_study):
        frame = method.run(part_study, cell)
        assert len(frame) == 1
        assert frame.collapsed.all()
        assert "diverged" in frame.ended[0]
    assert hash_weights(part_study.model.module) == before


def test_arnoldi_in_the_whole_space_is_the_inverse_of_the_top_eigenvalues(part_study, exact, hessian):
    values, vectors = np.linalg.eigh(hessian)
    top = np.argsort(-np.abs(values))[:12]
    method = make_method(method_spec("arnoldi", iterations=len(hessian)))
    method.top = len(top)
    inverse = vectors[:, top] @ np.diag(1 / values[top]) @ vectors[:, top].T
    expect(
        part_study,
        table(part_study, method),
        lambda subset, fold, seed, side: exact.gradient(fold) @ inverse @ exact.gradient(drawn(part_study, seed, side)),
    )


def test_arnoldi_in_a_small_space_is_the_inverse_restricted_to_it(part_study, exact, hessian):
    """The space is spanned by b, H b, H H b ...; three directions of it, all kept."""
    start = random_vector(len(hessian), torch.device("cpu")).double().numpy()
    powers = [start]
    for _ in range(2):
        powers.append(hessian @ powers[-1])
    basis, _ = np.linalg.qr(np.stack([power / np.linalg.norm(power) for power in powers], axis=1))
    inverse = basis @ np.linalg.inv(basis.T @ hessian @ basis) @ basis.T
    expect(
        part_study,
        scores(part_study, "arnoldi", iterations=3),
        lambda subset, fold, seed, side: exact.gradient(fold) @ inverse @ exact.gradient(drawn(part_study, seed, side)),
    )


def test_hessian_products_are_the_hessians(part_study, hessian):
    part_study.set_trainable("all")
    stack = Stack(part_study.model.module, 3)
    stack.matrix.copy_(torch.from_numpy(np.random.default_rng(1).normal(size=stack.matrix.shape)))
    out = torch.empty(2, stack.matrix.shape[1])
    hessian_products(part_study, part_study.all_blocks, stack, slice(1, 3), out)
    wanted = stack.matrix[1:].double().numpy() @ hessian
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("family", FAMILIES + MORE)
def test_every_family_is_differentiated_twice(tmp_path, family):
    """Against the difference of gradients on both sides; of OPT without its kinks, which a step of any size crosses."""
    smooth = {"activation_function": "gelu"} if family == "opt" else {}
    model = load_model(ModelRef(path=str(make_model(tmp_path / family, family, **smooth))), torch.device("cpu"))
    study = make_study(model, {"a": ["unused"]}, {"harmful": ["unused"]})
    texts = sentences("smiths", 4, 2)
    blocks = model.encoder.blocks([Document(str(i), text, i) for i, text in enumerate(texts)], 16, None).blocks
    examples = blocks + encode(model, texts, "They say:")
    stack = Stack(model.module, 1)
    stack.matrix[0] = random_vector(stack.matrix.shape[1], model.device)
    out = torch.empty_like(stack.matrix)
    hessian_products(study, examples, stack, slice(0, 1), out)
    size, sides = 0.01, []
    for sign in (1, -2):
        with torch.no_grad():
            for _, parameter, part in stack.views(stack.matrix[0]):
                parameter.add_(part, alpha=sign * size)
        mean_gradient(model, examples)
        held = Stack(model.module, 1)
        held.add(0)
        sides.append(held.matrix)
    slope = (sides[0] - sides[1]) / (2 * size)
    assert float((out - slope).norm() / slope.norm()) < 0.002
