"""From cells to answers: the influence table, the example table, the ranking and its verdict in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.outcome import MethodOutput
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example
from untrac_core.results.folders import INFLUENCE_COLUMNS
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.clusters import clusters_of
from untrac_core.stats.intervals import LEAST, Array, Estimate, as_of_whole, estimate, excludes_zero
from untrac_core.stats.mixture import leave_out_influence
from untrac_core.text.labels import texts_of
from untrac_core.text.numbers import CONTINUED_UNIT, PARTIAL_UNIT, STEP_UNIT, UNIT, listed

PLACE = ["subset", "prompt_set", "side"]


def influence_frame(outcome: MethodOutput) -> pd.DataFrame:
    """The table of ``influence.parquet``: one row per subset, prompt set, side, group, seed and kept step.

    Sums of losses and changes over tokens; group ``""`` holds all examples of a side.
    """
    of_items = outcome.of_items or (outcome.frames if not outcome.inverse else [None] * len(outcome.cells))
    tables = [
        _aggregate(outcome, cell, frame, items)
        for cell, frame, items in zip(outcome.cells, outcome.frames, of_items, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)[INFLUENCE_COLUMNS]


def _aggregate(outcome: MethodOutput, cell: Cell, frame: pd.DataFrame, items: pd.DataFrame | None) -> pd.DataFrame:
    """A cell's rows of the table: places in their order, in each all examples first, then its groups by name.

    ``items``: the table that has a row per item, where the method has one.
    """
    frame = frame.assign(place=frame.groupby(PLACE, sort=False).ngroup(), group="")
    parts = [frame]
    if items is not None:
        items = items.assign(place=items.groupby(PLACE, sort=False).ngroup())
        prompts = outcome.study.prompts
        names = [(*place, i, x.group) for place, of in _sides(prompts) for i, x in enumerate(of) if x.group]
        if names:
            known = pd.DataFrame(names, columns=["prompt_set", "side", "example", "group"])
            parts.append(items.merge(known, on=["prompt_set", "side", "example"]))
    rows = pd.concat(parts, ignore_index=True)
    sums = rows.groupby(["place", "group", "step"], sort=True).agg(
        **{name: (name, "first") for name in PLACE},
        loss_before=("loss_before", "sum"),
        change=("change", "sum"),
        tokens=("tokens", "sum"),
        examples=("example", "size"),
        loss_increase=("loss_increase", "first"),
    )
    table = sums.reset_index()
    for name in ("loss_before", "change"):
        table[name] /= table["tokens"]
    table = table.rename(columns={"change": "influence"})
    data = outcome.study.prompt_data
    labels = {place: data[place[0]].spec.sides[place[1]] or "" for place, _ in _sides(outcome.study.prompts)}
    return table.assign(
        loss_after=table["loss_before"] + table["influence"],
        label=[labels[place] for place in zip(table["prompt_set"], table["side"], strict=True)],
        method=outcome.method.name,
        seed=cell.seed,
    )


def _sides(prompts: Mapping[str, Mapping[str, Sequence[Example]]]) -> list[tuple[tuple[str, str], Sequence[Example]]]:
    return [((name, side), items) for name, sides in prompts.items() for side, items in sides.items()]


def final_changes(outcome: MethodOutput) -> dict[tuple[str, str, str], np.ndarray]:
    """Each (subset, prompt set, side)'s changes at the end, shape (seeds, examples), in nats.

    UnTrac-Inv: the last step that all sides and seeds of a prompt set kept; UnTrac with steps of one size: the last
    that all subsets and seeds kept. So like is compared with like. UnTrac by epochs: each subset's own last step.
    """
    stacked: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for frame, end in zip(outcome.frames, final_steps(outcome), strict=True):
        kept = frame[frame["step"] == end]
        for place, part in kept.groupby(["subset", "prompt_set", "side"], sort=False):
            stacked.setdefault(place, []).append(part["change"].to_numpy())
    return {place: np.stack(values) for place, values in stacked.items()}


def final_steps(outcome: MethodOutput) -> list[int]:
    """The step of each cell that :func:`final_changes` takes, in the order of the cells."""
    ends = [int(frame["step"].max()) for frame in outcome.frames]
    if not outcome.one_size:
        return ends
    last: dict[str, int] = {}
    for cell, end in zip(outcome.cells, ends, strict=True):
        last[cell.prompt_set] = min(end, last.get(cell.prompt_set, end))
    return [last[cell.prompt_set] for cell in outcome.cells]


def estimates(outcome: MethodOutput) -> dict[tuple[str, str], dict[str, Estimate]]:
    """(Prompt set, side) to subset to its estimate; ``contrast`` is harmful minus harmless, paired."""
    result: dict[tuple[str, str], dict[str, Estimate]] = {}
    study = outcome.study
    tokens_of = watched_tokens(outcome)
    of_items = item_changes(outcome)
    for (subset, prompt_set, side), changes in final_changes(outcome).items():
        tokens = tokens_of[subset, prompt_set, side]
        items, blocks = study.item_clusters[prompt_set, side], study.block_clusters[subset]
        prompts = f"prompts {prompt_set}" if items.paired else f"prompts {prompt_set} {side}"
        watched, drawn_from = (blocks, items) if outcome.inverse else (items, blocks)
        if len(tokens) != len(watched.numbers):  # folds of blocks, each of other documents
            watched = clusters_of([""] * len(tokens))
        share = drawn_from.drawn(outcome.drawn_share(subset, prompt_set, side)) / drawn_from.here
        changes, share = seeds_of_whole(outcome, changes, share)
        found = estimate(changes, tokens, f"subset {subset}" if outcome.inverse else prompts, share, watched)
        found = replace(found, independent=min(found.independent, drawn_from.here))
        if outcome.of_items:  # the same influence, item by item: the other half of its uncertainty
            other = estimate(*of_items[subset, prompt_set, side], prompts, clusters=items)
            found = replace(found, residuals={**found.residuals, **other.residuals}, exact=True)
        result.setdefault((prompt_set, side), {})[subset] = found
    if shares := shares_of(outcome):
        result = {place: leave_out_influence(by_subset, shares) for place, by_subset in result.items()}
    for prompt_set, sides in study.prompts.items():
        if len(sides) == 2:
            harmful, harmless = result[prompt_set, "harmful"], result[prompt_set, "harmless"]
            result[prompt_set, CONTRAST] = {subset: harmful[subset] - harmless[subset] for subset in harmful}
    return result


def seeds_of_whole(outcome: MethodOutput, changes: Array, share: float) -> tuple[Array, float]:
    """Changes, and the share of the whole that their seeds speak for.

    Ascents may draw another share of each subset, so that numbers with different shares are subtracted: their seeds are
    set as far apart as those of whole sets.
    """
    return (as_of_whole(changes, share), 1.0) if outcome.takes_steps and share < 1 else (changes, share)


def shares_of(outcome: MethodOutput) -> Mapping[str, float] | None:
    """The sizes with which a number becomes that of leaving a subset out; ``None`` where it is shown as it is.

    A product of gradients is always told so, against the mean of the mix, as else its sign would answer no question:
    with subsets of equal size where theirs is not asked for.
    """
    if outcome.leaves_out:
        return None
    linear = outcome.method.unit == STEP_UNIT
    return outcome.study.sizes or (dict.fromkeys(outcome.study.subsets, 1.0) if linear else None)


def item_changes(outcome: MethodOutput) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """Each (subset, prompt set, side)'s changes of shape (1, items), in nats, and the items' tokens.

    Of a method that watches blocks and has the same influence item by item; each item stands in one cell.
    """
    if not outcome.of_items:
        return {}
    whole = pd.concat(outcome.of_items, ignore_index=True).sort_values("example", kind="stable")
    return {
        place: (part["change"].to_numpy()[None], part["tokens"].to_numpy(dtype=np.float64))
        for place, part in whole.groupby(PLACE, sort=False)
    }


def watched_losses(outcome: MethodOutput) -> dict[tuple[str, str, str], np.ndarray]:
    """The losses in nats of each (subset, prompt set, side)'s watched examples, before anything was unlearned."""
    return {place: part["loss_before"].to_numpy() for place, part in _watched(outcome)}


