"""Rankings side by side: of two prompt sets, two runs, two methods or two models, joined subset by subset.

A :class:`RankingView` is one ranking: a run, a prompt set, a side and a method. The first of several is the baseline.
Ranks always compare. Sizes compare only where both views are changes of loss of one model on the same prompts by one
method; everything else (scores, other models, other prompts, steps of another length) is compared by ranks alone.

    toxic, untrue = view_of(result, "toxicity"), view_of(result, "truthfulness")
    table = joined([toxic, untrue])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.errors import InputError
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import method_title
from untrac_core.tasks.trace.frames import baselines, ranking
from untrac_core.text.labels import SIDES, labels, plain, unit_of
from untrac_core.text.numbers import UNIT, signed

LETTERS = "ABCD"
"""What views are called, the baseline first; there are at most so many."""
COLUMNS = ["subset", "rank", "value", "low", "high"]


@dataclass(frozen=True, eq=False)
class RankingView:
    """One ranking. ``values``: columns subset, rank, value, low, high (missing with one seed), the first rank first."""

    run: str
    run_name: str
    prompts: PromptSet
    side: str
    method: str
    unit: str
    values: pd.DataFrame
    scale_key: tuple[str, str, str]
    """Model, texts of the prompts, and method: what two views must share for their values to be of one scale."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Subset to the content hash of its texts, or of their file, where it is known."""
    collapsed: bool = False
    """Whether it ranks models that collapsed; its values then have no intervals, and its name says so."""

    @property
    def measures_loss(self) -> bool:
        """Whether its values are changes of the model's loss, by whatever step or training, and no scores."""
        return self.unit.startswith(UNIT)

    @property
    def relative(self) -> bool:
        """Whether only the proportions of its values mean something: they are no measured unlearning."""
        return self.measures_loss and self.unit != UNIT

    def told(self, value: float) -> str:
        """A value in words: of what is relative its share of the largest, else with its unit."""
        if not self.relative:
            return f"{signed(value)} {self.unit}"
        return f"{signed(value / (self.values['value'].abs().max() or 1.0))} of the largest"

    @property
    def objects(self) -> tuple[str, str]:
        """What a positive and a negative value speak for: the labels of the prompt set as plain words."""
        harmful, harmless = labels(self.prompts)
        if self.prompts.harmful is None:
            own = plain(self.prompts.name) or "these texts"
            return own, own
        return {"contrast": (harmful, harmless), "harmless": (harmless, harmless)}.get(self.side, (harmful, harmful))

    def does(self, sign: int) -> tuple[str, str]:
        """Verb (of many subsets: 'drive') and object ('toxic') of a subset whose value has this sign."""
        more, less = self.objects
        contrast, known = self.side == "contrast", self.measures_loss
        if sign > 0:
            return ("speak for" if not known else "help" if self.side == "harmless" else "drive"), more
        if contrast:
            return ("help" if known else "speak for"), less
        return ("hold back" if known else "speak against"), more

    def harm(self, sign: int) -> int:
        """1 where a value of this sign goes towards the harm, -1 away from it, 0 where it has no sign."""
        return -sign if self.side == "harmless" else sign


