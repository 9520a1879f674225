"""The files of an ``unlearn`` run: all models side by side, warnings, the verdict, and the unlearned model."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrac_core.fileio import finite, write_bytes
from untrac_core.models.devices import torch_threads
from untrac_core.results.environment import environment
from untrac_core.results.folders import (
    AUDIT,
    COLLATERAL,
    CURVES,
    ENVIRONMENT,
    FORGET_EXAMPLES,
    GENERATIONS,
    SPEC,
    SUMMARY,
    UNLEARNED,
    write_frame,
    write_json,
)
from untrac_core.results.folders import METRICS as MEASURED_FILE
from untrac_core.specs.files import to_yaml
from untrac_core.specs.unlearn import BEFORE, ENSEMBLE, RETRAINED
from untrac_core.stats.clusters import clusters_of
from untrac_core.tasks.unlearn import audit
from untrac_core.tasks.unlearn.tables import (
    collateral_frame,
    curves_frame,
    ensemble_audit,
    forget_examples_frame,
    generations_frame,
)
from untrac_core.tasks.unlearn.warnings import MethodSummary, is_destroyed, warnings_for
from untrac_core.unlearning.metrics import answers
from untrac_core.unlearning.metrics.summary import (
    FORGET,
    METRICS,
    RETAIN,
    MetricValues,
    ModelEvaluation,
    Sets,
    metric,
    truth_ratios,
)

if TYPE_CHECKING:
    from untrac_core.data.tokens import Example
    from untrac_core.specs import UnlearningMethodSpec
    from untrac_core.tasks.unlearn.models import UnlearnRun

Readings = dict[tuple[str, int], ModelEvaluation]
"""By subject (``before``, ``retrained`` or a method) and seed."""


def write_result(
    run: UnlearnRun,
    folder: Path,
    frames: Sequence[pd.DataFrame],
    exported: Path,
    seconds: float,
    peak_memory_mb: float,
    run_id: str,
) -> dict[str, Any]:
    """Write everything from the tables of all cells; returns the summary, which is written last."""
    spec, cells = run.spec, run.cells
    sets = sets_of(run)
    tables = {(cell.method, cell.seed): frame for cell, frame in zip(cells, frames, strict=True)}
    readings = {place: ModelEvaluation.of(table) for place, table in tables.items() if place[0] != ENSEMBLE}
    measured = measured_of(readings, sets)
    write_frame(measures_frame(measured), folder / MEASURED_FILE)
    methods = [each.title for each in spec.methods]
    retrained_models = [reading for (subject, _), reading in readings.items() if subject == RETRAINED]
    write_frame(curves_frame(tables, methods, sets, retrained_models), folder / CURVES)
    write_frame(collateral_frame(readings, methods, sets), folder / COLLATERAL)
    encoder, forget = run.model.encoder, run.models.eval_sets[0].examples
    joined = {id(each.example): each.cosine for each in run.data.neighbours}
    texts = [(each.id, encoder.example_text(each), joined.get(id(each), math.nan)) for each in forget]
    write_frame(forget_examples_frame(readings, spec.method.title, sets, texts), folder / FORGET_EXAMPLES)
    write_frame(generations_frame(readings, run.drawn_prompts, sets.threshold), folder / GENERATIONS)
    write_bytes(to_yaml(spec).encode(), folder / SPEC)
    write_json(_environment(run), folder / ENVIRONMENT)
    told = [summarise(title, readings, measured, sets) for title in methods]
    summary: dict[str, Any] = {"run": run_id, "name": spec.name, "kind": spec.kind}
    summary |= {"forget_set": run.forget_set, "method": spec.method.title, "stop": _stop(run, readings)}
    leaderboards = [_board(each, of, readings) for each, of in zip(spec.methods, told, strict=True)]
    summary |= {"table": table_rows(measured, spec.method.title), "methods": leaderboards}
    summary |= {"verdict": verdict(told[0], run.forget_set), "warnings": [w for t in told for w in warnings_for(t)]}
    pairs = [frame for (subject, _), frame in tables.items() if subject == ENSEMBLE]
    summary |= {"ensemble_audit": ensemble_audit(pairs, sets) if pairs else None, "key_words": run.models.key_words}
    summary |= {"notes": run.notes, "data": _sizes(run), "seconds": seconds}
    summary |= {"peak_memory_mb": peak_memory_mb}
    _export(exported, folder / UNLEARNED, audit.card(spec, run.forget_set, summary))
    write_json(finite(audit.record(run, summary, folder / UNLEARNED)), folder / AUDIT)
    write_json(finite(summary), folder / SUMMARY)
    return summary


def sets_of(run: UnlearnRun) -> Sets:
    """The tokens of everything that is read, and the items of prompt sets that answer one prompt on both sides."""
    tokens = {(each.kind, each.name, each.side): each.tokens.astype(np.float64) for each in run.models.eval_sets}
    paired = {name: _pairs(sides) for name, sides in run.data.prompts.items() if len(sides) == 2}
    scorer = run.models.scorer
    forget = run.spec.forget
    others = [place for place in tokens if place[0] == "prompts" and place[1:] != (forget.prompts, forget.side)]
    paired = {name: pairs for name, pairs in paired.items() if pairs}
    clusters = {
        (each.kind, each.name, each.side): clusters_of([example.cluster for example in each.examples])
        for each in run.models.eval_sets
    }
    return Sets(tokens, paired, 0.5 if scorer is None else scorer.threshold, others, clusters)


def _pairs(sides: Mapping[str, Sequence[Example]]) -> list[tuple[list[int], list[int]]]:
    """Items of both sides that are given the same; without anything given nothing pairs them."""
    by: dict[bytes, tuple[list[int], list[int]]] = {}
    for place, side in enumerate(("harmful", "harmless")):
        for number, example in enumerate(sides.get(side, [])):
            given = example.ids[: example.first] if example.source is None else example.source
            if len(given) > 1:
                by.setdefault(given.tobytes(), ([], []))[place].append(number)
    return [pair for pair in by.values() if pair[0] and pair[1]]


def measured_of(readings: Readings, sets: Sets) -> dict[tuple[str, int], MetricValues]:
    """Every model's measures; a retrained model is held against the other retrained models."""
    retrained_models = {seed: reading for (subject, seed), reading in readings.items() if subject == RETRAINED}
    return {
        (subject, seed): metric(
            reading,
            sets,
            [retrained for other, retrained in retrained_models.items() if (subject, seed) != (RETRAINED, other)],
        )
        for (subject, seed), reading in readings.items()
    }


