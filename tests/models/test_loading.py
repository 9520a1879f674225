import json
import shutil
import struct

import pytest
import torch

from untrac_core.errors import InputError, reason_of
from untrac_core.hub.locate import fetch_model, find_model, hash_model, inspect_model
from untrac_core.models.loading import choose_device, load_model
from untrac_core.paths import within_roots
from untrac_core.specs import ModelRef


@pytest.fixture
def folder(world, tmp_path):
    shutil.copytree(world / "model", tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder, **more):
    config = json.loads((folder / "config.json").read_text()) | more
    (folder / "config.json").write_text(json.dumps(config))


def test_facts_are_read_without_weights(folder, model):
    facts = inspect_model(folder, "m")
    assert facts.parameters == sum(parameter.numel() for parameter in model.module.parameters())
    assert (facts.architecture, facts.context, facts.hidden_size) == ("OPTForCausalLM", 32, 32)


def test_the_hash_follows_the_content(folder):
    first = hash_model(folder)
    edit_config(folder, new_key=1)
    assert hash_model(folder) != first


@pytest.mark.parametrize(
    ("said", "reason"),
    [("a net\nand a loom", "a net"), ("", "ValueError"), ("\n", "ValueError"), ("x" * 900, "x" * 200)],
)
def test_a_reason_is_one_line(said, reason):
    assert reason_of(ValueError(said)) == reason


def _pickle_only(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"x")


def _index_elsewhere(folder):
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    index = {"weight_map": {"a": "../../model/part.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _part_missing(folder):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _longer(folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"hidden")


FAULTS = {
    "pickle": (_pickle_only, "weights are pickle files"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "there are no weights"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "bad config": (lambda f: (f / "config.json").write_text("{"), "config.json is malformed"),
    "code": (lambda f: edit_config(f, auto_map={"AutoModel": "x.y"}), "'auto_map'"),
    "kernel": (lambda f: edit_config(f, _attn_implementation_internal="x/y"), "_attn_implementation_internal"),
    "quantised": (lambda f: edit_config(f, quantization_config={}), "quantization_config"),
    "deep": (lambda f: edit_config(f, text_config={"a": {"quantization_config": {"x": 1}}}), "quantization_config"),
    "masked": (lambda f: edit_config(f, architectures=["BertForMaskedLM"]), "does not write text"),
    "num_layers": (lambda f: edit_config(f, num_hidden_layers=100_000), "the weights hold"),
    "wide": (lambda f: edit_config(f, ffn_dim=10**9), "the weights hold"),
    "words": (lambda f: edit_config(f, vocab_size=10**9), "the weights hold"),
    "index": (_index_elsewhere, "names a file elsewhere"),
    "part": (_part_missing, "a part of the weights, is missing"),
    "name": (lambda f: (f / "model.safetensors").rename(f / "weights.safetensors"), "not named model.safetensors"),
    "offsets": (_longer, "does not fit its contents"),
    "cut": (lambda f: (f / "model.safetensors").write_bytes(b"abc"), "not a whole safetensors file"),
    "numbers": (lambda f: edit_config(f, vocab_size="x"), "do not say what the model is"),
    "no vocabulary": (lambda f: edit_config(f, vocab_size=None), "no vocabulary size"),
    "header": (lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 8) + b'{"a": 1}'), "does not fit"),
    "bomb": (lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 2**60)), "not a whole safetensors file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_must_not_be_loaded_is_refused(folder, fault):
    spoil, says = FAULTS[fault]
    spoil(folder)
    with pytest.raises(InputError) as caught:
        inspect_model(folder, "m")
    assert says in str(caught.value)
    with pytest.raises(InputError):
        load_model(ModelRef(path=str(folder)), torch.device("cpu"))


def test_an_adapter_in_the_models_folder_is_not_loaded_with_it(folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"beside config\.json"):
        load_model(ModelRef(path=str(folder)), torch.device("cpu"))


def test_weights_that_do_not_fit_the_config_are_one_line(folder):
    edit_config(folder, hidden_size=64, word_embed_proj_dim=64)
    with pytest.raises(InputError, match="could not be loaded") as caught:
        load_model(ModelRef(path=str(folder)), torch.device("cpu"))
    assert "\n" not in str(caught.value)


def test_places():
    with pytest.raises(InputError, match="no model folder"):
        find_model(ModelRef(path="./nowhere"))
    for bad in ("../../nowhere", "~nobody/x", "a/b/c", "a b", "x" * 400):
        with pytest.raises(InputError):
            find_model(ModelRef(path=bad))


def test_offline_hub_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    ref = ModelRef(path="someone/something")
    assert find_model(ref) is None
    with pytest.raises(InputError, match="could not be reached"):
        fetch_model(ref)


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="no device 'cuda:63'"):
        choose_device("cuda:63")


def test_pages_read_only_below_the_roots(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNTRAC_ROOTS", str(tmp_path / "root"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_text("x")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    assert within_roots(tmp_path / "root" / "a", where="x") == (tmp_path / "root" / "a").resolve()
    assert within_roots("a", where="x") == within_roots("root/a", where="x") == (tmp_path / "root" / "a").resolve()
    with pytest.raises(InputError, match="lies outside"):
        within_roots("../secret", where="x")
    (tmp_path / "root" / "loop").symlink_to("loop")
    for bad, said in (
        ("link", "lies outside"),
        ("../secret", "lies outside"),
        ("../nothing", "lies outside"),  # as if it were there: a page does not tell what else is on this machine
        ("none", "no file or folder"),
        ("loop", "no file or folder"),
        ("n" * 300, "no file or folder"),
        ("a/b", "no file or folder"),
        ("a\0b", "NUL"),
    ):
        with pytest.raises(InputError, match=said):
            within_roots(f"{tmp_path}/root/{bad}", where="x")
