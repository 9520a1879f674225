"""The parts of the examples page: the list, the chosen text with its tokens, and what the influential ones share."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.results import drawn_once
from pages.components.layout.shell import is_dark
from pages.components.results import document_data as documents
from pages.components.results import example_data as data
from untrac_core.engine import Run
from untrac_core.explore.tables import TEXT_FEATURES
from untrac_core.figures.features import feature_effects
from untrac_core.figures.ranking import ranked_bars
from untrac_core.figures.tokens import token_text
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.text.glossary import meaning_of
from untrac_core.text.labels import labels
from untrac_core.text.masking import mask
from untrac_core.text.numbers import count, signed

ALL = "all subsets"
BARS_MOST = 12
TEXT, TEXT_OF = "text", "text_of"
"""Names in the address: the id of the chosen text, and its subset, as ids repeat across subsets."""
SHOWN = 160
"""Characters of a text in the list."""
TITLES = {name: told[0] for name, told in TEXT_FEATURES.items()}
STILL = {"displayModeBar": False}
"""Of the words of a text: buttons would cover them."""


def choose_subset(result: TraceFiles, *, all_of_them: bool) -> str | None:
    """The subset whose texts are looked at, kept in the address; ``None`` for all of them."""
    names = [subset.name for subset in result.spec.subsets]
    options = [ALL, *names] if all_of_them else names  # not None, which a browser that comes back takes for no choice
    chosen = st.selectbox(
        "Training subset",
        options,
        index=0,
        key="subset",
        bind="query-params",
        width=280,
        help=meaning_of("training subset"),
    )
    return chosen if chosen in names else None


def sift(words: str) -> tuple[str, bool, str]:
    """The order, whether only what is clear of zero, and a part of the text to look for."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        order = st.segmented_control(
            "Sort by",
            [data.MOST, data.LEAST],
            default=data.MOST,
            required=True,
            key="order",
            bind="query-params",
        )
        query = st.text_input(
            f"Search the {words}s", key="part", max_chars=data.QUERY_MOST, width=240, bind="query-params"
        )
        clear = st.toggle(
            "Only significant", key="clear", help="Only those whose interval excludes zero.", bind="query-params"
        )
    return str(order), clear, query.strip()


def listing(shelf: data.Shelf, words: str, unit: str, *, open_text: bool, with_subset: bool, key: str) -> int | None:
    """The table, one row of it chosen; ``None`` where nothing matches."""
    if not shelf.everything:
        st.caption("There are no texts here: this side was not ranked.")
        return None
    if shelf.rows.empty:
        st.caption(f"None of the {count(shelf.everything, 'text')} matches. Change what is looked for above.")
        return None
    rows = shelf.rows
    shown = rows[["influence", "low", "high"]].copy()
    if with_subset:
        shown["subset"] = rows["subset"]
    if "group" in rows:
        shown["group"] = rows["group"]
    texts = rows[words].astype(str)
    shown["text"] = texts.str.slice(0, SHOWN) if open_text else [mask(text) for text in texts]
    shown["tokens"] = rows["tokens"]
    number = {
        name: st.column_config.NumberColumn(label, format="%+.2g", width=82, help=text)
        for name, label, text in (
            ("influence", "Influence", unit),
            ("low", "95% CI low", "lower end of the interval over seeds"),
            ("high", "95% CI high", "upper end of the interval over seeds"),
        )
    }
    state = st.dataframe(
        shown,
        hide_index=True,
        column_config={
            "subset": st.column_config.TextColumn("Subset", width=84),
            "text": st.column_config.TextColumn("Text", width=260),
            "group": st.column_config.TextColumn("Group", width=90),
            "tokens": st.column_config.NumberColumn("Tokens", width=70),
            **number,
        },
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={
            "selection": {"rows": [data.chosen_row(rows, st.query_params.get(TEXT), st.query_params.get(TEXT_OF))]}
        },
        height=430,
        alt="Single texts with their influence and interval; one row is chosen",
        key=key,
    )
    left_out = shelf.matching - len(rows)
    st.caption(
        f"{len(rows)} of {count(shelf.matching, 'text')}"
        + (f" that match, of {shelf.everything:,}" if shelf.matching < shelf.everything else "")
        + (f"; {left_out:,} more lie in between" if left_out else "")
        + f". Influence in {unit}, with its interval over seeds."
    )
    picked = state["selection"]["rows"]
    place = min(int(picked[0]) if picked else 0, len(rows) - 1)
    named = {TEXT: str(rows["id"].iloc[place]), TEXT_OF: str(rows["subset"].iloc[place])}
    # The first text goes without saying: an address that is rewritten as the page opens takes a second press of Back.
    if (place or TEXT in st.query_params) and any(st.query_params.get(name) != told for name, told in named.items()):
        st.query_params.update(named)
    return place


