"""The texts of an unlearning, told apart: what is to go, what stays, what was never seen. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from untrac_core.check import encode, encode_prompts, fitting_block, load_records, pack_subset
from untrac_core.data.prompts import PromptData, sample
from untrac_core.data.subsets import SubsetData, load_subset
from untrac_core.data.text_ids import distinct_ids
from untrac_core.data.tokens import Encoder, Example
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import Subset, UnlearnSpec

FEWEST_HELD_OUT = 8
"""Fewer unseen texts than this say nothing about what is usual."""


@dataclass(frozen=True)
class Records:
    """What was read: prompt sets, subsets, and the sets of the request's own, by their part in it."""

    prompts: dict[str, PromptData]
    subsets: dict[str, SubsetData]
    own: dict[str, SubsetData]
    """``upload``, ``held-out``, ``planted`` and ``candidates``, where the request names them."""


@dataclass(frozen=True)
class RemovalData:
    """Texts in tokens. ``trained``: every subset's blocks as the recipe trains on them, where there is one."""

    block: int
    forget: list[Example]
    held_out: list[Example]
    stays: dict[str, list[Example]]
    """By subset, without what is to go."""
    prompts: dict[str, dict[str, list[Example]]]
    trained: dict[str, list[Example]] = field(default_factory=dict)
    planted: list[Example] = field(default_factory=list)
    candidates: list[Example] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def retain(self) -> list[Example]:
        """All that stays, in a fixed order."""
        return [example for _, blocks in sorted(self.stays.items()) for example in blocks]

    def is_target(self) -> Callable[[str, Example], bool]:
        """Tells the blocks of ``trained`` that are to go; the very objects, as ids may stand twice."""
        chosen = {id(example) for example in self.forget}
        return lambda name, block: id(block) in chosen


def read_records(spec: UnlearnSpec, progress: Progress | None = None) -> Records:
    """Everything that an expanded request names; :class:`InputError` for what cannot be read."""
    prompts, subsets = load_records(spec, progress)
    named: dict[str, Subset | None] = {"upload": spec.target.upload, "held-out": spec.held_out}
    if spec.canaries is not None:
        named |= {"planted": spec.canaries.planted, "candidates": spec.canaries.candidates}
    own = {part: load_subset(subset, progress) for part, subset in named.items() if subset is not None}
    return Records(prompts, subsets, own)


def removal_data(spec: UnlearnSpec, records: Records, encoder: Encoder, context: int | None) -> RemovalData:
    """Tokens for a request; :class:`InputError` where the target is not there or nothing stays."""
    block = _block(spec, context)
    notes: list[str] = []
    prompts = encode_prompts(encoder, records.prompts, context)
    if spec.training is not None:
        stays, held_out, notes = _as_trained(spec, records, encoder, block)
        trained = {name: list(blocks) for name, blocks in stays.items()}
    else:
        packed = encode(encoder, {}, records.subsets, context, block)[1]
        stays, held_out, trained = {name: list(each.blocks) for name, each in packed.items()}, [], {}
    forget = _forget(spec, records, encoder, context, block, stays, prompts)
    gone = {id(example) for example in forget}
    stays = {name: [b for b in blocks if id(b) not in gone] for name, blocks in stays.items()}
    stays = {name: blocks for name, blocks in stays.items() if blocks}
    own = {part: pack_subset(encoder, data, context, block).blocks for part, data in records.own.items()}
    if "held-out" in own:
        held_out = own["held-out"]
    elif len(held_out) < FEWEST_HELD_OUT:
        held_out = []
    _refuse_seen(held_out, [*forget, *(block for blocks in stays.values() for block in blocks)], notes)
    if spec.stop.rule == "held-out" and not held_out:
        raise InputError(
            "the rule 'held-out' needs unseen text of the target's source, and there is none",
            where="stop",
            mend="name it as 'held_out', or choose another rule",
        )
    if not stays and len(prompts.get(spec.target.prompts or "", {})) < 2:  # nor the other side of what is to go
        raise InputError("nothing stays", where="target", mend="name subsets that are to stay")
    return RemovalData(
        block, forget, held_out, stays, prompts, trained, own.get("planted", []), own.get("candidates", []), notes
    )


