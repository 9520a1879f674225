"""The truth of one side on the validate page, and the estimates of some methods beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.labels import colours
from pages.components.layout.shell import is_dark
from untrac_core.explore.tables import truth_frames
from untrac_core.explore.tables import validate_frames as frames
from untrac_core.figures import ranking as figures
from untrac_core.figures.palette import subset_colours
from untrac_core.results.folders import ValidateFiles
from untrac_core.specs import PromptSet
from untrac_core.text.labels import legend

SCATTERS = 3
"""Methods whose scatter is drawn unless others are chosen: with the truth itself, two rows of two."""


def choose(validation: ValidateFiles) -> tuple[PromptSet, str, list[str]]:
    """The switches for prompt set, side and methods, kept in the address."""
    summary = validation.summary
    sets = {prompts.name: prompts for prompts in validation.spec.prompts if frames.sides_of(summary, prompts.name)}
    names = frames.titles(summary)
    told = set(validation.estimates["method"])
    drawable = [label for label in names if label in told]
    left, middle, right = st.columns([2, 2, 5], vertical_alignment="bottom")
    name = left.selectbox("Prompt set", list(sets), key="vset", bind="query-params")
    prompts = sets.get(str(name), next(iter(sets.values())))
    sides = frames.sides_of(summary, prompts.name)
    side = middle.selectbox("Influence on", sides, key="vside", bind="query-params")
    side = side if side in sides else sides[0]
    ranked = frames.leaderboard(summary, "pearson", next(iter(frames.scopes(summary)), "all"))["method"]
    first = [label for label in dict.fromkeys([*ranked, *drawable]) if label in drawable][:SCATTERS]
    chosen = right.multiselect(
        "Methods",
        drawable,
        default=first,
        format_func=names.get,
        key="vmethods",
        bind="query-params",
        placeholder="Choose methods",
    )
    return prompts, side, chosen


def beside(validation: ValidateFiles) -> None:
    """The truth of one side as a ranking, and the estimates of some methods beside it."""
    st.subheader("Estimates vs ground truth", anchor=False)
    prompts, side, chosen = choose(validation)
    summary = validation.summary
    ranked = truth_frames.ground_truth(validation, prompts.name, side)
    places = [place for _ in range(0, 1 + len(chosen), 2) for place in st.columns(2, gap="large")]
    with places[0]:
        true_bars(summary, prompts, side, ranked)
    names, known = frames.titles(summary), frames.methods(summary)
    for number, label in enumerate(chosen):
        with places[1 + number]:
            st.text(f"{names[label]}: {frames.agreement_of(summary, label, prompts.name, side)}")
            pairs = truth_frames.pairs(validation, label, prompts.name, side)
            if pairs.empty:
                st.caption("It gave no estimate for this side.")
                continue
            st.plotly_chart(
                figures.truth_scatter(
                    pairs,
                    colours=subset_colours(ranked, side),
                    across="retrained without it, nats per token",
                    unit=known[label]["unit"],
                    dark=is_dark(),
                    height=330,
                ),
                config=chart_config(f"{prompts.name}-{side}-{label}"),
                key=f"scatter_{number}",
                alt="The estimate of each subset against the influence that retraining without it showed",
            )
    if not chosen:
        places[1].caption("Choose a method to see its estimates beside the truth.")
    st.caption(
        f"{legend(prompts, side)} Compare order and proportion of the estimates, not their size: each method measures "
        "in its own unit, and 'Size and sign' has the factor between them. Bars of a point: across, from the least to "
        "the greatest seed of retraining; upwards, the estimate's 95 % interval. The dashed line is the best straight "
        "fit."
    )


def true_bars(summary: dict[str, Any], prompts: PromptSet, side: str, ranked: pd.DataFrame) -> None:
    """The ranking by retraining, pale where it is noise."""
    steady = truth_frames.steady(summary, prompts.name, side)
    st.text("Ground truth: retrained without each subset")
    st.plotly_chart(
        figures.ranked_bars(ranked if steady else ranked.assign(separable=False), side=side, dark=is_dark()),
        config=chart_config(f"{prompts.name}-{side}-truth"),
        key="ground_truth",
        alt="Ranked bars: the influence of each subset as retraining without it showed, with its interval",
    )
    st.markdown(f":small[{colours(prompts, side)}]")
    st.text(truth_frames.resolution(summary, prompts.name, side))
