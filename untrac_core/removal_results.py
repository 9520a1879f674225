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

from untrac_core import audit
from untrac_core.environment import environment
from untrac_core.removal_measures import FORGET, MEASURES, STAYS, Measured, Reading, Sets, measure, truth_ratios
from untrac_core.removal_tables import collateral_frame, curves_frame, deep_summary, forgotten_frame, written_frame
from untrac_core.removal_warnings import Told, is_destroyed, warnings_of
from untrac_core.results import (
    AUDIT,
    COLLATERAL,
    CURVES,
    ENVIRONMENT,
    FORGOTTEN,
    SPEC,
    SUMMARY,
    UNLEARNED,
    WRITTEN,
    write_frame,
    write_json,
)
from untrac_core.results import MEASURES as MEASURED_FILE
from untrac_core.spec_files import to_yaml
from untrac_core.unlearn_spec import BEFORE, DEEP, GOLD
from untrac_core.unlearning.measures import answers
from untrac_core.writing import finite, write_bytes

if TYPE_CHECKING:
    from untrac_core.data.tokens import Example
    from untrac_core.removal import Remover
    from untrac_core.specs import RemovalSpec

Readings = dict[tuple[str, int], Reading]
"""By subject (``before``, ``gold`` or a method) and seed."""


def write_removal(
    remover: Remover,
    folder: Path,
    frames: Sequence[pd.DataFrame],
    exported: Path,
    seconds: float,
    peak_memory_mb: float,
    run: str,
) -> dict[str, Any]:
    """Write everything from the tables of all cells; returns the summary, which is written last."""
    spec, cells = remover.spec, remover.all_cells
    sets = sets_of(remover)
    tables = {(cell.method, cell.seed): frame for cell, frame in zip(cells, frames, strict=True)}
    readings = {place: Reading.of(table) for place, table in tables.items() if place[0] != DEEP}
    measured = measured_of(readings, sets)
    write_frame(measures_frame(measured), folder / MEASURED_FILE)
    methods = [each.title for each in spec.methods]
    golds = [reading for (subject, _), reading in readings.items() if subject == GOLD]
    write_frame(curves_frame(tables, methods, sets, golds), folder / CURVES)
    write_frame(collateral_frame(readings, methods, sets), folder / COLLATERAL)
    encoder, forget = remover.model.encoder, remover.subjects.watched[0].examples
    texts = [(example.id, encoder.example_text(example)) for example in forget]
    write_frame(forgotten_frame(readings, spec.method.title, sets, texts), folder / FORGOTTEN)
    write_frame(written_frame(readings, remover.drawn_prompts, sets.threshold), folder / WRITTEN)
    write_bytes(to_yaml(spec).encode(), folder / SPEC)
    write_json(_environment(remover), folder / ENVIRONMENT)
    told = [told_of(title, readings, measured, sets) for title in methods]
    summary: dict[str, Any] = {"run": run, "name": spec.name, "kind": spec.kind}
    summary |= {"target": remover.target, "method": spec.method.title, "stop": _stop(remover, readings)}
    boards = [_board(each, of, readings) for each, of in zip(spec.methods, told, strict=True)]
    summary |= {"table": table_rows(measured, spec.method.title), "methods": boards}
    summary |= {"verdict": verdict(told[0], remover.target), "warnings": [w for t in told for w in warnings_of(t)]}
    deep = [frame for (subject, _), frame in tables.items() if subject == DEEP]
    summary |= {"deep": deep_summary(deep, sets) if deep else None, "key_words": remover.subjects.key_words}
    summary |= {"notes": remover.notes(), "data": _sizes(remover), "seconds": seconds}
    summary |= {"peak_memory_mb": peak_memory_mb}
    _export(exported, folder / UNLEARNED, audit.card(spec, remover.target, summary))
    write_json(finite(audit.record(remover, summary, folder / UNLEARNED)), folder / AUDIT)
    write_json(finite(summary), folder / SUMMARY)
    return summary


def sets_of(remover: Remover) -> Sets:
    """The tokens of everything that is read, and the items of prompt sets that answer one prompt on both sides."""
    tokens = {(each.kind, each.name, each.side): each.tokens.astype(np.float64) for each in remover.subjects.watched}
    paired = {name: _pairs(sides) for name, sides in remover.data.prompts.items() if len(sides) == 2}
    scorer = remover.subjects.scorer
    target = remover.spec.target
    others = [place for place in tokens if place[0] == "prompts" and place[1:] != (target.prompts, target.side)]
    paired = {name: pairs for name, pairs in paired.items() if pairs}
    return Sets(tokens, paired, 0.5 if scorer is None else scorer.threshold, others)


