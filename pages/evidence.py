"""Evidence: what each method was seen to be worth against retraining, where it failed, and what it was chosen on."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.results import drawn_once
from pages.components.layout.shell import shell, title
from untrac_core.figures.validate import dots_by_testbed
from untrac_core.results.evidence import SEEDS_AGREE, Testbed, chosen_on, testbeds
from untrac_core.specs.catalogue import LADDER, method_title
from untrac_core.text.limits import NOT_PROOF

PERCENT = {
    "share": st.column_config.NumberColumn("Largest subset", format="percent", help="its share of the training"),
    "signs": st.column_config.NumberColumn("Same sign", format="percent", help="as the mean of the retrainings"),
    "coverage": st.column_config.NumberColumn(
        "Coverage", format="percent", help="of the calibrated 95% intervals, how many hold the retrainings' mean"
    ),
}


def agreement(beds: tuple[Testbed, ...]) -> pd.DataFrame:
    """A row for each testbed and method."""
    rows = [
        {"testbed": bed.title, "method": method, "title": method_title(method), "share": bed.largest_share} | found
        for bed in beds
        for method, found in bed.methods.items()
    ]
    return pd.DataFrame(rows)


def contrasts(beds: tuple[Testbed, ...]) -> pd.DataFrame:
    """How well retrainings agree with each other about each contrast: one column a testbed."""
    columns = {bed.title: {name: row["seeds_agree"] for name, row in bed.contrasts.items()} for bed in beds}
    return pd.DataFrame(columns).rename_axis("prompt set").reset_index()


def resolvable_in_words(beds: tuple[Testbed, ...]) -> str:
    """On how many testbeds retrainings agree about each contrast."""
    told: dict[str, list[bool]] = {}
    for bed in beds:
        for name, row in bed.contrasts.items():
            told.setdefault(name, []).append(bool(row["resolvable"]))
    return ", ".join(f"{name} {sum(of)} of {len(of)}" for name, of in told.items())


def main() -> None:
    shell("Evidence")
    title(
        "Evidence",
        "How far can these numbers be trusted?",
        "Small models were retrained without each dataset, and every method was held against what that showed.",
    )
    beds = testbeds()
    table = agreement(beds)
    st.plotly_chart(
        drawn_once(partial(dots_by_testbed, table, list(LADDER)), "evidence", len(table), float(table["r"].sum())),
        config=chart_config("evidence"),
        key="agreement",
        alt="For each testbed, the agreement of every method with retraining, and that of one retraining",
    )
    st.caption(
        "A point at 1 would tell the subsets' influence in the proportions that retraining shows. The upright line is "
        "how well one retraining with another seed does, which is about as far as one can come. These are models of "
        "two layers; of large ones nothing is known."
    )
    st.subheader("In numbers", anchor=False)
    number = {
        "testbed": st.column_config.TextColumn("Testbed", width="medium"),
        "title": "Method",
        "r": st.column_config.NumberColumn("r", format="%.2f"),
        "r_others": st.column_config.NumberColumn(
            "r, other seeds", format="%.2f", help="against the retrainings whose seeds the traced model had no part in"
        ),
        "one_retraining": st.column_config.NumberColumn("One retraining", format="%.2f", help="against the same"),
        "spearman": st.column_config.NumberColumn("Spearman", format="%.2f"),
        "r_contrasts": st.column_config.NumberColumn("r, contrasts", format="%.2f", help="that can be resolved"),
        "slope": None, "method": None, "cpu_seconds": st.column_config.NumberColumn("CPU seconds", format="%d"),
    }  # fmt: skip
    st.dataframe(table, hide_index=True, column_config=number | PERCENT, key="numbers", alt="Agreement in numbers")
    st.subheader("Which questions can be answered at all", anchor=False)
    st.dataframe(
        contrasts(beds),
        hide_index=True,
        column_config={bed.title: st.column_config.NumberColumn(bed.title, format="%.2f") for bed in beds},
        key="contrasts",
        alt="How well retrainings with different seeds agree about each contrast",
    )
    st.caption(f"{SEEDS_AGREE} Testbeds on which it can be told: {resolvable_in_words(beds)}.")
    st.subheader("What the settings were chosen on", anchor=False)
    for method, where in chosen_on().items():
        st.markdown(f"**{method_title(method)}**: {where}.")
    if unseen := [bed.title for bed in beds if bed.unseen]:
        st.markdown(f"**On none of these** was anything chosen: {'; '.join(unseen)}.")
    st.caption(NOT_PROOF)


main()
