"""The result of an unlearning: what it did, what it cost, and what its numbers do not prove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.shell import is_dark, lines
from pages.components.unlearn import sections as cards
from untrac_core.engine import Run
from untrac_core.explore.tables import METRICS, collateral_in_words, collateral_rows
from untrac_core.explore.tables import unlearn_frames as frames
from untrac_core.explore.tables import unlearn_reading as reading
from untrac_core.figures import unlearn as unlearn_figures
from untrac_core.figures.collateral import FEW, collateral_heatmap
from untrac_core.results.folders import UnlearnFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import CONTROL
from untrac_core.text.labels import titles
from untrac_core.text.numbers import UNIT

TEXT = st.column_config.TextColumn


def show(run: Run, result: UnlearnFiles, home: Path) -> None:
    """Everything about one finished unlearning, below the page's title. ``home``: the data home of the library."""
    answer(result)
    before_after(result)
    left, right = st.columns(2, gap="large")
    with left:
        history(result)
    with right:
        tradeoff(result)
    leaderboard(result)
    what_else(result)
    cards.generations(result)
    cards.single_texts(result)
    cards.ensemble_audit(result)
    cards.record(run, result, home)


def answer(result: UnlearnFiles) -> None:
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
    lines(warnings, heading="Warnings", icon=":material/warning:")
    notes = summary.get("notes", [])
    if notes:
        with st.expander("Data notes"):
            for text in notes:
                st.text(text)


def before_after(result: UnlearnFiles) -> None:
    """The headline measures before, after and for the retrained model; the others on demand."""
    st.subheader("Metrics", anchor=False)
    _measures(frames.table(result, headlines=True), result, key="headlines")
    st.caption(reading.SEED_NOISE if frames.has_retrained(result) else reading.NO_REFERENCE)
    others = frames.table(result, headlines=False)
    if len(others):
        with st.expander(f"{len(others)} more measures"):
            _measures(others, result, key="metrics")
    with st.expander("What these measures are"):
        for name in frames.measures_of(result):
            told = METRICS[name]
            st.markdown(f":small[**{told.title}** ({told.unit}): {told.about}]")


def _measures(table: pd.DataFrame, result: UnlearnFiles, *, key: str) -> None:
    seeds = len(frames.seeds_of(result, result.summary["method"]))
    config: dict[str, Any] = {
        "metric": TEXT("Metric, on", width=245),
        "before": TEXT("Before", width=65, alignment="right", help="the original model"),
        "after": TEXT("After", width=65, alignment="right", help="the unlearned model, mean over seeds"),
        "range": TEXT("Over seeds", width=105, alignment="right", help=f"least and greatest of {seeds} unlearnings"),
        "retrained": TEXT(
            "Retrained", width=65, alignment="right", help="models that never saw the texts, mean over seeds"
        ),
        "seed_noise": TEXT("Seed noise", width=80, alignment="right", help="how far two retrained models are apart"),
        "goal": TEXT("Target", width=80, help="what would be good"),
        "unit": TEXT("Unit", width=100),
    }
    st.dataframe(
        table, hide_index=True, column_config=config, height="content", key=key,
        alt="Metrics of the model before, after the unlearning, and of models that never saw the texts",
    )  # fmt: skip


def history(result: UnlearnFiles) -> None:
    """The losses of one unlearning on its way."""
    st.subheader("Training curves", anchor=False)
    ways = frames.histories(result)
    if not ways:
        st.caption(reading.NO_CURVES)
        return
    names, sets = titles(result.spec), {prompts.name: prompts for prompts in result.spec.prompts}
    left, right = st.columns(2)
    told = {f"{names.get(method, method)}, seed {seed}": (method, seed) for method, seed in ways}
    way = left.selectbox("Unlearning", list(told), key="uway", bind="query-params")
    method, seed = told.get(str(way), ways[0])
    prompts = None
    if sets:
        name = right.selectbox("Prompt set", list(sets), key="uset", bind="query-params")
        prompts = sets.get(str(name), next(iter(sets.values())))
    rows, stop = frames.history(result, method, seed, prompts), frames.stopped_at(result, method, seed)
    st.plotly_chart(
        unlearn_figures.course_lines(rows, stop=stop, dark=is_dark()),
        config=chart_config(f"history-{method}-{seed}"),
        key="history",
        alt="Losses of the forget set, of the retain set and of a prompt set over the steps of the unlearning",
    )
    st.markdown(f":small[{_key(prompts, retrained=bool(rows['retrained'].notna().any()))}]")
    st.text(frames.course_in_words(rows, stop))
    if method in _without_course(result):
        st.caption("This method trains anew: the line joins its begin and its end.")


def _without_course(result: UnlearnFiles) -> set[str]:
    return {method.title for method in result.spec.methods if method.name in ("retrain", "sisa")}


def _key(prompts: PromptSet | None, *, retrained: bool) -> str:
    """The key to the lines, as markdown in the theme's own colours; only words that are plain."""
    told = frames.line_titles(prompts)
    marks = ["■ the forget set", ":green[■] the retain set, mean over its sets"]
    marks += [
        f"{tint}[■] {told[line]}" for line, tint in (("harmful", ":orange"), ("harmless", ":blue")) if line in told
    ]
    return " · ".join(
        [*marks, "dashed: the step that was kept", *(["dotted: the retrained model"] if retrained else [])]
    )


