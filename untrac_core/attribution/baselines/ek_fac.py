"""EK-FAC influence, its curvature estimated by the library kronfluence (an optional install).

For the weight and bias W of every linear layer in a transformer block (with ``head`` of the output layer too), with
the gradient G of a mean loss per token, the Fisher information is taken as diagonal in the eigenbasis of two
covariances, of the layer's inputs (Q_A) and of the gradients at its outputs (Q_S) (George et al., 2018; for language
models Grosse et al., 2023, arXiv 2308.03296):

    score(Z, Q) = sum over layers <G_Z, P(G_Q)>,   P(G) = Q_S ((Q_S^T G Q_A) / (Lambda + d)) Q_A^T,

Lambda the mean square of a training block's gradient in that basis, with labels that the model samples itself, and d
``damping`` times the mean of Lambda (0.1: the library's and Grosse et al.'s). Positive: a step that lowers the loss
of the subset Z lowers that of the prompts Q.

The library fits the factors and applies P. Gradients of whole sets need none of its hooks: one backward pass over a
set gives them, so that a set costs the same however many prompts and seeds are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from untrac_core.attribution.base import AttributionContext
from untrac_core.attribution.baselines.gradients import GradientMethod, Products, Query, folds_of
from untrac_core.attribution.baselines.kronfluence_factors import (
    VERSION,
    fit_factors,
    linear_twin,
    matrix_shape,
    precondition,
    require_library,
    tracked_layers,
    undisturbed,
    wrapped_linear,
)
from untrac_core.cells import Cell
from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.specs.methods import EkFacSettings
from untrac_core.training.preconditioner import mean_gradient


class EkFac(GradientMethod):
    """Gradient dot products through the inverse EK-FAC curvature."""

    name: ClassVar[str] = "ek-fac"
    unit: ClassVar[str] = "dot product of mean gradients, scaled by the inverse EK-FAC curvature"
    settings: EkFacSettings

    def depends_on(self, study: AttributionContext) -> Any:
        """The library's version, and whether it is here: what failed without it is not kept for later."""
        return {"kronfluence": VERSION, "installed": find_spec("kronfluence") is not None}

    def run(self, study: AttributionContext, cell: Cell) -> pd.DataFrame:
        """As every gradient method's; :class:`InputError` without kronfluence, or where it does not fit the model."""
        require_library()
        return super().run(study, cell)

    def products(self, study: AttributionContext, queries: Sequence[Query]) -> Products:
        """Scores of every fold against every query; the study's model and all random states stay as they are."""
        twin = linear_twin(study.model)
        layers = tracked_layers(twin.module, head=self.settings.head)
        blocks = sampled(study.all_blocks, self.settings.samples)
        with undisturbed(twin.device), TemporaryDirectory(prefix="untrac-ek-fac-") as folder:
            factors = fit_factors(twin, layers, blocks, Path(folder), study.progress)
            for layer in layers:
                wrapped_linear(twin.module, layer).requires_grad_(True)
            size = 4 * sum(matrix_shape(wrapped_linear(twin.module, layer)).numel() for layer in layers)
            step = max(1, int(self.budget_mb * 2**20) // size)
            columns = []
            for start in range(0, len(queries), step):
                chunk = queries[start : start + step]
                columns.append(_dot_products(study, twin, layers, factors, self.settings.damping, chunk))
        return {subset: np.concatenate([column[subset] for column in columns], axis=1) for subset in study.subsets}


def sampled(blocks: Sequence[Example], samples: int) -> list[Example]:
    """Training blocks drawn without replacement, the same ones every time."""
    chosen = np.random.default_rng(0).permutation(len(blocks))[:samples]
    return [blocks[i] for i in sorted(chosen.tolist())]


def layer_gradients(model: LoadedModel, layers: Sequence[str], examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """The gradient of the examples' mean loss per token, layer by layer, the bias as the last column."""
    mean_gradient(model, examples)
    found = {}
    for layer in layers:
        linear = wrapped_linear(model.module, layer)
        weight, bias = linear.weight.grad, None if linear.bias is None else linear.bias.grad
        assert weight is not None  # noqa: S101
        found[layer] = weight if bias is None else torch.cat([weight, bias[:, None]], 1)
    model.module.zero_grad(set_to_none=True)
    return found


def _dot_products(
    study: AttributionContext,
    model: LoadedModel,
    layers: Sequence[str],
    factors: Path,
    damping: float,
    queries: Sequence[Query],
) -> Products:
    """Every fold's gradient against P of every query's."""
    study.progress.phase("ek-fac: gradients of the prompt sets")
    held: dict[str, torch.Tensor] = {}
    for row, query in enumerate(queries):
        for layer, gradient in layer_gradients(model, layers, query.examples).items():
            held.setdefault(layer, gradient.new_empty((len(queries), *gradient.shape)))[row] = gradient
        study.progress.tick(row + 1, len(queries))
    for layer in layers:
        held[layer] = precondition(held[layer], layer, factors, damping)
    study.progress.phase("ek-fac: gradients of the training subsets")
    total = sum(len(folds_of(study, packed)) for packed in study.subsets.values())
    done, result = 0, {}
    for subset, packed in study.subsets.items():
        rows = []
        for fold in folds_of(study, packed):
            rows.append(_against(held, layer_gradients(model, layers, fold)))
            done += 1
            study.progress.tick(done, total)
        result[subset] = np.stack(rows)
    return result


def _against(queries: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> np.ndarray:
    """The dot product of one set of gradients with each query, float64 of shape (queries,)."""
    total = np.zeros(len(next(iter(queries.values()))))
    for layer, gradient in gradients.items():
        total += torch.einsum("qoi,oi->q", queries[layer], gradient).double().cpu().numpy()
    return total
