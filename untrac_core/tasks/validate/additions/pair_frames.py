"""The frames of a validation's pairs, from its summary: what pages, reports and the shell show of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from untrac_core.text.numbers import count, figure

HEADING = "Interactions: two subsets left out at once"
SCORE_HEADING = "Sums of influence against pairs"
MEANING = (
    "Expected is what the influences of the two make together if they only add up, at the shares that the rest then "
    "has. The interaction is what leaving out both showed beyond that. Positive: each of the two stands in for the "
    "other where one alone is missing. Negative: together they do less than one by one. The intervals come from the "
    "spread between seeds, pooled over the pairs, and hold together in 95 % of cases."
)
SCORE_MEANING = (
    "Spearman's rank correlation over the pairs: the loss of a model trained without both, mean over seeds, against "
    "the sum of the influences of the two. The interval is a bootstrap over the pairs."
)
NUMBERS = ["both", "expected", "interaction", "low", "high"]


def places(summary: dict[str, Any]) -> list[str]:
    """The sides of which interactions are known, as 'prompt set: side', contrasts first; none without pairs."""
    rows = summary.get("pairs", {}).get("sides", [])
    return [_title(row) for row in sorted(rows, key=lambda row: row["side"] != "contrast")]


def interactions(summary: dict[str, Any], place: str) -> pd.DataFrame:
    """Every pair's interaction on a side, the largest first: pair, both, expected, interaction, low, high, verdict.

    Nats per token; may hold a user's words.
    """
    rows = [
        row | {"pair": " + ".join(row["without"]), "verdict": _verdict(row)}
        for row in summary.get("pairs", {}).get("interactions", [])
        if _title(row) == place
    ]
    frame = pd.DataFrame(rows, columns=["pair", *NUMBERS, "verdict"]).astype(dict.fromkeys(NUMBERS, float))
    return frame.sort_values("interaction", key=abs, ascending=False, ignore_index=True)


def _verdict(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return "one seed: cannot tell"
    return (
        ("more than the sum" if row["interaction"] > 0 else "less than the sum")
        if row["separable"]
        else "cannot separate"
    )


def _title(row: dict[str, Any]) -> str:
    return f"{row['prompt_set']}: {row['side']}"


def side_in_words(summary: dict[str, Any], place: str) -> str:
    """How far the pairs depart from their sums on a side, beside the seed noise, as a sentence."""
    [row] = [row for row in summary["pairs"]["sides"] if _title(row) == place]
    number = count(summary["pairs"]["count"], "pair")
    said = f"{number}: leaving out both departs from the sum by {figure(row['interaction'])} nats per token"
    said += f" where it moves the loss by {figure(row['both'])} (root mean squares)"
    if row["noise"] is None:
        return f"{said}. One seed says nothing of the noise of that: retrain with at least two."
    verdict = "more than noise" if row["separable"] else "cannot separate"
    p = "" if row["p_value"] is None else f", p = {figure(row['p_value'])}"
    return f"{said}; seed noise alone makes {figure(row['noise'])}: {verdict}{p}."


def trained_in_words(summary: dict[str, Any]) -> str:
    """What was trained, as a sentence."""
    pairs = summary["pairs"]
    seeds = count(len(pairs["seeds"]), "seed")
    return f"{count(pairs['count'], 'pair')} of subsets, each left out at once by {seeds} of retraining."
