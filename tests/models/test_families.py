"""Every shape of model against transformers' own loss, and through both methods from its folder to a result."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.helpers.exact import mean_gradient
from tests.helpers.families import CONTEXT, DOCUMENTS, FAMILIES, ITEMS, MORE, make_model, request
from tests.helpers.worlds import WORDS
from untrac_core.data.tokens import read_tokenizer
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights, load_model
from untrac_core.models.losses import batch_losses, example_losses
from untrac_core.models.trainable import last_blocks, transformer_blocks
from untrac_core.specs import ModelRef
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.task import TraceTask
from untrac_core.training.preconditioner import estimate_curvature, moving_matrices

pytestmark = pytest.mark.slow  # a trace by each method with a model of every family


@pytest.fixture(scope="session")
def homes(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family: make_model(root / family, family) for family in FAMILIES + MORE}


def load(folder, **more):
    return load_model(ModelRef(path=str(folder)), torch.device("cpu"), **more)


def librarys_loss(folder, example) -> float:
    """The loss by transformers' own ``labels=``, of one example alone, in a model that it loaded itself."""
    kind = AutoModelForCausalLM if example.source is None else AutoModelForSeq2SeqLM
    plain = "eager" if folder.name == "gemma2" else None  # the fused attention has no soft cap
    module = kind.from_pretrained(folder, attn_implementation=plain)
    ids = torch.from_numpy(example.ids)[None]
    with torch.no_grad():
        if example.source is None:
            labels = ids.clone()
            labels[:, : example.first] = -100
            loss = module(input_ids=ids, labels=labels).loss
        else:
            loss = module(input_ids=torch.from_numpy(example.source)[None], labels=ids[:, 1:]).loss
    return float(loss) * example.tokens


@pytest.mark.parametrize("family", FAMILIES + MORE)
def test_losses_are_the_librarys(homes, family):
    """Items and blocks, padded together in one batch on the right, each as the library scores it alone."""
    model = load(homes[family])
    examples = model.encoder.items(ITEMS, context=CONTEXT, where="")
    examples += model.encoder.blocks(DOCUMENTS, 24, 4).blocks
    ours = example_losses(model.module, examples, model.device, model.facts.vocab_size)
    theirs = [librarys_loss(homes[family], example) for example in examples]
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_read_without_transformers_is_the_models_own(homes, family):
    model, free = load(homes[family]), read_tokenizer(homes[family])
    assert (free.start, free.end, free.seq2seq) == (model.encoder.start, model.encoder.end, model.encoder.seq2seq)
    for ours, theirs in zip(
        free.items(ITEMS, context=None, where=""), model.encoder.items(ITEMS, context=None, where=""), strict=True
    ):
        assert ours.ids.tolist() == theirs.ids.tolist()
        assert (ours.source is None) == (theirs.source is None) == (family != "t5")
        assert ours.source is None or ours.source.tolist() == theirs.source.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_which_parameters_move(homes, family):
    moving = {}
    for trainable in ("all", "matrices", "last_layers", "lora"):
        module = load(homes[family], trainable=trainable).module
        moving[trainable] = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
        dims = {parameter.dim() for parameter in module.parameters() if parameter.requires_grad}
        assert dims == ({1, 2} if trainable == "all" else {2})
    assert moving["last_layers"] < moving["matrices"] < moving["all"]
    assert moving["all"] == {name for name, _ in load(homes[family]).module.named_parameters()}
    assert not any("position" in name or "wpe" in name or "relative" in name for name in moving["matrices"])
    blocks = transformer_blocks(load(homes[family]).module)
    assert len(blocks) == (4 if family == "t5" else 2)
    (last,) = last_blocks(load(homes[family]).module)
    assert last == blocks[-1][0]
    assert all(name.startswith(last) for name in moving["last_layers"])
    assert moving["lora"]
    assert all("lora_" in name for name in moving["lora"])


