"""The testbeds: which models are retrained on which corpora, and which probes are asked about."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from untrac_core.data.prompts import load_prompts
from untrac_core.specs import Columns, ModelRef, PromptSet, Source, Subset, Training, ValidateSpec, method_spec

ITEMS = 256
"""Texts of a side."""
BLOCKS = 512
"""Of a corpus on average, that the methods look at: from there on the development bed's agreement grows no more."""
SEEDS = [0, 1, 2]
QUICK = "quick"
"""The testbed that only shows that everything runs, and how."""
SHARES = (30, 20, 15, 10, 10, 5, 5, 5)
"""Of the second mix, in percent: those of the paper's unequal mix."""
COLUMNS = Columns(prompt="prompt", completion="completion", group="group", label="label", id="id")
SIDES: dict[str, tuple[str | None, str | None]] = {
    "toxigen": ("toxic", "benign"),
    "real_toxicity_prompts": ("toxic", "benign"),
    "crows_pairs": ("stereotype", "anti_stereotype"),
    "truthfulqa": ("false", "true"),
    "winobias": ("pro_stereotype", "anti_stereotype"),
    "bbq": ("stereotype", "anti_stereotype"),
    "bold": (None, None),
}
BOTH = ("toxigen", "real_toxicity_prompts")
"""The probes of which the first study asked both sides."""
METHODS = [
    method_spec("untrac-inv"),
    # One look, at the end: only the last is held against the truth.
    method_spec("untrac", eval_points=1),
    method_spec("untrac-inv", preset="paper", eval_points=1),
    method_spec("untrac", preset="paper", eval_points=1),
    method_spec("continuation"),
    method_spec("shampoo-dot"),
    method_spec("grad-dot"),
    method_spec("grad-cos"),
    method_spec("sign-dot"),
    method_spec("fisher-dot"),
    method_spec("tracin"),
    method_spec("lissa"),
    method_spec("arnoldi"),
    method_spec("ek-fac"),
    method_spec("bm25"),
    method_spec("hidden-state-similarity"),
    method_spec("random"),
]


