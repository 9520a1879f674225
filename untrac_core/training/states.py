"""States of a training that is kept between processes, so that one that stopped goes on with the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from untrac_core.training.factors import SAVE_SECONDS, keep

Tensors = dict[str, torch.Tensor]


class States:
    """A file per kept state; without a folder, nothing is kept."""

    def __init__(self, folder: Path | None, keys: Sequence[str]) -> None:
        """``keys``: of all states that there may be, in the order in which they come to be."""
        self._paths = [] if folder is None else [_path(folder, key) for key in keys]
        self._saved = time.monotonic()

    def load(self, put: Callable[[Tensors], None], beyond: int = 0) -> int:
        """Give the furthest state that is whole to ``put``; returns its number, or ``beyond`` where none lies further.

        ``put`` may raise ``KeyError`` or ``RuntimeError`` for tensors that do not fit: then an earlier one is tried.
        """
        for number in range(len(self._paths), beyond, -1):
            found = self.read(number)
            if found is None:
                continue
            try:
                put(found)
            except (KeyError, RuntimeError):
                continue
            os.utime(self._paths[number - 1])
            return number
        return beyond

    def read(self, number: int) -> Tensors | None:
        """The ``number``-th state, counted from 1, on the CPU; ``None`` where it is not there or not whole."""
        if number > len(self._paths) or not self._paths[number - 1].is_file():
            return None
        try:
            with safe_open(self._paths[number - 1], framework="pt") as kept:
                return {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            return None

    def save(self, number: int, make: Callable[[], Tensors], *, always: bool) -> None:
        """Keep the ``number``-th state, whole or not at all: ``always``, or where the last saving is long ago."""
        due = always or time.monotonic() - self._saved > SAVE_SECONDS
        if self._paths and due and keep(make(), self._paths[number - 1]):
            self._saved = time.monotonic()


def _path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.sha256(json.dumps(['state', key]).encode()).hexdigest()}.safetensors"
