"""What the command line shows of a finished run: its result as tables on standard output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from untrac_core.cli.console import console, facts_line, print_lines, table
from untrac_core.text.labels import SIDES
from untrac_core.text.numbers import RELATIVE_UNIT, UNIT, decimals, duration, figure, percent

COLLAPSED = "the model collapsed: do not rely on it"
MEANING = {
    "contrast": "Positive: with this subset in its training, the model leans more towards the harmful side than "
    "towards the harmless one.",
    "harmful": "Positive: this subset makes the harmful texts more likely (a lower loss).",
    "harmless": "Positive: this subset makes the harmless texts more likely (a lower loss).",
}


def _ranking(summary: dict[str, Any], side: str | None) -> None:
    """Print each prompt set's ranking with its verdict: the contrast where there is one, or the side asked for."""
    out = console()
    rows = [row for row in summary["ranking"] if not row.get("group")]
    sides: dict[str, set[str]] = {}
    for place in (*rows, *summary.get("verdicts", [])):
        sides.setdefault(place["prompt_set"], set()).add(place["side"])
    shown = set()
    for name, known in sides.items():
        chosen = side or next(one for one in SIDES if one in known)
        if chosen not in known:
            out.print(Text(f"{name}: there is no side {chosen!r}; it has {', '.join(sorted(known))}"))
            continue
        shown.add(chosen)
        ranked = [row for row in rows if (row["prompt_set"], row["side"]) == (name, chosen)]
        if ranked:
            out.print(_ranked(f"{name}, {chosen}", summary["unit"], sorted(ranked, key=lambda row: int(row["rank"]))))
        for verdict in summary.get("verdicts", []):
            if (verdict["prompt_set"], verdict["side"]) == (name, chosen):
                out.print(Text(f"{name}, {chosen}: {verdict['text']}\n"))
    for one in SIDES:
        if one in shown:
            out.print(Text(f"{one}: {MEANING[one]}"))


def _ranked(title: str, unit: str, rows: Sequence[dict[str, Any]]) -> Table:
    """One ranking as a table; what no retraining has calibrated, in shares of the largest."""
    largest = 1.0
    if unit != UNIT and UNIT in unit:
        largest, unit = max(abs(row["influence"]) for row in rows) or 1.0, RELATIVE_UNIT
    cells = (
        (
            str(row["rank"]),
            row["subset"],
            f"{row['influence'] / largest:+.2g}",
            "" if row["low"] is None else f"{row['low'] / largest:+.2g} to {row['high'] / largest:+.2g}",
            COLLAPSED if row.get("collapsed") else "" if row["separable"] else "cannot be separated from a neighbour",
        )
        for row in rows
    )
    columns = [("", True), ("subset", False), (unit, True), ("95% interval", True), ("", False)]
    return table(title, columns, cells)


def leaderboard(summary: dict[str, Any]) -> None:
    """Print how well each method agrees with retraining, best first, and the sentence that decides."""
    methods = {row["method"]: row for row in summary["methods"]}
    measured = {
        (row["method"], row["side"], row["metric"]): row
        for row in summary["leaderboard"]
        if row["prompt_set"] is None and row["metric"] in ("pearson", "spearman")
    }

    def cell(method: str, group: str, metric: str = "pearson") -> str:
        row = measured.get((method, group, metric))
        if row is None or row["value"] is None:
            return ""
        ends = "" if row["low"] is None else f" ({row['low']:.2f} to {row['high']:.2f})"
        return f"{row['value']:.2f}{ends}"

    rows = [
        (
            name,
            cell(name, "resolvable"),
            cell(name, "resolvable", "spearman"),
            cell(name, "all"),
            duration(row["seconds"]),
            f"{row['peak_memory_mb']:,.0f} MB",
            row["failed"] or (COLLAPSED if row["collapsed"] else ""),
        )
        for name, row in methods.items()
    ]
    headings = ("method", "r, resolvable sides", "Spearman, the same", "r, all sides", "time", "memory", "")
    out = console()
    out.print(table("Agreement with retraining", [(heading, False) for heading in headings], rows))
    if summary.get("calibration"):
        out.print(_sizes(summary))
    _additions(summary)
    out.print(Text(summary["verdict"]))


def _sizes(summary: dict[str, Any]) -> Table:
    """What the estimates are in nats of retraining, over the resolvable sides, or over all where there are none."""
    over = [row for row in summary["calibration"] if row["prompt_set"] is None]
    group = "resolvable" if any(row["side"] == "resolvable" for row in over) else "all"
    rows = []
    for row in over:
        if row["side"] != group:
            continue
        ends = "" if row["low"] is None else f" ({figure(row['low'])} to {figure(row['high'])})"
        slope, least = f"{figure(row['slope'])}{ends}", f"{decimals(row['least'])} ({row['least_without']})"
        shares = [percent(row[name]) for name in ("signs", "rmse_share", "coverage")]
        rows.append((row["method"], least, slope, *shares))
    retraining = [row for row in summary["retraining"] if (row["prompt_set"], row["side"]) == (None, group)]
    single = {row["metric"]: row["value"] for row in retraining}
    if single.get("pearson") is not None:
        shares = [percent(single[name]) for name in ("signs", "rmse_share")]
        agreement = f"r {decimals(single['pearson'])}"
        rows.append(("one retraining", agreement, figure(single["slope"]), *shares, ""))
    headings = ("method", "least r without one subset", "slope", "same sign", "error, of truth's sd", "coverage")
    title = f"Size and sign, {group} sides (times the slope, an estimate is in nats per token of retraining)"
    return table(title, [(heading, False) for heading in headings], rows)


