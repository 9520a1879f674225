"""What is read off a model: every text's loss and, where an evaluation is close, what else its tokens say.

A reading is a long table, so that losses, counts and written texts of one model are one file: :data:`COLUMNS`. A place
is a set of texts by its kind (``forget``, ``holdout``, ``subset``, ``prompts``, ``canary``, ``candidate``), its name
and its side; a text is its number there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import collate, collate_sources, exact_enough, example_losses
from untrac_core.progress import Progress, Silent
from untrac_core.unlearning.metrics.membership import min_k
from untrac_core.unlearning.metrics.memorisation import extraction_strength

COLUMNS = ["step", "kind", "name", "side", "item", "quantity", "value", "text"]
MIN_K = 0.4
"""Share of a text's least likely tokens that Min-K looks at, as published for language models."""
CLOSE = ("matches", "extraction", "min-k", "confidence", "kl", "keys", "key-matches", "key-probability")
"""What a close look adds to ``loss`` and ``tokens``; see :func:`evaluate_tokens`."""


@dataclass(frozen=True)
class EvalSet:
    """A set of texts that is read: where it stands, and its texts. ``keys``: of each, which scored tokens are key."""

    kind: str
    name: str
    side: str
    examples: Sequence[Example]
    keys: Sequence[npt.NDArray[np.bool_]] | None = None

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """Scored tokens of each text."""
        return np.array([example.tokens for example in self.examples], dtype=np.int64)


def rows(
    eval_sets: EvalSet, step: int, quantity: str, values: npt.ArrayLike, texts: Sequence[str] | None = None
) -> pd.DataFrame:
    """One quantity of every text of a set."""
    found = np.asarray(values, dtype=np.float64)
    return pd.DataFrame(
        {
            "step": step,
            "kind": eval_sets.kind,
            "name": eval_sets.name,
            "side": eval_sets.side,
            "item": np.arange(len(found)),
            "quantity": quantity,
            "value": found,
            "text": list(texts) if texts is not None else "",
        }
    )[COLUMNS]


def fact(step: int, quantity: str, value: float, text: str = "") -> pd.DataFrame:
    """Something about the whole model, in the place ``run``."""
    return rows(EvalSet("run", "", "", ()), step, quantity, [value], [text])


def evaluate_losses(
    model: LoadedModel, eval_sets: Sequence[EvalSet], step: int, progress: Progress | None = None
) -> pd.DataFrame:
    """Every text's summed loss, in nats."""
    every = [example for each in eval_sets for example in each.examples]
    losses = example_losses(model.module, every, model.device, model.facts.vocab_size, progress, dtype=model.dtype)
    parts, start = [], 0
    for each in eval_sets:
        parts.append(rows(each, step, "loss", losses[start : start + len(each.examples)]))
        start += len(each.examples)
    return pd.concat(parts, ignore_index=True)


def mean_loss(reading: pd.DataFrame, eval_sets: Sequence[EvalSet], kind: str, name: str | None = None) -> float:
    """Of all texts of a kind in a reading, in nats per token; not a number where there are none."""
    here = (reading["kind"] == kind) & (reading["quantity"] == "loss")
    here &= True if name is None else reading["name"] == name
    of = [each for each in eval_sets if each.kind == kind and name in (None, each.name)]
    tokens = sum(int(each.tokens.sum()) for each in of)
    # pandas would take losses that are no numbers for losses of zero.
    return float(reading.loc[here, "value"].to_numpy().sum() / tokens) if tokens else float("nan")


@torch.no_grad()
def evaluate_tokens(
    model: LoadedModel,
    eval_sets: Sequence[EvalSet],
    step: int,
    retrained: nn.Module | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Every text's ``loss`` and, of its scored tokens: ``matches``, how many are the likeliest ones; ``extraction``
    strength; ``min-k``, the mean loss of the least likely; ``confidence``, the mean of log p - log(1 - p), the logit-
    scaled confidence of the right token, which is also its margin over all others; and with ``retrained`` ``kl``,
    the sum of KL(retrained || model) of the next-token distributions, in nats. Where a set has key tokens, ``keys``
    counts them, with ``key-matches`` and ``key-probability``, the sum of their probabilities: what only fills a
    sentence does not count (Anjarlekar and Pombra, 2025)."""
    parts = []
    for number, each in enumerate(eval_sets, 1):
        asked = [name for name in CLOSE if (retrained is not None or name != "kl") and (each.keys or "key" not in name)]
        found = {name: np.full(len(each.examples), np.nan) for name in ("loss", *asked)}
        plan = batches(each.examples, batch_tokens(model.facts.vocab_size))
        for batch in plan:
            chosen = [each.examples[i] for i in batch]
            own, right, counted = next_log_probabilities(model, chosen)
            other = None if retrained is None else next_log_probabilities(replace(model, module=retrained), chosen)[0]
            for row, index in enumerate(batch):
                of = counted[row]
                keys = None if each.keys is None else each.keys[index]
                told = _told(own[row][of], right[row][of], None if other is None else other[row][of], keys)
                for name, value in told.items():
                    found[name][index] = value
        parts += [rows(each, step, name, values) for name, values in found.items()]
        (progress or Silent()).tick(number, len(eval_sets))
    return pd.concat(parts, ignore_index=True)


def next_log_probabilities(
    model: LoadedModel, examples: Sequence[Example]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Next-token log-probabilities (texts, longest - 1, vocabulary), the right tokens, and which are scored."""
    ids, attention, scored = collate(examples, model.device)
    given = {"input_ids": ids, "attention_mask": attention}
    if examples[0].source is not None:
        source, seen = collate_sources(examples, model.device)
        given = {"input_ids": source, "attention_mask": seen}
        given |= {"decoder_input_ids": ids, "decoder_attention_mask": attention}
    with model.computing():
        logits = model.module(**given, use_cache=False).logits
    return functional.log_softmax(exact_enough(logits[:, :-1]), -1), ids[:, 1:], scored[:, 1:]


def _told(
    own: torch.Tensor, right: torch.Tensor, other: torch.Tensor | None, keys: npt.NDArray[np.bool_] | None
) -> dict[str, float]:
    """What the scored tokens of one text say: log-probabilities of shape (tokens, vocabulary)."""
    chosen = own.gather(1, right[:, None])[:, 0].double()
    hits = own.argmax(1) == right
    # log(1 - p) straight from log p: exact where p is near 1.
    rest = torch.log(-torch.expm1(chosen.clamp(max=-1e-12)))
    losses, correct = (-chosen).cpu().numpy(), hits.cpu().numpy()
    told = {
        "loss": float(losses.sum()),
        "matches": float(correct.sum()),
        "extraction": float(extraction_strength(correct)),
        "min-k": float(min_k(losses, MIN_K)),
        "confidence": float((chosen - rest).mean()),
    }
    if other is not None:
        told["kl"] = float((other.exp() * (other - own)).double().sum())
    if keys is not None:
        probabilities = chosen.exp().cpu().numpy()
        told |= {"keys": float(keys.sum()), "key-matches": float((correct & keys).sum())}
        told["key-probability"] = float(probabilities[keys].sum())
    return told