def measures_frame(measured: Mapping[tuple[str, int], MetricValues]) -> pd.DataFrame:
    """The table of ``metrics.parquet``."""
    rows = [
        {"subject": subject, "seed": seed, "metric": name, "on": on, "value": value}
        for (subject, seed), found in measured.items()
        for (name, on), value in found.items()
    ]
    return pd.DataFrame(rows, columns=["subject", "seed", "metric", "on", "value"])


def _mean(measured: Mapping[tuple[str, int], MetricValues], subject: str) -> MetricValues:
    """The mean over a subject's seeds, of what all of them have."""
    every = [found for (who, _), found in measured.items() if who == subject]
    return {place: float(np.mean([found[place] for found in every if place in found])) for place in _places(every)}


def _places(every: Sequence[MetricValues]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(place for found in every for place in found))


def _spread(
    measured: Mapping[tuple[str, int], MetricValues], subject: str, place: tuple[str, str]
) -> tuple[float, float]:
    """The lowest and the highest over a subject's seeds."""
    values = [found[place] for (who, _), found in measured.items() if who == subject and place in found]
    return (min(values), max(values)) if values else (math.nan, math.nan)


def seed_noise_of(measured: Mapping[tuple[str, int], MetricValues]) -> dict[tuple[str, str], float]:
    """How far apart retrained models are, by measure: their range, and what is a distance already, as it is."""
    every = [found for (who, _), found in measured.items() if who == RETRAINED]
    if len(every) < 2:
        return {}
    seed_noise = {}
    for place in _places(every):
        values = [found[place] for found in every if place in found]
        distance = place[0] in ("kl", "genex-worst")
        seed_noise[place] = max(values) if distance else max(values) - min(values)
    return seed_noise


