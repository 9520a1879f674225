"""From cells to answers: the influence table, the example table, the ranking and its verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from untrac_core.attribution.protocol import Method, Study
from untrac_core.attribution.unlearner import NATS, Unlearner
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example
from untrac_core.results import EXAMPLE_COLUMNS, INFLUENCE_COLUMNS
from untrac_core.shares import removal, removed
from untrac_core.statistics import Estimate, estimate, excludes_zero, seed_margin

CONTRAST = "contrast"


@dataclass(frozen=True)
class Outcome:
    """The cells of one method, each with its table, and the study that they belong to."""

    study: Study
    method: Method
    title: str
    cells: Sequence[Cell]
    frames: Sequence[pd.DataFrame]

    @property
    def inverse(self) -> bool:
        """Whether the watched examples are those of the training subsets."""
        return self.method.inverse

    @property
    def one_size(self) -> bool:
        """Whether steps compare over all sets of a prompt set, so that the last common one is taken."""
        scaled = isinstance(self.method, Unlearner) and self.method.settings.optimizer == "kronecker"
        return self.inverse or scaled

    @property
    def failed(self) -> str | None:
        """Why the method could not work here, where it could not."""
        bare = [frame for frame in self.frames if str(frame["subset"].iloc[0]) == ""]
        return str(bare[0]["ended"].iloc[0]) if bare else None

    def collapsed_cells(self) -> list[Cell]:
        """Cells in which the model ended knowing nothing."""
        return [cell for cell, frame in zip(self.cells, self.frames, strict=True) if bool(frame["collapsed"].iloc[0])]

    def refused(self, prompt_set: str, side: str) -> bool:
        """Whether a collapse makes a ranking of this side meaningless."""
        sides = ("harmful", "harmless") if side == CONTRAST else (side,)
        return any(
            not cell.prompt_set or (cell.prompt_set == prompt_set and cell.side in sides)
            for cell in self.collapsed_cells()
        )


def influence_frame(outcome: Outcome) -> pd.DataFrame:
    """The table of ``influence.parquet``: one row per subset, prompt set, side, group, seed and kept step."""
    rows = []
    for cell, frame in zip(outcome.cells, outcome.frames, strict=True):
        for (subset, prompt_set, side), part in frame.groupby(["subset", "prompt_set", "side"], sort=False):
            groups = [""]
            names: list[str] = []
            if not outcome.inverse:
                names = [item.group for item in outcome.study.prompts[prompt_set][side]]
                groups += sorted({name for name in names if name})
            label = outcome.study.prompt_data[prompt_set].spec.sides[side] or ""
            for group in groups:
                chosen = part
                if group:
                    inside = np.array([name == group for name in names])
                    chosen = part[inside[part["example"].to_numpy()]]
                rows.append(_aggregate(chosen, outcome, cell, (subset, prompt_set, side), group, label))
    return pd.concat(rows, ignore_index=True)[INFLUENCE_COLUMNS]


def _aggregate(
    part: pd.DataFrame, outcome: Outcome, cell: Cell, place: tuple[str, str, str], group: str, label: str
) -> pd.DataFrame:
    sums = part.groupby("step", sort=True).agg(
        loss=("loss_before", "sum"),
        change=("change", "sum"),
        tokens=("tokens", "sum"),
        examples=("example", "size"),
        dose=("dose", "first"),
    )
    subset, prompt_set, side = place
    table = pd.DataFrame({"step": sums.index.to_numpy()})
    table["loss_before"] = (sums["loss"] / sums["tokens"]).to_numpy()
    table["influence"] = (sums["change"] / sums["tokens"]).to_numpy()
    table["loss_after"] = table["loss_before"] + table["influence"]
    for name in ("tokens", "examples", "dose"):
        table[name] = sums[name].to_numpy()
    return table.assign(
        method=outcome.method.name, subset=subset, prompt_set=prompt_set, side=side,
        group=group, label=label, seed=cell.seed,
    )  # fmt: skip


def final_changes(outcome: Outcome) -> dict[tuple[str, str, str], np.ndarray]:
    """Each (subset, prompt set, side)'s changes at the end, shape (seeds, examples), in nats.

    UnTrac-Inv: the last step that all sides and seeds of a prompt set kept; UnTrac with steps of one size: the last
    that all subsets and seeds kept. So like is compared with like. UnTrac by epochs: each subset's own last step.
    """
    last: dict[str, int] = {}
    if outcome.one_size:
        for cell, frame in zip(outcome.cells, outcome.frames, strict=True):
            end = int(frame["step"].max())
            last[cell.prompt_set] = min(end, last.get(cell.prompt_set, end))
    stacked: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for cell, frame in zip(outcome.cells, outcome.frames, strict=True):
        end = last[cell.prompt_set] if outcome.one_size else int(frame["step"].max())
        kept = frame[frame["step"] == end]
        for place, part in kept.groupby(["subset", "prompt_set", "side"], sort=False):
            stacked.setdefault(place, []).append(part["change"].to_numpy())
    return {place: np.stack(values) for place, values in stacked.items()}


def estimates(outcome: Outcome) -> dict[tuple[str, str], dict[str, Estimate]]:
    """(Prompt set, side) to subset to its estimate; ``contrast`` is harmful minus harmless, paired."""
    result: dict[tuple[str, str], dict[str, Estimate]] = {}
    share = outcome.method.share
    tokens_of = watched_tokens(outcome)
    for (subset, prompt_set, side), changes in final_changes(outcome).items():
        tokens = tokens_of[subset, prompt_set, side]
        population = f"subset {subset}" if outcome.inverse else f"prompts {prompt_set} {side}"
        result.setdefault((prompt_set, side), {})[subset] = estimate(changes, tokens, population, share)
    if outcome.study.sizes is not None:
        result = {place: removed(by_subset, outcome.study.sizes) for place, by_subset in result.items()}
    for prompt_set, sides in outcome.study.prompts.items():
        if len(sides) == 2:
            harmful, harmless = result[prompt_set, "harmful"], result[prompt_set, "harmless"]
            result[prompt_set, CONTRAST] = {subset: harmful[subset] - harmless[subset] for subset in harmful}
    return result


def watched_tokens(outcome: Outcome) -> dict[tuple[str, str, str], np.ndarray]:
    """The tokens of each (subset, prompt set, side)'s watched examples, as the cells have them."""
    found: dict[tuple[str, str, str], np.ndarray] = {}
    for frame in outcome.frames:
        first = frame[frame["step"] == frame["step"].iloc[0]]
        for place, part in first.groupby(["subset", "prompt_set", "side"], sort=False):
            found.setdefault(place, part["tokens"].to_numpy(dtype=np.float64))
    return found


