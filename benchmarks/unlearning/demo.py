"""The demo's model as a testbed, through the product: the same request that a page would make, with every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.unlearning import report
from untrac_core.demo.requests import demo_unlearning
from untrac_core.specs import StopRule, UnlearnSpec, unlearning_method_spec
from untrac_core.specs.catalogue import CONTROL, UNLEARNING
from untrac_core.specs.unlearn import BEFORE
from untrac_core.tasks.run import unlearn
from untrac_core.unlearning.metrics.summary import FORGET, RETAIN

SEEDS = (0, 1)
STEPS, EVERY, RELEARN, ITEMS = 60, 4, 60, 48
METHODS = ("npo", "npo, compensated", "grad-diff", "grin", "k-fade", "rest-flow", "retain-only")
"""Those of the laboratory that are run here, as an unlearning takes ten times as long."""
MEASURES = {
    "loss_forget": ("loss", FORGET),
    "loss_retain": ("loss", RETAIN),
    "kl_forget": ("kl", FORGET),
    "kl_retain": ("kl", RETAIN),
    "auc": ("auc", FORGET),
    "relearning": ("relearning", FORGET),
}


NAMES = {BEFORE: report.BEFORE}


def request(methods: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> UnlearnSpec:
    """Forget the forum; the methods by what the table calls them, the control excepted, which comes by itself."""
    named = [unlearning_method_spec(**of, label=title) for title, of in methods.items() if of["name"] != CONTROL]
    update = {
        "prompts": [], "generation": None, "method": named[0], "compare": named[1:], "seeds": list(seeds),
        "stop": StopRule(steps=STEPS, eval_every=EVERY), "relearn_steps": RELEARN, "eval_samples": ITEMS,
        "device": "cpu",
    }  # fmt: skip
    return UnlearnSpec.model_validate(demo_unlearning().model_copy(update=update).model_dump())


def held(method: str) -> dict[str, str]:
    """The settings by which a method with two losses holds the retain set where it is, and does not train on it."""
    return {"retain": "kl"} if "retain_weight" in UNLEARNING[method].takes else {}


def run(
    methods: Mapping[str, Mapping[str, Any]], seeds: Sequence[int], work: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """By subject and seed its numbers; finished cells and models in ``work`` are not computed again."""
    ran = unlearn(request(methods, seeds), work / "demo", cache=work / "cells", threads=1)
    rows = ran.metrics.set_index(["subject", "seed", "metric", "on"])["value"].to_dict()
    subjects = {(subject, seed) for subject, seed, _, _ in rows}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for subject, seed in sorted(subjects):
        values = {name: rows.get((subject, seed, *place)) for name, place in MEASURES.items()}
        found.setdefault(NAMES.get(subject, subject), {})[str(seed)] = {
            name: value for name, value in values.items() if value is not None
        }
    for row in ran.summary["methods"]:
        for values, steps in zip(found[row["method"]].values(), row["steps"], strict=True):
            values |= {"steps": steps, "collapsed": float(row["collapsed"])}
    return found
