"""Models in memory: load one safely, choose its device, and put its weights back exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from untrac_core.data.tokens import Encoder, make_encoder
from untrac_core.errors import InputError
from untrac_core.model_files import ModelFacts, fetch_model, hash_model, inspect_model
from untrac_core.specs import ModelRef


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in eval mode on its device, with its encoder, facts and content hash."""

    module: nn.Module
    encoder: Encoder
    facts: ModelFacts
    digest: str
    device: torch.device


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU; a device that is not there is an :class:`InputError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"there is no device {name!r} on this machine", where="device", mend="write 'device: auto'")
    return device


def load_model(ref: ModelRef, device: torch.device) -> LoadedModel:
    """Load a causal LM in float32 from safetensors, never running code that comes with it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = fetch_model(ref)
    facts = inspect_model(folder, ref.path)
    where = f"model {ref.path!r}"
    try:
        module = AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation="sdpa",
            dtype=torch.float32,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        backend = tokenizer.backend_tokenizer
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"the model could not be loaded ({reason})", where=where, mend="check that transformers can load it"
        ) from error
    nn.Module.to(module, device).train(False)
    encoder = make_encoder(backend, bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id)
    return LoadedModel(module, encoder, facts, hash_model(folder), device)


def hash_weights(module: nn.Module) -> str:
    """SHA-256 of every parameter and buffer, to the bit."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def weights_restored(module: nn.Module) -> Iterator[None]:
    """Whatever happens inside, the parameters and buffers come out bit for bit as they went in."""
    saved = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                tensor.copy_(saved[name])
        module.zero_grad(set_to_none=True)