def _additions(summary: dict[str, Any]) -> None:
    """Print what was asked beside leave-one-out: halves, pairs, controls and choices."""
    out = console()
    if not {"halves", "document_halves", "pairs", "controls", "choices", "writing"} & set(summary):
        return
    # With pandas, which few commands need.
    from untrac_core.tasks.validate.additions import choice_frames, control_frames, half_frames, pair_frames

    if "halves" in summary:
        out.print(_scores(summary, "halves", half_frames.HEADING))
        out.print(Text(half_frames.trained_in_words(summary)))
    if "document_halves" in summary:
        out.print(_scores(summary, "document_halves", half_frames.OF_DOCUMENTS))
        out.print(Text(half_frames.documents_in_words(summary)))
    for place in pair_frames.places(summary):
        out.print(Text(f"{place}: {pair_frames.side_in_words(summary, place)}"))
    if "pairs" in summary and summary["pairs"]["scores"]:
        out.print(_scores(summary, "pairs", pair_frames.SCORE_HEADING))
    for text in control_frames.in_words(summary):
        out.print(Text(text))
    for name in choice_frames.prompt_sets(summary):
        out.print(Text(f"{name}: {choice_frames.in_words(summary, choice_frames.of_set(summary, name))}"))
    if "writing" in summary:
        out.print(Text(choice_frames.writing_in_words(summary)))


def _scores(summary: dict[str, Any], of: str, heading: str) -> Table:
    """How well each method's sums put models in order, over the resolvable sides, or over all where there are none."""
    from untrac_core.tasks.validate.additions import half_frames

    found = half_frames.scores(summary, "resolvable", of)
    group = "all" if found.empty else "resolvable"
    found = half_frames.scores(summary, group, of)
    rows = [(row.method, half_frames.score_in_words(row)) for row in found.itertuples()]
    over = f"{group} sides (95% interval)"
    return table(heading, [("method", False), (over, True)], rows)


def alone(summary: dict[str, Any]) -> None:
    """Print what the prompt set lost to chosen texts and to the controls, each unlearned alone; no text is shown."""
    rows = [
        (row["side"], *("" if row[name] is None else f"{row[name]:+.2g}" for name in ("chosen", "control")))
        for row in summary["sides"]
    ]
    headings = [("side", False), ("chosen texts", True), ("controls", True)]
    out = console()
    out.print(Text(f"{summary['prompt_set']}: mean influence of a text that is unlearned alone, in nats per token"))
    out.print(table("", headings, rows))
    for row in summary["sides"]:
        out.print(Text(f"{row['side']}: {row['text']}"))


def unlearning(summary: dict[str, Any]) -> None:
    """Print every measure before and after a removal and in the retrained models, and what can be said of it."""

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.3g}"

    rows = [
        (row["title"], row["on"], cell(row["before"]), cell(row["after"]), cell(row["retrained"]), row["unit"])
        for row in summary["table"]
    ]
    headings = [
        ("metric", False),
        ("of", False),
        ("before", True),
        ("after", True),
        ("retrained", True),
        ("unit", False),
    ]
    out = console()
    out.print(table(f"{summary['method']} on {summary['forget_set']}", headings, rows))
    out.print(Text(summary["verdict"]))


def completions(summary: dict[str, Any]) -> None:
    """Print what a model wrote in numbers; the texts stay in their file, as they may be harmful."""
    lines = [f"{summary['completions']:,} completions of {summary['prompts']:,} prompts, {summary['tokens']:,} tokens"]
    if summary["empty"]:
        lines.append(f"{summary['empty']:,} of them are empty")
    if summary["scorer"]:
        counted = ", ".join(f"{count:,} {label}" for label, count in sorted(summary["labels"].items()))
        lines.append(f"{summary['scorer']['name']}: {counted}")
        lines.append(f"{summary['toxic_prompts']:.1%} of the prompts have at least one toxic completion")
    console().print(Text("\n".join(lines)))


def fetched(summary: dict[str, Any]) -> None:
    """Print what a run has added to the library."""
    added = [(row["kind"], row["name"], row["id"], facts_line(row["facts"]), row["origin"]) for row in summary["added"]]
    headings = [(heading, False) for heading in ("", "name", "id", "", "from")]
    console().print(table("In the library now", headings, added))


OUTCOMES: dict[str, Callable[[dict[str, Any]], None]] = {
    "generate": completions,
    "fetch": fetched,
    "validate": leaderboard,
    "verify": alone,
    "unlearn": unlearning,
}
"""By the kind of run: how its summary is told; a trace's depends on the side that is asked for."""


def outcome(summary: dict[str, Any], side: str | None = None) -> None:
    """Print what a finished run found, wrote or added."""
    if summary["kind"] in OUTCOMES:
        OUTCOMES[summary["kind"]](summary)
    else:
        _ranking(summary, side)
    print_lines([f"note: {line}" for line in (*summary.get("warnings", []), *summary.get("notes", []))])
