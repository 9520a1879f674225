"""Which parameters of a model may move, and what each of them is."""

from __future__ import annotations

import torch
from torch import nn

from untrac_core.specs import Trainable
from untrac_core.specs.catalogue import LAST_SHARE

LORA = ("lora_A", "lora_B", "lora_embedding", "lora_magnitude")


def vocabulary_ids(module: nn.Module) -> set[int]:
    """The ids of the parameters whose rows are the vocabulary: input and output embeddings, tied or not."""
    embeddings = (module.get_input_embeddings(), module.get_output_embeddings())  # type: ignore[operator]
    return {id(weight(embedding)) for embedding in embeddings if embedding is not None}


def weight(layer: nn.Module) -> nn.Parameter:
    """A layer's own weight matrix, also where an adapter is wrapped around the layer."""
    matrix = getattr(layer, "base_layer", layer).weight
    assert isinstance(matrix, nn.Parameter)  # noqa: S101
    return matrix


def matrices(module: nn.Module) -> dict[str, nn.Parameter]:
    """The weight matrices by name: no vectors, and no tables that are looked up by position."""
    vocabulary = vocabulary_ids(module)
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)} - vocabulary
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if parameter.dim() == 2 and id(parameter) not in tables
    }


def moving_matrices(module: nn.Module) -> dict[str, tuple[nn.Parameter, bool]]:
    """The weight matrices that may move, by name, and whether their rows are the vocabulary."""
    vocabulary = vocabulary_ids(module)
    return {
        name: (parameter, id(parameter) in vocabulary)
        for name, parameter in matrices(module).items()
        if parameter.requires_grad
    }


def moving_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """All parameters that may move, by name; tied ones once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def transformer_blocks(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The transformer blocks with their names, in the order in which they stand: a seq2seq encoder's first."""
    lists: list[tuple[str, nn.ModuleList]] = []
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in lists)
        if isinstance(part, nn.ModuleList) and len(part) and not inside:
            lists.append((name, part))
    return [(f"{name}.{index}", block) for name, part in lists for index, block in enumerate(part)]


def last_blocks(module: nn.Module) -> list[str]:
    """The names of the blocks that ``last_layers`` moves."""
    names = [name for name, _ in transformer_blocks(module)]
    return names[-max(1, len(names) // LAST_SHARE) :] if names else []


def set_trainable(module: nn.Module, trainable: Trainable) -> None:
    """Let exactly the parameters of ``trainable`` have gradients; the others cost none of their memory.

    ``all``; ``matrices``: the weight matrices, position tables and vectors staying put; ``last_layers``: the
    matrices of the :func:`last_blocks`; ``lora``: the weights of a LoRA adapter, which must be there.
    """
    chosen = matrices(module)
    ends = tuple(f"{name}." for name in last_blocks(module))
    for name, parameter in module.named_parameters():
        if trainable == "all":
            trainable_parameters = True
        elif trainable == "matrices":
            trainable_parameters = name in chosen
        elif trainable == "last_layers":
            trainable_parameters = name in chosen and name.startswith(ends)
        else:
            trainable_parameters = any(f".{part}" in name for part in LORA)
        parameter.requires_grad_(trainable_parameters)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError(f"nothing moves with {trainable!r}")


@torch.no_grad()
def upcast_trainable(module: nn.Module, dtype: torch.dtype) -> None:
    """Moving weights and all vectors in float32, the frozen matrices in ``dtype``; in place."""
    for parameter in module.parameters():
        wanted = torch.float32 if parameter.requires_grad or parameter.dim() < 2 else dtype
        if parameter.dtype != wanted:
            parameter.data = parameter.data.to(wanted)
