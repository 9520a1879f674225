"""The names of single texts in a result: each training block's or item's id, told apart where it stands twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from untrac_core.data.tokens import Example


def distinct_ids(examples: Sequence[Example]) -> list[str]:
    """The examples' ids; where one stands there again, it is counted: ``"a", "a (2)"``."""
    first = {example.id for example in examples}
    met: Counter[str] = Counter()
    names = []
    for example in examples:
        met[example.id] += 1
        name = example.id
        while met[example.id] > 1 and name in first:
            name = f"{example.id} ({met[example.id]})"
            met[example.id] += name in first
        names.append(name)
    return names
