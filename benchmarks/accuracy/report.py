"""Tables and the figure of README.md, from the results that lie beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmarks.accuracy.sizes import retraining_of, size_table
from untrac_core.results.folders import ESTIMATES, GROUND_TRUTH, read_frame
from untrac_core.stats.intervals import pearson

BEGIN, END = "<!-- results: made by report.py -->", "<!-- end of results -->"
TITLES = {
    "opt": "OPT, ten equal corpora",
    "gpt2": "GPT-2, ten equal corpora",
    "llama": "Llama, ten equal corpora",
    "mix": "OPT, eight unequal corpora",
    "neox": "GPT-NeoX, ten equal corpora, two passes",
    "qwen": "Qwen3, eight unequal corpora, two passes",
    "halves": "OPT, twenty subsets that overlap",
    "finetune": "Llama, fine-tuned on six subsets",
    "development": "Development: Llama, eleven unequal pieces",
}
FIRST = "first_sides.json"
"""Agreement over the nine sides that the first study, of OPT, asked about."""
OURS = ("untrac-inv (robust)", "untrac (robust)")
FIGURE = "![Mean r of every method with its interval, by testbed; dotted: what chance alone stays below](agreement.png)"
SIDE_BY_SIDE = (*OURS, "shampoo-dot", "bm25")
"""Methods whose r is told side by side."""
GROUPS = ("resolvable", "all", "resolvable contrasts")
UNEQUAL = 1.5
"""From so many times the mean size on, the largest subset is looked at on its own."""
ACCENT, GREY = "#0072B2", "#8A8A8A"
Summary = Mapping[str, Any]


def write_report(here: Path) -> None:
    """Put the results of ``here/results`` into ``here/README.md``, and their figure beside it."""
    found = {
        name: json.loads((here / "results" / name / "summary.json").read_text(encoding="utf-8"))
        for name in TITLES
        if (here / "results" / name / "summary.json").is_file()
    }
    if not found:
        return
    made = json.loads((here / "results" / next(iter(found)) / "environment.json").read_text(encoding="utf-8"))
    parts = [_versions(made), FIGURE, *(_section(here, name, summary) for name, summary in found.items())]
    readme = here / "README.md"
    text = readme.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    readme.write_text("\n\n".join([head + BEGIN, *parts, END]) + tail, encoding="utf-8")
    _draw(found, here / "agreement.png")


def _versions(made: Summary) -> str:
    packages = made["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "numpy"))
    return (
        f"Made with Python {made['python']}, {versions}, on {made['platform']}, one thread per testbed; times with two "
        "testbeds at once on two cores that had other work too."
    )


def _section(here: Path, name: str, summary: Summary) -> str:
    folder = here / "results" / name
    parts = [
        f"### {TITLES[name]}",
        summary["verdict"],
        _noise(folder, summary),
        _board(summary),
        size_table(folder, summary, OURS),
        _differences(summary, summary),
    ]
    if (folder / FIRST).is_file():
        first = json.loads((folder / FIRST).read_text(encoding="utf-8"))
        parts += [_first(first), _differences(first, summary)]
    blocks = {subset: facts["trained_blocks"] for subset, facts in summary["data"]["subsets"].items()}
    largest = max(blocks, key=lambda subset: blocks[subset])
    if blocks[largest] > UNEQUAL * sum(blocks.values()) / len(blocks):
        share = f"{largest}, {blocks[largest] / sum(blocks.values()):.0%} of the training"
        parts.append(_without(folder, largest, share))
    return "\n\n".join(parts)


def _without(folder: Path, largest: str, share: str) -> str:
    """Each side's r over all subsets and over those but the largest one."""
    by = ["prompt_set", "side", "subset"]
    truth = read_frame(folder / GROUND_TRUTH).groupby(by)["influence"].mean()
    estimates = read_frame(folder / ESTIMATES)
    found = {name: part.set_index(by)["influence"].sort_index() for name, part in estimates.groupby("method")}
    rows = [
        f"| prompt set | side | {' | '.join(f'r, {name} | the same without {share}' for name in OURS)} |",
        "| --- " * (2 + 2 * len(OURS)) + "|",
    ]
    for place in truth.index.droplevel("subset").unique():
        known = truth.loc[place]
        others = known.index != largest
        numbers = []
        for name in OURS:
            told = found[name].loc[place].reindex(known.index)
            numbers += [_number(pearson(told, known)), _number(pearson(told[others], known[others]))]
        rows.append(f"| {' | '.join([*place, *numbers])} |")
    return "\n".join(rows)


def _noise(folder: Path, summary: Summary) -> str:
    """Each side's items, how far seeds of the truth agree, the ceiling that they put on any r, and what was reached."""
    single, sides = retraining_of(folder), summary["data"]["prompt_sets"]
    reached = {
        (row["prompt_set"], row["side"], row["method"]): row["value"]
        for row in summary["leaderboard"]
        if row["prompt_set"] is not None and row["metric"] == "pearson"
    }
    heads = ["prompt set", "side", "items", "truth, seed to seed", "one retraining", "ceiling", ""]
    heads += [*(f"r, {name}" for name in SIDE_BY_SIDE)]
    rows = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row in summary["noise"]:
        place = row["prompt_set"], row["side"]
        word = "resolvable" if row["resolvable"] else "cannot separate"
        items = sum(known["items"] for side, known in sides[place[0]].items() if place[1] in (side, "contrast"))
        numbers = [str(items), _number(row["agreement"]), _number(single[place].value), _number(row["ceiling"]), word]
        numbers += [_number(reached.get((*place, name))) for name in SIDE_BY_SIDE]
        rows.append(f"| {' | '.join([*place, *numbers])} |")
    return "\n".join(rows)


