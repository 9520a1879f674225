"""A trace asked again: by a method closer to retraining, the ladder, by more seeds, or without some texts.

What an earlier run has computed is not computed again: a cell's key tells what its result depends on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.results.environment import data_digests
from untrac_core.results.folders import ENVIRONMENT, TraceFiles
from untrac_core.specs import SEEDS_MOST, MethodSpec, Subset, TraceSpec, method_spec
from untrac_core.specs.catalogue import ATTRIBUTION, LADDER, method_title
from untrac_core.specs.methods import ContinuationSettings
from untrac_core.stats.calibration import FEWEST
from untrac_core.tasks.prepare import load_records
from untrac_core.tasks.trace import frames
from untrac_core.text.labels import unit_of
from untrac_core.text.numbers import STEP_UNIT, count
from untrac_core.training.batches import BLOCKS_PER_BATCH

SHARED = (
    "This method deals the same prompts out among its seeds and reads them all, whatever their number: more seeds do "
    "not narrow its intervals, more texts do. Of its cells, those of the baselines alone can be taken over."
)
LARGE = 0.2
"""A subset with a greater share of the training changes what the rest does, which no product of gradients sees."""


@dataclass(frozen=True)
class Rung:
    """A run that would make a trace's answer more certain; ``adds``: what its method has that those below lack."""

    spec: TraceSpec
    title: str
    adds: str


def rungs(spec: TraceSpec, leave_out: Sequence[str] | None = None) -> list[Rung]:
    """The rungs above a trace's method, the cheapest first; all of them above one that is not on the ladder.

    Each asks about the same model, sources and seeds, without baselines, which the first result has; a continuation
    about as much text as it reads once. ``leave_out``: about these subsets alone, while the others stay in the mix.
    """
    names = list(LADDER)
    own = spec.method.name
    above = names[names.index(own) + 1 :] if own in names and spec.method.variant != "paper" else names
    trainable = getattr(spec.method, "trainable", None)
    found = []
    for name in above:
        settings: dict[str, Any] = {"trainable": trainable} if trainable in ("last_layers", "lora") else {}
        if leave_out is not None and "leave_out" in ATTRIBUTION[name].takes and name != "untrac-inv":
            settings["leave_out"] = list(leave_out)
        method = method_spec(name, **settings)
        changes = {
            "method": method, "baselines": [], "name": f"{spec.name}, by {name}"[:80],
            "subsets": [_with_enough(subset, method) for subset in spec.subsets],
        }  # fmt: skip
        found.append(Rung(spec.model_copy(update=changes), method_title(name), LADDER[name]))
    return found


def _with_enough(subset: Subset, method: MethodSpec) -> Subset:
    """A subset of as many blocks as a continuation reads once, where it has them and fewer were asked for."""
    if subset.limit is None or not isinstance(method, ContinuationSettings):
        return subset
    return subset.model_copy(update={"limit": max(subset.limit, method.steps * BLOCKS_PER_BATCH)})


def large_or_undecided(result: TraceFiles, prompt_set: str | None = None, side: str | None = None) -> list[str]:
    """The subsets of a result that a closer look would tell most of, in the order of the request.

    Those with more than a fifth of the training, where sizes count, and those that cannot be told from a neighbour in
    rank: on this side of a prompt set, else on the first ranked side of each. A blend takes three at least, so the
    first in rank join fewer.
    """
    spec, summary = result.spec, result.summary
    tokens = {name: facts["tokens"] for name, facts in summary["data"]["subsets"].items()}
    whole = sum(tokens.values()) if spec.weighting == "proportional" else math.inf
    found = {name for name, own in tokens.items() if own > LARGE * whole}
    first: list[str] = []
    for name in [prompts.name for prompts in spec.prompts] if prompt_set is None else [prompt_set]:
        sides = frames.sides_of(summary, name) if side is None else [side]
        known = (frames.ranking(summary, name, one) for one in sides)
        ranked = next((rows for rows in known if not rows.empty), None)
        if ranked is not None:
            found |= set(ranked.loc[~ranked["separable"].astype(bool), "subset"])
            first += [subset for subset in ranked["subset"] if subset not in first]
    if found:
        found |= set([subset for subset in first if subset not in found][: max(0, FEWEST - len(found))])
    return [subset.name for subset in spec.subsets if subset.name in found]