def data_root() -> Path:
    """The folder of corpora and probes: ``UNTRAC_SHARED_DATA``, or ``shared/data`` beside the checkout."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    root = Path(os.environ.get("UNTRAC_SHARED_DATA") or default)
    if not (root / "corpora").is_dir():
        raise SystemExit(f"there are no corpora in {root}; name their folder in UNTRAC_SHARED_DATA")
    return root


def probes(folder: Path) -> list[PromptSet]:
    """Every probe of a folder, with the sides that it has."""
    return [
        PromptSet(
            name=name,
            source=Source(file=str(folder / f"{name}.jsonl")),
            columns=COLUMNS,
            harmful=harmful,
            harmless=harmless,
            limit=ITEMS,
        )
        for name, (harmful, harmless) in SIDES.items()
    ]


def corpora(root: Path, names: Sequence[str] = (), blocks: Sequence[int] = ()) -> list[Subset]:
    """The named corpora, or all; ``blocks``: how many of each are trained on."""
    files = {path.stem: path for path in sorted((root / "corpora").glob("*.jsonl"))}
    limits = dict(zip(names, blocks, strict=False))
    return [Subset(name=name, source=Source(file=str(files[name])), limit=limits.get(name)) for name in names or files]


def equal(architecture: str) -> Callable[[Path, Path], ValidateSpec]:
    """Ten corpora, equal tokens; 2 layers of 128, vocabulary 1,024, blocks of 64, 500 steps of 32."""

    def make(root: Path, work: Path) -> ValidateSpec:
        training = Training.model_validate({"architecture": architecture})
        return request(f"{architecture}, ten equal corpora", training, probes(root / "probes"), corpora(root))

    return make


def mix(root: Path, work: Path) -> ValidateSpec:
    """Eight corpora, drawn and dealt the shares by lot, of all that a training reads."""
    names = sorted(path.stem for path in (root / "corpora").glob("*.jsonl"))
    drawn = [str(name) for name in np.random.default_rng(0).permutation(names)[: len(SHARES)]]
    training = Training(equal_tokens=False)
    each = training.steps * training.batch_size // 100
    subsets = corpora(root, drawn, [share * each for share in SHARES])
    return request("opt, eight unequal corpora", training, probes(root / "probes"), subsets)


def quick(root: Path, work: Path) -> ValidateSpec:
    """Under a minute: a smaller OPT on three corpora, one probe, and a method of each kind. It is no evidence."""
    training = Training(hidden_size=48, vocab_size=512, steps=40, batch_size=8, warmup_steps=4)
    names = ("hate_forum", "wikipedia", "stories_fairytale")
    asked = [one.model_copy(update={"limit": 48}) for one in probes(root / "probes") if one.name == BOTH[0]]
    spec = request("quick", training, asked, corpora(root, names, [120] * len(names)))
    few = [
        method_spec("untrac-inv", samples=60), method_spec("untrac", samples=60, steps=4),
        method_spec("continuation", steps=10), method_spec("bm25"), method_spec("random"),
    ]  # fmt: skip
    return spec.model_copy(update={"methods": few, "samples_per_subset": 64, "seeds": [0, 1], "estimate_seeds": [0, 1]})


PIECES: dict[str, tuple[str, str, int | None]] = {
    "stormfront": ("hate_forum", "hate-stormfront", None),
    "gab": ("hate_forum", "hate-gab", None),
    "hatemoji": ("hate_forum", "hate-hatemoji", None),
    "wikitext": ("wikipedia", "wikipedia-wt2", None),
    "leads": ("wikipedia", "wikipedia-lead", None),
    "tweets": ("tweets_offensive", "", 900),
    "skeptics": ("skeptics_myths", "", 700),
    "maths": ("forum_matheducators", "", 500),
    "fairytales": ("stories_fairytale", "", 600),
    "pubmed": ("biomed_pubmed", "", 300),
    "news": ("news_wikinews", "", 800),
}
"""Of the development bed: corpus, how the ids of its documents begin, and how many of them."""


def development(root: Path, work: Path) -> ValidateSpec:
    """What everything was chosen on: eleven unequal pieces, a 3-layer Llama, and probe items of no other bed."""
    subsets = []
    for name, (corpus, prefix, most) in PIECES.items():
        lines = (root / "corpora" / f"{corpus}.jsonl").read_text(encoding="utf-8").splitlines()
        chosen = [line for line in lines if json.loads(line)["id"].startswith(prefix)][:most]
        subsets.append(Subset(name=name, source=Source(file=str(written(work / f"{name}.jsonl", chosen)))))
    for asked in probes(root / "probes"):
        used = {item.id for items in load_prompts(asked).sides.values() for item in items}
        lines = (root / "probes" / f"{asked.name}.jsonl").read_text(encoding="utf-8").splitlines()
        written(work / "probes" / f"{asked.name}.jsonl", [x for x in lines if json.loads(x)["id"] not in used])
    training = Training(
        architecture="llama", hidden_size=96, num_layers=3, vocab_size=768, block_size=48, steps=400, equal_tokens=False
    )
    return request("development", training, probes(work / "probes"), subsets).model_copy(update={"seeds": [0, 1]})


def written(path: Path, lines: Sequence[str]) -> Path:
    """The lines as a file, and its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def request(
    name: str, training: Training, prompts: list[PromptSet], subsets: list[Subset], model: ModelRef | None = None
) -> ValidateSpec:
    """A testbed: three seeds of truth, and every method of the benchmark; ``model``: that the training begins with."""
    return ValidateSpec(
        name=name,
        model=model,
        training=training,
        prompts=prompts,
        subsets=subsets,
        samples_per_subset=BLOCKS,
        methods=METHODS,
        seeds=SEEDS,
        estimate_seeds=SEEDS,
        device="cpu",
    )


BEDS: dict[str, Callable[[Path, Path], ValidateSpec]] = {
    "opt": equal("opt"),
    "gpt2": equal("gpt2"),
    "llama": equal("llama"),
    "mix": mix,
    "development": development,
    QUICK: quick,
}
"""By name: how to make the request from the folder of the data and a folder for what is cut out of them."""
