"""The texts of an unlearning, told apart: the forget set, the retain set, what was never seen. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from untrac_core.data.prompts import PromptData, sample
from untrac_core.data.subsets import SubsetData, load_subset
from untrac_core.data.tokens import Encoder, Example, distinct_ids
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import Subset, UnlearnSpec
from untrac_core.tasks.prepare import encode, encode_prompts, fitting_block, load_records, pack_subset

FEWEST_HELD_OUT = 8
"""Fewer unseen texts than this say nothing about what is usual."""


@dataclass(frozen=True)
class Records:
    """What was read: prompt sets, subsets, and the sets of the request's own, by their part in it."""

    prompts: dict[str, PromptData]
    subsets: dict[str, SubsetData]
    own: dict[str, SubsetData]
    """``upload``, ``holdout``, ``planted`` and ``candidates``, where the request names them."""


@dataclass(frozen=True)
class Neighbour:
    """A retained text that joined the forget set, as it lies near to one of its texts."""

    subset: str
    example: Example
    of: str
    """The id of the text that it is nearest to."""
    cosine: float
    """Of their mean hidden states."""


@dataclass(frozen=True)
class UnlearnInputs:
    """Texts in tokens. ``trained``: every subset's blocks as the recipe trains on them, where there is one."""

    block_size: int
    forget: list[Example]
    holdout: list[Example]
    retain: dict[str, list[Example]]
    """By subset, without the forget set."""
    prompts: dict[str, dict[str, list[Example]]]
    trained: dict[str, list[Example]] = field(default_factory=dict)
    planted: list[Example] = field(default_factory=list)
    candidates: list[Example] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    """Those that joined ``forget``, the nearest first; they stand behind the others there."""

    @property
    def retain_texts(self) -> list[Example]:
        """The whole retain set, in a fixed order."""
        return [example for _, blocks in sorted(self.retain.items()) for example in blocks]

    def in_forget_set(self) -> Callable[[str, Example], bool]:
        """Tells the blocks of ``trained`` that are to go; the very objects, as ids may stand twice."""
        chosen = {id(example) for example in self.forget}
        return lambda name, block: id(block) in chosen


def read_records(spec: UnlearnSpec, progress: Progress | None = None) -> Records:
    """Everything that an expanded request names; :class:`InputError` for what cannot be read."""
    prompts, subsets = load_records(spec, progress)
    named: dict[str, Subset | None] = {"upload": spec.forget.upload, "holdout": spec.holdout}
    if spec.canaries is not None:
        named |= {"planted": spec.canaries.planted, "candidates": spec.canaries.candidates}
    own = {part: load_subset(subset, progress) for part, subset in named.items() if subset is not None}
    return Records(prompts, subsets, own)


def unlearn_inputs(spec: UnlearnSpec, records: Records, encoder: Encoder, context: int | None) -> UnlearnInputs:
    """Tokens for a request; :class:`InputError` where the forget set is not there or nothing stays."""
    block = _block(spec, context)
    notes: list[str] = []
    prompts = encode_prompts(encoder, records.prompts, context)
    if spec.training is not None:
        retain, holdout, notes = _as_trained(spec, records, encoder, block)
        trained = {name: list(blocks) for name, blocks in retain.items()}
    else:
        packed = encode(encoder, {}, records.subsets, context, block)[1]
        retain, holdout, trained = {name: list(each.blocks) for name, each in packed.items()}, [], {}
    forget = _forget(spec, records, encoder, context, block, retain, prompts)
    gone = {id(example) for example in forget}
    retain = {name: [b for b in blocks if id(b) not in gone] for name, blocks in retain.items()}
    retain = {name: blocks for name, blocks in retain.items() if blocks}
    own = {part: pack_subset(encoder, data, context, block).blocks for part, data in records.own.items()}
    if "holdout" in own:
        holdout = own["holdout"]
    elif len(holdout) < FEWEST_HELD_OUT:
        holdout = []
    _refuse_seen(holdout, [*forget, *(block for blocks in retain.values() for block in blocks)], notes)
    if spec.stop.rule == "match_holdout" and not holdout:
        raise InputError(
            "the rule 'match_holdout' needs a holdout set, and there is none",
            field="stop",
            hint="name it as 'holdout', or choose another rule",
        )
    _refuse_too_many(spec.forget.neighbours, sum(map(len, retain.values())))
    if not retain and len(prompts.get(spec.forget.prompts or "", {})) < 2:  # nor the other side of the forget set
        raise InputError("nothing stays", field="forget", hint="name subsets of the retain set")
    return UnlearnInputs(
        block, forget, holdout, retain, prompts, trained, own.get("planted", []), own.get("candidates", []), notes
    )


def _refuse_too_many(neighbours: int, retained: int) -> None:
    """Not all that is retained can join the forget set."""
    if neighbours and neighbours >= retained:
        raise InputError(
            f"{neighbours:,} neighbours are to join the forget set, and only {retained:,} texts of subsets stay",
            field="forget",
            hint="name fewer",
        )


