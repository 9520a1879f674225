"""What the unlearning methods do to the laboratory's model, against exact retraining: a table, section by section.

Settings were looked at on the laboratory's seeds 2 and 3; here they are held to seeds 0 and 1. The laboratory is in
float64, so that a bound is met, or missed, on every kind of processor alike. Run with ``-s`` for all that is measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import unlearning_lab as lab
from tests.helpers.lab_unlearning import Unlearned, loaded, looker, result, steps_to_zero, unequal_weights
from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.progress import Silent
from untrac_core.unlearning.evaluate import EvalSet, evaluate_tokens
from untrac_core.unlearning.metrics.exposure import generalized_exposure, summary
from untrac_core.unlearning.metrics.membership import auc
from untrac_core.unlearning.relearning import relearning_steps
from untrac_core.unlearning.stopping import EvalPoint

pytestmark = pytest.mark.slow  # the laboratory: a dozen trainings, and an unlearning by each method

SEEDS = (0, 1)
STEPS = 100
NPO: dict[str, Any] = {"name": "npo", "beta": 0.5}
RUNS: dict[str, tuple[dict[str, Any], bool]] = {
    "npo": (NPO, False),
    "simnpo": ({"name": "simnpo", "beta": 2.5}, False),
    "grad-diff": ({"name": "grad-diff"}, False),
    "ascent, stopped": ({"name": "grad-ascent"}, True),
    "grin": ({"name": "grin", "beta": 0.5}, False),
    "retain-only": ({"name": "retain-only"}, False),
    "k-fade, stopped": ({"name": "k-fade"}, True),
    "rest-flow": ({"name": "rest-flow"}, False),
}
"""Each run: its settings, and whether it stops at the retrained model's loss, evaluated every step; else after 100."""
FLOW_STEPS = 20
"""Of the rest flow, as of UnTrac's."""
CURVED = ("k-fade, stopped", "rest-flow")
RELEARNT = ("full", "retrained", "npo")
EQUAL_STEPS = [name for name, (spec, stopped) in RUNS.items() if not stopped and name not in ("retain-only", *CURVED)]


@dataclass(frozen=True)
class Measured:
    """One model; losses in nats per token, exposures in nats a sentence."""

    forget: float
    retain: float
    kl: float
    """KL(retrained || model) of next tokens of the forget set, nats per token."""
    kl_retain: float
    toxic: float
    genex: float
    genex_worst: float
    loss_auc: float
    min_k_auc: float
    relearn_steps: int | None
    """Of the models that a test asks it of, as it takes its time."""


MEASURED: dict[tuple[str, int], Measured] = {}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@cache
def texts() -> tuple[list[Example], list[Example], list[Example]]:
    """The forget set, the retain set, and unseen text of the first's source."""
    return lab.subset("toxic"), lab.retained("toxic"), lab.unseen("toxic", 160)


@cache
def models(seed: int) -> dict[str, nn.Module]:
    return {
        "full": lab.trained(seed),
        "retrained": lab.trained(seed, "toxic"),
        "another retrained model": lab.trained(1 - seed, "toxic"),
    }


@cache
def run(name: str, seed: int) -> Unlearned:
    forget, retain, _ = texts()
    spec, stopped = RUNS[name]
    level = lab.loss(models(seed)["retrained"], forget)
    how: dict[str, Any] = (
        {"rule": "match_retrained", "level": level, "eval_every": 1} if stopped else {"eval_every": STEPS}
    )
    steps = FLOW_STEPS if name == "rest-flow" else STEPS
    return result(
        models(seed)["full"], forget, retain, spec, steps=steps, retrained=level, seed=seed,
        look=lambda model: looker(model, forget, retain[::8]), **how,
    )  # fmt: skip


