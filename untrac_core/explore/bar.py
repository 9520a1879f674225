"""A progress bar for a notebook or a terminal."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from untrac_core.progress import Progress, Silent

FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
DESCRIPTION = 60
"""Characters."""


class Bar:
    """A :class:`untrac_core.progress.Progress` that is seen: one bar, with the phase before it."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # Without ipywidgets a notebook has a bar of text; that is no reason to complain.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

        self._bar: Any = tqdm(total=1.0, bar_format=FORMAT, miniters=0, leave=False)

    def phase(self, text: str) -> None:
        """Name what is being done now."""
        self._bar.n = 0.0
        self._bar.set_description_str(text if len(text) <= DESCRIPTION else f"{text[: DESCRIPTION - 1]}…")

    def tick(self, done: int, total: int) -> None:
        """Draw what is done of the phase, a few times a second."""
        self._bar.n = min(done / total, 1.0) if total else 0.0
        self._bar.update(0)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


@contextmanager
def listener(progress: bool | Progress) -> Iterator[Progress]:
    """The listener that a call asks for: a bar where one can be seen, none, or its own."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress or not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        yield Silent()
    else:
        bar = Bar()
        try:
            yield bar
        finally:
            bar.close()
