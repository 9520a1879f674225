"""What if the training had another mix of its subsets? Told from retrainings without each of them, in no time.

:mod:`untrac_core.stats.mixing_law` has the mathematics; here it is asked of the retrainings of a result, for every
prompt set, and what it was never checked on is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from untrac_core.errors import InputError
from untrac_core.results.folders import HALVES, TraceFiles, ValidateFiles, read_frame
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.agreement import pearson
from untrac_core.stats.bootstrap import HARMFUL, HARMLESS
from untrac_core.stats.intervals import Array
from untrac_core.stats.mixing_law import POWER, MixingLaw
from untrac_core.tasks.blending import same_question
from untrac_core.text.numbers import count, decimals, listed, percent

TIMES_MOST, CHANGED_MOST, MOVED_MOST = 2.0, 4, 0.3
"""The most that ``benchmarks/what_if`` tests: how often a subset is read, how many change, and what share of the mix
goes to other subsets."""
TIMES_LIMIT = 1000.0
COLUMNS = ["prompt_set", "side", "change", "low", "high", "retrained"]


@dataclass(frozen=True)
class WhatIf:
    """What a mix would do.

    ``table``: prompt_set, side (also ``contrast``), change of the loss in nats per token with low and high (its 95%
    interval), retrained: the same by retraining where that very mix was trained, else not a number. ``shares``: subset,
    before, after. ``leaves``: where the mix leaves what predictions were checked on, in words that may be a user's
    (show as text).
    """

    table: pd.DataFrame
    shares: pd.DataFrame
    leaves: list[str]


@dataclass(frozen=True)
class Mixing:
    """The mixing law of a result; ``sides``: prompt set and side, in the order of the law's."""

    subsets: list[str]
    sides: list[tuple[str, str]]
    law: MixingLaw
    retrained: Array
    """The mean over seeds of what leaving out each subset added to a side's loss; shape (sides, subsets)."""

    def ask(self, times: Mapping[str, float]) -> WhatIf:
        """What a training on that mix would show.

        ``times``: how often a subset is read, of what it was: 0 leaves it out, 2 doubles it; one that is not named
        stays at 1. Raises :class:`InputError` for another name or number, and where nothing is left.
        """
        every = self._times(times)
        places, asked = self._asked()
        found = self.law.change(every, asked)
        alone = self._left_out(every)
        known = asked @ self.retrained[:, alone] if alone is not None else np.full(len(asked), math.nan)
        table = pd.DataFrame(places, columns=COLUMNS[:2])
        table = table.assign(change=found.value, low=found.low, high=found.high, retrained=known)
        after = self.law.mix(every)
        shares = pd.DataFrame({"subset": self.subsets, "before": self.law.shares, "after": after})
        return WhatIf(table, shares, self._leaves(every, after, straight=found.straight))

    def _times(self, times: Mapping[str, float]) -> Array:
        for name, value in times.items():
            if name not in self.subsets:
                hint = f"choose of {listed(self.subsets)}"
                raise InputError(f"there is no subset {name!r}", field="mix", hint=hint)
            if not 0 <= value <= TIMES_LIMIT:
                hint = f"write 0 to leave it out, 2 to double it; at most {TIMES_LIMIT:g}"
                raise InputError(f"{value:g} is not how often {name!r} can be read", field="mix", hint=hint)
        found = np.array([float(times.get(name, 1.0)) for name in self.subsets])
        if not (found > 0).any():
            raise InputError("nothing is left to train on", field="mix", hint="leave a subset in")
        return found

    def _asked(self) -> tuple[list[tuple[str, str]], Array]:
        """Every prompt set's contrast, where it has one, and its sides; and the weights of sides in each."""
        places, rows, unit = [], [], np.eye(len(self.sides))
        for prompt_set in dict.fromkeys(name for name, _ in self.sides):
            own = {side: unit[place] for place, (name, side) in enumerate(self.sides) if name == prompt_set}
            if {HARMFUL, HARMLESS} <= set(own):
                own = {CONTRAST: own[HARMFUL] - own[HARMLESS]} | own
            places += [(prompt_set, side) for side in own]
            rows += list(own.values())
        return places, np.array(rows)

    def _left_out(self, times: Array) -> int | None:
        """The one subset that is left out, where that is all that changes."""
        gone, whole = np.flatnonzero(times == 0), times[times > 0]
        return int(gone[0]) if len(gone) == 1 and (whole == whole[0]).all() else None

    def _leaves(self, times: Array, after: Array, *, straight: bool) -> list[str]:
        said = []
        often = [name for name, value in zip(self.subsets, times, strict=True) if value > TIMES_MOST]
        if often:
            said.append(f"Read more than {TIMES_MOST:g} times as often as before: {listed(often)}.")
        changed = int((times != 1).sum())
        if changed > CHANGED_MOST:
            said.append(f"{count(changed, 'subset')} change at once; up to {CHANGED_MOST} were checked.")
        moved = self.law.moved(after)
        if moved > MOVED_MOST + 1e-9:
            said.append(f"{percent(moved)} of the mix goes to other subsets; up to {percent(MOVED_MOST)} was checked.")
        if straight:
            said.append("A loss changes by so much that its number is a guess.")
        return said


