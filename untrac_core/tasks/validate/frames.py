"""The frames that the methods of a validation are looked at by: agreement, size and sign, differences, in words too."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from untrac_core.specs.catalogue import method_title
from untrac_core.text.labels import SIDES
from untrac_core.text.numbers import decimals, duration, figure, megabytes

MEAN_OVER = {
    "resolvable": "the resolvable sides",
    "all": "all sides",
    "resolvable contrasts": "the resolvable contrasts",
}
METRICS = {
    "pearson": ("Pearson r", "1: the estimates are in the same proportion as the truth; 0: they say nothing about it."),
    "spearman": ("Spearman's rank correlation", "1: the same order as the truth; 0: no relation; −1: the reverse."),
    "kendall": ("Kendall's tau", "The share of pairs in the right order minus the share of those in the wrong one."),
    "ndcg": ("NDCG", "1: those that come first in truth come first in the estimate; errors far down count little."),
    "top1": ("First place right", "The share of sides on which the estimate puts the right subset first."),
}
RETRAINING = "One retraining"
"""What the row beside the methods is called that says how well a single seed agrees with the mean of the others."""
SLOPE = (
    "Slope: what an estimate is multiplied by to be in nats per token of retraining. 1: it is in them already; 30: "
    "multiply by 30. Where its interval holds zero, the estimates tell neither size nor sign."
)
ERROR = "Error: the root mean square of what is left after the slope, each subset under the slope of the others."
COVERAGE = (
    "Coverage: the share of 95 % intervals that hold the truth, calibrated in the same way; 95 % or more is right."
)
"""The columns of the table of sizes and signs, in words."""


def titles(summary: dict[str, Any]) -> dict[str, str]:
    """Each method's label to what people call it, in the order of the request; a user's own label stays as it is."""
    found = {}
    for row in summary["methods"]:
        usual = (row["name"], f"{row['name']} ({row.get('preset')})")
        found[row["method"]] = method_title(row["name"], row.get("preset")) if row["method"] in usual else row["method"]
    names = list(found.values())
    return {label: name if names.count(name) == 1 else label for label, name in found.items()}


def methods(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is known of each method, by its label."""
    return {row["method"]: row for row in summary["methods"]}


def sides_of(summary: dict[str, Any], prompt_set: str) -> list[str]:
    """The sides of a prompt set that retraining measured, contrast first."""
    present = {row["side"] for row in summary["ground_truth"] if row["prompt_set"] == prompt_set}
    return [side for side in SIDES if side in present]


def scopes(summary: dict[str, Any]) -> dict[str, str]:
    """What agreement can be asked over: means over sides, then single sides; may hold a user's words."""
    present = {(row["prompt_set"], row["side"]) for row in summary["leaderboard"] if row["value"] is not None}
    means = {side: f"mean over {text}" for side, text in MEAN_OVER.items() if (None, side) in present}
    single = [
        (row["prompt_set"], row["side"]) for row in summary["noise"] if (row["prompt_set"], row["side"]) in present
    ]
    return means | {f"{name}: {side}": f"{name}: {side}" for name, side in single}


def relations(summary: dict[str, Any]) -> dict[str, str]:
    """How each method stands to the best one in mean Pearson r: ``best``, ``tie`` or ``worse``; empty without one."""
    best = summary.get("best")
    if best is None:
        return {}
    scope = "resolvable" if any(row["side"] == "resolvable" for row in summary["differences"]) else "all"
    tied = {
        row["second"] if row["first"] == best else row["first"]
        for row in summary["differences"]
        if row["side"] == scope and row["tie"] and best in (row["first"], row["second"])
    }
    return {label: "best" if label == best else "tie" if label in tied else "worse" for label in titles(summary)}


def leaderboard(summary: dict[str, Any], metric: str, scope: str) -> pd.DataFrame:
    """Agreement of each method: method, title, value, low, high, sides, relation; the best first.

    ``scope``: ``resolvable`` or ``all`` for means over sides, else ``prompt set: side``. Where the truth has several
    seeds, one row more (method '', relation ``retraining``) says what one of them reaches; its ends are a range. A
    method that ranked collapsed models says so in its title.
    """
    names, stand = titles(summary), relations(summary)
    names |= {label: f"{names[label]} (collapsed)" for label, row in methods(summary).items() if row.get("collapsed")}
    rows = [
        row
        for row in summary["leaderboard"]
        if row["metric"] == metric and row["value"] is not None and scope_of(row) == scope and row["method"] in names
    ]
    frame = pd.DataFrame(rows, columns=["method", "value", "low", "high", "sides"])
    frame = frame.astype(dict.fromkeys(("value", "low", "high"), float)).assign(
        title=frame["method"].map(names), relation=[stand.get(label, "") for label in frame["method"]]
    )
    single = retraining(summary, scope).get(metric)
    if single is not None and len(frame):
        range_ = {"value": single["value"], "low": single["least"], "high": single["greatest"]}
        row = {"method": "", "sides": single["sides"], "title": RETRAINING, "relation": "retraining"}
        frame = pd.concat([frame, pd.DataFrame([row | range_])], ignore_index=True)
    return frame.sort_values("value", ascending=False).reset_index(drop=True)


