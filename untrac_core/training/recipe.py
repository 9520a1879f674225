"""Training a small causal language model from a recipe: the demo's model, and the ground truth of leave-out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from untrac_core.data.subsets import SubsetData, load_subsets
from untrac_core.data.tokens import Encoder, Example, make_encoder
from untrac_core.errors import InputError
from untrac_core.models.loading import choose_device
from untrac_core.models.losses import batch_losses
from untrac_core.progress import Progress, Silent
from untrac_core.specs import Recipe, TrainSpec
from untrac_core.specs.files import to_yaml

END = "<|end|>"
CLIP = 1.0


@dataclass(frozen=True)
class TrainingData:
    """What a recipe trains on: each subset's blocks, in a fixed random order, and the encoder that made them."""

    encoder: Encoder
    blocks: dict[str, list[Example]]
    notes: list[str]

    @property
    def vocab_size(self) -> int:
        """Tokens that the tokenizer knows."""
        return int(self.encoder.tokenizer.get_vocab_size())


def train_tokenizer(subsets: list[SubsetData], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer with one special token that starts, ends and pads; deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (document.text for subset in subsets for document in subset.documents)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def prepare(spec: TrainSpec, progress: Progress | None = None) -> TrainingData:
    """Read the subsets, train the tokenizer, pack the blocks; with ``equal_tokens``, cut all to the smallest."""
    subsets = load_subsets(spec.subsets, progress)
    return pack(subsets, own_encoder(subsets, spec.vocab_size), spec.block_size, equal=spec.equal_tokens)


def own_encoder(subsets: Mapping[str, SubsetData], vocab_size: int) -> Encoder:
    """The encoder of a tokenizer that is trained on all the subsets."""
    tokenizer = train_tokenizer(list(subsets.values()), vocab_size)
    end = tokenizer.token_to_id(END)
    return make_encoder(tokenizer, bos=end, eos=end)


def pack(subsets: Mapping[str, SubsetData], encoder: Encoder, block: int, *, equal: bool) -> TrainingData:
    """Every subset's blocks of ``block_size`` tokens, with ``equal`` as many of each as the smallest has."""
    notes = [note for subset in subsets.values() for note in subset.notes]
    blocks = {
        name: encoder.blocks(subset.documents, block, subset.spec.limit).blocks for name, subset in subsets.items()
    }
    if equal:
        least = min(len(packed) for packed in blocks.values())
        for name, packed in blocks.items():
            if len(packed) > least:
                notes.append(f"subset {name!r}: {least} of {len(packed)} blocks are used (equal tokens)")
            blocks[name] = packed[:least]
    if not any(blocks.values()):
        raise InputError("the subsets have too little text for one block", field="recipe", hint="add text")
    return TrainingData(encoder, blocks, notes)


def build_model(spec: Recipe, vocab_size: int, seed: int) -> nn.Module:
    """A fresh model of the recipe's shape, its weights drawn from the seed; no dropout."""
    from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, Qwen3Config

    special: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    hidden, layers, heads, block = spec.hidden_size, spec.num_layers, spec.num_heads, spec.block_size
    config: Any
    if spec.architecture == "opt":
        config = OPTConfig(
            vocab_size=vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            ffn_dim=4 * hidden, word_embed_proj_dim=hidden, max_position_embeddings=block, dropout=0.0, **special,
        )  # fmt: skip
    elif spec.architecture == "gpt2":
        config = GPT2Config(
            vocab_size=vocab_size, n_embd=hidden, n_layer=layers, n_head=heads, n_positions=block,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **special,
        )  # fmt: skip
    elif spec.architecture == "gpt-neox":
        config = GPTNeoXConfig(
            vocab_size=vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=4 * hidden, max_position_embeddings=block, **special,
        )  # fmt: skip
    elif spec.architecture == "qwen3":
        config = Qwen3Config(
            vocab_size=vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=heads, head_dim=hidden // heads, intermediate_size=8 * hidden // 3,
            max_position_embeddings=block, tie_word_embeddings=False, **special,
        )  # fmt: skip
    else:
        config = LlamaConfig(
            vocab_size=vocab_size, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=8 * hidden // 3, max_position_embeddings=block, **special,
        )  # fmt: skip
    torch.manual_seed(seed)
    module: nn.Module = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation="sdpa"
    )
    return module


Without = str | frozenset[str] | Callable[[str, Example], bool] | None
"""What a training leaves out: a subset by its name, several by theirs, or the blocks, with their subsets' names, that a
test picks."""


def leaves_out(without: Without) -> Callable[[str, Example], bool]:
    """Whether a training leaves out a block, which comes after its subset's name."""
    if callable(without):
        return without
    names = without if isinstance(without, frozenset) else {without}
    return lambda name, block: name in names


