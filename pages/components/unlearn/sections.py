"""What one looks up in the result of an unlearning: texts, the ensemble audit, the record, the model itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import KINDS, PICTURES, address, chart_config, report_download
from pages.components.layout.errors import attempt
from pages.components.layout.shell import is_dark, lines
from pages.components.unlearn import export
from untrac_core.engine import Run
from untrac_core.errors import InputError
from untrac_core.explore.tables import LIMITS
from untrac_core.explore.tables import unlearn_frames as frames
from untrac_core.explore.tables import unlearn_reading as reading
from untrac_core.explore.tables import unlearn_texts as data
from untrac_core.figures.unlearn import exposure_strip
from untrac_core.results.export import file_part, guarded_csv, pretty, zipped
from untrac_core.results.folders import UnlearnFiles
from untrac_core.specs.files import to_yaml
from untrac_core.text.labels import STRATA, titles
from untrac_core.text.masking import mask
from untrac_core.text.numbers import UNIT, count

SHOWN = "Show the texts (they may be harmful)"
CUT, MASKED_CUT = 600, 160
FEW_ROWS = 8
IN_A_ROW = 160
"""Characters of a text in a table."""
TEXT = st.column_config.TextColumn
NEIGHBOUR = "joined the forget set: cosine of its hidden states with those of the nearest text that was asked for"
HEADS = {frames.BEFORE: "Before", frames.RETRAINED: "Retrained: never saw the texts"}


def generations(result: UnlearnFiles) -> None:
    """What the model wrote to one prompt before and after, and what the retrained model wrote."""
    st.subheader("Generations", anchor=False)
    if result.generations.empty:
        st.caption("Nothing was written: the request names no prompts to write from.")
        return
    prompts, names = data.prompts_of(result), titles(result.spec)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        told = {f"Prompt {number} of {len(prompts)}": prompt for number, prompt in enumerate(prompts, 1)}
        chosen = st.selectbox("Prompt", list(told), key="uprompt", bind="query-params", width=200)
        methods = {words: title for title, words in names.items()}
        words = st.selectbox("After", list(methods), key="uafter", bind="query-params", width=220)
        seeds = [f"seed {seed}" for seed in data.seeds_written(result)]
        seed = st.selectbox("Models", seeds, key="useed", bind="query-params", width=120)
    method = methods.get(str(words), result.summary["method"])
    prompt = told.get(str(chosen), prompts[0])
    number = data.seeds_written(result)[seeds.index(str(seed)) if seed in seeds else 0]
    open_text = st.toggle(SHOWN, key="show_written")
    with st.container(border=True, gap="xsmall"):
        st.caption("Given")
        st.text(_text(prompt, open_text=open_text))
    found = [
        one for one in data.said(result, method, prompt, number) if len(one.rows) or one.subject != frames.RETRAINED
    ]
    for place, one in zip(st.columns(len(found)), found, strict=True):
        with place:
            _said(one, "After" if one.subject == method else HEADS[one.subject], number, open_text=open_text)
    st.caption(data.harmful_written(result, method))
    if not any(one.subject == frames.RETRAINED for one in found):
        st.caption("There is no retrained model to write beside it.")


def _said(one: data.Said, head: str, seed: int, *, open_text: bool) -> None:
    other = "" if one.seed in (seed, None) else f" (only seed {one.seed})"
    st.markdown(f"**{head}**{other}")
    if one.rows.empty:
        st.caption("It wrote nothing to this prompt.")
    for row in one.rows.itertuples():
        with st.container(border=True, gap="xsmall"):
            completion = str(row.completion)
            if completion.strip():
                st.text(_text(completion, open_text=open_text))
            else:
                st.caption("empty")
            if row.harmful:
                st.markdown(f":orange-badge[:material/warning: harmful, score {float(row.score):.2g}]")
            elif not pd.isna(row.score):
                st.caption(f"score {float(row.score):.2g}")


def _text(text: str, *, open_text: bool) -> str:
    return text[:CUT] if open_text else mask(text, MASKED_CUT)


def single_texts(result: UnlearnFiles) -> None:
    """The forget set, one by one: which stayed, and what these have in common."""
    st.subheader("Forget-set examples", anchor=False)
    rows = data.hardest_first(result)
    if rows.empty:
        st.caption("No single text was looked at.")
        return
    if rows["retrained"].isna().all():
        st.caption(reading.NO_STRIP)
    else:
        st.text(frames.hard_in_words(rows))
        by = st.segmented_control(
            "In rows by", ["memorised", "difficult"], default="memorised", required=True, key="uby", bind="query-params"
        )
        by = by if by in ("memorised", "difficult") else "memorised"
        st.plotly_chart(
            exposure_strip(rows, by=by, dark=is_dark()),
            config=chart_config(f"texts-{by}"),
            key=f"strip_{by}",
            alt="Every text that was to go as a point: its exposure across, how memorised or difficult it is in rows",
        )
        st.markdown(":small[:gray[●] a text · :yellow[◆] unlike the holdout set · | median of a row]")
        st.caption(reading.STRIP)
    _text_table(rows)


def _text_table(rows: pd.DataFrame) -> None:
    retrained = rows["retrained"].notna().any()
    joined = "neighbour" in rows and rows["neighbour"].notna().any()  # results of before have no such column
    open_text = st.toggle(SHOWN, key="show_forgotten")
    texts = rows["text"].astype(str)
    columns = ["id", "tokens", "before", "after", "retrained", "genex", "memorised", "difficult"]
    shown = rows[columns + (["neighbour"] if joined else [])].assign(
        text=texts.str.slice(0, IN_A_ROW) if open_text else [mask(text, 90) for text in texts],
        unusual=["unusual" if one else "" for one in rows["unusual"]],
        memorised=rows["memorised"].map(STRATA),
        difficult=rows["difficult"].map(STRATA),
    )
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {
        "id": TEXT("Text", width=120),
        "text": TEXT("Its words", width=210),
        "before": number("Before", format="%.2f", width=65, help=f"loss, {UNIT}"),
        "after": number("After", format="%.2f", width=65, help=f"loss, {UNIT}, mean over seeds"),
        "retrained": number("Retrained", format="%.2f", width=65, help=f"loss, {UNIT}, mean over models"),
        "genex": number("Exposure", format="%+.0f", width=80, help="bits per text; 0 is the retrained model's"),
        "memorised": TEXT("Memorised", width=90),
        "difficult": TEXT("Difficult", width=85),
        "unusual": TEXT("Unusual", width=80, help="unlike the holdout set, to the retrained model"),
        "neighbour": number("Neighbour", format="%.3f", width=90, help=NEIGHBOUR),
        "tokens": number("Tokens", format="%d", width=70),
    }
    absent = set() if retrained else {"retrained", "genex", "memorised", "difficult", "unusual"}
    absent |= set() if joined else {"neighbour"}
    st.dataframe(
        shown[[name for name in config if name not in absent]], hide_index=True, column_config=config,
        height=330 if len(rows) > FEW_ROWS else "content",
        alt="Every text of the forget set with its losses before, after and for the retrained model", key="texts",
    )  # fmt: skip
    st.caption(
        f"{count(len(rows), 'text')}, those that stayed the most first."
        + ("" if retrained else " No retrained model: nothing to compare with.")
    )


def ensemble_audit(result: UnlearnFiles) -> None:
    """Whether many unlearned models can be told from as many retrained ones."""
    audit = result.summary.get("ensemble_audit")
    if not audit:
        return
    st.subheader("Ensemble audit (epsilon, KLoM)", anchor=False)
    if audit.get("too_few"):
        st.caption(reading.ensemble(audit))
        return
    st.text(reading.ensemble(audit))
    st.table(reading.ensemble_facts(audit), border="horizontal")  # numbers only
    klom = reading.ensemble_klom(audit)
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {
        "place": TEXT("Texts", width=220),
        "mean": number("KLoM, mean", format="%.2f", help="nats; 0: margins are distributed as the retrained models'"),
        "percentile95": number("Worst twentieth", format="%.2f", help="95th percentile over texts, nats"),
        "chance": number("By chance", format="%.2f", help="the mean where models are dealt anew at random"),
    }
    st.dataframe(
        klom, hide_index=True, column_config=config, height="content", key="klom",
        alt="KLoM of every set of texts, with what chance alone reads",
    )  # fmt: skip
    st.caption(reading.KLOM)


def record(run: Run, result: UnlearnFiles, home: Path) -> None:
    """The audit record, what it does not prove, the model itself, and what to export."""
    st.subheader("Audit record", anchor=False)
    limits = [str(text) for text in result.audit.get("does_not_prove") or LIMITS]
    lines(limits, heading="What this does not prove", icon=":material/gavel:")
    model, audit, take = st.tabs(["The unlearned model", "Audit record", "Export"])
    with model:
        the_model(run, result, home)
    with audit:
        st.caption("What was done to which model with which data: SHA-256 of all that went in and came out.")
        st.code(pretty(result.audit), language="json", height=360)
        stem = f"untrac-{run.id}-audit.json"
        _download("Audit record (JSON)", partial(pretty, result.audit), stem, "application/json")
    with take:
        export_section(run, result)


def the_model(run: Run, result: UnlearnFiles, home: Path) -> None:
    """Where the unlearned model lies, and two buttons: keep it, or take it away again."""
    if result.model is None:
        st.text("There is no unlearned model here any more.")
        st.caption(
            "The original was never changed. Running this request again, with the same versions and device, makes the "
            "same unlearned model."
        )
        return
    st.caption("Its folder, with a model card; the original lies elsewhere and was never changed.")
    st.code(str(result.model.resolve()), language=None, wrap_lines=True)
    try:
        entry = export.kept(run.id, home)
    except InputError as error:
        st.text(str(error))
        return
    if entry is not None:
        st.text(f"In the library as {entry.name}.")
        with st.container(horizontal=True):
            st.page_link(
                "pages/models.py", label="See it", icon=":material/neurology:", query_params={"model": entry.id}
            )
            st.page_link(
                "pages/trace.py", label="Trace it", icon=":material/conversion_path:", query_params={"model": entry.id}
            )
    with st.container(horizontal=True):
        if entry is None and st.button(
            "Keep the unlearned model in the library", icon=":material/library_add:", key="keep", type="primary"
        ):
            attempt(partial(export.keep, run.id, home))
        with st.popover("Undo: remove the unlearned model", icon=":material/undo:"):
            st.markdown(
                "The unlearned model's folder is deleted, and it leaves the library. The original stays as it is; "
                "tables and figures of this page stay, too."
            )
            if st.button("Remove it", key="undo", type="primary"):
                attempt(partial(export.undo, run.id, home))
    st.caption("Kept, it can be chosen for any run, and this run, in whose folder it stays, cannot be deleted.")


def export_section(run: Run, result: UnlearnFiles) -> None:
    """Tables, summary and request as files; a link to this view; how to run it again."""
    stem = f"untrac-{run.id}"
    tables = {
        "Metrics": result.metrics, "Curves": result.curves, "Collateral": result.collateral,
        "Single texts": result.forget_examples, "Written": result.generations,
    }  # fmt: skip
    with st.container(horizontal=True):
        report_download(run)
        _download("Everything (.zip)", partial(zipped, result.folder), f"{stem}.zip", "application/zip")
        for name, table in tables.items():
            _download(f"{name} (CSV)", partial(guarded_csv, table), f"{stem}-{file_part(name).lower()}.csv", "text/csv")
        _download("Summary (JSON)", partial(pretty, result.summary), f"{stem}.json", "application/json")
        _download("Request (YAML)", partial(to_yaml, result.spec), f"{stem}.yaml", "application/yaml")
    st.caption(
        "The report is one HTML file: figures, tables, limits and audit record, with the texts masked; it needs no "
        "network. The .zip holds the result's own files, with its texts as they are, but not the unlearned model."
    )
    st.segmented_control(
        "Pictures as", KINDS, format_func=str.upper, default=KINDS[0], required=True,
        help="What the camera in a figure's corner saves", key=PICTURES, persist_state="session",
    )  # fmt: skip
    st.markdown("**A link to this view**")
    st.code(address(), language=None, wrap_lines=True)
    st.markdown("**Run it again**")
    st.code(f"untrac run unlearn.yaml --out result\nuntrac report {run.id} --out {stem}.html", language="bash")
    st.code(to_yaml(result.spec), language="yaml", height=320)
    st.markdown("**Where it ran**")
    st.code(pretty(result.environment), language="json", height=220)


def _download(label: str, make: Any, name: str, mime: str) -> None:
    st.download_button(label, make, file_name=name, mime=mime, on_click="ignore", icon=":material/download:", key=name)
