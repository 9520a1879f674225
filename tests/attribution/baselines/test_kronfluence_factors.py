"""What kronfluence fits, against brute force; what it cannot take; how it is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.ek_fac_studies import KRONFLUENCE, study_of, tiny_model
from untrac_core.attribution.baselines.kronfluence_factors import (
    INSTALL,
    VERSION,
    equal_batches,
    fit_factors,
    linear_twin,
    precondition,
    tracked_layers,
    undisturbed,
)
from untrac_core.data.prompts import Item
from untrac_core.errors import InputError
from untrac_core.models.losses import collate, example_losses
from untrac_core.paths import PROJECT
from untrac_core.progress import Silent

ROOT = PROJECT


def forward_and_back(model, layer, examples, labels):
    """A layer's inputs, one column of ones with them where it has a bias, and the gradients at its outputs."""
    kept = []
    part = model.module.get_submodule(layer)

    def keep(module, given, output):
        output.retain_grad()
        kept.append((given[0].detach(), output))

    hook = part.register_forward_hook(keep)
    ids, _, scored = collate(examples, model.device)
    logits = model.module(input_ids=ids).logits[:, :-1][scored[:, 1:]]
    hook.remove()
    torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    inputs, output = kept[0]
    if part.bias is not None:
        inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
    return inputs.double(), output.grad.double()


@KRONFLUENCE
@pytest.mark.parametrize(
    ("family", "layer"),
    [("llama", "model.layers.1.mlp.down_proj"), ("gpt2", "transformer.h.0.attn.c_attn")],
)
def test_factors_equal_brute_force(monkeypatch, tmp_path, family, layer):
    """Covariances, eigenvectors and mean squares from every block's own gradient, in float64, for the same labels."""
    model = tiny_model(tmp_path, family)
    study = study_of(model, blocks=8)
    blocks = study.all_blocks
    labels, multinomial = [], torch.multinomial
    monkeypatch.setattr(torch, "multinomial", lambda *given: labels.append(multinomial(*given)) or labels[-1])
    twin = linear_twin(model)
    layers = tracked_layers(twin.module)
    with undisturbed(torch.device("cpu")):
        factors = fit_factors(twin, layers, blocks, tmp_path, study.progress)
    plan = equal_batches(blocks, 2048, 10**6)
    assert len(labels) == 2 * len(plan)
    passes = [forward_and_back(model, layer, [blocks[i] for i in part], each.flatten())
              for part, each in zip(plan * 2, labels, strict=True)]  # fmt: skip
    tokens = sum(inputs.shape[:2].numel() for inputs, _ in passes[: len(plan)])
    of_inputs, of_outputs = (
        torch.linalg.eigh(sum(torch.einsum("bti,btj->ij", each[k], each[k]) for each in passes[: len(plan)]) / tokens)[
            1
        ]
        for k in (0, 1)
    )
    each_block = torch.cat([torch.einsum("bto,bti->boi", out, given) for given, out in passes[len(plan) :]])
    squares = (of_outputs.T @ each_block @ of_inputs).square().mean(0)
    gradient = each_block[:2].float()
    scaled = (of_outputs.T @ gradient.double() @ of_inputs) / (squares + 0.2 * squares.mean())
    expected = of_outputs @ scaled @ of_inputs.T
    found = precondition(gradient.clone(), layer, factors, 0.2).double()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@KRONFLUENCE
def test_models_that_it_cannot_take(tmp_path):
    """A layer that is used twice; weights that are no numbers; nothing but vectors that may move."""
    model = tiny_model(tmp_path, "llama")
    blocks = study_of(model, blocks=4).all_blocks

    def fit(twin):
        with undisturbed(torch.device("cpu")):
            fit_factors(twin, tracked_layers(twin.module), blocks, tmp_path, Silent())

    shared = linear_twin(model)
    shared.module.model.layers[1] = shared.module.model.layers[0]
    with pytest.raises(InputError, match=r"need each layer once a pass, and '.*layers\.0\..*' comes 2 times"):
        fit(shared)
    broken = linear_twin(model)
    broken.module.lm_head.weight.data[0] = float("nan")
    with pytest.raises(InputError, match="kronfluence fits no factors to this model"):
        fit(broken)
    still = linear_twin(model)
    for name, parameter in still.module.named_parameters():
        parameter.requires_grad_("norm" in name)
    with pytest.raises(InputError, match="no linear layers"):
        fit(still)


def test_a_copy_with_linear_layers_computes_the_same(tmp_path):
    model = tiny_model(tmp_path, "gpt2")
    examples = study_of(model, blocks=4).all_blocks
    twin = linear_twin(model)
    np.testing.assert_allclose(
        example_losses(twin.module, examples, twin.device, 320),
        example_losses(model.module, examples, model.device, 320),
        rtol=1e-5,
    )
    layers = tracked_layers(twin.module)
    assert len(layers) == 8
    assert all(isinstance(twin.module.get_submodule(layer), torch.nn.Linear) for layer in layers)


def test_batches_hold_examples_of_one_length(model):
    texts = ["The net.", "The oar and the net.", "The gull.", "The boat.", "The salt and the tide."]
    examples = model.encoder.items([Item(text, "", text, "", 1) for text in texts], context=32, where="")
    plan = equal_batches(examples, 2048, 2)
    assert sorted(i for part in plan for i in part) == list(range(5))
    assert all(len({examples[i].size for i in part}) == 1 and len(part) <= 2 for part in plan)
    assert equal_batches(examples, 1, 9) == [[i] for part in plan for i in part]


def test_the_install_is_pinned_and_leaves_torch_alone():
    lines = (ROOT / "requirements-ekfac.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert f"kronfluence=={VERSION}" in pins
    assert all("==" in pin and not pin.startswith("torch") for pin in pins)
    assert f"#     {INSTALL}" in lines
