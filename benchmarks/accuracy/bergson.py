"""Methods of the library bergson (EleutherAI) as rivals: its own pipelines, on our model and our tokens.

The library asks for packages that a CPU build of torch cannot have, and that these pipelines never import, so it is
installed into a folder of its own, which ``UNTRAC_RIVALS`` names:

    pip install --no-deps --target rivals -r benchmarks/requirements-rivals.txt

Each side of a prompt set is one query, the mean of its items' gradients; the score of a block of text is its own
gradient's product with that query under the pipeline's curvature.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.gradients import GradientMethod, Products, Query, folds_of
from untrac_core.data.tokens import Example
from untrac_core.errors import InputError
from untrac_core.specs.methods import FisherSettings
from untrac_core.training.vectors import Numbers

FOLDER = "UNTRAC_RIVALS"
UNSCORED = -100
"""The label of a token that is not scored."""
PROJECTED = 512
"""Numbers that TRAK's random projection leaves of a gradient."""
BATCH = 32
"""Texts of a batch."""


class BergsonSettings(FisherSettings):
    """A pipeline; ``damping``: share of the mean eigenvalue that is added. Its curvature reads all text."""

    recipe: Literal["ekfac", "kfac", "shampoo", "trak"] = "ekfac"
    subsample: float = 1.0


RECIPES: Mapping[str, BergsonSettings] = {
    f"bergson-{recipe}": BergsonSettings.model_validate({"name": f"bergson-{recipe}", "recipe": recipe})
    for recipe in ("ekfac", "kfac", "shampoo", "trak")
}


class Bergson(GradientMethod):
    """One of :data:`RECIPES`; every query is a run of the pipeline, all on the same curvature."""

    name: ClassVar[str] = "bergson"
    unit: ClassVar[str] = "product of gradients under the curvature"
    settings: BergsonSettings

    def products(self, study: AttributionContext, queries: Sequence[Query]) -> Products:
        """Scores of every fold against every query; the curvature is fitted by the first of them."""
        _import()
        with tempfile.TemporaryDirectory(prefix="bergson-") as place:
            work = Path(place)
            module: Any = study.model.module
            module.save_pretrained(work / "model")
            study.model.tokenizer.save_pretrained(work / "model")
            _write(study.all_blocks, work / "blocks")
            columns = []
            for number, query in enumerate(queries):
                _write(query.examples, work / "query")
                columns.append(self._scores(work))
                study.progress.tick(number + 1, len(queries))
        return _by_fold(study, np.stack(columns, axis=1))

    def _scores(self, work: Path) -> Numbers:
        """Of every block, for the query that lies in ``work``: for its gradient of the summed loss."""
        from bergson.data import load_scores

        run = work / "run"
        for left in ("query", f"{self.settings.recipe}_query", "kfac_query", "shampoo_query", "scores"):
            shutil.rmtree(run / left, ignore_errors=True)
        try:
            (self._trak if self.settings.recipe == "trak" else self._factored)(work, run)
        except AssertionError as error:  # of its hooks: OPT's layers get all tokens as one list
            raise InputError(f"bergson cannot read this model: {error}", field=self.settings.name, hint="") from None
        found = np.asarray(load_scores(run / "scores")[:], dtype=np.float64)
        return found.reshape(len(found), -1).mean(1)

    def _factored(self, work: Path, run: Path) -> None:
        from bergson.cli.commands import Ekfac
        from bergson.config.config import (
            HessianConfig,
            HessianPipelineConfig,
            InversionConfig,
            PreprocessConfig,
            QuerySetConfig,
            ScoreConfig,
        )

        corrected = self.settings.recipe == "ekfac"
        Ekfac(
            _index(work, run),
            HessianConfig("kfac" if corrected else self.settings.recipe, ev_correction=corrected),  # type: ignore[arg-type]
            ScoreConfig(),
            PreprocessConfig(),
            HessianPipelineConfig(
                QuerySetConfig(dataset=str(work / "query"), aggregation="mean"),
                InversionConfig(damping_factor=self.settings.damping),
                resume=True,
            ),
        ).execute()

    def _trak(self, work: Path, run: Path) -> None:
        from bergson.cli.commands import Trak
        from bergson.config.config import InversionConfig, PreprocessConfig, QuerySetConfig, TrakConfig

        index = _index(work, run)
        index.projection_dim, index.projection_target, index.loss_fn = PROJECTED, "global", "log_odds"
        index.projection_seed = 0
        query = QuerySetConfig(dataset=str(work / "query"), aggregation="mean")
        inversion = InversionConfig(damping_factor=self.settings.damping)
        Trak(index, TrakConfig(query, PreprocessConfig(inversion_cfg=inversion), resume=True)).execute()


def _index(work: Path, run: Path) -> Any:
    from bergson.config.config import DataConfig, IndexConfig

    return IndexConfig(
        run_path=str(run),
        model=str(work / "model"),
        data=DataConfig(dataset=str(work / "blocks")),
        token_batch_size=int(np.iinfo(np.int64).max),  # a bound below it may not exceed the model's context
        max_batch_size=BATCH,
        overwrite=True,
    )


def _import() -> None:
    """Let the library be imported; where it is not, say how it gets there."""
    folder = os.environ.get(FOLDER, "")
    if folder and folder not in sys.path:
        sys.path.append(folder)  # last: what both know comes from the project's own environment
    try:
        import bergson  # noqa: F401
    except ImportError as error:
        raise SystemExit(
            f"bergson is not there ({error}): pip install --no-deps --target rivals -r "
            f"benchmarks/requirements-rivals.txt, and name that folder in {FOLDER}"
        ) from None


def _write(examples: Sequence[Example], folder: Path) -> None:
    """Tokens, with labels where they are scored, as a dataset on the disk."""
    from datasets import Dataset

    rows = [
        {
            "input_ids": example.ids.tolist(),
            "labels": [UNSCORED] * example.first + example.ids[example.first :].tolist(),
        }
        for example in examples
    ]
    shutil.rmtree(folder, ignore_errors=True)
    Dataset.from_list(rows).save_to_disk(str(folder))


def _by_fold(study: AttributionContext, scores: Numbers) -> Products:
    """Scores of blocks, (blocks, queries), of the summed loss, as those of each subset's folds, a token."""
    result: dict[str, Numbers] = {}
    place = {id(block): number for number, block in enumerate(study.all_blocks)}
    for subset, packed in study.subsets.items():
        rows = []
        for fold in folds_of(study, packed):
            rows.append(scores[[place[id(block)] for block in fold]].sum(0) / sum(block.tokens for block in fold))
        result[subset] = np.array(rows)
    return result
