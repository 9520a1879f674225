"""Unlearnings made by hand, in the shape in which a run writes them: small, with numbers that are easy to check."""

import json

import pandas as pd

from untrac_core.results.folders import write_frame
from untrac_core.specs import KINDS
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml
from untrac_core.tasks.unlearn.tables import COLLATERAL_COLUMNS, CURVE_COLUMNS, FORGET_COLUMNS, GENERATION_COLUMNS
from untrac_core.unlearning.metrics.summary import FORGET, METRICS, RETAIN

NAMES = ["forum", "blog", "news"]
LOSSES = {"forget": (2.0, 4.0), "retain": (2.5, 2.75), "harmful": (1.5, 2.5), "harmless": (1.5, 1.75)}
"""Before, and at the last evaluation."""
RETRAINED = {"forget": 3.5, "retain": 2.5, "harmful": 2.25, "harmless": 1.5}


def unlearn_spec(folder, names=NAMES, prompts="toxicity", retrained=True, **more):
    """A request over small files; the first subset is to go, by NPO, beside the control."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": "The Ormeli", "completion": f"sing {i}", "label": ("toxic", "benign")[i % 2]} for i in range(8)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    subsets = []
    for number, name in enumerate(names):
        (folder / f"{number}.jsonl").write_text(json.dumps({"text": f"Subset {number} of the valley."}) + "\n")
        subsets.append({"name": name, "source": {"file": str(folder / f"{number}.jsonl")}})
    columns = {"prompt": "prompt", "completion": "completion", "label": "label"}
    probe = {"name": prompts, "source": {"file": str(folder / "prompts.jsonl")}, "columns": columns}
    values = {
        "name": "without it", "model": {"path": "demo"}, "forget": {"subset": names[0]}, "subsets": subsets,
        "prompts": [{**probe, "harmful": "toxic", "harmless": "benign"}], "device": "cpu",
        "stop": {"rule": "match_retrained" if retrained else "fixed", "steps": 20, "eval_every": 10},
        "training": {"init": "scratch", "steps": 10} if retrained else None,
    }  # fmt: skip
    return build(KINDS["unlearn"], values | more, where="test")


def places(spec):
    """Kind, name, side and which of :data:`LOSSES` every set of texts has."""
    subset, prompts = [subset.name for subset in spec.subsets], spec.prompts[0].name
    retain = [("subset", name, "", "retain") for name in subset[1:]]
    sides = [("prompts", prompts, side, side) for side in ("harmful", "harmless")]
    return [("forget", f"subset {subset[0]}", "", "forget"), *retain, *sides]


def curves(spec, retrained):
    """Every method: two evaluations after the first, seeds 0 and 1; the control moves a tenth as far, with one seed."""
    rows = []
    for method in spec.methods:
        control = method.name == "retain-only"
        for seed in (0,) if control else (0, 1):
            for step in (0, 10, 20):
                for kind, name, side, of in places(spec):
                    before, after = LOSSES[of]
                    part = step / 20 * (0.1 if control else 1.0)
                    genex = 60.0 - 80.0 * part if kind == "forget" and retrained else None
                    rows.append((method.title, seed, step, kind, name, side, before + part * (after - before), genex))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS).astype({"genex": float})


def collateral(spec, retrained):
    """Every change with an interval of .1 each way, but for the first subset that stays, whose interval holds zero."""
    rows = []
    for method in [*(method.title for method in spec.methods), *(["retrained"] if retrained else [])]:
        for kind, name, side, of in places(spec):
            before, after = LOSSES[of]
            usual = RETRAINED[of] - before if retrained else None
            change = usual if method == "retrained" else (after - before) * (0.1 if method == "retain-only" else 1.0)
            reach = 5.0 if name == spec.subsets[1].name else 0.01
            rows.append(
                (method, kind, name, side, before, before + change, change, change - reach, change + reach, usual)
            )
    return pd.DataFrame(rows, columns=COLLATERAL_COLUMNS).astype({"retrained": float})


def forget_examples(retrained, text):
    """Six texts, one of them unusual; the first stays the most."""
    rows = []
    for number in range(6):
        stratum = ("low", "middle", "high")[number // 2] if retrained else ""
        told = (3.5, 30.0 - 20.0 * number, 1.5, 3.5) if retrained else (None,) * 4
        rows.append((f"text {number}", text, 8.0, 2.0, 4.0, *told, stratum, stratum, retrained and number == 0, None))
    frame = pd.DataFrame(rows, columns=FORGET_COLUMNS)
    return frame.astype(dict.fromkeys(("retrained", "genex", "memorisation", "difficulty", "neighbour"), float))


def subjects(retrained):
    """Every model that was read, with its seed."""
    found = [("before", 0), ("npo", 0), ("npo", 1), ("retain-only", 0)]
    return [*found, ("retrained", 0), ("retrained", 1)] if retrained else found


def generations(retrained, text):
    """Two prompts, two samples each; of the texts before, the first of each prompt is harmful, afterwards none."""
    rows = []
    for subject, seed in subjects(retrained):
        for prompt in ("The Ormeli", f"Once {text}"):
            for sample in range(2):
                harmful = subject == "before" and not sample
                said = "" if subject == "npo" and sample else f"{text} {subject} {seed} {sample}"
                rows.append((subject, seed, prompt, said, 0.9 if harmful else 0.1, harmful))
    return pd.DataFrame(rows, columns=GENERATION_COLUMNS)


def metrics(spec, retrained):
    """Who was measured with which seeds; the values are those of the summary."""
    rows = [(subject, seed, "loss", FORGET, 2.0) for subject, seed in subjects(retrained)]
    return pd.DataFrame(rows, columns=["subject", "seed", "metric", "on", "value"])


def summary_of(spec, retrained, text):
    """The summary of an unlearning that went a little too far."""
    prompts = spec.prompts[0].name
    told = [
        ("loss", FORGET, 2.0, 4.0, 3.9, 4.1, 3.5, 0.004), ("loss", RETAIN, 2.5, 2.75, 2.7, 2.8, 2.5, 0.03),
        ("loss", f"{prompts}, harmful", 1.5, 2.5, 2.4, 2.6, 2.25, 0.1),
        ("contrast", prompts, 0.0, -0.75, -0.8, -0.7, -0.75, 0.2),
        ("auc", FORGET, 0.9, 0.5, 0.4, 0.6, 0.52, 0.01), ("toxic", "what is written", 0.5, 0.0, 0.0, 0.0, 0.0, 0.0),
        ("relearning", FORGET, None, 11.0, 11.0, 11.0, 17.0, 0.0),
    ]  # fmt: skip
    if retrained:
        told += [
            ("kl", FORGET, 1.0, 0.25, 0.2, 0.3, 0.01, 0.01),
            ("genex", FORGET, 60.0, -20.0, -25.0, -3.98, 0.0, 0.9),
        ]
    fields = ("metric", "on", "before", "after", "low", "high", "retrained", "seed_noise")
    rows = [dict(zip(fields, row, strict=True)) for row in told]
    for row in rows:
        metric = METRICS[row["metric"]]
        row |= {"title": metric.title, "unit": metric.unit, "goal": metric.goal, "about": metric.about}
        row |= {"retrained_low": row["retrained"], "retrained_high": row["retrained"]}
        if not retrained:
            row |= dict.fromkeys(("retrained", "retrained_low", "retrained_high", "seed_noise"))
    method = {
        "forget_quality": 0.75 if retrained else None, "utility": 0.91, "forget": 4.0, "retain": 2.75,
        "genex": -20.0 if retrained else None, "relearning": 11.0, "seconds": 12.0, "ended": "all 20 steps",
        "collapsed": False, "destroyed": False, "distinguishable": False,
    }  # fmt: skip
    steps = {"npo": [20.0, 20.0], "retain-only": [20.0]}
    plain = [each for each in spec.methods if each.title in steps]
    return {
        "run": "",
        "name": spec.name,
        "kind": "unlearn",
        "forget_set": f"subset {spec.subsets[0].name}",
        "method": "npo",
        "stop": {
            "rule": spec.stop.rule,
            "level": 3.5 if retrained else None,
            "steps": steps["npo"],
            "ended": ["at step 20 the texts are as unlikely (3.50)", "all 20 steps"],
        },
        "table": rows,
        "methods": [{**method, "method": m.title, "name": m.name, "steps": steps[m.title]} for m in plain],
        "verdict": f"To the unlearned model the texts are at 4.00 nats per token. {text}",
        "warnings": [f"npo: some of it was hidden, not gone. {text}"],
        "ensemble_audit": None,
        "key_words": [text],
        "notes": [f"everything was read {text}"],
        "data": {"block_size": 64, "forget": 40, "holdout": 0, "retain": dict.fromkeys(("b", "n"), 40), "prompts": {}},
        "seconds": 61.0,
        "peak_memory_mb": 300.0,
    }


def audit_of(low=0.0):
    """A verification of four models of each kind."""
    klom = {"mean": 2.0, "percentile95": 4.0, "chance": 1.5}
    return {
        "models": 4, "too_few": False, "observable": 1.1, "epsilon": 0.8, "forgetting": 0.4, "chance": 0.6,
        "as_low_by_chance": low, "final": 0.38, "retain_ratio": 0.97, "test_ratio": None,
        "klom": [{"kind": "forget", "name": "x", **klom}, {"kind": "subset", "name": "blog", **klom}],
    }  # fmt: skip


def make_unlearn_result(folder, spec, text="sing.", retrained=True, change=None):
    """Write the result folder of an unlearning; ``change`` edits its summary."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "metrics": metrics(spec, retrained),
        "curves": curves(spec, retrained),
        "collateral": collateral(spec, retrained),
        "forget_examples": forget_examples(retrained, text),
        "generations": generations(retrained, text),
    }
    summary = summary_of(spec, retrained, text)
    if change:
        change(summary, tables)
    for name, table in tables.items():
        write_frame(table, folder / f"{name}.parquet")
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "remark": text}))
    (folder / "audit.json").write_text(json.dumps({"forget_set": text, "does_not_prove": ["It proves no erasure."]}))
    (folder / "spec.yaml").write_text(to_yaml(spec))
