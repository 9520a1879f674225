"""The result of an unlearning: what it did, what it cost, and what its numbers do not prove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components import unlearn_cards as cards
from pages.components.handing_over import chart_config
from pages.components.shell import is_dark, lines
from untrac_core import removal_figures
from untrac_core import removal_frames as frames
from untrac_core.collateral_figures import FEW, collateral_heatmap, collateral_in_words, collateral_rows
from untrac_core.engine import Run
from untrac_core.removal_measures import MEASURES
from untrac_core.results import Removed
from untrac_core.specs import PromptSet
from untrac_core.wording import UNIT

TEXT = st.column_config.TextColumn
NO_GOLD = (
    "There is no gold here: the request has no training recipe, so no model was trained that never saw the texts. What "
    "such a model would do is unknown. Relative exposure and membership are weaker stand-ins, on which a destroyed "
    "model looks perfect."
)
CONTROL = "retain-only"
FLOOR = (
    "The gold is the mean of models that were trained in the same way and never saw the texts. The seed floor is how "
    "far two of them are apart: a difference below it cannot be told from chance."
)


def show(run: Run, result: Removed, home: Path) -> None:
    """Everything about one finished unlearning, below the page's title. ``home``: the data home of the library."""
    answer(result)
    before_after(result)
    left, right = st.columns(2, gap="large")
    with left:
        course(result)
    with right:
        tradeoff(result)
    board(result)
    what_else(result)
    cards.written(result)
    cards.single_texts(result)
    cards.deep_check(result)
    cards.record(run, result, home)


def answer(result: Removed) -> None:
    """What it did in words, how it stopped, and what to know before the numbers are believed."""
    summary, spec = result.summary, result.spec
    with st.container(border=True, gap="xsmall", key="answer"):
        st.text(frames.in_words(spec, summary["verdict"]))
        own = next((row for row in summary["methods"] if row["method"] == summary["method"]), {})
        if own.get("collapsed"):
            st.markdown(":red-badge[:material/error: the model collapsed]")
        elif own.get("destroyed"):
            st.markdown(":orange-badge[:material/warning: the model is damaged]")
        for text in frames.stopping(result):
            st.text(text)
        st.caption(frames.extent(result))
    warnings = [frames.in_words(spec, text) for text in summary["warnings"]]
    lines(warnings, heading="Before you trust it", icon=":material/warning:")
    notes = summary.get("notes", [])
    if notes:
        with st.expander("Notes: what was counted and what was cut"):
            for text in notes:
                st.text(text)


def before_after(result: Removed) -> None:
    """The headline measures before, after and for the gold; the others on demand."""
    st.subheader("What changed, and is it what never having seen the texts would give?", anchor=False)
    _measures(frames.table(result, headlines=True), result, key="headlines")
    st.caption(FLOOR if frames.has_gold(result) else NO_GOLD)
    others = frames.table(result, headlines=False)
    if len(others):
        with st.expander(f"{len(others)} more measures"):
            _measures(others, result, key="measures")
    with st.expander("What these measures are"):
        for name in frames.measures_of(result):
            told = MEASURES[name]
            st.markdown(f":small[**{told.title}** ({told.unit}): {told.about}]")


def _measures(table: pd.DataFrame, result: Removed, *, key: str) -> None:
    seeds = len(frames.seeds_of(result, result.summary["method"]))
    config: dict[str, Any] = {
        "measure": TEXT("Measure, on", width=245),
        "before": TEXT("Before", width=65, alignment="right", help="the original model"),
        "after": TEXT("After", width=65, alignment="right", help="the unlearned model, mean over seeds"),
        "range": TEXT("Over seeds", width=105, alignment="right", help=f"least and greatest of {seeds} unlearnings"),
        "gold": TEXT("Gold", width=65, alignment="right", help="models that never saw the texts, mean over seeds"),
        "floor": TEXT("Seed floor", width=80, alignment="right", help="how far two models of the gold are apart"),
        "goal": TEXT("Should be", width=80, help="what would be good"),
        "unit": TEXT("Unit", width=100),
    }
    st.dataframe(
        table, hide_index=True, column_config=config, height="content", key=key,
        alt="Measures of the model before, after the unlearning, and of models that never saw the texts",
    )  # fmt: skip


