"""What a validation found: the truth with its noise, every method's agreement with it, and a sentence that decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.attribution.outcome import MethodOutput
from untrac_core.attribution.settings import SAME_BATCH
from untrac_core.cells import Cell
from untrac_core.fileio import finite
from untrac_core.specs import ValidateSpec
from untrac_core.stats.agreement import FEWEST, Noise, critical_value, noise
from untrac_core.stats.bootstrap import RESOLVABLE, Comparison, Place, Scores, Truth, compare, groups, per_seed
from untrac_core.stats.clusters import Clusters
from untrac_core.stats.intervals import student_interval
from untrac_core.tasks.trace.ranking import estimates, final_changes, seeds_of_whole, watched_tokens
from untrac_core.tasks.validate.calibration import one_retraining, sizes_and_signs
from untrac_core.text.numbers import listed
from untrac_core.training.leave_one_out import measured, truth_frame

BY_CHANCE = "random"
NO_RANKING = ", so it has no ranking"
RANKED = ", so its ranking is not to be relied on; the paper ranks such models too"


class Findings:
    """From the tables of all cells to the tables and the summary of a result."""

    def __init__(
        self,
        spec: ValidateSpec,
        truth_cells: Sequence[Cell],
        truth_frames: Sequence[pd.DataFrame],
        outcomes: Sequence[MethodOutput],
        clusters: Mapping[Place, Clusters] | None = None,
    ) -> None:
        """``clusters``: of the items of each side, each item for itself where none are given."""
        self.spec, self.outcomes, self.clusters = spec, outcomes, clusters or {}
        self._cells, self._frames = truth_cells, truth_frames
        self.measured = measured(truth_cells, truth_frames)
        self.subsets = next(iter(self.measured.values()))[2]

    @property
    def trainings(self) -> list[tuple[Cell, pd.DataFrame]]:
        """Every training of the truth with its table."""
        return list(zip(self._cells, self._frames, strict=True))

    @property
    def full_frames(self) -> list[pd.DataFrame]:
        """The tables of the trainings on everything, in the order of the seeds."""
        return [frame for cell, frame in self.trainings if not cell.subset]

    def truth_table(self) -> pd.DataFrame:
        """The table of ``ground_truth.parquet``."""
        return truth_frame(self._cells, self._frames)

    @cached_property
    def estimate_table(self) -> pd.DataFrame:
        """The table of ``estimates.parquet``: each method's value and interval for every side and subset."""
        rows = []
        for outcome in self.ranking:
            for (prompt_set, side), by_subset in estimates(outcome).items():
                for subset, found in by_subset.items():
                    low, high = found.interval() or (math.nan, math.nan)
                    place = {"method": outcome.title, "prompt_set": prompt_set, "side": side, "subset": subset}
                    rows.append(place | {"influence": found.value, "low": low, "high": high})
        columns = ["method", "prompt_set", "side", "subset", "influence", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def ranking(self) -> list[MethodOutput]:
        """The methods that give a ranking: those that worked here, and did not collapse or rank even that."""
        return [
            outcome
            for outcome in self.outcomes
            if outcome.failed is None and all(outcome.ranked(*place) for place in self.truths)
        ]

    @cached_property
    def _collapsed(self) -> set[str]:
        """Methods that ranked collapsed models: their agreement is measured, but they are not to be trusted."""
        return {outcome.title for outcome in self.ranking if outcome.collapsed_cells()}

    @cached_property
    def truths(self) -> dict[Place, Truth]:
        """The truth of the harmful and harmless sides."""
        return {
            (prompt_set, side): Truth(change, tokens[side], self.clusters.get((prompt_set, side)))
            for prompt_set, (changes, tokens, _, _) in self.measured.items()
            for side, change in changes.items()
        }

    @cached_property
    def per_seed(self) -> dict[Place, np.ndarray]:
        """The true influence of every side and contrast, of shape (seeds, subsets), in nats per token."""
        return per_seed(self.truths)

    @cached_property
    def noises(self) -> dict[Place, Noise]:
        """The truth's own noise on every side and contrast."""
        return {place: noise(values) for place, values in self.per_seed.items()}

    @cached_property
    def groups(self) -> dict[str, list[Place]]:
        """The sides over which agreement is averaged."""
        return groups(self.noises)

    @cached_property
    def comparison(self) -> Comparison | None:
        """Agreement of every method that says something."""
        scores = {outcome.title: self._scores(outcome) for outcome in self.ranking}
        return compare(self.truths, scores) if scores else None

    def summary(self) -> dict[str, Any]:
        """The part of ``summary.json`` that is about truth and methods."""
        rows = [] if self.comparison is None else [asdict(row) for row in self.comparison.leaderboard(self.groups)]
        differences = [] if self.comparison is None else self.comparison.differences(self.groups)
        best, text = self.verdict(rows, [asdict(row) | {"tie": row.tie} for row in differences])
        return {
            "seeds": self.spec.seeds,
            "methods": [self._method_row(outcome) for outcome in self.outcomes],
            "ground_truth": self._truth_rows(),
            "noise": [self._noise_row(place, found) for place, found in self.noises.items()],
            "leaderboard": [finite(row) for row in rows],
            "calibration": self._calibration_rows(),
            "retraining": [finite(asdict(row)) for row in one_retraining(self.per_seed, self.groups)],
            "differences": [finite(asdict(row) | {"tie": row.tie}) for row in differences],
            "critical": self.critical,
            "verdict": text,
            "best": best,
            "warnings": self._warnings(),
        }

    @cached_property
    def critical(self) -> dict[str, Any]:
        """The agreement that chance alone stays below in 95 of 100 cases, by measure; ``None``: it never does."""
        values = {name: critical_value(name, len(self.subsets)) for name in ("pearson", "spearman", "kendall")}
        return {"subsets": len(self.subsets)} | {
            name: value if math.isfinite(value) else None for name, value in values.items()
        }

    def verdict(
        self, rows: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]
    ) -> tuple[str | None, str]:
        """Which method to trust on this recipe, if any, and the sentence that says so."""
        if len(self.spec.seeds) < 2:
            return None, (
                "Trust none yet: one seed of truth says nothing about its own noise. Retrain with at least two seeds."
            )
        clear = self.groups[RESOLVABLE]
        if not clear:
            return None, (
                "Trust none here: on no side do retrainings with different seeds agree well enough "
                "(r of at least 0.8) to tell a right ranking from a wrong one. More seeds, steps or text may help."
            )
        leaderboard = {
            row["method"]: row
            for row in rows
            if row["prompt_set"] is None and row["side"] == RESOLVABLE and row["metric"] == "pearson"
        }
        by_chance = {method.title for method in self.spec.methods if method.name == BY_CHANCE}
        named = {name: row for name, row in leaderboard.items() if name not in by_chance | self._collapsed}
        if not named:
            return None, "Trust none here: no method gave a ranking."
        best = max(named, key=lambda name: named[name]["value"])
        row, chance = leaderboard[best], self.critical["pearson"]
        if math.isnan(row["low"]):
            return None, (
                f"Trust none yet: {best} comes first with r = {row['value']:.2f}, but one draw says nothing about the "
                "noise of an estimate. Name at least two draws."
            )
        sides = f"the {len(clear)} sides" if len(clear) > 1 else "the one side"
        if 1 < len(sets := {name for name, _ in clear}) < len(clear):
            sides += f" (of {len(sets)} prompt sets, each counted once)"
        how = (
            f"over {sides} on which retraining is reproducible, its ranking agrees with retraining by "
            f"r = {row['value']:.2f} (95% interval {row['low']:.2f} to {row['high']:.2f}); with {len(self.subsets)} "
            "subsets, chance alone stays below "
            + (f"{chance:.2f} in 95 of 100 cases" if chance is not None else "no value that an r can exceed")
        )
        if chance is None or not row["low"] > chance:
            first = f"{best} comes first, but not clearly better than chance"
            if row["value"] <= 0:
                first = f"no method's ranking goes with that of retraining; {best} errs least"
            return None, f"Trust none here: {first}. {how[0].upper()}{how[1:]}."
        tied = [
            (each["first"] if each["second"] == best else each["second"])
            for each in differences
            if each["side"] == RESOLVABLE and best in (each["first"], each["second"]) and each["tie"]
        ]
        tied = [name for name in tied if name not in self._collapsed]
        tried = f"the best of {len(named)} methods tried" if len(named) > 1 else "the only method tried"
        text = f"Trust {best} here, {tried}: {how}."
        if tied:
            text += f" It is a tie with {listed(tied)}: the interval of the difference includes zero."
        return best, text

    def _scores(self, outcome: MethodOutput) -> dict[Place, Scores]:
        changes, tokens = final_changes(outcome), watched_tokens(outcome)
        blocks = [outcome.study.block_clusters[subset] for subset in self.subsets]
        for place, drawn in changes.items():
            changes[place] = seeds_of_whole(outcome, drawn, outcome.drawn_share(*place))[0]
        return {
            place: Scores(
                [changes[subset, *place] for subset in self.subsets],
                [tokens[subset, *place] for subset in self.subsets],
                1.0 if outcome.takes_steps else outcome.method.subsample,
                of_items=not outcome.inverse,
                sizes=None if outcome.study.sizes is None or outcome.leaves_out else self._sizes(outcome.study.sizes),
                clusters=[  # of blocks; folds have none in common
                    found if len(found.numbers) == len(tokens[subset, *place]) else None
                    for subset, found in zip(self.subsets, blocks, strict=True)
                ],
            )
            for place in self.truths
        }

    def _sizes(self, sizes: Mapping[str, float]) -> np.ndarray:
        return np.array([sizes[subset] for subset in self.subsets], dtype=np.float64)

    def _method_row(self, outcome: MethodOutput) -> dict[str, Any]:
        spec = next(method for method in self.spec.methods if method.title == outcome.title)
        collapsed = outcome.failed is None and bool(outcome.collapsed_cells())
        return {
            "method": outcome.title,
            "name": spec.name,
            "preset": spec.variant,
            "unit": outcome.method.unit,
            "seconds": float(sum(frame["seconds"].iloc[0] for frame in outcome.frames)),
            "peak_memory_mb": float(max(frame["peak_memory_mb"].iloc[0] for frame in outcome.frames)),
            "failed": outcome.failed,
            "collapsed": collapsed,
        }

    def _truth_rows(self) -> list[dict[str, Any]]:
        rows = []
        for (prompt_set, side), values in self.per_seed.items():
            mean = values.mean(0)
            ends = [student_interval(column) for column in values.T]
            for rank, index in enumerate(np.argsort(-mean, kind="stable").tolist(), 1):
                low, high = ends[index] or (None, None)
                place = {"prompt_set": prompt_set, "side": side, "subset": self.subsets[index], "rank": rank}
                rows.append(place | {"influence": float(mean[index]), "low": low, "high": high})
        return rows

    def _calibration_rows(self) -> list[dict[str, Any]]:
        truths = {place: values.mean(0) for place, values in self.per_seed.items()}
        noise = None if self.comparison is None else self.comparison.slope_interval
        found = sizes_and_signs(self.estimate_table, truths, self.subsets, self.groups, noise)
        return [finite(asdict(row)) for row in found]

    def _noise_row(self, place: Place, found: Noise) -> dict[str, Any]:
        row: dict[str, Any] = finite(
            {
                "prompt_set": place[0],
                "side": place[1],
                "agreement": found.agreement,
                "agreement_low": found.agreement_interval[0],
                "agreement_high": found.agreement_interval[1],
                "ceiling": found.ceiling,
                "ceiling_low": found.ceiling_interval[0],
                "ceiling_high": found.ceiling_interval[1],
                "resolvable": found.resolvable,
            }
        )
        return row

    def _warnings(self) -> list[str]:
        warnings = []
        for outcome in self.outcomes:
            if outcome.failed is not None:
                warnings.append(f"{outcome.title} did not work here: {outcome.failed}")
            elif outcome.collapsed_cells():
                count = len(outcome.collapsed_cells())
                so = RANKED if outcome.title in self._collapsed else NO_RANKING
                warnings.append(
                    f"{outcome.title} collapsed in {count} of {len(outcome.cells)} cells{so}: "
                    f"{outcome.collapsed_cells()[0].label}."
                )
            if outcome.failed is None and outcome.same_batch:
                warnings.append(f"{outcome.title}: {SAME_BATCH[0].lower()}{SAME_BATCH[1:]}")
        noisy = [f"{name}, {side}" for (name, side), found in self.noises.items() if not found.resolvable]
        if noisy and len(self.spec.seeds) > 1:
            warnings.append(
                f"Cannot separate: retrainings with different seeds agree too little (r below 0.8) on {listed(noisy)}."
            )
        if len(self.subsets) < FEWEST:
            share = {3: "a fifth", 4: "a tenth"}.get(len(self.subsets), "half")
            warnings.append(
                f"With {len(self.subsets)} subsets, seeds that have nothing in common reach an r of 0.8 in {share} "
                f"of all cases: which sides can be resolved cannot be told. Take {FEWEST} subsets or more."
            )
        if len(self.spec.seeds) == 2:
            warnings.append("Two seeds say little about the truth's own noise: its intervals are wide.")
        return warnings
