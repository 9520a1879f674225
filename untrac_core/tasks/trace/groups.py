"""Influence on the groups of a prompt set: which subset moves the texts about whom.

UnTrac measures every prompt, and UnTrac-Inv's product has a number for each, so a group's influence is that of its own
items. UnTrac-Inv by steps unlearns a side as a whole and has no numbers by group.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from untrac_core.attribution.outcome import MethodOutput
from untrac_core.results.folders import GROUP_COLUMNS
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.intervals import Estimate, estimate
from untrac_core.stats.mixture import leave_out_influence
from untrac_core.tasks.trace.ranking import final_changes, item_changes, shares_of, watched_tokens

LEAST_ITEMS = 2
"""Of a group on a side: with fewer there is no interval over items."""


def group_frame(outcome: MethodOutput) -> pd.DataFrame | None:
    """The table of ``groups.parquet``: one row per prompt set, side, group and subset, with its interval.

    Nats per token over the group's items; ``contrast`` where both sides have the group. ``None`` where the method has
    no numbers by group, no prompt set has groups, or a collapse forbids all of them.
    """
    if not outcome.cells or (outcome.inverse and not outcome.of_items):
        return None
    rows = [
        (prompt_set, side, group, subset, found.value, *(found.interval() or (np.nan, np.nan)), items)
        for prompt_set, sides in outcome.study.prompts.items()
        for (side, group), (by_subset, items) in _by_group(outcome, prompt_set).items()
        if not outcome.refused(prompt_set, side)
        for subset, found in by_subset.items()
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
    found: dict[tuple[str, str], tuple[dict[str, Estimate], int]] = {}
    for side, items in outcome.study.prompts[prompt_set].items():
        names = np.array([item.group for item in items])
        for group in sorted(set(names) - {""}):
            inside = names == group
            if inside.sum() < LEAST_ITEMS:
                continue
            by_subset = {
                subset: replace(
                    estimate(
                        changes[subset, prompt_set, side][:, inside],
                        tokens[subset, prompt_set, side][inside],
                        f"prompts {prompt_set} {side} {group}",
                        outcome.method.subsample,
                    ),
                    exact=bool(outcome.of_items),
                )
                for subset in outcome.study.subsets
            }
            if shares := shares_of(outcome):
                by_subset = leave_out_influence(by_subset, shares)
            found[side, str(group)] = by_subset, int(inside.sum())
    both = [group for side, group in found if side == "harmful" and ("harmless", group) in found]
    contrasts = {}
    for group in both:
        (harmful, of_harmful), (harmless, of_harmless) = found["harmful", group], found["harmless", group]
        differences = {subset: harmful[subset] - harmless[subset] for subset in harmful}
        contrasts[CONTRAST, group] = differences, of_harmful + of_harmless
    return contrasts | found
