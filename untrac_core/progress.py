"""Progress: how long computations report how far they are."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to long work; its ``tick`` may raise :class:`untrac_core.errors.Cancelled` to stop it."""

    def phase(self, text: str) -> None:
        """What is being done now, in words that a page can show."""

    def tick(self, done: int, total: int) -> None:
        """``done`` of ``total`` parts of this phase are finished; called for every batch."""


class Silent:
    """Listens to nothing."""

    def phase(self, text: str) -> None:
        """Say nothing."""

    def tick(self, done: int, total: int) -> None:
        """Say nothing."""
