"""What a validation was asked beside leave-one-out, each part drawn by one function where there is anything of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from untrac_core.explore.tables import choice_frames, control_frames, half_frames, pair_frames

R = st.column_config.NumberColumn


def _scores(table: pd.DataFrame, over: str, key: str, alt: str) -> None:
    """How well each method's sums put models in order."""
    config = {
        "method": st.column_config.TextColumn("Method", width="medium"),
        "value": R("Score", format="%.2f", help=f"Spearman's rank correlation over the {over}"),
        "low": R("95% CI low", format="%.2f", help="lower end of the interval of the score"),
        "high": R("95% CI high", format="%.2f", help="upper end of the interval of the score"),
    }
    shown = table[["method", "value", "low", "high"]]
    st.dataframe(shown, hide_index=True, column_config=config, height="content", alt=alt, key=key)


def halves(summary: dict[str, Any], scope: str) -> None:
    """The linear datamodeling score of every method, where models were trained on random halves."""
    table = half_frames.scores(summary, scope)
    if table.empty:
        return
    st.subheader(half_frames.HEADING, anchor=False)
    _scores(table, "halves", "halves", "Linear datamodeling score of every method with its interval")
    st.caption(f"{half_frames.trained_in_words(summary)} {half_frames.MEANING}")


def documents(summary: dict[str, Any], scope: str) -> None:
    """The score of single texts, where models were trained on random halves of the documents."""
    table = half_frames.scores(summary, scope, "document_halves")
    if table.empty:
        return
    st.subheader(half_frames.OF_DOCUMENTS, anchor=False)
    _scores(table, "halves", "document_halves", f"{half_frames.OF_DOCUMENTS} of every method, with its interval")
    st.caption(f"{half_frames.documents_in_words(summary)} {half_frames.DOCUMENTS_MEANING}")


def pairs(summary: dict[str, Any], scope: str) -> None:
    """Every pair's interaction on one side beside the seed noise, and how well each method's sums agree."""
    places = pair_frames.places(summary)
    if not places:
        return
    st.subheader(pair_frames.HEADING, anchor=False)
    place = st.selectbox("Interactions of", places, key="vpairs", bind="query-params")
    place = place if place in places else places[0]
    st.text(pair_frames.side_in_words(summary, place))
    small = "%.2g"
    config = {
        "pair": st.column_config.TextColumn("Left out at once", width="medium"),
        "both": R("Both", format=small, help="by how much the loss rises without both, nats per token"),
        "expected": R("Expected", format=small, help="if the influences of the two add up, nats per token"),
        "interaction": R("Interaction", format=small, help="both less expected, nats per token"),
        "low": R("CI low", format=small, help="lower end of its interval; all together hold in 95 % of cases"),
        "high": R("CI high", format=small, help="upper end of its interval; all together hold in 95 % of cases"),
        "verdict": st.column_config.TextColumn("So it is", width="small"),
    }
    table = pair_frames.interactions(summary, place)
    height = "content" if len(table) <= 12 else 420
    alt = "The effect of leaving out both subsets of each pair, what their sum makes of it, and the interaction"
    st.dataframe(table, hide_index=True, column_config=config, height=height, alt=alt, key="pairs")
    st.caption(f"{pair_frames.trained_in_words(summary)} {pair_frames.MEANING}")
    found = half_frames.scores(summary, scope, "pairs")
    if not found.empty:
        _scores(found, "pairs", "pair_scores", "How well each method's sums put the pairs in order, with its interval")
        st.caption(pair_frames.SCORE_MEANING)


def controls(summary: dict[str, Any]) -> None:
    """What retraining and every method say of the negative controls."""
    table = control_frames.controls(summary)
    if table.empty:
        return
    st.subheader(control_frames.HEADING, anchor=False)
    for text in control_frames.in_words(summary):
        st.text(text)
    small = "%.2g"
    config = {
        "control": st.column_config.TextColumn("Control", width=190),
        "of": st.column_config.TextColumn("Answer of", width=150),
        "place": st.column_config.TextColumn("Prompt set", width=150),
        "verdict": st.column_config.TextColumn("So it is", width=80),
        "found": R("Found", format=small, help="must be zero; in the unit of the method"),
        "low": R("95% CI low", format=small, help="lower end of its interval"),
        "high": R("95% CI high", format=small, help="upper end of its interval"),
        "largest": R("Largest subset", format=small, help="the largest influence of any subset there"),
        "share": R("First half", format="%d %%", help="share of the first half in both; must be half"),
    }
    shown = table if table["share"].notna().any() else table.drop(columns="share")
    height = "content" if len(table) <= 12 else 420
    alt = "Negative controls: what retraining and every method find where zero is right"
    st.dataframe(shown, hide_index=True, column_config=config, height=height, alt=alt, key="controls")
    st.caption(control_frames.meaning(summary))


def choices(summary: dict[str, Any]) -> None:
    """How often the leave-out models choose the harmful text of a pair, and which rankings tell how that changes."""
    sets = choice_frames.prompt_sets(summary)
    if not sets:
        return
    st.subheader(choice_frames.HEADING, anchor=False)
    name = st.selectbox("Choices of", sets, key="vchoices", bind="query-params")
    row = choice_frames.of_set(summary, name if name in sets else sets[0])
    st.text(choice_frames.in_words(summary, row))
    _changes(summary, row, "choices", "how often the harmful text is chosen")
    st.caption(choice_frames.MEANING)


def writing(summary: dict[str, Any]) -> None:
    """How often what the leave-out models write is harmful, and which rankings tell how that changes."""
    if "writing" not in summary:
        return
    st.subheader(choice_frames.WRITING, anchor=False)
    st.text(choice_frames.writing_in_words(summary))
    _changes(summary, summary["writing"], "writing", "how often harmful text is written")
    st.caption(choice_frames.WRITING_MEANING)


def _changes(summary: dict[str, Any], row: dict[str, Any], key: str, what: str) -> None:
    """By how much each subset changes a rate, and beside it how well rankings tell that."""
    points = "%+.1f"
    config = {
        "subset": st.column_config.TextColumn("Subset", width="medium"),
        "change": R("Change", format=points, help=f"percentage points that the subset adds to {what}"),
        "low": R("95% CI low", format=points, help="lower end of its interval"),
        "high": R("95% CI high", format=points, help="upper end of its interval"),
    }
    changes = choice_frames.changes(row)
    height = "content" if len(changes) <= 12 else 420
    alt = f"By how much each subset changes {what}"
    st.dataframe(changes, hide_index=True, column_config=config, height=height, alt=alt, key=key)
    found = choice_frames.agreement(summary, row)
    _scores(found, "subsets", f"{key}_scores", "How well each ranking tells the changes, with its interval")
