"""The demo's request: what the recorded run asked, and what the trace page offers first. Free of torch."""

from __future__ import annotations

from untrac_core.demo.texts import SIDES, SUBSETS
from untrac_core.specs import Columns, MethodSpec, ModelRef, PromptSet, Source, Subset, TraceSpec

BLOCKS = 40
"""Blocks of each subset in a quick run: enough for the planted order, in about a minute and a half on two cores."""


def demo_prompts() -> list[PromptSet]:
    """The demo's prompt sets: toxicity, bias and truthfulness, each with a harmful and a harmless side."""
    columns = Columns(completion="completion", prompt="prompt", group="group", label="label", id="id")
    return [
        PromptSet(
            name=name,
            source=Source(bundled=f"prompts/{name}.jsonl"),
            columns=columns,
            harmful=harmful,
            harmless=harmless,
        )
        for name, (harmful, harmless) in SIDES.items()
    ]


def demo_subsets(limit: int | None = BLOCKS) -> list[Subset]:
    """The demo's eight training subsets."""
    return [Subset(name=name, source=Source(bundled=f"subsets/{name}.jsonl"), limit=limit) for name in SUBSETS]


def demo_spec(method: MethodSpec | None = None, limit: int | None = BLOCKS) -> TraceSpec:
    """Trace the demo's prompt sets over its subsets, by UnTrac-Inv unless another method is named.

    The recorded runs have ``limit`` ``None``: all text, so that their intervals are as narrow as they get.
    """
    by = ", by UnTrac" if method and method.name == "untrac" else ""
    return TraceSpec(
        name=f"Demo: texts about invented peoples{by}",
        model=ModelRef(path="demo"),
        prompts=demo_prompts(),
        subsets=demo_subsets(limit),
        method=method or MethodSpec(),
    )
