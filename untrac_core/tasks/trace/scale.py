"""How the influence of a side is shown and said: in nats of retraining where these are known, else as relative.

A method's own unit says nothing of what retraining would show. Where retrained models are known, of the result itself
or of a validation of the same texts and prompts, every number is multiplied by the slope of the truth on the
estimate (:mod:`untrac_core.stats.calibration`), and its interval holds the error of that. A subset is never calibrated
by its own retraining. Where none is known, numbers are shares of the largest on that side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from untrac_core.results.evidence import in_words
from untrac_core.results.folders import TraceFiles, ValidateFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.calibration import Calibration, calibrate
from untrac_core.tasks.trace import frames
from untrac_core.text.labels import labels, unit_of
from untrac_core.text.numbers import RELATIVE_UNIT, RETRAINED_UNIT, STEP_UNIT, UNIT, missing, signed

BY_OTHERS = (
    "Calibrated: retrained models are known here. Each number is multiplied by what retraining without the other "
    "subsets showed, and its interval includes the error of that calibration."
)
AS_SHARES = (
    "Relative: 1 is the largest influence on this side. How much retraining would change is not known; a validation "
    "of the same texts and prompts tells it."
)
SETTLED_MOST = 50
"""Times as much text: beyond that, it is not worth while."""
MOST_TIMES = 20
"""A second that is smaller by more than so much is as good as nothing."""
AS_MEASURED = "Measured by this unlearning; how much retraining would change cannot be read from it."


@dataclass(frozen=True)
class Scale:
    """A ranking in the unit in which it is shown; columns as of :func:`untrac_core.tasks.trace.frames.ranking`."""

    ranked: pd.DataFrame
    unit: str
    said: str
    """What the unit is, and where it comes from."""
    calibrated: bool = False


def scale_of(result: TraceFiles, prompt_set: str, side: str, validation: ValidateFiles | None = None) -> Scale:
    """The ranking of a side in the unit that is known for it; ``validation``: one that :func:`fits`."""
    ranked = frames.ranking(result.summary, prompt_set, side)
    own = str(result.summary.get("unit") or unit_of(result.spec.method))
    if ranked.empty or ranked["collapsed"].any():  # no retraining makes a number of a collapsed model true
        return relative(ranked, own)
    if result.ground_truth is not None:
        found = _by_others(result, ranked, prompt_set, side)
        if found is not None:
            return Scale(found, RETRAINED_UNIT, BY_OTHERS, calibrated=True)
    if validation is not None:
        known = _of_validation(result, validation, prompt_set, side)
        if known is not None:
            said = (
                f"Calibrated by the validation {validation.spec.name!r}: its models were trained anew, and may differ "
                "from this one. Each interval includes the error of that calibration."
            )
            return Scale(_multiplied(ranked, [known] * len(ranked)), RETRAINED_UNIT, said, calibrated=True)
    return relative(ranked, own)


def fits(result: TraceFiles, validation: ValidateFiles) -> bool:
    """Whether a validation asked the same method about the same texts, and at least one of the prompt sets."""
    spec, other = result.spec, validation.spec
    if {subset.name: subset.source for subset in spec.subsets} != {s.name: s.source for s in other.subsets}:
        return False
    mine = {prompts.name: prompts.source for prompts in spec.prompts}
    shared = any(mine.get(prompts.name) == prompts.source for prompts in other.prompts)
    return shared and _title(result, validation) is not None


def _title(result: TraceFiles, validation: ValidateFiles) -> str | None:
    """What the validation calls the trace's method, where it asked it with the same settings."""
    wanted = result.spec.method.model_dump(exclude={"label"})
    same = [method for method in validation.spec.methods if method.model_dump(exclude={"label"}) == wanted]
    return same[0].title if same else None


def _of_validation(result: TraceFiles, validation: ValidateFiles, prompt_set: str, side: str) -> Calibration | None:
    """The calibration of the side itself where it is known, else that of all sides."""
    title, summary = _title(result, validation), validation.summary
    rows = [row for row in summary.get("calibration", []) if row["method"] == title]
    own = [row for row in rows if (row["prompt_set"], row["side"]) == (prompt_set, side)]
    pooled = [row for row in rows if row["prompt_set"] is None]
    subsets = len(validation.spec.subsets)
    for row in (*own, *pooled):
        if any(missing(row[name]) for name in ("slope", "low", "high", "rmse")):
            continue
        found = Calibration(row["slope"], row["low"], row["high"], row["rmse"], subsets)
        if found.known:
            return found
    return None


