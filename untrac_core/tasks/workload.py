"""What a request makes a model do, in rows and tokens, told without torch: the quantities that a cost is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from untrac_core.data.tokens import Example, Packed
from untrac_core.specs import MethodSpec, TraceSpec
from untrac_core.specs.methods import ContinuationSettings
from untrac_core.tasks.selection import VIEWS, blocks_each, items_each
from untrac_core.training.batches import batch_rule

SIDES = 2
PASSES_MOST = 1.5
"""Over a subset's text in a continuation."""
REFERENCE = (
    "8 subsets of 192 blocks, 3 prompt sets of 256 items per side with 32 tokens per item, 3 seeds, "
    "blocks as long as the model's context allows, at most 1,024 tokens"
)
"""The request that :func:`untrac_core.tasks.costs.needs` prices, in words."""


@dataclass(frozen=True)
class Load:
    """A set of examples: how many, and how many tokens they pass through the model."""

    rows: int
    tokens: int


@dataclass(frozen=True)
class Workload:
    """What a request makes a model do: the sets that are unlearned, what is watched, and for how many seeds."""

    unlearned_sets: Sequence[Load]
    watches: Sequence[Load]
    block_size: int
    """Tokens of a training block."""
    longest: int
    """Tokens of the longest example."""
    seeds: int

    @property
    def eval_sets(self) -> Load:
        """All that is watched together."""
        return Load(sum(part.rows for part in self.watches), sum(part.tokens for part in self.watches))

    def turned(self) -> Workload:
        """The same data, with what was watched unlearned."""
        return replace(self, unlearned_sets=self.watches, watches=self.unlearned_sets)


def workload_of(
    spec: TraceSpec, prompts: Mapping[str, Mapping[str, Sequence[Example]]], subsets: Mapping[str, Packed]
) -> Workload:
    """The work of a spec whose data are encoded."""
    work = inverse_workload(prompts, subsets, len(spec.seeds))
    return work.turned() if spec.method.name == "untrac" else work


def inverse_workload(
    prompts: Mapping[str, Mapping[str, Sequence[Example]]], subsets: Mapping[str, Packed], seeds: int
) -> Workload:
    """The work of a method that watches the training subsets."""
    examples = [block for packed in subsets.values() for block in packed.blocks]
    items = [item for by_side in prompts.values() for side in by_side.values() for item in side]
    return Workload(
        unlearned_sets=[_load(items) for by_side in prompts.values() for items in by_side.values()],
        watches=[_load(packed.blocks) for packed in subsets.values()],
        block_size=max(block.size for block in examples),
        longest=max(example.size for example in (*examples, *items)),
        seeds=seeds,
    )


def reference_workload(method: str, block_size: int) -> Workload:
    """The work of the :data:`REFERENCE` request."""
    blocks, sides = [Load(192, 192 * block_size)] * 8, [Load(256, 256 * 32)] * (3 * SIDES)
    work = Workload(sides, blocks, block_size, max(block_size, 32), 3)
    return work.turned() if method == "untrac" else work


def read_again(method: MethodSpec, blocks: Mapping[str, int]) -> list[str]:
    """A warning where a continuation reads its text more than once; ``blocks``: how many each subset has here.

    It then learns by heart what no retraining did: on the unequal testbed r fell from .97 to .92 with three passes.
    """
    if not isinstance(method, ContinuationSettings):
        return []
    passes = {name: method.steps * (method.batch_size or batch_rule(own)) / own for name, own in blocks.items() if own}
    most = max(passes, key=lambda name: passes[name], default="")
    if not most or passes[most] <= PASSES_MOST:
        return []
    return [
        f"The continuation reads the text of subset {most!r} {passes[most]:.1f} times: what is read again is learned "
        "by heart, which retraining does not show. Take more blocks per subset, or fewer steps."
    ]


def _load(examples: Sequence[Example]) -> Load:
    return Load(len(examples), sum(example.size for example in examples))


def looked_at(spec: TraceSpec, work: Workload) -> Workload:
    """The work of the close looks: the same unlearnings, with only what is looked at token by token watched.

    A few more texts than there will be, as a text may be chosen for several reasons.
    """
    sizes = sum(part.tokens / part.rows for part in work.watches)
    if spec.method.name == "untrac":
        most = 2 * items_each(sizes, len(work.unlearned_sets))
    else:
        paired = len(work.unlearned_sets) - len(spec.prompts)
        views = [VIEWS[2]] * paired + [VIEWS[1]] * (len(spec.prompts) - paired)
        most = 2 * blocks_each(sizes, views) * max(views)
    rows = [min(part.rows, most) for part in work.watches]
    watches = [Load(count, part.tokens * count // part.rows) for count, part in zip(rows, work.watches, strict=True)]
    return replace(work, watches=watches)
