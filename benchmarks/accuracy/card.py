"""What each method was seen to be worth, for the page *Evidence*: ``python -m benchmarks.accuracy.card``.

Writes ``assets/evidence.json`` from the results of the testbeds; nothing in it is written by hand but what a bed is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import BEDS, HERE
from benchmarks.accuracy.rungs import RUNGS, TITLES
from benchmarks.accuracy.unseen import UNSEEN
from untrac_core.fileio import finite
from untrac_core.paths import PROJECT
from untrac_core.results.folders import SUMMARY, write_json
from untrac_core.specs.catalogue import LADDER

CARD = PROJECT / "assets" / "evidence.json"
LOOKED_AT = {
    "untrac-inv": "the development testbed, and an earlier study of OPT on the same ten corpora",
    "untrac": "the unequal mix and GPT-2",
    "continuation": "the unequal mix and GPT-2",
}
"""The testbeds on which a method's settings were chosen."""
SHAPES = {
    "opt": "opt", "gpt2": "gpt2", "llama": "llama", "mix": "opt",
    "neox": "gpt-neox", "qwen": "qwen3", "halves": "opt", "finetune": "llama",
}  # fmt: skip
NUMBERS = (
    "r", "spearman", "signs", "slope", "r_contrasts", "r_others", "one_retraining", "coverage", "cpu_seconds",
)  # fmt: skip


def card(here: Path = HERE) -> dict[str, Any]:
    """All testbeds that have results: what they are, which contrasts they resolve, and every measured method."""
    beds = []
    for name in (bed for bed in BEDS if (here / "results" / bed / RUNGS).is_file()):
        rungs = json.loads((here / "results" / name / RUNGS).read_text(encoding="utf-8"))
        summary = json.loads((here / "results" / name / SUMMARY).read_text(encoding="utf-8"))
        trained = [facts["trained_blocks"] for facts in summary["data"]["subsets"].values()]
        beds.append(
            {
                "name": name,
                "title": TITLES[name],
                "unseen": name in UNSEEN,
                "architecture": SHAPES[name],
                "subsets": len(trained),
                "largest_share": round(max(trained) / sum(trained), 3),
                "seeds": len(summary["seeds"]),
                "contrasts": {
                    row["prompt_set"]: {"seeds_agree": round(row["agreement"], 3), "resolvable": row["resolvable"]}
                    for row in summary["noise"]
                    if row["side"] == "contrast"
                },
                "methods": {
                    method: {key: round(found[key], 3) for key in NUMBERS if found.get(key) is not None}
                    for method, found in rungs.items()
                },
            }
        )
    known = [method for method in LADDER if any(method in bed["methods"] for bed in beds)]
    return {"testbeds": beds, "chosen_on": {method: LOOKED_AT[method] for method in known}}


def main() -> None:
    """Write the card."""
    write_json(finite(card()), CARD)


if __name__ == "__main__":
    main()
