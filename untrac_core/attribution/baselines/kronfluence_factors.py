"""EK-FAC factors of a model, fitted and applied by the library kronfluence (an optional install).

The library wraps a model's linear layers, samples labels without a seed, and keeps its device in a global: here it
works on a copy, seeded, and leaves random states and that global as it found them.
"""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional

from untrac_core.data.tokens import Example, batch_tokens
from untrac_core.errors import InputError, reason_of
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import batch_losses, collate
from untrac_core.models.trainable import transformer_blocks
from untrac_core.progress import Progress

VERSION = "1.0.1"
"""Of kronfluence, as requirements-ekfac.txt has it."""
INSTALL = "pip install --no-deps -r requirements-ekfac.txt"
"""Without its dependencies: it asks for torchvision, which it does not use and which would bring another torch."""
WHERE = "method ek-fac"
BATCH_BYTES = 2**28
"""Of the gradients, example by example, of one layer and one batch."""


def require_library() -> None:
    """Raise an :class:`InputError` that says how to install kronfluence, where it cannot be imported."""
    try:
        import_module("kronfluence.analyzer")
    except ImportError:
        raise InputError("kronfluence is not installed", field=WHERE, hint=f"run '{INSTALL}'") from None


def linear_twin(model: LoadedModel) -> LoadedModel:
    """A float32 copy of the model whose ``Conv1D`` layers (GPT-2's) are linear layers, which the library knows.

    An output layer that shares its weight with the embedding has one of its own: a layer's gradient is its own alone.
    """
    from transformers.pytorch_utils import Conv1D

    module = copy.deepcopy(model.module).float()
    module.zero_grad(set_to_none=True)
    for name, part in list(module.named_modules()):
        if isinstance(part, Conv1D):
            rows, columns = part.weight.shape
            linear = nn.Linear(rows, columns, device=part.weight.device)
            linear.weight = nn.Parameter(part.weight.detach().T.contiguous(), part.weight.requires_grad)
            linear.bias = nn.Parameter(part.bias.detach(), part.bias.requires_grad)
            module.set_submodule(name, linear)
    head = _head(module)
    if head is not None:
        head.weight = nn.Parameter(head.weight.detach().clone(), head.weight.requires_grad)
    return replace(model, module=module.train(False), dtype=torch.float32)


def tracked_layers(module: nn.Module, *, head: bool = False) -> list[str]:
    """The names of the linear layers in transformer blocks that move, and of the output layer where it is asked for."""
    starts = tuple(f"{name}." for name, _ in transformer_blocks(module))
    last = _head(module) if head else None
    names = [
        name
        for name, part in module.named_modules()
        if type(part) is nn.Linear and part.weight.requires_grad and (name.startswith(starts) or part is last)
    ]
    if not names:
        raise InputError("the model has no linear layers that it knows", field=WHERE, hint="leave this method out")
    return names


def _head(module: nn.Module) -> nn.Linear | None:
    """The layer that gives each word its logit."""
    whole: Any = module
    last = whole.get_output_embeddings()
    return last if type(last) is nn.Linear else None


