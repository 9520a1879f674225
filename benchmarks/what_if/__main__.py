"""Does what-if tell what retraining on other mixes shows? ``python -m benchmarks.what_if``; README.md has more."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.what_if.mixes import Mix, development, held_out
from benchmarks.what_if.retrain import Retrained
from untrac_core.fileio import finite
from untrac_core.paths import DEMO, PROJECT
from untrac_core.results.environment import environment
from untrac_core.results.evidence import WHAT_IF_CARD
from untrac_core.results.folders import TraceFiles, load_trace, write_json
from untrac_core.specs.parts import CONTRAST
from untrac_core.stats.agreement import pearson
from untrac_core.stats.mixing_law import POWER
from untrac_core.tasks.validate.mixing import Mixing, mixing_of

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
SEED, MIXES = 0, 20
POWERS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
ASKED = {"r": (0.95, 1.0), "slope": (0.7, 1.4), "coverage": (0.85, 1.0)}
"""What the twenty mixes must show: least and most."""
EVIDENCE = PROJECT / "docs" / "evidence.md"
BEGIN, END = "<!-- what if: made by python -m benchmarks.what_if -->", "<!-- end of what if -->"
Row = dict[str, Any]


def rows_of(mixes: Sequence[Mix], mixing: Mixing, retrained: Retrained) -> list[Row]:
    """For each mix, prompt set and side (contrasts too), what was predicted and what one retraining showed."""
    full, rows = retrained.losses({}, SEED), []
    for mix in mixes:
        own = retrained.losses(mix, SEED)
        changed = {place: loss - full[place] for place, loss in own.items()}
        for found in mixing.ask(mix).table.itertuples():
            sides = {side: changed[name, side] for name, side in changed if name == found.prompt_set}
            true = sides["harmful"] - sides["harmless"] if found.side == CONTRAST else sides[found.side]
            summed = sum((1 - one) * _alone(mixing, name, found) for name, one in mix.items())
            row = {"mix": mix, "prompt_set": found.prompt_set, "side": found.side, "retrained": true}
            rows.append(row | {"predicted": found.change, "low": found.low, "high": found.high, "summed": summed})
    return rows


def _alone(mixing: Mixing, name: str, found: Any) -> float:
    """What leaving out one subset did on a side, or to a contrast."""
    by = dict(zip(mixing.sides, mixing.retrained[:, mixing.subsets.index(name)].tolist(), strict=True))
    if found.side == CONTRAST:
        return by[found.prompt_set, "harmful"] - by[found.prompt_set, "harmless"]
    return by[found.prompt_set, found.side]


def scores(rows: Sequence[Row], of: str = "predicted") -> dict[str, float]:
    """Agreement of a prediction with retraining over rows; ``coverage``: of its 95% intervals."""
    told, true = (np.array([row[name] for row in rows]) for name in (of, "retrained"))
    inside = [row["low"] <= row["retrained"] <= row["high"] for row in rows]
    return {
        "values": len(rows),
        "r": float(pearson(told, true)),
        "slope": float(told @ true / (told @ told)),
        "rmse": float(np.sqrt(((told - true) ** 2).mean())),
        "spread": float(true.std()),
        "coverage": float(np.mean(inside)),
    }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Scores over sides, contrasts, single sides, pairs that were dropped, and of plain sums of influence."""
    sides = [row for row in rows if row["side"] != CONTRAST]
    pairs = [row for row in sides if len(row["mix"]) == 2 and not any(row["mix"].values())]
    places = dict.fromkeys((row["prompt_set"], row["side"]) for row in rows)
    return {
        "sides": scores(sides),
        "contrasts": scores([row for row in rows if row["side"] == CONTRAST]),
        "leave_two_out": scores(pairs),
        "summed_influence": {name: value for name, value in scores(sides, "summed").items() if name != "coverage"},
        "by_side": {
            f"{name}, {side}": scores([row for row in rows if (row["prompt_set"], row["side"]) == (name, side)])
            for name, side in places
        },
    }


