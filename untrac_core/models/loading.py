"""Models in memory: load one safely, choose its device, and put its weights back exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from untrac_core.data.tokens import Encoder, decoder_start, make_encoder
from untrac_core.errors import InputError, reason_of
from untrac_core.hub.locate import ModelInfo, fetch_adapter, fetch_model, hash_model, inspect_model, require_memory
from untrac_core.models.lora import add_adapter, fresh_adapter
from untrac_core.models.losses import computing_in
from untrac_core.models.trainable import set_trainable, upcast_trainable
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef, Trainable

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A causal or seq2seq language model in eval mode on its device, with its encoder, facts and content hash."""

    module: nn.Module
    encoder: Encoder
    facts: ModelInfo
    digest: str
    """Of its files, an adapter's among them."""
    device: torch.device
    dtype: torch.dtype = torch.float32
    """Of the computation; weights that move are float32 whatever this is."""
    trainable: Trainable = "all"
    tokenizer: Any = None
    """The tokenizer of transformers, for generating."""

    def computing(self) -> AbstractContextManager[Any]:
        """Inside it, matrix products are computed in the model's precision."""
        return computing_in(self.dtype, self.device)


def settle_torch(threads: int | None) -> None:
    """Make torch repeatable: deterministic operations, and as many threads as asked for."""
    if threads is not None:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU; a device that is not there is an :class:`InputError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"there is no device {name!r} on this machine", field="device", hint="write 'device: auto'")
    return device


def load_model(
    ref: ModelRef, device: torch.device, trainable: Trainable = "all", progress: Progress | None = None
) -> LoadedModel:
    """Load a model from safetensors, never running code that comes with it.

    ``trainable`` says which parameters have gradients. A LoRA adapter is merged into the weights, but with ``lora``,
    where its own weights move; without an adapter that is a fresh one. ``ref.dtype``: ``auto`` is float32 here
    (:func:`untrac_core.tasks.costs.choose_precision` knows the device's memory). Raises :class:`InputError` for what
    cannot or must not be loaded."""
    folder = fetch_model(ref, progress)
    adapter = fetch_adapter(ref, progress)
    facts = inspect_model(folder, ref.path, adapter=adapter, adapter_name=ref.adapter)
    dtype = DTYPES.get(ref.dtype, torch.float32)
    # Where most weights move, they are read in float32; else the few that move start from their value in `dtype`.
    held = dtype if trainable in ("last_layers", "lora") else torch.float32
    if device.type == "cpu":
        require_memory(facts, held.itemsize)
    module, tokenizer = _read(folder, facts, held)
    seq2seq = facts.kind == "seq2seq"
    if adapter is not None:
        module = add_adapter(module, adapter, str(ref.adapter), seq2seq=seq2seq, merge=trainable != "lora")
    elif trainable == "lora":
        module = fresh_adapter(module, seq2seq=seq2seq)
    try:
        set_trainable(module, trainable)
    except ValueError as error:
        raise InputError(str(error), field="method", hint="let other parameters move") from None
    upcast_trainable(module, dtype)
    nn.Module.to(module, device).train(False)
    encoder = make_encoder(
        tokenizer.backend_tokenizer,
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        decoder=decoder_start(module.config.to_dict()) if seq2seq else None,  # type: ignore[union-attr, operator]
    )
    digest = hash_model(folder, adapter)
    return LoadedModel(module, encoder, facts, digest, device, dtype, trainable, tokenizer)


def _read(folder: Path, facts: ModelInfo, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """The module and the tokenizer of a folder, by transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind: Any = AutoModelForSeq2SeqLM if facts.kind == "seq2seq" else AutoModelForCausalLM
    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(folder, **safe)
        module, report = _with_attention(
            lambda attention: kind.from_pretrained(
                folder,
                use_safetensors=True,
                attn_implementation=attention,
                dtype=dtype,
                output_loading_info=True,
                **safe,
            ),
            config,
        )
        if report["missing_keys"]:  # transformers would draw them at random
            raise ValueError(f"the files have no weights for {sorted(report['missing_keys'])[0][:100]}")
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        _ = tokenizer.backend_tokenizer
    except Exception as error:
        raise InputError(
            f"the model could not be loaded ({reason_of(error)})",
            field=f"model {facts.name!r}",
            hint="check that transformers can load it",
        ) from error
    return module, tokenizer


def _with_attention(load: Callable[[str], Any], config: Any) -> Any:
    """Loaded with torch's fused attention, or with plain attention where the fused one does not do what the model does.

    Gemma 2 caps attention's logits softly, which the fused attention leaves out; some models know the plain one only.
    """
    language = getattr(config, "text_config", config)
    if getattr(language, "attn_logit_softcapping", None):
        return load("eager")
    try:
        return load("sdpa")
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
    return load("eager")


def hash_weights(module: nn.Module) -> str:
    """SHA-256 of every parameter and buffer, to the bit."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def weights_restored(module: nn.Module) -> Iterator[None]:
    """Whatever happens inside, the parameters that can move, and all buffers, come out bit for bit as they went in."""
    tensors = [parameter for parameter in module.parameters() if parameter.requires_grad] + list(module.buffers())
    saved = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(tensors, saved, strict=True):
                tensor.copy_(before)
        module.zero_grad(set_to_none=True)
