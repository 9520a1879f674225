"""The tables of an unlearning: its course, what else was lost, every text that was to go, and what was written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.specs.unlearn import BEFORE, RETRAINED
from untrac_core.stats.intervals import change_interval
from untrac_core.unlearning.metrics import epsilon, exposure, klom
from untrac_core.unlearning.metrics.summary import Array, ModelEvaluation, Place, Sets

CURVE_COLUMNS = ["method", "seed", "step", "kind", "name", "side", "loss", "genex"]
COLLATERAL_COLUMNS = ["method", "kind", "name", "side", "before", "after", "change", "low", "high", "retrained"]
FORGET_COLUMNS = [
    "id",
    "text",
    "tokens",
    "before",
    "after",
    "retrained",
    "genex",
    "memorisation",
    "difficulty",
    "memorised",
    "difficult",
    "unusual",
    "neighbour",
]
GENERATION_COLUMNS = ["subject", "seed", "prompt", "completion", "score", "harmful"]
SHUFFLES = 20
"""Of the ensemble audit's models between the two kinds, for what chance alone would read."""
FEWEST_PAIRS = 3
"""Below so many models of each kind the ensemble audit says nothing."""
Readings = Mapping[tuple[str, int], ModelEvaluation]


def curves_frame(
    tables: Mapping[tuple[str, int], pd.DataFrame],
    methods: Sequence[str],
    sets: Sets,
    retrained_models: Sequence[ModelEvaluation],
) -> pd.DataFrame:
    """Every look of every unlearning: the loss of each set, and the mean exposure of the forget set."""
    parts = [
        course_frame(table, sets, retrained_models).assign(method=subject, seed=seed)
        for (subject, seed), table in tables.items()
        if subject in methods
    ]
    return pd.concat(parts, ignore_index=True)[CURVE_COLUMNS]


def course_frame(table: pd.DataFrame, sets: Sets, retrained_models: Sequence[ModelEvaluation]) -> pd.DataFrame:
    """One unlearning's looks: step, kind, name, side, loss in nats per token, genex in bits."""
    rows = []
    losses = table[(table["quantity"] == "loss") & (table["kind"] != "run")]
    bank = (
        np.stack([retrained.values(sets.forget, "loss") for retrained in retrained_models])
        if retrained_models
        else None
    )
    for (step, kind, name, side), part in losses.groupby(["step", "kind", "name", "side"], sort=False):
        place = (str(kind), str(name), str(side))
        values = part["value"].to_numpy(dtype=np.float64)
        told = math.nan
        if kind == "forget" and bank is not None:
            told = exposure.summary(exposure.generalized_exposure(values[None], bank)).mean
        loss = float(values.sum() / sets.tokens[place].sum())
        rows.append({"step": step, "kind": kind, "name": name, "side": side, "loss": loss, "genex": told})
    return pd.DataFrame(rows, columns=CURVE_COLUMNS[2:]).sort_values("step", kind="stable")


