"""Models on the hub: looked at before any weight, fetched by the ordinary way, pinned, and nothing else asked for."""

import pytest
import torch

from tests.helpers.asking import Ticks, one_line, said_elsewhere
from untrac_core.data.resolve import expand
from untrac_core.data.tokens import read_tokenizer
from untrac_core.errors import InputError
from untrac_core.hub import datasets, models, repos
from untrac_core.hub.locate import (
    fetch_model,
    fetch_tokenizer,
    find_adapter,
    find_model,
    hash_model,
    inspect_model,
    model_info,
)
from untrac_core.models.loading import load_model
from untrac_core.models.scoring import LEXICON
from untrac_core.specs import GenerateSpec, ModelRef, Scorer, Source

CPU = torch.device("cpu")


def test_a_model_on_the_hub_is_known_before_its_weights(stand_in, served, monkeypatch):
    monkeypatch.setattr(models, "FIRST", 64)
    ref = ModelRef(path="guild/opt", adapter="guild/lora")
    facts = model_info(ref)
    local = inspect_model(served / "models/guild/opt", "guild/opt", adapter=served / "models/guild/lora")
    assert facts.folder is None
    assert facts.revision == stand_in.commit("models", "guild/opt")
    assert (facts.licence, facts.kind, facts.dtype) == ("mit", "causal", "float32")
    for name in (
        "parameters",
        "weight_bytes",
        "context",
        "vocab_size",
        "hidden_size",
        "num_layers",
        "tokenizer",
        "architecture",
    ):
        assert getattr(facts, name) == getattr(local, name)
    assert facts.adapter.rank == local.adapter.rank == 4
    assert facts.adapter.parameters == local.adapter.parameters
    asked = [headers.get("range") for method, path, headers in stand_in.requests if "/large/" in path]
    spans = [[int(end) for end in span.removeprefix("bytes=").split("-")] for span in asked]
    assert len(spans) >= 2 * 4  # the header's length, then the header, of each weight file
    assert sum(end + 1 - start for start, end in spans) < facts.weight_bytes / 4
    assert find_model(ref) is None
    assert find_adapter(ref) is None


def test_a_card_says_what_the_repository_is(stand_in):
    card = models.model_card("guild/opt")
    assert card.sha == stand_in.commit("models", "guild/opt")
    assert card.licence == "mit"
    assert not card.gated
    assert card.parameters == {"float32": model_info(ModelRef(path="guild/opt")).parameters}
    assert card.files["pytorch_model.bin"] == 13
    assert all(name.startswith("model-0000") for name in card.weights)


def test_the_tokenizer_comes_alone(stand_in):
    folder = fetch_tokenizer(ModelRef(path="guild/opt"))
    assert read_tokenizer(folder) is not None
    assert find_model(ModelRef(path="guild/opt")) is None
    assert not list(folder.glob("model*.safetensors"))
    assert not [path for path in stand_in.paths() if "/large/" in path]  # nor any header of them


def test_a_model_comes_by_the_ordinary_way(stand_in, served):
    ref, progress = ModelRef(path="guild/opt", adapter="guild/lora"), Ticks()
    loaded = load_model(ref, CPU, progress=progress)
    assert loaded.digest == hash_model(served / "models/guild/opt", served / "models/guild/lora")
    assert [phase.split(" (")[0] for phase in progress.phases[:2]] == [
        "downloading guild/opt",
        "downloading guild/lora",
    ]
    assert progress.ticks[-1][0] == progress.ticks[-1][1] > 0
    folder = fetch_model(ref)
    names = {path.name for path in folder.iterdir()}
    assert not {name for name in names if name.endswith((".py", ".bin"))}
    assert "README.md" in names
    # Once here, it loads without the hub.
    before = len(stand_in.requests)
    assert find_model(ref) == folder
    assert load_model(ref, CPU).digest == loaded.digest
    assert len(stand_in.requests) == before


def test_revisions_are_kept_apart(stand_in, served):
    new, old = (fetch_model(ModelRef(path="guild/opt", revision=name)) for name in (None, "old"))
    assert hash_model(new) == hash_model(served / "models/guild/opt")
    assert hash_model(old) == hash_model(served / "models/guild/opt@old")
    assert repos.pin("guild/opt", "old") == old.name == stand_in.commit("models", "guild/opt", "old")
    assert fetch_model(ModelRef(path="guild/opt", revision=old.name)) == old


