"""LoRA adapters: merged and beside, against peft's own; what does not fit or must not be loaded is one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.helpers.families import CONTEXT, DOCUMENTS, ITEMS, make_adapter, make_model, request
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.models.lora import _is_slow
from untrac_core.models.losses import example_losses
from untrac_core.specs import ModelRef
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.task import TraceTask

pytestmark = pytest.mark.slow  # a trace by each method with an adapter on every family

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
    return examples, example_losses(model.module, examples, model.device, model.facts.vocab_size)


@pytest.mark.parametrize("trainable", ["all", "matrices", "last_layers", "lora"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "opt"])
def test_an_adapted_model_says_what_pefts_own_says(homes, family, trainable):
    model = load_model(ref(homes, family), CPU, trainable)
    examples, ours = scores(model)
    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    theirs = PeftModel.from_pretrained(kind.from_pretrained(homes / family), homes / f"{family}-lora").eval()
    np.testing.assert_allclose(ours, example_losses(theirs, examples, CPU, 320), rtol=1e-4)
    _, bare = scores(load_model(ref(homes, family, adapter=False), CPU))
    assert np.abs(ours - bare).max() > 0.01
    assert model.facts.adapter.rank == 4


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_fresh_adapter_changes_nothing_until_it_moves(homes, family):
    models = [load_model(ref(homes, family, adapter=False), CPU, trainable) for trainable in ("all", "lora", "lora")]
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


SHORT = {"steps": 4, "eval_points": 2, "relative_step": 0.5}


@pytest.mark.parametrize("trainable", ["matrices", "lora"])
@pytest.mark.parametrize("method", ["untrac", "untrac-inv"])
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_from_folder_to_result(homes, tmp_path, family, method, trainable):
    spec = request(
        homes / family,
        tmp_path,
        {"name": method, "samples": 8, "trainable": trainable, **(SHORT if method == "untrac" else {})},
        adapter=str(homes / f"{family}-lora"),
    )
    tracer = TraceTask(spec)
    before = hash_weights(tracer.study.model.module)
    frame = tracer.run_cell(tracer.cells[0])
    assert hash_weights(tracer.study.model.module) == before
    assert (frame[frame.step > 0].change.abs() > 0).any()
    result = trace(spec, tmp_path / "out")
    assert list(result.ranking("talk", "contrast")["rank"]) == [1, 2, 3]
    environment = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert environment["model"]["adapter"].endswith("-lora")
    assert environment["model"]["trainable"] == trainable


def test_the_adapter_is_part_of_the_models_hash_and_of_the_cells(homes, tmp_path):
    bare = TraceTask(request(homes / "llama", tmp_path, {"samples": 8}))
    adapted = TraceTask(request(homes / "llama", tmp_path, {"samples": 8}, adapter=str(homes / "llama-lora")))
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
    "repeats": (lambda f: edit(f, target_modules=".*" * 14 + "!"), "take for ever"),
    "repeats of a rank": (lambda f: edit(f, rank_pattern={".*" * 14 + "!": 4}), "take for ever"),
    "repeats of an alpha": (lambda f: edit(f, alpha_pattern={".+" * 14 + "!": 4}), "take for ever"),
    "repeats of a copy": (lambda f: edit(f, modules_to_save=[".*" * 14 + "!"]), "take for ever"),
    "half a pattern": (lambda f: edit(f, modules_to_save=["*x"]), "no usable pattern"),
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


SLOW = [
    "(.*)*x",
    "(a|b)*x",
    ".*" * 4,
    ".?" * 30,
    "(.|.)" * 30,
    r"(\w|\d)" * 30,
    "[ab|]+" * 4,
    ".{0,99}" * 4,
    "(?x)(.*)#a\n*",
]
PLAIN = [
    r".*\.(q_proj|v_proj)|lm_head",
    r"model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(?:gate|up|down)_proj)",
    r"^(?!.*vision).*?[a-z_]+\.weight$",
    "model.layers.0.self_attn.q_proj",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_slow_patterns_are_known(pattern):
    assert _is_slow(pattern)


@pytest.mark.parametrize("pattern", PLAIN)
def test_patterns_that_people_write_are_not_slow(pattern):
    assert not _is_slow(pattern)


def made_by_peft(base, folder, *, seq2seq=False, convert=False, **settings):
    """An adapter as peft makes and saves it, moved away from its start; with the logits of the model that has it."""
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    task = "SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM"
    adapted = get_peft_model(
        kind.from_pretrained(base).eval(), LoraConfig(r=4, lora_alpha=8, task_type=task, **settings)
    )
    start = {}
    if convert:
        adapted.peft_config["default"].init_lora_weights = True  # as peft's guide does it
        adapted.save_pretrained(folder.parent / "start")
        start["path_initial_model_for_weight_conversion"] = str(folder.parent / "start")
        adapted.peft_config["default"].init_lora_weights = settings["init_lora_weights"]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    given = {"input_ids": IDS} | ({"decoder_input_ids": IDS} if seq2seq else {})
    with torch.no_grad():
        logits = adapted(**given).logits
    adapted.save_pretrained(folder, **start)
    return given, logits


IDS = torch.arange(10, 40)[None]


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_what_moved_its_base_is_refused_until_it_is_converted(homes, tmp_path, start):
    settings = {"target_modules": ["q_proj", "v_proj"], "init_lora_weights": start}
    made_by_peft(homes / "llama", tmp_path / "moved", **settings)
    with pytest.raises(InputError, match="path_initial_model_for_weight_conversion"):
        load_model(ModelRef(path=str(homes / "llama"), adapter=str(tmp_path / "moved")), CPU)
    given, theirs = made_by_peft(homes / "llama", tmp_path / "plain", convert=True, **settings)
    model = load_model(ModelRef(path=str(homes / "llama"), adapter=str(tmp_path / "plain")), CPU)
    with torch.no_grad():
        torch.testing.assert_close(model.module(**given).logits, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "targets", "tied"),
    [
        ("qwen", ["q_proj", "embed_tokens"], True),
        ("qwen", ["lm_head"], True),
        ("qwen", ["q_proj"], False),
        ("t5", ["wo", "lm_head"], True),
        ("llama", ["q_proj", "embed_tokens", "lm_head"], False),
    ],
)
def test_a_tied_embedding_is_not_merged_into_both_ends(homes, tmp_path, family, targets, tied):
    base = homes / family if family != "qwen" else make_model(tmp_path / "qwen", "qwen")
    given, theirs = made_by_peft(base, tmp_path / "lora", seq2seq=family == "t5", target_modules=targets)
    ref = ModelRef(path=str(base), adapter=str(tmp_path / "lora"))
    beside = load_model(ref, CPU, "lora")
    with torch.no_grad():
        torch.testing.assert_close(beside.module(**given).logits, theirs, rtol=1e-4, atol=1e-5)
    if tied:
        with pytest.raises(InputError, match=r"cannot be merged\. Use trainable: lora") as caught:
            load_model(ref, CPU)
        assert "\n" not in str(caught.value)
        return
    with torch.no_grad():
        torch.testing.assert_close(load_model(ref, CPU).module(**given).logits, theirs, rtol=1e-4, atol=1e-5)
