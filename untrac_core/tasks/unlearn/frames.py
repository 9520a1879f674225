"""What is drawn and told of an unlearning, as frames and sentences; free of torch and of drawing."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from untrac_core.results.folders import UnlearnFiles
from untrac_core.specs import PromptSet, UnlearnSpec
from untrac_core.specs.catalogue import STOPS
from untrac_core.specs.unlearn import BEFORE, RETRAINED
from untrac_core.text.labels import STRATA, labels, plain, titles
from untrac_core.text.numbers import NO_RETRAINED, NONE, UNIT, count, duration, figure, signed
from untrac_core.unlearning.metrics.summary import FORGET, METRICS, RETAIN, place_title

CANARIES = {"canary": "canaries, planted", "candidate": "canaries, never trained on"}
HEADLINES = ("loss", "contrast", "toxic", "kl", "genex")
"""Measures that are told first; of the losses only those of the forget set and of the retain set."""
GOALS = {"retrained": "the retrained model's", "low": "low", "high": "high", "none": "no goal"}
LINES = ("forget", "retain", "harmful", "harmless")


def in_words(spec: UnlearnSpec, text: str) -> str:
    """A sentence of the summary with the methods called as in the figures, at its begin and after 'by'."""
    for title, words in sorted(titles(spec).items(), key=lambda pair: -len(pair[0])):
        if text.startswith(f"{title}: "):
            return words + text[len(title) :]
        text = text.replace(f" by {title} made the model collapse", f" by {words} made the model collapse")
    return text


def seeds_of(result: UnlearnFiles, subject: str) -> list[int]:
    """The seeds that a subject was measured with."""
    rows = result.metrics
    return sorted(int(seed) for seed in rows.loc[rows["subject"] == subject, "seed"].unique())


def has_retrained(result: UnlearnFiles) -> bool:
    """Whether there are models that never saw the forget set."""
    return bool((result.metrics["subject"] == RETRAINED).any())


BY_THE_ANSWER = (
    "This rule looks at the retrained models that the result is then compared with: their loss on the forget set is "
    "matched by choice. Where they are not to be had, neither is this stop; 'as unseen text' needs a holdout set alone."
)


def stopping(result: UnlearnFiles) -> list[str]:
    """How the unlearning stopped: the rule with its level, then every seed's end, and whether it knew the answer."""
    spec, stop = result.spec, result.summary.get("stop", {})
    title, words = STOPS[spec.stop.rule]
    rule = f"Stop rule: {title}, {words}"
    if stop.get("level") is not None:
        rule += f" (from {stop['level']:.2f} {UNIT} on)"
    if spec.stop.rule == "retain_budget":
        rule += f" ({spec.stop.max_retain_increase:.1%})"
    seeds = seeds_of(result, result.summary["method"])
    told = list(stop.get("ended") or [])
    numbered = len(seeds) == len(told) > 1
    ends = [
        f"Seed {seed}: {text}." if numbered else f"Stopped: {text}." for seed, text in zip(seeds, told, strict=False)
    ]
    ends += [BY_THE_ANSWER] if spec.stop.rule == "match_retrained" else []
    return [f"{rule}; after {spec.stop.steps:,} steps in any case.", *ends]


def extent(result: UnlearnFiles) -> str:
    """How much was to go and to stay, and what it took; numbers only."""
    data, summary = result.summary.get("data", {}), result.summary
    told = []
    if "forget" in data:
        near = int(data.get("neighbours", 0))
        joined = f", {near:,} of them neighbours" if near else ""
        told.append(f"{count(int(data['forget']), 'text')} were to go{joined}")
        told.append(f"{sum(int(blocks) for blocks in data.get('retain', {}).values()):,} to stay")
    retrained_models = len(seeds_of(result, RETRAINED))
    told.append(
        f"{count(retrained_models, 'model')} retrained without them"
        if retrained_models
        else "no model retrained without them"
    )
    if summary.get("seconds") is not None:
        told.append(f"took {duration(summary['seconds'])}")
    return " · ".join(told)


# --- before, after, retrained -----------------------------------------------------------------------------------------


def table(result: UnlearnFiles, *, headlines: bool) -> pd.DataFrame:
    """Before, after and retrained in words, one row a measure; the headlines, or all others."""
    retrained, several = has_retrained(result), len(seeds_of(result, result.summary["method"])) > 1
    rows = [row for row in result.summary["table"] if _is_headline(row) == headlines]
    rows.sort(key=lambda row: HEADLINES.index(row["metric"]) if headlines else 0)
    return pd.DataFrame([_table_row(row, retrained=retrained, several=several) for row in rows], columns=list(_TABLE))


_TABLE = ("metric", "before", "after", "range", "retrained", "seed_noise", "goal", "unit")


def _is_headline(row: dict[str, Any]) -> bool:
    if row["metric"] == "loss":
        return row["on"] in (FORGET, RETAIN)
    return row["metric"] in HEADLINES


