"""A trace's result as large as the pages have to bear: 200 subsets, 20 groups, 3 seeds, 100,000 training texts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from untrac_core.results.folders import (
    EXAMPLE_COLUMNS,
    EXAMPLES,
    GROUP_COLUMNS,
    GROUPS,
    INFLUENCE,
    INFLUENCE_COLUMNS,
    PROMPT_EXAMPLES,
    TEXT_FEATURES,
    TOKENS,
    write_frame,
)
from untrac_core.specs import TraceSpec
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml

SUBSETS, GROUPS_COUNT, SEEDS, TEXTS, STEPS = 200, 20, (0, 1, 2), 100_000, (0, 1, 2)
SETS = {"toxicity": ("toxic", "benign"), "truth": ("false", "true")}
SIDES = ("contrast", "harmful", "harmless")
WORDS = ["weaver", "smith", "fisher", "valley", "river", "song", "lamp", "stone", "cart", "barrel", "field", "bridge"]
EVERY = 50
"""Of the texts, one in so many was looked at token by token."""


def large_spec(folder: Path, method: str) -> TraceSpec:
    """A request of that size; its files need not be there to look at a result."""
    prompts = [
        {
            "name": name,
            "source": {"file": str(folder / f"{name}.jsonl")},
            "columns": {"completion": "text", "label": "label", "group": "group"},
            "harmful": harmful,
            "harmless": harmless,
        }
        for name, (harmful, harmless) in SETS.items()
    ]
    subsets = [{"name": f"subset {i:03}", "source": {"file": str(folder / f"{i}.jsonl")}} for i in range(SUBSETS)]
    values = {
        "name": f"a large trace by {method}",
        "model": {"path": "demo"},
        "prompts": prompts,
        "subsets": subsets,
        "method": {"name": method},
        "seeds": list(SEEDS),
        "device": "cpu",
    }
    return build(TraceSpec, values, where="test")


def write_large(folder: Path, spec: TraceSpec) -> None:
    """Write the result folder: numbers by chance, with a few subsets that stand out."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    names = [subset.name for subset in spec.subsets]
    truth = {side: draw.normal(0, 0.003, SUBSETS) + np.where(np.arange(SUBSETS) < 5, 0.02, 0.0) for side in SIDES}
    write_frame(_influence(spec, names, truth, draw), folder / INFLUENCE)
    if spec.method.name == "untrac-inv":
        texts = _texts(names, draw)
        write_frame(texts, folder / EXAMPLES)
        write_frame(_tokens(texts.iloc[::EVERY], draw), folder / TOKENS)
        write_frame(_text_features(names, draw), folder / TEXT_FEATURES)
    else:
        items = _items(names, draw)
        write_frame(items, folder / PROMPT_EXAMPLES)
        write_frame(_groups(names, truth, draw), folder / GROUPS)
        near = items[items["id"].isin(("prompt 000", "prompt 001"))]
        write_frame(_tokens(near.assign(text=near["completion"]), draw), folder / TOKENS)
    (folder / "summary.json").write_text(json.dumps(_summary(folder, spec, names, truth)))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11"}))
    (folder / "spec.yaml").write_text(to_yaml(spec))
    (folder / "log.txt").write_text("\n")


def _influence(spec: TraceSpec, names: list[str], truth: dict, draw: np.random.Generator) -> pd.DataFrame:
    groups = ["", *_group_names()] if spec.method.name == "untrac" else [""]
    axes = [list(SETS), list(SIDES[1:]), groups, list(SEEDS), list(STEPS), names]
    index = pd.MultiIndex.from_product(axes, names=["prompt_set", "side", "group", "seed", "step", "subset"])
    frame = index.to_frame(index=False)
    whole = np.concatenate([np.tile(truth[side], len(groups) * len(SEEDS) * len(STEPS)) for side in SIDES[1:]])
    moved = (np.tile(whole, len(SETS)) + draw.normal(0, 0.001, len(frame))) * frame["step"] / 2
    frame = frame.assign(
        method=spec.method.name, label="", loss_before=3.0, loss_after=3.0 + moved, influence=moved, tokens=1000,
        examples=50, loss_increase=0.05 * frame["step"],
    )  # fmt: skip
    return frame[INFLUENCE_COLUMNS]


def _sentences(count: int, draw: np.random.Generator) -> list[str]:
    words = np.array(WORDS)[draw.integers(0, len(WORDS), (count, 40))]
    return [" ".join(row) for row in words]


