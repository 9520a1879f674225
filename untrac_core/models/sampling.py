"""Texts that a model writes: tokens drawn from it, causal or seq2seq, several texts at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from untrac_core.data.tokens import Encoder
from untrac_core.errors import InputError
from untrac_core.models.loading import LoadedModel
from untrac_core.progress import Progress
from untrac_core.specs import Sampling

TOGETHER = 16
"""Texts that are written side by side."""


class _Ticking(StoppingCriteria):
    """Stops nothing, and tells after every token how many there are; what it raises ends the writing."""

    def __init__(self, tick: Callable[[int], None]) -> None:
        self.tick, self.tokens = tick, 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self.tokens += 1
        self.tick(self.tokens)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def given_tokens(model: LoadedModel, texts: Sequence[str], tokens: int) -> tuple[list[list[int]], int]:
    """Token ids of every text as the model reads it, and how many are too long: these keep their end.

    ``tokens``: so many new ones are to have room after it. Texts that are empty to the model have no ids.
    """
    encoder = model.encoder
    begin = [] if encoder.seq2seq or encoder.start is None else [encoder.start]
    end = [encoder.end] if encoder.seq2seq and encoder.end is not None else []
    context = None if encoder.seq2seq else model.facts.context
    room = None if context is None else max(1, context - tokens - len(begin))
    rows, cut = [], 0
    for encoding in encoder.tokenizer.encode_batch(list(texts), add_special_tokens=False):
        ids = list(encoding.ids)
        if room is not None and len(ids) > room:
            ids, cut = ids[-room:], cut + 1
        rows.append([*begin, *ids, *end])
    return rows, cut


def complete(
    model: LoadedModel, given: Sequence[Sequence[int]], sampling: Sampling, seed: str, progress: Progress
) -> list[tuple[str, int]]:
    """One completion of each of ``given``: its text and how many tokens it has.

    The random numbers come from ``seed`` and the places in ``given`` alone: the same give the same texts.
    """

    def tick(start: int, size: int, token: int) -> None:
        progress.tick(int(100 * (start + size * token / sampling.tokens)), 100 * len(given))

    found = []
    for start in range(0, len(given), TOGETHER):
        part = given[start : start + TOGETHER]
        number = int.from_bytes(hashlib.sha256(f"{seed} {start}".encode()).digest()[:4])
        generations = sample_tokens(model, part, sampling, number, partial(tick, start, len(part)))
        found += [(added_text(model.encoder, ids, new), len(new)) for ids, new in zip(part, generations, strict=True)]
    return found


def sample_tokens(
    model: LoadedModel,
    given: Sequence[Sequence[int]],
    sampling: Sampling,
    seed: int,
    tick: Callable[[int], None] = lambda token: None,
) -> list[list[int]]:
    """New token ids after each of ``given``, up to and without an end token; the same seed and batch give the same.

    Only ``sampling`` says how tokens are drawn: settings that came with the model's files are not used. ``tick`` hears
    the number of every new token, and may raise to stop.

    Raises:
        InputError: where the model's probabilities are not numbers.
    """
    ends = end_tokens(model)
    pad = ends[0] if ends else 0
    width = max(len(ids) for ids in given)
    seq2seq = model.encoder.seq2seq
    rows, masks = [], []
    for ids in given:
        gap = width - len(ids)
        left, right = (0, gap) if seq2seq else (gap, 0)
        rows.append([pad] * left + list(ids) + [pad] * right)
        masks.append([0] * left + [1] * len(ids) + [0] * right)
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=sampling.tokens,
        do_sample=sampling.temperature > 0,
        temperature=sampling.temperature if sampling.temperature > 0 else 1.0,
        top_p=sampling.top_p if sampling.temperature > 0 else 1.0,
        top_k=0,
        num_beams=1,
        pad_token_id=pad,
        eos_token_id=ends or None,
        bos_token_id=model.encoder.start,
        decoder_start_token_id=model.encoder.start if seq2seq else None,
    )
    module: Any = model.module
    module.generation_config = config
    device = model.device
    ticking = StoppingCriteriaList([_Ticking(tick)])
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.inference_mode(), model.computing():
        torch.manual_seed(seed)
        try:
            out = module.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(masks, device=device),
                generation_config=config,
                stopping_criteria=ticking,
            )
        except RuntimeError as error:
            if "probability tensor" not in str(error):
                raise
            raise InputError(
                "the model's probabilities are not numbers", field="model", hint="try 'dtype: float32'"
            ) from error
    new = out[:, 1:] if seq2seq else out[:, width:]
    return [_until(ids, ends) for ids in new.tolist()]


def added_text(encoder: Encoder, given: Sequence[int], new: Sequence[int]) -> str:
    """What new tokens add to the text of the given ones: decoded alone they could lose their first space."""
    if not encoder.seq2seq:
        before, whole = encoder.text(given), encoder.text([*given, *new])
        if whole.startswith(before):
            return whole[len(before) :].rstrip("\ufffd")  # a character that was cut in its middle
    return encoder.text(new).rstrip("\ufffd")


def end_tokens(model: LoadedModel) -> list[int]:
    """The tokens that end a text: the tokenizer's, and those that the model's own files name beside it."""
    named = getattr(getattr(model.module, "generation_config", None), "eos_token_id", None)
    several = list(named) if isinstance(named, list | tuple) else [named]
    return list(dict.fromkeys(int(end) for end in [model.encoder.end, *several] if end is not None))


def _until(ids: list[int], ends: Sequence[int]) -> list[int]:
    """The ids before the first end."""
    return ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))]
