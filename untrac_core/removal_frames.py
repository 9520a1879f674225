"""What is drawn and told of a removal, as frames and sentences; free of torch and of drawing."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from untrac_core.figure_parts import signed
from untrac_core.removal_measures import FORGET, MEASURES, STAYS
from untrac_core.results import Removed
from untrac_core.specs import PromptSet, RemovalSpec, UnlearnSpec
from untrac_core.unlearn_spec import BEFORE, GOLD
from untrac_core.wording import REMOVALS, STOPS, UNIT, count, duration, labels, plain

HEADLINES = ("loss", "contrast", "toxic", "kl", "genex")
"""Measures that are told first; of the losses only those of what is to go and of what stays."""
GOALS = {"gold": "the gold's", "low": "low", "high": "high", "none": "no goal"}
NO_GOLD, NONE = "no gold", "–"
STRATA = {"high": "most", "middle": "middling", "low": "least"}
LINES = ("forget", "stays", "harmful", "harmless")


def titles(spec: UnlearnSpec) -> dict[str, str]:
    """Every method of a request, and what people call it; a label is a user's word."""
    return {method.title: _title(method) for method in spec.methods}


def _title(method: RemovalSpec) -> str:
    return method.label or method.title.replace(method.name, REMOVALS[method.name][0], 1)


def in_words(spec: UnlearnSpec, text: str) -> str:
    """A sentence of the summary with the methods called as in the figures, at its begin and after 'by'."""
    for title, words in sorted(titles(spec).items(), key=lambda pair: -len(pair[0])):
        if text.startswith(f"{title}: "):
            return words + text[len(title) :]
        text = text.replace(f" by {title} made the model collapse", f" by {words} made the model collapse")
    return text


def figure(value: float | None, unit: str = "") -> str:
    """A measured number to two significant digits, whole from ten on; a loss to two decimals at least; a true minus."""
    if value is None or pd.isna(value):
        return NONE
    size = abs(float(value))
    if size >= 9.95 and unit != UNIT:
        text = f"{size:,.0f}"
    elif size >= 0.095 and unit == UNIT:
        text = f"{size:.2f}"
    else:
        return signed(value).removeprefix("+")
    return f"−{text}" if value < 0 else text


def seeds_of(removed: Removed, subject: str) -> list[int]:
    """The seeds that a subject was measured with."""
    rows = removed.measures
    return sorted(int(seed) for seed in rows.loc[rows["subject"] == subject, "seed"].unique())


def has_gold(removed: Removed) -> bool:
    """Whether there are models that never saw what was to go."""
    return bool((removed.measures["subject"] == GOLD).any())


def stopping(removed: Removed) -> list[str]:
    """How the unlearning stopped: the rule with its level, then every seed's end."""
    spec, stop = removed.spec, removed.summary.get("stop", {})
    title, words = STOPS[spec.stop.rule]
    rule = f"Stop rule: {title}, {words}"
    if stop.get("level") is not None:
        rule += f" (from {stop['level']:.2f} {UNIT} on)"
    if spec.stop.rule == "retain-budget":
        rule += f" ({spec.stop.budget:.1%})"
    seeds = seeds_of(removed, removed.summary["method"])
    told = list(stop.get("ended") or [])
    numbered = len(seeds) == len(told) > 1
    ends = [
        f"Seed {seed}: {text}." if numbered else f"Stopped: {text}." for seed, text in zip(seeds, told, strict=False)
    ]
    return [f"{rule}; after {spec.stop.steps:,} steps in any case.", *ends]


def extent(removed: Removed) -> str:
    """How much was to go and to stay, and what it took; numbers only."""
    data, summary = removed.summary.get("data", {}), removed.summary
    told = []
    if "forget" in data:
        told.append(f"{count(int(data['forget']), 'text')} were to go")
        told.append(f"{sum(int(blocks) for blocks in data.get('stays', {}).values()):,} to stay")
    golds = len(seeds_of(removed, GOLD))
    told.append(f"{count(golds, 'model')} retrained without them" if golds else "no model retrained without them")
    if summary.get("seconds") is not None:
        told.append(f"took {duration(summary['seconds'])}")
    return " · ".join(told)


# --- before, after, gold ----------------------------------------------------------------------------------------------


def table(removed: Removed, *, headlines: bool) -> pd.DataFrame:
    """Before, after and gold in words, one row a measure; the headlines, or all others."""
    gold, several = has_gold(removed), len(seeds_of(removed, removed.summary["method"])) > 1
    rows = [row for row in removed.summary["table"] if _is_headline(row) == headlines]
    rows.sort(key=lambda row: HEADLINES.index(row["measure"]) if headlines else 0)
    return pd.DataFrame([_table_row(row, gold=gold, several=several) for row in rows], columns=list(_TABLE))


_TABLE = ("measure", "before", "after", "range", "gold", "floor", "goal", "unit")


