"""Results of validations, unlearnings, verifications and generations in Python: tables, figures and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from untrac_core.engine import Store
from untrac_core.errors import InputError
from untrac_core.explore.result import RunResult, TraceResult, write_report
from untrac_core.figures.collateral import collateral_heatmap
from untrac_core.figures.unlearn import course_lines, tradeoff_lines
from untrac_core.figures.validate import agreement_dots
from untrac_core.figures.verify import alone_scatter
from untrac_core.results.folders import GenerateFiles, UnlearnFiles, ValidateFiles, VerifyFiles, load_trace
from untrac_core.specs import GenerateSpec, UnlearnSpec, ValidateSpec, VerifySpec
from untrac_core.tasks.unlearn import frames as unlearn_frames
from untrac_core.tasks.validate import frames as validate_frames
from untrac_core.tasks.validate.mixing import WhatIf, mixing_of
from untrac_core.text.labels import titles


class ValidateResult(RunResult[ValidateFiles]):
    """A finished validation: which method agrees with retraining.

    ``scope``: what agreement is asked over, one of :attr:`scopes`; unset, the first of them.
    """

    @property
    def spec(self) -> ValidateSpec:
        """The request, with all that was named in short written out."""
        return self.data.spec

    @property
    def scopes(self) -> list[str]:
        """Means over sides (``resolvable``, ``all`` ...), then single sides (``toxicity: contrast`` ...)."""
        return list(validate_frames.scopes(self.summary))

    def answer(self) -> str:
        """Which method to trust here, in words."""
        return validate_frames.in_words(self.summary, self.summary["verdict"])

    def table(self, scope: str | None = None) -> pd.DataFrame:
        """A row per method: every measure of agreement, time, memory, and what went wrong; the best first.

        The last row is that of one retraining against the mean of the others, where there are several.
        """
        return validate_frames.leaderboard_table(self.summary, self._scope(scope))

    def calibration(self, scope: str | None = None) -> pd.DataFrame:
        """A row per method, and one of one retraining: slope, share of right signs, error and coverage after it."""
        return validate_frames.calibration(self.summary, self._scope(scope))

    def plot(self, metric: str = "pearson", scope: str | None = None, *, dark: bool = False) -> go.Figure:
        """The agreement of each method with retraining, with its interval."""
        known = {name: words[0] for name, words in validate_frames.METRICS.items()}
        if metric not in known:
            raise InputError(f"there is no metric {metric!r}", hint=f"choose one of {list(known)}")
        leaderboard = validate_frames.leaderboard(self.summary, metric, self._scope(scope))
        if leaderboard.empty:
            raise InputError(f"no method has the metric {metric!r} here", hint="choose another metric or scope")
        critical = self.summary["critical"].get(metric)
        return agreement_dots(leaderboard, across=known[metric], critical=critical, dark=dark)

    def what_if(self, times: Mapping[str, float]) -> WhatIf:
        """What retraining on another mix would change, told from the retrainings without each subset.

        ``times``: as of :meth:`TraceResult.what_if`. Raises :class:`InputError` where the mix is none.
        """
        found = mixing_of(self.data)
        assert found is not None  # noqa: S101 - a validation has retrainings
        return found.ask(times)

    def report(self, path: str | Path) -> Path:
        """Write the HTML report, one file that needs no network."""
        return write_report(self.folder, path, show_texts=False)

    def _scope(self, scope: str | None) -> str:
        known = self.scopes
        if scope is not None and scope not in known:
            raise InputError(f"there is no scope {scope!r}", hint=f"choose one of {known}")
        return scope or next(iter(known), "all")


class UnlearnResult(RunResult[UnlearnFiles]):
    """A finished unlearning: what is gone, and what it cost."""

    @property
    def spec(self) -> UnlearnSpec:
        """The request, with all that was named in short written out."""
        return self.data.spec

    @property
    def model(self) -> Path | None:
        """The folder of the unlearned model, while it is there."""
        return self.data.model

    def answer(self) -> str:
        """What was forgotten and what was kept, in words."""
        return unlearn_frames.in_words(self.spec, self.summary["verdict"])

    def table(self) -> pd.DataFrame:
        """Before, after and retrained in words, a row per metric, headlines first; numbers: ``data.metrics``."""
        parts = [unlearn_frames.table(self.data, headlines=headlines) for headlines in (True, False)]
        return pd.concat(parts, ignore_index=True)

    def plot(
        self,
        method: str | None = None,
        seed: int | None = None,
        *,
        prompt_set: str | None = None,
        dark: bool = False,
    ) -> go.Figure:
        """The losses of one unlearning over its steps; unset, that of the request's method with the first seed."""
        ways = unlearn_frames.histories(self.data)
        fitting = [way for way in ways if method in (None, way[0]) and seed in (None, way[1])]
        if not fitting:
            raise InputError("no such unlearning was looked at on its way", hint=f"choose one of {ways}")
        sets = {prompts.name: prompts for prompts in self.spec.prompts}
        if prompt_set is not None and prompt_set not in sets:
            raise InputError(f"there is no prompt set {prompt_set!r}", hint=f"choose one of {list(sets)}")
        prompts = sets[prompt_set] if prompt_set else next(iter(sets.values()), None)
        history = unlearn_frames.history(self.data, *fitting[0], prompts)
        return course_lines(history, stop=unlearn_frames.stopped_at(self.data, *fitting[0]), dark=dark)

    def tradeoff(self, *, dark: bool = False) -> go.Figure:
        """What was forgotten for which cost, a line an unlearning."""
        eval_points = unlearn_frames.tradeoff(self.data)
        if eval_points.empty:
            raise InputError("nothing was to stay, or no method was looked at on its way", hint="see table()")
        retrained = unlearn_frames.retrained_point(self.data)
        return tradeoff_lines(eval_points, titles=titles(self.spec), retrained=retrained, dark=dark)

    def report(self, path: str | Path, *, show_texts: bool = False) -> Path:
        """Write the HTML report, one file that needs no network; texts are masked unless ``show_texts``."""
        return write_report(self.folder, path, show_texts=show_texts)

    def collateral(self, *, dark: bool = False) -> go.Figure:
        """What every set of texts lost by every method."""
        return collateral_heatmap(unlearn_frames.collateral_rows(self.data), dark=dark)


