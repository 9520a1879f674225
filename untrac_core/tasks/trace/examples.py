"""The tables of single texts: what each training block, each prompt's item and each of their tokens contributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrac_core.attribution.outcome import MethodOutput
from untrac_core.data.spans import spans_of
from untrac_core.data.tokens import Encoder, Example, distinct_ids
from untrac_core.results.folders import EXAMPLE_COLUMNS, ITEM_COLUMNS, TOKEN_COLUMNS
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.intervals import Array, seed_margin
from untrac_core.tasks.trace.features import FeatureView, Texts, find_text_features
from untrac_core.tasks.trace.ranking import final_changes, places, watched_losses
from untrac_core.text.labels import texts_of as texts_in_words


def example_tables(outcome: MethodOutput) -> Iterator[pd.DataFrame]:
    """The table of ``examples.parquet``: each training block's own influence on each side, with its interval.

    One part a side, by prompt set, side and subset; nothing of a side whose model collapsed. Per example the
    interval is over seeds alone: it says how far the score hangs on the prompts that were drawn.
    """
    study, changes, before = outcome.study, final_changes(outcome), _block_losses(outcome)
    facts = {
        subset: {
            "subset": subset,
            "id": distinct_ids(packed.blocks),
            "reference": [f"{study.subset_data[subset].file}, line {block.line}" for block in packed.blocks],
            "text": [study.model.encoder.example_text(block) for block in packed.blocks],
        }
        for subset, packed in sorted(study.subsets.items())
    }
    for prompt_set, side in sorted(places(study)):
        if outcome.collapsed(prompt_set, side):
            continue
        parts = []
        for subset, known in facts.items():
            values = of_view(side, {name: changes[subset, prompt_set, name] for name in study.prompts[prompt_set]})
            share = outcome.drawn_share(subset, prompt_set, side)
            scores = scored(values, study.subsets[subset].blocks, before[subset], share)
            parts.append(pd.DataFrame(known | scores))
        whole = pd.concat(parts, ignore_index=True).assign(prompt_set=prompt_set, side=side)
        yield whole[EXAMPLE_COLUMNS]


def _block_losses(outcome: MethodOutput) -> dict[str, Array]:
    """Of each subset: the losses of its blocks before anything was unlearned, in nats."""
    return {subset: losses for (subset, _, _), losses in watched_losses(outcome).items()}


def prompt_tables(outcome: MethodOutput) -> Iterator[pd.DataFrame]:
    """The table of ``prompt_examples.parquet``: what each subset does to each item of a side, with its interval.

    One part a side; of methods that watch the prompts. Nothing of a side whose model collapsed.
    """
    study, changes = outcome.study, final_changes(outcome)
    before = dict(zip(map(id, study.all_items), study.before("prompt sets", study.all_items), strict=True))
    for prompt_set, side in sorted(places(study)):
        if side == CONTRAST or outcome.collapsed(prompt_set, side):
            continue
        items = study.prompts[prompt_set][side]
        every = iter(study.prompt_data[prompt_set].sides[side])  # in the same order; some could not be scored
        read = [next(item for item in every if (item.id, item.line) == (made.id, made.line)) for made in items]
        known = {
            "id": distinct_ids(items),
            "group": [item.group for item in items],
            "prompt": [item.prompt for item in read],
            "completion": [item.completion for item in read],
        }
        loss = np.array([before[id(item)] for item in items])
        parts = [
            pd.DataFrame(
                {"subset": subset}
                | known
                | scored(changes[subset, prompt_set, side], items, loss, outcome.drawn_share(subset, prompt_set, side))
            )
            for subset in sorted(outcome.subsets)
        ]
        yield pd.concat(parts, ignore_index=True).assign(prompt_set=prompt_set, side=side)[ITEM_COLUMNS]


def feature_table(outcome: MethodOutput) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """See :func:`untrac_core.tasks.trace.features.find_traits`; nothing of a side whose model collapsed."""
    study, changes = outcome.study, final_changes(outcome)
    blocks = study.all_blocks
    tokens = np.array([block.tokens for block in blocks], dtype=np.float64)
    before = _block_losses(outcome)
    subsets = [subset for subset, packed in study.subsets.items() for _ in packed.blocks]
    texts = Texts(
        subsets=subsets,
        documents=[
            (name, block.cluster) if block.cluster else (name, block.line, block.id)
            for name, block in zip(subsets, blocks, strict=True)
        ],
        texts=[study.model.encoder.example_text(block) for block in blocks],
        tokens=tokens,
        loss=np.concatenate([before[subset] for subset in study.subsets]) / tokens,
    )
    views = []
    for prompt_set, side in places(study):
        if outcome.collapsed(prompt_set, side):
            continue
        by_side = {
            name: np.concatenate([changes[subset, prompt_set, name].mean(0) for subset in study.subsets])
            for name in study.prompts[prompt_set]
        }
        data = study.prompt_data[prompt_set]
        said = {name: [item.completion for item in items] for name, items in data.sides.items()}
        views.append(
            FeatureView(
                prompt_set,
                side,
                texts=texts_in_words(data.spec, side, "than"),
                influence=of_view(side, by_side) / tokens,
                completions=said["harmful" if side == CONTRAST else side],
                against=said["harmless"] if side == CONTRAST else (),
                groups=sorted({item.group for items in data.sides.values() for item in items} - {""}),
            )
        )
    return find_text_features(texts, views)


def of_view(side: str, by_side: dict[str, Array]) -> Array:
    """The changes of one side, or, for the contrast, those of the harmful side less those of the harmless one."""
    return by_side["harmful"] - by_side["harmless"] if side == CONTRAST else by_side[side]


def scored(changes: Array, examples: Sequence[Example], before: Array, share: float) -> dict[str, Any]:
    """The numbers of single texts in nats per token; ``changes``: shape (seeds, examples), ``before``: (examples,)."""
    tokens = np.array([example.tokens for example in examples], dtype=np.int64)
    low, mean, high = over_seeds(changes / tokens, share)
    return {"tokens": tokens, "loss_before": before / tokens, "influence": mean, "low": low, "high": high}


def over_seeds(values: Array, share: float) -> tuple[Array, Array, Array]:
    """Lower end, mean and upper end, each of shape (k,), of ``values`` of shape (seeds, k); one seed has no ends."""
    mean = values.mean(0)
    reach = seed_margin(values, share) if len(values) > 1 else np.full(len(mean), np.nan)
    return mean - reach, mean, mean + reach


def token_frames(outcome: MethodOutput, tables: Sequence[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The table of ``tokens.parquet``, one part a side, from the tables of :mod:`untrac_core.tasks.trace.tokens`.

    The interval of a piece is over seeds, as that of its text. The contrast's is there where both sides are.
    """
    study = outcome.study
    stacks, cut = _Stacks(tables), _Cutter(study.model.encoder)

    @cache
    def ids(subset: str, prompt_set: str, side: str) -> list[str]:
        return distinct_ids(_watched(outcome, subset, prompt_set, side))

    for prompt_set, side in sorted(places(study)):
        if side == CONTRAST and not outcome.inverse:
            continue  # the two sides are different items
        parts = []
        one = "harmful" if side == CONTRAST else side
        for subset in sorted(outcome.subsets):
            sides = ["harmful", "harmless"] if side == CONTRAST else [side]
            found = {name: stacks.changes(subset, prompt_set, name) for name in sides}
            if any(values is None for values in found.values()):
                continue
            changes = of_view(side, {name: values for name, values in found.items() if values is not None})
            numbers, before = stacks.examples[subset, prompt_set, one], stacks.before[subset, prompt_set, one]
            eval_sets = _watched(outcome, subset, prompt_set, one)
            spans = _Pieces(cut, [eval_sets[i] for i in numbers])
            low, mean, high = over_seeds(spans.sums(changes), outcome.method.subsample)
            names = ids(subset, prompt_set, one)
            parts.append(
                pd.DataFrame(
                    {
                        "subset": subset,
                        "id": np.repeat(np.array([names[i] for i in numbers], dtype=object), spans.counts),
                        "span": np.concatenate([np.arange(count, dtype=np.int32) for count in spans.counts]),
                        "text": spans.texts,
                        "scored": spans.scored,
                        "loss_before": spans.sums(before[None])[0].astype(np.float32),
                        "change": mean.astype(np.float32),
                        "low": low.astype(np.float32),
                        "high": high.astype(np.float32),
                    }
                )
            )
        if parts:
            yield pd.concat(parts, ignore_index=True).assign(prompt_set=prompt_set, side=side)[TOKEN_COLUMNS]