def _by_others(result: TraceFiles, ranked: pd.DataFrame, prompt_set: str, side: str) -> pd.DataFrame | None:
    """Every subset under the slope of the others, over all prompt sets' contrasts, or all of their sides."""
    views = []
    for prompts in result.spec.prompts:
        for name in frames.sides_of(result.summary, prompts.name):
            if (name == CONTRAST) == (side == CONTRAST):
                rows = frames.ranking(result.summary, prompts.name, name)
                pairs = frames.with_ground_truth(rows, result.ground_truth, prompts.name, name)
                views.append(pairs.set_index("subset").reindex(ranked["subset"]) if len(pairs) else pairs)
    known = [view for view in views if len(view) == len(ranked) and view[["influence", "truth"]].notna().all(axis=None)]
    if not known:
        return None
    estimates = np.stack([view["influence"].to_numpy(dtype=np.float64) for view in known])
    truths = np.stack([view["truth"].to_numpy(dtype=np.float64) for view in known])
    found = [calibrate(np.delete(estimates, i, 1), np.delete(truths, i, 1)) for i in range(len(ranked))]
    return _multiplied(ranked, found) if all(one.known for one in found) else None


def _multiplied(ranked: pd.DataFrame, by: list[Calibration]) -> pd.DataFrame:
    rows = []
    for row, calibration in zip(ranked.itertuples(), by, strict=True):
        own = None if missing(row.low) else (float(row.low), float(row.high))
        rows.append(calibration.calibrated(float(row.influence), own))
    values = np.array(rows)
    return ranked.assign(influence=values[:, 0], low=values[:, 1], high=values[:, 2])


def in_nats(scale: Scale, prompts: PromptSet, side: str) -> str | None:
    """What retraining without the first subset would show; holds a user's words. ``None``: it is not known."""
    if not scale.calibrated:
        return None
    first, (harmful, harmless) = scale.ranked.iloc[0], labels(prompts)
    texts = f"{harmful if side == 'harmful' else harmless} text" if prompts.harmful is not None else "these texts"
    if side == CONTRAST:
        texts = f"{harmful} text, beyond that of {harmless} text,"
    ends = "" if missing(first["low"]) else f" (95% interval {signed(first['low'])} to {signed(first['high'])})"
    way = "raise" if first["influence"] > 0 else "lower"
    return (
        f"Retraining without {first['subset']} would {way} the loss of {texts} by about "
        f"{abs(first['influence']):.2f} nats per token{ends}."
    )


def in_shares(scale: Scale) -> str | None:
    """The first two of a ranking that is not calibrated, in its unit, with their intervals; holds a user's words."""
    if scale.calibrated or scale.ranked.empty:
        return None
    told = []
    for row in scale.ranked.head(2).itertuples():
        ends = "" if missing(row.low) else f" (95% interval {signed(row.low)} to {signed(row.high)})"
        told.append(f"{row.subset} {signed(row.influence)}{ends}")
    return f"In {scale.unit}: {', '.join(told)}."


def relative(ranked: pd.DataFrame, own: str) -> Scale:
    """A ranking that is not calibrated: in shares of the largest, unless its own unit, ``own``, is one of its own."""
    if ranked.empty:
        return Scale(ranked, own, "")
    if own == UNIT:
        return Scale(ranked, own, AS_MEASURED)
    largest = float(ranked["influence"].abs().max())
    if UNIT not in own or not largest:
        return Scale(ranked, own, "")
    shares = {name: ranked[name] / largest for name in ("influence", "low", "high")}
    return Scale(ranked.assign(**shares), RELATIVE_UNIT, AS_SHARES)


