"""The relearning test: how many steps on the forget set bring it back. Shallow forgetting comes back soon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from untrac_core.data.tokens import Example
from untrac_core.models.loading import LoadedModel, weights_restored
from untrac_core.models.losses import batch_losses, example_losses
from untrac_core.models.trainable import moving_parameters
from untrac_core.progress import Progress

RATE = 5e-4
BATCH = 16
NEAR = 0.15
"""Nats per token above the loss before the unlearning at which a text counts as learnt again."""


def relearning_steps(
    model: LoadedModel,
    forget: Sequence[Example],
    looked_at: Sequence[Example],
    known: float,
    most: int,
    progress: Progress,
) -> int | None:
    """Steps of Adam on the forget set until the loss of ``looked_at`` is back; the weights are put back.

    ``known``: their loss before the unlearning, in nats per token. ``None``: not within ``most`` steps. 0: it was
    never away.
    """
    tokens = sum(example.tokens for example in looked_at)

    def back() -> bool:
        losses = example_losses(model.module, looked_at, model.device, model.facts.vocab_size, dtype=model.dtype)
        return float(losses.sum()) / tokens <= known + NEAR

    if back():
        return 0
    with weights_restored(model.module):
        optimizer = torch.optim.Adam(list(moving_parameters(model.module).values()), lr=RATE)
        shuffle = np.random.default_rng(0)
        held: list[int] = []
        for step in range(1, most + 1):
            while len(held) < min(BATCH, len(forget)):
                held += shuffle.permutation(len(forget)).tolist()
            chosen, held = [forget[i] for i in held[:BATCH]], held[BATCH:]
            loss = batch_losses(model.module, chosen, model.device, model.dtype).sum()
            optimizer.zero_grad(set_to_none=True)
            (loss / sum(example.tokens for example in chosen)).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(moving_parameters(model.module).values()), 1.0)
            optimizer.step()
            progress.tick(step, most)
            if back():
                return step
    return None