@cache
def measured(name: str, seed: int) -> Measured:
    forget, retain, unseen = texts()
    full, retrained = models(seed)["full"], models(seed)["retrained"]
    module = models(seed)[name] if name in models(seed) else run(name, seed).module
    retain = retain[::4]
    eval_sets = [
        EvalSet("forget", "", "", forget),
        EvalSet("subset", "", "", retain),
        EvalSet("holdout", "", "", unseen),
    ]
    reading = evaluate_tokens(loaded(module), eval_sets, 0, retrained)
    values = {key: part.to_numpy() for key, part in reading.groupby(["kind", "quantity"])["value"]}
    tokens = {each.kind: each.tokens for each in eval_sets}
    genex = summary(generalized_exposure(lab.losses(module, forget)[None], lab.losses(retrained, forget)[None]))
    MEASURED[name, seed] = Measured(
        forget=lab.loss(module, forget),
        retain=lab.loss(module, retain),
        kl=values["forget", "kl"].sum() / tokens["forget"].sum(),
        kl_retain=values["subset", "kl"].sum() / tokens["subset"].sum(),
        toxic=lab.p_toxic(module),
        genex=genex.mean_nats,
        genex_worst=genex.worst * np.log(2),
        loss_auc=auc(-values["forget", "loss"] / tokens["forget"], -values["holdout", "loss"] / tokens["holdout"]),
        min_k_auc=auc(-values["forget", "min-k"], -values["holdout", "min-k"]),
        relearn_steps=relearning_steps(loaded(module), forget, forget, lab.loss(full, forget), 60, Silent())
        if name in RELEARNT
        else None,
    )
    return MEASURED[name, seed]


def mean(name: str, quantity: str) -> float:
    return float(np.mean([getattr(measured(name, seed), quantity) for seed in SEEDS]))


def distance(name: str, quantity: str) -> float:
    """How far a model is from the retrained model, the mean over the seeds."""
    apart = [getattr(measured(name, seed), quantity) - getattr(measured("retrained", seed), quantity) for seed in SEEDS]
    return float(np.mean(np.abs(apart)))


@pytest.fixture(scope="module", autouse=True)
def table(one_thread):
    """All that was measured, printed once the tests are done."""
    yield
    print("\n", " | ".join(["model", "seed", *Measured.__dataclass_fields__, "steps"]), sep="")
    for (name, seed), found in sorted(MEASURED.items()):
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in asdict(found).values()]
        steps = run(name, seed).history.kept if name in RUNS else 0
        print(" | ".join([name, str(seed), *cells, str(steps)]))


@pytest.mark.parametrize("name", EQUAL_STEPS)
def test_the_distance_to_the_retrained_model_is_halved(name):
    """In loss and in exposure alike simnpo leaves 0.21 of it, grin and grad-diff 0.30, npo 0.41, the control 0.63.

    KL to the retrained model says nothing here: it hangs on where the probability goes that a text loses, and is 1.9
    nats per token after npo, which leaves the texts too unlikely, 0.6 before, and 0.3 after the control."""
    for quantity in ("forget", "genex"):
        assert distance(name, quantity) <= 0.5 * distance("full", quantity)
        assert distance("retain-only", quantity) > 0.55 * distance("full", quantity)


@pytest.mark.parametrize(("name", "toxic", "retain"), [("npo", 0.1, 1.1), ("simnpo", 0.1, 1.05), ("grin", 0.25, 1.1)])
def test_it_forgets_and_keeps(name, toxic, retain):
    """Probability of an insult: 0.50 before, 0.03 after npo, 0.01 after simnpo, 0.15 after grin."""
    assert mean("full", "toxic") >= 0.4
    assert mean(name, "toxic") <= toxic
    assert mean(name, "retain") <= retain * mean("retrained", "retain")


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_difference_with_its_cap_ends_near_the_retrained_model(seed):
    """A step or two too far, by 0.33 and 0.74 nats per token; the full model is 1.8 away."""
    found, retrained = measured("grad-diff", seed), measured("retrained", seed)
    assert abs(found.forget - retrained.forget) <= 1.0
    assert found.retain <= 1.2 * retrained.retain