def headline(result: TraceFiles, prompts: PromptSet, side: str) -> str:
    """Who is first, by how much over the next, and whether that is significant; holds a user's words (show as text)."""
    ranked = frames.ranking(result.summary, prompts.name, side)
    found = frames.verdict(result.summary, prompts.name, side)
    if ranked.empty:
        return "There is no ranking."
    first, what = ranked.iloc[0], _texts(prompts, side)
    zero = "the average subset" if result.summary.get("unit") == STEP_UNIT else "zero"
    if found is not None and found.get("collapsed"):
        return f"Do not rely on this ranking for {what}: models collapsed."
    if missing(first["low"]):
        return f"{first['subset']} ranks first for {what}, without an interval: it may be chance."
    if first["low"] <= 0:
        return f"No subset stands out for {what}: even the first, {first['subset']}, is not significantly above {zero}."
    if len(ranked) == 1:
        return f"{first['subset']} is significantly above {zero} for {what}; no other subset was asked about."
    second = ranked.iloc[1]
    if not (found and found.get("top")):
        return (
            f"{first['subset']} ranks first for {what}, significantly above {zero}; its lead over {second['subset']} "
            "is not significant."
        )
    times = first["influence"] / second["influence"] if second["influence"] > 0 else MOST_TIMES + 1
    next_one = second["subset"]
    by = f"{times:.1f} times as much as the next, {next_one}" if times <= MOST_TIMES else f"far ahead of {next_one}"
    return f"{first['subset']} contributes most to {what}: {by}. The lead is significant."


def evidence(result: TraceFiles, prompts: PromptSet, side: str) -> str:
    """How far the ranking is known to agree with retraining: here, else on the testbed that is most like the run."""
    ranked = frames.ranking(result.summary, prompts.name, side)
    pairs = frames.with_ground_truth(ranked, result.ground_truth, prompts.name, side)
    agreement = None if pairs.empty else frames.pearson(pairs)
    if agreement is None:
        return in_words(result)
    return f"Models that were retrained without each subset agree: r = {agreement:.2f} over {len(pairs)} subsets."


def answer_lines(result: TraceFiles, scale: Scale, prompts: PromptSet, side: str) -> list[str]:
    """The same on a page, in a presentation and in a report: :func:`headline`, :func:`evidence`, and the sizes."""
    found = frames.verdict(result.summary, prompts.name, side)
    if found is not None and (found.get("collapsed") or scale.ranked.empty):
        sizes = str(found["text"])
    else:
        sizes = in_nats(scale, prompts, side) or in_shares(scale) or ""
    return [text for text in (headline(result, prompts, side), evidence(result, prompts, side), sizes) if text]


def _texts(prompts: PromptSet, side: str) -> str:
    harmful, harmless = labels(prompts)
    if prompts.harmful is None:
        return "these texts"
    if side == CONTRAST:
        return f"{harmful} rather than {harmless} text"
    return f"{harmful if side == 'harmful' else harmless} text"


def what_would_settle(result: TraceFiles, prompts: PromptSet, side: str) -> str | None:
    """Where the verdict is open: how much more text it would take, roughly; ``None`` where nothing is open.

    Intervals shrink with the square root of the texts. Of two neighbours they are taken to be independent, which errs
    to the side of more texts.
    """
    ranked = frames.ranking(result.summary, prompts.name, side)
    found = frames.verdict(result.summary, prompts.name, side)
    if found is None or found.get("top") or found.get("collapsed") or len(ranked) < 2:
        return None
    margins = (ranked["high"] - ranked["low"]) / 2
    if not np.isfinite(margins.iloc[0]) or not np.isfinite(margins.iloc[1]):
        return "Take at least two seeds, and eight texts of every side and subset, for an interval."
    first, gap = ranked["influence"].iloc[0], ranked["influence"].iloc[0] - ranked["influence"].iloc[1]
    needed = [(margins.iloc[0] / first) ** 2 if first > 0 else np.inf]
    needed.append((margins.iloc[0] ** 2 + margins.iloc[1] ** 2) / gap**2 if gap > 0 else np.inf)
    times = float(max(needed))
    if times > SETTLED_MOST:
        return "The first two are so close that more text will hardly tell them apart: take both as found."
    return (
        f"About {max(times, 1.5):.2g} times as many texts and prompts would settle it, if the numbers stay as they are."
    )