def available(result: TraceFiles) -> dict[str, dict[str, list[str]]]:
    """What can be looked at: prompt set to side (contrast first) to the methods that ranked it, the run's own first."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in result.summary["ranking"]:
        if row.get("group") is None:
            found.setdefault((row["prompt_set"], row["side"]), {})[result.spec.method.name] = None
    for row in result.summary.get("baselines", []):
        found.setdefault((row["prompt_set"], row["side"]), {})[row["method"]] = None
    return {
        prompts.name: {side: list(found[prompts.name, side]) for side in SIDES if (prompts.name, side) in found}
        for prompts in result.spec.prompts
    }


def view_of(result: TraceFiles, prompt_set: str, side: str | None = None, method: str | None = None) -> RankingView:
    """One ranking of a result. ``side`` unset: contrast where there is one. ``method`` unset: the result's own.

    Raises:
        InputError: where the result has no such prompt set, or no such ranking of it.
    """
    where = f"result {result.folder.name!r}"
    prompts = next((prompts for prompts in result.spec.prompts if prompts.name == prompt_set), None)
    if prompts is None:
        raise InputError(
            f"it has no prompt set {prompt_set[:80]!r}", field=where, hint="choose one that it was traced on"
        )
    own = method is None or method == result.spec.method.name
    by = result.spec.method.name if own else str(method)
    side = side or next((name for name, methods in available(result)[prompt_set].items() if by in methods), "contrast")
    values = _values(result, prompt_set, side, method)
    if values.empty:
        what = f"{method_title(by)} has no ranking of the side {side!r} of {prompt_set!r}"
        raise InputError(what, field=where, hint="choose another side, prompt set or method")
    collapsed = own and bool(ranking(result.summary, prompt_set, side)["collapsed"].any())
    if collapsed:
        values = values.assign(low=np.nan, high=np.nan)
    return RankingView(
        run=str(result.summary.get("run") or result.folder.resolve()),
        run_name=result.spec.name,
        prompts=prompts,
        side=side,
        method=by,
        unit=_unit(result, prompt_set, side, None if own else method),
        values=values.drop_duplicates("subset").reset_index(drop=True),
        scale_key=_kin(result, prompts),
        digests=_digests(result),
        collapsed=collapsed,
    )


def _values(result: TraceFiles, prompt_set: str, side: str, method: str | None) -> pd.DataFrame:
    if method is None or method == result.spec.method.name:
        return ranking(result.summary, prompt_set, side).rename(columns={"influence": "value"})[COLUMNS]
    beside = baselines(result.summary, prompt_set, side)
    found = beside[beside["method"] == method].rename(columns={"score": "value"})[COLUMNS]
    return found.astype(dict.fromkeys(("value", "low", "high"), float)).sort_values("rank")


def _unit(result: TraceFiles, prompt_set: str, side: str, baseline: str | None) -> str:
    if baseline is not None:
        beside = baselines(result.summary, prompt_set, side)
        return str(beside.loc[beside["method"] == baseline, "unit"].iloc[0])
    return str(result.summary.get("unit") or unit_of(result.spec.method))


def _kin(result: TraceFiles, prompts: PromptSet) -> tuple[str, str, str]:
    """Model, prompts and method of a result, as far as its values' size depends on them."""
    spec, found = result.spec, result.environment.get("model")
    known = found if isinstance(found, dict) else {}
    weights = [known.get("sha256") or spec.model.model_dump(mode="json"), known.get("adapter"), known.get("dtype")]
    # The hash may be that of a whole file: which part of it is read, and how, belongs to it.
    texts = [
        _hashes(result).get(f"prompt set {prompts.name}") or str(prompts.source),
        prompts.model_dump(mode="json", include={"columns", "harmful", "harmless", "limit", "probe"}),
    ]
    method = spec.method.model_dump(mode="json", exclude={"label"})
    model, prompt_texts, way = (
        json.dumps(part, sort_keys=True) for part in (weights, texts, [method, spec.weighting, spec.block_size])
    )
    return model, prompt_texts, way


def _hashes(result: TraceFiles) -> dict[str, Any]:
    data = result.environment.get("data")
    return data if isinstance(data, dict) else {}


def _digests(result: TraceFiles) -> dict[str, str]:
    prefix = "subset "
    return {name[len(prefix) :]: str(value) for name, value in _hashes(result).items() if name.startswith(prefix)}


def one_scale(first: RankingView, second: RankingView) -> bool:
    """Whether a difference of the two views' values means something: changes of loss, of one kin."""
    return first.measures_loss and second.measures_loss and first.scale_key == second.scale_key