def course(result: Removed) -> None:
    """The losses of one unlearning on its way."""
    st.subheader("When was it forgotten, and what did that cost?", anchor=False)
    ways = frames.courses(result)
    if not ways:
        st.caption("No method was looked at on its way: retrained models have no course of unlearning.")
        return
    names, sets = frames.titles(result.spec), {prompts.name: prompts for prompts in result.spec.prompts}
    left, right = st.columns(2)
    told = {f"{names.get(method, method)}, seed {seed}": (method, seed) for method, seed in ways}
    way = left.selectbox("Unlearning", list(told), key="uway", bind="query-params")
    method, seed = told.get(str(way), ways[0])
    prompts = None
    if sets:
        name = right.selectbox("Prompt set", list(sets), key="uset", bind="query-params")
        prompts = sets.get(str(name), next(iter(sets.values())))
    rows, stop = frames.course(result, method, seed, prompts), frames.stopped_at(result, method, seed)
    st.plotly_chart(
        removal_figures.course_lines(rows, stop=stop, dark=is_dark()),
        config=chart_config(f"course-{method}-{seed}"),
        key="course",
        alt="Losses of what is to go, of what stays and of a prompt set over the steps of the unlearning",
    )
    st.markdown(f":small[{_key(prompts, gold=bool(rows['gold'].notna().any()))}]")
    st.text(frames.course_in_words(rows, stop))
    if method in _without_course(result):
        st.caption("This method trains anew: the line joins its begin and its end.")


def _without_course(result: Removed) -> set[str]:
    return {method.title for method in result.spec.methods if method.name in ("retrain", "sisa")}


def _key(prompts: PromptSet | None, *, gold: bool) -> str:
    """The key to the lines, as markdown in the theme's own colours; only words that are plain."""
    told = frames.line_titles(prompts)
    marks = ["■ what is to go", ":green[■] what stays, mean over its sets"]
    marks += [
        f"{tint}[■] {told[line]}" for line, tint in (("harmful", ":orange"), ("harmless", ":blue")) if line in told
    ]
    return " · ".join([*marks, "dashed: the step that was kept", *(["dotted: the gold"] if gold else [])])


def tradeoff(result: Removed) -> None:
    """What was forgotten for which cost, one line an unlearning."""
    st.subheader("How much is forgotten, and how much is kept?", anchor=False)
    looks, gold = frames.tradeoff(result), frames.gold_point(result)
    if looks.empty:
        st.caption("Nothing was to stay, or no method was looked at on its way, so there is no line to draw.")
        return
    names = frames.titles(result.spec)
    st.plotly_chart(
        removal_figures.tradeoff_lines(looks, titles=names, gold=gold, dark=is_dark()),
        config=chart_config("tradeoff"),
        key="tradeoff",
        alt="Lines of unlearnings: the loss of what stays across, the exposure of what is to go upwards",
    )
    marks = "○ before · ◆ where it ended · small dots: looks on the way · thin: further seeds"
    st.markdown(f":small[{marks}{' · ★ the gold' if gold else ''}]")
    st.text(frames.tradeoff_in_words(result))
    if gold is None:
        st.caption("Better is higher at the same place across. Without a gold nothing says how high is enough.")
    else:
        st.caption(
            "Exposure: how much likelier the texts are than to the gold. Better is nearer to the gold: down to 0, but "
            "not below, and not to the right, where what stays is lost."
        )
    out = looks[looks["stays"] > removal_figures.BEYOND * looks["stays"].iloc[0]]["method"].unique()
    if len(out):
        st.text(f"Leaves the figure at the right: {', '.join(names.get(name, name) for name in out)}.")