def tradeoff(result: UnlearnFiles) -> None:
    """What was forgotten for which cost, one line an unlearning."""
    st.subheader("Forget-retain trade-off", anchor=False)
    eval_points, retrained = frames.tradeoff(result), frames.retrained_point(result)
    if eval_points.empty:
        st.caption(reading.NO_TRADEOFF)
        return
    names = titles(result.spec)
    st.plotly_chart(
        unlearn_figures.tradeoff_lines(eval_points, titles=names, retrained=retrained, dark=is_dark()),
        config=chart_config("tradeoff"),
        key="tradeoff",
        alt="Lines of unlearnings: the loss of the retain set across, the exposure of the forget set upwards",
    )
    marks = "○ before · ◆ where it ended · small dots: looks on the way · thin: further seeds"
    st.markdown(f":small[{marks}{' · ★ the retrained model' if retrained else ''}]")
    st.text(frames.tradeoff_in_words(result))
    st.caption(reading.tradeoff(retrained=retrained is not None))
    out = eval_points[eval_points["retain"] > unlearn_figures.BEYOND * eval_points["retain"].iloc[0]]["method"].unique()
    if len(out):
        st.text(f"Leaves the figure at the right: {', '.join(names.get(name, name) for name in out)}.")


def leaderboard(result: UnlearnFiles) -> None:
    """The methods as a table: two headline numbers that are not multiplied, and what they took."""
    st.subheader("Methods", anchor=False)
    table = frames.leaderboard(result)
    retrained = frames.has_retrained(result)
    config: dict[str, Any] = {
        "method": TEXT("Method", width=150),
        "forget_quality": TEXT(
            "Forget quality",
            width=80,
            alignment="right",
            help="1: on the texts its next-token probabilities are the retrained model's; 0: as far from them as the "
            "original's. The retrained model is that of the first seed",
        ),
        "utility": TEXT(
            "Utility",
            width=70,
            alignment="right",
            help=f"loss of the retain set, the {'retrained' if retrained else 'original'}'s over its own: 1 is as good",
        ),
        "forget": TEXT("Forget loss", width=80, alignment="right", help=f"loss of the forget set, {UNIT}"),
        "retain": TEXT("Retain loss", width=80, alignment="right", help=f"loss of the retain set, {UNIT}"),
        "genex": TEXT(
            "Exposure", width=75, alignment="right", help="generalised, bits per text; 0 is the retrained model's"
        ),
        "relearning": TEXT(
            "Relearning steps", width=110, alignment="right", help="steps of training that bring the texts back"
        ),
        "steps": TEXT("Steps", width=75, alignment="right", help="of the unlearning, least and greatest over seeds"),
        "seconds": TEXT("Time", width=70, alignment="right", help="of one unlearning and its measuring"),
        "state": TEXT("The model", width=85, help="destroyed: the retain set is at more than 1.5 times its loss"),
    }
    st.dataframe(
        table,
        hide_index=True,
        column_config=config,
        height="content",
        key="methods",
        alt="The methods with forget quality, utility, losses, steps to relearn, steps and time",
    )
    st.caption(reading.methods(table, retrained=retrained))


def what_else(result: UnlearnFiles) -> None:
    """The change of every set of texts, by method and for the retrained model."""
    st.subheader("Collateral changes", anchor=False)
    rows = collateral_rows(result)
    st.text(collateral_in_words(rows, result.summary["method"]))
    st.plotly_chart(
        collateral_heatmap(rows[rows["by"].isin(_columns(rows, result))], dark=is_dark()),
        config=chart_config("collateral"),
        key="collateral",
        alt="Heatmap: the change of the loss of every set of texts, by method and for the retrained model",
    )
    st.markdown(
        ":small[:green[■] less likely than before · :yellow[■] more likely · :gray[■] zero is inside the interval · "
        f"{UNIT}]"
    )
    st.caption(reading.COLLATERAL)
    with st.expander("The numbers with their intervals"):
        _changes(rows)


def _columns(rows: pd.DataFrame, result: UnlearnFiles) -> list[str]:
    """The columns of the heatmap: all where they are few, else those that are chosen."""
    every = list(dict.fromkeys(rows["by"].astype(str)))
    if len(every) <= FEW:
        return every
    names = titles(result.spec)
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
        "low": number("95% CI low", format="%+.2g", help="lower end of the 95 % interval over texts and seeds"),
        "high": number("95% CI high", format="%+.2g", help="upper end of the 95 % interval over texts and seeds"),
        "retrained": number(
            "The retrained model's", format="%+.2g", help="change in models that never saw the forget set"
        ),
    }
    shown = [name for name in config if name != "retrained" or rows["retrained"].notna().any()]
    table = rows[shown].reset_index(drop=True)
    st.dataframe(
        table, hide_index=True, column_config=config, key="changes", height="content" if len(rows) <= 12 else 420,
        alt="The change of every set of texts with its interval, by method",
    )  # fmt: skip
