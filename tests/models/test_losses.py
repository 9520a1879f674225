from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from untrac_core.data.prompts import Item
from untrac_core.data.tokens import Example
from untrac_core.models.losses import batch_losses, example_losses, token_losses

TEXTS = ["the anvil waits.", "the loom", "the forge and the ember wait by the rivet of steel."]


def by_hand(model, example) -> float:
    """Loss of one example, alone and unpadded, token by token."""
    with torch.no_grad():
        logits = model.module(input_ids=torch.from_numpy(example.ids)[None]).logits[0]
    log_probability = functional.log_softmax(logits.double(), dim=-1)
    return -sum(float(log_probability[i - 1, example.ids[i]]) for i in range(example.first, len(example.ids)))


def test_losses_equal_those_of_each_example_alone(model):
    items = [Item(str(i), prompt, text, "", i) for i, text in enumerate(TEXTS) for prompt in ("", "They say:")]
    examples = model.encoder.items(items, context=None, where="")
    batched = example_losses(model.module, examples, model.device, model.facts.vocab_size)
    alone = [by_hand(model, example) for example in examples]
    np.testing.assert_allclose(batched, alone, rtol=1e-5)


def test_order_of_examples_does_not_matter(model):
    items = [Item(str(i), "", text, "", i) for i, text in enumerate(TEXTS)]
    examples = model.encoder.items(items, context=None, where="")
    forward = example_losses(model.module, examples, model.device, model.facts.vocab_size)
    backward = example_losses(model.module, examples[::-1], model.device, model.facts.vocab_size)
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-6)


def test_losses_carry_a_gradient_and_eval_mode_stays(model):
    (example,) = model.encoder.items([Item("1", "", TEXTS[0], "", 1)], context=None, where="")
    loss = batch_losses(model.module, [example], model.device).sum()
    loss.backward()
    assert any(parameter.grad.abs().sum() > 0 for parameter in model.module.parameters() if parameter.grad is not None)
    model.module.zero_grad(set_to_none=True)
    example_losses(model.module, [example], model.device, model.facts.vocab_size)
    assert not model.module.training


def test_losses_of_tokens_are_those_of_their_example_in_its_order(model):
    items = [Item(str(i), prompt, text, "", i) for i, text in enumerate(TEXTS) for prompt in ("", "They say:")]
    examples = model.encoder.items(items, context=None, where="")
    tokens = token_losses(model.module, examples, model.device, model.facts.vocab_size)
    summed = example_losses(model.module, examples, model.device, model.facts.vocab_size)
    parts = np.split(tokens, np.cumsum([example.tokens for example in examples])[:-1])
    np.testing.assert_allclose([part.sum() for part in parts], summed, rtol=1e-6)
    for example, part in zip(examples, parts, strict=True):
        alone = [by_hand(model, Example("", example.ids[: i + 1], i)) for i in range(example.first, len(example.ids))]
        np.testing.assert_allclose(part, alone, rtol=1e-4, atol=1e-5)
    assert token_losses(model.module, [], model.device, model.facts.vocab_size).shape == (0,)


def test_losses_of_a_model_in_float64_are_in_float64(model):
    exact = replace(model, module=deepcopy(model.module).double())
    (example,) = model.encoder.items([Item("1", "", TEXTS[2], "", 1)], context=None, where="")
    assert batch_losses(model.module, [example], model.device).dtype == torch.float32
    losses = batch_losses(exact.module, [example], model.device)
    assert losses.dtype == torch.float64
    assert abs(float(losses.sum().detach()) - by_hand(exact, example)) < 1e-10
