"""Products of every example's own gradient with a few directions, from one backward pass a batch.

The gradient of a linear layer's weight for one example is a sum of outer products, of what goes into the layer and of
the loss's gradient at what comes out. Hooks read both, so that a batch gives the gradient of each of its examples, one
layer at a time, and no gradient is ever held whole. Linear layers, embeddings and GPT-2's ``Conv1D`` are known; what
the hooks find is held against ordinary gradients on the first examples, and a model for which it does not hold (or
whose moving weights lie elsewhere) is read one example at a time instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import batch_losses
from untrac_core.training.preconditioner import mean_gradient
from untrac_core.training.vectors import Numbers, Stack

PIECE = 2**24
"""Numbers of the examples' own gradients that are held at once: 64 MB in float32."""
SCALES = (2.0**10, 2.0**4, 1.0)
"""Of a float16 loss on its way back, the first under which nothing overflows."""
SLACK = {torch.float64: 1e-4, torch.float32: 1e-3}
ROUNDED = 0.05
"""How far a gradient by hooks may lie from an ordinary one, as a share of its length: by number format, and in half
precision, where an ordinary gradient is itself rounded at each layer."""


class UnknownLayerError(Exception):
    """What goes into a layer is not as many tokens of each example."""


@dataclass(frozen=True)
class _Layer:
    """A layer whose weight moves, and where that weight lies in a vector."""

    module: nn.Module
    start: int
    stop: int


class ExampleProducts:
    """Reads examples against a stack of directions; the gradients' sum can be gathered on the way."""

    def __init__(self, model: LoadedModel, stack: Stack) -> None:
        self.model, self.stack = model, stack
        self._layers = _layers(model.module, stack)
        self.by_hooks: bool | None = None if self._layers else False
        """Whether hooks are used; ``None`` until the first batch has shown whether they can be."""

    def __call__(self, examples: Sequence[Example], gathered: torch.Tensor | None = None) -> tuple[Numbers, Numbers]:
        """Products of shape (examples, rows) of the gradients of summed losses, and these losses, in nats.

        ``gathered``: a vector to which the sum of the gradients is added.
        """
        if self.by_hooks is None:
            self.by_hooks = self._hooks_hold(examples[:2])
        return self._hooked(examples, gathered) if self.by_hooks else self._one_by_one(examples, gathered)

    def _hooks_hold(self, examples: Sequence[Example]) -> bool:
        """Whether hooks find the gradient of each example, alone and beside another."""
        slack = SLACK.get(self.model.dtype, ROUNDED)
        alone = []
        for example in examples:
            found, expected = (torch.zeros_like(self.stack.matrix[0]) for _ in range(2))
            try:
                alone.append(self._hooked([example], found)[0][0])
            except UnknownLayerError:
                return False
            self._one_by_one([example], expected)
            if not torch.linalg.vector_norm(found - expected) <= slack * torch.linalg.vector_norm(expected):
                return False
        together = self._hooked(examples, None)[0]
        return bool(np.abs(together - np.array(alone)).max() <= slack * np.abs(alone).max())

    def _one_by_one(self, examples: Sequence[Example], gathered: torch.Tensor | None) -> tuple[Numbers, Numbers]:
        model, products = self.model, []
        for example in examples:
            mean_gradient(model, [example], weight=example.tokens)
            products.append(self.stack.products())
            if gathered is not None:
                for _, parameter, part in self.stack.views(gathered):
                    if parameter.grad is not None:
                        part.add_(parameter.grad)
        model.module.zero_grad(set_to_none=True)
        with torch.no_grad():
            losses = batch_losses(model.module, examples, model.device, model.dtype)
        return np.array(products), losses.double().cpu().numpy()

    def _hooked(self, examples: Sequence[Example], gathered: torch.Tensor | None) -> tuple[Numbers, Numbers]:
        for scale in SCALES if self.model.dtype == torch.float16 else (1.0,):
            reading = _Reading(self.stack, len(examples), gathered, scale)
            with reading.of(self._layers):
                losses = batch_losses(self.model.module, examples, self.model.device, self.model.dtype)
                (losses.sum() * scale).backward()  # type: ignore[no-untyped-call]
            if bool(torch.isfinite(reading.products).all()):
                break
        if reading.total is not None and gathered is not None:
            gathered.add_(reading.total)
        return reading.products.double().cpu().numpy(), losses.detach().double().cpu().numpy()


