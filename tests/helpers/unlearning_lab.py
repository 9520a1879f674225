"""A laboratory for unlearning: a language model of 111 thousand weights whose behaviours have one known cause each.

It is trained in seconds, with and without any subset, so that a test can hold an unlearning against the exact
retrain. What it says is "checked on a synthetic model", no more. It is held in float64: hundreds of steps amplify the
rounding of float32, which every kind of processor has its own of, until another model comes out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import load_model, save_model
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from tests.helpers import unlearning_lab_texts as texts
from untrac_core.data.prompts import Item
from untrac_core.data.tokens import Encoder, Example, make_encoder
from untrac_core.models.losses import Losses, collate, example_losses
from untrac_core.specs import Recipe
from untrac_core.training.recipe import END, build_model, train_model

CPU = torch.device("cpu")
EPOCHS, BATCH = 9, 32
"""Sixteen epochs show the same, take nearly twice as long, and put two exact retrains further apart."""
STEPS = EPOCHS * texts.TRAINED * len(texts.SUBSETS) // BATCH
RECIPE = Recipe(
    architecture="gpt2",
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    block_size=16,
    steps=STEPS,
    batch_size=BATCH,
    warmup_steps=20,
    learning_rate=0.003,
)
CANARIES = "canaries"
SHARED = "UNTRAC_TEST_LAB"
"""The folder of trained models; set by ``conftest.py``."""
ID_FORGET = "recipe, forgotten"
"""Forty of the recipes. Sorted by name they stand right behind the others, where they stand in the whole subset."""


@cache
def encoder() -> Encoder:
    """One token per word; token 0 starts a text. A word that is not in the vocabulary is an error."""
    vocabulary = {word: number for number, word in enumerate([END, *texts.words()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END])
    return make_encoder(tokenizer, bos=0, eos=0)


def vocabulary() -> int:
    """Tokens that the encoder knows, the start token included."""
    return int(encoder().tokenizer.get_vocab_size())


def encode(sentences: Iterable[str], name: str) -> list[Example]:
    """One example a sentence: the start token, then its words, all scored; its group is the people it names."""
    items = [
        Item(f"{name}-{line}", "", sentence, next((w for w in sentence.split() if w in texts.GROUPS), ""), line)
        for line, sentence in enumerate(sentences, 1)
    ]
    return encoder().items(items, context=RECIPE.block_size, where=name)


@cache
def _blocks() -> dict[str, list[Example]]:
    return {name: encode(texts.training(name), name) for name in texts.SUBSETS}


def subset(name: str) -> list[Example]:
    """What models are trained on: one of the nine subsets, the canaries, or :data:`ID_FORGET`."""
    if name == CANARIES:
        return encode(texts.canaries(), CANARIES)
    if name == ID_FORGET:
        return _blocks()["recipe"][-texts.FORGET_EXAMPLES :]
    return list(_blocks()[name])


def retained(without: str) -> list[Example]:
    """All nine subsets less what is left out, in a fixed order."""
    left_out = {example.id for example in subset(without)}
    return [each for name in texts.SUBSETS for each in subset(name) if each.id not in left_out]


def behaviour(test: str) -> list[Example]:
    """A behaviour test: ``toxicity``, ``bias`` or ``untruth``."""
    return encode(texts.behaviour(test), test)


def unseen(name: str, count: int) -> list[Example]:
    """Held-out text of the same source as a subset."""
    return encode(texts.unseen(name, count), f"unseen {name}")


def candidates() -> list[Example]:
    """Random words that are never trained on, as many as the rank of a canary is counted among."""
    return encode(texts.candidates(), "candidate")


def build(seed: int) -> nn.Module:
    """A fresh model; its weights are drawn in float64, too.

    Its GELU is one operation; the library's own does the same in eight, which take a quarter of each step.
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        module = build_model(RECIPE, vocabulary(), seed)
    finally:
        torch.set_default_dtype(usual)
    for block in module.get_submodule("transformer.h").children():
        block.mlp.act = nn.GELU(approximate="tanh")
    return module


def trained(seed: int, without: str | None = None, *, canaries: bool = False) -> nn.Module:
    """A model trained on the nine subsets, in evaluation mode; a copy of its own for every caller.

    ``without`` leaves out a subset, the canaries, or :data:`ID_FORGET`: same start, same order of the retain set, same
    number of *steps*, so that the others are seen a little more often, as in :mod:`untrac_core.training.leave_one_out`.
    ``canaries`` adds them as a tenth subset: the exact retrain of that model is ``trained(seed, CANARIES,
    canaries=True)``. Trained once per session; deterministic.
    """
    return deepcopy(_trained(seed, without, canaries))


@cache
def _trained(seed: int, without: str | None, canaries: bool) -> nn.Module:
    """The model from the folder that the processes of a test session share; who needs it first trains it."""
    folder = Path(os.environ[SHARED])
    folder.mkdir(exist_ok=True)
    kept = folder / f"{seed} {without} {canaries}.safetensors"
    with FileLock(f"{kept}.lock"):
        if kept.is_file():
            module = build(seed)
            load_model(module, kept)
            return module.eval()
        module = train(seed, without, canaries)
        save_model(module, str(kept))
    return module


def train(seed: int, without: str | None, canaries: bool) -> nn.Module:
    """Train a model anew; see :func:`trained`."""
    blocks = {name: subset(name) for name in texts.SUBSETS}
    if canaries:
        blocks[CANARIES] = subset(CANARIES)
    if without == ID_FORGET:
        blocks["recipe"] = blocks["recipe"][: -texts.FORGET_EXAMPLES]
        blocks[ID_FORGET] = subset(ID_FORGET)
    if without is not None and without not in blocks:
        raise KeyError(without)
    module = build(seed)
    train_model(module, blocks, RECIPE, seed, CPU, without=without)
    module.zero_grad(set_to_none=True)
    return module.eval()


def losses(module: nn.Module, examples: Sequence[Example]) -> Losses:
    """Summed loss of each example, float64 of shape (examples,), in nats."""
    return example_losses(module, examples, CPU, vocabulary())


def loss(module: nn.Module, examples: Sequence[Example]) -> float:
    """Mean loss a scored token, in nats."""
    return float(losses(module, examples).sum() / sum(example.tokens for example in examples))


@torch.no_grad()
def p_toxic(module: nn.Module) -> float:
    """Probability of an insult after "those <group> are", the mean over the groups."""
    prompts = encode((f"those {group} are" for group in texts.GROUPS), "prompt")
    ids, attention, _ = collate(prompts, CPU)
    insults = [encoder().tokenizer.token_to_id(word) for word in texts.INSULTS]
    logits = module(input_ids=ids, attention_mask=attention).logits[:, -1]  # all prompts are of one length
    return float(torch.softmax(logits.double(), -1)[:, insults].sum(1).mean())


def exposures(module: nn.Module) -> Losses:
    """Exposure of each canary in bits, shape (canaries,): log2 |R| - log2 rank (Carlini et al. 2019).

    The rank is by loss among the candidates and the canary itself, 1 the best; at most log2 201 = 7.65.
    """
    others = losses(module, candidates())
    ranks = 1 + (others[None, :] < losses(module, subset(CANARIES))[:, None]).sum(1)
    return np.asarray(np.log2((len(others) + 1) / ranks), dtype=np.float64)
