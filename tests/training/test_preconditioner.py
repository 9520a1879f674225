import numpy as np
import pytest
import torch

from untrac_core.attribution.ascent import PreconditionedSGD
from untrac_core.data.prompts import Item
from untrac_core.models.loading import hash_weights, weights_restored
from untrac_core.models.losses import batch_losses
from untrac_core.models.trainable import moving_matrices
from untrac_core.specs import Source, Subset, TrainSpec
from untrac_core.training.preconditioner import (
    MICRO_BATCH,
    estimate_curvature,
    mean_gradient,
    own_loss,
    quadratic_form,
    step_size,
)
from untrac_core.training.recipe import build_model

DAMPING, SAMPLES = 0.1, 12


@pytest.fixture
def blocks(model):
    texts = [
        f"The anvil and the {word} wait by the steel of ember." for word in ("forge", "loom", "boat", "net", "oar")
    ]
    return model.encoder.items([Item(text, "", text, "", 1) for text in texts], context=32, where="")


def gradients(module, batch, device):
    module.zero_grad(set_to_none=True)
    (batch_losses(module, batch, device).sum() / sum(example.tokens for example in batch)).backward()
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


def test_directions_equal_brute_force(model, blocks):
    """P(G) = tr(L) (L + l I)^-1 G (R + r I)^-1, every factor from the samples one by one, in float64."""
    before = hash_weights(model.module)
    preconditioner = estimate_curvature(model, blocks, samples=SAMPLES, damping=DAMPING)
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(SAMPLES):
        chosen = generator.choice(len(blocks), size=MICRO_BATCH, replace=False)
        samples.append(gradients(model.module, [blocks[i] for i in chosen], model.device))
    target = gradients(model.module, blocks, model.device)
    preconditioned_gradients = {
        name: direction for name, _, direction in preconditioner.preconditioned_gradients(model.module)
    }
    model.module.zero_grad(set_to_none=True)
    for name, (_, vocabulary) in moving_matrices(model.module).items():
        stack = torch.stack([sample[name].double() for sample in samples])
        left = torch.einsum("sij,skj->ik", stack, stack) / SAMPLES
        right = torch.einsum("sij,sik->jk", stack, stack) / SAMPLES
        if vocabulary:
            left = left.diagonal().diag()
        trace = left.trace()
        for side in (left, right):
            side += DAMPING * trace / len(side) * torch.eye(len(side), dtype=side.dtype)
        expected = trace * torch.linalg.solve(left, target[name].double()) @ torch.linalg.inv(right)
        torch.testing.assert_close(
            preconditioned_gradients[name].double(), expected, rtol=2e-3, atol=1e-4 * expected.abs().max()
        )
    assert hash_weights(model.module) == before


def test_the_largest_response_gets_the_dose(model, blocks):
    """A step of the given size raises the loss of the set that responds most by the loss increase, to first order."""
    preconditioner = estimate_curvature(model, blocks, samples=SAMPLES, damping=DAMPING)
    loss_increase = 1e-3
    size = step_size(loss_increase, [quadratic_form(model, preconditioner, blocks), 0.0])
    before = own_loss(model, blocks)
    with weights_restored(model.module):
        mean_gradient(model, blocks)
        stepper = PreconditionedSGD(model.module, preconditioner, -size)
        stepper.step()
        assert own_loss(model, blocks) - before == pytest.approx(loss_increase, rel=0.1)
    assert step_size(loss_increase, [0.0]) == 0.0


@pytest.mark.parametrize(
    ("architecture", "tied"), [("opt", True), ("gpt2", True), ("llama", False), ("gpt-neox", False), ("qwen3", False)]
)
def test_which_matrices_move(architecture, tied):
    spec = TrainSpec(
        architecture=architecture, hidden_size=16, num_heads=2, num_layers=1, block_size=16,
        subsets=[Subset(name="a", source=Source(file="unused"))],
    )  # fmt: skip
    module = build_model(spec, 300, spec.seed)
    moving = moving_matrices(module)
    assert all(parameter.dim() == 2 for parameter, _ in moving.values())
    assert not any("position" in name or "wpe" in name for name in moving)
    assert sum(vocabulary for _, vocabulary in moving.values()) == (1 if tied else 2)
    assert any("attn" in name or "attention" in name for name in moving)