def board(result: Removed) -> None:
    """The methods as a table: two headline numbers that are not multiplied, and what they took."""
    st.subheader("How do the methods compare?", anchor=False)
    table = frames.board(result)
    gold = frames.has_gold(result)
    config: dict[str, Any] = {
        "method": TEXT("Method", width=150),
        "closeness": TEXT(
            "Closeness", width=80, alignment="right",
            help="1: on the texts its next-token probabilities are the gold's; 0: as far from them as the original's",
        ),
        "utility": TEXT(
            "Utility", width=70, alignment="right",
            help=f"loss of what stays, the {'gold' if gold else 'original'}'s over its own: 1 is as good",
        ),
        "forget": TEXT("To go", width=60, alignment="right", help=f"loss of what is to go, {UNIT}"),
        "stays": TEXT("Stays", width=60, alignment="right", help=f"loss of what stays, {UNIT}"),
        "genex": TEXT("Exposure", width=75, alignment="right", help="generalised, bits a text; 0 is the gold's"),
        "relearning": TEXT(
            "To relearn", width=95, alignment="right", help="steps of training that bring the texts back"
        ),
        "steps": TEXT("Steps", width=75, alignment="right", help="of the unlearning, least and greatest over seeds"),
        "seconds": TEXT("Time", width=70, alignment="right", help="of one unlearning and its measuring"),
        "state": TEXT("The model", width=85, help="destroyed: what stays is at more than 1.5 times its loss"),
    }  # fmt: skip
    st.dataframe(
        table, hide_index=True, column_config=config, height="content", key="methods",
        alt="The methods with closeness, utility, losses, steps to relearn, steps and time",
    )  # fmt: skip
    vague = (
        " Closeness cannot be told where there is no gold, or two models of the gold differ by as much as the original."
    )
    st.caption(
        "Closeness and utility are two numbers and are not multiplied: a method can have one without the other."
        + (vague if (table["closeness"] == "cannot tell").any() else "")
        + (" Fewer steps to relearn than the gold: some of it was hidden, not gone." if gold else "")
    )


def what_else(result: Removed) -> None:
    """The change of every set of texts, by method and for the gold."""
    st.subheader("What else did it lose or gain?", anchor=False)
    rows = collateral_rows(result)
    st.text(collateral_in_words(rows, result.summary["method"]))
    st.plotly_chart(
        collateral_heatmap(rows[rows["by"].isin(_columns(rows, result))], dark=is_dark()),
        config=chart_config("collateral"),
        key="collateral",
        alt="Heatmap: the change of the loss of every set of texts, by method and for the gold",
    )
    st.markdown(
        ":small[:green[■] less likely than before · :yellow[■] more likely · :gray[■] zero is inside the interval · "
        f"{UNIT}]"
    )
    st.caption(
        "The first rows are what was to go and text like it; colours are scaled to the others. Where the gold moves "
        "too, the same change is no loss."
    )
    with st.expander("The numbers with their intervals"):
        _changes(rows)


def _columns(rows: pd.DataFrame, result: Removed) -> list[str]:
    """The columns of the heatmap: all where they are few, else those that are chosen."""
    every = list(dict.fromkeys(rows["by"].astype(str)))
    if len(every) <= FEW:
        return every
    names = frames.titles(result.spec)
    first = [result.summary["method"], *(method.title for method in result.spec.methods if method.name == CONTROL)]
    chosen = st.multiselect(
        "Methods", every, default=[*dict.fromkeys(names[title] for title in first), *every[len(names) :]], key="uheat",
        bind="query-params", placeholder="Choose methods",
    )  # fmt: skip
    return chosen or every[:1]


def _changes(rows: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {
        "place": TEXT("Texts", width=200),
        "by": TEXT("By", width=150),
        "before": number("Before", format="%.2f", help=UNIT),
        "after": number("After", format="%.2f", help=UNIT),
        "change": number("Change", format="%+.2g", help=f"{UNIT}; positive: less likely than before"),
        "low": number("From", format="%+.2g", help="lower end of the 95 % interval over texts and seeds"),
        "high": number("To", format="%+.2g", help="upper end of the 95 % interval over texts and seeds"),
        "gold": number("The gold's", format="%+.2g", help="change in models that never saw what was to go"),
    }
    shown = [name for name in config if name != "gold" or rows["gold"].notna().any()]
    st.dataframe(
        rows[shown], hide_index=True, column_config=config, key="changes", height="content" if len(rows) <= 12 else 420,
        alt="The change of every set of texts with its interval, by method",
    )  # fmt: skip
