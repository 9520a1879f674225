"""Makes ``assets/demo``: the corpus, the model trained on it, a recorded run and its ground truth.

``python -m untrac_core.demo.bundle`` remakes all of it in about 20 minutes on one core: half of that goes into the
ground truth, which retrains the model without each subset for each of three seeds.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from untrac_core.data.prompts import load_prompts
from untrac_core.data.tokens import Example
from untrac_core.demo.request import demo_prompts, demo_spec, demo_subsets
from untrac_core.demo.texts import SUBSETS, generate, write
from untrac_core.home import DEMO
from untrac_core.losses import example_losses
from untrac_core.progress import Progress
from untrac_core.results import DOSES, TRUTH, write_frame
from untrac_core.specs import TrainSpec
from untrac_core.tracing import trace
from untrac_core.training import Material, build_model, fit, prepare, train

SEEDS = (0, 1, 2)
RECIPE = TrainSpec(
    name="demo",
    # About two passes. After six (500 steps) the model knows its texts by heart (0.5 nats a token), and which subset
    # a statement came from shows far less in how others are unlearned.
    steps=150,
    subsets=demo_subsets(limit=None),
    device="cpu",
)


class Printed:
    """Says on the terminal what is being done."""

    def phase(self, text: str) -> None:
        """One line a phase."""
        print(text, flush=True)

    def tick(self, done: int, total: int) -> None:
        """Nothing: phases are short."""


def build(folder: Path = DEMO, seeds: Sequence[int] = SEEDS, progress: Progress | None = None) -> None:
    """Remake the bundle from nothing; the same machine and versions give the same bytes."""
    progress = progress or Printed()
    torch.set_num_threads(1)
    corpus = generate()
    for part in ("subsets", "prompts", "model", "run"):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write(corpus, folder)
    train(RECIPE, folder / "model", progress)
    trace(demo_spec(limit=None), folder / "run", progress, threads=1)
    shutil.copyfile(folder / DOSES, folder / "run" / DOSES)
    write_frame(leave_out_influence(RECIPE, seeds, progress), folder / "run" / TRUTH)


def leave_out_influence(recipe: TrainSpec, seeds: Sequence[int], progress: Progress) -> pd.DataFrame:
    """The true influence: loss of a model retrained without the subset minus loss of the full one, nats per token.

    Same seed, same order of what stays, same number of steps (Isonuma and Titov, ACL 2024, section 2). One row per
    subset, prompt set, side (also ``contrast``: harmful minus harmless) and seed.
    """
    material = prepare(recipe)
    items = {
        (prompts.name, side): material.encoder.items(chosen, context=recipe.block, where=prompts.name)
        for prompts in demo_prompts()
        for side, chosen in load_prompts(prompts).sides.items()
    }
    rows = []
    for seed in seeds:
        full = _losses(recipe, material, items, seed, None, progress)
        for subset in SUBSETS:
            without = _losses(recipe, material, items, seed, subset, progress)
            gains = {place: without[place] - full[place] for place in items}
            for name in dict.fromkeys(name for name, _ in items):
                sides = {side: gains[name, side] for side in ("harmful", "harmless")}
                sides["contrast"] = sides["harmful"] - sides["harmless"]
                rows += [
                    {"subset": subset, "prompt_set": name, "side": side, "seed": seed, "influence": value}
                    for side, value in sides.items()
                ]
    return pd.DataFrame(rows)


def _losses(
    recipe: TrainSpec,
    material: Material,
    items: dict[tuple[str, str], list[Example]],
    seed: int,
    without: str | None,
    progress: Progress,
) -> dict[tuple[str, str], float]:
    """Losses a token of a model trained with this seed, perhaps without a subset."""
    progress.phase(f"training, seed {seed}, without {without or 'nothing'}")
    spec = recipe.model_copy(update={"seed": seed})
    device = torch.device("cpu")
    vocabulary = material.tokenizer.get_vocab_size()
    module = build_model(spec, vocabulary)
    fit(module, material, spec, device, without=without)
    return {
        place: float(
            example_losses(module, examples, device, vocabulary).sum() / sum(example.tokens for example in examples)
        )
        for place, examples in items.items()
    }


if __name__ == "__main__":
    build()
