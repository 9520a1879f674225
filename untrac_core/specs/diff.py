"""What differs between runs: their specs and environments, flattened to one row per key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

LONG = 120
"""Characters from which on a value is cut."""
KEY_LONG = 160
ABSENT = "–"


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Dotted keys and values as text; the members of a list go by their name, so that order does not count."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(member, Mapping) for member in value):
        for place, member in enumerate(value, 1):
            name = member.get("name", place) if isinstance(member, Mapping) else place
            inner = {k: v for k, v in member.items() if k != "name"} if isinstance(member, Mapping) else member
            yield f"{key}[{name}]", "present"
            yield from _leaves(inner, f"{key}[{name}]")
    elif isinstance(value, list | tuple):
        yield key, ", ".join(_said(member) for member in value)
    else:
        yield key, ABSENT if value is None else _said(value)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())


def _cut(text: str, most: int) -> str:
    """The beginning and the end of a long text, as two paths often differ at their ends."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"


def differences(columns: Sequence[tuple[str, Mapping[str, Any]]], *, every: bool = False) -> pd.DataFrame:
    """A row per key (column ``setting``), a column for each (name, nested values); only what differs, or ``every`` key.

    What a column does not have, or has as ``None``, is :data:`ABSENT`; long keys and values are cut in their middle.

    Raises:
        ValueError: when two columns have the same name.
    """
    names = [name for name, _ in columns]
    if len({"setting", *names}) <= len(names):
        raise ValueError("two columns have the same name")
    flat = [dict(_leaves(values, "")) for _, values in columns]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    # Compared before they are cut: two long values may differ at their ends.
    kept = [key for key in keys if every or len({one.get(key, ABSENT) for one in flat}) > 1]
    rows = [[_cut(key, KEY_LONG), *(_cut(one.get(key, ABSENT), LONG) for one in flat)] for key in kept]
    return pd.DataFrame(rows, columns=["setting", *names])
