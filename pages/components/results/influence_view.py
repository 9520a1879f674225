"""The parts of the influence page, each drawn by one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.context import begin_with, context, look_at
from pages.components.layout.downloads import chart_config
from pages.components.layout.labels import colours
from pages.components.layout.results import drawn_once
from pages.components.layout.shell import lines
from pages.components.results import influence_data as data
from pages.components.results.extend_view import extend_button, more_seeds_help
from untrac_core.engine import Run
from untrac_core.explore.tables import answer_lines, what_would_settle
from untrac_core.explore.tables import trace_frames as frames
from untrac_core.figures import ranking as figures
from untrac_core.figures.palette import subset_colours
from untrac_core.results.export import pretty
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import ATTRIBUTION, BASELINES, PRESETS, method_title
from untrac_core.text.glossary import GLOSSARY, meaning_of
from untrac_core.text.labels import WHOLE, meaning, measured, plain, unit_of
from untrac_core.text.limits import NOT_PROOF
from untrac_core.text.numbers import count, decimals, duration, megabytes

ENDS = (24, 12)
"""Of a longer ranking, how many bars are drawn from its two ends unless all are asked for."""


def choose(result: TraceFiles, *, prefix: str = "", contrast: bool = True) -> tuple[PromptSet, str]:
    """The switches for prompt set and side, kept in the address; ``contrast``: whether it is one of the sides.

    ``prefix``: of their names there, as a page cannot lead to another one that has its own under the same names.
    """
    sets = {prompts.name: prompts for prompts in result.spec.prompts}
    names, held = list(sets), context()
    first = begin_with(f"{prefix}set", names, held.prompt_set)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        # Only a selectbox shows its options as plain text; the quicker control is for names without markup.
        if len(names) <= 4 and all(plain(name) == name for name in names):
            name = st.segmented_control(
                "Prompt set",
                names,
                default=first,
                required=True,
                key=f"{prefix}set",
                bind="query-params",
                help=meaning_of("prompt set"),
            )
        else:
            name = st.selectbox("Prompt set", names, key=f"{prefix}set", bind="query-params", width=320)
        prompts = sets.get(str(name), sets[names[0]])
        sides = [side for side in frames.sides_of(result.summary, prompts.name) if contrast or side != "contrast"]
        if len(sides) == 1:
            look_at(held.run, prompts.name)
            return prompts, sides[0]
        first = begin_with(f"{prefix}side", sides, held.side)
        side = st.segmented_control(
            "Influence on",
            sides,
            help=f"Contrast: {GLOSSARY['contrast']}.",
            default=first,
            required=True,
            key=f"{prefix}side",
            bind="query-params",
        )
    side = side if side in sides else sides[0]
    look_at(held.run, prompts.name, side)
    return prompts, side


def in_address(result: TraceFiles, prompts: PromptSet, side: str, *, prefix: str = "") -> dict[str, str]:
    """What a link to another page says of prompt set and side: nothing of those that the page begins with.

    The browser takes these out of the address again, which costs a press of Back. What is looked at stays anyway.
    """
    first = {"set": result.spec.prompts[0].name, "side": frames.sides_of(result.summary, prompts.name)[0]}
    chosen = {"set": prompts.name, "side": side}
    return {f"{prefix}{name}": value for name, value in chosen.items() if value != first[name]}


def answer(run: Run, result: TraceFiles, picture: data.Picture, prompts: PromptSet, side: str) -> None:
    """The sentence that answers the title, whether the model collapsed, and the way to act on it."""
    found = frames.verdict(result.summary, prompts.name, side)
    if found is None:
        return
    first, *rest = answer_lines(result, picture.scale, prompts, side)
    with st.container(border=True, gap="xsmall", key="answer"):
        with st.container(key="headline"):
            st.text(first)
        for text in rest:
            st.text(text)
        if found.get("collapsed"):
            st.markdown(":orange-badge[:material/warning: collapsed] the model collapsed in part of the unlearning.")
        if told := what_would_settle(result, prompts, side):
            with st.container(horizontal=True, vertical_alignment="center"):
                more = more_seeds_help(result)
                st.caption(f"{told} More seeds would narrow the intervals, too." if more else told, width="content")
                st.page_link(
                    "pages/trace.py", label="Run again with more", icon=":material/tune:", query_params={"like": run.id}
                )
                if more:
                    extend_button(run, result, key="extend_to_settle")
        if found.get("top"):
            st.page_link(
                "pages/unlearn.py", label="Unlearn this subset", icon=":material/ink_eraser:",
                query_params={"trace": run.id, "subset": str(found["top"])},
                help="Take it out of the model, and compare with models that never saw it.",
            )  # fmt: skip


def bars(result: TraceFiles, picture: data.Picture, prompts: PromptSet, side: str) -> str | None:
    """The ranking, what its colours and signs mean and what it cannot separate; returns a subset that is clicked."""
    ranked, groups = picture.scale.ranked, picture.groups
    every = len(ranked) > sum(ENDS) and st.toggle(f"Draw all {len(ranked)} subsets", key="every", bind="query-params")
    shown = ranked if every else frames.shown(ranked, ENDS)
    draw = partial(figures.ranked_bars, shown, side=side, groups=groups or (), unit=picture.scale.unit)
    clicked = st.plotly_chart(
        drawn_once(draw, "bars", *picture.key, len(shown)),
        config=chart_config(f"{prompts.name}-{side}-ranking"),
        key=f"bars_{prompts.name}_{side}",
        on_select="rerun",
        selection_mode="points",
        alt="Ranked bars: the influence of each training subset, with its interval",
    )
    st.markdown(f":small[{colours(prompts, side, bracket=bool(groups))}]")
    part = "" if every else frames.ends_in_words(ranked, ENDS, "the table of numbers has all")
    if part:
        st.caption(part)
    if groups is not None:
        st.text(frames.groups_in_words(ranked, groups))
    st.caption(f"{picture.scale.said} {meaning(result.spec, prompts, side)}")
    names = [point.get("customdata") for point in clicked["selection"]["points"]]
    return next((name for name in names if name in set(ranked["subset"])), None)


def path(result: TraceFiles, picture: data.Picture, side: str, height: int) -> None:
    """How the influence grew as the model unlearned, step by step."""
    st.subheader("Stability across steps", anchor=False)
    if picture.path.empty:
        st.caption("The two sides were not measured at a common step, so there is no line to draw.")
        return
    tints = subset_colours(frames.shown(picture.ranked, ENDS), side)
    draw = partial(figures.trajectory, picture.path, colours=tints, height=height, unit=unit_of(result.spec.method))
    st.plotly_chart(
        drawn_once(draw, "path", *picture.key),
        config=chart_config(f"{side}-path"),
        key="path",
        alt="Influence of each subset over the unlearning steps, with the band of its seeds",
    )
    st.caption("A line is the mean over seeds, its band reaches from the least to the greatest seed.")
    if result.spec.weighting == "proportional" and result.spec.method.takes_steps:
        st.caption("The lines compare token for token: the subsets' shares of the text are not yet counted in.")


def cheaper(result: TraceFiles, picture: data.Picture) -> None:
    """What the baselines say beside the method, and how far they agree with it."""
    st.subheader("Baselines", anchor=False)
    own, beside = method_title(result.spec.method.name), picture.beside
    if beside.empty:
        st.caption(
            "No baseline was ranked beside this method here. Choose some under 'Sizes and settings' of a trace, to see "
            "whether a simple comparison of texts would have said the same."
        )
        return
    _ranks(picture.ranks, own)
    with st.container(gap="xsmall"):
        for told in picture.agreement:
            st.text(told)
        missing = set(result.spec.beside) - set(beside["method"])
        if missing:
            names = ", ".join(sorted(method_title(name) for name in missing))
            st.text(f"Not ranked: {names}. 'Warnings' says why.")
    if picture.agreement:
        st.caption(
            f"Spearman compares a baseline's order with that of {own}: 1 is the same, −1 the reverse. Where they "
            "agree, the cheaper look would have done; where they do not, only retraining says which is right."
        )


def _ranks(table: pd.DataFrame, own: str) -> None:
    """The ranks as a table; the first of each column is shaded."""
    methods = [name for name in table.columns if name != "subset"]
    config: dict[str, Any] = {"subset": st.column_config.TextColumn("Subset", width="medium")}
    for name in methods:
        told = f"by {BASELINES[name].title}: {BASELINES[name].does}" if name in BASELINES else "by the method itself"
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


def check_it(run: Run, result: TraceFiles, picture: data.Picture) -> None:
    """How far the intervals go, what is known of the method, and where to go further."""
    covered = (
        "The intervals cover other texts of the same kind, other seeds, and the error of the calibration."
        if picture.scale.calibrated
        else "The intervals cover other texts of the same kind and other seeds, not what retraining would change."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(covered, width="content")
        st.page_link(
            "pages/validate.py", label="Check it against retraining", icon=":material/verified:",
            query_params={"trace": run.id},
        )  # fmt: skip
        st.page_link("pages/evidence.py", label="Evidence", icon=":material/balance:")
        st.page_link(
            "pages/what_if.py", label="What if", icon=":material/instant_mix:", query_params={"run": run.id}
        )  # fmt: skip


def ground_truth(result: TraceFiles, picture: data.Picture, side: str) -> None:
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
    st.subheader("Estimate vs ground truth", anchor=False)
    for place, (pairs, key, across, heading) in zip(st.columns(2, gap="large"), shown, strict=False):
        with place:
            agreement = frames.pearson(pairs)
            tints = subset_colours(picture.ranked, side)
            unit = unit_of(result.spec.method)
            draw = partial(figures.truth_scatter, pairs, colours=tints, across=across, unit=unit, height=330)
            said = "no agreement can be computed" if agreement is None else f"Pearson r = {decimals(agreement)}"
            st.markdown(f"**{heading}**: {said} ({count(len(pairs), 'subset')})")
            st.plotly_chart(
                drawn_once(draw, key, *picture.key),
                config=chart_config(f"{side}-{key}"),
                key=f"truth_{key}",
                alt=f"The estimate of each subset against the truth: {heading}",
            )
    st.caption(
        "The estimate is not the truth's size, which comes from retraining: compare order and proportion. The dashed "
        "line is the best straight fit."
    )


def _planted_axis(side: str) -> str:
    return "planted statements, harmful minus harmless" if side == "contrast" else f"planted {side} statements"


def numbers(result: TraceFiles, picture: data.Picture, side: str) -> None:
    """The ranking as a table, with the truth beside it where it is known."""
    number = {
        name: st.column_config.NumberColumn(label, format="%+.2g", help=text)
        for name, label, text in (
            ("influence", "Influence", picture.scale.unit),
            ("own", "In the method's unit", unit_of(result.spec.method)),
            ("low", "95% CI low", "lower end of the interval"),
            ("high", "95% CI high", "upper end of the interval"),
            ("true", "True influence", "mean over seeds of retraining without the subset, nats per token"),
        )
    }
    config = {
        "rank": st.column_config.NumberColumn("Rank", width=60),
        "subset": st.column_config.TextColumn("Subset", width="medium"),
        "separable": st.column_config.TextColumn("Separable", help="the paired difference excludes zero"),
        "planted": st.column_config.NumberColumn("Planted", format="%d", help=_planted_axis(side)),
        **number,
    }
    st.dataframe(picture.numbers, hide_index=True, column_config=config, alt="The ranking in numbers", key="numbers")


def warnings(result: TraceFiles, prompts: PromptSet) -> None:
    """What speaks against the numbers of a prompt set: all warnings but those of the other sets."""
    others = tuple(f"Prompt set {other.name!r}:" for other in result.spec.prompts if other.name != prompts.name)
    told = [text for text in result.summary.get("warnings", []) if not text.startswith(others)]
    lines(told, heading="Warnings", icon=":material/warning:")


def notes(result: TraceFiles) -> None:
    """What was cut or counted."""
    told = result.summary.get("notes", [])
    lines(told, heading="Data notes", icon=":material/info:")
    if not told:
        st.caption("Nothing was cut, and every record was used.")


def limits() -> None:
    """What the numbers do not prove."""
    st.caption(NOT_PROOF)


def method_card(result: TraceFiles) -> None:
    """How the numbers were made."""
    spec, summary = result.spec, result.summary
    row = ATTRIBUTION[spec.method.name]
    if (preset := spec.method.variant) is not None:
        st.markdown(f"**{row.title}, {preset} preset.** {row.does} The preset: {PRESETS[preset]}.")
        st.markdown(measured(spec.method))
    else:
        st.markdown(f"**{row.title}.** {row.does}")
    if spec.weighting == "proportional":
        st.markdown(f"Sizes: proportional. Each number is what leaving out the whole subset would do, {WHOLE}.")
    st.markdown(
        "An interval (95 %) says how far its number might move with other seeds and with other texts of the same kind."
    )
    for title in dict.fromkeys(each["method"] for each in summary.get("baselines", [])):
        if title in BASELINES:
            st.markdown(f":small[Baseline **{BASELINES[title].title}**: {BASELINES[title].does}]")
    seconds, peak = summary.get("seconds"), summary.get("peak_memory_mb")
    facts = [f"took {duration(seconds)}"] if seconds is not None else []
    facts += [f"at most {megabytes(peak)} of memory"] if peak else []
    if facts:
        st.caption(" · ".join(facts))
    st.markdown("**Where it ran**")
    st.code(pretty(result.environment), language="json", height=220)


def tables(
    result: TraceFiles, ranked: pd.DataFrame, prompts: PromptSet, side: str
) -> dict[str, Callable[[], pd.DataFrame]]:
    """The tables to export, by what they are called."""
    about = {"prompt_set": prompts.name, "side": side, "unit": unit_of(result.spec.method)}
    kinds = {"This ranking": lambda: ranked.assign(**about), "All measurements": lambda: result.influence}
    beside = result.summary.get("baselines", [])
    return kinds | ({"Baselines": lambda: pd.DataFrame(beside)} if beside else {})
