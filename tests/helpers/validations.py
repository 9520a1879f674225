"""Validations made by hand, in the shape in which a run writes them."""

import json
from dataclasses import asdict

import pandas as pd

from tests.helpers.making import spec_of
from untrac_core.fileio import finite
from untrac_core.specs import KINDS
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml
from untrac_core.tasks.validate import frames
from untrac_core.tasks.validate.calibration import one_retraining, sizes_and_signs

RUN = "eeeeeeeeeeee"
NAMES = ["forum", "blog", "news", "code", "poems"]
GROUND_TRUTH = [0.06, 0.02, -0.01, -0.04, -0.05]
METHODS = {"untrac-inv (robust)": ("untrac-inv", "robust"), "grad-dot": ("grad-dot", None), "bm25": ("bm25", None)}
SIDES = (("toxicity", "contrast", 0.95), ("toxicity", "harmful", 0.9), ("toxicity", "harmless", 0.3))


def validate_spec(folder, names=NAMES, **more):
    """A request over four small files."""
    trace = spec_of(list(names), folder)
    prompts = [trace.prompts[0].model_copy(update={"name": more.pop("prompts", "toxicity")}).model_dump()]
    subsets = [subset.model_dump() for subset in trace.subsets]
    methods = [{"name": name, "preset": preset} if preset else {"name": name} for name, preset in METHODS.values()]
    values = {"training": {"init": "scratch", "steps": 10}, "prompts": prompts, "subsets": subsets, "methods": methods}
    return build(KINDS["validate"], {**values, "device": "cpu", **more}, where="test")


def tables(names, prompt_set):
    """The truth of each seed and the estimate of each method, on every side."""
    truth, told = [], []
    for _, side, steady in SIDES:
        for name, value in zip(names, GROUND_TRUTH[: len(names)], strict=True):
            truth += [
                (name, prompt_set, side, seed, value + (0.001 * seed if steady > 0.8 else 0.1)) for seed in (0, 1)
            ]
            for number, label in enumerate(METHODS):
                moved = value * (1 - number)
                told.append((label, prompt_set, side, name, moved, moved - 0.01, moved + 0.01))
    return (
        pd.DataFrame(truth, columns=["subset", "prompt_set", "side", "seed", "influence"]),
        pd.DataFrame(told, columns=["method", "prompt_set", "side", "subset", "influence", "low", "high"]),
    )


def summary_of(names, prompt_set, text, best="untrac-inv (robust)"):
    """The summary of a validation whose first method is right; the second says nothing, the third is reversed."""
    values = {"untrac-inv (robust)": 0.95, "grad-dot": 0.6, "bm25": -0.5}
    truth = [
        {"prompt_set": prompt_set, "side": side, "subset": name, "rank": rank, "influence": value}
        | {"low": value - 0.005, "high": value + 0.005}
        for _, side, _ in SIDES
        for rank, (name, value) in enumerate(zip(names, GROUND_TRUTH[: len(names)], strict=True), 1)
    ]
    places = [(None, "resolvable", 2), (None, "all", 3), *((prompt_set, side, 1) for _, side, _ in SIDES)]
    leaderboard = [
        {"method": label, "prompt_set": place, "side": side, "metric": metric, "value": value, "sides": sides}
        | {"low": value - 0.03, "high": value + 0.03}
        for label, value in values.items()
        for metric in frames.METRICS
        for place, side, sides in places
    ]
    pairs = [("untrac-inv (robust)", "grad-dot", 0.03, True), ("untrac-inv (robust)", "bm25", 1.4, False)]
    differences = [
        {"first": first, "second": second, "side": side, "value": value, "low": value - 0.1, "high": value + 0.1}
        | {"tie": tie}
        for first, second, value, tie in pairs
        for side in ("resolvable", "all")
    ]
    known, told = tables(names, prompt_set)
    by_side = known.pivot_table(index=["side", "seed"], columns="subset", values="influence")[list(names)]
    per_seed = {(prompt_set, side): by_side.loc[side].to_numpy() for _, side, _ in SIDES}
    means = {place: values.mean(0) for place, values in per_seed.items()}
    within = {"resolvable": [(prompt_set, "harmful")], "all": [(prompt_set, "harmful"), (prompt_set, "harmless")]}
    method = {"peak_memory_mb": 300.0, "failed": None, "collapsed": False, "unit": "nats per token"}
    return {
        "run": RUN,
        "name": "test",
        "kind": "validate",
        "init": "scratch",
        "seeds": [0, 1],
        "methods": [
            {**method, "method": label, "name": name, "preset": preset, "seconds": 12.0 if preset else 0.2}
            for label, (name, preset) in METHODS.items()
        ],
        "ground_truth": truth,
        "noise": [
            {"prompt_set": prompt_set, "side": side, "agreement": steady, "agreement_low": steady - 0.1}
            | {"agreement_high": min(1.0, steady + 0.1), "ceiling": steady**0.5, "resolvable": steady >= 0.8}
            for _, side, steady in SIDES
        ],
        "leaderboard": leaderboard,
        "calibration": [finite(asdict(row)) for row in sizes_and_signs(told, means, list(names), within)],
        "retraining": [finite(asdict(row)) for row in one_retraining(per_seed, within)],
        "differences": differences,
        "critical": {"subsets": len(names), "pearson": 0.95, "spearman": 1.0, "kendall": 1.0},
        "verdict": text,
        "best": best,
        "warnings": [text],
        "notes": [text],
        "data": {
            "prompt_sets": {
                prompt_set: {"harmful": {"items": 48, "tokens": 500}, "harmless": {"items": 31, "tokens": 400}}
            }
        },
        "seconds": 240.0,
        "peak_memory_mb": 800.0,
    }


