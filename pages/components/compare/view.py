"""The parts of the compare page, each drawn by one function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.compare import data
from pages.components.compare.data import Seen
from pages.components.layout.downloads import address, chart_config
from pages.components.layout.shell import LETTERS_PRESENTED, is_dark, lines
from pages.components.layout.shell import presented as chosen_for
from untrac_core.explore.agreement import RankAgreement, agreement_in_words
from untrac_core.explore.comparison import ComparedViews
from untrac_core.explore.quadrants import difference_in_words, meaning, question, subset_in_words
from untrac_core.explore.ranking_view import RankingView, other_texts
from untrac_core.figures.comparison import CROWDED, LINES_MOST
from untrac_core.results.export import guarded_csv
from untrac_core.text.numbers import decimals

LISTED_MOST = 8
EVERY, MOVED, CLEAR, PARTLY = "every subset", "significant rank changes", "significant in both", "not in every view"
SHOWN = (EVERY, MOVED, CLEAR, PARTLY)


def against(found: ComparedViews) -> str:
    """Which view stands against the baseline in the scatter, kept in the address."""
    others = list(found.letters[1:])
    if len(others) == 1:
        return others[0]
    chosen = st.segmented_control(
        "The baseline, A, against", others, default=others[0], required=True, key="against", bind="query-params"
    )
    return chosen if chosen in others else others[0]


def answers(seen: Sequence[Seen], found: ComparedViews, letter: str) -> None:
    """The sentences that answer the title: what drives both, and whether the order is the same."""
    place = found.letters.index(letter)
    agreed = data.agreement(seen[0], seen[place])
    with st.container(border=True, gap="xsmall", key="answer"):
        st.text(data.answered(seen, letter))
        st.text(agreement_in_words(agreed, f"A{letter}"))
    changed = other_texts(found.views)
    if changed:
        listed = ", ".join(changed[:LISTED_MOST])
        more = f" and {len(changed) - LISTED_MOST} more" if len(changed) > LISTED_MOST else ""
        lines(
            [f"The same name, but other texts: {listed}{more}. A move of these may come from their texts."],
            heading="Warnings",
            icon=":material/warning:",
        )


def scatter(seen: Sequence[Seen], found: ComparedViews, letter: str) -> None:
    """The subsets as points, with what the colours mean, and one of them in words."""
    both = found.table["views"].str.contains("A") & found.table["views"].str.contains(letter)
    st.subheader(f"Influence in A and {letter}", anchor=False)
    if not both.any():
        st.caption("No subset is in both views, so there is no point to draw. Choose views of the same subsets.")
        return
    event = st.plotly_chart(
        data.scatter(seen, letter, dark=is_dark()),
        config=chart_config(f"A and {letter}", seen[0].choice.run),
        key=f"scatter_{letter}",
        on_select="rerun",
        selection_mode="points",
        alt=f"Every subset as a point: its value in view A across, in view {letter} upwards, with intervals both ways",
    )
    clicked = [point.get("customdata") for point in event["selection"]["points"]]
    _remember(clicked[0] if clicked else None)
    key(found, letter)
    if both.sum() > CROWDED:
        st.caption("Only the outermost are named; the others tell their names under the pointer.")
    one_subset(found)


def key(found: ComparedViews, letter: str) -> None:
    """What the colours of the points mean, and the signs of the numbers."""
    st.markdown(
        f":small[Fill: A · outline: {letter} · :orange[■] towards the harm · :blue[■] away from it · "
        f":gray[■] cannot separate from zero in A or in {letter}]"
    )
    first, second = found.views[0], found.of(letter)
    st.caption(f"A. {meaning(first)}" + ("" if alike(first, second) else f" {letter}. {meaning(second)}"))


def alike(first: RankingView, second: RankingView) -> bool:
    """Whether the same words say what the numbers of two views mean."""
    return meaning(first) == meaning(second)


def _remember(clicked: Any) -> None:
    """Take a new click over into the choice below it, once."""
    name = clicked[0] if isinstance(clicked, list | tuple) and clicked else clicked
    if isinstance(name, str) and name != st.session_state.get("compare_clicked"):
        st.session_state["point"] = name
    st.session_state["compare_clicked"] = name if isinstance(name, str) else None


def one_subset(found: ComparedViews) -> None:
    """One subset in every view, chosen by a click on its point or from a list; kept in the address."""
    subsets = found.table["subset"].tolist()
    if st.session_state.get("point") not in (None, *subsets):
        del st.session_state["point"]
    chosen = st.selectbox(
        "Explain one subset", subsets, index=None, placeholder="click a point, or choose here",
        key="point", bind="query-params",
    )  # fmt: skip
    if chosen is not None and chosen in subsets:
        holds = found.holds.loc[chosen].to_dict() if chosen in found.holds.index else {}
        with st.container(border=True):
            between = "; " if len(found.views) == 2 else ";\n"
            st.text(subset_in_words(found.views, found.table, chosen, holds, between=between))


def places(seen: Sequence[Seen], found: ComparedViews) -> None:
    """The rank of each subset from view to view."""
    st.subheader("Rank changes", anchor=False)
    shared = int(found.table["place_A"].notna().sum())
    if not shared:
        st.caption("No subset is in every view, so there are no places to compare. Remove a view, or change it.")
        return
    st.plotly_chart(
        data.lines_of_places(seen, dark=is_dark()),
        config=chart_config("places", seen[0].choice.run),
        key="places",
        alt="The place of each subset in each view, joined by lines; strong lines are moves beyond the intervals",
    )
    told = "Strong: it moved by more than the intervals allow. Grey: it may not have moved at all."
    if shared > LINES_MOST:
        told += f" Of {shared} subsets, the baseline's first and the greatest moves; the numbers are their places."
    st.caption(told)


def agreements(seen: Sequence[Seen], found: ComparedViews, letter: str) -> None:
    """How far each two views agree, by rank, beside what chance would give."""
    st.subheader("Rank correlation", anchor=False)
    letters = found.letters
    pairs = [(i, j) for i in range(len(seen)) for j in range(i + 1, len(seen))]
    known = {pair: data.agreement(seen[pair[0]], seen[pair[1]]) for pair in pairs}
    if len(seen) > 2:
        st.dataframe(
            pd.DataFrame(
                [
                    [f"{one} · {name}", *(_cell(known, i, j) for j in range(len(seen)))]
                    for i, (one, name) in enumerate(zip(letters, found.names, strict=True))
                ],
                columns=["Spearman", *letters],
            ),
            hide_index=True,
            alt="Spearman's rank correlation of every two views, with its interval",
            key="matrix",
        )
        st.caption("≈ chance: two unrelated orders agree as far in more than one of twenty.")
    place = letters.index(letter)
    tau = known[0, place].kendall
    if not pd.isna(tau.value):
        ends = "" if pd.isna(tau.low) else f" ({decimals(tau.low)} to {decimals(tau.high)})"
        bar = "" if tau.chance > 1 else f"; significant is what exceeds {decimals(tau.chance)} either way"
        st.text(f"Kendall's tau of A and {letter}: {decimals(tau.value)}{ends}{bar}.")
    st.text(f"A and {letter}. {difference_in_words(found.views[0], found.of(letter))}")
    st.caption(
        "Spearman and Kendall compare orders: 1 is the same, −1 the reverse. An interval (95 %) comes from drawing "
        "each number anew from its own interval, a thousand times, as if views and subsets were independent. Chance is "
        "what unrelated orders of so few subsets reach."
    )


def _cell(known: dict[tuple[int, int], RankAgreement], i: int, j: int) -> str:
    if i == j:
        return "1"
    found = known[min(i, j), max(i, j)].spearman
    if pd.isna(found.value):
        return "–"
    ends = "" if pd.isna(found.low) else f" ({decimals(found.low)} to {decimals(found.high)})"
    return f"{decimals(found.value)}{ends}{'' if abs(found.value) >= found.chance else ' ≈ chance'}"


def ranks(seen: Sequence[Seen], found: ComparedViews, letter: str) -> None:
    """Every subset's rank and value in every view, with its moves against the baseline."""
    chosen = st.selectbox("Show", SHOWN, key="rows", bind="query-params", width=340)
    table = data.rows_shown(seen, letter)
    table = table[_kept(found, letter, chosen).to_numpy()]
    if table.empty:
        st.caption(f"None of the {len(found.table)} subsets: {chosen}. Choose '{EVERY}' to see them all.")
        return
    columns = _columns(found, letter)
    st.dataframe(
        table,
        hide_index=True,
        column_config=columns,
        height="content" if len(table) <= 12 else 460,
        alt="Every subset's rank, move and value in every view",
        key="ranks",
    )
    st.caption(
        "A move is counted in places up against A. It holds where the intervals do not allow that there is none (95 %, "
        "each move by itself)."
    )
    only = found.table[found.table["views"] != found.letters]
    if len(only):
        told = [
            f"{name} (only in {', '.join(views)})" for name, views in zip(only["subset"], only["views"], strict=True)
        ]
        more = f"; and {len(told) - LISTED_MOST} more" if len(told) > LISTED_MOST else ""
        st.text(f"Not in every view, so without a place: {'; '.join(told[:LISTED_MOST])}{more}.")


