"""The parts of the influence page, each drawn by one function."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.components import influence_data as data
from pages.components.shell import is_dark, lines
from pages.components.words import (
    BASELINES,
    METHODS,
    NOT_PROOF,
    PRESETS,
    WHOLE,
    colours,
    count,
    duration,
    legend,
    mask,
    megabytes,
    method_title,
    plain,
    scored,
)
from untrac_core import figures
from untrac_core.figure_parts import UNIT, decimals
from untrac_core.results import Result
from untrac_core.spec_files import to_yaml
from untrac_core.specs import PromptSet

CHART = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoom2d", "pan2d", "autoScale2d"]}


def choose(result: Result) -> tuple[PromptSet, str]:
    """The switches for prompt set and side, kept in the address."""
    sets = {prompts.name: prompts for prompts in result.spec.prompts}
    names = list(sets)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        # Only a selectbox shows its options as plain text; the quicker control is for names without markup.
        if len(names) <= 4 and all(plain(name) == name for name in names):
            name = st.segmented_control(
                "Prompt set", names, default=names[0], required=True, key="set", bind="query-params"
            )
        else:
            name = st.selectbox("Prompt set", names, key="set", bind="query-params", width=320)
        prompts = sets.get(str(name), sets[names[0]])
        sides = data.sides_of(result.summary, prompts.name)
        if len(sides) == 1:
            return prompts, sides[0]
        side = st.segmented_control(
            "Influence on",
            sides,
            help="Contrast: influence on the harmful side minus that on the harmless side, free of plain fluency.",
            default=sides[0],
            required=True,
            key="side",
            bind="query-params",
        )
    return prompts, side if side in sides else sides[0]


def answer(result: Result, picture: data.Picture, prompts: PromptSet, side: str) -> None:
    """The sentence that answers the title, and whether the unlearning led straight to it."""
    found = data.verdict(result.summary, prompts.name, side)
    if found is None:
        return
    with st.container(border=True, gap="xsmall", key="answer"):
        st.text(found["text"])
        if found.get("collapsed"):
            st.markdown(":orange-badge[:material/warning: collapsed] the model broke down in part of the unlearning.")
        elif not found.get("stable", True):
            st.markdown(":orange-badge[:material/swap_vert: unstable] the first place changed on the way.")
        elif found.get("top") and picture.path.loc[picture.path["step"] > 0, "step"].nunique() > 1:
            st.markdown(":green-badge[:material/check: stable] the same subset was first at every point on the way.")


def bars(result: Result, picture: data.Picture, prompts: PromptSet, side: str) -> None:
    """The ranking, with what its colours and signs mean and what it cannot separate."""
    method, ranked, groups = result.spec.method, picture.ranked, picture.groups
    st.plotly_chart(
        figures.ranked_bars(
            ranked,
            side=side,
            dark=is_dark(),
            groups=groups or (),
            unit=UNIT if method.unlearns else f"score of {method_title(method.name)}",
        ),
        config=CHART,
        key="bars",
        alt="Ranked bars: the influence of each training subset, with its interval",
    )
    st.markdown(f":small[{colours(prompts, side, bracket=bool(groups))}]")
    if groups is not None:
        st.text(data.groups_in_words(ranked, groups))
    whole = result.spec.sizes == "proportional"
    st.caption(legend(prompts, side, whole=whole) if method.unlearns else scored(prompts, side, method.name))


def path(result: Result, picture: data.Picture, side: str, height: int) -> None:
    """How the influence grew as the model unlearned."""
    st.subheader("Does the order hold on the way?", anchor=False)
    if not result.spec.method.unlearns:
        st.caption("This method takes no steps, so there is no way to look at.")
        return
    if picture.path.empty:
        st.caption("The two sides were not measured at a common step, so there is no line to draw.")
        return
    st.plotly_chart(
        figures.trajectory(
            picture.path, colours=data.subset_colours(picture.ranked, side), dark=is_dark(), height=height
        ),
        config=CHART,
        key="path",
        alt="Influence of each subset over the unlearning steps, with the band of its seeds",
    )
    st.caption("A line is the mean over seeds, its band reaches from the least to the greatest seed.")
    if result.spec.sizes == "proportional":
        st.caption("The lines compare token for token: the subsets' shares of the text are not yet counted in.")


def cheaper(result: Result, picture: data.Picture) -> None:
    """What the baselines say beside the method, and how far they agree with it."""
    st.subheader("What would a cheaper look have said?", anchor=False)
    own, beside = method_title(result.spec.method.name), picture.beside
    if beside.empty:
        st.caption(
            "No baseline was ranked beside this method here. Choose some under 'Sizes and settings' of a trace, to see "
            "whether a simple comparison of texts would have said the same."
        )
        return
    _ranks(data.rank_table(picture.ranked, beside, own), beside, own)
    with st.container(gap="xsmall"):
        for row in picture.agreement:
            st.text(data.agreement_in_words(row, beside, own))
        missing = set(result.spec.beside) - set(beside["method"])
        if missing:
            names = ", ".join(sorted(method_title(name) for name in missing))
            st.text(f"Not ranked: {names}. 'Before you trust it' says why.")
    if picture.agreement:
        st.caption(
            f"Spearman compares a baseline's order with that of {own}: 1 is the same, −1 the reverse. Where they "
            "agree, the cheaper look would have done; where they do not, only retraining says which is right."
        )


def _ranks(table: pd.DataFrame, beside: pd.DataFrame, own: str) -> None:
    """The ranks as a table; the first of each column is shaded."""
    units = dict(zip(beside["method"], beside["unit"], strict=True))
    methods = [name for name in table.columns if name != "subset"]
    config: dict[str, Any] = {"subset": st.column_config.TextColumn("Subset", width="medium")}
    for name in methods:
        told = f"by {units[name]}. {BASELINES[name][1]}" if name in units and name in BASELINES else "the method itself"
        config[name] = st.column_config.NumberColumn(method_title(name), format="%d", help=f"Rank {told}")
    shade = "background-color: rgba(230, 159, 0, 0.35)"
    st.dataframe(
        table.style.map(lambda rank: shade if rank == 1 else "", subset=methods),
        hide_index=True,
        column_config=config,
        height="content" if len(table) <= 12 else 460,
        alt=f"The rank of each subset by {own} and by each baseline",
        key="ranks",
    )
    st.caption("Rank by each; shaded: what it puts first.")


def check_it() -> None:
    """How far the intervals go, and where to go further."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "The intervals cover other seeds and other texts of the same kind, not the step from unlearning to "
            "retraining.",
            width="content",
        )
        st.page_link("pages/validate.py", label="Check it against retraining", icon=":material/verified:")