def collateral_frame(readings: Readings, methods: Sequence[str], sets: Sets) -> pd.DataFrame:
    """What every set of texts lost by every method, in nats per token, with the interval over items and seeds.

    ``retrained``: what it loses in the retrained models; the retrained model is a method here, too.
    """
    before = next(reading for (subject, _), reading in readings.items() if subject == BEFORE)
    retrained_models = [reading for (subject, _), reading in readings.items() if subject == RETRAINED]
    rows = []
    for method in [*methods, *([RETRAINED] if retrained_models else [])]:
        own = [reading for (subject, _), reading in readings.items() if subject == method]
        for place, tokens in sets.tokens.items():
            losses = before.values(place, "loss")
            changes = np.stack([reading.values(place, "loss") - losses for reading in own])
            value, low, high = change_interval(changes, tokens, sets.clusters.get(place))
            start = float(losses.sum() / tokens.sum())
            usual = [
                float((retrained.values(place, "loss") - losses).sum() / tokens.sum()) for retrained in retrained_models
            ]
            rows.append(
                {
                    "method": method, "kind": place[0], "name": place[1], "side": place[2], "before": start,
                    "after": start + value, "change": value, "low": low, "high": high,
                    "retrained": float(np.mean(usual)) if usual else math.nan,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=COLLATERAL_COLUMNS)


def forget_examples_frame(
    readings: Readings, method: str, sets: Sets, texts: Sequence[tuple[str, str, float]]
) -> pd.DataFrame:
    """Every text that was to go and was looked at: losses in nats per token, exposure in bits, and its stratum.

    ``memorised`` and ``difficult`` are low, middle or high; ``unusual`` says that the text is unlike unseen text of its
    source to a model that never saw it. Without a retrained model these are empty. ``texts``: id, words, and of a
    neighbour its cosine with the nearest text that was asked for.
    """
    place, tokens = sets.forget, sets.tokens[sets.forget]
    by: dict[str, Array] = {}
    for subject in (BEFORE, method, RETRAINED):
        own = [reading.values(place, "loss") for (who, _), reading in readings.items() if who == subject]
        by[subject] = np.mean(own, axis=0) if own else np.full(len(tokens), math.nan)
    retrained_models = [reading for (who, _), reading in readings.items() if who == RETRAINED]
    frame = pd.DataFrame(
        {
            "id": [name for name, _, _ in texts], "text": [text for _, text, _ in texts], "tokens": tokens,
            "before": by[BEFORE] / tokens, "after": by[method] / tokens, "retrained": by[RETRAINED] / tokens,
        }
    )  # fmt: skip
    empty = {"genex": math.nan, "memorisation": math.nan, "difficulty": math.nan, "memorised": "", "difficult": ""}
    frame = frame.assign(**empty, unusual=False, neighbour=[cosine for _, _, cosine in texts])
    if not retrained_models:
        return frame[FORGET_COLUMNS]
    bank = np.stack([retrained.values(place, "loss") for retrained in retrained_models])
    after = np.stack([reading.values(place, "loss") for (who, _), reading in readings.items() if who == method])
    cut = exposure.strata(by[BEFORE], by[RETRAINED], tokens)
    frame["genex"] = exposure.generalized_exposure(after, bank)
    frame["memorisation"], frame["difficulty"] = cut.memorisation, cut.difficulty
    frame["memorised"] = [exposure.STRATA[code] for code in cut.memorisation_stratum]
    frame["difficult"] = [exposure.STRATA[code] for code in cut.difficulty_stratum]
    for unseen in sets.places("holdout"):
        usual = np.mean([retrained.values(unseen, "loss") for retrained in retrained_models], axis=0)
        frame["unusual"] = exposure.out_of_distribution(by[RETRAINED], tokens, usual, sets.tokens[unseen])
    return frame[FORGET_COLUMNS]


def generations_frame(readings: Readings, prompts: Sequence[str], threshold: float) -> pd.DataFrame:
    """What every model wrote, to the same prompts in the same order; without a scorer nothing is called harmful."""
    parts = []
    for (subject, seed), reading in readings.items():
        rows = reading.frame[reading.frame["quantity"] == "completion"]
        if not len(rows):
            continue
        scores = rows["value"].to_numpy(dtype=np.float64)
        parts.append(
            pd.DataFrame(
                {
                    "subject": subject, "seed": seed, "prompt": list(prompts), "completion": list(rows["text"]),
                    "score": scores, "harmful": scores >= threshold,
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=GENERATION_COLUMNS)


def ensemble_audit(tables: Sequence[pd.DataFrame], sets: Sets) -> dict[str, Any]:
    """The ensemble audit: epsilon of the 2023 challenge and KLoM over as many unlearned as retrained models.

    Both read far from perfect for equal models already where there are few of them, so each stands beside what it reads
    when the models are dealt anew between the two kinds at random: the chance level.
    """
    banks = {place: _banks(tables, place, "confidence") for place in sets.tokens if place[0] in _DEEP}
    unlearned, retrained = banks[sets.forget]
    models = len(unlearned)
    if models < FEWEST_PAIRS:
        return {"models": models, "too_few": True}
    eps = epsilon.epsilons(unlearned, retrained)
    forgetting = epsilon.forgetting_quality(eps, models)
    shuffled = [_dealt(unlearned, retrained, seed) for seed in range(SHUFFLES)]
    chance = [epsilon.forgetting_quality(epsilon.epsilons(*pair), models) for pair in shuffled]
    ratios = [_right_ratio(tables, sets, kind) for kind in ("subset", "holdout")]
    known = [1.0 if math.isnan(ratio) else ratio for ratio in ratios]
    return {
        "models": models,
        "too_few": False,
        "observable": epsilon.observable(models),
        "epsilon": float(np.nanmean(eps)),
        "forgetting": forgetting,
        "chance": float(np.mean(chance)),
        "as_low_by_chance": float(np.mean([value <= forgetting for value in chance])),
        "final": epsilon.final_score(forgetting, *known),
        "retain_ratio": ratios[0],
        "test_ratio": ratios[1],
        "klom": [_klom(place, *pair) for place, pair in banks.items()],
    }


_DEEP = ("forget", "holdout", "subset")


def _klom(place: Place, unlearned: Array, retrained: Array) -> dict[str, Any]:
    told = klom.summary(klom.divergences(unlearned, retrained))
    chance = [klom.summary(klom.divergences(*_dealt(unlearned, retrained, seed))).mean for seed in range(SHUFFLES)]
    return {
        "kind": place[0], "name": place[1], "mean": told.mean, "percentile95": told.percentile95,
        "chance": float(np.mean(chance)),
    }  # fmt: skip


def _banks(tables: Sequence[pd.DataFrame], place: Place, quantity: str) -> tuple[Array, Array]:
    """A quantity of every text, by the unlearned and by the retrained models, shape (models, items) each."""
    kind, name, side = place
    found = []
    for who in ("unlearned", "retrained"):
        of = []
        for table in tables:
            here = (table["kind"] == kind) & (table["name"] == name) & (table["side"] == side)
            of.append(table.loc[here & (table["quantity"] == f"{who} {quantity}"), "value"].to_numpy(dtype=np.float64))
        found.append(np.stack(of))
    return found[0], found[1]


def _dealt(first: Array, second: Array, seed: int) -> tuple[Array, Array]:
    """All models dealt anew: what two equal populations of this size would look like."""
    pool = np.concatenate([first, second])
    order = np.random.default_rng(seed).permutation(len(pool))
    return pool[order[: len(first)]], pool[order[len(first) :]]


def _right_ratio(tables: Sequence[pd.DataFrame], sets: Sets, kind: str) -> float:
    """Share of tokens that unlearned models get right, over that of the retrained ones."""
    right = np.zeros(2)
    for place in sets.places(kind):
        right += [bank.sum() for bank in _banks(tables, place, "matches")]
    return float(right[0] / right[1]) if right[1] else math.nan
