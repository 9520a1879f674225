"""Cells: the smallest pieces of a run, which are computed, resumed and cached one by one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """The smallest independent piece of a run: one unlearning, one training, or one pass of a baseline, by one seed.

    ``key``: 64 hexadecimal digits, the hash of all that the result depends on. ``method``: the title of the method
    that it belongs to, where a run has several.
    """

    key: str
    label: str
    seed: int
    subset: str = ""
    prompt_set: str = ""
    side: str = ""
    method: str = ""
