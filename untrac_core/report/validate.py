"""The report of a validation: which method agrees with retraining, how steady the truth is, estimate against truth."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from untrac_core.figures import ranking as figures
from untrac_core.figures import validate as validation_figures
from untrac_core.figures.palette import UNDECIDED, colour_key, subset_colours
from untrac_core.report.additions import Additions
from untrac_core.report.blocks import Block, Cell, Column, Figure, Group, Listed, Paragraph, Part, Table
from untrac_core.report.trace import BARS, NUMBER, interval
from untrac_core.results.export import file_part
from untrac_core.results.folders import ValidateFiles
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import ATTRIBUTION, PRESETS, method_title
from untrac_core.specs.parts import INITS
from untrac_core.stats.agreement import RESOLVABLE
from untrac_core.tasks.trace.frames import ends_in_words, shown
from untrac_core.tasks.validate import frames, truth_frames
from untrac_core.text.labels import labels as side_labels
from untrac_core.text.labels import legend
from untrac_core.text.limits import FURTHER_LIMITS, TRUTH_LIMITS
from untrac_core.text.numbers import count, decimals, duration, figure, megabytes, percent, signed

SCATTERS = 3
"""Methods whose estimates are drawn beside the truth: the best ones."""
KEYS = ((validation_figures.BEST, "agrees best in Pearson r, or (as a ring) a tie with it"), (UNDECIDED, "worse"))


class ValidationReport:
    """The report of one validation: its title and its parts. It shows no training texts, so it says nothing of them."""

    title = "Can the estimate be trusted here?"
    notice = ""

    def __init__(self, validation: ValidateFiles) -> None:
        self.validation, self.summary = validation, validation.summary
        scopes = frames.scopes(self.summary)
        self.scope = next(iter(scopes), "all")
        self.over = scopes.get(self.scope, self.scope)

    def parts(self) -> Iterator[Part]:
        """The whole report, from the verdict to the limits."""
        yield "The answer", [*self._verdict()]
        yield "Agreement with retraining", [self._agreement()]
        if size := [*self._size_and_sign()]:
            yield "Size and sign", size
        yield from Additions(self.summary, self.scope, self.over).parts()
        yield "Ground-truth reproducibility", [self._noise()]
        yield "Differences between methods", [*self._differences()]
        yield "Estimates vs ground truth", [*self._beside()]
        yield "How it was measured", [*self._methods()]
        yield "What this does not prove", [*self._limits()]

    def _verdict(self) -> Iterator[Block]:
        """The sentence that decides, how much it rests on, and what speaks against it."""
        summary = self.summary
        yield Paragraph(frames.in_words(summary, summary["verdict"]), "answer")
        yield Paragraph(truth_frames.counts(summary), "quiet")
        if warnings := [frames.in_words(summary, text) for text in summary.get("warnings", [])]:
            yield Group("box", [Listed(warnings)], "Warnings")

    def _agreement(self) -> Block:
        """Every method's agreement with retraining, drawn and in numbers."""
        summary = self.summary
        leaderboard = frames.leaderboard(summary, "pearson", self.scope)
        if leaderboard.empty:
            return Paragraph("No method has a measure of agreement here.")
        critical = summary["critical"].get("pearson")
        meaning = f"{frames.METRICS['pearson'][1]} Shown: {self.over}."
        if critical is not None:
            meaning += " Dashed: chance alone stays below it on 95 of 100 sides."
        single = frames.retraining_in_words(summary, self.scope)
        return Figure(
            validation_figures.agreement_dots(leaderboard, across="Pearson r", critical=critical),
            name="agreement",
            alt="Agreement of each method with retraining, as a dot with its interval, the best on top",
            numbers=self._board(),
            key=KEYS if frames.relations(summary) else [("", "No method stands out.")],
            caption=[meaning, f"Diamond: {single}"] if single else [meaning],
        )

    def _board(self) -> Table:
        """The methods as a table: agreement by every measure, time, memory, failures."""
        found = frames.leaderboard_table(self.summary, self.scope)
        columns = [
            Column("Method"),
            *(Column(label, NUMBER) for label, _ in frames.METRICS.values()),
            Column("interval of Pearson r", NUMBER),
            Column("least r without one subset", NUMBER),
            Column("Time", NUMBER),
            Column("Memory", NUMBER),
            Column("Trouble"),
        ]
        rows: list[list[Cell]] = []
        for row in found.to_dict("records"):
            metrics = [decimals(row[name]) for name in ("pearson", "spearman", "kendall", "ndcg")]
            first = "–" if pd.isna(row["top1"]) else f"{row['top1']:.0f} %"
            ends = "–" if pd.isna(row["low"]) else f"{decimals(row['low'])} to {decimals(row['high'])}"
            least = f"{decimals(row['least'])} ({row['least_without']})" if row["least_without"] else "–"
            rows.append([row["method"], *metrics, first, ends, least, row["seconds"], row["memory"], row["trouble"]])
        return Table(columns, rows, caption=f"Agreement: {self.over}")

    def _size_and_sign(self) -> Iterator[Block]:
        """What the estimates are in nats of retraining, where the result says it."""
        found = frames.calibration(self.summary, self.scope)
        if found.empty:
            return
        headings = ("Slope (95 % interval)", "Same sign", "Error, nats per token", "Of the truth's sd", "Coverage")
        rows = [
            (
                row.method,
                frames.slope_in_words(row),
                percent(row.signs),
                figure(row.rmse),
                percent(row.rmse_share),
                percent(row.coverage),
            )
            for row in found.itertuples()
        ]
        if size := frames.size_in_words(self.summary, self.scope):
            yield Paragraph(size)
        columns = [Column("Method"), *(Column(heading, NUMBER) for heading in headings)]
        yield Table(columns, rows, caption=f"Size and sign: {self.over}")
        yield Paragraph(f"{frames.SLOPE} {frames.ERROR} {frames.COVERAGE}", "quiet")

    def _noise(self) -> Block:
        """How steady the truth itself is."""
        rows = truth_frames.noise(self.summary)
        known = rows.dropna(subset=["agreement"])
        if known.empty:
            return Paragraph("Retrained with one seed only: how steady the truth is cannot be told.")
        numbers = ("Items", "Seeds agree", "Interval", "One retraining", "Ceiling")
        columns = [Column("Side"), *(Column(name, NUMBER) for name in numbers), Column("Can be resolved")]
        cells = [
            (
                row.title,
                "–" if pd.isna(row.items) else f"{row.items:.0f}",
                decimals(row.agreement),
                "–" if pd.isna(row.low) else f"{decimals(row.low)} to {decimals(row.high)}",
                decimals(row.retraining),
                decimals(row.ceiling),
                row.resolution,
            )
            for row in known.itertuples()
        ]
        said = (
            "Each model was retrained with several seeds; a dot says how well these agree. The tick is the ceiling: a "
            "method without fault would agree with this truth that well."
        )
        return Figure(
            validation_figures.noise_dots(known, enough=RESOLVABLE),
            name="noise",
            alt="Agreement between retrainings with different seeds, for each side of each prompt set",
            numbers=Table(columns, cells),
            caption=[said],
        )

    def _differences(self) -> Iterator[Block]:
        """The best method against each other one; a tie is called a tie."""
        rows, names = self.summary["differences"], frames.titles(self.summary)
        compared = [label for label in names if any(label in (row["first"], row["second"]) for row in rows)]
        sides = [side for side in frames.MEAN_OVER if any(row["side"] == side for row in rows)]
        if not compared or not sides:
            return
        best = self.summary.get("best")
        label = best if best in compared else compared[0]
        found = frames.differences(self.summary, label, sides[0])
        columns = [Column("Against"), Column("Difference", NUMBER), Column("Interval", NUMBER)]
        columns += [Column("So it is"), Column("Time")]
        cells = [
            (row.other, _turn(row.value), f"{_turn(row.low)} to {_turn(row.high)}", row.verdict, row.cost)
            for row in found.itertuples()
        ]
        caption = f"{names[label]} against each other method: difference of the mean Pearson r over "
        yield Table(columns, cells, caption=caption + frames.MEAN_OVER[sides[0]])
        said = "Where the interval of a difference holds zero the two are a tie: then take the cheaper one."
        yield Paragraph(said, "quiet")

    def _beside(self) -> Iterator[Block]:
        """For every side the truth as a ranking, and the best methods' estimates beside it."""
        said = (
            "Compare order and proportion of the estimates, not their size: each method measures in its own unit, and "
            "'Size and sign' has the factor between them. Bars of a point: across, from the least to the greatest seed "
            "of retraining; upwards, the estimate's 95 % interval. The dashed line is the best straight fit."
        )
        yield Paragraph(said, "quiet")
        labels = self._asked()
        for prompts in self.validation.spec.prompts:
            for number, side in enumerate(frames.sides_of(self.summary, prompts.name)):
                inner = [*self._side(prompts, side, labels)]
                yield Group("folded" if number else "section", inner, f"{prompts.name}, {side}")

    def _asked(self) -> list[str]:
        """The methods that gave estimates, the best first."""
        leaderboard = frames.leaderboard(self.summary, "pearson", self.scope)
        told = set(self.validation.estimates["method"])
        return [
            label for label in dict.fromkeys([*leaderboard["method"], *frames.titles(self.summary)]) if label in told
        ]

    def pick(self, part: str, prompts: PromptSet, side: str) -> Iterator[Block]:
        """One part; ``estimates`` alone are of a side."""
        if part == "answer":
            yield from self._verdict()
        elif part == "agreement":
            yield self._agreement()
        elif part == "size":
            yield from self._size_and_sign()
        elif part == "reproducibility":
            yield self._noise()
        elif part == "differences":
            yield from self._differences()
        elif part == "estimates":
            yield from self._side(prompts, side, self._asked())
        elif part == "method":
            yield from self._methods()

    def _side(self, prompts: PromptSet, side: str, labels: list[str]) -> Iterator[Block]:
        """One side: the true ranking, and the estimates of the first of ``labels``."""
        ranked = truth_frames.ground_truth(self.validation, prompts.name, side)
        steady = truth_frames.steady(self.summary, prompts.name, side)
        drawn = shown(ranked if steady else ranked.assign(separable=False), BARS)
        part = ends_in_words(ranked, BARS, "the table has all")
        stem, where = f"{file_part(prompts.name)}-{side}", f"{prompts.name}, {side}"
        columns = [Column("Rank", NUMBER), Column("Subset"), Column("True influence", NUMBER), Column("95 % interval")]
        rows = [(int(row.rank), row.subset, signed(row.influence), interval(row)) for row in ranked.itertuples()]
        bars = Figure(
            figures.ranked_bars(drawn, side=side),
            name=f"{stem}-truth",
            alt=f"Ranked bars: the influence of each subset on {where} as retraining without it showed",
            numbers=Table(columns, rows),
            key=colour_key(side_labels(prompts), side),
            caption=[part] if part else [],
        )
        truth = Paragraph("Ground truth: retrained without each subset")
        resolved = Paragraph(truth_frames.resolution(self.summary, prompts.name, side))
        scatters = [Group("", [*self._scatter(label, prompts.name, side, ranked)]) for label in labels[:SCATTERS]]
        yield Group("pair even", [Group("", [truth, bars, resolved]), *scatters])
        yield Paragraph(legend(prompts, side), "quiet")

    def _scatter(self, label: str, prompt_set: str, side: str, ranked: pd.DataFrame) -> Iterator[Block]:
        """The estimates of one method against the truth."""
        name = frames.titles(self.summary)[label]
        yield Paragraph(f"{name}: {frames.agreement_of(self.summary, label, prompt_set, side)}")
        pairs = truth_frames.pairs(self.validation, label, prompt_set, side)
        if pairs.empty:
            yield Paragraph("It gave no estimate for this side.", "quiet")
            return
        unit = frames.methods(self.summary)[label]["unit"]
        columns = [Column("Subset"), Column(f"Estimate, {unit}", NUMBER), Column("Truth, nats per token", NUMBER)]
        rows = [(row.subset, signed(row.influence), signed(row.truth)) for row in pairs.itertuples()]
        colours, across = subset_colours(ranked, side), "retrained without it, nats per token"
        yield Figure(
            figures.truth_scatter(pairs, colours=colours, across=across, unit=unit, height=330),
            name=f"{file_part(prompt_set)}-{side}-{file_part(label)}",
            alt=f"{name}: the estimate of each subset against what retraining without it showed",
            numbers=Table(columns, rows),
        )

    def _methods(self) -> Iterator[Block]:
        """How the truth was made, and which methods were asked."""
        spec, summary = self.validation.spec, self.summary
        title, done = INITS[spec.training.init][:2]
        yield Paragraph(done, lead=f"{title}.")
        said = [
            "Each retraining has the seed, the order and the number of steps of the full one. True influence is the "
            "loss without the subset minus the loss with it, in nats per token."
        ]
        for row in summary["methods"]:
            known = ATTRIBUTION.get(row["name"])
            preset = f" The preset: {PRESETS[row['preset']]}." if row.get("preset") in PRESETS else ""
            if known is not None:
                said.append(f"{method_title(row['name'], row.get('preset'))}: {known.does}{preset}")
        if summary.get("seconds") is not None:
            said.append(f"It took {duration(summary['seconds'])}.")
        if summary.get("peak_memory_mb"):
            said.append(f"It needed at most {megabytes(summary['peak_memory_mb'])} of memory.")
        yield Listed(said)

    def _limits(self) -> Iterator[Block]:
        """What the numbers do not prove."""
        critical = self.summary["critical"]
        subsets, chance = count(int(critical["subsets"]), "subset"), critical["pearson"]
        few = (
            "chance alone can reach any correlation."
            if chance is None
            else f"a correlation below {decimals(chance)} on a single side may be chance."
        )
        if self.validation.spec.training.init == "continued":
            yield Paragraph(FURTHER_LIMITS)
        yield Paragraph(f"{TRUTH_LIMITS} With {subsets}, {few}")


def _turn(value: float) -> str:
    """A difference with two decimals and its sign."""
    return "–" if pd.isna(value) else f"{value:+.2f}".replace("-", "−")