@pytest.mark.parametrize("family", ["opt", "llama", "t5"])
def test_frozen_parameters_change_no_gradient(homes, family):
    """The matrices' gradients are the same, whatever else may move: to the bit in OPT, as the demo's record needs."""
    gradients = []
    for trainable in ("all", "matrices"):
        model = load(homes[family], trainable=trainable)
        examples = model.encoder.items(ITEMS, context=None, where="")
        batch_losses(model.module, examples, model.device).sum().backward()
        gradients.append({name: parameter.grad for name, (parameter, _) in moving_matrices(model.module).items()})
    assert set(gradients[1]) < set(dict(load(homes[family]).module.named_parameters()))
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradient, gradients[0][name], rtol=1e-3, atol=1e-5 * float(gradient.abs().max()))
        assert family != "opt" or torch.equal(gradient, gradients[0][name]), name


def test_tied_embeddings_are_one_matrix(homes):
    for family, tables in (("opt", 1), ("qwen", 1), ("gemma", 1), ("llama", 2)):
        module = load(homes[family]).module
        assert sum(vocabulary for _, vocabulary in moving_matrices(module).values()) == tables, family


def test_seq2seq_examples(homes):
    encoder = read_tokenizer(homes["t5"])
    given, unprompted, _ = encoder.items(ITEMS, context=None, where="")
    assert encoder.text(given.source) == "They say:"
    assert given.source[-1] == given.ids[-1] == encoder.end
    assert encoder.text(given.ids) == "the anvil waits."
    assert (given.ids[0], given.first) == (0, 1)
    assert unprompted.source.tolist() == [encoder.end]
    packed = encoder.blocks(DOCUMENTS, 16, None)
    stream = [token for block in packed.blocks for token in [*block.source[:-1].tolist(), *block.ids[1:].tolist()]]
    plain = [
        t for d in DOCUMENTS for t in [*encoder.tokenizer.encode(d.text, add_special_tokens=False).ids, encoder.end]
    ]
    assert stream in (plain, plain[:-1])
    assert all(block.tokens == 8 == len(block.source) - 1 for block in packed.blocks[:-1])
    assert encoder.example_text(packed.blocks[0]).startswith(DOCUMENTS[0].text[:20])


@pytest.mark.parametrize("method", ["untrac", "untrac-inv"])
@pytest.mark.parametrize("family", FAMILIES)
def test_from_folder_to_result(homes, tmp_path, family, method):
    steps = {"steps": 4, "eval_points": 2, "relative_step": 0.5} if method == "untrac" else {}
    spec = request(homes[family], tmp_path, {"name": method, "samples": 8, **steps})
    tracer = TraceTask(spec)
    before = hash_weights(tracer.study.model.module)
    tracer.run_cell(tracer.cells[0])
    assert hash_weights(tracer.study.model.module) == before
    result = trace(spec, tmp_path / "out")
    ranking = result.ranking("talk", "harmful")
    assert set(ranking.subset) == set(WORDS)
    # Unlearning either makes the text of both harder: a model of random weights knows no subset from another.
    last = result.influence[result.influence.step == result.influence.step.max()]
    assert (last.influence.abs() > 0).all()
    assert method == "untrac-inv" or (last.groupby("subset").loss_increase.mean() > 0).any()


@pytest.mark.parametrize("trainable", ["all", "matrices", "last_layers", "lora"])
@pytest.mark.parametrize("preset", ["robust", "paper"])
def test_every_choice_of_what_moves_runs_on_both_presets(homes, tmp_path, preset, trainable):
    samples = {"samples": 8} if preset == "robust" else {}
    for family in ("llama", "t5"):
        spec = request(homes[family], tmp_path, {"preset": preset, "trainable": trainable} | samples)
        result = trace(spec, tmp_path / family)
        rise = result.influence[result.influence.step > 0].loss_increase
        assert (rise > 0).all() if preset == "paper" else (rise == 0).all()
        assert result.ranking("talk", "harmful").influence.abs().min() > 0
        notes = [note for note in result.summary["notes"] if "one of weight matrices" in note]
        assert len(notes) == (preset == "robust" and trainable == "all")


def test_what_moves_is_part_of_a_cells_key(homes, tmp_path):
    keys = set()
    for more in ({}, {"trainable": "last_layers"}, {"trainable": "lora"}):
        spec = request(homes["llama"], tmp_path, {"samples": 8} | more)
        keys |= {cell.key for cell in TraceTask(spec).cells}
    spec = request(homes["llama"], tmp_path, {"samples": 8}, dtype="bfloat16")
    keys |= {cell.key for cell in TraceTask(spec).cells}
    assert len(keys) == 4 * 2  # seeds, four times


