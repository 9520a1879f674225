"""What each method was seen to be worth on testbeds with retrained models, and which of these a run is most like."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from untrac_core.paths import PROJECT
from untrac_core.results.folders import TraceFiles

CARD = PROJECT / "assets" / "evidence.json"
"""Made by ``python -m benchmarks.accuracy.card``."""
WHAT_IF_CARD = PROJECT / "assets" / "what_if.json"
"""Made by ``python -m benchmarks.what_if``."""
SEEDS_AGREE = (
    "How well two retrainings that differ in their seed agree about a contrast (harmful minus harmless). Below .8 the "
    'truth itself depends on the seed, and the right answer is "cannot separate".'
)
"""What a table of :attr:`Testbed.contrasts` says."""
FAMILIES = {"opt": "opt", "gpt2": "gpt2", "llama": "llama", "mistral": "llama", "gpt_neox": "gpt-neox", "qwen": "qwen3"}
"""Which testbed's architecture stands for a model's, by how its name begins."""


@dataclass(frozen=True)
class Testbed:
    """A model with retrainings: what it is, which contrasts these resolve, and how every method agreed."""

    name: str
    title: str
    architecture: str
    subsets: int
    largest_share: float
    """Of one subset in the training."""
    seeds: int
    contrasts: dict[str, dict[str, Any]]
    """By prompt set: ``seeds_agree``, the r of one retraining seed with another; ``resolvable``: whether by .8."""
    methods: dict[str, dict[str, float]]
    """By method: r, spearman, signs, slope and others, means over the sides that can be resolved."""
    unseen: bool = False
    """Whether nobody had looked at it while methods were chosen."""


@cache
def testbeds() -> tuple[Testbed, ...]:
    """All that are known, in the order of the card."""
    return tuple(Testbed(**bed) for bed in _card()["testbeds"])


@cache
def chosen_on() -> dict[str, str]:
    """By method: what its settings were chosen on, in words."""
    return dict(_card()["chosen_on"])


def _card() -> Any:
    return json.loads(CARD.read_text(encoding="utf-8"))


def most_like(result: TraceFiles) -> Testbed:
    """The testbed that a run is most like: first by its largest subset, which decides most, then by architecture.

    A largest subset counts where sizes do (``weighting: proportional``); else all are taken as equal.
    """
    share = 1 / len(result.spec.subsets)
    if result.spec.weighting == "proportional":
        known = result.summary.get("data", {}).get("subsets", {})
        tokens = [facts["tokens"] for facts in known.values()] or [1.0]
        share = max(tokens) / sum(tokens)
    kind = str(result.environment.get("model", {}).get("architecture", "")).lower()
    family = next((own for start, own in FAMILIES.items() if kind.startswith(start)), "")
    beds = testbeds()
    return min(beds, key=lambda bed: (round(abs(bed.largest_share - share), 1), bed.architecture != family))


def in_words(result: TraceFiles) -> str:
    """How the method of a run agreed with retraining on the testbed that is most like it."""
    bed, method = most_like(result), result.spec.method
    known = bed.methods.get(method.name) if method.variant != "paper" else None
    where = f"the testbed that is most like this run ({bed.title}; small models, {bed.seeds} retrainings of each)"
    if known is None:
        return f"How well this method agrees with retraining was not measured on {where}."
    return (
        f"On {where}, this method agreed with retraining to r = {known['r']:.2f} on average, and got "
        f"the sign right in {known['signs']:.0%} of the cases; one retraining agreed with others to "
        f"{known['one_retraining']:.2f}."
    )


@cache
def what_if_checked() -> str:
    """How far what-if was checked, and what it speaks of, in words."""
    found = json.loads(WHAT_IF_CARD.read_text(encoding="utf-8"))
    return (
        f"Checked on the bundled demo alone, by retraining it on {found['mixes']} other mixes: predicted and retrained "
        f"changes agreed to r = {found['r']:.2f}, and {found['coverage']:.0%} of the retrained changes were inside the "
        "95% interval. How well it holds for other texts and models is not known. It speaks of a training of the same "
        "recipe and length, not of the finished model trained on."
    )