def next_rung(spec: TraceSpec, to: str | None = None, leave_out: Sequence[str] | None = None) -> Rung:
    """The rung by the method ``to``, or the next one; ``leave_out``: as of :func:`rungs`.

    Raises:
        InputError: where there is none.
    """
    above = rungs(spec, leave_out)
    known = [one.spec.method.name for one in above]
    chosen = [one for one in above if to in (None, one.spec.method.name)]
    if not chosen:
        hint = f"choose one of {known}" if known else "retrain: validate the same subsets and prompt sets"
        raise InputError(f"there is no rung {to or 'next'!r} above {spec.method.name!r}", field="rung", hint=hint)
    return chosen[0]


def check_unchanged(spec: TraceSpec, folder: Path) -> None:
    """Raise :class:`InputError` where the data are no longer those of the result in ``folder``.

    Two rungs are about the same question only if they read the same texts.
    """
    try:
        before = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            "it does not say which data it read", field=f"result {folder.name!r}", hint="run it again"
        ) from None
    now = data_digests(*load_records(spec))
    changed = sorted(name for name in now if before.get(name) != now[name])
    if changed:
        raise InputError(
            f"{changed[0]} has changed since the run", field=f"result {folder.name!r}", hint="run the trace again first"
        )


def extended(spec: TraceSpec, seeds: int) -> TraceSpec:
    """The same request by as many ``seeds``: those that it has, then the smallest others.

    Raises:
        InputError: where it has as many already, or may not have so many.
    """
    own = spec.seeds
    if seeds <= len(own):
        what, hint = f"the run has {count(len(own), 'seed')} already", f"ask for more than {len(own)}"
        raise InputError(what, field="seeds", hint=hint)
    if seeds > SEEDS_MOST:
        raise InputError(f"a run has at most {SEEDS_MOST} seeds", field="seeds", hint="ask for fewer")
    others = (seed for seed in range(seeds) if seed not in own)
    name = re.sub(r", \d+ seeds$", "", spec.name)
    made = [*own, *(next(others) for _ in range(seeds - len(own)))]
    return spec.model_copy(update={"seeds": made, "name": f"{name[:68]}, {seeds} seeds"})


def leaving(spec: TraceSpec, rows: Mapping[str, Sequence[str]]) -> TraceSpec:
    """The same request without some rows of its training text, by subset; those that it leaves out already stay out.

    Raises:
        InputError: where the trace has no such subset, or would leave out nothing more.
    """
    known = [subset.name for subset in spec.subsets]
    strange = next((name for name in rows if name not in known), None)
    if strange is not None:
        raise InputError(f"the trace has no subset {strange!r}", field="without", hint=f"its subsets are {known}")
    subsets = [
        subset.model_copy(update={"without": list(dict.fromkeys([*subset.without, *rows.get(subset.name, [])]))})
        for subset in spec.subsets
    ]
    added = sum(len(one.without) for one in subsets) - sum(len(one.without) for one in spec.subsets)
    if not added:
        raise InputError("no row is left out that is not out already", field="without", hint="name other rows")
    name = re.sub(r", without \d+ rows?$", "", spec.name)
    whole = sum(len(one.without) for one in subsets)
    made = {"subsets": subsets, "name": f"{name[:60]}, without {count(whole, 'row')}"}
    return TraceSpec.model_validate(spec.model_copy(update=made).model_dump())


def seeds_tell(spec: TraceSpec) -> bool:
    """Whether more seeds narrow a trace's intervals; where not, :data:`SHARED` says why."""
    return unit_of(spec.method) != STEP_UNIT