def retraining(summary: dict[str, Any], scope: str) -> dict[str, dict[str, Any]]:
    """What one retraining reaches against the mean of the others, by measure; empty where that is not known."""
    rows = summary.get("retraining", [])
    return {row["metric"]: row for row in rows if scope_of(row) == scope and row["value"] is not None}


def retraining_in_words(summary: dict[str, Any], scope: str) -> str:
    """How well one retraining agrees with the others, as a sentence; empty where that is not known."""
    row = retraining(summary, scope).get("pearson")
    if row is None:
        return ""
    seeds = (
        f", from {decimals(row['least'])} to {decimals(row['greatest'])} by seed" if len(summary["seeds"]) > 2 else ""
    )
    return f"{RETRAINING} agrees with the mean of the others by r = {decimals(row['value'])}{seeds}."


def scope_of(row: dict[str, Any]) -> str:
    """What a row is over, as :func:`scopes` calls it: a group of sides, or a prompt set and its side."""
    return row["side"] if row["prompt_set"] is None else f"{row['prompt_set']}: {row['side']}"


def values(summary: dict[str, Any], scope: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The board's rows over ``scope``, by method and measure."""
    return {(row["method"], row["metric"]): row for row in summary["leaderboard"] if scope_of(row) == scope}


def leaderboard_table(summary: dict[str, Any], scope: str) -> pd.DataFrame:
    """One row per method: all measures over ``scope``, time, memory, and what went wrong; the best first.

    ``least``: the least Pearson r that leaving out one subset gives, and ``least_without`` that subset. The last row
    is that of one retraining, where the truth has several seeds.
    """
    found, names, rows = values(summary, scope), titles(summary), []
    sizes = _calibrated(summary, scope)
    for label, known in methods(summary).items():
        measured: dict[str, Any] = {name: found.get((label, name), {}).get("value") for name in METRICS}
        if measured["top1"] is not None:
            measured["top1"] = round(100 * measured["top1"])  # per cent
        ends = {end: found.get((label, "pearson"), {}).get(end) for end in ("low", "high")}
        told: dict[str, Any] = {"seconds": time_of(known), "memory": memory_of(known)}
        ends |= {"least": sizes.get(label, {}).get("least")}
        told |= {"least_without": sizes.get(label, {}).get("least_without", "")}
        trouble = "failed" if known.get("failed") else "collapsed" if known.get("collapsed") else ""
        rows.append({"method": names[label], **measured, **ends, **told, "trouble": trouble})
    frame = pd.DataFrame(rows).sort_values("pearson", ascending=False, na_position="last")
    if single := retraining(summary, scope):
        row = {name: single[name]["value"] for name in METRICS} | {"method": RETRAINING}
        row |= {"top1": round(100 * row["top1"]), "seconds": "–", "memory": "–", "least_without": "", "trouble": ""}
        frame = pd.concat([frame, pd.DataFrame([row])])
    return frame.astype(dict.fromkeys((*METRICS, "low", "high", "least"), float)).reset_index(drop=True)


def _calibrated(summary: dict[str, Any], scope: str) -> dict[str, dict[str, Any]]:
    """Size and sign of each method over ``scope``, by its label."""
    return {row["method"]: row for row in summary.get("calibration", []) if scope_of(row) == scope}


def calibration(summary: dict[str, Any], scope: str) -> pd.DataFrame:
    """Size and sign of each method: method, slope, low, high, signs, rmse, rmse_share, coverage; the best first.

    ``signs`` and ``coverage`` are shares, ``rmse`` is in nats per token. The last row is that of one retraining, where
    the truth has several seeds. Empty where a result has none of this.
    """
    found, names = _calibrated(summary, scope), titles(summary)
    columns = ["slope", "low", "high", "signs", "rmse", "rmse_share", "coverage"]
    order = [label for label in leaderboard(summary, "pearson", scope)["method"] if label in found]
    rows = [{"method": names[label], **{name: found[label][name] for name in columns}} for label in order]
    if rows and (single := retraining(summary, scope)):
        told = {name: single[name]["value"] for name in columns if name in single}
        rows.append({"method": RETRAINING, **told})
    return pd.DataFrame(rows, columns=["method", *columns]).astype(dict.fromkeys(columns, float))


def least_in_words(summary: dict[str, Any], scope: str) -> str:
    """How far the best method's r hangs on one subset, as a sentence; empty where that is not known."""
    best = summary.get("best") or ""
    row, r = _calibrated(summary, scope).get(best), values(summary, scope).get((best, "pearson"))
    if row is None or r is None or r["value"] is None or row["least"] is None:
        return ""
    return (
        f"{titles(summary)[best]}: without {row['least_without']!r}, the subset that its r of {decimals(r['value'])} "
        f"depends on most, it is {decimals(row['least'])}."
    )


def slope_in_words(row: Any) -> str:
    """A slope with its interval, as '30 (25 to 36)'."""
    ends = "" if pd.isna(row.low) else f" ({figure(row.low)} to {figure(row.high)})"
    return figure(row.slope) + ends


def size_in_words(summary: dict[str, Any], scope: str) -> str:
    """How the best method's estimates become nats of retraining, as sentences; empty where there is none."""
    best = summary.get("best") or ""
    row = _calibrated(summary, scope).get(best)
    if row is None or row["low"] is None:
        return ""
    single = retraining(summary, scope).get("signs")
    same = f"{row['signs']:.0%} of its estimates have the sign of retraining"
    same += f" (one retraining: {single['value']:.0%})" if single else ""
    if row["low"] <= 0:
        return f"{titles(summary)[best]}: {same}. Its slope may be zero: no factor makes nats of retraining of them."
    slope = f"{figure(row['slope'])} ({figure(row['low'])} to {figure(row['high'])})"
    return (
        f"{titles(summary)[best]}: {same}. Multiplied by {slope}, they estimate nats per token of retraining, with a "
        f"root mean square error of {figure(row['rmse'])}: {row['rmse_share']:.0%} of the truth's standard deviation."
    )


def time_of(method: dict[str, Any]) -> str:
    """How long a method took."""
    seconds = method.get("seconds")
    return "–" if seconds is None else "under 1 s" if seconds < 0.5 else duration(seconds)


def memory_of(method: dict[str, Any]) -> str:
    """The most memory that a method took."""
    return megabytes(method["peak_memory_mb"]) if method.get("peak_memory_mb") else "–"


def agreement_of(summary: dict[str, Any], label: str, prompt_set: str, side: str) -> str:
    """Pearson r of a method on one side, with its interval, and its rank correlation, in words."""
    found = values(summary, f"{prompt_set}: {side}")
    row, ranks = found.get((label, "pearson")), found.get((label, "spearman"))
    if row is None or row["value"] is None:
        return "no agreement can be computed"
    interval = "" if row["low"] is None else f" ({decimals(row['low'])} to {decimals(row['high'])})"
    spearman = f", Spearman {decimals(ranks['value'])}" if ranks else ""
    return f"r = {decimals(row['value'])}{interval}{spearman}"


def differences(summary: dict[str, Any], label: str, side: str) -> pd.DataFrame:
    """One method against each other one: other, value (its r minus the other's), low, high, verdict, cost.

    ``side``: ``resolvable`` or ``all``. Rows are turned so that ``label`` comes first; what beats it comes first.
    """
    names, known, rows = titles(summary), methods(summary), []
    for row in summary["differences"]:
        if row["side"] != side or label not in (row["first"], row["second"]) or row["value"] is None:
            continue
        turned = row["first"] != label
        other = row["first"] if turned else row["second"]
        value, low, high = (float(row[key]) if row[key] is not None else math.nan for key in ("value", "low", "high"))
        if turned:
            value, low, high = -value, -high, -low
        verdict = "a tie" if row["tie"] else "better" if value > 0 else "worse"
        cost = f"{time_of(known[label])} against {time_of(known[other])}"
        rows.append((names[other], value, low, high, verdict, cost))
    frame = pd.DataFrame(rows, columns=["other", "value", "low", "high", "verdict", "cost"])
    return frame.sort_values("value").reset_index(drop=True)


def in_words(summary: dict[str, Any], text: str) -> str:
    """A sentence of the summary with the methods called as in the figures; may hold a user's words."""
    names = {label: name for label, name in titles(summary).items() if label not in (name, "random")}
    if not names:
        return text
    known = "|".join(re.escape(label) for label in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{known})(?![\w-])", lambda found: names[found.group()], text)
