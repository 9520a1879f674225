"""What the removal methods do to the laboratory's model, held against the exact retrain: section by section of a table.

Settings were looked at on the laboratory's seeds 2 and 3; here they are held to seeds 0 and 1. Run with ``-s`` for all
that is measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import unlearning_lab as lab
from lab_removals import Removed, loaded, removed, unequal_weights
from torch import nn

from untrac_core.data.tokens import Example
from untrac_core.models import LoadedModel
from untrac_core.progress import Silent
from untrac_core.unlearning.measures.exposure import generalized_exposure, steps_to_zero, summary
from untrac_core.unlearning.measures.membership import auc
from untrac_core.unlearning.readings import Watched, close_look
from untrac_core.unlearning.relearning import relearning_steps
from untrac_core.unlearning.stopping import Look

SEEDS = (0, 1)
STEPS = 100
NPO: dict[str, Any] = {"name": "npo", "beta": 0.5}
RUNS: dict[str, tuple[dict[str, Any], bool]] = {
    "npo": (NPO, False),
    "sim-npo": ({"name": "sim-npo", "beta": 2.5}, False),
    "grad-diff": ({"name": "grad-diff"}, False),
    "ascent, stopped": ({"name": "ascent"}, True),
    "grin": ({"name": "grin", "beta": 0.5}, False),
    "retain-only": ({"name": "retain-only"}, False),
}
"""Each run: its settings, and whether it stops at the gold's loss, looked at after every step; else it takes 100."""
RELEARNT = ("full", "gold", "npo")
EQUAL_STEPS = [name for name, (spec, stopped) in RUNS.items() if not stopped and spec["name"] != "retain-only"]


@dataclass(frozen=True)
class Measured:
    """One model; losses in nats per token, exposures in nats a sentence."""

    forget: float
    retain: float
    kl: float
    """KL(gold || model) of next tokens of what was to go, nats per token."""
    kl_retain: float
    toxic: float
    genex: float
    genex_worst: float
    loss_auc: float
    min_k_auc: float
    relearn: int | None
    """Of the models that a test asks it of, as it takes its time."""


MEASURED: dict[tuple[str, int], Measured] = {}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@cache
def texts() -> tuple[list[Example], list[Example], list[Example]]:
    """What is to go, what stays, and unseen text of the first's source."""
    return lab.subset("toxic"), lab.retained("toxic"), lab.unseen("toxic", 160)


@cache
def models(seed: int) -> dict[str, nn.Module]:
    return {
        "full": lab.trained(seed),
        "gold": lab.trained(seed, "toxic"),
        "another gold": lab.trained(1 - seed, "toxic"),
    }


@cache
def run(name: str, seed: int) -> Removed:
    forget, retain, _ = texts()
    spec, stopped = RUNS[name]
    level = lab.loss(models(seed)["gold"], forget)
    how: dict[str, Any] = {"rule": "gold", "level": level, "every": 1} if stopped else {"every": STEPS}
    return removed(models(seed)["full"], forget, retain, spec, steps=STEPS, gold=level, seed=seed, **how)


@cache
def measured(name: str, seed: int) -> Measured:
    forget, retain, unseen = texts()
    full, gold = models(seed)["full"], models(seed)["gold"]
    module = models(seed)[name] if name in models(seed) else run(name, seed).module
    stays = retain[::4]
    watched = [
        Watched("forget", "", "", forget),
        Watched("subset", "", "", stays),
        Watched("held-out", "", "", unseen),
    ]
    reading = close_look(loaded(module), watched, 0, gold)
    values = {key: part.to_numpy() for key, part in reading.groupby(["kind", "quantity"])["value"]}
    tokens = {each.kind: each.tokens for each in watched}
    genex = summary(generalized_exposure(lab.losses(module, forget)[None], lab.losses(gold, forget)[None]))
    MEASURED[name, seed] = Measured(
        forget=lab.loss(module, forget),
        retain=lab.loss(module, retain),
        kl=values["forget", "kl"].sum() / tokens["forget"].sum(),
        kl_retain=values["subset", "kl"].sum() / tokens["subset"].sum(),
        toxic=lab.p_toxic(module),
        genex=genex.mean_nats,
        genex_worst=genex.worst * np.log(2),
        loss_auc=auc(-values["forget", "loss"] / tokens["forget"], -values["held-out", "loss"] / tokens["held-out"]),
        min_k_auc=auc(-values["forget", "min-k"], -values["held-out", "min-k"]),
        relearn=relearning_steps(loaded(module), forget, forget, lab.loss(full, forget), 60, Silent())
        if name in RELEARNT
        else None,
    )
    return MEASURED[name, seed]


def mean(name: str, quantity: str) -> float:
    return float(np.mean([getattr(measured(name, seed), quantity) for seed in SEEDS]))


@pytest.fixture(scope="module", autouse=True)
def table(one_thread):
    """All that was measured, printed once the tests are done."""
    yield
    print("\n", " | ".join(["model", "seed", *Measured.__dataclass_fields__, "steps"]), sep="")
    for (name, seed), found in sorted(MEASURED.items()):
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in asdict(found).values()]
        steps = run(name, seed).course.kept if name in RUNS else 0
        print(" | ".join([name, str(seed), *cells, str(steps)]))


def test_npo_halves_the_distance_to_the_gold():
    assert mean("npo", "kl") <= 0.5 * mean("full", "kl")


@pytest.mark.xfail(
    strict=True,
    reason="KL to the gold on what is to go, nats a token: 1.30 and 0.05 on seeds 0 and 1, where the full model has "
    "0.58 and 0.55, so the mean is over the half. The draw of the noise decides: with beta 1 it is 0.97 and 0.04.",
)
def test_grin_halves_the_distance_to_the_gold():
    assert mean("grin", "kl") <= 0.5 * mean("full", "kl")