def _board(summary: Summary) -> str:
    """Every method, best first: agreement over groups of sides, what it takes, and what went wrong."""
    values = {
        (row["method"], row["side"], row["metric"]): row for row in summary["leaderboard"] if row["prompt_set"] is None
    }

    def cell(method: str, group: str, metric: str = "pearson", *, ends: bool = True) -> str:
        row = values.get((method, group, metric))
        if row is None or row["value"] is None:
            return ""
        shown = _number(row["value"])
        return (
            f"{shown} ({_number(row['low'])} to {_number(row['high'])})" if ends and row["low"] is not None else shown
        )

    def order(row: Summary) -> float:
        found = values.get((row["method"], "resolvable", "pearson"))
        return -found["value"] if found and found["value"] is not None else 2.0

    rows = [
        "| method | r, resolvable sides | r, all sides | r, resolvable contrasts | top-1 | Spearman | Kendall | NDCG@3 "
        "| time | memory | |",
        "| --- " * 11 + "|",
    ]
    for row in sorted(summary["methods"], key=order):
        method = row["method"]
        ranked = (method, "all", "pearson") in values
        trouble = row["failed"] or ("collapsed" if row["collapsed"] and ranked else "")
        trouble = trouble or ("collapsed: no ranking" if row["collapsed"] else "")
        named = f"**{method}**" if method in OURS else method
        rest = " | ".join(cell(method, "resolvable", m, ends=False) for m in ("top1", "spearman", "kendall", "ndcg"))
        rows.append(
            f"| {named} | {' | '.join(cell(method, group) for group in GROUPS)} | {rest} | "
            f"{row['seconds']:.0f} s | {row['peak_memory_mb']:.0f} MB | {trouble} |"
        )
    return "\n".join(rows)


def _differences(found: Summary, summary: Summary) -> str:
    """By how much our two methods exceed each other one, over the resolvable sides that ``found`` is about."""
    costs = {row["method"]: row["seconds"] for row in summary["methods"]}
    rows = ["| difference in r, resolvable sides | value | 95% interval | |", "| --- | --- | --- | --- |"]
    for row in found["differences"]:
        if row["side"] != "resolvable" or row["first"] not in OURS or row["low"] is None:
            continue
        cost = f"{costs[row['first']]:.0f} s and {costs[row['second']]:.0f} s"
        word = f"a tie ({cost})" if row["tie"] else ""
        ends = f"{row['low']:+.2f} to {row['high']:+.2f}"
        rows.append(f"| {row['first']} - {row['second']} | {row['value']:+.2f} | {ends} | {word} |")
    return "\n".join(rows)


def _first(found: Summary) -> str:
    """Agreement over the nine sides of the first study: both of two probes, the harmful or only one of five."""
    clear, every = (len(found["sides"].get(group, [])) for group in ("resolvable", "all"))
    rows = {(row["method"], row["side"]): row for row in found["leaderboard"] if row["metric"] == "pearson"}
    lines = [
        f"| the first study's {every} sides | r, {clear} resolvable sides | r, all {every} sides |",
        "| --- | --- | --- |",
    ]
    names = dict.fromkeys(method for method, _ in rows)
    for name in sorted(names, key=lambda name: -(rows[name, "all"]["value"] or 0.0)):
        cells = []
        for group in ("resolvable", "all"):
            row = rows.get((name, group))
            known = row is not None and row["low"] is not None
            ends = f" ({_number(row['low'])} to {_number(row['high'])})" if known and row else ""
            cells.append(f"{_number(row['value'])}{ends}" if row else "")
        lines.append(f"| {f'**{name}**' if name in OURS else name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _draw(found: Mapping[str, Summary], path: Path) -> None:
    """Agreement of every method on every testbed, with intervals; drawn by Chromium, as plotly alone writes no PNG."""
    from playwright.sync_api import sync_playwright

    figure = make_subplots(
        1, len(found), shared_yaxes=True, subplot_titles=[TITLES[name] for name in found], horizontal_spacing=0.02
    )
    methods = [row["method"] for row in next(iter(found.values()))["methods"]]
    for column, summary in enumerate(found.values(), 1):
        rows = {
            row["method"]: row
            for row in summary["leaderboard"]
            if (row["prompt_set"], row["side"], row["metric"]) == (None, "resolvable", "pearson")
        }
        shown = [name for name in reversed(methods) if name in rows]
        figure.add_trace(
            go.Scatter(
                x=[rows[name]["value"] for name in shown],
                y=shown,
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [(rows[name]["high"] or rows[name]["value"]) - rows[name]["value"] for name in shown],
                    "arrayminus": [rows[name]["value"] - (rows[name]["low"] or rows[name]["value"]) for name in shown],
                    "thickness": 1.5,
                },
                mode="markers",
                marker={"size": 9, "color": [ACCENT if name in OURS else GREY for name in shown]},
            ),
            row=1,
            col=column,
        )
        figure.add_vline(summary["critical"]["pearson"], line_dash="dot", line_color=GREY, row=1, col=column)
    figure.update_xaxes(range=[-0.3, 1.02], title="mean Pearson r")
    figure.update_layout(
        template="plotly_white", showlegend=False, width=320 * len(found) + 160, height=520, font_size=13,
        margin={"l": 160, "r": 20, "t": 50, "b": 50},
    )  # fmt: skip
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": figure.layout.width, "height": figure.layout.height})
        page.set_content(figure.to_html(include_plotlyjs=True, config={"staticPlot": True}))
        page.wait_for_selector(".main-svg")
        page.screenshot(path=str(path))
        browser.close()