def mixing_of(
    result: TraceFiles | ValidateFiles, validation: ValidateFiles | None = None, power: float = POWER
) -> Mixing | None:
    """The mixing law of a validation's retrainings, or of those that a trace comes with or that ``validation`` has.

    ``None`` where there are none for a trace. The trainings that a trace comes with have equal shares, as the demo's.
    Raises :class:`InputError` where a validation is not about the texts of the trace, or where retrainings are missing.
    """
    if isinstance(result, ValidateFiles):
        return _fitted(result.ground_truth, _trained(result), power)
    if validation is not None:
        if not same_question(result.spec, validation.spec):
            raise InputError("it is not about the same texts", field="validation", hint="validate this trace")
        return _fitted(validation.ground_truth, _trained(validation), power)
    if result.ground_truth is None:
        return None
    return _fitted(result.ground_truth, {subset.name: 1.0 for subset in result.spec.subsets}, power)


def checked_by_halves(mixing: Mixing, validation: ValidateFiles) -> str | None:
    """How far a validation's own trainings on random halves agree with predictions; ``None`` where it has none.

    Over the halves, Pearson's r of the predicted change and the loss, side by side; halves move half of the mix.
    """
    path = validation.folder / HALVES
    if not path.is_file():
        return None
    try:
        losses = read_frame(path).pivot(index="without", columns=["prompt_set", "side"], values="loss")
        asked = [mixing.ask(dict.fromkeys(names.split("\n"), 0.0)).table for names in losses.index]
        told = np.array([table.set_index(COLUMNS[:2])["change"].loc[mixing.sides].to_numpy() for table in asked])
        agreed = pearson(told.T, losses[mixing.sides].to_numpy(dtype=float).T)
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"{HALVES} is damaged", field=f"result {validation.folder.name!r}", hint="run it again"
        ) from None
    return (
        f"Here it was checked by {count(len(losses), 'training')} on random halves of these subsets: over the sides, "
        f"predicted changes agree with their losses to r = {decimals(float(np.mean(agreed)))} on average, and "
        f"{decimals(float(np.min(agreed)))} at the least."
    )


def _trained(validation: ValidateFiles) -> dict[str, float]:
    """How much of each subset the trainings read."""
    known = validation.summary.get("data", {}).get("subsets", {})
    try:
        return {subset.name: float(known[subset.name]["trained_blocks"]) for subset in validation.spec.subsets}
    except (KeyError, TypeError, ValueError):
        what = "its summary does not say how much of each subset was trained on"
        raise InputError(what, field=f"result {validation.folder.name!r}", hint="validate again") from None


def _fitted(truth: pd.DataFrame, sizes: Mapping[str, float], power: float) -> Mixing:
    """``truth``: as ``ground_truth.parquet``; ``sizes``: of every subset, in any unit."""
    rows = truth[truth["side"] != CONTRAST]
    subsets, seeds = list(sizes), list(dict.fromkeys(rows["seed"]))
    tables = {
        (str(name), str(side)): part.pivot(index="seed", columns="subset", values="influence")
        for (name, side), part in rows.groupby(["prompt_set", "side"], sort=False)
    }
    changes = np.array([table.reindex(index=seeds, columns=subsets).to_numpy(dtype=float) for table in tables.values()])
    try:
        law = MixingLaw.fit(np.array([sizes[name] for name in subsets]), changes, power)
    except ValueError:
        hint = "validate at least three subsets, each with all its trainings"
        raise InputError("these retrainings tell no other mix", field="mix", hint=hint) from None
    return Mixing(subsets, list(tables), law, changes.mean(1))