def _kept(found: ComparedViews, letter: str, name: str) -> pd.Series:
    table = found.table
    if name == MOVED:
        moved = found.holds.any(axis=1)
        return table["subset"].isin(moved.index[moved])
    if name == CLEAR:
        return (table["sign_A"] != 0) & (table[f"sign_{letter}"] != 0)
    if name == PARTLY:
        return table["views"] != found.letters
    return pd.Series(True, index=table.index)


def _columns(found: ComparedViews, letter: str) -> dict[str, Any]:
    """How the columns of :func:`compare_data.rows_shown` look."""
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {"Subset": st.column_config.TextColumn(width="medium")}
    for one, view in zip(found.letters, found.views, strict=True):
        config[f"Rank {one}"] = number(format="%d", width="small")
        config[f"Move {one}"] = number(format="%+d", width="small", help="places up against A")
        # A column's help is markdown, and the unit of another's score is another's words.
        unit = view.unit if view.measures_loss else "a score in the method's own unit"
        for part in ("Value", "95% CI low", "95% CI high"):
            config[f"{part} {one}"] = number(format="%+.2g", help=unit, width="small")
        for part in ("", " from", " to"):
            config[f"{one} − A{part}"] = number(format="%+.2g", help=unit, width="small")
    return config


def differing(seen: Sequence[Seen]) -> None:
    """The settings and surroundings of the runs, only what differs unless all are asked for."""
    every = st.toggle("Show what is the same, too", key="every", bind="query-params")
    table = data.what_differs(seen, every=bool(every))
    if table.empty:
        st.caption("Nothing differs: the same request, on the same machine and with the same versions.")
        return
    st.dataframe(
        table,
        hide_index=True,
        column_config={"setting": st.column_config.TextColumn("Setting", width="medium")},
        height="content" if len(table) <= 14 else 460,
        alt="What differs between the views' requests and where they ran, a column a view",
        key="differs",
    )
    st.caption("From the request (spec) and from where it ran (environment); – where a view does not have it.")