def _watched(outcome: MethodOutput, subset: str, prompt_set: str, side: str) -> Sequence[Example]:
    """The examples of which a part's tables count."""
    study = outcome.study
    return study.subsets[subset].blocks if outcome.inverse else study.prompts[prompt_set][side]


class _Stacks:
    """The tables of close looks by (subset, prompt set, side): which examples, their losses, and all seeds' changes."""

    def __init__(self, tables: Sequence[pd.DataFrame]) -> None:
        self.examples: dict[tuple[str, str, str], list[int]] = {}
        self.before: dict[tuple[str, str, str], Array] = {}
        """Shape (tokens of all its examples,)."""
        self._changes: dict[tuple[str, str, str], list[Array]] = {}
        for table in tables:
            for place, part in table.groupby(["subset", "prompt_set", "side"], sort=False):
                self.examples[place] = part["example"].tolist()
                self.before[place] = np.concatenate(part["loss_before"].to_list())
                self._changes.setdefault(place, []).append(np.concatenate(part["change"].to_list()))

    def changes(self, subset: str, prompt_set: str, side: str) -> Array | None:
        """Shape (seeds, tokens); ``None`` where nothing was looked at."""
        found = self._changes.get((subset, prompt_set, side))
        return None if found is None else np.stack(found)


class _Cutter:
    """Cuts each example once, however many subsets, sides and prompt sets ask for it."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._known: dict[int, tuple[npt.NDArray[np.int64], list[str]]] = {}

    def __call__(self, example: Example) -> tuple[npt.NDArray[np.int64], list[str]]:
        """Where each piece begins among the example's tokens, and its text."""
        known = self._known.get(id(example))  # the study holds its examples as long as this lasts
        if known is None:
            spans = spans_of(self.encoder, example)
            known = np.array([start for start, _ in spans], dtype=np.int64), [text for _, text in spans]
            self._known[id(example)] = known
        return known


class _Pieces:
    """The pieces of several examples, one example after the other."""

    def __init__(self, cut: _Cutter, examples: Sequence[Example]) -> None:
        found = [cut(example) for example in examples]
        self.counts = [len(texts) for _, texts in found]
        self.texts = [text for _, texts in found for text in texts]
        offsets = np.cumsum([0, *(example.size for example in examples)])
        self._starts = np.concatenate([at + starts for at, (starts, _) in zip(offsets, found, strict=False)])
        self._scored = np.concatenate(
            [np.arange(example.size) >= example.size - example.tokens for example in examples]
        )
        self.scored = np.logical_or.reduceat(self._scored, self._starts)
        """Whether any token of the piece is scored."""

    def sums(self, values: Array) -> Array:
        """Sums over each piece's tokens; ``values``: shape (k, scored tokens) to (k, pieces)."""
        filled = np.zeros((len(values), len(self._scored)))
        filled[:, self._scored] = values
        summed: Array = np.add.reduceat(filled, self._starts, axis=1)
        return summed