def _texts(names: list[str], draw: np.random.Generator) -> pd.DataFrame:
    each = TEXTS // (len(SETS) * len(SIDES) * SUBSETS)
    bodies = _sentences(each * SUBSETS, draw)
    frames = []
    for prompt_set in SETS:
        for side in SIDES:
            value = draw.normal(0, 0.003, len(bodies))
            frames.append(
                pd.DataFrame(
                    {
                        "prompt_set": prompt_set,
                        "side": side,
                        "subset": np.repeat(names, each),
                        "id": [f"text {i}" for i in range(len(bodies))],
                        "reference": [f"file.jsonl, line {i}" for i in range(len(bodies))],
                        "text": bodies,
                        "tokens": 63,
                        "loss_before": 3.0,
                        "influence": value,
                        "low": value - 0.002,
                        "high": value + 0.002,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)[EXAMPLE_COLUMNS]


def _tokens(texts: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    pieces = [text.replace(" ", "\x00 ").split("\x00") for text in texts["text"]]
    counts = [len(one) for one in pieces]
    places = texts[["prompt_set", "side", "subset", "id"]]
    frame = places.loc[places.index.repeat(counts)].reset_index(drop=True)
    change = draw.normal(0, 0.01, len(frame))
    order = np.concatenate([np.arange(count) for count in counts])
    return frame.assign(
        span=order, text=[piece for one in pieces for piece in one], scored=order > 0, loss_before=3.0,
        change=np.where(order > 0, change, 0.0), low=change - 0.01, high=change + 0.01,
    )  # fmt: skip


def _items(names: list[str], draw: np.random.Generator) -> pd.DataFrame:
    count = 64
    frames = []
    for prompt_set in SETS:
        for side in SIDES[1:]:
            bodies = _sentences(count, draw)
            value = draw.normal(0, 0.003, count * SUBSETS)
            frames.append(
                pd.DataFrame(
                    {
                        "prompt_set": prompt_set,
                        "side": side,
                        "subset": np.repeat(names, count),
                        "id": [f"prompt {i:03}" for i in range(count)] * SUBSETS,
                        "group": [_group_names()[i % GROUPS_COUNT] for i in range(count)] * SUBSETS,
                        "prompt": "They say:",
                        "completion": bodies * SUBSETS,
                        "tokens": 20,
                        "loss_before": 3.0,
                        "influence": value,
                        "low": value - 0.002,
                        "high": value + 0.002,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _group_names() -> list[str]:
    return [f"people {chr(97 + i)}" for i in range(GROUPS_COUNT)]


def _groups(names: list[str], truth: dict, draw: np.random.Generator) -> pd.DataFrame:
    axes = [list(SETS), list(SIDES), _group_names(), names]
    frame = pd.MultiIndex.from_product(axes, names=["prompt_set", "side", "group", "subset"]).to_frame(index=False)
    whole = np.tile(np.concatenate([np.tile(truth[side], GROUPS_COUNT) for side in SIDES]), len(SETS))
    value = whole + draw.normal(0, 0.003, len(frame))
    return frame.assign(influence=value, low=value - 0.004, high=value + 0.004, items=12)[GROUP_COLUMNS]


def _text_features(names: list[str], draw: np.random.Generator) -> pd.DataFrame:
    axes = [list(SETS), list(SIDES), ["", *names], ["length", "rarity", "overlap"]]
    frame = pd.MultiIndex.from_product(axes, names=["prompt_set", "side", "subset", "feature"]).to_frame(index=False)
    effect = draw.normal(0, 0.5, len(frame))
    return frame.assign(
        influential=1.0, rest=0.5, effect=effect, low=effect - 0.3, high=effect + 0.3, examples=10, others=90
    )


def _summary(folder: Path, spec: TraceSpec, names: list[str], truth: dict) -> dict:
    ranking, verdicts, ties, baselines, agreement = [], [], [], [], []
    for prompt_set in SETS:
        for side in SIDES:
            order = np.argsort(-truth[side])
            place = {"prompt_set": prompt_set, "side": side}
            for rank, i in enumerate(order, 1):
                value = float(truth[side][i])
                row = {**place, "subset": names[i], "rank": rank}
                ends = {"low": value - 0.002, "high": value + 0.002}
                ranking.append({**row, "group": None, "influence": value, **ends, "separable": rank == 1})
                for method in ("bm25", "grad-dot", "grad-cos"):
                    score = {"method": method, "unit": "score", "score": value * 3, "low": value, "high": value * 5}
                    baselines.append({**row, **score})
            ties.append({**place, "subsets": [[names[i] for i in order[5:]]]})
            agreement += [
                {**place, "method": name, "spearman": 0.6, "same_top": True}
                for name in ("bm25", "grad-dot", "grad-cos")
            ]
            text = f"Unlearning {names[order[0]]} makes these texts less likely than unlearning any other subset."
            told = {"top": names[order[0]], "text": text, "collapsed": False}
            verdicts.append({**place, **told})
    return {
        "run": folder.name,
        "name": spec.name,
        "kind": "trace",
        "method": spec.method.name,
        "preset": spec.method.variant,
        "unit": "nats per token",
        "ranking": ranking,
        "verdicts": verdicts,
        "ties": ties,
        "baselines": baselines,
        "agreement": agreement,
        "text_features": [],
        "collapsed": [],
        "warnings": [],
        "notes": [],
        "data": {},
        "seconds": 600.0,
        "peak_memory_mb": 900.0,
    }