def test_nothing_else_is_asked_for_and_no_token_strays(stand_in, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "good")
    load_model(ModelRef(path="guild/opt"), CPU)
    datasets.data_files(Source(hub="guild/tales", config="sea"))[0].open().read()
    for method, path, headers in stand_in.requests:
        assert "guild/opt" in path or "guild/tales" in path, path
        assert not any(word in path for word in ("modeling_opt.py", "pytorch_model.bin")), path
        elsewhere = headers["host"].startswith("localhost")
        assert elsewhere == path.startswith("/large/")
        assert ("authorization" in headers) != elsewhere, (method, path)
        assert "session" not in headers.get("user-agent", "")
    files = [path for path in stand_in.paths() if "/large/" not in path and "tales/resolve" in path]
    assert not [path for path in files if "/hill/" in path]
    monkeypatch.delenv("HF_TOKEN")
    stand_in.requests.clear()
    repos.pin("guild/opt", None)
    assert "authorization" not in stand_in.requests[0][2]


def test_in_another_process_by_the_environment_alone(stand_in, served, tmp_path):
    code = (
        "import torch; from untrac_core.models.loading import load_model\n"
        "from untrac_core.specs import ModelRef, Source\n"
        "from untrac_core.hub.datasets import configs, data_files\n"
        "print(load_model(ModelRef(path='guild/opt', revision='old'), torch.device('cpu')).digest)\n"
        "print(configs('guild/tales'), data_files(Source(hub='guild/plain'))[0].size)\n"
        "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_XET)"
    )
    size = (served / "datasets/guild/plain/train.jsonl").stat().st_size
    digest = hash_model(served / "models/guild/opt@old")
    assert said_elsewhere(stand_in, tmp_path, code) == [digest, f"['sea', 'hill'] {size}", "True True"]


def test_a_page_can_ask_without_torch(stand_in, tmp_path):
    code = (
        "import sys; from untrac_core.hub.datasets import configs, splits, data_files; "
        "from untrac_core.hub.models import model_card\n"
        "from untrac_core.hub.locate import model_info; from untrac_core.specs import ModelRef\n"
        "model_info(ModelRef(path='guild/opt', adapter='guild/lora')); print(splits('guild/tales', 'sea'))\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'streamlit') if name in sys.modules])"
    )
    assert said_elsewhere(stand_in, tmp_path, code) == ["['train', 'test']", "[]"]


WRONG = {
    "id": ({"path": "guild/nothing"}, "the hub has no model 'guild/nothing'"),
    "revision": ({"path": "guild/opt", "revision": "never"}, "has no revision 'never'"),
    "commit": ({"path": "guild/opt", "revision": "0" * 40}, "has no revision"),
    "form": ({"path": "guild/opt/x"}, "neither a folder nor a hub id"),
    "climbing": ({"path": "guild/opt", "revision": "../../main"}, "is not a revision"),
    "pickles": ({"path": "guild/pickled"}, "weights are pickle files"),
    "code": ({"path": "guild/coded"}, "'auto_map'"),
    "adapter as model": ({"path": "guild/lora"}, "has no config.json"),
    "adapter's revision": ({"path": "guild/opt", "adapter": "guild/lora", "adapter_revision": "never"}, "no revision"),
    "model as adapter": ({"path": "guild/opt", "adapter": "guild/pickled"}, "no adapter_config.json"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_model_is_said_before_its_weights_come(stand_in, wrong):
    values, says = WRONG[wrong]
    for ask in (model_info, lambda ref: load_model(ref, CPU)):
        with pytest.raises(InputError) as caught:
            ask(ModelRef(**values))
        assert says in one_line(caught)
    if wrong not in ("adapter's revision", "model as adapter"):  # there, the model itself is sound
        assert not [path for path in stand_in.paths() if "/large/" in path]


def test_a_scorer_is_pinned_too(stand_in):
    listed = GenerateSpec(model=ModelRef(path="demo"), texts=["a"], scorer=Scorer(lexicon=Source(hub="guild/plain")))
    judged = listed.model_copy(update={"scorer": Scorer(classifier=ModelRef(path="guild/opt"))})
    assert expand(listed).scorer.lexicon.revision == stand_in.commit("datasets", "guild/plain")
    assert expand(judged).scorer.classifier.revision == stand_in.commit("models", "guild/opt")
    assert expand(expand(judged)) == expand(judged)
    plain = listed.model_copy(update={"scorer": Scorer(lexicon=LEXICON)})
    assert expand(plain) == plain