def _pairs(sides: Mapping[str, Sequence[Example]]) -> list[tuple[list[int], list[int]]]:
    """Items of both sides that are given the same; without anything given nothing pairs them."""
    by: dict[bytes, tuple[list[int], list[int]]] = {}
    for place, side in enumerate(("harmful", "harmless")):
        for number, example in enumerate(sides.get(side, [])):
            given = example.ids[: example.first] if example.source is None else example.source
            if len(given) > 1:
                by.setdefault(given.tobytes(), ([], []))[place].append(number)
    return [pair for pair in by.values() if pair[0] and pair[1]]


def measured_of(readings: Readings, sets: Sets) -> dict[tuple[str, int], Measured]:
    """Every model's measures; a gold is held against the other golds."""
    golds = {seed: reading for (subject, seed), reading in readings.items() if subject == GOLD}
    return {
        (subject, seed): measure(
            reading, sets, [gold for other, gold in golds.items() if (subject, seed) != (GOLD, other)]
        )
        for (subject, seed), reading in readings.items()
    }


def measures_frame(measured: Mapping[tuple[str, int], Measured]) -> pd.DataFrame:
    """The table of ``measures.parquet``."""
    rows = [
        {"subject": subject, "seed": seed, "measure": name, "on": on, "value": value}
        for (subject, seed), found in measured.items()
        for (name, on), value in found.items()
    ]
    return pd.DataFrame(rows, columns=["subject", "seed", "measure", "on", "value"])


def _mean(measured: Mapping[tuple[str, int], Measured], subject: str) -> Measured:
    """The mean over a subject's seeds, of what all of them have."""
    every = [found for (who, _), found in measured.items() if who == subject]
    return {place: float(np.mean([found[place] for found in every if place in found])) for place in _places(every)}


def _places(every: Sequence[Measured]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(place for found in every for place in found))


def _spread(measured: Mapping[tuple[str, int], Measured], subject: str, place: tuple[str, str]) -> tuple[float, float]:
    """The lowest and the highest over a subject's seeds."""
    values = [found[place] for (who, _), found in measured.items() if who == subject and place in found]
    return (min(values), max(values)) if values else (math.nan, math.nan)


def floor_of(measured: Mapping[tuple[str, int], Measured]) -> dict[tuple[str, str], float]:
    """How far apart models of the gold are, by measure: their range, and what is a distance already, as it is."""
    every = [found for (who, _), found in measured.items() if who == GOLD]
    if len(every) < 2:
        return {}
    floor = {}
    for place in _places(every):
        values = [found[place] for found in every if place in found]
        distance = place[0] in ("kl", "genex-worst")
        floor[place] = max(values) if distance else max(values) - min(values)
    return floor


def table_rows(measured: Mapping[tuple[str, int], Measured], method: str) -> list[dict[str, Any]]:
    """Before, after and gold, one row a measure and place; intervals are the range over seeds."""
    before, after, gold = (_mean(measured, subject) for subject in (BEFORE, method, GOLD))
    floor = floor_of(measured)
    rows = []
    for place in sorted(_places([before, after, gold]), key=lambda p: list(MEASURES).index(p[0])):
        name, on = place
        told = MEASURES[name]
        low, high = _spread(measured, method, place)
        gold_low, gold_high = _spread(measured, GOLD, place)
        rows.append(
            {
                "measure": name, "title": told.title, "on": on, "unit": told.unit, "goal": told.goal,
                "about": told.about, "before": before.get(place), "after": after.get(place), "low": low, "high": high,
                "gold": gold.get(place), "gold_low": gold_low, "gold_high": gold_high, "floor": floor.get(place),
            }
        )  # fmt: skip
    return rows


def told_of(title: str, readings: Readings, measured: Mapping[tuple[str, int], Measured], sets: Sets) -> Told:
    """What the warnings of a method are drawn from."""
    own = [reading for (subject, _), reading in readings.items() if subject == title]
    golds = [reading for (subject, _), reading in readings.items() if subject == GOLD]
    collapsed = any(reading.fact("ended") == 1.0 for reading in own)
    different = None if not golds or collapsed else _distinguishable(own[0], golds[0], sets)
    usual = _distinguishable(golds[1], golds[0], sets) if len(golds) > 1 else None
    before, after, gold = (_mean(measured, subject) for subject in (BEFORE, title, GOLD))
    floor = floor_of(measured)
    if golds:
        drawn = len(golds[0].values(("written", "", ""), "completion"))
        for place in [place for place in gold if place[0] == "toxic"]:
            # What is drawn at random differs by chance, also where two models happened to write as many harmful texts.
            share = max(gold[place], 1 / drawn)
            floor[place] = max(floor.get(place, 0.0), 2 * math.sqrt(share * (1 - share) / drawn))
    return Told(title, after, before, gold, floor, collapsed, different, usual)