def _is_headline(row: dict[str, Any]) -> bool:
    if row["measure"] == "loss":
        return row["on"] in (FORGET, STAYS)
    return row["measure"] in HEADLINES


def _table_row(row: dict[str, Any], *, gold: bool, several: bool) -> dict[str, str]:
    known = MEASURES.get(row["measure"])
    unit = known.unit if known else str(row.get("unit", ""))
    low, high = row.get("low"), row.get("high")
    spread = NONE if low is None else f"{figure(low, unit)} to {figure(high, unit)}" if several else "one seed"
    return {
        "measure": f"{known.title if known else row['measure']}, {row['on']}",
        "before": figure(row["before"], unit),
        "after": figure(row["after"], unit),
        "range": spread,
        "gold": figure(row.get("gold"), unit) if gold else NO_GOLD,
        "floor": figure(row.get("floor"), unit) if gold else NO_GOLD,
        "goal": (GOALS[known.goal] if gold or known.goal != "gold" else "unknown") if known else NONE,
        "unit": unit,
    }


def measures_of(removed: Removed) -> list[str]:
    """The measures that are in the table, in their order."""
    there = {row["measure"] for row in removed.summary["table"]}
    return [name for name in MEASURES if name in there]


def value_of(removed: Removed, measure: str, on: str, subject: str = "after") -> float:
    """A number of the table; not a number where it is not there."""
    for row in removed.summary["table"]:
        if (row["measure"], row["on"]) == (measure, on) and row.get(subject) is not None:
            return float(row[subject])
    return math.nan


# --- the course -------------------------------------------------------------------------------------------------------


def courses(removed: Removed) -> list[tuple[str, int]]:
    """Methods and seeds that were looked at on the way, the method of the request first."""
    steps = removed.curves.groupby(["method", "seed"], sort=False)["step"].nunique()
    return [(str(method), int(seed)) for (method, seed), looks in steps.items() if looks > 1]


def line_titles(prompts: PromptSet | None) -> dict[str, str]:
    """What the lines of a course are called; no word of a user that could hold markup."""
    found = {"forget": FORGET, "stays": STAYS}
    if prompts is not None and prompts.harmful is None:
        found["harmful"] = plain(prompts.name) or "the prompts"
    elif prompts is not None:
        found["harmful"], found["harmless"] = labels(prompts)
    return found