class VerifyResult(RunResult[VerifyFiles]):
    """A finished verification: single texts of a trace, each unlearned alone, against others drawn at random."""

    @property
    def spec(self) -> VerifySpec:
        """The request, with all that was named in short written out."""
        return self.data.spec

    def answer(self) -> str:
        """Whether the chosen texts move the prompts more than the others, in words."""
        return str(self.summary["sides"][0]["text"])

    def table(self) -> pd.DataFrame:
        """A row per side: means of the chosen texts and of the controls, their difference with its interval, in words.

        Single texts are in ``data.verified_examples``.
        """
        return pd.DataFrame(self.summary["sides"])

    def plot(self, trace: TraceResult | None = None, side: str | None = None, *, dark: bool = False) -> go.Figure:
        """The trace's score of each text against its influence when it is unlearned alone.

        ``trace``: the result that the texts are of; unset, the run that the request names.
        """
        if trace is None:
            if not self.spec.of:
                raise InputError("where the scores are is not known", hint="name the trace: plot(result)")
            trace = TraceResult(load_trace(Store().run(self.spec.of).folder))
        known = [row["side"] for row in self.summary["sides"]]
        if side is not None and side not in known:
            raise InputError(f"there is no side {side!r}", hint=f"choose one of {known}")
        side = side or known[0]
        verified_examples = self.data.verified_examples[self.data.verified_examples["side"] == side]
        columns = ["subset", "id", "influence", "low", "high"]
        scores = trace.data.examples(self.spec.prompt_set, side, ids=verified_examples["id"].tolist(), columns=columns)
        names = {"influence": "score", "low": "score_low", "high": "score_high"}
        return alone_scatter(
            verified_examples.merge(scores.rename(columns=names), on=["subset", "id"]), side=side, dark=dark
        )


class GenerateResult(RunResult[GenerateFiles]):
    """A finished generation: what the model wrote, and how it was scored."""

    @property
    def spec(self) -> GenerateSpec:
        """The request, with all that was named in short written out."""
        return self.data.spec

    def table(self) -> pd.DataFrame:
        """A row a completion: prompt, completion, group, sample, tokens, score, label."""
        return self.data.completions


RESULTS: dict[str, type[TraceResult | ValidateResult | UnlearnResult | VerifyResult | GenerateResult]] = {
    "trace": TraceResult,
    "validate": ValidateResult,
    "unlearn": UnlearnResult,
    "verify": VerifyResult,
    "generate": GenerateResult,
}
"""By the kind of run."""