def _distinguishable(one: Reading, other: Reading, sets: Sets) -> bool | None:
    """Whether a two-sample test tells truth ratios apart, or, without any, losses a token of what is to go."""
    for name, pairs in sets.paired.items():
        return answers.forget_quality(*(truth_ratios(each, sets, name, pairs) for each in (one, other))).distinguishable
    losses = [each.values(sets.forget, "loss") / sets.tokens[sets.forget] for each in (one, other)]
    if any(np.isnan(values).any() for values in losses):
        return None
    return answers.forget_quality(*losses).distinguishable


def _board(spec: RemovalSpec, told: Told, readings: Readings) -> dict[str, Any]:
    """A method's line: two headline numbers, and what they are made of."""
    own = [reading for (subject, _), reading in readings.items() if subject == told.title]
    kl, was = told.after.get(("kl", FORGET)), _told_apart(told)
    stays, gold = told.after.get(("loss", STAYS)), told.gold.get(("loss", STAYS), told.before.get(("loss", STAYS)))
    return {
        "method": told.title,
        "name": spec.name,
        "closeness": None if told.collapsed or kl is None or not was else float(np.clip(1 - kl / was, 0, 1)),
        "utility": None if told.collapsed or stays is None or gold is None else gold / stays,
        "forget": told.after.get(("loss", FORGET)),
        "stays": stays,
        "genex": told.after.get(("genex", FORGET)),
        "relearning": told.after.get(("relearning", FORGET)),
        "steps": [reading.fact("steps") for reading in own],
        "seconds": float(np.mean([reading.fact("seconds") for reading in own])),
        "ended": own[0].said("ended"),
        "collapsed": told.collapsed,
        "destroyed": is_destroyed(told),
        "distinguishable": told.distinguishable,
    }


def _told_apart(told: Told) -> float | None:
    """The original's distance to the gold, where it is more than that of two models of the gold; else ``None``."""
    far, floor = told.before.get(("kl", FORGET)), told.floor.get(("kl", FORGET), 0.0)
    return far if far is not None and far > floor else None


def verdict(told: Told, target: str) -> str:
    """What the removal did, in two sentences that claim no more than was measured."""
    if told.collapsed:
        return f"Unlearning {target} by {told.title} made the model collapse: nothing can be said of it."
    was, now, gold = (each.get(("loss", FORGET), math.nan) for each in (told.before, told.after, told.gold))
    kept, stays = told.before.get(("loss", STAYS), math.nan), told.after.get(("loss", STAYS), math.nan)
    text = f"To the unlearned model the texts are at {now:.2f} nats per token; before, they were at {was:.2f}"
    text += f", and to models that never saw them they are at {gold:.2f}." if told.gold else "."
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
    if not math.isnan(stays):
        text += f" What stays went from {kept:.2f} to {stays:.2f}."
    return text


def _stop(remover: Remover, readings: Readings) -> dict[str, Any]:
    spec = remover.spec
    own = {seed: reading for (subject, seed), reading in readings.items() if subject == spec.method.title}
    return {
        "rule": spec.stop.rule,
        "level": {"gold": remover.subjects.level, "held-out": remover.subjects.unseen}.get(spec.stop.rule),
        "steps": [reading.fact("steps") for reading in own.values()],
        "ended": [reading.said("ended") for reading in own.values()],
    }


def _sizes(remover: Remover) -> dict[str, Any]:
    data = remover.data
    return {
        "block": data.block,
        "forget": len(data.forget),
        "held_out": len(data.held_out),
        "stays": {name: len(blocks) for name, blocks in data.stays.items()},
        "prompts": {name: {side: len(items) for side, items in sides.items()} for name, sides in data.prompts.items()},
    }


def _environment(remover: Remover) -> dict[str, Any]:
    import torch

    facts = remover.model.facts
    return environment() | {
        "device": str(remover.model.device),
        "threads": torch.get_num_threads(),
        "model": {
            "name": remover.spec.model.path, "architecture": facts.architecture, "parameters": facts.parameters,
            "sha256": remover.model.digest,
        },
        "data": remover.digests(),
    }  # fmt: skip


def _export(source: Path, folder: Path, card: str) -> None:
    """Put the unlearned model beside the tables, with a card that says what it is; whole or not at all."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
