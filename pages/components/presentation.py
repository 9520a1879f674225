"""A result before an audience: the question, the answer, one large figure, what its colours mean, what speaks against.

No controls, and no text that may be harmful. What is shown is what the address says, as on the page itself.
"""

from __future__ import annotations

import streamlit as st

from pages.components.handing_over import chart_config
from pages.components.shell import LETTERS_PRESENTED, is_dark, lines, presented
from pages.components.words import colours, finished
from untrac_core import figures, result_frames, validation_figures, validation_frames
from untrac_core.engine import Run
from untrac_core.results import Result, Validation
from untrac_core.wording import NOT_PROOF, TRUTH_LIMITS, meaning, question, shape, unit_of

ENDS = (9, 4)
"""Of a longer ranking, how many bars are shown from its two ends: as many as fit a screen."""


def trace(run: Run, result: Result) -> None:
    """The ranking of the prompt set and the side that the address names."""
    summary, method = result.summary, result.spec.method
    sets = {prompts.name: prompts for prompts in result.spec.prompts}
    prompts = sets.get(presented("set"), result.spec.prompts[0])
    sides = result_frames.sides_of(summary, prompts.name)
    side = presented("side") if presented("side") in sides else sides[0]
    _heading(question(prompts, side), run, f"{shape(result.spec)} · {finished(run.finished)}")
    found = result_frames.verdict(summary, prompts.name, side)
    ranked = result_frames.ranking(summary, prompts.name, side)
    if found is not None:
        _answer(found["text"])
    if not ranked.empty:
        groups = result_frames.groups(summary, prompts.name, side)
        st.plotly_chart(
            figures.ranked_bars(
                result_frames.shown(ranked, ENDS),
                side=side,
                dark=is_dark(),
                groups=groups or (),
                unit=unit_of(method),
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
        st.caption(meaning(result.spec, prompts, side))
    _against(summary.get("warnings", []), NOT_PROOF)


def validation(run: Run, found: Validation) -> None:
    """Which method agrees with retraining."""
    summary = found.summary
    _heading("Which method agrees with retraining?", run, f"{shape(found.spec)} · {finished(run.finished)}")
    _answer(validation_frames.in_words(summary, summary["verdict"]))
    scopes = validation_frames.scopes(summary)
    measure, scope = presented("vmeasure"), presented("vover")
    measure = measure if measure in validation_frames.MEASURES else "pearson"
    scope = scope if scope in scopes else next(iter(scopes), "all")
    board = validation_frames.board(summary, measure, scope)
    if not board.empty:
        st.plotly_chart(
            validation_figures.agreement_dots(
                board,
                across=validation_frames.MEASURES[measure][0],
                critical=summary["critical"].get(measure),
                dark=is_dark(),
                size=LETTERS_PRESENTED,
            ),
            config=chart_config("agreement"),
            key="presented",
            alt="Agreement of each method with retraining, as a dot with its interval, the best on top",
        )
        keys = ":green[●] agrees best in Pearson r · :green[○] a tie with it · :gray[●] worse"
        st.markdown(keys if validation_frames.relations(summary) else ":gray[●] no method stands out")
        st.caption(validation_frames.MEASURES[measure][1])
        st.text(f"Agreement: {scopes.get(scope, scope)}.")
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
    lines(warnings, heading="Before you trust it", icon=":material/warning:")
    st.caption(limits)
