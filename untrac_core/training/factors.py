"""Sums of gradients' second moments, gathered in a pass that can be stopped, resumed, and used again by another run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

SAVE_SECONDS = 30.0
"""Between two savings of a pass that goes on."""
KEPT_BYTES = 4 * 2**30
"""Of all passes of a folder; the oldest go first."""
SAMPLES = "samples"


@dataclass
class FactorSums:
    """Running sums of G G^T and G^T G of one matrix; vectors where a side is diagonal."""

    left: torch.Tensor
    right: torch.Tensor

    def add(self, gradient: torch.Tensor) -> None:
        """Add one gradient sample, of shape (rows, columns)."""
        squared = gradient * gradient if 1 in (self.left.dim(), self.right.dim()) else gradient
        self.left += gradient @ gradient.T if self.left.dim() == 2 else squared.sum(1)
        self.right += gradient.T @ gradient if self.right.dim() == 2 else squared.sum(0)


class FactorCache:
    """Where a pass is kept: sums to the bit, and how many samples are in them; without a folder, nowhere."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.path = folder / f"{key}.safetensors" if folder is not None else None
        self._saved = time.monotonic()

    def load(self, factors: dict[str, FactorSums]) -> int:
        """Put what is kept into ``moments``; returns how many samples that is, 0 where nothing fits."""
        if self.path is None or not self.path.is_file():
            return 0
        try:
            with safe_open(self.path, framework="pt") as kept:
                count = int((kept.metadata() or {})[SAMPLES])
                found = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError):
            return 0
        sums = _tensors(factors)
        if {name: tensor.shape for name, tensor in found.items()} != {name: t.shape for name, t in sums.items()}:
            return 0
        for name, tensor in sums.items():
            tensor.copy_(found[name])
        os.utime(self.path)
        return count

    def save(self, factors: dict[str, FactorSums], count: int, *, last: bool) -> None:
        """Keep the sums of ``count`` samples, when the pass has ended or the last saving is long ago; whole or not."""
        if self.path is None or not (last or time.monotonic() - self._saved > SAVE_SECONDS):
            return
        if keep({name: t.cpu() for name, t in _tensors(factors).items()}, self.path, {SAMPLES: str(count)}):
            self._saved = time.monotonic()


def keep(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> bool:
    """Write a file whole or not at all, and make room for it; false where it could not be written.

    Whoever computes goes on then: a disk may be full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        save_file(tensors, partial, metadata)
        os.replace(partial, path)
    except (OSError, SafetensorError):
        partial.unlink(missing_ok=True)
        return False
    _sweep(path.parent)
    return True


def _tensors(factors: dict[str, FactorSums]) -> dict[str, torch.Tensor]:
    return {f"{side} {name}": getattr(held, side) for name, held in factors.items() for side in ("left", "right")}


def _sweep(folder: Path) -> None:
    """Remove what was used longest ago, until the folder is small enough; never the newest."""
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for number, path in enumerate(files):
        total += path.stat().st_size
        if number and total > KEPT_BYTES:
            path.unlink(missing_ok=True)