def names(views: Sequence[RankingView]) -> list[str]:
    """A short name for each view: what of run, prompt set, side and method they do not all share."""
    parts = [
        (view.run_name, view.prompts.name, view.side if view.side == "contrast" else view.objects[0],
         method_title(view.method))
        for view in views
    ]  # fmt: skip
    kept = [i for i in range(4) if len({part[i] for part in parts}) > 1] or [1]
    short = [
        " · ".join(part[i] for i in kept) + (" (collapsed)" if view.collapsed else "")
        for part, view in zip(parts, views, strict=True)
    ]
    if len(set(short)) == len(short):
        return short
    return [f"{name} · {Path(view.run).name}" for name, view in zip(short, views, strict=True)]


def joined(views: Sequence[RankingView]) -> pd.DataFrame:
    """One row per subset, in the order of the baseline; subsets that only others have follow.

    Columns: subset; for each view by its letter ``rank_A`` (its own), ``place_A`` (among the subsets that all views
    have), ``value_A``, ``low_A``, ``high_A``, ``sign_A`` (1 or -1 where the interval is clear of zero, else 0);
    ``views`` (the letters of those that have it); and for each view but the baseline ``move_B`` (places up against the
    baseline), and where the two are of :func:`one_scale` ``difference_B`` (B minus A) with ``difference_low_B`` and
    ``difference_high_B``: an interval as of independent estimates (MOVER; Zou and Donner, 2008).

    Raises:
        ValueError: for fewer than two views, or more than :data:`LETTERS` has letters.
    """
    if not 2 <= len(views) <= len(LETTERS):
        raise ValueError(f"{len(views)} views: 2 to {len(LETTERS)} can be joined")
    order = pd.Index(list(dict.fromkeys(name for view in views for name in view.values["subset"])), name="subset")
    table = pd.DataFrame(index=order)
    for letter, view in zip(LETTERS, views, strict=False):
        own = view.values.set_index("subset").reindex(order)
        table = table.assign(**{f"{name}_{letter}": own[name] for name in COLUMNS[1:]})
        table[f"sign_{letter}"] = signs(own)
    letters = LETTERS[: len(views)]
    has = {letter: table[f"rank_{letter}"].notna() for letter in letters}
    table["views"] = ["".join(kept) for kept in zip(*(np.where(has[one], one, "") for one in letters), strict=True)]
    everywhere = table["views"] == letters
    for letter in letters:
        table[f"place_{letter}"] = table.loc[everywhere, f"rank_{letter}"].rank(method="first")
    for letter, view in list(zip(letters, views, strict=True))[1:]:
        table[f"move_{letter}"] = table["place_A"] - table[f"place_{letter}"]
        if one_scale(views[0], view):
            table = _with_difference(table, letter)
    return table.reset_index()


def signs(values: pd.DataFrame) -> pd.Series:
    """1 or -1 where the interval is clear of zero, 0 where it is not or where there is none; columns low and high."""
    found: pd.Series = (values["low"] > 0).astype(int) - (values["high"] < 0).astype(int)
    return found


def _with_difference(table: pd.DataFrame, letter: str) -> pd.DataFrame:
    change = table[f"value_{letter}"] - table["value_A"]
    below = [table[f"value_{one}"] - table[f"low_{one}"] for one in ("A", letter)]
    above = [table[f"high_{one}"] - table[f"value_{one}"] for one in ("A", letter)]
    return table.assign(
        **{
            f"difference_{letter}": change,
            f"difference_low_{letter}": change - np.hypot(below[1], above[0]),
            f"difference_high_{letter}": change + np.hypot(above[1], below[0]),
        }
    )


def other_texts(views: Sequence[RankingView]) -> list[str]:
    """Subsets that views have by the same name but with other texts, as far as content hashes are known."""
    known: dict[str, set[str]] = {}
    for view in views:
        for subset in view.values["subset"]:
            if subset in view.digests:
                known.setdefault(subset, set()).add(view.digests[subset])
    return [subset for subset, hashes in known.items() if len(hashes) > 1]
