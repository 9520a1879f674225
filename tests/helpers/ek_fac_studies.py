"""Small studies for EK-FAC, and what they say."""

from __future__ import annotations

import importlib.util
import os

import pandas as pd
import pytest
import torch

from tests.helpers.families import make_model
from tests.helpers.worlds import WORDS, sentences
from untrac_core.attribution.base import AttributionContext, ModelIdentity
from untrac_core.attribution.baselines.ek_fac import EkFac
from untrac_core.attribution.baselines.gradients import folds, queries_of
from untrac_core.attribution.baselines.kronfluence_factors import INSTALL
from untrac_core.data.prompts import Item
from untrac_core.data.subsets import Document
from untrac_core.models.loading import LoadedModel, load_model
from untrac_core.specs import ModelRef, method_spec

SPEC = method_spec("ek-fac")
KRONFLUENCE = pytest.mark.skipif(
    importlib.util.find_spec("kronfluence") is None and not os.environ.get("UNTRAC_REQUIRE_ALL"),
    reason=f"kronfluence is not installed: {INSTALL}",
)


def tiny_model(folder, family) -> LoadedModel:
    """A random model of a family."""
    return load_model(ModelRef(path=str(make_model(folder / family, family))), torch.device("cpu"))


def study_of(model, seeds=(0, 1), blocks=24) -> AttributionContext:
    """Three subsets; a prompt set whose harmful side speaks like the smiths, the harmless one like the weavers."""
    encoder = model.encoder
    subsets = {
        name: encoder.blocks([Document(f"{i}", text, i) for i, text in enumerate(sentences(name, 90, 0))], 32, blocks)
        for name in WORDS
    }
    prompts = {
        side: encoder.items(
            [Item(f"{i}", "They say:", text, "", i) for i, text in enumerate(sentences(name, 12, 1))],
            context=64,
            where="",
        )
        for side, name in (("harmful", "smiths"), ("harmless", "weavers"))
    }
    identity = ModelIdentity(model.digest, "cpu", "float32", "all")
    return AttributionContext(identity, lambda: model, {}, {"talk": prompts}, {}, subsets, list(seeds))


def scores_of(study, method=None, seed=0):
    """Scores a token, by side, subset and fold."""
    method = method or EkFac(SPEC)
    frame = method.run(study, next(cell for cell in method.cells(study) if cell.seed == seed))
    assert not frame["collapsed"].any()
    return (frame["change"] / frame["tokens"]).set_axis(pd.MultiIndex.from_frame(frame[["side", "subset", "example"]]))


def folds_of(study):
    """(Subset, fold) to blocks."""
    return {(name, i): part for name, packed in study.subsets.items() for i, part in enumerate(folds(packed.blocks))}


def drawn_from(study):
    """Side to the items that the first seed draws."""
    return {query.side: query.examples for query in queries_of(study, 0.5) if query.seed == study.seeds[0]}
