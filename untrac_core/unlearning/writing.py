"""What a model writes to given prompts: the same prompts and random numbers for every model, so that texts compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from untrac_core.data.prompts import Item, PromptData, sample
from untrac_core.models import LoadedModel
from untrac_core.progress import Progress
from untrac_core.sampling import added_text, sample_tokens
from untrac_core.scoring import TextScorer
from untrac_core.specs import Writing

TOGETHER = 16
"""Texts that are written side by side."""
Written = tuple[str, str, float]
"""A prompt, what came after it, and its score; not a number without a scorer."""


def writing_prompts(writing: Writing, prompts: Mapping[str, PromptData]) -> list[str]:
    """The different prompts, a fixed random sample; an item without one gives the first words of its completion."""
    if writing.prompt_set is None:
        found = list(dict.fromkeys(writing.texts))
    else:
        sides = prompts[writing.prompt_set].sides
        items = sides.get("harmful") or next(iter(sides.values()))
        found = list(dict.fromkeys(_opening(item, writing.words) for item in items))
    return [found[i] for i in sorted(sample(list(range(len(found))), writing.limit))]


def _opening(item: Item, words: int) -> str:
    return item.prompt or " ".join(item.completion.split()[:words])


def write_texts(
    model: LoadedModel, writing: Writing, prompts: Sequence[str], scorer: TextScorer | None, progress: Progress
) -> list[Written]:
    """Every prompt's completions, ``sampling.samples`` of each, in order."""
    encoder, sampling = model.encoder, writing.sampling
    context = None if encoder.seq2seq else model.facts.context
    begin = [] if encoder.seq2seq or encoder.start is None else [encoder.start]
    end = [encoder.end] if encoder.seq2seq and encoder.end is not None else []
    room = None if context is None else max(1, context - sampling.tokens - len(begin))
    drawn = [prompt for prompt in prompts for _ in range(sampling.samples)]
    given = []
    for encoding in encoder.tokenizer.encode_batch(drawn, add_special_tokens=False):
        ids = list(encoding.ids) if room is None else list(encoding.ids)[-room:]
        given.append([*begin, *ids, *end] or [0])
    texts: list[str] = []
    for start in range(0, len(drawn), TOGETHER):
        part = given[start : start + TOGETHER]
        seed = int.from_bytes(hashlib.sha256(f"{sampling.seed} {start}".encode()).digest()[:4])
        for ids, new in zip(part, sample_tokens(model, part, sampling, seed), strict=True):
            texts.append(added_text(encoder, ids, new))
        progress.tick(min(len(drawn), start + TOGETHER), len(drawn))
    scores = scorer.score(texts) if scorer is not None else [float("nan")] * len(texts)
    return list(zip(drawn, texts, scores, strict=True))