def _block(spec: UnlearnSpec, context: int | None) -> int:
    """Block size (tokens); that of the recipe where there is one."""
    given = spec.block_size
    if spec.training is not None:
        if given is not None and given != spec.training.block_size:
            raise InputError(
                f"'block_size' is {given} and the recipe's {spec.training.block_size}: texts would be cut elsewhere "
                "than in "
                "training",
                field="block_size",
                hint="leave it out",
            )
        given = spec.training.block_size
    return fitting_block(given, context)


def _as_trained(
    spec: UnlearnSpec, records: Records, encoder: Encoder, block: int
) -> tuple[dict[str, list[Example]], list[Example], list[str]]:
    """Every subset's blocks as a recipe trains on them; what it leaves of the forget set's subsets; notes."""
    assert spec.training is not None  # noqa: S101
    packed = {
        name: encoder.blocks(data.documents, block, data.spec.limit).blocks for name, data in records.subsets.items()
    }
    if not all(packed.values()):
        empty = next(name for name, blocks in packed.items() if not blocks)
        raise InputError("there is too little text for one block", field=f"subset {empty!r}", hint="add text")
    notes, holdout = [note for data in records.subsets.values() for note in data.notes], []
    if spec.training.equal_tokens:
        least = min(len(blocks) for blocks in packed.values())
        sources = {spec.forget.subset} | {text.subset for text in spec.forget.texts}
        holdout = [block for name in sorted(packed) if name in sources for block in packed[name][least:]]
        packed = {name: blocks[:least] for name, blocks in packed.items()}
        if holdout and spec.holdout is None:
            notes.append(
                f"{len(holdout)} blocks of the forget set's source were left out of training (equal tokens): they "
                "stand "
                "for text of that source that the model never saw"
            )
    return packed, holdout, notes


def _forget(
    spec: UnlearnSpec,
    records: Records,
    encoder: Encoder,
    context: int | None,
    block: int,
    subsets: dict[str, list[Example]],
    prompts: dict[str, dict[str, list[Example]]],
) -> list[Example]:
    """The forget set."""
    forget = spec.forget
    if forget.subset is not None:
        if forget.subset not in subsets:
            raise InputError(f"there is no subset {forget.subset!r}", field="forget", hint="name one of 'subsets'")
        return subsets[forget.subset]
    if forget.upload is not None:
        found = pack_subset(encoder, records.own["upload"], context, block).blocks
        if not found:
            raise InputError("there is too little text for one block", field="forget", hint="add text")
        return found
    if forget.prompts is not None:
        if forget.side not in prompts[forget.prompts]:
            raise InputError(
                f"prompt set {forget.prompts!r} has no {forget.side} side", field="forget", hint="name the other side"
            )
        return prompts[forget.prompts][forget.side]
    chosen = []
    ids = {text.subset: distinct_ids(subsets[text.subset]) for text in forget.texts if text.subset in subsets}
    for text in forget.texts:
        if text.id not in ids.get(text.subset, []):
            raise InputError(
                f"there is no text {text.id[:80]!r} of {block} tokens in subset {text.subset!r} that was trained on",
                field="forget",
                hint="take ids of a trace with the same subsets and blocks of the same length",
            )
        chosen.append(subsets[text.subset][ids[text.subset].index(text.id)])
    return chosen


def _refuse_seen(holdout: list[Example], seen: list[Example], notes: list[str]) -> None:
    """Take texts out of the unseen ones that are among the seen ones after all, and say so."""
    known = {example.ids.tobytes() for example in seen}
    kept = [example for example in holdout if example.ids.tobytes() not in known]
    if len(kept) < len(holdout):
        notes.append(f"{len(holdout) - len(kept)} held-out texts are among the training texts and are not used")
        holdout[:] = kept


def looked_at(examples: list[Example], most: int) -> list[Example]:
    """A fixed random part of some texts, at most so many."""
    return [examples[i] for i in sorted(sample(list(range(len(examples))), most))]


def forget_set_words(spec: UnlearnSpec) -> str:
    """The forget set in words, as sentences name it."""
    more = spec.forget.neighbours
    near = "" if not more else f" and the {more:,} texts nearest to it" if more > 1 else " and the text nearest to it"
    return f"{_asked_words(spec)}{near}"


def _asked_words(spec: UnlearnSpec) -> str:
    forget = spec.forget
    if forget.subset is not None:
        return f"subset {forget.subset}"
    if forget.upload is not None:
        return f"the upload {forget.upload.name}"
    if forget.prompts is not None:
        return f"the {forget.side} side of {forget.prompts}"
    names = sorted({text.subset for text in forget.texts})
    return f"{len(forget.texts)} single texts of {' and '.join(names) if len(names) < 3 else f'{len(names)} subsets'}"