def failures(found: dict[str, Any]) -> list[str]:
    """What of the mixes is not as asked, one line each."""
    sides = found["sides"]
    return [f"{name} {sides[name]:.3f}" for name, (low, high) in ASKED.items() if not low <= sides[name] <= high]


TOLD = {
    "sides": "Both sides of every prompt set",
    "leave_two_out": "Two subsets left out",
    "contrasts": "Contrasts",
    "sides_from_one_seed": "Both sides, from anchors of one seed",
    "summed_influence": "Both sides, by the sum of influences",
}


def table(found: dict[str, Any]) -> str:
    """What was tested, as Markdown."""
    lines = ["| Predicted | Values | r | Slope | Error | Coverage |", "| --- | --- | --- | --- | --- | --- |"]
    for name, title in TOLD.items():
        row = found[name]
        held = f"{100 * row['coverage']:.0f} %" if "coverage" in row else "–"
        numbers = (row["values"], f"{row['r']:.2f}", f"{row['slope']:.2f}", f"{row['rmse']:.3f}", held)
        lines.append(f"| {title} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def keep(made: dict[str, Any]) -> None:
    """Write the results beside this, what the page says of them into the assets, and the table into the docs."""
    write_json(finite(made), RESULTS)
    sides = made["tested"]["sides"]
    write_json(finite({"mixes": made["mixes"], **{name: sides[name] for name in ASKED}}), WHAT_IF_CARD)
    told = EVIDENCE.read_text(encoding="utf-8")
    before, _, rest = told.partition(BEGIN)
    _, _, after = rest.partition(END)
    said = f"{made['mixes']} of the {MIXES} mixes that were drawn, in turn, each retrained once:"
    EVIDENCE.write_text(f"{before}{BEGIN}\n\n{said}\n\n{table(made['tested'])}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Retrain what is not retrained yet, compare, and write ``results.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.what_if", description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="a folder for the losses of retrained models")
    parser.add_argument("--development", action="store_true", help="only the six mixes that settings were chosen on")
    parser.add_argument("--trained", action="store_true", help="only those of the twenty that are trained by now")
    asked = parser.parse_args()
    demo, retrained = load_trace(DEMO / "run"), Retrained(asked.work)
    mixing = law_of(demo)
    chosen = {}
    for power in POWERS:
        rows = rows_of(development(mixing.subsets), law_of(demo, power), retrained)
        chosen[f"{power:g}"] = scores([row for row in rows if row["side"] != CONTRAST])
        print(f"power {power:g}:", in_numbers(chosen[f"{power:g}"]))
    if asked.development:
        return
    mixes = [mix for mix in held_out(mixing.subsets) if not asked.trained or retrained.path(mix, SEED).is_file()]
    rows = rows_of(mixes, mixing, retrained)
    found = summary(rows)
    truth = demo.ground_truth
    assert truth is not None  # noqa: S101
    one_seed = law_of(replace(demo, ground_truth=truth[truth["seed"] == SEED]))
    found["sides_from_one_seed"] = summary(rows_of(mixes, one_seed, retrained))["sides"]
    made = {
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m benchmarks.what_if",
        "device": f"cpu, one thread, {platform.machine()}",
        "environment": environment(),
        "mixes": len(mixes),
    }
    keep(made | {"power": POWER, "development": chosen, "tested": found, "rows": rows})
    print(table(found))
    print("\n".join(failures(found)) or "all as asked")


def law_of(demo: TraceFiles, power: float = POWER) -> Mixing:
    """What the demo's recorded retrainings tell of other mixes."""
    found = mixing_of(demo, power=power)
    assert found is not None  # noqa: S101
    return found


def in_numbers(found: dict[str, float]) -> str:
    """Scores in one line."""
    return ", ".join(f"{name} {found[name]:.3g}" for name in ("values", "r", "slope", "rmse", "coverage"))


if __name__ == "__main__":
    main()