def sign(prompts: PromptSet, side: str) -> str:
    """What the numbers of a single training text say, in words."""
    harmful, harmless = labels(prompts)
    if side == "contrast":
        return (
            f"Positive: unlearning the {harmful} prompts makes this text less likely (a higher loss), more so than "
            f"unlearning the {harmless} ones; it goes with {harmful} text. Negative: with {harmless} text."
        )
    label = {"harmful": harmful, "harmless": harmless}[side] if prompts.harmful is not None else "these"
    return f"Positive: unlearning the {label} prompts makes this text less likely (a higher loss); the two go together."


SIGN_OF_PROMPT = (
    "Positive: without this subset, this prompt's completion would be less likely (a higher loss). Negative: likelier."
)


def key_to_colours(prompts: PromptSet, side: str) -> str:
    """The key to the colours behind the tokens, as markdown in the theme's own colours."""
    harmful, harmless = labels(prompts)
    if side == "contrast":
        return f":orange[■] goes with {harmful} · :blue[■] goes with {harmless} · no colour: no change"
    mark = ":orange[■]" if side == "harmful" else ":blue[■]"
    return f"{mark} less likely · :green[■] likelier · no colour: no change"


def choose_row(key: str, place: int) -> None:
    """Choose a row of the list, as a click in it does."""
    st.session_state[key] = {"selection": {"rows": [place], "columns": [], "cells": []}}


