"""The entries of the program itself: the demo's model, prompt sets and training subsets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from untrac_core.engine.library.entries import ORIGIN, Entry, Kind, Value
from untrac_core.paths import DEMO
from untrac_core.specs import ModelRef


@lru_cache(maxsize=8)
def builtin(kind: Kind) -> tuple[Entry, ...]:
    """The demo's model, prompt sets or training subsets; none where its files are missing."""
    from untrac_core.demo.requests import demo_prompts, demo_subsets
    from untrac_core.engine.library.metadata import Metadata, describe_model, describe_prompts, describe_subset

    if not DEMO.is_dir():
        return ()
    made: list[tuple[Value, Metadata]]
    if kind == "model":
        made = [(ModelRef(path="demo"), describe_model(ModelRef(path="demo")))]
    elif kind == "prompts":
        made = [(spec, describe_prompts(spec)) for spec in demo_prompts()]
    else:
        made = [(spec, describe_subset(spec)) for spec in demo_subsets()]
    return tuple(_bundled_entry(kind, value, told.facts, told.notes) for value, told in made)


def _bundled_entry(kind: Kind, value: Value, facts: dict[str, Any], notes: list[str]) -> Entry:
    """An entry that stands for files of the program, not for kept ones."""
    name = "demo" if isinstance(value, ModelRef) else value.name
    entry_id = "demo" if isinstance(value, ModelRef) else f"demo-{value.name}"
    return Entry(entry_id, kind, name, value, facts, ORIGIN, notes, 0.0)
