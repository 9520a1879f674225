"""A page that is composed of the figures of several results, with own words between them."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from untrac_core.specs.data import Name, Strict

Side = Literal["contrast", "harmful", "harmless"]
Shown = Literal[
    "answer", "ranking", "steps", "groups", "baselines", "truth", "examples", "method", "comparison",
    "agreement", "size", "reproducibility", "differences", "estimates",
    "metrics", "curves", "tradeoff", "methods", "collateral", "generations", "forget_examples",
]  # fmt: skip
"""What can be shown; which of a result depends on the kind of run."""
SHOWN: tuple[str, ...] = get_args(Shown)
Result = Annotated[str, Field(min_length=1, max_length=4_000)]
ITEMS_MOST, VIEWS_MOST = 60, 4


class ComposedView(Strict):
    """One ranking of a comparison."""

    run: Result
    """The id of a finished trace, or its result folder."""
    prompt_set: Name | None = None
    """Unset: the first one."""
    side: Side | None = None
    """Unset: contrast where there is one."""
    method: Annotated[str, Field(max_length=40)] | None = None
    """A baseline of that run; unset: the run's own method."""


class ComposedItem(Strict):
    """Words, or a part of a result; exactly one of ``text`` and ``show``."""

    text: Annotated[str, Field(min_length=1, max_length=50_000)] | None = None
    """Own words in Markdown; HTML and images in it stay text."""
    show: Shown | None = None
    """A part of a result."""
    run: Result | None = None
    """Of which result: the id of a finished run, or its result folder."""
    prompt_set: Name | None = None
    """Of which prompt set, where the part is of one; unset: the first."""
    side: Side | None = None
    """Of which side, where the part is of one; unset: contrast where there is one."""
    views: Annotated[list[ComposedView], Field(max_length=VIEWS_MOST)] = []
    """For a ``comparison``: two to four rankings, the baseline first."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.text is None) == (self.show is None):
            raise ValueError("give exactly one of 'text' and 'show'")
        if self.show == "comparison" and (len(self.views) < 2 or self.run is not None):
            raise ValueError("a comparison names two to four 'views', and no 'run'")
        if self.show not in (None, "comparison") and (self.run is None or self.views):
            raise ValueError(f"{self.show!r} names a 'run', and no 'views'")
        return self


class ComposedReport(Strict):
    """A page of several results."""

    title: Name = "Report"
    """What stands on top."""
    items: Annotated[list[ComposedItem], Field(min_length=1, max_length=ITEMS_MOST)]
    """What it is made of, in this order."""
