"""The report of a trace: for every prompt set and side the ranking with its intervals, and all that it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from untrac_core.figures import ranking as figures
from untrac_core.figures.palette import UNDECIDED, colour_key, paleness, subset_colours
from untrac_core.report.blocks import Block, Column, Figure, Group, Heading, Listed, Paragraph, Part, Table
from untrac_core.report.groups import group_part
from untrac_core.results.export import file_part
from untrac_core.results.folders import TraceFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import ATTRIBUTION, BASELINES, PRESETS, method_title
from untrac_core.tasks.trace import frames
from untrac_core.tasks.trace.scale import Scale, answer_lines, scale_of
from untrac_core.text.labels import WHOLE, labels, meaning, measured, question, unit_of
from untrac_core.text.limits import NOT_PROOF
from untrac_core.text.masking import mask
from untrac_core.text.numbers import count, decimals, duration, megabytes, signed

BARS = (28, 12)
"""Of a longer ranking, how many bars are drawn from its two ends; the table has all."""
LINES = (8, 4)
"""Of a ranking longer than that, how many lines are drawn from its two ends."""
ROWS = (14, 6)
"""The same, of the rows of a heatmap."""
TEXTS = 8
"""Training texts shown at each end."""
TEXT_CHARACTERS = 400
TEXT_FEATURES = 6
SEPARABLE = {(True, False): "yes", (False, False): "no", (False, True): "no: the model collapsed"}
"""Whether a subset is clear of its neighbours, by whether it is, and whether its model collapsed."""
NUMBER = "number"
MASKED = "Training texts are masked in this file: only their outlines are shown, as they may be harmful."
OPEN = "This file shows training texts as they are, which was asked for when it was made; they may be harmful."


class TraceReport:
    """The report of one trace: its parts, its title, and what is said of the training texts in it."""

    def __init__(self, result: TraceFiles, *, show_texts: bool) -> None:
        self.result, self.show_texts = result, show_texts
        self.summary = result.summary
        measured = result.influence
        self._all_items = measured[measured["group"] == ""]
        self.own = method_title(result.spec.method.name)
        self.unit = unit_of(result.spec.method)
        self.notice = OPEN if show_texts else MASKED

    @property
    def title(self) -> str:
        """The question that is asked; of several prompt sets, what they share."""
        if len(self.result.spec.prompts) > 1:
            return "Which training subsets push the model towards such texts?"
        [prompts] = self.result.spec.prompts
        return question(prompts, next(iter(frames.sides_of(self.summary, prompts.name)), "harmful"))

    def parts(self) -> Iterator[Part]:
        """The whole report, from the answers to the limits."""
        yield "The answers", [*self._answers()]
        for prompts in self.result.spec.prompts:
            sides = frames.sides_of(self.summary, prompts.name)
            yield (
                f"Prompt set: {prompts.name}",
                [
                    Group("folded" if number else "section", [*self._side(prompts, side)], question(prompts, side))
                    for number, side in enumerate(sides)
                ],
            )
        yield "How it was measured", [*self._method()]
        yield "What this does not prove", [Paragraph(NOT_PROOF)]

    def _answers(self) -> Iterator[Block]:
        """The sentence of each prompt set's first side, the sign in words, and what speaks against all of it."""
        for prompts in self.result.spec.prompts:
            sides = frames.sides_of(self.summary, prompts.name)
            if sides:
                yield Heading(question(prompts, sides[0]))
                yield from self._answer(prompts, sides[0])
            else:
                yield Paragraph(f"{prompts.name}: this was not ranked.")
        if warnings := self.summary.get("warnings", []):
            yield Group("box", [Listed(warnings)], "Warnings")
        how = [
            f"{measured(self.result.spec.method)} A positive number means that the subset makes the text more likely.",
            "The contrast is the influence on the harmful side minus that on the harmless side: it is free of plain "
            "fluency, and positive where a subset pushes towards the harm.",
            "An interval (95 %) says how far a number might move with other seeds and with other texts of the same "
            "kind. Where intervals of differences include zero, the answer is 'cannot separate'.",
        ]
        if not self.result.spec.method.unlearns:
            how[0] = f"{self.own} gives a score in its own unit, and not a change of the model's loss."
        yield Group("box", [Listed(how)], "How to read the numbers")

    def _answer(self, prompts: PromptSet, side: str) -> Iterator[Block]:
        """The verdict on a side, and whether the model collapsed on the way to it."""
        found = frames.verdict(self.summary, prompts.name, side)
        if found is None:
            return
        told = answer_lines(self.result, scale_of(self.result, prompts.name, side), prompts, side)
        yield Paragraph(" ".join(told), "answer")
        if found.get("collapsed"):
            yield Paragraph("Collapsed: the model ended knowing nothing in part of the unlearning.", "quiet")

    def _side(self, prompts: PromptSet, side: str) -> Iterator[Block]:
        """Everything about one side of a prompt set."""
        name = prompts.name
        yield Paragraph(f"{name} · {side}", "quiet")
        for part in ("answer", "ranking", "groups", "baselines", "truth", "examples"):
            yield from self.pick(part, prompts, side, whole=True)

    def pick(self, part: str, prompts: PromptSet, side: str, *, whole: bool = False) -> Iterator[Block]:
        """One part of a side; nothing where there is none. ``whole``: the steps stand beside the ranking."""
        name = prompts.name
        ranked, stem = frames.ranking(self.summary, name, side), f"{self._file_names[name]}-{side}"
        if part == "answer":
            yield from self._answer(prompts, side)
        elif part == "baselines":
            yield from self._cheaper(name, side, ranked)
        elif part == "method":
            yield from self._method()
        elif ranked.empty:
            return
        elif part == "ranking":
            bars = [*self._bars(prompts, side, scale_of(self.result, name, side), stem)]
            path = [*self.pick("steps", prompts, side)] if whole else []
            yield from [Group("pair", [Group("", bars), Group("", path)])] if path else bars
        elif part == "steps":
            if self._all_items["step"].nunique() > 1:
                yield from self._path(prompts, side, ranked, stem)
        elif part == "groups":
            said = frames.ends_in_words(ranked, ROWS, "the result's groups.parquet has all")
            subsets = list(frames.shown(ranked, ROWS)["subset"])
            yield from group_part(self.result.groups(name, side), prompts, side, subsets, stem, said, self.unit)
        elif part == "truth":
            yield from self._truth(ranked, name, side, stem)
        elif part == "examples":
            yield from self._texts(name, side)

    @cached_property
    def _file_names(self) -> dict[str, str]:
        """What a prompt set is called in a file's name; numbered where two are alike, as in other alphabets."""
        found = {prompts.name: file_part(prompts.name) for prompts in self.result.spec.prompts}
        alike = list(found.values())
        return {
            name: part if alike.count(part) == 1 else f"{part}-{number}"
            for number, (name, part) in enumerate(found.items(), 1)
        }

    def _bars(self, prompts: PromptSet, side: str, scale: Scale, stem: str) -> Iterator[Block]:
        """The ranking as bars, its key, what cannot be separated, and what unit and sign mean."""
        ranked = scale.ranked
        groups = frames.groups(self.summary, prompts.name, side)
        part = frames.ends_in_words(ranked, BARS, "the table has all")
        drawn = figures.ranked_bars(frames.shown(ranked, BARS), side=side, groups=groups or (), unit=scale.unit)
        if len(ranked) > sum(BARS):
            drawn.add_hline(y=BARS[0] - 0.5, line={"color": UNDECIDED, "width": 1, "dash": "dot"})
        yield Figure(
            drawn,
            name=f"{stem}-ranking",
            alt=f"Ranked bars: the influence of each training subset on {prompts.name}, {side}, with its interval",
            numbers=self._ranking_table(ranked, scale.unit),
            key=[*colour_key(labels(prompts), side), ("", paleness(bracket=bool(groups)))],
            caption=[part] if part else [],
        )
        if groups is not None:
            yield Paragraph(frames.groups_in_words(ranked, groups))
        yield Paragraph(f"{scale.said} {meaning(self.result.spec, prompts, side)}", "quiet")

    def _ranking_table(self, ranked: pd.DataFrame, unit: str) -> Table:
        columns = [
            Column("Rank", NUMBER),
            Column("Subset"),
            Column(f"Influence, {unit}", NUMBER),
            Column("95 % interval", NUMBER),
            Column("Clear of its neighbours"),
        ]
        rows = [
            (int(row.rank), row.subset, signed(row.influence), interval(row), SEPARABLE[row.separable, row.collapsed])
            for row in ranked.itertuples()
        ]
        return Table(columns, rows)

    def _path(self, prompts: PromptSet, side: str, ranked: pd.DataFrame, stem: str) -> Iterator[Block]:
        """How the influence grew as the model unlearned; why there is no such figure, where there is none."""
        yield Heading("Stability across steps")
        points = frames.trajectory(self._all_items, prompts.name, side)
        drawn = frames.shown(ranked, LINES)
        points = points[points["subset"].isin(set(drawn["subset"]))]
        if points.empty:
            yield Paragraph("The two sides were not measured at a common step.", "quiet")
            return
        said = "A line is the mean over seeds, its band reaches from the least to the greatest seed."
        if self.result.spec.weighting == "proportional" and self.result.spec.method.takes_steps:
            said += " The lines compare token for token: the subsets' shares of the text are not yet counted in."
        part = frames.ends_in_words(ranked, LINES, "the result's influence.parquet has all")
        said = f"{said} {part}" if part else said
        wide = points.pivot(index="subset", columns="step", values="influence").reindex(drawn["subset"])
        columns = [Column("Subset"), *(Column(f"step {step}", NUMBER) for step in wide.columns)]
        rows = [[name, *map(signed, values)] for name, values in zip(wide.index, wide.to_numpy(), strict=True)]
        yield Figure(
            figures.trajectory(
                points,
                colours=subset_colours(drawn, side),
                unit=self.unit,
                height=min(520, max(280, 34 * len(drawn) + 20)),
            ),
            name=f"{stem}-path",
            alt=f"Influence of each subset on {prompts.name}, {side}, over the unlearning steps",
            caption=[said],
            numbers=Table(columns, rows, caption=f"mean over seeds, {self.unit}"),
        )

    def _cheaper(self, prompt_set: str, side: str, ranked: pd.DataFrame) -> Iterator[Block]:
        """What the baselines say, and how far they agree with the method."""
        beside = frames.baselines(self.summary, prompt_set, side)
        if beside.empty:
            return
        ranks = frames.rank_table(ranked, beside, self.own)
        columns = [Column("Subset"), *(Column(method_title(name), NUMBER) for name in ranks.columns[1:])]
        rows = [
            [row[0], *(None if pd.isna(rank) else int(rank) for rank in row[1:])]
            for row in ranks.itertuples(index=False, name=None)
        ]
        agreement = frames.of_side(self.summary.get("agreement", []), prompt_set, side)
        said = [frames.agreement_in_words(row, beside, self.own) for row in agreement]
        ranking = Table(columns, rows, caption="Rank by each; shaded: what it puts first.", firsts=True)
        yield Heading("Baselines")
        yield ranking if len(rows) <= BARS[0] else Group("details", [ranking], "The rank by each")
        yield Listed(said)

    def _truth(self, ranked: pd.DataFrame, prompt_set: str, side: str, stem: str) -> Iterator[Block]:
        """The estimate beside what is known to be true, where a result knows it."""
        planted = "planted statements, harmful minus harmless" if side == "contrast" else f"planted {side} statements"
        parts = []
        for pairs, kind, across, heading in (
            (
                frames.with_ground_truth(ranked, self.result.ground_truth, prompt_set, side),
                "retrained",
                "true influence by retraining without it, nats per token",
                "Retrained without it",
            ),
            (
                frames.with_planted(ranked, self.result.planted, prompt_set, side),
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
            drawn = figures.truth_scatter(
                pairs, colours=subset_colours(ranked, side), across=across, unit=self.unit, height=330
            )
            alt = f"The estimate of each subset against the truth: {heading}"
            told = Paragraph(f"{said} ({count(len(pairs), 'subset')})", lead=f"{heading}:")
            figure = Figure(drawn, name=f"{stem}-{kind}", alt=alt, numbers=Table(columns, rows))
            parts.append(Group("", [told, figure]))
        if parts:
            yield Heading("Estimate vs ground truth")
            yield Group("pair even", parts)
            note = "The estimate is not the truth's size, which comes from retraining: compare order and proportion."
            yield Paragraph(f"{note} The dashed line is the best straight fit.", "quiet")

    def _texts(self, prompt_set: str, side: str) -> Iterator[Block]:
        """The most and the least influential training texts, masked unless asked for, and what they have in common."""
        scores = self.result.examples(prompt_set, side, columns=["subset", "id", "influence"])
        if scores.empty:
            return
        ordered = scores.sort_values(["influence", "subset", "id"], ascending=[False, True, True])
        ends = [("The most influential training texts", ordered.head(TEXTS))]
        if len(ordered) > 2 * TEXTS:
            ends.append(("The least influential", ordered.tail(TEXTS).iloc[::-1]))
        wanted = [str(one) for _, rows in ends for one in rows["id"]]
        texts = self.result.examples(prompt_set, side, ids=sorted(set(wanted))).drop_duplicates(["subset", "id"])
        said = f"Of {len(scores):,} texts, by their own influence on this side, in {self.unit}."
        inner: list[Block] = [Paragraph(said, "quiet")]
        for heading, rows in ends:
            found = rows[["subset", "id"]].merge(texts, "left")
            inner.append(Table(TEXT_COLUMNS, self._text_rows(found), caption=heading))
        told = frames.of_side(self.summary.get("text_features", []), prompt_set, side)
        if common := [row["text"] for row in sorted(told, key=lambda row: bool(row["subset"]))[:TEXT_FEATURES]]:
            inner += [Paragraph("", lead="What the influential ones have in common"), Listed(common)]
        yield Group("details", inner, "Which training texts are behind it?")

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

    def _method(self) -> Iterator[Block]:
        """How the numbers were made, in plain words."""
        spec, summary = self.result.spec, self.summary
        row = ATTRIBUTION[spec.method.name]
        named = spec.method.variant
        yield Paragraph(row.does, lead=f"{row.title}{f', {named} preset' if named else ''}.")
        said = []
        if named:
            said += [f"The preset: {PRESETS[named]}.", measured(spec.method)]
        if spec.weighting == "proportional":
            said.append(f"Sizes: proportional. Each number is what leaving out the whole subset would do, {WHOLE}.")
        beside = dict.fromkeys(each["method"] for each in summary.get("baselines", []))
        said += [f"Beside it {BASELINES[one].title}: {BASELINES[one].does}" for one in beside if one in BASELINES]
        seconds, peak = summary.get("seconds"), summary.get("peak_memory_mb")
        said += [f"It took {duration(seconds)}."] if seconds is not None else []
        said += [f"It needed at most {megabytes(peak)} of memory."] if peak else []
        yield Listed(said)


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
    return "no interval" if pd.isna(row.low) or pd.isna(row.high) else f"{signed(row.low)} to {signed(row.high)}"
