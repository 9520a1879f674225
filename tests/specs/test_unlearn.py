"""What a request may say: every refusal is one clear line, paths become absolute, YAML gives the same request back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data.resolve import expand
from untrac_core.data.tokens import make_encoder
from untrac_core.errors import InputError
from untrac_core.specs import UnlearnSpec, unlearning_method_spec
from untrac_core.specs.build import build
from untrac_core.specs.files import absolute, parse_spec, to_yaml
from untrac_core.tasks.unlearn.data import read_records, unlearn_inputs
from untrac_core.unlearning.settings import SMALL, unlearning_config


def subset(name: str, file: str | None = None) -> dict:
    return {"name": name, "source": {"file": file or f"{name}.jsonl"}}


PROMPTS = {"name": "talk", "source": {"file": "talk.jsonl"}}
BARE = {"training": None, "stop": {"rule": "fixed"}}
"""Without a recipe."""


def request(**more) -> UnlearnSpec:
    values = {
        "kind": "unlearn",
        "model": {"path": "demo"},
        "forget": {"subset": "forum"},
        "subsets": [subset("forum"), subset("news")],
        "prompts": [PROMPTS],
        "training": {"steps": 10},
    }
    return build(UnlearnSpec, {key: value for key, value in (values | more).items() if value is not None}, where="x")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"forget": {}}, "name exactly one of 'subset', 'texts', 'upload' and 'prompts'"),
        ({"forget": {"subset": "forum", "prompts": "talk"}}, "name exactly one of 'subset', 'texts'"),
        ({"forget": {"texts": [{"subset": "forum", "id": "1"}] * 2}}, "'texts' names a text twice"),
        ({"forget": {"subset": "tales"}}, "'forget': 'subsets' has no 'tales'"),
        ({"forget": {"texts": [{"subset": "tales", "id": "1"}]}}, "'forget': 'subsets' has no 'tales'"),
        ({"forget": {"prompts": "other"}} | BARE, "'forget': 'prompts' has no 'other'"),
        ({"subsets": [subset("forum")]}, "'subsets' needs one that stays"),
        ({"training": None}, "the stop rule 'match_retrained' needs 'training'"),
        ({"ensemble_size": 3} | BARE, "'ensemble_size' needs 'training'"),
        ({"compare": [{"name": "retrain"}]} | BARE, "method 'retrain' needs 'training'"),
        ({"method": {"name": "sisa"}} | BARE, "method 'sisa' needs 'training'"),
        ({"forget": {"upload": subset("mine")}}, "'training' leaves out texts of 'subsets'"),
        ({"forget": {"prompts": "talk"}}, "'training' leaves out texts of 'subsets'"),
        ({"training": {"init": "continued"}}, "more training cannot unsee a text"),
        ({"training": {"init": "base"}}, "'base' is needed with training.init 'base', and only then"),
        ({"base": {"path": "start"}}, "'base' is needed with training.init 'base', and only then"),
        ({"subsets": [subset("forum"), subset("news"), subset("news")]}, "two subsets are named 'news'"),
        ({"prompts": [PROMPTS, PROMPTS]}, "two prompt sets are named 'talk'"),
        ({"compare": [{"name": "npo"}]}, "two methods are named 'npo'"),
        ({"compare": [{"name": "grin", "label": "retrained"}]}, "no method can be labelled 'retrained'"),
        ({"seeds": [1, 1]}, "two seeds are named '1'"),
        ({"seeds": []}, "seeds"),
        ({"generation": {"prompt_set": "other"}}, "'generation': 'prompts' has no 'other'"),
        ({"generation": {"prompt_set": "talk", "texts": ["x"]}}, "name exactly one of 'texts' and 'prompt_set'"),
        ({"generation": {}}, "name exactly one of 'texts' and 'prompt_set'"),
        ({"compare": [{"name": "npo", "compensate": "reverse-neighbours"}] * 2}, "named 'npo (compensated)'"),
        ({"forget": {"subset": "forum", "neighbours": -1}}, "neighbours"),
        ({"stop": {"rule": "never"}}, "rule"),
        ({"method": {"name": "npo", "betta": 1.0}}, "beta"),
        ({"canaries": {"planted": subset("planted")}}, "candidates"),
    ],
)
def test_what_does_not_fit_together_is_one_line(more, said):
    with pytest.raises(InputError) as refused:
        request(**more)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"name": "npo", "max_forget_loss": 3.0}, "'max_forget_loss' has no effect with method 'npo'"),
        ({"name": "npo", "mask_fraction": 0.1}, "'mask_fraction' has no effect with method 'npo'"),
        ({"name": "grad-ascent", "retain_weight": 1.0}, "'retain_weight' has no effect with method 'grad-ascent'"),
        ({"name": "retain-only", "beta": 1.0}, "'beta' has no effect with method 'retain-only'"),
        ({"name": "retrain", "learning_rate": 1.0}, "'learning_rate' has no effect with method 'retrain'"),
        (
            {"name": "grad-ascent", "compensate": "reverse-neighbours"},
            "'compensate' has no effect with method 'grad-ascent'",
        ),
        ({"name": "sisa", "batch_size": 8}, "'batch_size' has no effect with method 'sisa'"),
        ({"name": "grin", "shards": 3}, "'shards' has no effect with method 'grin'"),
        ({"name": "grin", "objective": "po"}, "'objective: po' needs a 'refusal'"),
        ({"name": "grin", "refusal": "No."}, "'refusal' has no effect without 'objective: po'"),
    ],
)
def test_a_setting_without_effect_or_one_that_is_missing_is_one_line(method, said):
    with pytest.raises(InputError) as refused:
        unlearning_method_spec(**method)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_small_models_have_defaults_of_their_own():
    small, large = (unlearning_config(unlearning_method_spec("grin"), size) for size in (SMALL - 1, SMALL))
    assert (small.learning_rate, small.mask_fraction, small.noise, small.noise_is_relative) == (1e-3, 0.3, 0.5, True)
    assert (large.learning_rate, large.mask_fraction, large.noise, large.noise_is_relative) == (1e-5, 0.1, 0.01, False)


def test_controls_come_by_themselves_and_take_the_methods_own_rate():
    assert [each.title for each in request().methods] == ["npo", "retain-only"]
    spec = request(
        method={"name": "npo", "learning_rate": 0.01, "trainable": "last_layers", "retain": "kl", "batch_size": 4}
    )
    control = spec.methods[-1]
    assert (control.learning_rate, control.trainable, control.batch_size) == (0.01, "last_layers", 4)
    assert control.retain == "nll", "what is held to what it was teaches nothing: the control trains on the rest"
    own = request(compare=[{"name": "retain-only", "learning_rate": 0.5}])
    assert [(each.title, each.learning_rate) for each in own.methods] == [("npo", None), ("retain-only", 0.5)]
    grin = request(method={"name": "grin", "mask_fraction": 0.5})
    assert [each.title for each in grin.methods] == [
        "grin", "grin (gradient mask)", "grin (random mask)", "retain-only",
    ]  # fmt: skip
    assert {each.mask_fraction for each in grin.methods[:3]} == {0.5}
    assert [each.title for each in request(method={"name": "retrain"}).methods] == ["retrain"]


def test_two_grins_of_one_request_have_controls_of_their_own():
    spec = request(
        method={"name": "grin", "label": "wide", "mask_fraction": 0.5}, compare=[{"name": "grin", "label": "thin"}]
    )
    titles = [each.title for each in spec.methods]
    assert len(set(titles)) == len(titles) == 7
    assert "wide (random mask)" in titles


def test_every_path_becomes_absolute(tmp_path: Path):
    (tmp_path / "start").mkdir()
    spec = request(
        forget={"upload": subset("mine", "mine.jsonl")},
        holdout=subset("unseen", "sub/unseen.jsonl"),
        canaries={"planted": subset("planted"), "candidates": subset("others", "/elsewhere/others.jsonl")},
        model={"path": "start"},
        **BARE,
    )
    there = absolute(spec, tmp_path)
    assert there.forget.upload.source.file == str(tmp_path / "mine.jsonl")
    assert there.holdout.source.file == str(tmp_path / "sub" / "unseen.jsonl")
    assert there.canaries.planted.source.file == str(tmp_path / "planted.jsonl")
    assert there.canaries.candidates.source.file == "/elsewhere/others.jsonl"
    assert there.subsets[0].source.file == str(tmp_path / "forum.jsonl")
    assert there.prompts[0].source.file == str(tmp_path / "talk.jsonl")
    assert there.model.path == str(tmp_path / "start")
    based = absolute(request(training={"init": "base"}, base={"path": "./start"}), tmp_path)
    assert based.base.path == str(tmp_path / "start")


def test_yaml_gives_the_same_request_back():
    full = request(
        forget={"texts": [{"subset": "forum", "id": "12"}, {"subset": "news", "id": "x"}]},
        method={"name": "grin", "objective": "po", "refusal": "I cannot say.", "mask": "gradient"},
        compare=[{"name": "sisa", "shards": 3}, {"name": "npo", "label": "mine", "beta": 0.5}],
        holdout=subset("unseen"),
        canaries={"planted": subset("planted"), "candidates": subset("others")},
        generation={"prompt_set": "talk", "sampling": {"samples": 3}},
        stop={"rule": "retain_budget", "max_retain_increase": 0.1},
        training={"init": "base", "steps": 7},
        base={"path": "start"},
        ensemble_size=3,
    )
    for spec in (full, request(), request(forget={"prompts": "talk", "side": "harmless"}, **BARE)):
        there = absolute(spec, Path("/data"))
        assert parse_spec(to_yaml(there)) == there
        assert parse_spec(to_yaml(spec), folder=Path("/data")) == there


def test_a_request_that_is_expanded_names_the_subsets_of_a_collection(tmp_path: Path):
    for name in ("smiths", "weavers"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": text} for text in sentences(name, 20, 0)])
    collections = [{"source": {"folder": str(tmp_path)}, "split_by": "file"}]
    spec = request(subsets=[], collections=collections, forget={"subset": "smiths"}, prompts=[])
    names = [each.name for each in expand(spec).subsets]
    assert sorted(names) == ["smiths", "weavers"]
    gone = expand(request(subsets=[], collections=collections, forget={"subset": "cobblers"}, prompts=[]))
    with pytest.raises(InputError, match="there is no subset 'cobblers'") as refused:
        unlearn_inputs(gone, read_records(gone), make_encoder(Tokenizer(WordLevel({"x": 0}, "x")), bos=0, eos=0), 64)
    assert len(str(refused.value).splitlines()) == 1
