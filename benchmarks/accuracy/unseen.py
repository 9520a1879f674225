"""Testbeds made after the presets were frozen: nobody had looked at their truth while a method was chosen.

Frozen at :data:`FREEZE`. Other models, other mixes, other cuts of the corpora, and probe items of no other bed. A bed
belongs here only as long as nothing is chosen on it; then it is a development bed, and moves to ``testbeds.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy import testbeds
from untrac_core.data.prompts import load_prompts
from untrac_core.progress import Silent
from untrac_core.specs import ModelRef, PromptSet, Source, Subset, Training, TrainSpec, ValidateSpec
from untrac_core.training.recipe import train

FREEZE = "the commit that adds this file"
"""Where the presets stand that are held against these beds; `git log --follow` of this file names it."""
PASSES = 2
"""Over the text: every block is read twice, where the older beds read a quarter of it once."""
SHARES = (25, 20, 15, 12, 10, 8, 6, 4)
"""Of the unequal mix, in percent."""
SHARED = 10
"""One document in so many stands in both halves of a corpus."""
BASE, TUNED = 8, 6
"""Corpora that the base model is trained on, and subsets that it is then fine-tuned on."""
CONTEXT = 192
"""Tokens of a block: no item of a probe is longer."""


def unused_items(root: Path, folder: Path) -> list[PromptSet]:
    """Every probe without the items that an older bed uses, those of the development bed included."""
    folder.mkdir(parents=True, exist_ok=True)
    older = [*testbeds.probes(root / "probes"), *testbeds.development(root, folder / "development").prompts]
    used: dict[str, set[str]] = {}
    for prompts in older:
        items = (item for side in load_prompts(prompts).sides.values() for item in side)
        used.setdefault(prompts.name, set()).update(item.id for item in items)
    for name, ids in used.items():
        lines = (root / "probes" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        testbeds.written(folder / f"{name}.jsonl", [line for line in lines if json.loads(line)["id"] not in ids])
    return testbeds.probes(folder)


def neox(root: Path, work: Path) -> ValidateSpec:
    """GPT-NeoX, ten equal corpora, two passes, blocks in which every probe item fits."""
    training = _training(architecture="gpt-neox")
    names = sorted(path.stem for path in (root / "corpora").glob("*.jsonl"))
    each = training.steps * training.batch_size // PASSES // len(names)
    subsets = testbeds.corpora(root, names, [each] * len(names))
    return testbeds.request("gpt-neox, ten equal corpora, two passes", training, _items(root, work), subsets)


def qwen(root: Path, work: Path) -> ValidateSpec:
    """Qwen3, eight other corpora with other shares, two passes."""
    training = _training(architecture="qwen3", equal_tokens=False)
    names = sorted(path.stem for path in (root / "corpora").glob("*.jsonl"))
    drawn = [str(name) for name in np.random.default_rng(1).permutation(names)[: len(SHARES)]]
    whole = training.steps * training.batch_size // PASSES
    subsets = testbeds.corpora(root, drawn, [share * whole // 100 for share in SHARES])
    return testbeds.request("qwen3, eight unequal corpora, two passes", training, _items(root, work), subsets)


def halves(root: Path, work: Path) -> ValidateSpec:
    """OPT, twenty subsets that overlap: the short and the long documents of each corpus, with some in both."""
    subsets = []
    for path in sorted((root / "corpora").glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for name, part in cut_by_length(lines).items():
            file = testbeds.written(work / "halves" / f"{path.stem}_{name}.jsonl", part)
            subsets.append(Subset(name=f"{path.stem}_{name}", source=Source(file=str(file))))
    return testbeds.request("opt, twenty subsets that overlap", _training(), _items(root, work), subsets)


def finetune(root: Path, work: Path) -> ValidateSpec:
    """A Llama that was trained on the short halves of eight corpora, fine-tuned on six subsets: the two corpora that it
    does not know, and the long halves of four that it knows."""
    names = sorted(path.stem for path in (root / "corpora").glob("*.jsonl"))
    order = [str(name) for name in np.random.default_rng(2).permutation(names)]
    known, new = order[:BASE], order[BASE:]
    cut = {}
    for name in known:
        lines = (root / "corpora" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        cut[name] = {
            half: testbeds.written(work / "halves" / f"{name}_{half}.jsonl", p)
            for half, p in cut_by_length(lines).items()
        }
    base = work / "base"
    recipe = _training(architecture="llama")
    if not (base / "config.json").is_file():
        short = [Subset(name=name, source=Source(file=str(cut[name]["short"]))) for name in known]
        values = recipe.model_dump(exclude={"init"})
        train(TrainSpec.model_validate({"subsets": short, "device": "cpu"} | values), base, Silent())
    subsets = testbeds.corpora(root, new)
    subsets += [Subset(name=f"{name}_long", source=Source(file=str(cut[name]["long"]))) for name in known[: TUNED - 2]]
    tuned = recipe.model_copy(update={"init": "base", "steps": 150, "learning_rate": 5e-4, "warmup_steps": 15})
    title, items = "llama, fine-tuned on six subsets", _items(root, work)
    return testbeds.request(title, tuned, items, subsets, ModelRef(path=str(base)))


def cut_by_length(lines: Sequence[str]) -> Mapping[str, list[str]]:
    """The shorter and the longer half of a corpus' documents; every tenth document stands in both."""
    words = [len(json.loads(line)["text"].split()) for line in lines]
    order = np.argsort(words, kind="stable")
    short = set(order[: len(lines) // 2].tolist())
    found: dict[str, list[str]] = {"short": [], "long": []}
    for number, line in enumerate(lines):
        found["short" if number in short else "long"].append(line)
        if number % SHARED == 0:
            found["long" if number in short else "short"].append(line)
    return found


def _training(**more: object) -> Training:
    """Of as many tokens as the older beds, in longer blocks."""
    whole = Training()
    steps = whole.steps * whole.batch_size * whole.block_size // (CONTEXT * 16)
    return Training.model_validate({"block_size": CONTEXT, "batch_size": 16, "steps": steps} | more)


def _items(root: Path, work: Path) -> list[PromptSet]:
    return unused_items(root, work / "probes")


UNSEEN: dict[str, Callable[[Path, Path], ValidateSpec]] = {
    "neox": neox,
    "qwen": qwen,
    "halves": halves,
    "finetune": finetune,
}
