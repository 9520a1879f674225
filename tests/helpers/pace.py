"""How fast this machine is just now: what is held to a time is held to the pace of the machine that it was set on."""

from __future__ import annotations

import time

COUNT, SECONDS = 2_000_000, 0.15
"""Additions that the interpreter does on that machine, and how long it takes."""
TIMES = 5


def slowness() -> float:
    """By how much this machine is slower, and at least 1: the same work takes it so many times as long."""
    return max(1.0, min(_count() for _ in range(TIMES)) / SECONDS)


def allowed(seconds: float) -> float:
    """The seconds that something may take here that may take ``seconds`` there; printed, as part of the finding."""
    factor = slowness()
    if factor > 1:
        print(f"\nthis machine is {factor:.2f} times slower than the one that {seconds:g} s was set on")
    return seconds * factor


def _count() -> float:
    start, total = time.perf_counter(), 0
    for number in range(COUNT):
        total += number
    return time.perf_counter() - start