def batch_stream(
    blocks: Mapping[str, list[Example]],
    batch: int,
    seed: int,
    without: Without = None,
    times: Mapping[str, float] | None = None,
) -> Iterator[list[Example]]:
    """Endless batches over all subsets, shuffled anew each pass; ``without`` leaves blocks out.

    ``times``: how often a pass reads the blocks of a subset, once where it is not named; 0 leaves it out, 0.5 reads
    every block in one of two passes. The blocks that stay keep their order, so that a training on another mix differs
    from the full one in nothing else.
    """
    every = [(name, block) for name in sorted(blocks) for block in blocks[name]]
    leaves = leaves_out(without)
    rates = np.array([0.0 if leaves(name, block) else (times or {}).get(name, 1.0) for name, block in every])
    if not (rates > 0).any():
        raise InputError("nothing is left to train on", field="recipe", hint="name another subset")
    whole, part = np.floor(rates).astype(int), rates % 1
    shuffle, more = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    begun = more.random(len(every))
    held: list[Example] = []
    for number in count():
        reads = whole + np.diff(np.floor(np.outer([number, number + 1], part) + begun), axis=0)[0].astype(int)
        for index in _in_turn(shuffle.permutation(len(every)), reads, more):
            held.append(every[index][1])
            if len(held) == batch:
                yield held
                held = []


def _in_turn(order: npt.NDArray[np.int64], reads: npt.NDArray[np.int64], more: np.random.Generator) -> list[int]:
    """A pass: what is read, in this order; what is read again comes in between, at random places."""
    once = order[reads[order] > 0]
    again = np.repeat(order, np.maximum(reads[order] - 1, 0))
    places = np.concatenate([np.flatnonzero(reads[order] > 0), more.random(len(again)) * len(order)])
    found: list[int] = np.concatenate([once, again])[np.argsort(places, kind="stable")].tolist()
    return found


def rate_factor(step: int, spec: Recipe) -> float:
    """The share of the learning rate that a step has, counted from 0: linear warm-up, then linear to zero."""
    warmup = min(spec.warmup_steps, spec.steps)
    return min((step + 1) / max(warmup, 1), (spec.steps - step) / max(spec.steps - warmup, 1))


def train_model(
    module: nn.Module,
    blocks: Mapping[str, list[Example]],
    spec: Recipe,
    seed: int,
    device: torch.device,
    progress: Progress | None = None,
    without: Without = None,
    after: Callable[[int, torch.optim.AdamW], None] | None = None,
    times: Mapping[str, float] | None = None,
) -> list[float]:
    """Train in place: AdamW, linear warm-up, then linear to zero, gradients clipped at 1; mean loss per token by step.

    ``seed`` orders the blocks. ``after`` is called with the number of every step that is done, and the optimizer.
    ``times``: as in :func:`batch_stream`.
    """
    progress = progress or Silent()
    optimizer = torch.optim.AdamW(module.parameters(), lr=spec.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, spec))
    stream = batch_stream(blocks, spec.batch_size, seed, without, times)
    torch.manual_seed(seed)  # of dropout, where a model that is trained further has it
    module.train()
    curve = []
    for step in range(spec.steps):
        batch = next(stream)
        loss = batch_losses(module, batch, device).sum() / sum(block.tokens for block in batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        if after is not None:
            after(step + 1, optimizer)
        schedule.step()
        curve.append(loss.item())
        progress.tick(step + 1, spec.steps)
    module.eval()
    return curve


def recipe_tokenizer(material: TrainingData, spec: Recipe) -> Any:
    """The tokenizer as one of transformers."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=material.encoder.tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=spec.block_size,
        clean_up_tokenization_spaces=False,
    )


def save_model(module: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write a folder as transformers reads it: safetensors, config, tokenizer."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    saved: Any = module
    saved.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def train(spec: TrainSpec, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Train by a recipe and write a ``save_pretrained`` folder with the recipe in it; returns what was done.

    The folder appears whole or not at all. Raises :class:`InputError` where ``out`` exists with anything in it.
    """
    progress = progress or Silent()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{str(out)!r} is not an empty folder", field="--out", hint="name a new folder")
    partial = out.parent / f".{out.name}.{os.getpid()}.part"
    try:  # before the work, not after it
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{str(out)!r} cannot be made ({error.strerror})", field="--out", hint="name another"
        ) from None
    try:
        return _train(spec, out, partial, progress)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _train(spec: TrainSpec, out: Path, partial: Path, progress: Progress) -> dict[str, Any]:
    """Train, write into ``partial``, and let it take the place of ``out`` when it is whole."""
    started = time.monotonic()
    progress.phase("reading the subsets and training the tokenizer")
    material = prepare(spec, progress)
    device = choose_device(spec.device)
    module = build_model(spec, material.vocab_size, spec.seed).to(device)
    progress.phase(f"training: {spec.steps} steps of {spec.batch_size} blocks")
    curve = train_model(module, material.blocks, spec, spec.seed, device, progress)
    save_model(module, recipe_tokenizer(material, spec), partial)
    (partial / "recipe.yaml").write_text(to_yaml(spec), encoding="utf-8")
    if out.exists():
        out.rmdir()
    os.replace(partial, out)
    return {
        "model": str(out),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "blocks": {name: len(blocks) for name, blocks in material.blocks.items()},
        "first_loss": curve[0],
        "last_loss": float(np.mean(curve[-20:])),
        "seconds": time.monotonic() - started,
        "notes": material.notes,
    }
