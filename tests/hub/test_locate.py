import json
import os
import shutil
import time

import pytest

from tests.helpers.families import FAMILIES, MORE, make_adapter, make_model
from untrac_core.errors import InputError
from untrac_core.hub import locate as model_files
from untrac_core.hub import models as hub_models
from untrac_core.hub.adapter_files import REFUSED
from untrac_core.hub.cards import CARD_BYTES
from untrac_core.hub.config_json import CONFIG_BYTES
from untrac_core.hub.locate import (
    fetch_adapter,
    find_adapter,
    find_model,
    hash_model,
    inspect_model,
    model_info,
    require_memory,
)
from untrac_core.hub.model_info import is_complete, licence_of
from untrac_core.hub.repos import HubRepo
from untrac_core.hub.weights import implied_parameters, read_shape
from untrac_core.specs import ModelRef


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_model(folder / "opt", "opt")
    make_model(folder / "llama", "llama")
    make_adapter(folder / "lora", folder / "opt", rank=3)
    return folder


@pytest.fixture
def adapter(made, tmp_path):
    shutil.copytree(made / "lora", tmp_path / "lora")
    return tmp_path / "lora"


def edit(path, **more):
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


@pytest.mark.parametrize("family", [*FAMILIES, *MORE])
def test_every_shape_is_known_whole_or_in_parts(tmp_path, family):
    whole, parts = make_model(tmp_path / "whole", family, dtype="bfloat16"), tmp_path / "parts"
    make_model(parts, family, dtype="bfloat16", shard="30KB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    first, second = inspect_model(whole, "m"), inspect_model(parts, "m")
    assert first.kind == ("seq2seq" if family == "t5" else "causal")
    assert first.num_layers == (4 if family == "t5" else 2)
    assert first.context == (None if family == "t5" else 64)
    assert (first.dtype, first.vocab_size, first.hidden_size) == ("bfloat16", 320, 32)
    assert first.tokenizer
    assert first.parameters == second.parameters
    assert is_complete(parts)
    next(iter(parts.glob("*.safetensors"))).unlink()
    assert not is_complete(parts)


def test_the_same_weights_twice_count_once(made, tmp_path):
    shutil.copytree(made / "opt", tmp_path / "m")
    shutil.copy(tmp_path / "m/model.safetensors", tmp_path / "m/consolidated.safetensors")
    assert inspect_model(tmp_path / "m", "m").weight_bytes == inspect_model(made / "opt", "m").weight_bytes


# Configs of models that people use, with the parameters that their cards state.
KNOWN = {
    "gpt2": ({"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}, 124e6),
    "opt-125m": (
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072, "vocab_size": 50272},
        125e6,
    ),
    "pythia-70m": (
        {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048}
        | {"vocab_size": 50304},
        70e6,
    ),
    "t5-small": (
        {"d_model": 512, "num_layers": 6, "num_heads": 8, "d_kv": 64, "d_ff": 2048, "vocab_size": 32128}
        | {"is_encoder_decoder": True},
        60.5e6,
    ),
    "llama-7b": (
        {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008}
        | {"vocab_size": 32000},
        6.74e9,
    ),
    "qwen2.5-0.5b": (
        {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
        | {"intermediate_size": 4864, "vocab_size": 151936},
        494e6,
    ),
    "gemma-2b": (
        {"hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1}
        | {"head_dim": 256, "intermediate_size": 16384, "vocab_size": 256000},
        2.51e9,
    ),
    "mixtral-8x7b": (
        {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
        | {"intermediate_size": 14336, "num_local_experts": 8, "vocab_size": 32000},
        46.7e9,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_size_that_a_config_implies(name):
    config, stated = KNOWN[name]
    low, high = implied_parameters(read_shape(config))
    assert low / 1.2 < stated < high * 1.2
    assert high < 3 * low


@pytest.mark.parametrize("value", [True, -1, 2.5, "9", 10**13])
def test_a_size_that_is_no_number_is_refused(made, tmp_path, value):
    shutil.copytree(made / "opt", tmp_path / "m")
    edit(tmp_path / "m/config.json", hidden_size=value)
    with pytest.raises(InputError, match="do not say what the model is"):
        inspect_model(tmp_path / "m", "m")


def test_adapters_are_read_with_their_model(made):
    facts = inspect_model(made / "opt", "m", adapter=made / "lora", adapter_name="mine").adapter
    assert (facts.name, facts.rank, facts.alpha, facts.licence) == ("mine", 3, 6.0, None)
    assert facts.targets == ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"]
    assert facts.parameters == 2 * (4 * 3 * 64 + 2 * 3 * 96)
    assert model_info(ModelRef(path=str(made / "opt"), adapter=str(made / "lora"))).adapter.rank == 3
    assert model_info(ModelRef(path=str(made / "opt"))).adapter is None


ADAPTER_FAULTS = {
    "pickle": (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "pickle files"),
    "none": (lambda f: (f / "adapter_model.safetensors").unlink(), "no weights in safetensors"),
    "no config": (lambda f: (f / "adapter_config.json").unlink(), "no adapter_config.json"),
    "bad config": (lambda f: (f / "adapter_config.json").write_text("[" * 10_000), "malformed"),
    "cut": (lambda f: (f / "adapter_model.safetensors").write_bytes(b"abc"), "not a whole safetensors file"),
    "kind": (lambda f: edit(f / "adapter_config.json", peft_type="PREFIX_TUNING"), "not LoRA"),
    "rank": (lambda f: edit(f / "adapter_config.json", r=10**9), "rank is not a number"),
    "ranks": (lambda f: edit(f / "adapter_config.json", rank_pattern={"q_proj": [1]}), "rank is not a number"),
    "rank of words": (lambda f: edit(f / "adapter_config.json", rank_pattern={"q_proj": "x"}), "rank is not a number"),
    "list of ranks": (lambda f: edit(f / "adapter_config.json", rank_pattern=[3]), "no usable 'rank_pattern'"),
    "alphas": (lambda f: edit(f / "adapter_config.json", alpha_pattern={"q_proj": {}}), "alpha is not a number"),
    "alpha nan": (lambda f: edit(f / "adapter_config.json", lora_alpha=float("nan")), "alpha is not a number"),
    "alpha inf": (lambda f: edit(f / "adapter_config.json", lora_alpha=float("inf")), "alpha is not a number"),
    "alpha long": (lambda f: edit(f / "adapter_config.json", lora_alpha=10**400), "alpha is not a number"),
    "pissa": (lambda f: edit(f / "adapter_config.json", init_lora_weights="pissa_niter_4"), "Convert it to plain LoRA"),
    "olora": (lambda f: edit(f / "adapter_config.json", init_lora_weights="olora"), "Convert it to plain LoRA"),
    "another rank": (lambda f: edit(f / "adapter_config.json", r=4), "do not have the rank"),
    "start": (lambda f: edit(f / "adapter_config.json", init_lora_weights="eva"), "'init_lora_weights'"),
}


@pytest.mark.parametrize("classifier", [False, True])
def test_an_adapter_beside_the_model_is_refused(made, tmp_path, classifier):
    shutil.copytree(made / "opt", tmp_path / "m")
    if classifier:
        edit(tmp_path / "m/config.json", architectures=["OPTForSequenceClassification"])
    inspect_model(tmp_path / "m", "m", classifier=classifier)
    shutil.copy(made / "lora/adapter_config.json", tmp_path / "m")
    with pytest.raises(InputError, match="name the adapter as adapter, and the plain model as path"):
        inspect_model(tmp_path / "m", "m", classifier=classifier)


def test_an_adapters_config_is_not_among_the_files_that_come_with_a_model():
    files = dict.fromkeys(("config.json", "adapter_config.json", "tokenizer.json", "model.safetensors"), 1)
    repo = HubRepo("guild/both", "model", "0" * 40, files, gated=False)
    assert hub_models._side(repo) == ["config.json", "tokenizer.json"]


@pytest.mark.parametrize("fault", ADAPTER_FAULTS)
def test_adapters_that_must_not_be_loaded_are_refused(made, adapter, fault):
    spoil, says = ADAPTER_FAULTS[fault]
    spoil(adapter)
    with pytest.raises(InputError) as caught:
        inspect_model(made / "opt", "m", adapter=adapter)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", REFUSED)
def test_adapters_that_would_run_or_fetch_something_are_refused(made, adapter, key):
    edit(adapter / "adapter_config.json", **{key: {"path": "x"}})
    with pytest.raises(InputError, match=key):
        inspect_model(made / "opt", "m", adapter=adapter)


def test_an_adapter_of_another_model_is_refused(made, tmp_path):
    with pytest.raises(InputError, match="the model has no module"):
        inspect_model(made / "llama", "m", adapter=made / "lora")
    shutil.copytree(made / "opt", tmp_path / "m")
    from safetensors.numpy import load_file, save_file

    weights = load_file(tmp_path / "m/model.safetensors")
    wide = {key: value.repeat(2, axis=0) if "fc1.weight" in key else value for key, value in weights.items()}
    save_file(wide, tmp_path / "m/model.safetensors")
    with pytest.raises(InputError, match="is 128 x 32 there and 64 x 32 here"):
        inspect_model(tmp_path / "m", "m", adapter=made / "lora")


def test_places_of_adapters(made):
    assert find_adapter(ModelRef(path="demo")) is fetch_adapter(ModelRef(path="demo")) is None
    assert find_adapter(ModelRef(path="demo", adapter=str(made / "lora"))) == made / "lora"
    with pytest.raises(InputError, match="no adapter folder"):
        find_adapter(ModelRef(path="demo", adapter="./nowhere"))
    with pytest.raises(InputError, match="NUL"):
        find_model(ModelRef(path="a\0b"))


def test_the_hash_covers_the_adapter(made, adapter):
    plain, adapted = hash_model(made / "opt"), hash_model(made / "opt", adapter)
    assert plain != adapted == hash_model(made / "opt", made / "lora")
    edit(adapter / "adapter_config.json", lora_alpha=5)
    assert hash_model(made / "opt", adapter) not in (plain, adapted)


def test_links_that_leave_a_folder_that_pages_may_read(made, tmp_path, monkeypatch):
    root = tmp_path / "root"
    shutil.copytree(made / "opt", root / "m")
    (tmp_path / "secret.json").write_text("{}")
    (root / "m/generation_config.json").unlink()
    (root / "m/generation_config.json").symlink_to(tmp_path / "secret.json")
    ref = ModelRef(path=str(root / "m"))
    assert find_model(ref) == root / "m"  # outside the roots it is the user's own affair
    monkeypatch.setenv("UNTRAC_ROOTS", str(root))
    with pytest.raises(InputError, match="a link that leaves the folder"):
        find_model(ref)
    (root / "m/generation_config.json").unlink()
    (root / "m/generation_config.json").symlink_to(root / "m/config.json")
    assert find_model(ref) == root / "m"
    monkeypatch.setenv("UNTRAC_ROOTS", os.pathsep.join([str(root), str(tmp_path)]))
    (root / "m/special_tokens_map.json").symlink_to(tmp_path / "secret.json")
    assert find_model(ref) == root / "m"


def test_weights_that_do_not_fit_the_memory_are_refused(made, monkeypatch):
    import psutil

    facts = inspect_model(made / "opt", "m")
    require_memory(facts)
    free = psutil.virtual_memory()._replace(available=facts.parameters * 3)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    require_memory(facts, 2)
    with pytest.raises(InputError, match="of memory"):
        require_memory(facts)


def test_a_classifier_is_one_only_where_it_is_wanted(made, tmp_path):
    shutil.copytree(made / "opt", tmp_path / "m")
    edit(tmp_path / "m/config.json", architectures=["OPTForSequenceClassification"])
    assert inspect_model(tmp_path / "m", "m", classifier=True).kind == "classifier"
    with pytest.raises(InputError, match="does not write text"):
        inspect_model(tmp_path / "m", "m")
    with pytest.raises(InputError, match="not a sequence classifier"):
        inspect_model(made / "opt", "m", classifier=True)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: guild-1.0\n---\n", "guild-1.0"),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", "mit"),
        ("---\nlicense: 'a\n\n  b'\n---\n", "a b"),
        ("---\nlicense: {a: 1}\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- mit\n---\n", None),
        ("---\nlicense: 2001-99-99\n---\n", None),
        ("license: mit\n", None),
        ("---\n" + "[" * 50_000, None),
        ("", None),
    ],
)
def test_the_licence_is_what_the_card_says(card, licence):
    assert licence_of(card) == licence


def test_a_card_on_the_hub_is_cut_where_one_here_is(tmp_path, monkeypatch):
    text = b"nets and looms " * 10_000
    (tmp_path / "README.md").write_bytes(text)
    repo = HubRepo("guild/long", "model", "0" * 40, {"README.md": len(text)}, gated=False)
    monkeypatch.setattr(hub_models, "_small", lambda *_: text)
    assert hub_models._read_card(repo) == model_files._card(tmp_path) == text[:CARD_BYTES].decode()


MERGES = "- &a0 {x: x}\n" + "".join(f"- &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


@pytest.mark.parametrize("values", [MERGES, "- &a [x, *a]\n"])
def test_a_card_that_grows_by_its_aliases_names_no_licence(values):
    before = time.process_time()
    assert licence_of(f"---\nlicense: mit\nnets:\n{values}---\n") is None
    assert time.process_time() - before < 10


def test_small_files_have_bounds(made, tmp_path):
    shutil.copytree(made / "opt", tmp_path / "m")
    edit(tmp_path / "m/config.json", filler="x" * CONFIG_BYTES)
    with pytest.raises(InputError, match=r"config\.json is over 10 MB"):
        inspect_model(tmp_path / "m", "m")
