"""The models of an unlearning, each made and read in the same way: as it is, retrained, unlearned, sharded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from untrac_core.cells import Cell
from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel, weights_restored
from untrac_core.models.scoring import TextScorer
from untrac_core.models.trainable import set_trainable
from untrac_core.progress import Progress
from untrac_core.results.folders import read_frame, write_frame
from untrac_core.specs import UnlearningMethodSpec, UnlearnSpec
from untrac_core.specs.catalogue import CONTROL, UNLEARNING
from untrac_core.specs.unlearn import BEFORE, ENSEMBLE, RETRAINED
from untrac_core.tasks.unlearn.data import UnlearnInputs, forget_set_words, looked_at
from untrac_core.training.recipe import save_model
from untrac_core.training.retraining import Retraining
from untrac_core.unlearning.evaluate import EvalSet, evaluate_losses, evaluate_tokens, fact, mean_loss, rows
from untrac_core.unlearning.generation import write_texts
from untrac_core.unlearning.loop import unlearn_model
from untrac_core.unlearning.merging import plain_module, weight_distance
from untrac_core.unlearning.methods.base import UnlearningData, make_unlearning_method
from untrac_core.unlearning.methods.sisa import Ensemble, Sharded
from untrac_core.unlearning.metrics.answers import WORD, key_words
from untrac_core.unlearning.metrics.keywords import key_tokens
from untrac_core.unlearning.relearning import relearning_steps
from untrac_core.unlearning.settings import UnlearningConfig, settled, unlearning_config
from untrac_core.unlearning.stopping import EvalPoint, Stop

HISTORY = "history.parquet"
"""In the working folder: the evaluations of the unlearning that is under way, for whoever watches."""
OTHER = {"harmful": "harmless", "harmless": "harmful"}
UNRELATED = 1_000_000
"""Added to a seed where a second model must share nothing with the first."""


class EvaluatedModels:
    """Makes the table of every cell; the given model's weights are the same before and after.

    ``retrained`` is ``None`` where no recipe is known. ``level``: the retrained model's loss of the forget set, once
    it is known."""

    def __init__(
        self,
        spec: UnlearnSpec,
        data: UnlearnInputs,
        model: LoadedModel,
        retrained: Retraining | None,
        prompts: Sequence[str],
        scorer: TextScorer | None,
        work: Path,
        progress: Progress,
    ) -> None:
        self.spec, self.data, self.model, self.retrained = spec, data, model, retrained
        self.prompts, self.scorer, self.work, self.progress = prompts, scorer, work, progress
        self.settings = {each.title: self._settings(each) for each in spec.methods}
        other = data.prompts.get(spec.forget.prompts or "", {}).get(OTHER[spec.forget.side], [])
        self.retained: list[Example] = [*data.retain_texts, *other]
        """What methods train on to keep it; of a target that is a side of a prompt set, also the other side."""
        text = model.encoder.example_text
        retain = [text(example) for example in looked_at(self.retained, 20 * spec.eval_samples)]
        gone = [text(example) for example in data.forget]
        worded = all(any(WORD.search(each.lower()) for each in side) for side in (gone, retain))
        self.key_words = [found.word for found in key_words(gone, retain)] if worded else []
        """Words that are far commoner in the forget set than in the retain set."""
        self.eval_sets = self._watched()
        self.level: float | None = None
        self.steps: dict[int, int] = {}
        """By seed: how many the method took, once it is known."""
        self.known = mean_loss(evaluate_losses(model, self.eval_sets, 0), self.eval_sets, "forget")
        self.unseen = mean_loss(evaluate_losses(model, self.eval_sets, 0), self.eval_sets, "holdout")
        """Losses of the model as it is: of the forget set, and of the holdout set."""

    def _settings(self, spec: UnlearningMethodSpec) -> UnlearningConfig:
        """A method's settings; where an adapter moves for one method, it does for all: it cannot be taken off."""
        mean = sum(example.tokens for example in self.data.forget) / len(self.data.forget)
        settings = settled(unlearning_config(spec, self.model.facts.parameters), mean)
        return replace(settings, trainable="lora") if self.model.trainable == "lora" else settings

    def table(self, cell: Cell) -> pd.DataFrame:
        """A cell's table."""
        if cell.method == BEFORE:
            return self._read(self.model, 0, cell, relearn=False)
        if cell.method == ENSEMBLE:
            return self._ensemble_pair(cell.seed)
        spec = None if cell.method == RETRAINED else self._spec_of(cell)
        if spec is None or spec.name == "retrain":
            return self._read(self._with(self._of_retrained.trained(cell.seed)), 0, cell)
        return self._sharded(cell) if spec.name == "sisa" else self._unlearned(cell)

    def exported(self, cell: Cell) -> Path:
        """The folder of the model that a cell has unlearned, made again where it is not there."""
        if self._spec_of(cell).name == "retrain":
            return self._of_retrained.folder(cell.seed)
        folder = self._folder(cell)
        if not folder.is_dir():
            self.table(cell)
        return folder

    @property
    def _of_retrained(self) -> Retraining:
        assert self.retrained is not None  # noqa: S101 - a spec that needs one has a recipe
        return self.retrained

    def _watched(self) -> list[EvalSet]:
        """Every set that is read: the forget set, what was never seen, every subset that stays, every prompt set."""
        data, most = self.data, self.spec.eval_samples
        forget = looked_at(data.forget, most)
        keys = [key_tokens(self.model.encoder, example, set(self.key_words)) for example in forget]
        found = [EvalSet("forget", forget_set_words(self.spec), "", forget, keys)]
        if data.holdout:
            found.append(EvalSet("holdout", "unseen", "", looked_at(data.holdout, most)))
        found += [EvalSet("subset", name, "", looked_at(blocks, most)) for name, blocks in data.retain.items()]
        found += [
            EvalSet("prompts", name, side, items)
            for name, sides in data.prompts.items()
            for side, items in sides.items()
        ]
        if data.planted:
            found.append(EvalSet("canary", "planted", "", data.planted))
            found.append(EvalSet("candidate", "candidates", "", data.candidates))
        return found

    # --- what methods leave -------------------------------------------------------------------------------------------

    def _unlearned(self, cell: Cell) -> pd.DataFrame:
        """Unlearn, look on the way, read at the end."""
        settings, module = self.settings[cell.method], self.model.module
        set_trainable(module, settings.trainable)
        seen, checkpoint = self._seen(cell), self.work / f"checkpoint-{cell.key[:16]}.safetensors"
        if not seen:  # the evaluations before the checkpoint are lost, so it is no place to go on from
            checkpoint.unlink(missing_ok=True)
        before = {name: value.detach().clone() for name, value in module.state_dict().items()} if self.retrained else {}

        def look(step: int) -> EvalPoint:
            seen[step] = evaluate_losses(self.model, self.eval_sets, step)
            self._show(cell, seen)
            return self._look(seen[step], self.eval_sets, step)

        with weights_restored(module):
            history = unlearn_model(
                self.model,
                UnlearningData(self.data.forget, self.retained, self.level),
                make_unlearning_method(self._spec_of(cell).name, settings),
                self._stop(self.level, self._steps(cell)),
                look,
                seed=cell.seed,
                progress=self.progress,
                checkpoint=checkpoint,
            )
            facts = [fact(history.kept, "ended", float(history.collapsed), history.ended)]
            facts.append(fact(history.kept, "steps", history.kept))
            if self.retrained is not None:
                moved = weight_distance(self.model, self.retrained.trained(self.spec.seeds[0]), before)
                facts.append(fact(history.kept, "distance", moved))
            if cell.method == self.spec.method.title and cell.seed == self.spec.seeds[0]:
                self._save([plain_module(self.model, self.spec.model)], cell)
            kept = [seen[point.step] for point in history.eval_points if point.step != history.kept]
            last = self._read(self.model, history.kept, cell, collapsed=history.collapsed)
        return pd.concat([*kept, last, *facts], ignore_index=True)

    def _sharded(self, cell: Cell) -> pd.DataFrame:
        """SISA: its own models, before and after the unlearning, each time read as one that speaks for all of them."""
        sharded, full = self._shards(cell)
        before = evaluate_losses(self._with(sharded.ensemble()), self.eval_sets, 0)
        touched = sharded.remove(self.data.in_forget_set())
        steps = sharded.steps_taken - full
        if cell.method == self.spec.method.title and cell.seed == self.spec.seeds[0]:
            self._save(sharded.models, cell)
        after = self._read(self._with(sharded.ensemble()), steps, cell, relearn=False)
        ended = f"{len(touched)} of {len(sharded.models)} shards trained again, {steps} of {full} steps"
        facts = [fact(steps, "ended", 0.0, ended), fact(steps, "steps", steps), fact(steps, "steps in all", full)]
        return pd.concat([before, after, *facts], ignore_index=True)

    def _shards(self, cell: Cell) -> tuple[Sharded, int]:
        """An ensemble trained on everything, and the steps that took."""
        retrained = self._of_retrained
        settings = self.settings[self.spec.method.title if cell.method == ENSEMBLE else cell.method]
        sharded = Sharded(retrained.begin, retrained.training, self.model.device, self.progress, cell.seed)
        sharded.train(self.data.trained, settings.shards, settings.slices)
        return sharded, sharded.steps_taken

    def _ensemble_pair(self, seed: int) -> pd.DataFrame:
        """A model trained on everything and then unlearned, and one that never saw the forget set, both by one seed."""
        reference, spec = self._of_retrained, self.spec.method
        retrained = self._with(reference.trained(seed))
        forget = self.eval_sets[:1]
        level = mean_loss(evaluate_losses(retrained, forget, 0), forget, "forget")
        if spec.name == "retrain":
            model = self._with(reference.trained(seed + UNRELATED))
        elif spec.name == "sisa":
            sharded, _ = self._shards(Cell("", "", seed, method=ENSEMBLE))
            sharded.remove(self.data.in_forget_set())
            model = self._with(sharded.ensemble())
        else:
            model = self._with(reference.full.trained(seed))
            settings = self.settings[spec.title]
            set_trainable(model.module, "all" if settings.trainable == "lora" else settings.trainable)
            near = [each for each in self.eval_sets if each.kind in ("forget", "subset")]
            unlearn_model(
                model,
                UnlearningData(self.data.forget, self.retained, level),
                make_unlearning_method(spec.name, settings),
                self._stop(level),
                lambda step: self._look(evaluate_losses(model, near, step), near, step),
                seed=seed,
                progress=self.progress,
            )
        parts = [self._confidences(retrained, "retrained"), self._confidences(model, "unlearned")]
        reference.discard(seed, seed + UNRELATED)
        reference.full.discard(seed)
        return pd.concat(parts, ignore_index=True)

    def _confidences(self, model: LoadedModel, who: str) -> pd.DataFrame:
        """What the ensemble audit compares: every text's confidence, and how many of its tokens are right."""
        sets = [each for each in self.eval_sets if each.kind in ("forget", "holdout", "subset")]
        reading = evaluate_tokens(model, sets, 0, None, self.progress)
        reading = reading[reading["quantity"].isin(["confidence", "matches"])]
        return reading.assign(quantity=who + " " + reading["quantity"])

    # --- how they are read --------------------------------------------------------------------------------------------

    def _read(
        self, model: LoadedModel, step: int, cell: Cell, *, relearn: bool = True, collapsed: bool = False
    ) -> pd.DataFrame:
        """The close look at the end: tokens, distance to the retrained model, relearning, and what the model writes."""
        first = None
        if self.retrained is not None and (cell.method, cell.seed) != (RETRAINED, self.spec.seeds[0]):
            first = self.retrained.trained(self.spec.seeds[0])
        parts = [evaluate_tokens(model, self.eval_sets, step, first, self.progress)]
        if relearn and self.spec.relearn_steps and not collapsed:
            looked = self.eval_sets[0].examples
            most = self.spec.relearn_steps
            pupil = self._whole(model)
            steps = relearning_steps(pupil, self.data.forget, looked, self.known, most, self.progress)
            # As many as were tried, where they are too few: a method that comes back sooner is shallower all the same.
            parts.append(fact(step, "relearning", most if steps is None else steps))
        if self.spec.generation is not None and not collapsed and not isinstance(model.module, Ensemble):
            generations = write_texts(model, self.spec.generation, self.prompts, self.scorer, self.progress)
            place, texts = EvalSet("generations", "", "", ()), [text for _, text, _ in generations]
            parts.append(rows(place, step, "completion", [score for _, _, score in generations], texts))
        return pd.concat(parts, ignore_index=True)

    def _whole(self, model: LoadedModel) -> LoadedModel:
        """The model with all of its weights free to move, as those of the retrained one that it is held against are."""
        if self.retrained is None:
            return model
        if model.trainable == "lora":
            return self._with(plain_module(model, self.spec.model))
        set_trainable(model.module, "all")
        return model

    def _look(self, reading: pd.DataFrame, eval_sets: Sequence[EvalSet], step: int) -> EvalPoint:
        """What a stop rule sees: the forget set, and the retain set or, without one, the other prompts."""
        retain = [each for each in eval_sets if each.kind == "subset"] or self._others(eval_sets)
        losses, tokens = 0.0, 0
        for each in retain:
            here = (reading["kind"] == each.kind) & (reading["name"] == each.name) & (reading["side"] == each.side)
            losses += float(reading.loc[here & (reading["quantity"] == "loss"), "value"].to_numpy().sum())
            tokens += int(each.tokens.sum())
        return EvalPoint(step, mean_loss(reading, eval_sets, "forget"), losses / tokens)

    def _others(self, eval_sets: Sequence[EvalSet]) -> list[EvalSet]:
        """The prompts that are not the forget set."""
        forget = self.spec.forget.prompts, self.spec.forget.side
        return [each for each in eval_sets if each.kind == "prompts" and (each.name, each.side) != forget]

    def _stop(self, retrained: float | None, steps: int | None = None) -> Stop:
        """The stop rule with its level; ``retrained``: that of the model which the unlearned one is held against.

        ``steps``: the rule is to take so many, whatever the request's is.
        """
        rule = self.spec.stop
        if steps is not None:  # also none at all, where a budget let the method keep no step
            rule = rule.model_copy(update={"rule": "fixed", "steps": steps})
        level = {"match_retrained": retrained, "match_holdout": self.unseen}.get(rule.rule)
        return Stop(rule, level, self.model.facts.vocab_size)

    def _steps(self, cell: Cell) -> int | None:
        """Of a control: as many as the method took by the same seed; of SISA and retraining, those of the request."""
        moved = UNLEARNING[self.spec.method.name].path and self.spec.method.name != CONTROL
        return self.steps.get(cell.seed) if moved and self._spec_of(cell).name == CONTROL else None

    def _with(self, module: nn.Module) -> LoadedModel:
        return replace(
            self.model, module=module, trainable="all" if module is not self.model.module else self.model.trainable
        )

    def _spec_of(self, cell: Cell) -> UnlearningMethodSpec:
        return next(each for each in self.spec.methods if each.title == cell.method)

    # --- what is kept on the way --------------------------------------------------------------------------------------

    def _show(self, cell: Cell, seen: dict[int, pd.DataFrame]) -> None:
        """Write the evaluations so far, for the page, and for an unlearning that is interrupted.

        Beside each text's loss stand its tokens and the loss, in nats per token, at which this unlearning stops.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        tokens = np.concatenate([each.tokens for each in self.eval_sets])
        parts = [frame.assign(tokens=tokens) for _, frame in sorted(seen.items())]
        level = self._stop(self.level, self._steps(cell)).level
        found = pd.concat(parts, ignore_index=True).assign(
            method=cell.method, seed=cell.seed, key=cell.key, level=np.nan if level is None else level
        )
        write_frame(found, self.work / HISTORY)

    def _seen(self, cell: Cell) -> dict[int, pd.DataFrame]:
        """The evaluations of an unlearning that was interrupted, by their steps."""
        try:
            frame = read_frame(self.work / HISTORY)
            frame = frame[frame["key"] == cell.key].drop(columns=["method", "seed", "key", "tokens", "level"])
        except (OSError, ValueError, KeyError):
            return {}
        return {int(step): part.reset_index(drop=True) for step, part in frame.groupby("step")}

    def _folder(self, cell: Cell) -> Path:
        return self.work / f"unlearned-{cell.key[:16]}"

    def _save(self, modules: Sequence[nn.Module], cell: Cell) -> None:
        """The unlearned model as transformers reads it, whole or not at all; several as folders of shards."""
        folder = self._folder(cell)
        partial = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        for number, module in enumerate(modules, 1):
            part = partial / f"shard-{number}" if len(modules) > 1 else partial
            part.mkdir(parents=True)
            save_model(module, self.model.tokenizer, part)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


@dataclass(frozen=True)
class UnlearnRun:
    """What a result is written from: the request as it was expanded, and all that its cells worked with."""

    spec: UnlearnSpec
    model: LoadedModel
    data: UnlearnInputs
    models: EvaluatedModels
    cells: Sequence[Cell]
    digests: dict[str, str]
    """Content hashes of all that was read."""
    notes: list[str]

    @property
    def forget_set(self) -> str:
        """The forget set, in words."""
        return forget_set_words(self.spec)

    @property
    def drawn_prompts(self) -> list[str]:
        """The prompt of every text that a model writes, in order."""
        samples = 0 if self.spec.generation is None else self.spec.generation.sampling.samples
        return [prompt for prompt in self.models.prompts for _ in range(samples)]
