"""A result before an audience: the question, the answer, one large figure, what its colours mean, what speaks against.

No controls, and no text that may be harmful. What is shown is what the address says, as on the page itself.
"""

from __future__ import annotations

import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.labels import colours, finished
from pages.components.layout.shell import LETTERS_PRESENTED, is_dark, lines, presented
from pages.components.results.influence_data import picture
from untrac_core.engine import Run, describe_run
from untrac_core.explore.tables import answer_lines
from untrac_core.explore.tables import trace_frames as result_frames
from untrac_core.explore.tables import validate_frames as validation_frames
from untrac_core.figures import ranking as figures
from untrac_core.figures import validate as validation_figures
from untrac_core.results.folders import TraceFiles, ValidateFiles
from untrac_core.text.labels import meaning, question
from untrac_core.text.limits import NOT_PROOF, TRUTH_LIMITS

ENDS = (9, 4)
"""Of a longer ranking, how many bars are shown from its two ends: as many as fit a screen."""


def trace(run: Run, result: TraceFiles, validation: Run | None = None) -> None:
    """The ranking of the prompt set and the side that the address names; ``validation``: that calibrates it."""
    summary = result.summary
    sets = {prompts.name: prompts for prompts in result.spec.prompts}
    prompts = sets.get(presented("set"), result.spec.prompts[0])
    sides = result_frames.sides_of(summary, prompts.name)
    side = presented("side") if presented("side") in sides else sides[0]
    _heading(question(prompts, side), run, f"{describe_run(result.spec)} · {finished(run.finished)}")
    found = result_frames.verdict(summary, prompts.name, side)
    scale = picture(run, prompts.name, side, validation).scale
    ranked = scale.ranked
    if found is not None:
        _answer(" ".join(answer_lines(result, scale, prompts, side)))
    if not ranked.empty:
        groups = result_frames.groups(summary, prompts.name, side)
        st.plotly_chart(
            figures.ranked_bars(
                result_frames.shown(ranked, ENDS),
                side=side,
                dark=is_dark(),
                groups=groups or (),
                unit=scale.unit,
                size=LETTERS_PRESENTED,
            ),
            config=chart_config("ranking"),
            key="presented",
            alt="Ranked bars: the influence of each training subset, with its interval",
        )
        st.markdown(colours(prompts, side, bracket=bool(groups)))
        part = result_frames.ends_in_words(ranked, ENDS, "the page has all")
        if part:
            st.caption(part)
        if groups is not None:
            st.text(result_frames.groups_in_words(ranked, groups))
        st.caption(f"{scale.said} {meaning(result.spec, prompts, side)}")
    _against(summary.get("warnings", []), NOT_PROOF)


def validation(run: Run, found: ValidateFiles) -> None:
    """Which method agrees with retraining."""
    summary = found.summary
    _heading("Agreement with retraining", run, f"{describe_run(found.spec)} · {finished(run.finished)}")
    _answer(validation_frames.in_words(summary, summary["verdict"]))
    scopes = validation_frames.scopes(summary)
    metric, scope = presented("vmeasure"), presented("vover")
    metric = metric if metric in validation_frames.METRICS else "pearson"
    scope = scope if scope in scopes else next(iter(scopes), "all")
    leaderboard = validation_frames.leaderboard(summary, metric, scope)
    if not leaderboard.empty:
        st.plotly_chart(
            validation_figures.agreement_dots(
                leaderboard,
                across=validation_frames.METRICS[metric][0],
                critical=summary["critical"].get(metric),
                dark=is_dark(),
                size=LETTERS_PRESENTED,
            ),
            config=chart_config("agreement"),
            key="presented",
            alt="Agreement of each method with retraining, as a dot with its interval, the best on top",
        )
        keys = ":green[●] agrees best in Pearson r · :green[○] a tie with it · :gray[●] worse"
        keys = keys if validation_frames.relations(summary) else ":gray[●] no method stands out"
        keys += (
            " · ◆ one retraining against the mean of the others" if validation_frames.retraining(summary, scope) else ""
        )
        st.markdown(keys)
        st.caption(validation_frames.METRICS[metric][1])
        st.text(f"Agreement: {scopes.get(scope, scope)}.")
        if size := validation_frames.size_in_words(summary, scope):
            st.text(size)
    warnings = [validation_frames.in_words(summary, text) for text in summary.get("warnings", [])]
    _against(warnings, TRUTH_LIMITS)


def _heading(asked: str, run: Run, facts: str) -> None:
    st.title(asked, anchor=False)
    st.text(run.name)
    st.caption(facts)


def _answer(text: str) -> None:
    with st.container(border=True, key="answer"):
        st.text(text)


def _against(warnings: list[str], limits: str) -> None:
    lines(warnings, heading="Warnings", icon=":material/warning:")
    st.caption(limits)
