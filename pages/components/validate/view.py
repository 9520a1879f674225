"""The parts of the validate page, each drawn by one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config, export_section
from pages.components.layout.shell import is_dark, lines
from untrac_core.engine import Run
from untrac_core.explore.tables import RESOLVABLE, truth_frames
from untrac_core.explore.tables import validate_frames as frames
from untrac_core.figures import validate as validation_figures
from untrac_core.results.export import pretty
from untrac_core.results.folders import ValidateFiles
from untrac_core.specs.catalogue import ATTRIBUTION, PRESETS, method_title
from untrac_core.specs.parts import INITS
from untrac_core.text.limits import FURTHER_LIMITS, TRUTH_LIMITS
from untrac_core.text.numbers import count, duration, figure, megabytes

R = st.column_config.NumberColumn


def answer(summary: dict[str, Any]) -> None:
    """The sentence that answers the title, and how much it rests on."""
    with st.container(border=True, gap="xsmall", key="answer"):
        st.text(frames.in_words(summary, summary["verdict"]))
        if summary.get("best") is None:
            st.markdown(":orange-badge[:material/help: no method can be trusted here]")
        st.caption(truth_frames.counts(summary))


def agreement(summary: dict[str, Any]) -> str:
    """Which method agrees with retraining, and how much of it could be chance; returns what it was asked over."""
    st.subheader("Agreement with retraining", anchor=False)
    scopes = frames.scopes(summary)
    left, right = st.columns([2, 3])
    shown = {name: words[0] for name, words in frames.METRICS.items()}
    metric = left.selectbox("Metric", list(shown), format_func=shown.get, key="vmeasure", bind="query-params")
    metric = metric if metric in shown else "pearson"
    scope = right.selectbox("Over", list(scopes), format_func=scopes.get, key="vover", bind="query-params")
    scope = scope if scope in scopes else next(iter(scopes), "all")
    leaderboard = frames.leaderboard(summary, metric, scope)
    if leaderboard.empty:
        st.caption("No method has this measure here.")
        return scope
    critical = summary["critical"].get(metric)
    st.plotly_chart(
        validation_figures.agreement_dots(leaderboard, across=shown[metric], critical=critical, dark=is_dark()),
        config=chart_config("agreement"),
        key="agreement",
        alt="Agreement of each method with retraining, as a dot with its interval, the best on top",
    )
    keys = ":green[●] agrees best in Pearson r · :green[○] a tie with it · :gray[●] worse"
    keys = keys if frames.relations(summary) else ":gray[●] no method stands out"
    keys += " · ◆ one retraining against the mean of the others" if frames.retraining(summary, scope) else ""
    st.markdown(f":small[{keys}]")
    said = frames.METRICS[metric][1]
    if critical is not None:
        subsets = summary["critical"]["subsets"]
        said += f" Dashed: with {subsets} subsets, chance alone stays below it on 95 of 100 sides."
    st.caption(said)
    if single := frames.retraining_in_words(summary, scope):
        st.caption(single)
    missing = [name for label, name in frames.titles(summary).items() if label not in set(leaderboard["method"])]
    if missing:
        st.text(f"Not in the figure: {', '.join(missing)}. 'Warnings' says why.")
    return scope


def noise(summary: dict[str, Any]) -> None:
    """How steady the truth itself is."""
    st.subheader("Ground-truth reproducibility", anchor=False)
    rows = truth_frames.noise(summary)
    known = rows.dropna(subset=["agreement"])
    if known.empty:
        st.caption("Retrained with one seed only: how steady the truth is cannot be told. Name two seeds or more.")
        return
    st.plotly_chart(
        validation_figures.noise_dots(known, enough=RESOLVABLE, dark=is_dark()),
        config=chart_config("noise"),
        key="noise",
        alt="Agreement between retrainings with different seeds, for each side of each prompt set",
    )
    st.markdown(":small[:green[●] can be resolved · :gray[●] noise: cannot separate · | ceiling]")
    st.caption(
        "Each model was retrained with several seeds; a dot says how well these agree. The tick is the ceiling: a "
        "method without fault would agree with this truth that well."
    )


def leaderboard(summary: dict[str, Any], scope: str) -> None:
    """The methods as a table: agreement, time, memory, failures."""
    st.subheader("Methods and costs", anchor=False)
    table = frames.leaderboard_table(summary, scope)
    r = {name: R(label, format="%.2f", help=text) for name, (label, text) in frames.METRICS.items()}
    config = {
        "method": st.column_config.TextColumn("Method", width="medium"),
        **r,
        "spearman": R("Spearman", format="%.2f", help=frames.METRICS["spearman"][1]),
        "kendall": R("Kendall", format="%.2f", help=frames.METRICS["kendall"][1]),
        "top1": R("Top-1 accuracy", format="%d %%", help=frames.METRICS["top1"][1]),
        "low": R("95% CI low", format="%.2f", help="lower end of the interval of Pearson r"),
        "high": R("95% CI high", format="%.2f", help="upper end of the interval of Pearson r"),
        "least": R("Without one", format="%.2f", help="the least Pearson r that leaving out one subset gives"),
        "seconds": st.column_config.TextColumn("Time", width="small"),
        "memory": st.column_config.TextColumn("Memory", width="small"),
        "trouble": st.column_config.TextColumn("Trouble", width="small", help="told above, under 'Warnings'"),
    }
    order = ["method", "pearson", "low", "high", "least", "spearman", "top1", "seconds", "trouble", "memory"]
    order += ["kendall", "ndcg"]
    there = {"trouble": table["trouble"].any(), "least": table["least"].notna().any()}
    shown = [name for name in order if there.get(name, True)]
    st.dataframe(
        table[shown],
        hide_index=True,
        column_config=config,
        height="content",
        alt="The methods with agreement, time, memory and failures",
        key="leaderboard",
    )
    st.text(f"Agreement: {frames.scopes(summary).get(scope, scope)}. Each method pays for its own statistics.")
    if least := frames.least_in_words(summary, scope):
        st.text(least)


def size_and_sign(summary: dict[str, Any], scope: str) -> None:
    """What the estimates are in nats of retraining: slope, sign, and what is left after the slope."""
    table = frames.calibration(summary, scope)
    if table.empty:
        return
    st.subheader("Size and sign", anchor=False)
    shown = pd.DataFrame(
        {
            "method": table["method"],
            "slope": [frames.slope_in_words(row) for row in table.itertuples()],
            "signs": (100 * table["signs"]).round(),
            "rmse": [figure(value) for value in table["rmse"]],
            "rmse_share": (100 * table["rmse_share"]).round(),
            "coverage": (100 * table["coverage"]).round(),
        }
    )
    config = {
        "method": st.column_config.TextColumn("Method", width="medium"),
        "slope": st.column_config.TextColumn("Slope (95% CI)", width="medium", help=frames.SLOPE),
        "signs": R("Same sign", format="%d %%", help="estimates with the sign of the truth"),
        "rmse": st.column_config.TextColumn("Error, nats per token", help=frames.ERROR),
        "rmse_share": R("Of the truth's sd", format="%d %%", help="the error as a share of the spread of the truth"),
        "coverage": R("Coverage", format="%d %%", help=frames.COVERAGE),
    }
    st.dataframe(
        shown,
        hide_index=True,
        column_config=config,
        height="content",
        alt="Slope, sign, error and coverage of every method",
        key="size_and_sign",
    )
    if said := frames.size_in_words(summary, scope):
        st.text(said)
    st.caption(f"{frames.SLOPE} {frames.ERROR} {frames.COVERAGE}")


def differences(summary: dict[str, Any]) -> None:
    """One method against each other one; a tie is called a tie."""
    rows = summary["differences"]
    names = frames.titles(summary)
    compared = [label for label in names if any(label in (row["first"], row["second"]) for row in rows)]
    if not compared:
        return
    st.subheader("Differences between methods", anchor=False)
    left, right = st.columns([2, 3])
    first = summary.get("best") if summary.get("best") in compared else compared[0]
    label = left.selectbox(
        "Compare",
        compared,
        index=compared.index(first),
        format_func=names.get,
        key="vagainst",
        bind="query-params",
    )
    sides = [side for side in frames.MEAN_OVER if any(row["side"] == side for row in rows)]
    side = right.selectbox("On", sides, format_func=frames.MEAN_OVER.get, key="vsides", bind="query-params")
    table = frames.differences(summary, label if label in compared else first, side if side in sides else sides[0])
    config = {
        "other": st.column_config.TextColumn("Against", width="medium"),
        "value": R("Difference", format="%+.2f", help="its mean Pearson r minus the other's"),
        "low": R("95% CI low", format="%+.2f", help="lower end of the interval of the difference"),
        "high": R("95% CI high", format="%+.2f", help="upper end of the interval of the difference"),
        "verdict": st.column_config.TextColumn("So it is", width="small"),
        "cost": st.column_config.TextColumn("Time", width="medium"),
    }
    st.dataframe(
        table, hide_index=True, column_config=config, height="content", alt="Differences between methods", key="against"
    )
    st.caption(
        "Difference of the mean Pearson r with the truth. Where its interval holds zero the two are a tie: then take "
        "the cheaper one."
    )


def details(validation: ValidateFiles, run: Run) -> None:
    """What one looks up: all numbers, notes, how it was made, and what to export."""
    summary = validation.summary
    sides, said, how, export = st.tabs(["Every side", "Notes", "Recipe and methods", "Export"])
    with sides:
        every_side(summary)
    with said:
        told = summary.get("notes", [])
        lines(told, heading="Data notes", icon=":material/info:")
        if not told:
            st.caption("Nothing was cut, and every record was used.")
    with how:
        card(validation)
    with export:
        export_section(run, validation, tables(validation))


def every_side(summary: dict[str, Any]) -> None:
    """Pearson r of every method on every side, beside the noise of that side."""
    rows, names = truth_frames.noise(summary), frames.titles(summary)
    table = rows[["title", "items", "agreement", "retraining", "ceiling", "resolution"]].copy()
    leaderboards = [frames.values(summary, title) for title in rows["title"]]
    for label, name in names.items():
        table[name] = [found.get((label, "pearson"), {}).get("value") for found in leaderboards]
    config = {
        "title": st.column_config.TextColumn("Side", width="medium"),
        "items": R(
            "Items", format="%d", help="that fit the context and were scored; of a contrast, those of both sides"
        ),
        "retraining": R("One retraining", format="%.2f", help="mean Pearson r of one seed with the mean of the others"),
        "agreement": R("Seeds agree", format="%.2f", help="mean Pearson r between seeds of retraining"),
        "ceiling": R("Ceiling", format="%.2f", help="the best agreement that any method can be expected to have"),
        "resolution": st.column_config.TextColumn("Can be resolved", width=170),
        **{name: R(name, format="%.2f", help="Pearson r with the truth") for name in names.values()},
    }
    st.dataframe(table, hide_index=True, column_config=config, alt="Pearson r of every method on every side")


def card(validation: ValidateFiles) -> None:
    """How the truth was made, and which methods were asked."""
    spec, summary = validation.spec, validation.summary
    st.markdown(f"**{INITS[spec.training.init][0]}.** {INITS[spec.training.init][1]}")
    st.markdown(
        "Each retraining has the seed, the order and the number of steps of the full one. True influence is the loss "
        "without the subset minus the loss with it, in nats per token."
    )
    for row in summary["methods"]:
        known = ATTRIBUTION.get(row["name"])
        if known is not None:
            preset = f" The preset: {PRESETS[row['preset']]}." if row.get("preset") in PRESETS else ""
            st.markdown(f":small[**{method_title(row['name'], row.get('preset'))}**: {known.does}{preset}]")
    facts = [f"took {duration(summary['seconds'])}"] if summary.get("seconds") is not None else []
    facts += [f"at most {megabytes(summary['peak_memory_mb'])} of memory"] if summary.get("peak_memory_mb") else []
    if facts:
        st.caption(" · ".join(facts))
    st.markdown("**Where it ran**")
    st.code(pretty(validation.environment), language="json", height=220)


def tables(validation: ValidateFiles) -> dict[str, Callable[[], pd.DataFrame]]:
    """The tables to export, by what they are called."""
    return {
        "Agreement": lambda: pd.DataFrame(validation.summary["leaderboard"]),
        "Estimates": lambda: validation.estimates,
        "Truth": lambda: validation.ground_truth,
        "Size and sign": lambda: pd.DataFrame(validation.summary.get("calibration", [])),
    }


def limits(validation: ValidateFiles) -> None:
    """What the numbers do not prove."""
    critical = validation.summary["critical"]
    subsets = count(int(critical["subsets"]), "subset")
    chance = critical["pearson"]
    few = f"With {subsets}, " + (
        "chance alone can reach any correlation."
        if chance is None
        else f"a correlation below {validation_figures.decimals(chance)} on a single side may be chance."
    )
    further = f"{FURTHER_LIMITS} " if validation.spec.training.init == "continued" else ""
    st.caption(f"{further}{TRUTH_LIMITS} {few}")
