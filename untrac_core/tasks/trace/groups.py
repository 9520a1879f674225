"""Influence on the groups of a prompt set: which subset moves the texts about whom.

UnTrac measures every prompt, and UnTrac-Inv's product has a number for each, so a group's influence is that of its own
items. UnTrac-Inv by steps unlearns a side as a whole and has no numbers by group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from untrac_core.attribution.outcome import MethodOutput
from untrac_core.data.tokens import Example
from untrac_core.results.folders import GROUP_COLUMNS
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.clusters import Clusters, clusters_by_side
from untrac_core.stats.intervals import Estimate, estimate, joint_level
from untrac_core.stats.mixture import leave_out_influence
from untrac_core.tasks.trace.ranking import final_changes, item_changes, seeds_of_whole, shares_of, watched_tokens

LEAST_ITEMS = 2
"""Of a group on a side: with fewer there is no interval over items."""


def group_frame(outcome: MethodOutput) -> pd.DataFrame | None:
    """The table of ``groups.parquet``: one row per prompt set, side, group and subset, with its interval.

    Nats per token over the group's items; ``contrast`` where both sides have the group. A side's cells are read as one
    list of findings, so their intervals share one level (:func:`untrac_core.stats.intervals.joint_level`). ``None``
    where the method has no numbers by group, no prompt set has groups, or a collapse forbids all of them.
    """
    if not outcome.cells or (outcome.inverse and not outcome.of_items):
        return None
    rows: list[tuple[object, ...]] = []
    for prompt_set in outcome.study.prompts:
        found = _by_group(outcome, prompt_set)
        for side in dict.fromkeys(side for side, _ in found):
            if outcome.collapsed(prompt_set, side):
                continue
            cells = [
                (group, subset, cell, items)
                for (of, group), (by_subset, items) in found.items()
                if of == side
                for subset, cell in by_subset.items()
            ]
            level = joint_level(np.array([cell.p_value() for _, _, cell, _ in cells]))
            rows += [
                (prompt_set, side, group, subset, cell.value, *(cell.interval(level) or (np.nan, np.nan)), items)
                for group, subset, cell, items in cells
            ]
    return pd.DataFrame(rows, columns=GROUP_COLUMNS) if rows else None


def _by_group(outcome: MethodOutput, prompt_set: str) -> dict[tuple[str, str], tuple[dict[str, Estimate], int]]:
    """(Side, group) to every subset's estimate, and how many items the group has there; the contrast first."""
    if outcome.of_items:
        of_items = item_changes(outcome)
        changes = {place: change for place, (change, _) in of_items.items()}
        tokens = {place: counts for place, (_, counts) in of_items.items()}
    else:
        changes, tokens = final_changes(outcome), watched_tokens(outcome)
    sides = outcome.study.prompts[prompt_set]
    found: dict[tuple[str, str], tuple[dict[str, Estimate], int]] = {}
    for side, group, inside, clusters in _members(sides):
        population = f"prompts {prompt_set} {group}" if clusters.paired else f"prompts {prompt_set} {side} {group}"
        by_subset = {}
        for subset in outcome.subsets:
            place, blocks = (subset, prompt_set, side), outcome.study.block_clusters[subset]
            share = blocks.drawn(outcome.drawn_share(*place)) / blocks.here
            values, share = seeds_of_whole(outcome, changes[place][:, inside], share)
            one = estimate(values, tokens[place][inside], population, share, clusters)
            independent = min(one.independent, blocks.here)
            by_subset[subset] = replace(one, exact=bool(outcome.of_items), independent=independent)
        if shares := shares_of(outcome):
            by_subset = leave_out_influence(by_subset, shares)
        found[side, group] = by_subset, len(inside)
    both = [group for side, group in found if side == "harmful" and ("harmless", group) in found]
    contrasts = {}
    for group in both:
        (harmful, of_harmful), (harmless, of_harmless) = found["harmful", group], found["harmless", group]
        differences = {subset: harmful[subset] - harmless[subset] for subset in harmful}
        contrasts[CONTRAST, group] = differences, of_harmful + of_harmless
    return contrasts | found


def _members(sides: Mapping[str, Sequence[Example]]) -> Iterator[tuple[str, str, list[int], Clusters]]:
    """Side after side, each of its groups that has enough items: their places on the side, and their clusters."""
    by_group: dict[str, dict[str, list[int]]] = {}
    for side, items in sides.items():
        for number, item in enumerate(items):
            if item.group:
                by_group.setdefault(item.group, {}).setdefault(side, []).append(number)
    clusters = {
        group: clusters_by_side({side: [sides[side][i].cluster for i in inside] for side, inside in members.items()})
        for group, members in by_group.items()
    }
    for side in sides:
        for group in sorted(by_group):
            inside = by_group[group].get(side, [])
            if len(inside) >= LEAST_ITEMS:
                yield side, group, inside, clusters[group][side]