def truth(picture: data.Picture, side: str) -> None:
    """The estimate beside what is known to be true, where a result knows it."""
    shown = [
        (
            picture.retrained,
            "without",
            "true influence by retraining without it, nats per token",
            "Retrained without it",
        ),
        (picture.planted, "planted", _planted_axis(side), "Planted in it"),
    ]
    shown = [part for part in shown if not part[0].empty]
    if not shown:
        return
    st.subheader("Does the estimate agree with the truth?", anchor=False)
    for place, (pairs, key, across, heading) in zip(st.columns(2, gap="large"), shown, strict=False):
        with place:
            agreement = data.pearson(pairs)
            said = "no agreement can be computed" if agreement is None else f"Pearson r = {decimals(agreement)}"
            st.markdown(f"**{heading}**: {said} ({count(len(pairs), 'subset')})")
            st.plotly_chart(
                figures.truth_scatter(
                    pairs, colours=data.subset_colours(picture.ranked, side), across=across, dark=is_dark(), height=330
                ),
                config=CHART,
                key=f"truth_{key}",
                alt=f"The estimate of each subset against the truth: {heading}",
            )
    st.caption(
        "The estimate comes from a small unlearning step, the truth from retraining: compare order and proportion, "
        "not size. The dashed line is the best straight fit."
    )


def _planted_axis(side: str) -> str:
    return "planted statements, harmful minus harmless" if side == "contrast" else f"planted {side} statements"


def numbers(picture: data.Picture, side: str) -> None:
    """The ranking as a table, with the truth beside it where it is known."""
    ranked = picture.ranked
    table = ranked.assign(separable=["yes" if settled else "no" for settled in ranked["separable"]])
    for name, pairs in (("true", picture.retrained), ("planted", picture.planted)):
        if not pairs.empty:
            table = table.merge(pairs[["subset", "truth"]].rename(columns={"truth": name}), on="subset", how="left")
    number = {
        name: st.column_config.NumberColumn(label, format="%+.2g", help=text)
        for name, label, text in (
            ("influence", "Influence", "nats per token"),
            ("low", "From", "lower end of the interval"),
            ("high", "To", "upper end of the interval"),
            ("true", "True influence", "mean over seeds of retraining without the subset, nats per token"),
        )
    }
    config = {
        "rank": st.column_config.NumberColumn("Rank", width=60),
        "subset": st.column_config.TextColumn("Subset", width="medium"),
        "separable": st.column_config.TextColumn("Clear of neighbours", help="the paired difference excludes zero"),
        "planted": st.column_config.NumberColumn("Planted", format="%d", help=_planted_axis(side)),
        **number,
    }
    order = ["rank", *[name for name in table.columns if name != "rank"]]
    st.dataframe(table[order], hide_index=True, column_config=config, alt="The ranking in numbers", key="numbers")