def watched_tokens(outcome: MethodOutput) -> dict[tuple[str, str, str], np.ndarray]:
    """The tokens of each (subset, prompt set, side)'s watched examples, as the cells have them."""
    return {place: part["tokens"].to_numpy(dtype=np.float64) for place, part in _watched(outcome)}


def _watched(outcome: MethodOutput) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """One seed's rows of each (subset, prompt set, side) at one step."""
    seen = set()
    for frame in outcome.frames:
        first = frame[frame["step"] == frame["step"].iloc[0]]
        for place, part in first.groupby(PLACE, sort=False):
            if place not in seen:
                seen.add(place)
                yield place, part


def ranking_rows(outcome: MethodOutput) -> list[dict[str, Any]]:
    """The ``ranking`` of ``summary.json``: most influential first; none where a collapse forbids it.

    Where the models collapsed and are ranked nevertheless, the rows say so, and none is told apart from another.
    """
    rows = []
    found = estimates(outcome)
    for prompt_set, side in places(outcome.study):
        by_subset = found[prompt_set, side]
        if not outcome.ranked(prompt_set, side):
            continue
        collapsed = outcome.collapsed(prompt_set, side)
        order = sorted(by_subset, key=lambda subset: (-by_subset[subset].value, subset))
        told_apart = [
            excludes_zero((by_subset[upper] - by_subset[lower]).interval()) for upper, lower in pairwise(order)
        ]
        for place, subset in enumerate(order):
            interval = by_subset[subset].interval()
            neighbours = told_apart[max(place - 1, 0) : place + 1]
            rows.append(
                {
                    "prompt_set": prompt_set,
                    "side": side,
                    "group": None,
                    "subset": subset,
                    "rank": place + 1,
                    "influence": by_subset[subset].value,
                    "low": interval[0] if interval else None,
                    "high": interval[1] if interval else None,
                    "separable": all(neighbours) and not collapsed,
                    "collapsed": collapsed and outcome.collapsed(prompt_set, side, subset),
                }
            )
    return rows


