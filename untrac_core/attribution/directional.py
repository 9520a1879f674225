"""How fast each token's loss changes along a direction: forward-mode differentiation, no step and so no step size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrac_core.data.tokens import Example, batch_tokens, batches
from untrac_core.models.loading import LoadedModel
from untrac_core.models.losses import Losses, batch_token_losses
from untrac_core.progress import Progress, Silent


def token_derivatives(
    model: LoadedModel,
    examples: Sequence[Example],
    direction: Mapping[str, torch.Tensor],
    progress: Progress | None = None,
) -> tuple[Losses, Losses]:
    """Losses in nats, and their derivatives along ``direction``, of every scored token, one example after the other.

    ``direction``: by parameter name, in the parameter's shape; parameters that it does not name stay put.
    """
    ends = np.cumsum([example.tokens for example in examples], dtype=np.int64)
    count = int(ends[-1]) if len(ends) else 0
    values, slopes = np.empty(count), np.empty(count)
    plan = batches(examples, batch_tokens(model.facts.vocab_size))
    for done, batch in enumerate(plan, 1):
        # The fused attention kernels have no forward mode; the plain one is the same function.
        with torch.no_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            module = _along(model.module, direction)
            losses, counted = batch_token_losses(module, [examples[i] for i in batch], model.device, model.dtype)
            value, slope = forward_ad.unpack_dual(losses)  # type: ignore[no-untyped-call]
            slope = torch.zeros_like(value) if slope is None else slope
            found = [part[counted].double().cpu().numpy() for part in (value, slope)]  # row by row
        start = 0
        for i in batch:
            own = slice(ends[i] - examples[i].tokens, ends[i])
            stop = start + examples[i].tokens
            values[own], slopes[own] = (part[start:stop] for part in found)
            start = stop
        (progress or Silent()).tick(done, len(plan))
    return values, slopes


def _along(module: nn.Module, direction: Mapping[str, torch.Tensor]) -> nn.Module:
    """The module as a function whose named parameters move along the direction."""
    moving = {
        name: forward_ad.make_dual(parameter.detach(), direction[name].to(parameter.dtype))  # type: ignore[no-untyped-call]
        for name, parameter in module.named_parameters()
        if name in direction
    }

    def call(**given: Any) -> Any:
        return functional_call(module, moving, kwargs=given)

    return cast(nn.Module, call)