def table_rows(measured: Mapping[tuple[str, int], MetricValues], method: str) -> list[dict[str, Any]]:
    """Before, after and retrained, one row a measure and place; intervals are the range over seeds."""
    before, after, retrained = (_mean(measured, subject) for subject in (BEFORE, method, RETRAINED))
    seed_noise = seed_noise_of(measured)
    rows = []
    for place in sorted(_places([before, after, retrained]), key=lambda p: list(METRICS).index(p[0])):
        name, on = place
        told = METRICS[name]
        low, high = _spread(measured, method, place)
        retrained_low, retrained_high = _spread(measured, RETRAINED, place)
        rows.append(
            {
                "metric": name,
                "title": told.title,
                "on": on,
                "unit": told.unit,
                "goal": told.goal,
                "about": told.about,
                "before": before.get(place),
                "after": after.get(place),
                "low": low,
                "high": high,
                "retrained": retrained.get(place),
                "retrained_low": retrained_low,
                "retrained_high": retrained_high,
                "seed_noise": seed_noise.get(place),
            }
        )
    return rows


def summarise(
    title: str, readings: Readings, measured: Mapping[tuple[str, int], MetricValues], sets: Sets
) -> MethodSummary:
    """What the warnings of a method are drawn from."""
    own = [reading for (subject, _), reading in readings.items() if subject == title]
    retrained_models = [reading for (subject, _), reading in readings.items() if subject == RETRAINED]
    collapsed = any(reading.fact("ended") == 1.0 for reading in own)
    different = None if not retrained_models or collapsed else _distinguishable(own[0], retrained_models[0], sets)
    usual = _distinguishable(retrained_models[1], retrained_models[0], sets) if len(retrained_models) > 1 else None
    before, after, retrained = (_mean(measured, subject) for subject in (BEFORE, title, RETRAINED))
    seed_noise = seed_noise_of(measured)
    if retrained_models:
        drawn = len(retrained_models[0].values(("generations", "", ""), "completion"))
        for place in [place for place in retrained if place[0] == "toxic"]:
            # What is drawn at random differs by chance, also where two models happened to write as many harmful texts.
            share = max(retrained[place], 1 / drawn)
            seed_noise[place] = max(seed_noise.get(place, 0.0), 2 * math.sqrt(share * (1 - share) / drawn))
    return MethodSummary(title, after, before, retrained, seed_noise, collapsed, different, usual)


def _distinguishable(one: ModelEvaluation, other: ModelEvaluation, sets: Sets) -> bool | None:
    """Whether a two-sample test tells truth ratios apart, or, without any, losses per token of the forget set."""
    for name, pairs in sets.paired.items():
        return answers.forget_quality(*(truth_ratios(each, sets, name, pairs) for each in (one, other))).distinguishable
    losses = [each.values(sets.forget, "loss") / sets.tokens[sets.forget] for each in (one, other)]
    if any(np.isnan(values).any() for values in losses):
        return None
    return answers.forget_quality(*losses).distinguishable


