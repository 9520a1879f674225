"""A finished trace in Python: its tables, and the figures of the pages, without a server.

import untrac_core as untrac

demo = untrac.open_result("demo")
demo.plot("toxicity")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
import plotly.graph_objects as go

from untrac_core.errors import InputError
from untrac_core.explore.comparison import ComparedViews
from untrac_core.explore.ranking_view import view_of
from untrac_core.figures import features as feature_figures
from untrac_core.figures import groups as group_figures
from untrac_core.figures import ranking as figures
from untrac_core.figures import tokens as text_figures
from untrac_core.figures.palette import subset_colours
from untrac_core.fileio import write_bytes
from untrac_core.results.folders import GenerateFiles, TraceFiles, UnlearnFiles, ValidateFiles, VerifyFiles
from untrac_core.specs import TraceSpec
from untrac_core.tasks.blending import Blended, blended, same_question
from untrac_core.tasks.blending import closer as is_closer
from untrac_core.tasks.ladder import check_unchanged, extended, large_or_undecided, next_rung
from untrac_core.tasks.registry import describe_run
from untrac_core.tasks.trace import frames
from untrac_core.tasks.trace.features import TEXT_FEATURES
from untrac_core.tasks.trace.scale import Scale, in_nats, scale_of
from untrac_core.tasks.validate.mixing import WhatIf, mixing_of
from untrac_core.text import masking
from untrac_core.text.labels import meaning, unit_of

DRAWN = (24, 12)
"""Of a longer ranking, how many subsets are drawn from its two ends."""
D = TypeVar("D", TraceFiles, ValidateFiles, UnlearnFiles, VerifyFiles, GenerateFiles)


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(Generic[D]):
    """A finished run: its files as ``data``, and what a person wants first of them."""

    data: D

    @property
    def folder(self) -> Path:
        """Where its files are; of a run without ``out``, a temporary folder that lives as long as the result."""
        return self.data.folder

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` says."""
        return self.data.summary

    def __repr__(self) -> str:
        told = describe_run(self.data.spec)
        return f"<{type(self).__name__} {self.data.spec.name!r} in {str(self.folder)!r}: {told}>"


def write_report(folder: Path, path: str | Path, *, show_texts: bool) -> Path:
    """The report of a result folder as a file at ``path``."""
    from untrac_core.report import report

    page, path = report(folder, show_texts=show_texts), Path(path)
    try:
        write_bytes(page, path)
    except OSError as error:
        what = f"the file cannot be written ({error.strerror})"
        raise InputError(what, field=str(path), hint="name another") from None
    return path


