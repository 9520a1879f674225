"""The unit of fan-out, of resume and of caching."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """The smallest independent piece of a run: one unlearning, of a subset or of a side of a prompt set, by one seed.

    ``key``: 64 hexadecimal digits, the hash of all that the result depends on.
    """

    key: str
    label: str
    seed: int
    subset: str = ""
    prompt_set: str = ""
    side: str = ""