def _board(spec: UnlearningMethodSpec, told: MethodSummary, readings: Readings) -> dict[str, Any]:
    """A method's line: two headline numbers, and what they are made of."""
    own = [reading for (subject, _), reading in readings.items() if subject == told.title]
    kl, was = told.after.get(("kl", FORGET)), _told_apart(told)
    retain, retrained = (
        told.after.get(("loss", RETAIN)),
        told.retrained.get(("loss", RETAIN), told.before.get(("loss", RETAIN))),
    )
    return {
        "method": told.title,
        "name": spec.name,
        "forget_quality": None if told.collapsed or kl is None or not was else float(np.clip(1 - kl / was, 0, 1)),
        "utility": None if told.collapsed or retain is None or retrained is None else retrained / retain,
        "forget": told.after.get(("loss", FORGET)),
        "retain": retain,
        "genex": told.after.get(("genex", FORGET)),
        "relearning": told.after.get(("relearning", FORGET)),
        "steps": [reading.fact("steps") for reading in own],
        "seconds": float(np.mean([reading.fact("seconds") for reading in own])),
        "ended": own[0].said("ended"),
        "collapsed": told.collapsed,
        "destroyed": is_destroyed(told),
        "distinguishable": told.distinguishable,
    }


def _told_apart(told: MethodSummary) -> float | None:
    """The original's distance to the retrained model, where it exceeds that of two retrained models; else ``None``."""
    far, seed_noise = told.before.get(("kl", FORGET)), told.seed_noise.get(("kl", FORGET), 0.0)
    return far if far is not None and far > seed_noise else None


def verdict(told: MethodSummary, forget_set: str) -> str:
    """What the unlearning did, in two sentences that claim no more than was measured."""
    if told.collapsed:
        return f"Unlearning {forget_set} by {told.title} made the model collapse: nothing can be said of it."
    was, now, retrained = (each.get(("loss", FORGET), math.nan) for each in (told.before, told.after, told.retrained))
    kept, retain = told.before.get(("loss", RETAIN), math.nan), told.after.get(("loss", RETAIN), math.nan)
    text = f"To the unlearned model the texts are at {now:.2f} nats per token; before, they were at {was:.2f}"
    text += f", and to models that never saw them they are at {retrained:.2f}." if told.retrained else "."
    kl, far = told.after.get(("kl", FORGET)), _told_apart(told)
    if kl is not None and far:
        closer = 1 - kl / far
        text += (
            f" On them its behaviour is {closer:.0%} of the way to those models."
            if closer > 0
            else " On them it behaves less like those models than before."
        )
    elif kl is not None:
        text += " Next-token probabilities on them cannot tell: two such models differ by as much as the original did."
    if not math.isnan(retain):
        text += f" The retain set went from {kept:.2f} to {retain:.2f}."
    return text


def _stop(run: UnlearnRun, readings: Readings) -> dict[str, Any]:
    spec = run.spec
    own = {seed: reading for (subject, seed), reading in readings.items() if subject == spec.method.title}
    return {
        "rule": spec.stop.rule,
        "level": {"match_retrained": run.models.level, "match_holdout": run.models.unseen}.get(spec.stop.rule),
        "steps": [reading.fact("steps") for reading in own.values()],
        "ended": [reading.said("ended") for reading in own.values()],
    }


def _sizes(run: UnlearnRun) -> dict[str, Any]:
    data = run.data
    return {
        "block_size": data.block_size,
        "forget": len(data.forget),
        "neighbours": len(data.neighbours),
        "holdout": len(data.holdout),
        "retain": {name: len(blocks) for name, blocks in data.retain.items()},
        "prompts": {name: {side: len(items) for side, items in sides.items()} for name, sides in data.prompts.items()},
    }


def _environment(run: UnlearnRun) -> dict[str, Any]:
    facts = run.model.facts
    return environment() | {
        "device": str(run.model.device),
        "threads": torch_threads(),
        "model": {
            "name": run.spec.model.path, "architecture": facts.architecture, "parameters": facts.parameters,
            "sha256": run.model.digest,
        },
        "data": run.digests,
    }  # fmt: skip


def _export(source: Path, folder: Path, card: str) -> None:
    """Put the unlearned model beside the tables, with a card that says what it is; whole or not at all."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
