"""The report of an unlearning: what was forgotten, for which cost, beside models that never saw the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from untrac_core.figures import unlearn as unlearn_figures
from untrac_core.figures.base import ink_of
from untrac_core.figures.collateral import collateral_heatmap
from untrac_core.figures.palette import HARMFUL, HARMLESS, LESS, UNDECIDED
from untrac_core.report.blocks import Block, Cell, Code, Column, Figure, Group, Listed, Paragraph, Part, Table
from untrac_core.report.trace import MASKED, NUMBER, OPEN, interval
from untrac_core.results.export import file_part, pretty
from untrac_core.results.folders import UnlearnFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.unlearn import BEFORE, RETRAINED
from untrac_core.tasks.unlearn import frames, reading, text_frames
from untrac_core.tasks.unlearn.audit import LIMITS
from untrac_core.text.labels import STRATA, titles
from untrac_core.text.masking import mask
from untrac_core.text.numbers import NONE, UNIT, count, figure, signed
from untrac_core.unlearning.metrics.summary import METRICS

PROMPTS = 6
"""Prompts to which is shown what the models wrote."""
TEXTS = 12
"""Texts of the forget set that are listed: those that stayed the most."""
TEXT_CHARACTERS = 400
MASKED_CHARACTERS = 90
COLUMNS = 6
"""Methods side by side in the heatmap; the table below has all."""
METRIC_COLUMNS = [
    Column("Metric, on"),
    *(Column(name, NUMBER) for name in ("Before", "After", "Over seeds", "Retrained", "Seed noise")),
    Column("Target"),
    Column("Unit"),
]
METHOD_COLUMNS = [
    Column("Method"),
    *(Column(name, NUMBER) for name in ("Forget quality", "Utility", "Forget loss", "Retain loss", "Exposure")),
    *(Column(name, NUMBER) for name in ("Relearning steps", "Steps", "Time")),
    Column("The model"),
]


class UnlearnReport:
    """The report of one unlearning: its parts, its title, and what is said of the texts in it."""

    title = "What if the model had never seen it?"

    def __init__(self, result: UnlearnFiles, *, show_texts: bool) -> None:
        self.result, self.show_texts = result, show_texts
        self.summary, self.spec = result.summary, result.spec
        self.own = result.summary["method"]
        self.names = titles(result.spec)
        self.retrained = frames.has_retrained(result)
        self.notice = OPEN if show_texts else MASKED

    def parts(self) -> Iterator[Part]:
        """The whole report, from the answer to the limits."""
        yield "The answer", [*self.answer()]
        yield "Metrics", [*self.metrics()]
        yield "Training curves", [*self._all_curves()]
        yield "Forget-retain trade-off", [*self.tradeoff()]
        yield "Methods", [*self.methods()]
        yield "Collateral changes", [*self.collateral()]
        yield "Generations", [*self.generations()]
        yield "Forget-set examples", [*self.forget_examples()]
        yield "Ensemble audit (epsilon, KLoM)", [*self._ensemble()]
        yield "What this does not prove", [Listed([str(t) for t in self.result.audit.get("does_not_prove") or LIMITS])]
        yield "Audit record", [*self._audit()]

    def pick(self, part: str, prompts: PromptSet | None) -> Iterator[Block]:
        """One part; ``curves`` alone are beside a prompt set."""
        parts = {
            "answer": self.answer, "metrics": self.metrics, "tradeoff": self.tradeoff, "methods": self.methods,
            "collateral": self.collateral, "generations": self.generations, "forget_examples": self.forget_examples,
        }  # fmt: skip
        yield from self.curves(prompts) if part == "curves" else parts[part]()

    def answer(self) -> Iterator[Block]:
        """What it did in words, how it stopped, and what to know before the numbers are believed."""
        summary, spec = self.summary, self.spec
        yield Paragraph(frames.in_words(spec, summary["verdict"]), "answer")
        own: dict[str, Any] = next((row for row in summary["methods"] if row["method"] == self.own), {})
        if own.get("collapsed"):
            yield Paragraph("The model collapsed.", "quiet")
        elif own.get("destroyed"):
            yield Paragraph("The model is damaged: the retain set is at more than 1.5 times its loss.", "quiet")
        yield Listed(frames.stopping(self.result))
        yield Paragraph(frames.extent(self.result), "quiet")
        if warnings := [frames.in_words(spec, text) for text in summary["warnings"]]:
            yield Group("box", [Listed(warnings)], "Warnings")

    def metrics(self) -> Iterator[Block]:
        """The headline measures before, after and for the retrained model; the others below."""
        seeds = len(frames.seeds_of(self.result, self.own))
        yield self._measures(headlines=True, caption=f"Over seeds: least and greatest of {count(seeds, 'unlearning')}")
        yield Paragraph(reading.SEED_NOISE if self.retrained else reading.NO_REFERENCE, "quiet")
        others = self._measures(headlines=False)
        if others.rows:
            yield Group("details", [others], f"{len(others.rows)} more measures")
        told = [METRICS[name] for name in frames.measures_of(self.result)]
        yield Group("details", [Listed([f"{one.title} ({one.unit}): {one.about}" for one in told])], "What these are")

    def _measures(self, *, headlines: bool, caption: str = "") -> Table:
        found = frames.table(self.result, headlines=headlines)
        return Table(METRIC_COLUMNS, found.to_numpy().tolist(), caption=caption)

    def _all_curves(self) -> Iterator[Block]:
        """The curves of the request's method with its first seed, beside each prompt set in turn."""
        sets: list[PromptSet | None] = [*self.spec.prompts] or [None]
        for number, prompts in enumerate(sets):
            blocks = [*self.curves(prompts)]
            if prompts is None or len(sets) == 1:
                yield from blocks
            else:
                yield Group("folded" if number else "section", blocks, f"Beside {prompts.name}")

    def curves(self, prompts: PromptSet | None) -> Iterator[Block]:
        """The losses of one unlearning on its way; ``prompts``: the prompt set whose sides are drawn too."""
        ways = frames.histories(self.result)
        if not ways:
            yield Paragraph(reading.NO_CURVES)
            return
        method, seed = next((way for way in ways if way[0] == self.own), ways[0])
        rows, stop = frames.history(self.result, method, seed, prompts), frames.stopped_at(self.result, method, seed)
        told = frames.line_titles(prompts)
        wide = rows.pivot(index="step", columns="title", values="loss")[list(dict.fromkeys(rows["title"]))]
        columns = [Column("Step", NUMBER), *(Column(str(title), NUMBER) for title in wide.columns)]
        numbers: list[list[Cell]] = [
            [int(step), *(figure(value, UNIT) for value in values)]
            for step, values in zip(wide.index, wide.to_numpy(), strict=True)
        ]
        key = [(ink_of(False), "the forget set"), (LESS, "the retain set, mean over its sets")]
        key += [(tint, told[line]) for line, tint in (("harmful", HARMFUL), ("harmless", HARMLESS)) if line in told]
        marks = ["dashed: the step that was kept"]
        marks += ["dotted: the retrained model"] if rows["retrained"].notna().any() else []
        yield Paragraph(f"{self.names.get(method, method)}, seed {seed}", "quiet")
        yield Figure(
            unlearn_figures.course_lines(rows, stop=stop),
            name=f"{file_part(prompts.name) if prompts else 'forget'}-curves",
            alt="Losses of the forget set, of the retain set and of a prompt set over the steps of the unlearning",
            numbers=Table(columns, numbers, caption=f"loss, {UNIT}"),
            key=[*key, *(("", mark) for mark in marks)],
        )
        yield Paragraph(frames.course_in_words(rows, stop))

    def tradeoff(self) -> Iterator[Block]:
        """What was forgotten for which cost, one line an unlearning."""
        points, retrained = frames.tradeoff(self.result), frames.retrained_point(self.result)
        if points.empty:
            yield Paragraph(reading.NO_TRADEOFF)
            return
        upwards = "forget" if retrained is None else "genex"
        ends = points.groupby(["method", "seed"], sort=False).last().reset_index()
        rows = [
            (self.names.get(row.method, row.method), int(row.seed), int(row.step), figure(row.retain, UNIT),
             figure(getattr(row, upwards), UNIT if retrained is None else ""))
            for row in ends.itertuples()
        ]  # fmt: skip
        height = f"Loss of the forget set, {UNIT}" if retrained is None else "Exposure, bits per text"
        numbers = [Column(name, NUMBER) for name in ("Seed", "Last step", f"Loss of the retain set, {UNIT}", height)]
        marks = ["○ before", "◆ where it ended", "small dots: looks on the way", "thin: further seeds"]
        marks += ["★ the retrained model"] if retrained else []
        yield Figure(
            unlearn_figures.tradeoff_lines(points, titles=self.names, retrained=retrained),
            name="tradeoff",
            alt="Lines of unlearnings: the loss of the retain set across, what was forgotten upwards",
            numbers=Table([Column("Method"), *numbers], rows),
            key=[("", mark) for mark in marks],
        )
        yield Paragraph(frames.tradeoff_in_words(self.result))
        yield Paragraph(reading.tradeoff(retrained=retrained is not None), "quiet")

    def methods(self) -> Iterator[Block]:
        """The methods as a table: two headline numbers that are not multiplied, and what they took."""
        table = frames.leaderboard(self.result)
        yield Table(METHOD_COLUMNS, table.to_numpy().tolist())
        yield Paragraph(reading.methods(table, retrained=self.retrained), "quiet")

    def collateral(self) -> Iterator[Block]:
        """The change of every set of texts, by method and for the retrained model."""
        rows = frames.collateral_rows(self.result)
        every = list(dict.fromkeys(rows["by"].astype(str)))
        drawn = every if len(every) <= COLUMNS else [*every[: COLUMNS - 1], every[-1]]
        columns = [Column("Texts"), Column("By")]
        columns += [Column(name, NUMBER) for name in ("Before", "After", "Change", "95 % interval", "Retrained")]
        numbers = [
            (row.place, row.by, figure(row.before, UNIT), figure(row.after, UNIT), signed(row.change), interval(row),
             signed(row.retrained))
            for row in rows.itertuples()
        ]  # fmt: skip
        yield Paragraph(frames.collateral_in_words(rows, self.own))
        part = f" Drawn: {len(drawn)} of {len(every)} columns; the table has all." if len(drawn) < len(every) else ""
        yield Figure(
            collateral_heatmap(rows[rows["by"].isin(drawn)]),
            name="collateral",
            alt="Heatmap: the change of the loss of every set of texts, by method and for the retrained model",
            numbers=Table(columns, numbers, caption=UNIT),
            key=[
                (LESS, "less likely than before"),
                (unlearn_figures.MORE, "more likely"),
                (UNDECIDED, "zero is inside the interval"),
            ],
            caption=[reading.COLLATERAL + part],
            least=200 + 90 * len(drawn),
        )

    def generations(self) -> Iterator[Block]:
        """What the model wrote before and after, and what the retrained model wrote, to the first prompts."""
        if self.result.generations.empty:
            yield Paragraph("Nothing was written: the request names no prompts to write from.")
            return
        yield Paragraph(text_frames.harmful_written(self.result, self.own))
        prompts = text_frames.prompts_of(self.result)
        seed = text_frames.seeds_written(self.result)[0]
        heads = {BEFORE: "Before", self.own: "After", RETRAINED: "Retrained: never saw the texts"}
        rows: list[Sequence[str | None]] = []
        for prompt in prompts[:PROMPTS]:
            found = text_frames.said(self.result, self.own, prompt, seed)
            most = max((len(one.rows) for one in found), default=0)
            rows += [(self._text(prompt), *(self._written(one, sample) for one in found)) for sample in range(most)]
        columns = [Column("Given"), *(Column(head, "wide") for head in heads.values())]
        told = f"Seed {seed}; the first {count(min(len(prompts), PROMPTS), 'prompt')} of {len(prompts)}."
        yield Group("details", [Table(columns, rows, caption=told)], "What each model wrote")

    def _written(self, one: text_frames.Said, sample: int) -> str | None:
        if sample >= len(one.rows):
            return None
        row = one.rows.iloc[sample]
        score = "" if pd.isna(row["score"]) else f" (score {float(row['score']):.2g})"
        mark = f" (harmful, score {float(row['score']):.2g})" if row["harmful"] else score
        return f"{self._text(str(row['completion'])) or '(empty)'}{mark}"

    def forget_examples(self) -> Iterator[Block]:
        """The forget set, text by text: which stayed, and what these have in common."""
        rows = text_frames.hardest_first(self.result)
        if rows.empty:
            yield Paragraph("No single text was looked at.")
            return
        if rows["retrained"].isna().all():
            yield Paragraph(reading.NO_STRIP)
            yield self._text_table(rows)
            return
        yield Paragraph(frames.hard_in_words(rows))
        yield Figure(
            unlearn_figures.exposure_strip(rows),
            name="texts",
            alt="Every text that was to go as a point: its exposure across, how memorised it is in rows",
            numbers=self._text_table(rows),
            key=[(UNDECIDED, "a text"), (unlearn_figures.MORE, "unlike the holdout set"), ("", "| median of a row")],
            caption=[reading.STRIP],
        )

    def _text_table(self, rows: pd.DataFrame) -> Table:
        columns = [Column("Text"), Column("Its words", "wide")]
        columns += [Column(name, NUMBER) for name in ("Before", "After", "Retrained", "Exposure, bits", "Tokens")]
        columns += [Column("Memorised"), Column("Difficult"), Column("Unusual")]
        shown = [
            (str(row.id), self._text(str(row.text)), figure(row.before, UNIT), figure(row.after, UNIT),
             figure(row.retrained, UNIT), signed(row.genex), int(row.tokens), STRATA.get(row.memorised, NONE),
             STRATA.get(row.difficult, NONE), "unusual" if row.unusual else "")
            for row in rows.head(TEXTS).itertuples()
        ]  # fmt: skip
        told = f"The first {len(shown)} of {count(len(rows), 'text')}, those that stayed the most first; loss, {UNIT}."
        return Table(columns, shown, caption=told)

    def _text(self, text: str) -> str:
        return text[:TEXT_CHARACTERS] if self.show_texts else mask(text, MASKED_CHARACTERS)

    def _ensemble(self) -> Iterator[Block]:
        """Whether many unlearned models can be told from as many retrained ones."""
        audit = self.summary.get("ensemble_audit")
        if not audit:
            return
        yield Paragraph(reading.ensemble(audit))
        if audit.get("too_few"):
            return
        yield Table([Column("What"), Column("Which")], [*reading.ensemble_facts(audit).items()])
        numbers = [Column(name, NUMBER) for name in ("KLoM, mean", "Worst twentieth", "By chance")]
        rows = [
            (row.place, *(figure(value, UNIT) for value in (row.mean, row.percentile95, row.chance)))
            for row in reading.ensemble_klom(audit).itertuples()
        ]
        yield Table([Column("Texts"), *numbers], rows, caption="nats")
        yield Paragraph(reading.KLOM, "quiet")

    def _audit(self) -> Iterator[Block]:
        """What was done to which model with which data, with the hashes of all that went in and came out."""
        yield Paragraph("SHA-256 of all that went in and came out. The original model was never changed.", "quiet")
        yield Group("details", [Code(pretty(self.result.audit))], "The record")
