"""LoRA adapters: merged and beside, against peft's own; what does not fit or must not be loaded is one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from families import CONTEXT, make_adapter, make_model
from peft import PeftModel
from test_families import DOCUMENTS, ITEMS, request
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from untrac_core.errors import InputError
from untrac_core.losses import example_losses
from untrac_core.models import hash_weights, load_model
from untrac_core.specs import ModelRef
from untrac_core.tracing import Tracer, trace

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    for family in ("llama", "gpt2", "t5", "opt"):
        make_model(root / family, family)
        make_adapter(root / f"{family}-lora", root / family)
    return root


def ref(homes, family, adapter=True, **more) -> ModelRef:
    path = str(homes / f"{family}-lora") if adapter else None
    return ModelRef(path=str(homes / family), adapter=path, **more)


def scores(model):
    examples = model.encoder.items(ITEMS, context=CONTEXT, where="")
    examples += model.encoder.blocks(DOCUMENTS, 16, 2).blocks
    return examples, example_losses(model.module, examples, model.device, model.facts.vocabulary)


@pytest.mark.parametrize("moves", ["all", "matrices", "last", "lora"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "opt"])
def test_an_adapted_model_says_what_pefts_own_says(homes, family, moves):
    model = load_model(ref(homes, family), CPU, moves)
    examples, ours = scores(model)
    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    theirs = PeftModel.from_pretrained(kind.from_pretrained(homes / family), homes / f"{family}-lora").eval()
    np.testing.assert_allclose(ours, example_losses(theirs, examples, CPU, 320), rtol=1e-4)
    _, bare = scores(load_model(ref(homes, family, adapter=False), CPU))
    assert np.abs(ours - bare).max() > 0.01
    assert model.facts.adapter.rank == 4


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_fresh_adapter_changes_nothing_until_it_moves(homes, family):
    models = [load_model(ref(homes, family, adapter=False), CPU, moves) for moves in ("all", "lora", "lora")]
    (_, bare), (_, fresh), _ = (scores(model) for model in models)
    np.testing.assert_allclose(fresh, bare, rtol=1e-6)
    assert hash_weights(models[1].module) == hash_weights(models[2].module)
    moving = {name for name, parameter in models[1].module.named_parameters() if parameter.requires_grad}
    assert any("lora_A" in name for name in moving)
    assert all("lora_" in name for name in moving)
    shapes = {tuple(dict(models[1].module.named_parameters())[name].shape) for name in moving}
    assert all(8 in shape for shape in shapes)


def test_loading_an_adapter_leaves_the_random_numbers_alone(homes):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(ref(homes, "llama", adapter=False), CPU, "lora")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("moves", ["matrices", "lora"])
@pytest.mark.parametrize("method", ["untrac", "untrac-inv"])
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_from_folder_to_result(homes, tmp_path, family, method, moves):
    spec = request(
        homes / family,
        tmp_path,
        {"name": method, "samples": 8, "moves": moves},
        adapter=str(homes / f"{family}-lora"),
    )
    tracer = Tracer(spec)
    before = hash_weights(tracer.study.model.module)
    frame = tracer.run_cell(tracer.cells[0])
    assert hash_weights(tracer.study.model.module) == before
    assert (frame[frame.step > 0].change.abs() > 0).any()
    result = trace(spec, tmp_path / "out")
    assert list(result.ranking("talk", "contrast")["rank"]) == [1, 2, 3]
    environment = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert environment["model"]["adapter"].endswith("-lora")
    assert environment["model"]["moves"] == moves


def test_the_adapter_is_part_of_the_models_hash_and_of_the_cells(homes, tmp_path):
    bare = Tracer(request(homes / "llama", tmp_path, {"samples": 8}))
    adapted = Tracer(request(homes / "llama", tmp_path, {"samples": 8}, adapter=str(homes / "llama-lora")))
    assert bare.study.model.digest != adapted.study.model.digest
    assert not {cell.key for cell in bare.cells} & {cell.key for cell in adapted.cells}


def edit(folder, **more):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def _other_model(folder):
    shutil.rmtree(folder)
    base = make_model(folder.parent / "wide", "llama")
    config = json.loads((base / "config.json").read_text())
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(**(config | {"hidden_size": 48}))).save_pretrained(base)
    make_adapter(folder, base)


def _pickled(folder):
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"x")


FAULTS = {
    "pickle": (_pickled, "pickle"),
    "another kind": (lambda f: edit(f, peft_type="IA3"), "not LoRA"),
    "a library to import": (lambda f: edit(f, megatron_config={"a": 1}), "megatron_config"),
    "another model": (_other_model, "fit"),
    "fewer modules": (lambda f: edit(f, target_modules=["q_proj"]), "do not fit its config"),
    "more modules": (lambda f: edit(f, target_modules="all-linear", exclude_modules=None, bias="all"), None),
    "no such module": (lambda f: edit(f, target_modules=["nothing"]), "could not be put on the model"),
    "a slow pattern": (lambda f: edit(f, target_modules="(.*)*x"), "take for ever"),
    "odd types": (lambda f: edit(f, target_modules={"a": 1}), "no usable 'target_modules'"),
    "code": (lambda f: edit(f, auto_mapping={"parent_library": "os"}), None),
    "malformed": (lambda f: (f / "adapter_config.json").write_text("{"), "malformed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_one_line(homes, tmp_path, fault):
    shutil.copytree(homes / "llama-lora", tmp_path / "adapter")
    spoil, says = FAULTS[fault]
    spoil(tmp_path / "adapter")
    broken = ModelRef(path=str(homes / "llama"), adapter=str(tmp_path / "adapter"))
    if says is None:  # what is not among the plain settings is not even looked at
        load_model(broken, CPU)
        return
    with pytest.raises(InputError) as caught:
        load_model(broken, CPU)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