def _table_row(row: dict[str, Any], *, retrained: bool, several: bool) -> dict[str, str]:
    known = METRICS.get(row["metric"])
    unit = known.unit if known else str(row.get("unit", ""))
    low, high = row.get("low"), row.get("high")
    spread = NONE if low is None else f"{figure(low, unit)} to {figure(high, unit)}" if several else "one seed"
    return {
        "metric": f"{known.title if known else row['metric']}, {row['on']}",
        "before": figure(row["before"], unit),
        "after": figure(row["after"], unit),
        "range": spread,
        "retrained": figure(row.get("retrained"), unit) if retrained else NO_RETRAINED,
        "seed_noise": figure(row.get("seed_noise"), unit) if retrained else NO_RETRAINED,
        "goal": (GOALS[known.goal] if retrained or known.goal != "retrained" else "unknown") if known else NONE,
        "unit": unit,
    }


def measures_of(result: UnlearnFiles) -> list[str]:
    """The measures that are in the table, in their order."""
    there = {row["metric"] for row in result.summary["table"]}
    return [name for name in METRICS if name in there]


def value_of(result: UnlearnFiles, metric: str, on: str, subject: str = "after") -> float:
    """A number of the table; not a number where it is not there."""
    for row in result.summary["table"]:
        if (row["metric"], row["on"]) == (metric, on) and row.get(subject) is not None:
            return float(row[subject])
    return math.nan


# --- the course -------------------------------------------------------------------------------------------------------


def histories(result: UnlearnFiles) -> list[tuple[str, int]]:
    """Methods and seeds that were looked at on the way, the method of the request first."""
    steps = result.curves.groupby(["method", "seed"], sort=False)["step"].nunique()
    return [(str(method), int(seed)) for (method, seed), eval_points in steps.items() if eval_points > 1]


def line_titles(prompts: PromptSet | None) -> dict[str, str]:
    """What the lines of a course are called; no word of a user that could hold markup."""
    found = {"forget": FORGET, "retain": RETAIN}
    if prompts is not None and prompts.harmful is None:
        found["harmful"] = plain(prompts.name) or "the prompts"
    elif prompts is not None:
        found["harmful"], found["harmless"] = labels(prompts)
    return found