def places(study: AttributionContext) -> list[tuple[str, str]]:
    """(Prompt set, side): prompt sets in the order of the spec, the contrast first, as it is the default view."""
    return [
        (prompt_set, side)
        for prompt_set, sides in study.prompts.items()
        for side in (CONTRAST, "harmful", "harmless")
        if side in sides or (side == CONTRAST and len(sides) == 2)
    ]


def verdicts(outcome: MethodOutput, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each prompt set and side: the answer in words, its top subset or ``None``, and whether to trust it."""
    result, study = [], outcome.study
    for prompt_set, side in places(study):
        ranked = [row for row in rows if (row["prompt_set"], row["side"]) == (prompt_set, side)]
        collapsed = outcome.collapsed(prompt_set, side)
        top, text = None, "No ranking: the unlearning went so far that the model collapsed. Take smaller steps."
        if ranked and collapsed:
            text = _of_collapsed(outcome, ranked)
        elif ranked:
            top, text = _answer(outcome, ranked, prompt_set, side)
            if len(outcome.subsets) < len(study.subsets):
                text += f" Only {len(outcome.subsets)} of {len(study.subsets)} subsets were asked about."
        result.append({"prompt_set": prompt_set, "side": side, "top": top, "text": text, "collapsed": collapsed})
    return result


def _of_collapsed(outcome: MethodOutput, ranked: list[dict[str, Any]]) -> str:
    """That a ranking is one of collapsed models, which ones, and how little its first place says."""
    gone = [row["subset"] for row in ranked if row["collapsed"]]
    which = "while the prompts were unlearned" if outcome.inverse else f"while unlearning {listed(gone)}"
    first = ranked[0]
    ends = "" if first["low"] is None else f", 95% interval {first['low']:+.2g} to {first['high']:+.2g}"
    return (
        f"Do not rely on this ranking: the models collapsed {which}; the paper ranks them too. It puts "
        f"{first['subset']} first ({first['influence']:+.2g} {outcome.method.unit}{ends}), but what a collapsed model "
        "says is not about the data."
    )


def _answer(outcome: MethodOutput, ranked: list[dict[str, Any]], prompt_set: str, side: str) -> tuple[str | None, str]:
    """The top subset, if it can be told from the second and from nothing, and a sentence that says so."""
    first = ranked[0]
    if len(ranked) == 1:
        return None, f"Only {first['subset']} was left out, so there is nothing to compare it with."
    second = ranked[1]
    if first["low"] is None and outcome.seeds_needed:
        return None, "Cannot separate: one seed says nothing about its own noise. Run at least two seeds."
    if first["low"] is None:
        return None, f"Cannot separate: of fewer than {LEAST} texts or documents it cannot be told how far chance goes."
    unit = outcome.method.unit
    size = f"{first['influence']:+.2g} {unit}, 95% interval {first['low']:+.2g} to {first['high']:+.2g}"
    nothing = "no influence"
    if unit in (STEP_UNIT, PARTIAL_UNIT, CONTINUED_UNIT):  # not in nats of retraining: only proportions mean something
        largest = max(abs(row["influence"]) for row in ranked) or 1.0
        ends = f"95% interval {first['low'] / largest:.2f} to {first['high'] / largest:.2f}"
        size = f"relative influence {first['influence'] / largest:.2f}, {ends}"
        size += f"; next is {second['subset']} with {second['influence'] / largest:.2f}"
        nothing = "the mean of all subsets" if unit == STEP_UNIT else nothing
    if first["low"] <= 0:
        return None, f"Cannot separate: even the first, {first['subset']}, cannot be told from {nothing} ({size})."
    if not first["separable"]:
        return None, (
            f"Cannot separate: {first['subset']} comes first ({size}), but {second['subset']} lies within its noise."
        )
    name, texts = first["subset"], texts_of(outcome.study.prompt_data[prompt_set].spec, side)
    if outcome.inverse and unit == UNIT:
        return name, f"Unlearning {texts} makes {name} less likely, more so than any other subset ({size})."
    return name, says(unit, name, texts, size, contrast=side == CONTRAST)


def says(unit: str, name: str, texts: str, size: str, *, contrast: bool) -> str:
    """That a subset comes first, about the quantity that was measured and no other; ``size``: it, with its interval."""
    if unit == UNIT:
        return f"Unlearning {name} makes {texts} less likely, more so than unlearning any other subset ({size})."
    if unit == PARTIAL_UNIT:
        return (
            f"Unlearning {name} while the rest is trained on makes {texts} less likely, more so than unlearning any "
            f"other subset ({size})."
        )
    if unit == CONTINUED_UNIT:
        return f"Training on without {name} makes {texts} less likely, more so than without any other subset ({size})."
    if unit != STEP_UNIT:
        return f"{name} scores highest with {texts} ({size})."
    if contrast:
        return f"{name} pushes the model towards {texts}, more than any other subset does ({size})."
    return f"{name} makes {texts} more likely than any other subset does ({size})."