def _block(spec: UnlearnSpec, context: int | None) -> int:
    """Tokens a block; that of the recipe where there is one."""
    given = spec.block
    if spec.training is not None:
        if given is not None and given != spec.training.block:
            raise InputError(
                f"'block' is {given} and the recipe's {spec.training.block}: texts would be cut elsewhere than in "
                "training",
                where="block",
                mend="leave it out",
            )
        given = spec.training.block
    return fitting_block(given, context)


def _as_trained(
    spec: UnlearnSpec, records: Records, encoder: Encoder, block: int
) -> tuple[dict[str, list[Example]], list[Example], list[str]]:
    """Every subset's blocks as a recipe trains on them; what it leaves of the target's subsets; notes."""
    assert spec.training is not None  # noqa: S101
    packed = {
        name: encoder.blocks(data.documents, block, data.spec.limit).blocks for name, data in records.subsets.items()
    }
    if not all(packed.values()):
        empty = next(name for name, blocks in packed.items() if not blocks)
        raise InputError("there is too little text for one block", where=f"subset {empty!r}", mend="add text")
    notes, held_out = [note for data in records.subsets.values() for note in data.notes], []
    if spec.training.equal_tokens:
        least = min(len(blocks) for blocks in packed.values())
        sources = {spec.target.subset} | {text.subset for text in spec.target.texts}
        held_out = [block for name in sorted(packed) if name in sources for block in packed[name][least:]]
        packed = {name: blocks[:least] for name, blocks in packed.items()}
        if held_out and spec.held_out is None:
            notes.append(
                f"{len(held_out)} blocks of the target's source were left out of training (equal tokens): they stand "
                "for text of that source that the model never saw"
            )
    return packed, held_out, notes


def _forget(
    spec: UnlearnSpec,
    records: Records,
    encoder: Encoder,
    context: int | None,
    block: int,
    subsets: dict[str, list[Example]],
    prompts: dict[str, dict[str, list[Example]]],
) -> list[Example]:
    """What is to go."""
    target = spec.target
    if target.subset is not None:
        if target.subset not in subsets:
            raise InputError(f"there is no subset {target.subset!r}", where="target", mend="name one of 'subsets'")
        return subsets[target.subset]
    if target.upload is not None:
        found = pack_subset(encoder, records.own["upload"], context, block).blocks
        if not found:
            raise InputError("there is too little text for one block", where="target", mend="add text")
        return found
    if target.prompts is not None:
        if target.side not in prompts[target.prompts]:
            raise InputError(
                f"prompt set {target.prompts!r} has no {target.side} side", where="target", mend="name the other side"
            )
        return prompts[target.prompts][target.side]
    chosen = []
    ids = {text.subset: distinct_ids(subsets[text.subset]) for text in target.texts if text.subset in subsets}
    for text in target.texts:
        if text.id not in ids.get(text.subset, []):
            raise InputError(
                f"there is no text {text.id[:80]!r} of {block} tokens in subset {text.subset!r} that was trained on",
                where="target",
                mend="take ids of a trace with the same subsets and blocks of the same length",
            )
        chosen.append(subsets[text.subset][ids[text.subset].index(text.id)])
    return chosen


def _refuse_seen(held_out: list[Example], seen: list[Example], notes: list[str]) -> None:
    """Take texts out of the unseen ones that are among the seen ones after all, and say so."""
    known = {example.ids.tobytes() for example in seen}
    kept = [example for example in held_out if example.ids.tobytes() not in known]
    if len(kept) < len(held_out):
        notes.append(f"{len(held_out) - len(kept)} held-out texts are among the training texts and are not used")
        held_out[:] = kept


def looked_at(examples: list[Example], most: int) -> list[Example]:
    """A fixed random part of some texts, at most so many."""
    return [examples[i] for i in sorted(sample(list(range(len(examples))), most))]


def target_words(spec: UnlearnSpec) -> str:
    """The target in words, as sentences name it."""
    target = spec.target
    if target.subset is not None:
        return f"subset {target.subset}"
    if target.upload is not None:
        return f"the upload {target.upload.name}"
    if target.prompts is not None:
        return f"the {target.side} side of {target.prompts}"
    names = sorted({text.subset for text in target.texts})
    return f"{len(target.texts)} single texts of {' and '.join(names) if len(names) < 3 else f'{len(names)} subsets'}"
