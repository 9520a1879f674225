"""Small studies: a trained two-layer model, three subsets of a few texts, and two sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.exact import Exact, PartStudy, make_study
from tests.helpers.worlds import WORDS, sentences

PART = ("layers.1.self_attn_layer_norm.weight", "layers.0.fc2.bias", "layers.1.final_layer_norm.weight")
"""96 numbers: few enough for a Hessian that is written down."""


def texts_of(name: str, count: int, seed: int = 5) -> list[str]:
    return sentences(name, count, seed)


@pytest.fixture(autouse=True)
def _all_may_move(model):
    """Tests elsewhere use the same model, all of which may move."""
    yield
    model.module.requires_grad_(True)


@pytest.fixture
def study(model) -> PartStudy:
    subsets = {name: texts_of(name, 10 + 3 * number) for number, name in enumerate(WORDS)}
    prompts = {"harmful": texts_of("smiths", 7, 6), "harmless": texts_of("weavers", 6, 6)}
    return make_study(model, subsets, prompts)


@pytest.fixture(scope="session")
def part_data(model) -> PartStudy:
    """Fewer texts."""
    subsets = {name: texts_of(name, count) for name, count in zip(WORDS, (3, 9, 8), strict=True)}
    prompts = {"harmful": texts_of("smiths", 5, 6), "harmless": texts_of("weavers", 4, 6)}
    return make_study(model, subsets, prompts, names=PART)


@pytest.fixture
def part_study(part_data) -> PartStudy:
    """Fewer texts, and a few parameters that move."""
    return replace(part_data)


@pytest.fixture(scope="session")
def exact(part_data, model) -> Exact:
    """The model of the part study, worked out slowly."""
    return Exact(model.module, PART)


@pytest.fixture(scope="session")
def hessian(part_data, exact) -> np.ndarray:
    """Of the mean loss per token of all blocks, over the few parameters."""
    return exact.hessian(part_data.all_blocks)