def ranking_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The ``ranking`` of ``summary.json``: most influential first; none where a collapse forbids it."""
    rows = []
    for (prompt_set, side), by_subset in _in_order(outcome):
        if outcome.refused(prompt_set, side):
            continue
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
                    "separable": all(neighbours),
                }
            )
    return rows


def _in_order(outcome: Outcome) -> list[tuple[tuple[str, str], dict[str, Estimate]]]:
    """Prompt sets in the order of the spec, the contrast first: it is the default view."""
    found = estimates(outcome)
    order = [(prompt_set, side) for prompt_set in outcome.study.prompts for side in (CONTRAST, "harmful", "harmless")]
    return [(place, found[place]) for place in order if place in found]


def verdicts(outcome: Outcome, rows: Sequence[dict[str, Any]], influence: pd.DataFrame) -> list[dict[str, Any]]:
    """For each prompt set and side: the answer in words, its top subset or ``None``, and whether to trust it."""
    result = []
    for place, _ in _in_order(outcome):
        prompt_set, side = place
        ranked = [row for row in rows if (row["prompt_set"], row["side"]) == place]
        collapsed = outcome.refused(prompt_set, side)
        stable = not collapsed and _stable(influence, prompt_set, side, outcome.study.sizes)
        top, text = None, "No ranking: the unlearning went so far that the model collapsed. Take smaller steps."
        if not collapsed:
            top, text = _answer(outcome, ranked, prompt_set, side)
            if top and not stable:
                text += " The order changes along the unlearning steps, so read it with care."
        result.append(
            {"prompt_set": prompt_set, "side": side, "top": top, "text": text, "collapsed": collapsed, "stable": stable}
        )
    return result


def _answer(outcome: Outcome, ranked: list[dict[str, Any]], prompt_set: str, side: str) -> tuple[str | None, str]:
    """The top subset, if it can be told from the second and from nothing, and a sentence that says so."""
    first, second = ranked[0], ranked[1]
    if first["low"] is None:
        return None, "Cannot separate: one seed says nothing about its own noise. Run at least two seeds."
    labels = outcome.study.prompt_data[prompt_set].spec.sides
    unit = outcome.method.unit
    size = f"{first['influence']:+.2g} {unit}, 95% interval {first['low']:+.2g} to {first['high']:+.2g}"
    if first["low"] <= 0:
        return None, f"Cannot separate: even the first, {first['subset']}, cannot be told from no influence ({size})."
    if not first["separable"]:
        return None, (
            f"Cannot separate: {first['subset']} comes first ({size}), but {second['subset']} lies within its noise."
        )
    texts = f"{labels.get(side) or 'these'} texts of {prompt_set}"
    if side == CONTRAST:
        texts = f"{labels['harmful']} texts of {prompt_set}, beyond {labels['harmless']} ones,"
    if unit != NATS:
        return first["subset"], f"{first['subset']} scores highest with {texts.rstrip(',')} ({size})."
    return first["subset"], f"Without {first['subset']}, the model would find {texts} harder to write ({size})."


def _stable(influence: pd.DataFrame, prompt_set: str, side: str, sizes: Mapping[str, float] | None) -> bool:
    """Whether the same subset is first at every kept point that all ascents reached (mean over seeds).

    Points are counted, not steps: subsets of different sizes take different numbers of steps an epoch.
    """
    rows = influence[(influence["prompt_set"] == prompt_set) & (influence["group"] == "") & (influence["step"] > 0)]
    ascents = rows.sort_values("step").groupby(["side", "subset", "seed"])
    rows = rows.assign(point=ascents.cumcount())
    rows = rows[rows["point"] < ascents.size().min()]
    table = rows.groupby(["side", "point", "subset"])["influence"].mean()
    curve = (table["harmful"] - table["harmless"]).dropna() if side == CONTRAST else table[side]
    points = curve.unstack("subset")
    if sizes is not None:
        matrix = removal(np.array([sizes[subset] for subset in points.columns], dtype=np.float64))
        points = points @ pd.DataFrame(matrix.T, index=points.columns, columns=points.columns)
    return bool(points.idxmax(axis=1).nunique() == 1)


def example_frame(outcome: Outcome) -> pd.DataFrame:
    """The table of ``examples.parquet``: each training block's own influence on each side, with its interval.

    Per example the interval is over seeds alone: it says how far the score hangs on the prompts that were drawn.
    """
    changes = final_changes(outcome)
    parts = []
    for (prompt_set, side), by_subset in _in_order(outcome):
        for subset in by_subset:
            blocks = outcome.study.subsets[subset].blocks
            values = changes[subset, prompt_set, "harmful" if side == CONTRAST else side]
            if side == CONTRAST:
                values = values - changes[subset, prompt_set, "harmless"]
            rows = _example_rows(outcome.study, outcome.method.share, subset, blocks, values)
            parts.append(rows.assign(prompt_set=prompt_set, side=side))
    return pd.concat(parts, ignore_index=True)[EXAMPLE_COLUMNS]


def _example_rows(study: Study, share: float, subset: str, blocks: list[Example], changes: np.ndarray) -> pd.DataFrame:
    tokens = np.array([block.tokens for block in blocks], dtype=np.float64)
    per_token = changes / tokens
    reach = seed_margin(per_token, share) if len(per_token) > 1 else np.full(len(blocks), np.nan)
    mean = per_token.mean(0)
    start = list(study.subsets).index(subset)
    offset = sum(len(packed.blocks) for packed in list(study.subsets.values())[:start])
    before = study.before("training subsets", study.all_blocks)[offset : offset + len(blocks)]
    return pd.DataFrame(
        {
            "subset": subset,
            "id": [block.id for block in blocks],
            "reference": [f"{study.subset_data[subset].file}, line {block.line}" for block in blocks],
            "text": [study.model.encoder.example_text(block)[:400] for block in blocks],
            "tokens": tokens.astype(np.int64),
            "loss_before": before / tokens,
            "influence": mean,
            "low": mean - reach,
            "high": mean + reach,
        }
    )
