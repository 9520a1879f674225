"""The report of a validation: which method agrees with retraining, how steady the truth is, estimate against truth."""

from __future__ import annotations

import pandas as pd

from untrac_core import figures, validation_figures
from untrac_core import validation_frames as frames
from untrac_core.agreement import RESOLVABLE
from untrac_core.colours import UNDECIDED
from untrac_core.exports import file_part
from untrac_core.figure_parts import decimals, signed
from untrac_core.report.document import Cell, Column, Document, box, escaped, key, listed, paragraph, table
from untrac_core.report.trace import BARS, NUMBER, interval
from untrac_core.result_frames import ends_in_words, shown, subset_colours
from untrac_core.results import Validation
from untrac_core.specs import PromptSet
from untrac_core.wording import (
    BASELINES,
    FURTHER_LIMITS,
    INITS,
    METHODS,
    PRESETS,
    TRUTH_LIMITS,
    colour_key,
    count,
    duration,
    legend,
    megabytes,
    method_title,
)

SCATTERS = 3
"""Methods whose estimates are drawn beside the truth: the best ones."""
KEYS = ((validation_figures.BEST, "agrees best in Pearson r, or (as a ring) a tie with it"), (UNDECIDED, "worse"))


class ValidationReport:
    """The parts of the report of one validation, written into a document."""

    def __init__(self, validation: Validation, document: Document) -> None:
        self.validation, self.document, self.summary = validation, document, validation.summary
        scopes = frames.scopes(self.summary)
        self.scope = next(iter(scopes), "all")
        self.over = scopes.get(self.scope, self.scope)

    def write(self) -> None:
        """The whole report, from the verdict to the limits."""
        self._verdict()
        self._agreement()
        self._noise()
        self._differences()
        self._beside()
        self._methods()
        self._limits()

    def _verdict(self) -> None:
        """The sentence that decides, how much it rests on, and what speaks against it."""
        document, summary = self.document, self.summary
        document.heading("The answer")
        document.add(paragraph(frames.in_words(summary, summary["verdict"]), "answer"))
        document.add(paragraph(frames.counts(summary), "quiet"))
        warnings = [frames.in_words(summary, text) for text in summary.get("warnings", [])]
        document.add(box("Before you trust it", listed(warnings)))

    def _agreement(self) -> None:
        """Every method's agreement with retraining, drawn and in numbers."""
        document, summary = self.document, self.summary
        document.heading("Which method agrees with retraining?")
        board = frames.board(summary, "pearson", self.scope)
        if board.empty:
            document.add(paragraph("No method has a measure of agreement here."))
            return
        critical = summary["critical"].get("pearson")
        said = [key(KEYS) if frames.relations(summary) else "No method stands out."]
        meaning = f"{frames.MEASURES['pearson'][1]} Shown: {self.over}."
        if critical is not None:
            meaning += " Dashed: chance alone stays below it on 95 of 100 sides."
        drawn = validation_figures.agreement_dots(board, across="Pearson r", critical=critical)
        alt = "Agreement of each method with retraining, as a dot with its interval, the best on top"
        caption = "<br>".join([*said, escaped(meaning)])
        document.add(document.figure(drawn, name="agreement", alt=alt, caption=caption, numbers=self._board()))

    def _board(self) -> str:
        """The methods as a table: agreement by every measure, time, memory, failures."""
        found = frames.board_table(self.summary, self.scope)
        columns = [
            Column("Method"),
            *(Column(label, NUMBER) for label, _ in frames.MEASURES.values()),
            Column("interval of Pearson r", NUMBER),
            Column("Time", NUMBER),
            Column("Memory", NUMBER),
            Column("Trouble"),
        ]
        rows: list[list[Cell]] = []
        for row in found.to_dict("records"):
            measures = [decimals(row[name]) for name in ("pearson", "spearman", "kendall", "ndcg")]
            first = "–" if pd.isna(row["top1"]) else f"{row['top1']:.0f} %"
            ends = "–" if pd.isna(row["low"]) else f"{decimals(row['low'])} to {decimals(row['high'])}"
            rows.append([row["method"], *measures, first, ends, row["seconds"], row["memory"], row["trouble"]])
        return table(columns, rows, caption=f"Agreement: {self.over}")

    def _noise(self) -> None:
        """How steady the truth itself is."""
        document = self.document
        document.heading("Is the truth itself steady?")
        rows = frames.noise(self.summary)
        known = rows.dropna(subset=["agreement"])
        if known.empty:
            document.add(paragraph("Retrained with one seed only: how steady the truth is cannot be told."))
            return
        columns = [Column("Side"), *(Column(name, NUMBER) for name in ("Seeds agree", "Interval", "Ceiling"))]
        columns.append(Column("Can be resolved"))
        cells = [
            (
                row.title,
                decimals(row.agreement),
                "–" if pd.isna(row.low) else f"{decimals(row.low)} to {decimals(row.high)}",
                decimals(row.ceiling),
                "yes" if row.resolvable else "noise: cannot separate",
            )
            for row in known.itertuples()
        ]
        said = (
            "Each model was retrained with several seeds; a dot says how well these agree. The tick is the ceiling: a "
            "method without fault would agree with this truth that well."
        )
        drawn = validation_figures.noise_dots(known, enough=RESOLVABLE)
        alt = "Agreement between retrainings with different seeds, for each side of each prompt set"
        caption = escaped(said)
        document.add(document.figure(drawn, name="noise", alt=alt, caption=caption, numbers=table(columns, cells)))

    def _differences(self) -> None:
        """The best method against each other one; a tie is called a tie."""
        rows, names = self.summary["differences"], frames.titles(self.summary)
        compared = [label for label in names if any(label in (row["first"], row["second"]) for row in rows)]
        sides = [side for side in frames.MEAN_OVER if any(row["side"] == side for row in rows)]
        if not compared or not sides:
            return
        best = self.summary.get("best")
        label = best if best in compared else compared[0]
        found = frames.differences(self.summary, label, sides[0])
        self.document.heading("Is one method better than another?")
        columns = [Column("Against"), Column("Difference", NUMBER), Column("Interval", NUMBER)]
        columns += [Column("So it is"), Column("Time")]
        cells = [
            (row.other, _turn(row.value), f"{_turn(row.low)} to {_turn(row.high)}", row.verdict, row.cost)
            for row in found.itertuples()
        ]
        caption = f"{names[label]} against each other method: difference of the mean Pearson r over "
        self.document.add(table(columns, cells, caption=caption + frames.MEAN_OVER[sides[0]]))
        said = "Where the interval of a difference holds zero the two are a tie: then take the cheaper one."
        self.document.add(paragraph(said, "quiet"))

    def _beside(self) -> None:
        """For every side the truth as a ranking, and the best methods' estimates beside it."""
        self.document.heading("Does each estimate follow the truth?")
        said = (
            "Compare order and proportion of the estimates, not their size: each method measures in its own unit. Bars "
            "of a point: across, from the least to the greatest seed of retraining; upwards, the estimate's 95 % "
            "interval. The dashed line is the best straight fit."
        )
        self.document.add(paragraph(said, "quiet"))
        board = frames.board(self.summary, "pearson", self.scope)
        told = set(self.validation.estimates["method"])
        labels = [label for label in dict.fromkeys([*board["method"], *frames.titles(self.summary)]) if label in told]
        for prompts in self.validation.spec.prompts:
            for number, side in enumerate(frames.sides_of(self.summary, prompts.name)):
                with self.document.section(f"{prompts.name}, {side}", folded=number > 0):
                    self._side(prompts, side, labels)

    def _side(self, prompts: PromptSet, side: str, labels: list[str]) -> None:
        """One side: the true ranking, and the estimates of the first of ``labels``."""
        ranked = frames.truth(self.validation, prompts.name, side)
        found = frames.noise_of(self.summary, prompts.name, side)
        drawn = shown(ranked if found and found["resolvable"] else ranked.assign(separable=False), BARS)
        part = escaped(ends_in_words(ranked, BARS, "the table has all"))
        stem, where = f"{file_part(prompts.name)}-{side}", f"{prompts.name}, {side}"
        columns = [Column("Rank", NUMBER), Column("Subset"), Column("True influence", NUMBER), Column("95 % interval")]
        rows = [(int(row.rank), row.subset, signed(row.influence), interval(row)) for row in ranked.itertuples()]
        bars = self.document.figure(
            figures.ranked_bars(drawn, side=side),
            name=f"{stem}-truth",
            alt=f"Ranked bars: the influence of each subset on {where} as retraining without it showed",
            caption="<br>".join(filter(None, (key(colour_key(prompts, side)), part))),
            numbers=table(columns, rows),
        )
        truth = "The truth: retrained without each subset"
        resolved = frames.resolution(self.summary, prompts.name, side)
        parts = [f"<div>{paragraph(truth)}{bars}{paragraph(resolved)}</div>"]
        parts += [self._scatter(label, prompts.name, side, ranked) for label in labels[:SCATTERS]]
        self.document.add(f'<div class="pair even">{"".join(parts)}</div>', paragraph(legend(prompts, side), "quiet"))

    def _scatter(self, label: str, prompt_set: str, side: str, ranked: pd.DataFrame) -> str:
        """The estimates of one method against the truth."""
        name = frames.titles(self.summary)[label]
        said = paragraph(f"{name}: {frames.agreement_of(self.summary, label, prompt_set, side)}")
        pairs = frames.pairs(self.validation, label, prompt_set, side)
        if pairs.empty:
            return f"<div>{said}{paragraph('It gave no estimate for this side.', 'quiet')}</div>"
        unit = frames.methods(self.summary)[label]["unit"]
        columns = [Column("Subset"), Column(f"Estimate, {unit}", NUMBER), Column("Truth, nats per token", NUMBER)]
        rows = [(row.subset, signed(row.influence), signed(row.truth)) for row in pairs.itertuples()]
        drawn = figures.truth_scatter(
            pairs,
            colours=subset_colours(ranked, side),
            across="retrained without it, nats per token",
            unit=unit,
            height=330,
        )
        alt = f"{name}: the estimate of each subset against what retraining without it showed"
        figure = self.document.figure(
            drawn, name=f"{file_part(prompt_set)}-{side}-{file_part(label)}", alt=alt, numbers=table(columns, rows)
        )
        return f"<div>{said}{figure}</div>"

    def _methods(self) -> None:
        """How the truth was made, and which methods were asked."""
        spec, summary = self.validation.spec, self.summary
        title, done = INITS[spec.training.init][:2]
        self.document.heading("How it was measured")
        self.document.add(f"<p><strong>{escaped(title)}.</strong> {escaped(done)}</p>")
        said = [
            "Each retraining has the seed, the order and the number of steps of the full one. True influence is the "
            "loss without the subset minus the loss with it, in nats per token."
        ]
        for row in summary["methods"]:
            words = METHODS.get(row["name"]) or BASELINES.get(row["name"])
            preset = f" The preset: {PRESETS[row['preset']]}." if row.get("preset") in PRESETS else ""
            if words is not None:
                said.append(f"{method_title(row['name'], row.get('preset'))}: {words[1]}{preset}")
        if summary.get("seconds") is not None:
            said.append(f"It took {duration(summary['seconds'])}.")
        if summary.get("peak_memory_mb"):
            said.append(f"It needed at most {megabytes(summary['peak_memory_mb'])} of memory.")
        self.document.add(listed(said))

    def _limits(self) -> None:
        """What the numbers do not prove."""
        critical = self.summary["critical"]
        subsets, chance = count(int(critical["subsets"]), "subset"), critical["pearson"]
        few = (
            "chance alone can reach any correlation."
            if chance is None
            else f"a correlation below {decimals(chance)} on a single side may be chance."
        )
        self.document.heading("What this does not prove")
        if self.validation.spec.training.init == "further":
            self.document.add(paragraph(FURTHER_LIMITS))
        self.document.add(paragraph(f"{TRUTH_LIMITS} With {subsets}, {few}"))


def _turn(value: float) -> str:
    """A difference with two decimals and its sign."""
    return "–" if pd.isna(value) else f"{value:+.2f}".replace("-", "−")
