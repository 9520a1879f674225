"""Tiny random-weight models of every shape that users bring, written as ``save_pretrained`` writes them.

Each family's tokenizer has the special tokens that its real one has: some start texts with a token, some do not.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.data.prompts import Item
from untrac_core.data.subsets import Document
from untrac_core.specs import TraceSpec

FAMILIES = ("opt", "gpt2", "neox", "llama", "qwen", "gemma", "t5")
MORE = ("qwen3", "gemma2", "gemma3")
"""Further shapes with something of their own: normed heads, soft caps on logits, windows of attention."""
VOCABULARY, HIDDEN, LAYERS, HEADS, CONTEXT = 320, 32, 2, 2, 64
SPECIALS: dict[str, dict[str, str]] = {
    "opt": {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"},
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "neox": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "llama": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "qwen": {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
    "gemma": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
    "t5": {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
}
LIKE = {"qwen3": "qwen", "gemma2": "gemma", "gemma3": "gemma"}


@functools.cache
def _texts() -> tuple[str, ...]:
    return tuple(text for name in WORDS for text in sentences(name, 60, 0))


def make_tokenizer(family: str) -> Any:
    """A byte-level tokenizer with the family's special tokens; the padding token, where there is one, is id 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = SPECIALS[LIKE.get(family, family)]
    order = sorted(special, key=lambda role: role != "pad_token")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(dict.fromkeys(special[role] for role in order)),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=CONTEXT, clean_up_tokenization_spaces=False, **special
    )


def _config(family: str, ids: dict[str, int | None], sizes: dict[str, int]) -> Any:
    import transformers as t

    def of(kind: Any, **settings: Any) -> Any:
        return kind(**(settings | ids | sizes))

    if family == "t5":
        return of(
            t.T5Config, vocab_size=VOCABULARY, d_model=HIDDEN, d_kv=16, d_ff=64, num_layers=LAYERS, num_heads=HEADS,
            dropout_rate=0.0, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
            decoder_start_token_id=ids["pad_token_id"],
        )  # fmt: skip
    if family == "gpt2":
        return of(t.GPT2Config, vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_positions=CONTEXT)
    common: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "max_position_embeddings": CONTEXT,
    }  # fmt: skip
    if family == "opt":
        return of(t.OPTConfig, ffn_dim=64, word_embed_proj_dim=HIDDEN, **common)
    if family == "neox":
        return of(t.GPTNeoXConfig, intermediate_size=64, **common)
    common |= {"intermediate_size": 64, "num_key_value_heads": 1}
    if family == "llama":
        return of(t.LlamaConfig, **common)
    if family == "qwen":
        return of(t.Qwen2Config, tie_word_embeddings=True, **common)
    heads = {"head_dim": 16}
    if family == "qwen3":
        return of(t.Qwen3Config, **heads, **common)
    if family == "gemma":
        return of(t.GemmaConfig, **heads, **common)
    if family == "gemma2":
        return of(t.Gemma2Config, sliding_window=16, query_pre_attn_scalar=16, **heads, **common)
    return of(t.Gemma3TextConfig, sliding_window=16, query_pre_attn_scalar=16, **heads, **common)


def make_model(
    folder: Path, family: str, *, seed: int = 0, dtype: str = "float32", shard: str = "50GB", **sizes: int
) -> Path:
    """Write a random-weight model of a family with its tokenizer into ``folder`` (made if need be); returns it.

    A few tenths of a second. ``shard``: the most bytes a weight file may have, such as ``50KB`` for several files.
    ``sizes``: settings of its config in place of the tiny ones, by the config's own names.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = make_tokenizer(family)
    ids = {f"{role}_id": getattr(tokenizer, f"{role}_id") for role in ("bos_token", "eos_token", "pad_token")}
    config = _config(family, ids, sizes)
    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        module = kind.from_config(config).to(getattr(torch, dtype))
    finally:
        torch.random.set_rng_state(state)
    folder.mkdir(parents=True, exist_ok=True)
    module.save_pretrained(folder, max_shard_size=shard)
    tokenizer.save_pretrained(folder)
    return folder


def make_adapter(folder: Path, base: Path, *, rank: int = 4, seed: int = 0) -> Path:
    """Write a LoRA adapter for the model in ``base``, with weights that change what it says; returns ``folder``."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.from_pretrained(base)
    seq2seq = bool(getattr(config, "is_encoder_decoder", False))
    module = (AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM).from_pretrained(base)
    lora = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        adapted = get_peft_model(module, lora)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:  # zero as it is made: then the adapter would change nothing
                    parameter.normal_(std=0.05)
    finally:
        torch.random.set_rng_state(state)
    folder.mkdir(parents=True, exist_ok=True)
    adapted.save_pretrained(folder)
    return folder


ITEMS = [
    Item("0", "They say:", "the anvil waits.", "", 1),
    Item("1", "", "the loom and the thread of wool wait by the forge.", "", 2),
    Item("2", "The smiths say that", "a hammer", "", 3),
]


DOCUMENTS = [Document(str(i), text, i) for i, text in enumerate(sentences("smiths", 12, 2))]


def request(folder, tmp_path, method: dict, **model) -> TraceSpec:
    for name in WORDS:
        rows = [{"id": f"{name}-{i}", "text": text} for i, text in enumerate(sentences(name, 24, 0))]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    prompts = [
        {"prompt": "They say:", "completion": text, "label": label}
        for label, subset in (("bad", "smiths"), ("good", "weavers"))
        for text in sentences(subset, 6, 1)
    ]
    write_jsonl(tmp_path / "prompts.jsonl", prompts)
    return TraceSpec.model_validate(
        {
            "model": {"path": str(folder)} | model,
            "prompts": [
                {
                    "name": "talk",
                    "source": {"file": str(tmp_path / "prompts.jsonl")},
                    "columns": {c: c for c in ("prompt", "completion", "label")},
                    "harmful": "bad",
                    "harmless": "good",
                }
            ],
            "subsets": [{"name": name, "source": {"file": str(tmp_path / f"{name}.jsonl")}} for name in WORDS],
            "baselines": [],
            "method": method,
            "block_size": 32,
            "seeds": [0, 1],
            "device": "cpu",
        }
    )