def history(result: UnlearnFiles, method: str, seed: int, prompts: PromptSet | None) -> pd.DataFrame:
    """One unlearning on its way, a row per evaluation: line, title, step, loss and retrained (nats per token)."""
    told = line_titles(prompts)
    own = result.curves[(result.curves["method"] == method) & (result.curves["seed"] == seed)]
    parts = []
    for line, title in told.items():
        rows = _of_line(result, own, line, prompts)
        if rows.empty:
            continue
        mean = rows.groupby("step")["loss"].mean().reset_index()
        parts.append(mean.assign(line=line, title=title, retrained=_retrained_level(result, line, prompts)))
    columns = ["line", "title", "step", "loss", "retrained"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _of_line(result: UnlearnFiles, rows: pd.DataFrame, line: str, prompts: PromptSet | None) -> pd.DataFrame:
    """The rows of a line. Where no subset is named, all prompts that are not to go stand for the retain set."""
    if line == "forget":
        return rows[rows["kind"] == "forget"]
    if line == "retain":
        subsets, forget = rows[rows["kind"] == "subset"], result.spec.forget
        gone = (rows["name"] == forget.prompts) & (rows["side"] == forget.side)
        return subsets if len(subsets) else rows[(rows["kind"] == "prompts") & ~gone]
    name = None if prompts is None else prompts.name
    return rows[(rows["kind"] == "prompts") & (rows["name"] == name) & (rows["side"] == line)]


def _retrained_level(result: UnlearnFiles, line: str, prompts: PromptSet | None) -> float:
    """The mean over the sets of a line, as the line itself is."""
    first = result.collateral[result.collateral["method"] == result.collateral["method"].iloc[0]]
    rows = _of_line(result, first, line, prompts)
    return float((rows["before"] + rows["retrained"]).mean()) if len(rows) else math.nan


def stopped_at(result: UnlearnFiles, method: str, seed: int) -> int | None:
    """The step whose weights were kept, where it is known."""
    row = next((row for row in result.summary["methods"] if row["method"] == method), None)
    seeds = seeds_of(result, method)
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
        first, now, retrained = own["loss"].iloc[0], own["loss"].loc[last], own["retrained"].iloc[0]
        beside = "" if pd.isna(retrained) else f" (the retrained model {retrained:.2f})"
        ended = "no number" if pd.isna(now) else f"{now:.2f}"
        told.append(f"{own['title'].iloc[0]} from {first:.2f} to {ended}{beside}")
    reached = ""
    own = rows[rows["line"] == "forget"]
    if len(own) and not pd.isna(own["retrained"].iloc[0]):
        there = own[own["loss"] >= own["retrained"]]
        reached = (
            f" It was first as unlikely as to the retrained model at step {int(there['step'].iloc[0])}."
            if len(there)
            else " It never became as unlikely as to the retrained model."
        )
    return f"By step {last}, in {UNIT}: {'; '.join(told)}.{reached}"


# --- quality against utility ------------------------------------------------------------------------------------------


def tradeoff(result: UnlearnFiles) -> pd.DataFrame:
    """Every look of every unlearning: method, seed, step, stays (nats per token), genex (bits), forget."""
    rows, keys = result.curves, ["method", "seed", "step"]
    kept = _of_line(result, rows, "retain", None)
    retain = kept.groupby(keys, sort=False)["loss"].mean().rename("retain")
    forget = rows[rows["kind"] == "forget"].set_index(keys)[["loss", "genex"]].rename(columns={"loss": "forget"})
    return forget.join(retain, how="inner").reset_index().sort_values("step", kind="stable")


def retrained_point(result: UnlearnFiles) -> tuple[float, float] | None:
    """Where the retrained model stands in :func:`tradeoff`: retain loss and exposure; ``None`` without one."""
    if not has_retrained(result):
        return None
    genex = value_of(result, "genex", FORGET, RETRAINED)
    return _retrained_level(result, "retain", None), 0.0 if math.isnan(genex) else genex


def tradeoff_in_words(result: UnlearnFiles) -> str:
    """How much the request's method forgot and what it kept, beside the retrained model; a label is a user's word."""
    rows = [row for row in result.summary["methods"] if row["method"] == result.summary["method"]]
    own: dict[str, Any] = rows[0] if rows else {}
    before, retrained = value_of(result, "genex", FORGET, BEFORE), retrained_point(result)
    retain = value_of(result, "loss", RETAIN, BEFORE)
    kept = f"the retain set went from {figure(retain, UNIT)} to {figure(own.get('retain'), UNIT)} {UNIT}"
    name = titles(result.spec).get(result.summary["method"], result.summary["method"])
    if retrained is None:
        was = value_of(result, "loss", FORGET, BEFORE)
        return f"{name}: the forget set went from {figure(was, UNIT)} to {figure(own.get('forget'), UNIT)}; {kept}."
    level = value_of(result, "loss", RETAIN, RETRAINED)
    return (
        f"{name}: exposure went from {figure(before)} to {figure(own.get('genex'))} bits per text (the retrained model "
        f"{figure(retrained[1])}); {kept} (the retrained model {figure(level, UNIT)})."
    )


def leaderboard(result: UnlearnFiles) -> pd.DataFrame:
    """The methods in words, one row each."""
    names, retrained = titles(result.spec), value_of(result, "relearning", FORGET, RETRAINED)
    usual = "" if math.isnan(retrained) else f" (retrained {retrained:.0f})"
    rows = []
    for row in result.summary["methods"]:
        steps = sorted({int(step) for step in row.get("steps") or [] if step is not None})
        back = row.get("relearning")
        rows.append(
            {
                "method": names.get(row["method"], str(row["method"])),
                "forget_quality": _share(row.get("forget_quality")),
                "utility": _share(row.get("utility")),
                "forget": figure(row.get("forget"), UNIT),
                "retain": figure(row.get("retain"), UNIT),
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
    text = (
        f"{left} of {count(len(rows), 'text')} are still likelier than to the retrained model, the others unlikelier."
    )
    text += f" Median exposure in bits: {', '.join(parts)}." if parts else ""
    return text + (f" {unusual} unlike the holdout set." if unusual else "")


def collateral_rows(result: UnlearnFiles) -> pd.DataFrame:
    """What every set lost by method and retrained model: the file's columns, and ``place`` and ``by`` in words."""
    names = titles(result.spec) | {RETRAINED: "the retrained model"}
    rows = result.collateral
    keys = zip(rows["kind"], rows["name"], rows["side"], strict=True)
    place = [CANARIES.get(key[0]) or place_title((str(key[0]), str(key[1]), str(key[2]))) for key in keys]
    return rows.assign(place=place, by=[names.get(method, method) for method in rows["method"]])


def collateral_in_words(rows: pd.DataFrame, method: str) -> str:
    """What else the method moved most, and how many sets it made less and more likely; holds a user's words."""
    own = rows[(rows["method"] == method) & ~rows["kind"].isin(["forget", "holdout", *CANARIES])]
    clear = own[(own["low"] > 0) | (own["high"] < 0)]
    if clear.empty:
        return "Nothing else moved by more than its interval."
    most = clear.loc[clear["change"].abs().idxmax()]
    retrained = "" if pd.isna(most["retrained"]) else f"; the retrained model {signed(most['retrained'])}"
    way = "less" if most["change"] > 0 else "more"
    return (
        f"Beyond the forget set, {most['by']} moved most: {most['place']}, {way} likely ({signed(most['change'])} "
        f"{UNIT}, interval {signed(most['low'])} to {signed(most['high'])}{retrained}). Of {len(own)} sets, "
        f"{int((own['low'] > 0).sum())} became less likely and {int((own['high'] < 0).sum())} more likely."
    )
