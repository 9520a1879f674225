"""Which retrainings the what-if page asks, and the law that they tell; nothing here draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components.layout.results import cached_folder
from untrac_core.engine import Run, Store
from untrac_core.explore.tables import CONTRAST, Mixing, checked_by_halves, mixing_of, same_question
from untrac_core.results.folders import GROUND_TRUTH
from untrac_core.specs import PromptSet
from untrac_core.text.labels import labels

RUNS_MOST = 60
"""That are looked at, from the latest on."""
Found = tuple[str, Path, float]


@dataclass(frozen=True)
class Retrainings:
    """A run that has retrainings without each subset, and whose they are, in words of ours."""

    run: Run
    told: str


@st.cache_resource(max_entries=16, show_spinner=False)
def _mixing(found: Found) -> Mixing | None:
    return mixing_of(cached_folder(*found))


def law_of(run: Run) -> Mixing | None:
    """What a run's retrainings tell of other mixes, read once; shared, so never altered.

    Raises:
        InputError, OSError: when its files cannot be read, or its retrainings do not do.
    """
    return _mixing((run.kind, run.folder, run.changed))


@st.cache_resource(max_entries=16, show_spinner=False)
def _halves(found: Found) -> str | None:
    mixing = _mixing(found)
    return checked_by_halves(mixing, cached_folder(*found)) if mixing and found[0] == "validate" else None


def checked_here(run: Run) -> str | None:
    """How far a validation's own trainings on random halves agree with predictions; ``None`` where it has none.

    Raises:
        InputError, OSError: when their table cannot be read.
    """
    return _halves((run.kind, run.folder, run.changed))


def with_retrainings(store: Store) -> list[Retrainings]:
    """The finished runs that have retrainings, the latest first."""
    done = [run for run in store.runs(limit=RUNS_MOST) if run.status == "done"]
    found = []
    for run in done:
        if run.kind == "validate":
            found.append(Retrainings(run, "validation"))
        elif run.kind == "trace" and (run.folder / GROUND_TRUTH).is_file():
            found.append(Retrainings(run, "trace, with retrainings"))
    return found


def about(run: Run, known: Sequence[Retrainings]) -> Run | None:
    """Of these, the run itself, or the latest validation of a trace's texts; ``None`` where there is none."""
    own = [one.run for one in known if one.run.id == run.id]
    if own or run.kind != "trace":
        return own[0] if own else None
    spec = run.spec
    same = (one.run for one in known if one.run.kind == "validate" and same_question(spec, one.run.spec))  # type: ignore[arg-type]
    return next(same, None)


def titled(table: pd.DataFrame, prompts: Sequence[PromptSet]) -> pd.DataFrame:
    """The table of a mix with ``title``: the prompt set and its side, in the words of its labels."""
    sets = {one.name: one for one in prompts}
    return table.assign(title=[_title(sets[row.prompt_set], row.side) for row in table.itertuples()])


def _title(prompts: PromptSet, side: str) -> str:
    if prompts.harmful is None:
        return prompts.name
    harmful, harmless = labels(prompts)
    words = {CONTRAST: f"{harmful} beyond {harmless}", "harmful": harmful, "harmless": harmless}
    return f"{prompts.name}: {words[side]}"