class TraceResult(RunResult[TraceFiles]):
    """A finished trace.

    ``prompt_set``, unset, is the first that was asked about; ``side`` is ``contrast``, ``harmful`` or ``harmless``,
    and, unset, the first that was ranked.

    Influence is the loss after unlearning minus the loss before, in nats per token (of UnTrac-Inv with its preset
    ``robust``: per micro-step); positive: the subset makes the text more likely. Intervals are of 95%.
    """

    @property
    def spec(self) -> TraceSpec:
        """The request, with all that was named in short written out."""
        return self.data.spec

    @property
    def prompt_sets(self) -> list[str]:
        """Their names."""
        return [prompts.name for prompts in self.spec.prompts]

    def place(self, prompt_set: str | None = None, side: str | None = None) -> tuple[str, str]:
        """A prompt set and its side; unset, the first that there is, and the first side of it that was ranked.

        Raises:
            InputError: where there is no such one.
        """
        prompt_set = self.prompt_sets[0] if prompt_set is None else prompt_set
        known = frames.sides_of(self.summary, prompt_set)
        if prompt_set not in self.prompt_sets or not known:
            raise InputError(f"there is no prompt set {prompt_set!r}", hint=f"choose one of {self.prompt_sets}")
        if side is not None and side not in known:
            raise InputError(f"{prompt_set!r} has no side {side!r}", hint=f"choose one of {known}")
        ranked = (one for one in known if not frames.ranking(self.summary, prompt_set, one).empty)
        return prompt_set, side or next(ranked, known[0])

    def answer(self, prompt_set: str | None = None, side: str | None = None) -> str:
        """The sentence that answers, and what its sign means."""
        prompt_set, side = self.place(prompt_set, side)
        found = frames.verdict(self.summary, prompt_set, side)
        prompts = next(one for one in self.spec.prompts if one.name == prompt_set)
        scale = scale_of(self.data, prompt_set, side)
        told = [found["text"] if found else "No verdict.", in_nats(scale, prompts, side), scale.said]
        return " ".join([*filter(None, told), meaning(self.spec, prompts, side)])

    def ranking(self, prompt_set: str | None = None, side: str | None = None) -> pd.DataFrame:
        """subset, rank, influence, low, high, separable; the most influential first."""
        return frames.ranking(self.summary, *self.place(prompt_set, side))

    def shown(
        self,
        prompt_set: str | None = None,
        side: str | None = None,
        *,
        validation: RunResult[ValidateFiles] | None = None,
    ) -> Scale:
        """The ranking as it is shown: in nats of retraining where retrained models are known, else in shares.

        ``validation``: one of the same texts, prompts and method, which calibrates it.
        """
        return scale_of(self.data, *self.place(prompt_set, side), None if validation is None else validation.data)

    def plot(self, prompt_set: str | None = None, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """The ranking of :meth:`shown` as bars with intervals; a bracket joins what cannot be separated."""
        prompt_set, side = self.place(prompt_set, side)
        scale = scale_of(self.data, prompt_set, side)
        return figures.ranked_bars(
            frames.shown(scale.ranked, DRAWN),
            side=side,
            dark=dark,
            groups=frames.groups(self.summary, prompt_set, side) or (),
            unit=scale.unit,
        )

    def trajectory(self, prompt_set: str | None = None, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """Influence over the steps of the unlearning."""
        prompt_set, side = self.place(prompt_set, side)
        points = frames.trajectory(self.data.influence, prompt_set, side)
        drawn = frames.shown(self.ranking(prompt_set, side), DRAWN)
        points = points[points["subset"].isin(drawn["subset"])]
        unit = unit_of(self.spec.method)
        return figures.trajectory(points, colours=subset_colours(drawn, side), unit=unit, dark=dark)

    def groups(self, prompt_set: str | None = None, side: str | None = None) -> pd.DataFrame:
        """Influence by group of prompts (UnTrac): group, subset, influence, low, high, items; empty for others."""
        return self.data.groups(*self.place(prompt_set, side))

    def heatmap(self, prompt_set: str | None = None, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """Subsets by groups; :class:`InputError` where the result has no numbers by group."""
        prompt_set, side = self.place(prompt_set, side)
        table = self.groups(prompt_set, side)
        if table.empty:
            raise InputError("this result has no numbers by group", hint="trace with the method untrac")
        order = frames.shown(self.ranking(prompt_set, side), DRAWN)["subset"].tolist()
        shown = table[table["subset"].isin(order)]
        unit = unit_of(self.spec.method)
        return group_figures.group_heatmap(shown, subsets=order, side=side, dark=dark, unit=unit)

    def examples(
        self, prompt_set: str | None = None, side: str | None = None, *, subset: str | None = None, show: bool = False
    ) -> pd.DataFrame:
        """Single training texts, the most influential first (UnTrac-Inv); masked unless ``show``."""
        rows = self.data.examples(*self.place(prompt_set, side), subset)
        rows = rows.sort_values("influence", ascending=False, kind="stable").reset_index(drop=True)
        return rows if show else rows.assign(text=[masking.mask(text) for text in rows["text"]])

    def words(
        self, prompt_set: str, subset: str, id: str, side: str | None = None, *, dark: bool = False, show: bool = False
    ) -> go.Figure:
        """One text with the change of every token's loss behind it; masked unless ``show``.

        :class:`InputError` where the text was not looked at token by token: only those at both ends were.
        """
        prompt_set, side = self.place(prompt_set, side)
        pieces = self.data.tokens(prompt_set, side, subset, id)
        if pieces.empty:
            raise InputError(
                f"text {id!r} of {subset!r} was not looked at token by token",
                hint="choose one of the most or least influential texts of its subset",
            )
        return text_figures.token_text(pieces, side=side, dark=dark, masked=not show)

    def text_features(
        self, prompt_set: str | None = None, side: str | None = None, *, subset: str = "", dark: bool = False
    ) -> go.Figure:
        """What the most influential texts have in common against the rest; ``subset``: of one, else of all."""
        rows = self.data.text_features(*self.place(prompt_set, side), subset)
        return feature_figures.feature_effects(rows, {name: told[0] for name, told in TEXT_FEATURES.items()}, dark=dark)

    def compare(
        self, other: TraceResult, prompt_set: str | None = None, side: str | None = None, *, to: str | None = None
    ) -> ComparedViews:
        """This ranking beside that of another result, or, with ``to``, of another prompt set of it.

        ``prompt_set`` unset: the first that both have. Its ``plot()``, ``lines()``, ``answer()``, ``agreement()`` and
        ``table`` are those of the compare page.
        """
        if prompt_set is None:
            shared = [name for name in self.prompt_sets if (to or name) in other.prompt_sets]
            if not shared:
                raise InputError("the two results share no prompt set", hint="name one of each: prompt_set and to")
            prompt_set = shared[0]
        return ComparedViews([view_of(self.data, prompt_set, side), view_of(other.data, to or prompt_set, side)])

    def sharper(self, to: str | None = None, subsets: Sequence[str] | None = None) -> TraceSpec:
        """The same question by a method that is closer to retraining: ``untrac.trace(result.sharper())`` asks it.

        ``to``: ``untrac`` or ``continuation``; unset, the next above this result's method. ``subsets``: about these
        alone, as those of :attr:`large_or_undecided`; :meth:`blended` then brings all of them together.

        Raises:
            InputError: where there is none, or the data have changed since.
        """
        check_unchanged(self.spec, self.folder)
        return next_rung(self.spec, to, subsets).spec

    def extended(self, seeds: int) -> TraceSpec:
        """The same question by as many seeds: ``untrac.trace(result.extended(5), cache=folder)`` asks it.

        With the ``cache`` that this result was made with, or the ``cells`` of the data home that it is a run of, only
        what is new is computed.

        Raises:
            InputError: where it has as many, or the data have changed since.
        """
        spec = extended(self.spec, seeds)
        check_unchanged(self.spec, self.folder)
        return spec

    @property
    def large_or_undecided(self) -> list[str]:
        """The subsets that a closer look would tell most of: the large ones, and those that cannot be separated."""
        return large_or_undecided(self.data)

    def blended(
        self,
        *closer: TraceResult,
        prompt_set: str | None = None,
        side: str | None = None,
        validation: RunResult[ValidateFiles] | None = None,
    ) -> Blended:
        """This ranking, results of methods closer to retraining, and retrainings as one, each with its weight.

        ``closer``: of the same question, as :meth:`sharper` asks it. Retrainings are those of ``validation``, else the
        result's own where it has some.

        Raises:
            InputError: where there is nothing to blend with, or what there is does not fit together.
        """
        place = self.place(prompt_set, side)
        for other in closer:
            if not is_closer(self.spec, other.spec):
                hint = "name results of sharper()"
                raise InputError("it is not the same question by a closer method", field=repr(other), hint=hint)
        if validation is not None and not same_question(self.spec, validation.data.spec):
            raise InputError("it is not about the same texts", field=repr(validation), hint="validate this trace")
        truth = None if validation is None else validation.data.ground_truth
        found = blended(self.data, [other.data for other in closer], *place, truth)
        if found is None:
            raise InputError(
                "this side cannot be blended: there is nothing to blend it with, fewer than three subsets are shared, "
                "or the answers have nothing to do with each other",
                field=f"{place[0]}, {place[1]}",
                hint="ask again by a closer method for at least three subsets, or validate",
            )
        return found

    def what_if(self, times: Mapping[str, float], *, validation: RunResult[ValidateFiles] | None = None) -> WhatIf:
        """What retraining on another mix would change, told from retrainings without each subset.

        ``times``: how often a subset is read, of what it was: 0 leaves it out, 2 doubles it; one that is not named
        stays at 1. The retrainings are those of ``validation``, else the result's own where it has some.

        Raises:
            InputError: where there are no retrainings, or the mix is none.
        """
        found = mixing_of(self.data, None if validation is None else validation.data)
        if found is None:
            hint = "validate this trace, and name the validation"
            raise InputError("nobody has retrained without these subsets", field="what_if", hint=hint)
        return found.ask(times)

    def report(self, path: str | Path, *, show_texts: bool = False) -> Path:
        """Write the HTML report, one file that needs no network; texts are masked unless ``show_texts``."""
        return write_report(self.folder, path, show_texts=show_texts)
