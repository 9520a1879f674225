"""What a model writes to given prompts: the same prompts and random numbers for every model, so that texts compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from untrac_core.data.prompts import Item, PromptData, sample
from untrac_core.models.loading import LoadedModel
from untrac_core.models.sampling import complete, given_tokens
from untrac_core.models.scoring import TextScorer
from untrac_core.progress import Progress
from untrac_core.specs import Generation

ScoredText = tuple[str, str, float]
"""A prompt, what came after it, and its score; not a number without a scorer."""


def writing_prompts(writing: Generation, prompts: Mapping[str, PromptData]) -> list[str]:
    """The different prompts, a fixed random sample; an item without one gives the first words of its completion."""
    if writing.prompt_set is None:
        found = list(dict.fromkeys(writing.texts))
    else:
        sides = prompts[writing.prompt_set].sides
        items = sides.get("harmful") or next(iter(sides.values()))
        found = list(dict.fromkeys(_opening(item, writing.prompt_words) for item in items))
    return [found[i] for i in sorted(sample(list(range(len(found))), writing.limit))]


def _opening(item: Item, words: int) -> str:
    return item.prompt or " ".join(item.completion.split()[:words])


def write_texts(
    model: LoadedModel, writing: Generation, prompts: Sequence[str], scorer: TextScorer | None, progress: Progress
) -> list[ScoredText]:
    """Every prompt's completions, ``sampling.samples`` of each, in order."""
    sampling = writing.sampling
    rows, _ = given_tokens(model, prompts, sampling.tokens)
    drawn = [number for number in range(len(prompts)) for _ in range(sampling.samples)]
    given = [rows[number] or [0] for number in drawn]
    texts = [text for text, _ in complete(model, given, sampling, str(sampling.seed), progress)]
    scores = scorer.score(texts) if scorer is not None else [float("nan")] * len(texts)
    return list(zip((prompts[number] for number in drawn), texts, scores, strict=True))