def test_grin_forgets_and_keeps():
    assert mean("grin", "toxic") <= 0.1
    assert mean("grin", "retain") <= 1.1 * mean("gold", "retain")
    assert abs(mean("grin", "genex")) <= 5


def test_npo_forgets_and_keeps():
    assert mean("npo", "retain") <= 1.1 * mean("gold", "retain")
    assert mean("full", "toxic") >= 0.3
    assert mean("npo", "toxic") <= 0.1
    assert mean("full", "genex") >= 10
    assert abs(mean("npo", "genex")) <= 5


def test_simple_npo_forgets_and_keeps():
    assert mean("sim-npo", "toxic") <= 0.1
    assert mean("sim-npo", "retain") <= 1.05 * mean("gold", "retain")


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_difference_with_its_cap_ends_near_the_gold(seed):
    found, gold = measured("grad-diff", seed), measured("gold", seed)
    assert abs(found.forget - gold.forget) <= 0.5
    assert found.retain <= 1.2 * gold.retain


def test_ascent_stops_at_the_gold():
    name = "ascent, stopped"
    for seed in SEEDS:
        course = run(name, seed).course
        assert "never saw them" in course.ended
        assert 0 < course.kept < STEPS
        assert measured(name, seed).forget >= measured("gold", seed).forget


def test_ascent_in_small_steps_keeps_most_when_it_stops():
    """At a rate of 5e-4 its last step goes too far: 1.24 times the gold's loss with seed 0, 1.45 with seed 1."""
    assert mean("ascent, stopped", "retain") <= 1.3 * mean("gold", "retain")


@pytest.mark.parametrize("seed", SEEDS)
def test_grin_moves_its_share_of_the_weights_and_no_other(seed):
    done = run("grin", seed)
    moved = unequal_weights(models(seed)["full"], done.module)
    masks = done.method.masks
    chosen = sum(int(mask.sum()) for mask in masks.values())
    assert abs(chosen / sum(mask.numel() for mask in masks.values()) - 0.3) <= 0.01
    assert not any(bool((moved[name] & ~mask).any()) for name, mask in masks.items())
    assert sum(int(each.sum()) for each in moved.values()) >= 0.99 * chosen


@pytest.mark.parametrize("name", EQUAL_STEPS)
def test_every_method_beats_training_on_what_stays(name):
    for seed in SEEDS:
        assert measured(name, seed).forget > measured("retain-only", seed).forget


def test_membership_attack():
    assert mean("full", "loss_auc") > mean("gold", "loss_auc") + 0.05
    assert abs(mean("npo", "loss_auc") - mean("gold", "loss_auc")) <= 0.06


def test_membership_attack_on_the_least_likely_tokens():
    """Weaker than by the whole loss, +.04 in the mean of the two seeds: of ten tokens it looks at four."""
    assert mean("full", "min_k_auc") > mean("gold", "min_k_auc") + 0.02
    assert abs(mean("npo", "min_k_auc") - mean("gold", "min_k_auc")) <= 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_relearning_shows_that_forgetting_is_shallow(seed):
    full, gold, npo = (measured(name, seed).relearn for name in ("full", "gold", "npo"))
    assert full == 0
    assert npo is not None
    assert gold is not None
    assert 0 < npo <= gold


def test_two_retrainings_differ_a_little():
    """The floor below which nothing may be claimed: a distance to one retrain that another has, too."""
    assert 0 < mean("another gold", "kl") <= 0.1 * mean("full", "kl")
    assert 0 < mean("another gold", "genex_worst") < 0.5 * mean("full", "genex")
    for seed in SEEDS:
        assert abs(measured("another gold", seed).genex) <= 0.1 * measured("full", seed).genex


# --- canaries, and texts like the others ---------------------------------------------------------------------------


@cache
def steps_to_forget(what: str, seed: int) -> int | None:
    """Steps of ascent, at a rate so small that a look after each tells them apart, until a set's exposure is 0."""
    canaries = what == lab.CANARIES
    gold = lab.losses(lab.trained(seed, what, canaries=canaries), lab.subset(what))[None]
    tokens = sum(example.tokens for example in lab.subset(what))
    means: list[float] = []

    def look(model: LoadedModel):
        def at(step: int) -> Look:
            losses = lab.losses(model.module, lab.subset(what))
            means.append(summary(generalized_exposure(losses[None], gold)).mean)
            return Look(step, float(losses.sum()) / tokens, 1.0)

        return at

    done = removed(
        lab.trained(seed, canaries=canaries), lab.subset(what), lab.retained(what),
        {"name": "ascent", "batch": 8},
        rule="gold", level=float(gold.sum()) / tokens, steps=200, every=1, seed=seed, look=look,
    )  # fmt: skip
    found = steps_to_zero([each.step for each in done.course.looks], means)
    print(f"\n{what}, seed {seed}: exposure {means[0]:.1f} bits, at 0 after {found} steps", end="")
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_canaries_take_far_more_steps_than_texts_like_the_others(seed):
    out, within = steps_to_forget(lab.CANARIES, seed), steps_to_forget(lab.ID_FORGET, seed)
    assert out is not None
    assert within is not None
    assert out >= 3 * within > 0


def test_exposure_of_canaries():
    known = [lab.exposures(lab.trained(seed, canaries=True)).mean() for seed in SEEDS]
    never = [lab.exposures(lab.trained(seed, lab.CANARIES, canaries=True)).mean() for seed in SEEDS]
    print(f"\nexposure of canaries {np.mean(known):.2f} bits, retrained {np.mean(never):.2f}", end="")
    assert np.mean(known) >= 6
    assert np.mean(never) <= 3
