"""The control for all: training on what stays, for as many steps. It forgets a little of the rest by itself."""

from __future__ import annotations

from typing import ClassVar

from untrac_core.unlearning.protocol import Forgotten, RemovalMethod


class RetainOnly(RemovalMethod):
    """Has no loss on what is to go: what a method does beyond this is its own."""

    name: ClassVar[str] = "retain-only"

    def loss(self, step: Forgotten) -> None:
        """Nothing."""
