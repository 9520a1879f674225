"""Parts of single results that a composed page can show: what they are called, and their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from untrac_core.errors import InputError
from untrac_core.report.blocks import Block, Figure, Group, Heading, Part
from untrac_core.report.file import Found, damage_told, report_of
from untrac_core.report.trace import TraceReport
from untrac_core.report.unlearn import UnlearnReport
from untrac_core.results.folders import TraceFiles, UnlearnFiles
from untrac_core.specs import PromptSet
from untrac_core.tasks.trace import frames as trace_frames
from untrac_core.tasks.validate import frames as validate_frames
from untrac_core.text.labels import question


@dataclass(frozen=True)
class Pick:
    """A part of a kind of result. ``of``: what must be named beside the run (``side``: a prompt set and its side)."""

    title: str
    of: str = ""


SIDE, SET = "side", "prompt set"
PICKS: dict[str, dict[str, Pick]] = {
    "trace": {
        "ranking": Pick("Ranking", SIDE),
        "answer": Pick("The answer in words", SIDE),
        "steps": Pick("Stability across steps", SIDE),
        "groups": Pick("Influence by group", SIDE),
        "baselines": Pick("Baselines", SIDE),
        "truth": Pick("Estimate vs ground truth", SIDE),
        "examples": Pick("Training texts behind it", SIDE),
        "method": Pick("How it was measured"),
    },
    "validate": {
        "answer": Pick("The answer in words"),
        "agreement": Pick("Agreement with retraining"),
        "size": Pick("Size and sign"),
        "reproducibility": Pick("Ground-truth reproducibility"),
        "differences": Pick("Differences between methods"),
        "estimates": Pick("Estimates vs ground truth", SIDE),
        "method": Pick("How it was measured"),
    },
    "unlearn": {
        "answer": Pick("The answer in words"),
        "metrics": Pick("Metrics"),
        "curves": Pick("Training curves", SET),
        "tradeoff": Pick("Forget-retain trade-off"),
        "methods": Pick("Methods"),
        "collateral": Pick("Collateral changes"),
        "generations": Pick("Generations"),
        "forget_examples": Pick("Forget-set examples"),
    },
}
"""By the kind of run, the first one first on offer."""
USUAL = {
    "trace": ("ranking", "truth"),
    "validate": ("answer", "agreement"),
    "unlearn": ("answer", "metrics", "curves", "generations"),
}
"""What stands for a result where nothing is chosen; of a trace, of the first side of each prompt set."""
NOTHING = "This result has nothing to show here."


def sides_of(found: Found, prompt_set: str) -> list[str]:
    """The sides of a prompt set that a result ranked, contrast first."""
    frames = trace_frames if isinstance(found, TraceFiles) else validate_frames
    return list(frames.sides_of(found.summary, prompt_set))


def part_of(
    found: Found, name: str, prompt_set: str | None = None, side: str | None = None, *, show_texts: bool = False
) -> Part:
    """One part of a result with its heading. ``prompt_set`` unset: the first; ``side`` unset: the first there is.

    Raises:
        InputError: where the result has no such part, prompt set or side, or a file of it is damaged.
    """
    where, picks = f"result {found.folder.name!r}", PICKS[found.spec.kind]
    if name not in picks:
        known = ", ".join(picks)
        raise InputError(f"there is no part {name!r} of such a run", field=where, hint=f"choose one of {known}")
    pick = picks[name]
    sets = {prompts.name: prompts for prompts in found.spec.prompts}
    if pick.of and prompt_set is not None and prompt_set not in sets:
        raise InputError(f"it has no prompt set {prompt_set[:80]!r}", field=where, hint="choose one of its own")
    prompts = sets[prompt_set] if prompt_set in sets else next(iter(sets.values()), None)
    with damage_told(found.folder):
        if isinstance(found, UnlearnFiles):
            beside = f", beside {prompts.name}" if pick.of and prompts is not None else ""
            return pick.title + beside, [*UnlearnReport(found, show_texts=show_texts).pick(name, prompts)]
        if prompts is None:
            raise InputError("it has no prompt set", field=where, hint="choose another result")
        known_sides = sides_of(found, prompts.name)
        if pick.of and side is not None and side not in known_sides:
            raise InputError(f"there is no side {side!r} of {prompts.name!r}", field=where, hint="choose another side")
        return _of_side(found, name, pick, prompts, side or next(iter(known_sides), "harmful"), show_texts=show_texts)


def _of_side(found: Found, name: str, pick: Pick, prompts: PromptSet, side: str, *, show_texts: bool) -> Part:
    """A part of a trace or a validation."""
    made = report_of(found, show_texts=show_texts)
    assert not isinstance(made, UnlearnReport)  # noqa: S101
    blocks = [*made.pick(name, prompts, side)]
    if blocks and isinstance(blocks[0], Heading):  # it says what the part's own heading says
        blocks = blocks[1:]
    if isinstance(made, TraceReport) and name in ("ranking", "answer"):
        if name == "ranking":
            blocks = [*made.pick("answer", prompts, side), *blocks]
        return question(prompts, side), blocks
    return f"{pick.title}: {prompts.name}, {side}" if pick.of else pick.title, blocks


def renamed(blocks: list[Block], prefix: str) -> Iterator[Block]:
    """The same blocks with another begin of the names under which pictures are saved, so that no two are alike."""
    for block in blocks:
        if isinstance(block, Figure):
            yield replace(block, name=f"{prefix}-{block.name}")
        elif isinstance(block, Group):
            yield replace(block, blocks=[*renamed([*block.blocks], prefix)])
        else:
            yield block