def course(removed: Removed, method: str, seed: int, prompts: PromptSet | None) -> pd.DataFrame:
    """One unlearning on its way: columns line, title, step, loss and gold (nats per token), one row a look."""
    told = line_titles(prompts)
    own = removed.curves[(removed.curves["method"] == method) & (removed.curves["seed"] == seed)]
    parts = []
    for line, title in told.items():
        rows = _of_line(removed, own, line, prompts)
        if rows.empty:
            continue
        mean = rows.groupby("step")["loss"].mean().reset_index()
        parts.append(mean.assign(line=line, title=title, gold=_gold_level(removed, line, prompts)))
    columns = ["line", "title", "step", "loss", "gold"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _of_line(removed: Removed, rows: pd.DataFrame, line: str, prompts: PromptSet | None) -> pd.DataFrame:
    """The rows of a line. Where no subset is named, all prompts that are not to go stand for what stays."""
    if line == "forget":
        return rows[rows["kind"] == "forget"]
    if line == "stays":
        subsets, target = rows[rows["kind"] == "subset"], removed.spec.target
        gone = (rows["name"] == target.prompts) & (rows["side"] == target.side)
        return subsets if len(subsets) else rows[(rows["kind"] == "prompts") & ~gone]
    name = None if prompts is None else prompts.name
    return rows[(rows["kind"] == "prompts") & (rows["name"] == name) & (rows["side"] == line)]


def _gold_level(removed: Removed, line: str, prompts: PromptSet | None) -> float:
    """The mean over the sets of a line, as the line itself is."""
    first = removed.collateral[removed.collateral["method"] == removed.collateral["method"].iloc[0]]
    rows = _of_line(removed, first, line, prompts)
    return float((rows["before"] + rows["gold"]).mean()) if len(rows) else math.nan


def stopped_at(removed: Removed, method: str, seed: int) -> int | None:
    """The step whose weights were kept, where it is known."""
    row = next((row for row in removed.summary["methods"] if row["method"] == method), None)
    seeds = seeds_of(removed, method)
    steps = (row or {}).get("steps") or []
    if seed not in seeds or len(steps) != len(seeds) or steps[seeds.index(seed)] is None:
        return None
    return int(steps[seeds.index(seed)])


def course_in_words(rows: pd.DataFrame, stop: int | None) -> str:
    """When it was forgotten, and what that cost; labels of prompt sets only where they are plain."""
    last = int(rows["step"].max()) if stop is None else stop
    told = []
    for line in LINES:
        own = rows[rows["line"] == line].set_index("step")
        if own.empty or last not in own.index:
            continue
        first, now, gold = own["loss"].iloc[0], own["loss"].loc[last], own["gold"].iloc[0]
        beside = "" if pd.isna(gold) else f" (the gold {gold:.2f})"
        ended = "no number" if pd.isna(now) else f"{now:.2f}"
        told.append(f"{own['title'].iloc[0]} from {first:.2f} to {ended}{beside}")
    reached = ""
    own = rows[rows["line"] == "forget"]
    if len(own) and not pd.isna(own["gold"].iloc[0]):
        there = own[own["loss"] >= own["gold"]]
        reached = (
            f" It was first as unlikely as to the gold at step {int(there['step'].iloc[0])}."
            if len(there)
            else " It never became as unlikely as to the gold."
        )
    return f"By step {last}, in {UNIT}: {'; '.join(told)}.{reached}"


# --- quality against utility ------------------------------------------------------------------------------------------


def tradeoff(removed: Removed) -> pd.DataFrame:
    """Every look of every unlearning: method, seed, step, stays (nats per token), genex (bits), forget."""
    rows, keys = removed.curves, ["method", "seed", "step"]
    kept = _of_line(removed, rows, "stays", None)
    stays = kept.groupby(keys, sort=False)["loss"].mean().rename("stays")
    forget = rows[rows["kind"] == "forget"].set_index(keys)[["loss", "genex"]].rename(columns={"loss": "forget"})
    return forget.join(stays, how="inner").reset_index().sort_values("step", kind="stable")


def gold_point(removed: Removed) -> tuple[float, float] | None:
    """Where the gold stands beside :func:`tradeoff`: loss of what stays, exposure; ``None`` without one."""
    if not has_gold(removed):
        return None
    genex = value_of(removed, "genex", FORGET, GOLD)
    return _gold_level(removed, "stays", None), 0.0 if math.isnan(genex) else genex


def tradeoff_in_words(removed: Removed) -> str:
    """How much the request's method forgot and what it kept, beside the gold; a label is a user's word."""
    rows = [row for row in removed.summary["methods"] if row["method"] == removed.summary["method"]]
    own: dict[str, Any] = rows[0] if rows else {}
    before, gold = value_of(removed, "genex", FORGET, BEFORE), gold_point(removed)
    stays = value_of(removed, "loss", STAYS, BEFORE)
    kept = f"what stays went from {figure(stays, UNIT)} to {figure(own.get('stays'), UNIT)} {UNIT}"
    name = titles(removed.spec).get(removed.summary["method"], removed.summary["method"])
    if gold is None:
        was = value_of(removed, "loss", FORGET, BEFORE)
        return f"{name}: what is to go went from {figure(was, UNIT)} to {figure(own.get('forget'), UNIT)}; {kept}."
    level = value_of(removed, "loss", STAYS, GOLD)
    return (
        f"{name}: exposure went from {figure(before)} to {figure(own.get('genex'))} bits a text (the gold "
        f"{figure(gold[1])}); {kept} (the gold {figure(level, UNIT)})."
    )


def board(removed: Removed) -> pd.DataFrame:
    """The methods in words, one row each."""
    names, gold = titles(removed.spec), value_of(removed, "relearning", FORGET, GOLD)
    usual = "" if math.isnan(gold) else f" (gold {gold:.0f})"
    rows = []
    for row in removed.summary["methods"]:
        steps = sorted({int(step) for step in row.get("steps") or [] if step is not None})
        back = row.get("relearning")
        rows.append(
            {
                "method": names.get(row["method"], str(row["method"])),
                "closeness": _share(row.get("closeness")),
                "utility": _share(row.get("utility")),
                "forget": figure(row.get("forget"), UNIT),
                "stays": figure(row.get("stays"), UNIT),
                "genex": figure(row.get("genex")),
                "relearning": NONE if back is None else f"{back:.0f}{usual}",
                "steps": " to ".join(f"{step:,}" for step in dict.fromkeys((steps[0], steps[-1]))) if steps else NONE,
                "seconds": duration(row.get("seconds")),
                "state": "collapsed" if row["collapsed"] else "destroyed" if row.get("destroyed") else "whole",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _share(value: float | None) -> str:
    return "cannot tell" if value is None else f"{value:.2f}"


def hard_in_words(rows: pd.DataFrame) -> str:
    """Which texts were hard to forget: how many stayed, and the median exposure by memorisation."""
    rows = rows.dropna(subset=["genex"])
    if rows.empty:
        return "No text has an exposure: the losses of the model are no numbers."
    left = int((rows["genex"] > 0).sum())
    parts = [
        f"{words} memorised {figure(float(own['genex'].median()))}"
        for code, words in STRATA.items()
        if len(own := rows[rows["memorised"] == code])
    ]
    unusual = int(rows["unusual"].sum())
    text = f"{left} of {count(len(rows), 'text')} are still likelier than to the gold, the others unlikelier."
    text += f" Median exposure in bits: {', '.join(parts)}." if parts else ""
    return text + (f" {unusual} unlike unseen text of their source." if unusual else "")