def examples(picture: data.Picture) -> None:
    """The training texts with the greatest influence; hidden until asked for."""
    if picture.examples is None:
        st.caption("Only UnTrac-Inv has numbers for single training texts; the other methods look at whole subsets.")
        return
    open_text = st.toggle("Show the texts (they may be harmful)", key="show_texts")
    top = picture.examples[["subset", "text", "influence", "low", "high", "tokens", "reference"]]
    if not open_text:
        top = top.assign(text=[mask(text) for text in top["text"].astype(str)])
    number = {
        name: st.column_config.NumberColumn(label, format="%+.2g")
        for name, label in (("influence", "Influence"), ("low", "From"), ("high", "To"))
    }
    config = {
        "subset": st.column_config.TextColumn("Subset", width="small"),
        "text": st.column_config.TextColumn("Training text", width="large"),
        "tokens": st.column_config.NumberColumn("Tokens", width="small"),
        "reference": st.column_config.TextColumn("Where", width="medium"),
        **number,
    }
    st.dataframe(top, hide_index=True, column_config=config, alt="The most influential training texts", key="examples")
    st.caption(f"The {len(top)} of {picture.examples_all:,} texts with the greatest influence, in nats per token.")


def notes(result: Result) -> None:
    """What was cut or counted."""
    told = result.summary.get("notes", [])
    lines(told, heading="What was counted and what was cut", icon=":material/info:")
    if not told:
        st.caption("Nothing was cut, and every record was used.")


def limits() -> None:
    """What the numbers do not prove."""
    st.caption(NOT_PROOF)


def method_card(result: Result) -> None:
    """How the numbers were made."""
    spec, summary = result.spec, result.summary
    name, how = (METHODS | BASELINES)[spec.method.name][:2]
    if spec.method.unlearns:
        st.markdown(f"**{name}, {spec.method.preset} preset.** {how} The preset: {PRESETS[spec.method.preset]}.")
        st.markdown("Influence is the rise of the loss after unlearning, in nats per token.")
    else:
        st.markdown(f"**{name}.** {how}")
    if spec.sizes == "proportional":
        st.markdown(f"Sizes: proportional. Each number is what leaving out the whole subset would do, {WHOLE}.")
    st.markdown(
        "An interval (95 %) says how far its number might move with other seeds and with other texts of the same kind."
    )
    for title in dict.fromkeys(row["method"] for row in summary.get("baselines", [])):
        if title in BASELINES:
            st.markdown(f":small[Beside it **{BASELINES[title][0]}**: {BASELINES[title][1]}]")
    seconds, peak = summary.get("seconds"), summary.get("peak_memory_mb")
    facts = [f"took {duration(seconds)}"] if seconds is not None else []
    facts += [f"at most {megabytes(peak)} of memory"] if peak else []
    if facts:
        st.caption(" · ".join(facts))
    st.markdown("**Where it ran**")
    st.code(data.pretty(result.environment), language="json", height=220)


def reproduce(result: Result, ranked: pd.DataFrame, run_id: str) -> None:
    """The numbers to take away, and the request to run again."""
    beside = pd.DataFrame(result.summary.get("baselines", []))
    with st.container(horizontal=True):
        kinds = (
            ("This ranking (CSV)", lambda: data.guarded_csv(ranked), f"untrac-{run_id}-ranking.csv", "text/csv"),
            ("All measurements (CSV)", lambda: data.guarded_csv(result.influence), f"untrac-{run_id}.csv", "text/csv"),
            *(
                (("Baselines (CSV)", lambda: data.guarded_csv(beside), f"untrac-{run_id}-baselines.csv", "text/csv"),)
                if len(beside)
                else ()
            ),
            ("Summary (JSON)", lambda: data.pretty(result.summary), f"untrac-{run_id}.json", "application/json"),
        )
        for label, make, name, mime in kinds:
            st.download_button(
                label, make, file_name=name, mime=mime, on_click="ignore", icon=":material/download:", key=name
            )
    st.markdown("Save as `trace.yaml`, then run `python -m untrac_core run trace.yaml --out result`.")
    st.code(to_yaml(result.spec), language="yaml", height=320)