def turn(key: str, place: int, rows: int) -> None:
    """The ways to the text before and to the one after, by button or key."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, icon, letter, to in (
            ("Previous", ":material/arrow_upward:", "P", place - 1),
            ("Next", ":material/arrow_downward:", "N", place + 1),
        ):
            st.button(
                label, icon=icon, key=label.lower(), on_click=choose_row, args=(key, to), shortcut=letter,
                disabled=not 0 <= to < rows,
            )  # fmt: skip
        st.caption(f"{place + 1} of {rows}")


def _in_document(result: TraceFiles, row: pd.Series, spans: pd.DataFrame) -> tuple[pd.DataFrame, bool, list[str]]:
    """The pieces of a text with the document around them, whether all of that is drawn, and what is to be said."""
    found, why = documents.passage_of(result, row)
    if found is None:
        return spans, False, [why]
    if spans.empty:
        spans = documents.as_one_piece(row)
    long = max(len(found.before), len(found.after)) > documents.AROUND
    whole = long and st.toggle("The whole document", key="whole_document")
    before, after, left = documents.around(found, whole=whole)
    said = ["In grey: the document around it."]
    if len(found.documents) > 1:
        said = [f"In grey: what is around it. The text runs over {len(found.documents)} documents."]
    if whole and left:
        said.append(f"{left:,} more characters are not drawn.")
    return documents.with_surroundings(spans, before, after), whole, said


def reading(
    run: Run, result: TraceFiles, row: pd.Series, prompts: PromptSet, side: str, words: str, legend: str, unit: str,
    *, open_text: bool,
) -> None:  # fmt: skip
    """One text in its document: its numbers, its tokens in colour, and where it comes from."""
    with st.container(border=True, key="reading"):
        low, high = row["low"], row["high"]
        interval = "no interval" if pd.isna(low) else f"{signed(low)} to {signed(high)} over seeds"
        st.markdown(f"**{signed(row['influence'])} {unit}** ({interval}), {count(int(row['tokens']), 'token')}")
        if not pd.isna(low) and low <= 0 <= high:
            st.caption("Not significantly different from zero.")
        spans = data.tokens(run, prompts.name, side, row)
        drawn, whole, said = _in_document(result, row, spans) if "reference" in row else (spans, False, [])
        if len(drawn):
            with st.container(height=560 if whole else "content", border=False):
                st.plotly_chart(
                    token_text(drawn, side=side, dark=is_dark(), masked=not open_text),
                    config=STILL,
                    width="content",
                    key=f"tokens_{row['subset']}_{row['id']}_{side}_{whole}",
                    alt="The text in its document, with the change of each token's loss as a colour behind it",
                )
            st.caption(" ".join(said))
        if len(spans):
            st.markdown(f":small[{key_to_colours(prompts, side)}]")
            total, summed = signed(float(spans["change"].sum())), unit.replace(" per token", "", 1)
            st.caption(f"The tokens' changes add up to {total} {summed}, those of the text.")
        else:
            if drawn.empty:
                st.text(str(row[words]) if open_text else mask(str(row[words]), 2_000))
                st.caption(" ".join(said))
            st.caption("Token by token only the most and the least influential texts of each subset were looked at.")
        st.caption(legend)
        where = documents.where_from(result, row) if "reference" in row else str(row["id"])
        st.text(f"{row['subset']} · {where}")
        st.caption(f"The model's loss on it: {row['loss_before']:.2f} nats per token.")


def moved_by(run: Run, row: pd.Series, prompts: PromptSet, side: str) -> None:
    """Which subsets move one prompt the most."""
    st.markdown("**Which subsets move this prompt?**")
    ranked = data.by_subset(run, prompts.name, side, str(row["id"]))
    if len(ranked) > BARS_MOST:
        half = BARS_MOST // 2
        ranked = pd.concat([ranked.head(half), ranked.tail(half)])
        st.caption(f"The {half} that make it likeliest and the {half} that make it unlikeliest.")
    st.plotly_chart(
        ranked_bars(ranked, side=side, dark=is_dark(), room=0.3),
        config=chart_config(f"{prompts.name}-{side}-{row['id']}"),
        key=f"moved_{row['id']}_{side}",
        alt="Ranked bars: the influence of each subset on this prompt, with its interval",
    )


def common(run: Run, result: TraceFiles, prompts: PromptSet, side: str, subset: str | None) -> None:
    """What the most influential texts have in common against the rest."""
    st.subheader("Text features of influential examples", anchor=False)
    told = data.feature_sentence(result, prompts.name, side, subset)
    rows = data.text_features(run, prompts.name, side, subset)
    if told:
        st.text(told)
    if rows.empty:
        if not told:
            st.caption("This result was made before texts were compared; run it again to see.")
        return
    left, right = st.columns([5, 6], gap="medium")
    draw = partial(feature_effects, rows, TITLES)
    with left:
        st.plotly_chart(
            drawn_once(draw, "features", run.folder, run.changed, prompts.name, side, subset),
            config=chart_config(f"{prompts.name}-{side}-features"),
            key="text_features",
            alt="How far the most influential texts differ from the rest in each trait, with its interval",
        )
    with right:
        _feature_table(rows)
    st.caption(
        "The tenth of the texts with the greatest influence against all others. The difference is in standard "
        "deviations, its interval over documents, widened for the number of differences: of twenty intervals without "
        "zero, at most one is expected by chance. What goes together need not be the cause."
    )


def _feature_table(rows: pd.DataFrame) -> None:
    table = pd.DataFrame(
        {
            "feature": [TITLES.get(name, name) for name in rows["feature"]],
            "influential": rows["influential"],
            "rest": rows["rest"],
            "effect": rows["effect"],
        }
    )
    config: dict[str, Any] = {
        "feature": st.column_config.TextColumn("Trait", width=190),
        "influential": st.column_config.NumberColumn(
            "Influential", format="%.3g", width=80, help="mean of the top tenth"
        ),
        "rest": st.column_config.NumberColumn("Rest", format="%.3g", width=70, help="mean of all others"),
        "effect": st.column_config.NumberColumn("Difference", format="%+.2f", width=80, help="in standard deviations"),
    }
    st.dataframe(
        table,
        hide_index=True,
        column_config=config,
        alt="Traits of the influential texts and of the rest",
        key="trait_table",
    )
