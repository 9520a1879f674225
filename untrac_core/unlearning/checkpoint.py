"""An unlearning on the way, as one safetensors file: weights that moved, Adam's moments, and the evaluations so far."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from untrac_core.models.loading import LoadedModel
from untrac_core.models.trainable import moving_parameters
from untrac_core.unlearning.stopping import EvalPoint

KEEP_SECONDS = 20.0
"""Between two writings: a checkpoint is three times the weights."""
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
OF_METHOD = "method "


class Checkpoint:
    """The file of one unlearning; there whole or not at all."""

    def __init__(self, path: Path, model: LoadedModel) -> None:
        self.path, self.model = path, model
        self._generations = time.monotonic()

    def keep(
        self,
        optimizer: torch.optim.Optimizer,
        step: int,
        eval_points: list[EvalPoint],
        of_method: Mapping[str, torch.Tensor],
    ) -> None:
        """Write the state after a step, unless the last writing was just now; ``of_method``: of one without Adam."""
        if time.monotonic() - self._generations < KEEP_SECONDS:
            return
        tensors = {f"{OF_METHOD}{name}": value.contiguous() for name, value in of_method.items()}
        for name, parameter in moving_parameters(self.model.module).items():
            tensors[f"weight {name}"] = parameter.detach().contiguous()
            for moment, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{moment} {name}"] = value.contiguous()
        told = {"step": str(step), "looks": json.dumps([asdict(look) for look in eval_points])}
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata=told)
        os.replace(partial, self.path)
        self._generations = time.monotonic()

    def restore(
        self, optimizer: torch.optim.Optimizer, resume: Callable[[Mapping[str, torch.Tensor]], None]
    ) -> tuple[int, list[EvalPoint]]:
        """Put weights and moments back; returns the steps that are done and their looks, or 0 and none.

        ``resume`` is given what was kept of the method; it may raise ``KeyError``.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                told = file.metadata()
                step, eval_points = int(told["step"]), [EvalPoint(**look) for look in json.loads(told["looks"])]
                held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            parameters = moving_parameters(self.model.module)
            weights = {name: held[f"weight {name}"] for name in parameters}
            if any(weights[name].shape != parameter.shape for name, parameter in parameters.items()):
                raise ValueError("weights of another model")
            resume({key.removeprefix(OF_METHOD): value for key, value in held.items() if key.startswith(OF_METHOD)})
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return 0, []
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])
                moments = {m: held[f"{m} {name}"] for m in MOMENTS if f"{m} {name}" in held}
                if moments:
                    optimizer.state[parameter] = {
                        m: value if m == "step" else value.to(parameter.device) for m, value in moments.items()
                    }
        return step, eval_points

    def remove(self) -> None:
        """The unlearning is done."""
        self.path.unlink(missing_ok=True)