def wrapped_linear(module: nn.Module, name: str) -> nn.Linear:
    """A layer that the library has wrapped."""
    original = module.get_submodule(name).original_module
    assert isinstance(original, nn.Linear)  # noqa: S101
    return original


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Seeded, as the library samples labels; random states, and the library's idea of the device, as before after."""
    state = import_module("kronfluence.utils.state").State
    cuda = device.type == "cuda"
    with (
        torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else []),
        torch.cuda.device(device) if cuda else nullcontext(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", FutureWarning)  # of a torch name that the library still uses
        torch.manual_seed(0)
        state._reset_state()
        fresh = gc.get_freeze_count() == 0
        if fresh:  # the library collects garbage at every turn: 0.3 s each, unless old objects are set aside
            gc.freeze()
        try:
            yield
        finally:
            if fresh:
                gc.unfreeze()
            state._reset_state()


class BlockLosses:
    """The task, in the library's words: the summed loss of training blocks, their labels true or sampled."""

    enable_post_process_per_sample_gradient = False

    def __init__(self, examples: Sequence[Example], layers: Sequence[str], device: torch.device) -> None:
        self.examples, self.layers, self.device = examples, layers, device

    def get_influence_tracked_modules(self) -> list[str]:
        """The layers that have factors."""
        return list(self.layers)

    def get_attention_mask(self, batch: torch.Tensor) -> None:
        """None: a batch holds examples of one length."""

    def compute_train_loss(self, batch: torch.Tensor, model: nn.Module, sample: bool = False) -> torch.Tensor:
        """Nats, summed over the scored tokens of the examples that ``batch_size`` numbers."""
        examples = [self.examples[i] for i in batch.tolist()]
        if not sample:
            return batch_losses(model, examples, self.device).sum()
        outputs: list[Any] = []
        hook = model.register_forward_hook(lambda module, given, output: outputs.append(output))
        try:
            batch_losses(model, examples, self.device)
        finally:
            hook.remove()
        _, _, scored = collate(examples, self.device)
        logits = outputs[0].logits[:, :-1][scored[:, 1:]].float()
        labels = torch.multinomial(logits.detach().softmax(-1), 1).flatten()
        return functional.cross_entropy(logits, labels, reduction="sum")


class _Batches:
    """A data set of batches, each the numbers of some examples; every one that is asked for is a tick."""

    def __init__(self, plan: Sequence[Sequence[int]], progress: Progress) -> None:
        self.plan, self.progress = plan, progress

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> torch.Tensor:
        self.progress.tick(number, len(self.plan))
        return torch.tensor(self.plan[number])


def equal_batches(examples: Sequence[Example], tokens: int, rows: int) -> list[list[int]]:
    """Indices in batches of examples of one length, so that nothing is padded: at most ``tokens`` and ``rows``."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, example in enumerate(examples):
        groups.setdefault((len(example.ids), example.size), []).append(number)
    plan = []
    for (_, size), members in groups.items():
        step = max(1, min(rows, tokens // size))
        plan += [members[start : start + step] for start in range(0, len(members), step)]
    return plan


def fit_factors(
    model: LoadedModel, layers: Sequence[str], examples: Sequence[Example], folder: Path, progress: Progress
) -> Path:
    """Fit EK-FAC factors on ``examples``; returns the folder of their safetensors files, inside ``folder``.

    The layers of ``model.module`` come out wrapped by the library, and without gradients.
    """
    analysis = import_module("kronfluence.analyzer")
    arguments = import_module("kronfluence.arguments").FactorArguments(strategy="ekfac")
    linears = [
        part for name, part in model.module.named_modules() if name in set(layers) and isinstance(part, nn.Linear)
    ]
    largest = max(matrix_shape(linear).numel() for linear in linears)
    plan = equal_batches(examples, batch_tokens(model.facts.vocab_size), max(1, BATCH_BYTES // 4 // largest))
    task = BlockLosses(examples, layers, model.device)
    _require_fit(model, layers, [examples[i] for i in max(plan, key=len)])
    loading = import_module("kronfluence.utils.dataset").DataLoaderKwargs(collate_fn=lambda batches: batches[0])
    how = {"per_device_batch_size": 1, "dataloader_kwargs": loading, "factor_args": arguments}
    data = _Batches(plan, progress)
    try:
        analyzer = analysis.Analyzer(
            analysis_name="ek-fac",
            model=analysis.prepare_model(model.module, task),
            task=task,
            cpu=model.device.type == "cpu",
            disable_tqdm=True,
            output_dir=str(folder),
        )
        progress.phase("ek-fac: covariances of each layer's inputs and gradients")
        analyzer.fit_covariance_matrices("fit", data, **how)
        progress.phase("ek-fac: eigenvectors")
        analyzer.perform_eigendecomposition("fit", factor_args=arguments)
        progress.phase("ek-fac: gradients in the eigenvectors' basis")
        analyzer.fit_lambda_matrices("fit", data, **how)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"kronfluence fits no factors to this model ({reason_of(error)})", field=WHERE, hint="leave this method out"
        ) from error
    return Path(analyzer.factors_output_dir("fit"))


def matrix_shape(linear: nn.Linear) -> torch.Size:
    """Of a layer's weight and bias as one matrix: (outputs, inputs + 1), or without the 1 where there is no bias."""
    return torch.Size((linear.out_features, linear.in_features + (linear.bias is not None)))


@torch.no_grad()
def _require_fit(model: LoadedModel, layers: Sequence[str], examples: Sequence[Example]) -> None:
    """Raise an :class:`InputError` unless every layer sees, once a pass, (examples, tokens, features).

    The library takes the first dimension for the examples: where a model flattens it away, as OPT does before its
    MLP, each token would count as an example, in some factors without a word.
    """
    seen: dict[str, list[torch.Size]] = {layer: [] for layer in layers}
    hooks = [
        model.module.get_submodule(layer).register_forward_pre_hook(
            lambda part, given, name=layer: seen[name].append(given[0].shape)
        )
        for layer in layers
    ]
    try:
        batch_losses(model.module, examples, model.device)
    finally:
        for hook in hooks:
            hook.remove()
    for layer, shapes in seen.items():
        if len(shapes) != 1:
            what = f"kronfluence's hooks need each layer once a pass, and {layer!r} comes {len(shapes)} times"
        elif len(shapes[0]) < 3 or shapes[0][0] != len(examples):
            what = f"kronfluence's hooks need an input a training example, and {layer!r} gets all tokens as one list"
        else:
            continue
        raise InputError(what, field=WHERE, hint="leave this method out for this model")


def precondition(gradients: torch.Tensor, layer: str, factors: Path, damping: float) -> torch.Tensor:
    """P of a layer's gradients, shape (gradients, outputs, inputs), by the library's own code."""
    names = import_module("kronfluence.utils.constants")
    storage: dict[str, torch.Tensor | None] = {}
    for factor in (*names.EIGENDECOMPOSITION_FACTOR_NAMES, *names.LAMBDA_FACTOR_NAMES):
        with safe_open(factors / f"{factor}.safetensors", framework="pt") as file:
            storage[factor] = file.get_tensor(layer)
    squares, count = storage[names.LAMBDA_MATRIX_NAME], storage[names.NUM_LAMBDA_PROCESSED]
    assert squares is not None  # noqa: S101
    assert count is not None  # noqa: S101
    mean = float(squares.double().mean() / count)
    if mean == 0.0:  # no gradient reaches the layer
        return torch.zeros_like(gradients)
    ekfac = import_module("kronfluence.factor.config").FactorConfig.CONFIGS["ekfac"]
    arguments = import_module("kronfluence.arguments").ScoreArguments(damping_factor=damping * mean)
    ekfac.prepare(storage, arguments, gradients.device)
    scaled: torch.Tensor = ekfac.precondition_gradient(gradients, storage)
    return scaled