def test_ascent_stops_at_the_retrained_model():
    name = "ascent, stopped"
    for seed in SEEDS:
        history = run(name, seed).history
        assert "never saw them" in history.ended
        assert 0 < history.kept < STEPS
        assert measured(name, seed).forget >= measured("retrained", seed).forget


def test_ascent_in_small_steps_keeps_most_when_it_stops():
    """At a rate of 5e-4 the last step goes too far: 1.24 times the retrained model's loss (seed 0), 1.45 (seed 1)."""
    assert mean("ascent, stopped", "retain") <= 1.3 * mean("retrained", "retain")


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


def test_k_fade_costs_the_retain_set_less_than_ascent_that_goes_as_far():
    """Seed 0 alone, as each takes its time. What is said in the place of the forget set is no retrained model's."""
    found, ascent = measured("k-fade, stopped", 0), measured("ascent, stopped", 0)
    full, retrained = measured("full", 0), measured("retrained", 0)
    assert found.forget > full.forget + 0.9 * (retrained.forget - full.forget)
    assert found.retain - full.retain < 0.6 * (ascent.retain - full.retain)
    assert found.kl > full.kl


def test_the_rest_flow_brings_the_retain_set_nearer_to_the_retrained_model():
    """And an insult from 0.49 to 0.15; of the forget set's way it goes an eighth, and its KL stays as it was."""
    full, found = measured("full", 0), measured("rest-flow", 0)
    assert full.forget + 0.1 < found.forget < measured("retrained", 0).forget
    assert found.toxic < 0.5 * full.toxic
    assert found.kl_retain < 0.7 * full.kl_retain
    assert found.retain < full.retain


def test_membership_attack():
    assert mean("full", "loss_auc") > mean("retrained", "loss_auc") + 0.05
    assert abs(mean("npo", "loss_auc") - mean("retrained", "loss_auc")) <= 0.06


def test_membership_attack_on_the_least_likely_tokens():
    """Weaker than by the whole loss, +.024 in the mean of the two seeds: of ten tokens it looks at four."""
    assert mean("full", "min_k_auc") > mean("retrained", "min_k_auc") + 0.02
    assert abs(mean("npo", "min_k_auc") - mean("retrained", "min_k_auc")) <= 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_relearning_shows_that_forgetting_is_shallow(seed):
    full, retrained, npo = (measured(name, seed).relearn_steps for name in ("full", "retrained", "npo"))
    assert full == 0
    assert npo is not None
    assert retrained is not None
    assert 0 < npo <= retrained


def test_two_retrainings_differ_a_little():
    """The floor below which nothing may be claimed: a distance to one retrain that another has, too."""
    assert 0 < mean("another retrained model", "kl") <= 0.1 * mean("full", "kl")
    assert 0 < mean("another retrained model", "genex_worst") < 0.5 * mean("full", "genex")
    for seed in SEEDS:
        assert abs(measured("another retrained model", seed).genex) <= 0.1 * measured("full", seed).genex


# --- canaries, and texts like the others ---------------------------------------------------------------------------


@cache
def steps_to_forget(what: str, seed: int) -> int | None:
    """Steps of ascent until a set's exposure is 0, at a rate so small that one evaluation per step tells them apart."""
    canaries = what == lab.CANARIES
    retrained = lab.losses(lab.trained(seed, what, canaries=canaries), lab.subset(what))[None]
    tokens = sum(example.tokens for example in lab.subset(what))
    means: list[float] = []

    def look(model: LoadedModel):
        def at(step: int) -> EvalPoint:
            losses = lab.losses(model.module, lab.subset(what))
            means.append(summary(generalized_exposure(losses[None], retrained)).mean)
            return EvalPoint(step, float(losses.sum()) / tokens, 1.0)

        return at

    done = result(
        lab.trained(seed, canaries=canaries), lab.subset(what), lab.retained(what),
        {"name": "grad-ascent", "batch_size": 8},
        rule="match_retrained", level=float(retrained.sum()) / tokens, steps=200, eval_every=1, seed=seed, look=look,
    )  # fmt: skip
    found = steps_to_zero([each.step for each in done.history.eval_points], means)
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
