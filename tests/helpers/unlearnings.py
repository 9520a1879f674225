"""Unlearnings by hand: a request over small files, and the evaluations of one that is under way."""

import json

import pandas as pd

from untrac_core.specs import UnlearnSpec
from untrac_core.specs.build import build

RUN = "cccccccccccc"
NAMES = ["forum", "news", "code"]


def unlearn_spec(folder, names=NAMES, **more):
    """A request to take the first of some subsets out of the demo's model."""
    folder.mkdir(parents=True, exist_ok=True)
    subsets = []
    for number, name in enumerate(names):
        (folder / f"{number}.jsonl").write_text(json.dumps({"text": f"Subset {number} of the valley."}) + "\n")
        subsets.append({"name": name, "source": {"file": str(folder / f"{number}.jsonl")}})
    rows = [{"completion": f"They sing, they say {side}.", "label": side} for side in ("toxic", "benign")]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = {"name": "toxicity", "source": {"file": str(folder / "prompts.jsonl")}, "columns": {"label": "label"}}
    prompts |= {"harmful": "toxic", "harmless": "benign"}
    values = {"name": "an unlearning", "model": {"path": "demo"}, "forget": {"subset": names[0]}, "subsets": subsets}
    values |= {"prompts": [prompts], "stop": {"rule": "fixed"}, "device": "cpu", **more}
    return build(UnlearnSpec, values, where="test")


def write_course(folder, names=NAMES, steps=(0, 5, 10), level=2.4):
    """The evaluations of an unlearning as its job writes them: the forget set rises by a nat a text and step."""
    places = [("forget", f"subset {names[0]}", ""), ("holdout", "unseen", "")]
    places += [("subset", name, "") for name in names[1:]]
    places += [("prompts", "toxicity", side) for side in ("harmful", "harmless")]
    rows = [
        (step, kind, name, side, item, "loss", 100.0 + 10 * item + (step if kind == "forget" else 0.0), "")
        for step in steps
        for kind, name, side in places
        for item in range(2)
    ]
    rows.append((steps[-1], "run", "", "", 0, "steps", 10.0, ""))
    frame = pd.DataFrame(rows, columns=["step", "kind", "name", "side", "item", "quantity", "value", "text"])
    (folder / ".work").mkdir(parents=True, exist_ok=True)
    found = frame.assign(tokens=50, method="npo", seed=0, key="k", level=level)
    found.to_parquet(folder / ".work" / "history.parquet")