def export_section(found: ComparedViews) -> None:
    """The numbers as a file, and the same in a notebook."""
    st.download_button(
        "All views joined (CSV)",
        lambda: guarded_csv(data.take_home(found)),
        file_name="untrac-compare.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        key="joined",
    )
    st.markdown("The same in a notebook, from the folders of the runs:")
    st.code(NOTEBOOK, language="python")
    st.markdown("**A link to these views**")
    st.code(address(), language=None, wrap_lines=True)


def presented(seen: Sequence[Seen], found: ComparedViews) -> None:
    """The comparison before an audience: question, answer, one large figure, and what its colours mean; no controls."""
    letter = chosen_for("against")
    letter = letter if letter in list(found.letters[1:]) else "B"
    first, second = found.views[0], found.of(letter)
    st.title(question([first, second]), anchor=False)
    for one, view, name in (("A", first, found.names[0]), (letter, second, found.names[found.letters.index(letter)])):
        st.text(f"{one} · {name}, {view.run_name}" if view.run_name not in name else f"{one} · {name}")
    answers(seen, found, letter)
    if any({"A", letter} <= set(views) for views in found.table["views"]):
        st.plotly_chart(
            data.scatter(seen, letter, dark=is_dark(), size=LETTERS_PRESENTED, height=540),
            config=chart_config("presented"),
            key="presented",
            alt=f"Every subset as a point: its value in view A across, in view {letter} upwards",
        )
        key(found, letter)


NOTEBOOK = """from pathlib import Path
from untrac_core.results.folders import load_trace
from untrac_core.explore.ranking_view import joined, view_of

result = load_trace(Path("result"))
table = joined([view_of(result, "toxicity"), view_of(result, "truthfulness")])"""