def test_curvature_of_a_seq2seq_model_leaves_its_position_table_alone(homes):
    model = load(homes["t5"])
    preconditioner = estimate_curvature(model, model.encoder.blocks(DOCUMENTS, 16, None).blocks, samples=4, damping=0.1)
    assert not any("relative" in name for name in preconditioner.factors)
    assert any("EncDecAttention" in name for name in preconditioner.factors)
    assert any(name.startswith("encoder") for name in preconditioner.factors)


@pytest.mark.parametrize("trainable", ["all", "last_layers"])
@pytest.mark.parametrize("name", ["untrac", "untrac-inv"])
@pytest.mark.parametrize(("family", "rate"), [("gpt2", 1e-3), ("qwen", 1e-3), ("gemma", 1e-3), ("t5", 1e-6)])
def test_one_small_sgd_step_is_the_gradient_dot_product(homes, tmp_path, family, rate, name, trainable):
    """Equations 5 and 6 of the paper, over the parameters that move: few of them need a longer step to be seen."""
    rate *= 50 if trainable == "last_layers" else 1
    step = {
        "preset": "paper",
        "batch_size": 100_000,
        "optimizer": "sgd",
        "learning_rate": rate,
        "steps": 1,
        "eval_points": 1,
        "subsample": 1.0,
        "dropout": False,
        "two_sided": True,
    }
    study = (tracer := TraceTask(request(homes[family], tmp_path, {"name": name, "trainable": trainable} | step))).study
    sides = {side: mean_gradient(study, items) for side, items in study.prompts["talk"].items()}
    blocks = {subset: mean_gradient(study, packed.blocks) for subset, packed in study.subsets.items()}
    pairs = []
    for cell in tracer.cells[: 3 if name == "untrac" else 2]:
        last = (frame := tracer.run_cell(cell))[frame.step == 1]
        for (subset, side), part in last.groupby(["subset", "side"]):
            expected = rate * float(blocks[subset] @ sides[side])
            pairs.append((part.change.sum() / part.tokens.sum(), expected))
    ours, expected = np.array(pairs).T
    np.testing.assert_allclose(ours, expected, atol=0.02 * np.abs(expected).max())


def test_a_tokenizers_own_padding_cutting_and_special_tokens_have_no_say(homes, tmp_path):
    """Ids are those of the text, whether its tokenizer pads on the left, cuts, or adds tokens by itself."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    shutil.copytree(homes["llama"], tmp_path / "llama")
    tokenizer = Tokenizer.from_file(str(tmp_path / "llama" / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer.enable_padding(direction="left", length=40)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "llama" / "tokenizer.json"))
    config = json.loads((tmp_path / "llama" / "tokenizer_config.json").read_text()) | {"padding_side": "left"}
    (tmp_path / "llama" / "tokenizer_config.json").write_text(json.dumps(config))
    plain = load(homes["llama"]).encoder.items(ITEMS, context=None, where="")
    for encoder in (load(tmp_path / "llama").encoder, read_tokenizer(tmp_path / "llama")):
        odd = encoder.items(ITEMS, context=None, where="")
        assert [example.ids.tolist() for example in odd] == [example.ids.tolist() for example in plain]


def test_weights_that_are_missing_are_not_drawn_at_random(homes, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(homes["llama"], tmp_path / "llama")
    path = tmp_path / "llama" / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no weights for model\.layers\.1\.mlp\.up_proj"):
        load(tmp_path / "llama")


def test_soft_caps_on_attention_are_kept(homes):
    assert load(homes["gemma2"]).module.config._attn_implementation == "eager"
    assert load(homes["llama"]).module.config._attn_implementation == "sdpa"


def test_weights_in_several_files_are_one_model(homes, tmp_path):
    parts = make_model(tmp_path / "opt", "opt", shard="60KB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    assert hash_weights(load(parts).module) == hash_weights(load(homes["opt"]).module)