def with_halves(summary):
    """Add what a summary says of 24 trainings on random halves."""
    rows = [
        {"method": label, "prompt_set": None, "side": side, "sides": 2, "value": value, "low": value - 0.2}
        | {"high": value + 0.07}
        for label, value in (("bm25", -0.5), ("untrac-inv (robust)", 0.9))
        for side in ("resolvable", "all")
    ]
    summary["halves"] = {"count": 24, "without": 2, "seed": 0, "scores": rows}


def with_pairs(summary):
    """Add what a summary says of four pairs by two seeds: the first stands in for each other, the rest add up."""
    prompt_set = summary["noise"][0]["prompt_set"]
    names = [row["subset"] for row in summary["ground_truth"] if row["side"] == "contrast"]
    rows = [
        {"without": [names[0], other], "prompt_set": prompt_set, "side": side, "both": 0.09, "expected": 0.09 - value}
        | {"interaction": value, "low": value - 0.02, "high": value + 0.02, "separable": value > 0.02}
        for _, side, _ in SIDES
        for other, value in zip(names[1:], (-0.005, 0.04, 0.01, 0.0), strict=False)
    ]
    sides = [
        {"prompt_set": prompt_set, "side": side, "both": 0.09, "interaction": 0.021, "noise": 0.006, "p_value": 0.012}
        | {"separable": True}
        for _, side, _ in SIDES
    ]
    scores = [
        {"method": "bm25", "prompt_set": None, "side": side, "sides": 2, "value": 0.4, "low": -0.2, "high": 0.8}
        for side in ("resolvable", "all")
    ]
    summary["pairs"] = {"count": 4, "seeds": [0, 1], "interactions": rows, "sides": sides, "scores": scores}


def with_controls(summary):
    """Add what a summary says of both controls: retraining passes them, a method fails one, another has no interval."""
    prompt_set = summary["noise"][0]["prompt_set"]
    place = {"prompt_set": prompt_set, "side": "contrast", "expected": 0.0, "largest": 0.06}
    summary["controls"] = [
        {"control": control, "method": method, **place, "subset": None, "share": share, "found": found}
        | {"low": low, "high": high, "passed": passed}
        for control, method, found, low, high, share, passed in (
            ("doubled", None, 0.001, -0.004, 0.006, 0.52, True),
            ("mixed", None, -0.002, -0.009, 0.005, None, True),
            ("doubled", "untrac-inv (robust)", 0.02, 0.01, 0.03, 0.8, False),
            ("mixed", "untrac-inv (robust)", 0.003, -0.01, 0.016, None, True),
            ("doubled", "bm25", 0.2, None, None, None, None),
        )
    ]


def with_choices(summary):
    """Add what a summary says of choices in 40 pairs: the ranking by retraining tells the changes, BM25's does not."""
    names = [row["subset"] for row in summary["ground_truth"] if row["side"] == "contrast"]
    changes = [
        {"subset": name, "change": value, "low": value - 0.04, "high": value + 0.04}
        for name, value in zip(names, (0.1, 0.02, 0.0, -0.03, -0.08), strict=False)
    ]
    scores = [(None, 0.9, 0.4, 1.0), ("untrac-inv (robust)", 0.8, 0.2, 1.0), ("bm25", -0.3, -0.8, 0.5)]
    agreement = [dict(zip(("method", "value", "low", "high"), row, strict=True)) for row in scores]
    row = {"prompt_set": summary["noise"][0]["prompt_set"], "pairs": 40, "rate": 0.55, "changes": changes}
    summary["choices"] = [row | {"agreement": agreement}]


def with_writing(summary):
    """Add what a summary says of writing: the changes and scores of :func:`with_choices`."""
    with_choices(summary)
    [row] = summary.pop("choices")
    summary["writing"] = row | {"side": "contrast", "prompts": 20, "samples": 2, "seed": 0}


def write_validation(folder, spec, text="Trust UnTrac-Inv here.", change=None):
    """The folder of a finished validation; ``change`` edits its summary."""
    folder.mkdir(parents=True, exist_ok=True)
    names, prompt_set = [subset.name for subset in spec.subsets], spec.prompts[0].name
    truth, told = tables(names, prompt_set)
    truth.to_parquet(folder / "ground_truth.parquet")
    told.to_parquet(folder / "estimates.parquet")
    summary = summary_of(names, prompt_set, text)
    if change:
        change(summary)
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "remark": text}))
    (folder / "spec.yaml").write_text(to_yaml(spec))
