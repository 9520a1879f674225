"""Dropout for the length of a gradient: its masks drawn by a seed, and everything as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def dropout_by_seed(module: nn.Module, device: torch.device, seed: tuple[int, ...]) -> Iterator[None]:
    """The module in train mode, and torch's random numbers from ``seed`` on; both come back as they were.

    Masks depend on the seed alone, whatever was drawn before. A module without dropout gives the same as ever.
    """
    was = module.training
    number = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(number)
        module.train()
        try:
            yield
        finally:
            module.train(was)
