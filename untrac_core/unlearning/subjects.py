"""The models of an unlearning, each made and read in the same way: as it is, retrained, unlearned, sharded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from untrac_core.cells import Cell
from untrac_core.data.tokens import Example
from untrac_core.models import LoadedModel, weights_restored
from untrac_core.moves import set_moves
from untrac_core.progress import Progress
from untrac_core.removal_data import RemovalData, looked_at, target_words
from untrac_core.results import read_frame, write_frame
from untrac_core.scoring import TextScorer
from untrac_core.specs import RemovalSpec, UnlearnSpec
from untrac_core.unlearn_spec import BEFORE, DEEP, GOLD
from untrac_core.unlearning.gold import Gold, save_model
from untrac_core.unlearning.keys import key_tokens
from untrac_core.unlearning.measures.answers import WORD, key_words
from untrac_core.unlearning.merging import plain_module, weight_distance
from untrac_core.unlearning.protocol import Texts
from untrac_core.unlearning.readings import Watched, close_look, fact, glance, mean_loss, rows
from untrac_core.unlearning.registry import METHODS
from untrac_core.unlearning.relearning import relearning_steps
from untrac_core.unlearning.removing import remove
from untrac_core.unlearning.settings import RemovalSettings, removal_settings, settled
from untrac_core.unlearning.sisa import Ensemble, Sharded
from untrac_core.unlearning.stopping import Look, Stop
from untrac_core.unlearning.writing import write_texts

COURSE = "course.parquet"
"""In the working folder: the looks of the unlearning that is under way, for whoever watches."""
CONTROL = "retain-only"
"""Takes as many steps as the method that it is the control of."""
OTHER = {"harmful": "harmless", "harmless": "harmful"}
UNRELATED = 1_000_000
"""Added to a seed where a second model must share nothing with the first."""


class Subjects:
    """Makes the table of every cell; the given model's weights are the same before and after.

    ``gold`` is ``None`` where no recipe is known. ``level``: the gold's loss of what is to go, once it is known.
    """

    def __init__(
        self,
        spec: UnlearnSpec,
        data: RemovalData,
        model: LoadedModel,
        gold: Gold | None,
        prompts: Sequence[str],
        scorer: TextScorer | None,
        work: Path,
        progress: Progress,
    ) -> None:
        self.spec, self.data, self.model, self.gold = spec, data, model, gold
        self.prompts, self.scorer, self.work, self.progress = prompts, scorer, work, progress
        self.settings = {each.title: self._settings(each) for each in spec.methods}
        other = data.prompts.get(spec.target.prompts or "", {}).get(OTHER[spec.target.side], [])
        self.retained: list[Example] = [*data.retain, *other]
        """What methods train on to keep it; of a target that is a side of a prompt set, also the other side."""
        text = model.encoder.example_text
        stays = [text(example) for example in looked_at(self.retained, 20 * spec.look)]
        gone = [text(example) for example in data.forget]
        worded = all(any(WORD.search(each.lower()) for each in side) for side in (gone, stays))
        self.key_words = [found.word for found in key_words(gone, stays)] if worded else []
        """Words that are far commoner in what is to go than in what stays."""
        self.watched = self._watched()
        self.level: float | None = None
        self.steps: dict[int, int] = {}
        """By seed: how many the method took, once it is known."""
        self.known = mean_loss(glance(model, self.watched, 0), self.watched, "forget")
        self.unseen = mean_loss(glance(model, self.watched, 0), self.watched, "held-out")
        """Losses of the model as it is: of what is to go, and of unseen text of its source."""

    def _settings(self, spec: RemovalSpec) -> RemovalSettings:
        """A method's settings; where an adapter moves for one method, it does for all: it cannot be taken off."""
        mean = sum(example.tokens for example in self.data.forget) / len(self.data.forget)
        settings = settled(removal_settings(spec, self.model.facts.parameters), mean)
        return replace(settings, moves="lora") if self.model.moves == "lora" else settings

    def table(self, cell: Cell) -> pd.DataFrame:
        """A cell's table."""
        if cell.method == BEFORE:
            return self._read(self.model, 0, cell, relearn=False)
        if cell.method == DEEP:
            return self._deep(cell.seed)
        spec = None if cell.method == GOLD else self._spec_of(cell)
        if spec is None or spec.name == "retrain":
            return self._read(self._with(self._of_gold.trained(cell.seed)), 0, cell)
        return self._sharded(cell) if spec.name == "sisa" else self._unlearned(cell)

    def exported(self, cell: Cell) -> Path:
        """The folder of the model that a cell has unlearned, made again where it is not there."""
        if self._spec_of(cell).name == "retrain":
            return self._of_gold.folder(cell.seed)
        folder = self._folder(cell)
        if not folder.is_dir():
            self.table(cell)
        return folder

    @property
    def _of_gold(self) -> Gold:
        assert self.gold is not None  # noqa: S101 - a spec that needs one has a recipe
        return self.gold

    def _watched(self) -> list[Watched]:
        """Every set that is read: what is to go, what was never seen, every subset that stays, every prompt set."""
        data, most = self.data, self.spec.look
        forget = looked_at(data.forget, most)
        keys = [key_tokens(self.model.encoder, example, set(self.key_words)) for example in forget]
        found = [Watched("forget", target_words(self.spec), "", forget, keys)]
        if data.held_out:
            found.append(Watched("held-out", "unseen", "", looked_at(data.held_out, most)))
        found += [Watched("subset", name, "", looked_at(blocks, most)) for name, blocks in data.stays.items()]
        found += [
            Watched("prompts", name, side, items)
            for name, sides in data.prompts.items()
            for side, items in sides.items()
        ]
        if data.planted:
            found.append(Watched("canary", "planted", "", data.planted))
            found.append(Watched("candidate", "candidates", "", data.candidates))
        return found

    # --- what methods leave -------------------------------------------------------------------------------------------

    def _unlearned(self, cell: Cell) -> pd.DataFrame:
        """Unlearn, look on the way, read at the end."""
        settings, module = self.settings[cell.method], self.model.module
        set_moves(module, settings.moves)
        seen, checkpoint = self._seen(cell), self.work / f"checkpoint-{cell.key[:16]}.safetensors"
        if not seen:  # the looks before the checkpoint are lost, so it is no place to go on from
            checkpoint.unlink(missing_ok=True)
        before = {name: value.detach().clone() for name, value in module.state_dict().items()} if self.gold else {}

        def look(step: int) -> Look:
            seen[step] = glance(self.model, self.watched, step)
            self._show(cell, seen)
            return self._look(seen[step], self.watched, step)

        with weights_restored(module):
            course = remove(
                self.model,
                Texts(self.data.forget, self.retained, self.level),
                METHODS[self._spec_of(cell).name](settings),
                self._stop(self.level, self._steps(cell)),
                look,
                seed=cell.seed,
                progress=self.progress,
                checkpoint=checkpoint,
            )
            facts = [fact(course.kept, "ended", float(course.collapsed), course.ended)]
            facts.append(fact(course.kept, "steps", course.kept))
            if self.gold is not None:
                moved = weight_distance(self.model, self.gold.trained(self.spec.seeds[0]), before)
                facts.append(fact(course.kept, "distance", moved))
            if cell.method == self.spec.method.title and cell.seed == self.spec.seeds[0]:
                self._save([plain_module(self.model, self.spec.model)], cell)
            kept = [seen[point.step] for point in course.looks if point.step != course.kept]
            last = self._read(self.model, course.kept, cell, collapsed=course.collapsed)
        return pd.concat([*kept, last, *facts], ignore_index=True)

    def _sharded(self, cell: Cell) -> pd.DataFrame:
        """SISA: its own models, before and after the removal, each time read as one that speaks for all of them."""
        sharded, full = self._shards(cell)
        before = glance(self._with(sharded.ensemble()), self.watched, 0)
        touched = sharded.remove(self.data.is_target())
        steps = sharded.steps_taken - full
        if cell.method == self.spec.method.title and cell.seed == self.spec.seeds[0]:
            self._save(sharded.models, cell)
        after = self._read(self._with(sharded.ensemble()), steps, cell, relearn=False)
        ended = f"{len(touched)} of {len(sharded.models)} shards trained again, {steps} of {full} steps"
        facts = [fact(steps, "ended", 0.0, ended), fact(steps, "steps", steps), fact(steps, "steps in all", full)]
        return pd.concat([before, after, *facts], ignore_index=True)

    def _shards(self, cell: Cell) -> tuple[Sharded, int]:
        """An ensemble trained on everything, and the steps that took."""
        gold = self._of_gold
        settings = self.settings[self.spec.method.title if cell.method == DEEP else cell.method]
        sharded = Sharded(gold.begin, gold.training, self.model.device, self.progress, cell.seed)
        sharded.train(self.data.trained, settings.shards, settings.slices)
        return sharded, sharded.steps_taken

    def _deep(self, seed: int) -> pd.DataFrame:
        """A model trained on everything and then unlearned, and one that never saw the target, both by one seed."""
        gold, spec = self._of_gold, self.spec.method
        retrained = self._with(gold.trained(seed))
        forget = self.watched[:1]
        level = mean_loss(glance(retrained, forget, 0), forget, "forget")
        if spec.name == "retrain":
            model = self._with(gold.trained(seed + UNRELATED))
        elif spec.name == "sisa":
            sharded, _ = self._shards(Cell("", "", seed, method=DEEP))
            sharded.remove(self.data.is_target())
            model = self._with(sharded.ensemble())
        else:
            model = self._with(gold.trained(seed, full=True))
            settings = self.settings[spec.title]
            set_moves(model.module, "all" if settings.moves == "lora" else settings.moves)
            near = [each for each in self.watched if each.kind in ("forget", "subset")]
            remove(
                model,
                Texts(self.data.forget, self.retained, level),
                METHODS[spec.name](settings),
                self._stop(level),
                lambda step: self._look(glance(model, near, step), near, step),
                seed=seed,
                progress=self.progress,
            )
        parts = [self._confidences(retrained, "retrained"), self._confidences(model, "unlearned")]
        gold.discard(seed, seed + UNRELATED)
        return pd.concat(parts, ignore_index=True)

    def _confidences(self, model: LoadedModel, who: str) -> pd.DataFrame:
        """What the deep check compares: every text's confidence, and how many of its tokens are right."""
        sets = [each for each in self.watched if each.kind in ("forget", "held-out", "subset")]
        reading = close_look(model, sets, 0, None, self.progress)
        reading = reading[reading["quantity"].isin(["confidence", "matches"])]
        return reading.assign(quantity=who + " " + reading["quantity"])

    # --- how they are read --------------------------------------------------------------------------------------------

    def _read(
        self, model: LoadedModel, step: int, cell: Cell, *, relearn: bool = True, collapsed: bool = False
    ) -> pd.DataFrame:
        """The close look at the end: tokens, distance to the gold, relearning, and what the model writes."""
        first = None
        if self.gold is not None and (cell.method, cell.seed) != (GOLD, self.spec.seeds[0]):
            first = self.gold.trained(self.spec.seeds[0])
        parts = [close_look(model, self.watched, step, first, self.progress)]
        if relearn and self.spec.relearn and not collapsed:
            looked = self.watched[0].examples
            most = self.spec.relearn
            pupil = self._whole(model)
            steps = relearning_steps(pupil, self.data.forget, looked, self.known, most, self.progress)
            # As many as were tried, where they are too few: a method that comes back sooner is shallower all the same.
            parts.append(fact(step, "relearning", most if steps is None else steps))
        if self.spec.writing is not None and not collapsed and not isinstance(model.module, Ensemble):
            written = write_texts(model, self.spec.writing, self.prompts, self.scorer, self.progress)
            place, texts = Watched("written", "", "", ()), [text for _, text, _ in written]
            parts.append(rows(place, step, "completion", [score for _, _, score in written], texts))
        return pd.concat(parts, ignore_index=True)

    def _whole(self, model: LoadedModel) -> LoadedModel:
        """The model with all of its weights free to move, as those of the retrained one that it is held against are."""
        if self.gold is None:
            return model
        if model.moves == "lora":
            return self._with(plain_module(model, self.spec.model))
        set_moves(model.module, "all")
        return model

    def _look(self, reading: pd.DataFrame, watched: Sequence[Watched], step: int) -> Look:
        """What a stop rule sees: what is to go, and the subsets that stay, or, without any, the other prompts."""
        stays = [each for each in watched if each.kind == "subset"] or self._others(watched)
        losses, tokens = 0.0, 0
        for each in stays:
            here = (reading["kind"] == each.kind) & (reading["name"] == each.name) & (reading["side"] == each.side)
            losses += float(reading.loc[here & (reading["quantity"] == "loss"), "value"].to_numpy().sum())
            tokens += int(each.tokens.sum())
        return Look(step, mean_loss(reading, watched, "forget"), losses / tokens)

    def _others(self, watched: Sequence[Watched]) -> list[Watched]:
        """The prompts that are not what is to go."""
        target = self.spec.target.prompts, self.spec.target.side
        return [each for each in watched if each.kind == "prompts" and (each.name, each.side) != target]

    def _stop(self, gold: float | None, steps: int | None = None) -> Stop:
        """The stop rule with its level; ``gold``: that of the model which the unlearned one is held against.

        ``steps``: the rule is to take so many, whatever the request's is.
        """
        rule = self.spec.stop
        if steps is not None:  # also none at all, where a budget let the method keep no step
            rule = rule.model_copy(update={"rule": "steps", "steps": steps})
        level = {"gold": gold, "held-out": self.unseen}.get(rule.rule)
        return Stop(rule, level, self.model.facts.vocabulary)

    def _steps(self, cell: Cell) -> int | None:
        """Of a control: as many as the method took by the same seed; of SISA and retraining, those of the request."""
        moved = self.spec.method.name not in ("retrain", "sisa", CONTROL)
        return self.steps.get(cell.seed) if moved and self._spec_of(cell).name == CONTROL else None

    def _with(self, module: nn.Module) -> LoadedModel:
        return replace(self.model, module=module, moves="all" if module is not self.model.module else self.model.moves)

    def _spec_of(self, cell: Cell) -> RemovalSpec:
        return next(each for each in self.spec.methods if each.title == cell.method)

    # --- what is kept on the way --------------------------------------------------------------------------------------

    def _show(self, cell: Cell, seen: dict[int, pd.DataFrame]) -> None:
        """Write the looks so far, for the page, and for an unlearning that is interrupted.

        Beside each text's loss stand its tokens and the loss, in nats per token, at which this unlearning stops.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        tokens = np.concatenate([each.tokens for each in self.watched])
        parts = [frame.assign(tokens=tokens) for _, frame in sorted(seen.items())]
        level = self._stop(self.level, self._steps(cell)).level
        found = pd.concat(parts, ignore_index=True).assign(
            method=cell.method, seed=cell.seed, key=cell.key, level=np.nan if level is None else level
        )
        write_frame(found, self.work / COURSE)

    def _seen(self, cell: Cell) -> dict[int, pd.DataFrame]:
        """The looks of an unlearning that was interrupted, by their steps."""
        try:
            frame = read_frame(self.work / COURSE)
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
