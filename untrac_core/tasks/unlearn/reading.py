"""How the numbers of an unlearning are to be read: the notes that stand under its tables and figures."""

from __future__ import annotations

from typing import Any

import pandas as pd

SEED_NOISE = (
    "The retrained model is the mean of models that were trained in the same way and never saw the texts. The seed "
    "noise is how far two of them are apart: a difference below it cannot be told from chance."
)
NO_REFERENCE = (
    "There is no retrained model here: the request has no training recipe, so no model was trained that never saw the "
    "texts. What such a model would do is unknown. Relative exposure and membership are weaker stand-ins, on which a "
    "destroyed model looks perfect."
)
NO_CURVES = "No method was looked at on its way: retrained models have no history of unlearning."
NO_TRADEOFF = "Nothing was to stay, or no method was looked at on its way, so there is no line to draw."
COLLATERAL = (
    "The first rows are the forget set and text like it; colours are scaled to the others. Where the retrained model "
    "moves too, the same change is no loss."
)
STRIP = (
    "Right of 0: still likelier than to the retrained model; left: unlikelier than to a model that never saw it. "
    "Memorised: how much likelier it was to the original than to the retrained model. Difficult: how unlikely it is to "
    "the retrained model. Thirds of these texts, so each row says more or less, not much or little."
)
NO_STRIP = "Without a retrained model nothing says how unlikely each text should be; below are their losses alone."
KLOM = "KLoM compares how sure models are of each text. Read it beside its chance level, never by itself."


def tradeoff(*, retrained: bool) -> str:
    """What is good in the figure of what was forgotten for which cost."""
    if not retrained:
        return "Better is higher at the same place across. Without a retrained model nothing says how high is enough."
    return (
        "Exposure: how much likelier the texts are than to the retrained model. Better is nearer to the retrained "
        "model: down to 0, but not below, and not to the right, where the retain set is lost."
    )


def methods(table: pd.DataFrame, *, retrained: bool) -> str:
    """What the two headline numbers of a method are worth; ``table``: :func:`frames.leaderboard`."""
    said = "Forget quality and utility are two numbers and are not multiplied: a method can have one without the other."
    if (table["forget_quality"] == "cannot tell").any():
        said += (
            " Forget quality needs a retrained model, and two of them that are closer to each other than to the "
            "original."
        )
    if retrained:
        said += " Fewer steps to relearn than the retrained model: some of it was hidden, not gone."
    return said


def ensemble(audit: dict[str, Any]) -> str:
    """Whether as many unlearned models can be told from retrained ones; numbers only."""
    models = int(audit["models"])
    if audit.get("too_few"):
        return f"With {models} models of each kind the ensemble audit says nothing; ask for at least three."
    low = float(audit["as_low_by_chance"])
    verdict = (
        "An attacker can tell them apart better than chance allows."
        if low <= 0.05
        else "Nothing here shows that they can be told apart; so few models could hide much."
    )
    return (
        f"{verdict} Forgetting quality F is {audit['forgetting']:.2f}; where the same {2 * models} models are dealt to "
        f"the two kinds at random it is {audit['chance']:.2f}, and as low as here in {low:.0%} of the deals."
    )


def ensemble_facts(audit: dict[str, Any]) -> dict[str, str]:
    """The numbers of an ensemble audit that had models enough, by what they are."""
    models = int(audit["models"])
    return {
        "Mean epsilon": f"{audit['epsilon']:.2f} (at most {audit['observable']:.2f} can be seen with {models} models)",
        "F, beside chance": f"{audit['forgetting']:.2f} beside {audit['chance']:.2f} (1: never told apart)",
        "Accuracy on the retain set": _ratio(audit.get("retain_ratio")),
        "Accuracy on unseen text": _ratio(audit.get("test_ratio")),
        "Final score": f"{audit['final']:.2f} (F times both ratios, as in the challenge of 2023)",
    }


def ensemble_klom(audit: dict[str, Any]) -> pd.DataFrame:
    """KLoM of every set of texts: place (a user's word), mean, percentile95 and chance, in nats."""
    names = {"forget": "the forget set", "holdout": "holdout text"}
    klom = pd.DataFrame(audit["klom"])
    klom["place"] = [names.get(kind, name) for kind, name in zip(klom["kind"], klom["name"], strict=True)]
    return klom[["place", "mean", "percentile95", "chance"]]


def _ratio(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} of the retrained models'"
