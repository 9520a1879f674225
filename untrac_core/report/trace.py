"""The report of a trace: for every prompt set and side the ranking with its intervals, and all that it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from untrac_core import figures
from untrac_core import result_frames as frames
from untrac_core.colours import UNDECIDED
from untrac_core.exports import file_part
from untrac_core.figure_parts import (
    decimals,
    signed,
)
from untrac_core.masking import mask
from untrac_core.report.document import (
    Column,
    Document,
    box,
    details,
    escaped,
    key,
    listed,
    paragraph,
    table,
)
from untrac_core.report.groups import group_part
from untrac_core.results import Result
from untrac_core.specs import PromptSet
from untrac_core.wording import (
    BASELINES,
    METHODS,
    NOT_PROOF,
    PRESETS,
    UNIT,
    WHOLE,
    colour_key,
    count,
    duration,
    meaning,
    megabytes,
    method_title,
    paleness,
    question,
    unit_of,
)

BARS = (28, 12)
"""Of a longer ranking, how many bars are drawn from its two ends; the table has all."""
LINES = (8, 4)
"""Of a ranking longer than that, how many lines are drawn from its two ends."""
ROWS = (14, 6)
"""The same, of the rows of a heatmap."""
TEXTS = 8
"""Training texts shown at each end."""
TEXT_CHARACTERS = 400
TRAITS = 6
NUMBER = "number"


class TraceReport:
    """The parts of the report of one trace, written into a document."""

    def __init__(self, result: Result, document: Document, *, show_texts: bool) -> None:
        self.result, self.document, self.show_texts = result, document, show_texts
        self.summary = result.summary
        measured = result.influence
        self._all_items = measured[measured["group"] == ""]
        self.own = method_title(result.spec.method.name)
        self.unit = unit_of(result.spec.method)

    @property
    def places(self) -> Iterator[tuple[PromptSet, str]]:
        """Every prompt set and side that was traced, the contrast first."""
        for prompts in self.result.spec.prompts:
            for side in frames.sides_of(self.summary, prompts.name):
                yield prompts, side

    def write(self) -> None:
        """The whole report, from the answers to the limits."""
        self._answers()
        for prompts in self.result.spec.prompts:
            sides = frames.sides_of(self.summary, prompts.name)
            if sides:
                self.document.heading(f"Prompt set: {prompts.name}")
            for number, side in enumerate(sides):
                with self.document.section(question(prompts, side), folded=number > 0):
                    self._side(prompts, side)
        self._method()
        self.document.heading("What this does not prove")
        self.document.add(paragraph(NOT_PROOF))

    def _answers(self) -> None:
        """The sentence of each prompt set's first side, the sign in words, and what speaks against all of it."""
        document = self.document
        document.heading("The answers")
        for prompts in self.result.spec.prompts:
            sides = frames.sides_of(self.summary, prompts.name)
            if not sides:
                document.add(paragraph(f"{prompts.name}: this was not ranked."))
                continue
            document.add(f"<h4>{escaped(question(prompts, sides[0]))}</h4>", *self._answer(prompts, sides[0]))
        document.add(box("Before you trust it", listed(self.summary.get("warnings", []))))
        how = [
            "Influence is the loss of the model after unlearning minus its loss before, in nats per token: a positive "
            "number means that the subset makes the text more likely.",
            "The contrast is the influence on the harmful side minus that on the harmless side: it is free of plain "
            "fluency, and positive where a subset pushes towards the harm.",
            "An interval (95 %) says how far a number might move with other seeds and with other texts of the same "
            "kind. Where intervals of differences include zero, the answer is 'cannot separate'.",
        ]
        if not self.result.spec.method.unlearns:
            how[0] = f"{self.own} gives a score in its own unit, and not a change of the model's loss."
        document.add(box("How to read the numbers", listed(how)))

    def _answer(self, prompts: PromptSet, side: str) -> list[str]:
        """The verdict on a side, and whether the way to it was straight."""
        found = frames.verdict(self.summary, prompts.name, side)
        if found is None:
            return []
        parts = [paragraph(found["text"], "answer")]
        if found.get("collapsed"):
            parts.append(paragraph("Collapsed: the model broke down in part of the unlearning.", "quiet"))
        elif not found.get("stable", True):
            parts.append(paragraph("Unstable: the first place changed on the way.", "quiet"))
        return parts

    def _side(self, prompts: PromptSet, side: str) -> None:
        """Everything about one side of a prompt set."""
        document, name = self.document, prompts.name
        document.add(paragraph(f"{name} · {side}", "quiet"), *self._answer(prompts, side))
        ranked = frames.ranking(self.summary, name, side)
        stem = f"{self._file_names[name]}-{side}"
        if not ranked.empty:
            left = self._bars(prompts, side, ranked, stem)
            right = self._path(prompts, side, ranked, stem)
            document.add(f'<div class="pair"><div>{left}</div><div>{right}</div></div>')
            said = frames.ends_in_words(ranked, ROWS, "the result's groups.parquet has all")
            subsets = list(frames.shown(ranked, ROWS)["subset"])
            document.add(group_part(self.result.groups(name, side), document, prompts, side, subsets, stem, said))
        document.add(self._cheaper(name, side, ranked))
        if not ranked.empty:
            document.add(self._truth(ranked, name, side, stem), self._texts(name, side))

    @cached_property
    def _file_names(self) -> dict[str, str]:
        """What a prompt set is called in a file's name; numbered where two are alike, as in other alphabets."""
        found = {prompts.name: file_part(prompts.name) for prompts in self.result.spec.prompts}
        alike = list(found.values())
        return {
            name: part if alike.count(part) == 1 else f"{part}-{number}"
            for number, (name, part) in enumerate(found.items(), 1)
        }

    def _bars(self, prompts: PromptSet, side: str, ranked: pd.DataFrame, stem: str) -> str:
        """The ranking as bars, its key, what cannot be separated, and what a sign means."""
        groups = frames.groups(self.summary, prompts.name, side)
        said = [f"{key(colour_key(prompts, side))} · {escaped(paleness(bracket=bool(groups)))}"]
        if part := frames.ends_in_words(ranked, BARS, "the table has all"):
            said.append(escaped(part))
        drawn = figures.ranked_bars(frames.shown(ranked, BARS), side=side, groups=groups or (), unit=self.unit)
        if len(ranked) > sum(BARS):
            drawn.add_hline(y=BARS[0] - 0.5, line={"color": UNDECIDED, "width": 1, "dash": "dot"})
        figure = self.document.figure(
            drawn,
            name=f"{stem}-ranking",
            alt=f"Ranked bars: the influence of each training subset on {prompts.name}, {side}, with its interval",
            caption="<br>".join(said),
            numbers=self._ranking_table(ranked),
        )
        separate = "" if groups is None else paragraph(frames.groups_in_words(ranked, groups))
        return figure + separate + paragraph(meaning(self.result.spec, prompts, side), "quiet")

    def _ranking_table(self, ranked: pd.DataFrame) -> str:
        columns = [
            Column("Rank", NUMBER),
            Column("Subset"),
            Column(f"Influence, {self.unit}", NUMBER),
            Column("95 % interval", NUMBER),
            Column("Clear of its neighbours"),
        ]
        rows = [
            (int(row.rank), row.subset, signed(row.influence), interval(row), "yes" if row.separable else "no")
            for row in ranked.itertuples()
        ]
        return table(columns, rows)

    def _path(self, prompts: PromptSet, side: str, ranked: pd.DataFrame, stem: str) -> str:
        """How the influence grew as the model unlearned; why there is no such figure, where there is none."""
        heading = "<h4>Does the order hold on the way?</h4>"
        if not self.result.spec.method.unlearns:
            return heading + paragraph("This method takes no steps, so there is no way to look at.", "quiet")
        points = frames.trajectory(self._all_items, prompts.name, side)
        drawn = frames.shown(ranked, LINES)
        points = points[points["subset"].isin(set(drawn["subset"]))]
        if points.empty:
            return heading + paragraph("The two sides were not measured at a common step.", "quiet")
        said = "A line is the mean over seeds, its band reaches from the least to the greatest seed."
        if self.result.spec.sizes == "proportional":
            said += " The lines compare token for token: the subsets' shares of the text are not yet counted in."
        part = frames.ends_in_words(ranked, LINES, "the result's influence.parquet has all")
        said = f"{said} {part}" if part else said
        wide = points.pivot(index="subset", columns="step", values="influence").reindex(drawn["subset"])
        columns = [Column("Subset"), *(Column(f"step {step}", NUMBER) for step in wide.columns)]
        rows = [[name, *map(signed, values)] for name, values in zip(wide.index, wide.to_numpy(), strict=True)]
        return heading + self.document.figure(
            figures.trajectory(
                points, colours=frames.subset_colours(drawn, side), height=min(520, max(280, 34 * len(drawn) + 20))
            ),
            name=f"{stem}-path",
            alt=f"Influence of each subset on {prompts.name}, {side}, over the unlearning steps",
            caption=escaped(said),
            numbers=table(columns, rows, caption=f"mean over seeds, {UNIT}"),
        )

    def _cheaper(self, prompt_set: str, side: str, ranked: pd.DataFrame) -> str:
        """What the baselines say, and how far they agree with the method."""
        beside = frames.baselines(self.summary, prompt_set, side)
        if beside.empty:
            return ""
        ranks = frames.rank_table(ranked, beside, self.own)
        columns = [Column("Subset"), *(Column(method_title(name), NUMBER) for name in ranks.columns[1:])]
        rows = [
            [row[0], *(None if pd.isna(rank) else int(rank) for rank in row[1:])]
            for row in ranks.itertuples(index=False, name=None)
        ]
        agreement = frames.of_side(self.summary.get("agreement", []), prompt_set, side)
        said = [frames.agreement_in_words(row, beside, self.own) for row in agreement]
        ranking = table(columns, rows, caption="Rank by each; shaded: what it puts first.", firsts=True)
        inner = ranking if len(rows) <= BARS[0] else details("The rank by each", ranking)
        return f"<h4>What would a cheaper look have said?</h4>{inner}{listed(said)}"

    def _truth(self, ranked: pd.DataFrame, prompt_set: str, side: str, stem: str) -> str:
        """The estimate beside what is known to be true, where a result knows it."""
        planted = "planted statements, harmful minus harmless" if side == "contrast" else f"planted {side} statements"
        parts = []
        for pairs, kind, across, heading in (
            (
                frames.beside_truth(ranked, self.result.truth, prompt_set, side),
                "retrained",
                "true influence by retraining without it, nats per token",
                "Retrained without it",
            ),
            (
                frames.beside_doses(ranked, self.result.doses, prompt_set, side),
                "planted",
                planted,
                "Planted in it",
            ),
        ):
            if pairs.empty:
                continue
            found = frames.pearson(pairs)
            said = "no agreement can be computed" if found is None else f"Pearson r = {decimals(found)}"
            columns = [Column("Subset"), Column("Estimate", NUMBER), Column(f"Truth: {across}", NUMBER)]
            rows = [(row.subset, signed(row.influence), signed(row.truth)) for row in pairs.itertuples()]
            drawn = figures.truth_scatter(pairs, colours=frames.subset_colours(ranked, side), across=across, height=330)
            alt = f"The estimate of each subset against the truth: {heading}"
            figure = self.document.figure(drawn, name=f"{stem}-{kind}", alt=alt, numbers=table(columns, rows))
            parts.append(f"<div><strong>{heading}</strong>: {said} ({count(len(pairs), 'subset')}){figure}</div>")
        if not parts:
            return ""
        note = "The estimate comes from a small unlearning step, the truth from retraining: compare order and "
        note += "proportion, not size. The dashed line is the best straight fit."
        heading = "<h4>Does the estimate agree with the truth?</h4>"
        return f'{heading}<div class="pair even">{"".join(parts)}</div>{paragraph(note, "quiet")}'

    def _texts(self, prompt_set: str, side: str) -> str:
        """The most and the least influential training texts, masked unless asked for, and what they have in common."""
        scores = self.result.examples(prompt_set, side, columns=["subset", "id", "influence"])
        if scores.empty:
            return ""
        ordered = scores.sort_values(["influence", "subset", "id"], ascending=[False, True, True])
        ends = [("The most influential training texts", ordered.head(TEXTS))]
        if len(ordered) > 2 * TEXTS:
            ends.append(("The least influential", ordered.tail(TEXTS).iloc[::-1]))
        wanted = [str(one) for _, rows in ends for one in rows["id"]]
        texts = self.result.examples(prompt_set, side, ids=sorted(set(wanted))).drop_duplicates(["subset", "id"])
        tables = "".join(
            table(TEXT_COLUMNS, self._text_rows(rows[["subset", "id"]].merge(texts, "left")), caption=heading)
            for heading, rows in ends
        )
        said = paragraph(f"Of {len(scores):,} texts, by their own influence on this side, in nats per token.", "quiet")
        told = frames.of_side(self.summary.get("traits", []), prompt_set, side)
        common = listed(row["text"] for row in sorted(told, key=lambda row: bool(row["subset"]))[:TRAITS])
        shared = f"<strong>What the influential ones have in common</strong>{common}" if common else ""
        return details("Which training texts are behind it?", said + tables + shared)

    def _text_rows(self, rows: pd.DataFrame) -> list[Sequence[Any]]:
        return [
            (
                row.subset,
                str(row.text)[:TEXT_CHARACTERS] if self.show_texts else mask(str(row.text)),
                signed(row.influence),
                interval(row),
                int(row.tokens),
                row.reference,
            )
            for row in rows.itertuples()
        ]

    def _method(self) -> None:
        """How the numbers were made, in plain words."""
        spec, summary = self.result.spec, self.summary
        name, how = (METHODS | BASELINES)[spec.method.name][:2]
        self.document.heading("How it was measured")
        preset = f", {spec.method.preset} preset" if spec.method.unlearns else ""
        self.document.add(f"<p><strong>{escaped(name + preset)}.</strong> {escaped(how)}</p>")
        said = []
        if spec.method.unlearns:
            said += [f"The preset: {PRESETS[spec.method.preset]}.", f"Influence is the rise of the loss, in {UNIT}."]
        if spec.sizes == "proportional":
            said.append(f"Sizes: proportional. Each number is what leaving out the whole subset would do, {WHOLE}.")
        beside = dict.fromkeys(row["method"] for row in summary.get("baselines", []))
        said += [f"Beside it {BASELINES[one][0]}: {BASELINES[one][1]}" for one in beside if one in BASELINES]
        seconds, peak = summary.get("seconds"), summary.get("peak_memory_mb")
        said += [f"It took {duration(seconds)}."] if seconds is not None else []
        said += [f"It needed at most {megabytes(peak)} of memory."] if peak else []
        self.document.add(listed(said))


TEXT_COLUMNS = [
    Column("Subset"),
    Column("Training text", "wide"),
    Column("Influence", NUMBER),
    Column("95 % interval", NUMBER),
    Column("Tokens", NUMBER),
    Column("Where"),
]


def interval(row: Any) -> str:
    """An interval in words; that there is none, where there is none."""
    return "one seed: none" if pd.isna(row.low) or pd.isna(row.high) else f"{signed(row.low)} to {signed(row.high)}"