class _Reading:
    """One batch on its way back: what its layers have told so far."""

    def __init__(self, stack: Stack, examples: int, gathered: torch.Tensor | None, scale: float) -> None:
        self.stack, self.scale = stack, scale
        self.products = torch.zeros(examples, stack.rows, dtype=torch.float64, device=stack.matrix.device)
        self.total = None if gathered is None else torch.zeros_like(gathered)
        """Apart from ``gathered``, as a batch that overflows is read again."""

    @contextmanager
    def of(self, layers: Sequence[_Layer]) -> Iterator[None]:
        """Inside it, a forward and backward pass is read; the weights themselves need no gradient for that."""
        parameters = list(self.stack.parameters.values())
        hooks = [layer.module.register_forward_hook(self._watch(layer)) for layer in layers]
        try:
            for parameter in parameters:
                parameter.requires_grad_(False)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for parameter in parameters:
                parameter.requires_grad_(True)

    def _watch(self, layer: _Layer) -> Any:
        def watch(_: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            inputs = given[0].detach()
            if not out.requires_grad:  # nothing below it moves
                out.requires_grad_(True)
            out.register_hook(lambda gradient: self._add(layer, inputs, gradient))  # type: ignore[no-untyped-call]

        return watch

    @torch.no_grad()
    def _add(self, layer: _Layer, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
        gradient = gradient.to(self.stack.matrix.dtype) / self.scale
        if isinstance(layer.module, nn.Embedding):
            self._add_embedding(layer, inputs, gradient)
            return
        left, right = self._by_example(gradient), self._by_example(inputs.to(gradient.dtype))
        if isinstance(layer.module, Conv1D):  # its weight is (inputs, outputs)
            left, right = right, left
        rows, columns = left.shape[2], right.shape[2]
        directions = self._directions(layer).view(self.stack.rows, rows, columns)
        total = None if self.total is None else self.total[layer.start : layer.stop].view(rows, columns)
        height = min(rows, max(1, PIECE // columns))
        width = max(1, PIECE // (height * columns))
        for top in range(0, rows, height):
            part = slice(top, top + height)
            flat = directions[:, part].reshape(self.stack.rows, -1).T
            for first in range(0, len(left), width):
                few = slice(first, first + width)
                own = torch.bmm(left[few, :, part].transpose(1, 2), right[few])
                self.products[few] += (own.flatten(1) @ flat).double()
                if total is not None:
                    total[part] += own.sum(0)

    def _by_example(self, values: torch.Tensor) -> torch.Tensor:
        """As (examples, tokens, numbers); some models run the tokens of all examples on in one row."""
        examples, numbers = len(self.products), values.shape[-1]
        if values.numel() % (examples * numbers):
            raise UnknownLayerError
        return values.reshape(examples, -1, numbers)

    def _add_embedding(self, layer: _Layer, ids: torch.Tensor, gradient: torch.Tensor) -> None:
        module = layer.module
        assert isinstance(module, nn.Embedding)  # noqa: S101
        if module.padding_idx is not None:
            gradient = gradient * (ids != module.padding_idx).unsqueeze(-1)
        shape = module.weight.shape
        for row, direction in enumerate(self._directions(layer).view(self.stack.rows, *shape)):
            self.products[:, row] += (direction[ids] * gradient).flatten(1).sum(1, dtype=torch.float64)
        if self.total is not None:
            total = self.total[layer.start : layer.stop].view(shape)
            total.index_add_(0, ids.flatten(), gradient.flatten(0, 1))

    def _directions(self, layer: _Layer) -> torch.Tensor:
        return self.stack.matrix[:, layer.start : layer.stop]


def _layers(module: nn.Module, stack: Stack) -> list[_Layer]:
    """Every layer that uses a weight that moves, tied ones too; none where some weight has no known layer."""
    places, start = {}, 0
    for parameter in stack.parameters.values():
        places[id(parameter)] = start, start + parameter.numel()
        start += parameter.numel()
    found = [
        _Layer(layer, *places[id(layer.weight)])
        for layer in module.modules()
        if isinstance(layer, nn.Linear | nn.Embedding | Conv1D) and id(layer.weight) in places
    ]
    return found if {layer.start for layer in found} == {start for start, _ in places.values()} else []
