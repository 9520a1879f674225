import pytest

from untrac_core.attribution.settings import ascent_settings, settings_priced
from untrac_core.errors import InputError
from untrac_core.specs import (
    GenerateSpec,
    ModelRef,
    PromptSet,
    RowFilter,
    Source,
    Subset,
    TraceSpec,
    TrainSpec,
    method_spec,
    spec_hash,
)
from untrac_core.specs.build import build
from untrac_core.specs.files import load_spec, parse_spec, to_yaml

GOOD = """
kind: trace
model: {path: demo}
prompts: [{name: q, source: {file: q.jsonl}}]
subsets: [{name: a, source: {file: a.jsonl}}, {name: b, source: {file: b.jsonl}}]
method: {learning_rate: 5e-5, optimizer: adam}
"""


def test_yaml_comes_back_equal_and_hashes_alike(tmp_path):
    spec = parse_spec(GOOD, folder=tmp_path)
    again = parse_spec(to_yaml(spec))
    assert again == spec
    assert spec_hash(again) == spec_hash(spec)
    assert TraceSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.method.learning_rate == 5e-5  # YAML reads 5e-5 as text


def test_a_baseline_that_is_the_method_is_not_done_twice():
    spec = parse_spec(GOOD).model_copy(update={"method": method_spec("grad-dot", trainable="matrices")})
    assert "grad-dot" in spec.baselines
    assert spec.beside == [name for name in spec.baselines if name != "grad-dot"]


@pytest.mark.parametrize("mark", ["\x80", "\x85", "\x9f", "\xa0", "\u2028", "\u2029", "\ufeff", "\uffff", "\U0001f41f"])
@pytest.mark.parametrize("form", ["{}", "a{}b", "{}a", "a {}", "a: {} - \"b'\n#", "a{0}{0} b" + " net" * 60])
def test_names_and_values_come_back_exactly(mark, form):
    text = form.format(mark)
    name = text.replace("\n", "")[:80]
    source = Source(file="/x.jsonl")
    subsets = [
        Subset(name=name, source=source, where=RowFilter(column=name, value=text)),
        Subset(name="b", source=source),
    ]
    prompts = [PromptSet(name=name, source=source)]
    spec = TraceSpec(name=name, model=ModelRef(path="demo"), prompts=prompts, subsets=subsets)
    assert parse_spec(to_yaml(spec)) == spec


@pytest.mark.parametrize("text", ["a\n", "a\nb\n\n", "\x01", "'", "\x7f", "é", "\U0001f41f\t", "\ufeff", "\x81", "網"])
def test_a_request_with_as_many_texts_as_may_be_can_be_read_again(tmp_path, text):
    size = len(text.encode())
    count = 10_000 // len(text)
    texts = [text * count] * (500_000 // (size * count))
    spec = GenerateSpec(model=ModelRef(path="demo"), texts=texts)
    (tmp_path / "spec.yaml").write_bytes(to_yaml(spec).encode())
    assert load_spec(tmp_path / "spec.yaml") == spec
    with pytest.raises(InputError, match=r"'texts' holds .* bytes, and 500,000 is the limit") as caught:
        build(GenerateSpec, {"model": {"path": "demo"}, "texts": [*texts, *texts[:1], "b"]}, where="spec")
    assert "\n" not in str(caught.value)


def test_hash_sees_every_change():
    spec = parse_spec(GOOD)
    assert spec_hash(spec) != spec_hash(spec.model_copy(update={"seeds": [0, 1]}))


def test_defaults_written_out_change_nothing():
    assert spec_hash(parse_spec(GOOD + "seeds: [0, 1, 2, 3, 4]\ndevice: auto\n")) == spec_hash(parse_spec(GOOD))


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "spec.yaml").write_text(GOOD)
    spec = load_spec(tmp_path / "spec.yaml")
    assert spec.prompts[0].source.file == str(tmp_path / "q.jsonl")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("modle: 1", "did you mean 'model'?"),
        ("seeds: []", "'seeds' needs at least 1"),
        ("seeds: [1, 1]", "two seeds are named '1'"),
        ("seeds: [-1]", "seeds.0"),
        ("device: gpu", "device"),
        ("method: {name: untrack}", "'untrac'"),
        ("method: {steps: 3, epochs: 1}", "not both"),
        ("subsets: [{name: a, source: {file: x}}, {name: a, source: {file: y}}]", "two subsets are named 'a'"),
        ("subsets: [{name: a, source: {file: x}}]", "'subsets' needs at least 2"),
        ("prompts: []", "'prompts' needs at least 1"),
        ("prompts: [{name: q, source: {file: x}, harmful: t}]", "columns.label"),
        ("prompts: [{name: q, source: {file: x, bundled: y}}]", "exactly one of"),
        ("prompts: [{name: q, source: {file: x}, columns: {lable: y}}]", "did you mean 'label'?"),
    ],
)
def test_faults_are_one_line_that_names_the_place(change, says):
    with pytest.raises(InputError) as caught:
        parse_spec(f"{GOOD}\n{change}" if change.split(":")[0] not in GOOD else _replaced(change))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def _replaced(change: str) -> str:
    key = change.split(":")[0]
    return "\n".join(line for line in GOOD.splitlines() if not line.startswith(f"{key}:")) + "\n" + change


@pytest.mark.parametrize(
    "text", ["- a\n- b", "kind: nonsense", "{", "kind: [1", "", "a: &x [*x]\nkind: trace", "name: 2024-13-45"]
)
def test_what_is_not_a_spec_is_refused(text):
    with pytest.raises(InputError):
        parse_spec(text)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_spec(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load_spec(tmp_path / "bad.yaml")


def test_the_papers_settings_are_exact():
    for name, batch, epochs, steps in (("untrac", 1, 1, None), ("untrac-inv", None, None, 5)):
        settings = ascent_settings(method_spec(name, preset="paper"))
        assert (settings.optimizer, settings.learning_rate) == ("adam", 5e-5)
        assert (settings.batch_size, settings.epochs, settings.steps) == (batch, epochs, steps)
        assert (settings.two_sided, settings.max_loss_increase) == (False, None)
        assert (settings.dropout, settings.past_collapse) == (True, True)


def test_a_seed_of_the_papers_untrac_draws_ten_thousand_sequences_or_five_eighths():
    settings = ascent_settings(method_spec("untrac", preset="paper"))
    assert [round(settings.share(n) * n) for n in (8, 1_000, 16_000, 40_000)] == [5, 625, 10_000, 10_000]
    assert ascent_settings(method_spec("untrac", preset="paper", subsample=1.0)).share(9_000) == 1.0
    assert ascent_settings(method_spec("untrac", preset="paper", sequences=100)).share(400) == 0.25
    assert ascent_settings(method_spec(preset="paper")).share(10**6) == 1.0, "all prompts are one batch"


def test_a_setting_without_effect_is_refused():
    with pytest.raises(InputError, match="'learning_rate' has no effect on UnTrac with preset 'robust'"):
        settings_priced(method_spec("untrac", learning_rate=0.1))
    with pytest.raises(InputError, match="learning_rate"):
        ascent_settings(method_spec("untrac", preset="paper", optimizer="kronecker", learning_rate=0.1))
    with pytest.raises(InputError, match="'steps' has no effect on UnTrac-Inv with preset 'robust'"):
        settings_priced(method_spec(steps=2))
    with pytest.raises(InputError, match="target_loss_increase"):
        ascent_settings(method_spec(preset="paper", target_loss_increase=0.1))
    for setting in ({"dropout": True}, {"sequences": 100}):
        with pytest.raises(InputError, match="has no effect on UnTrac with preset 'robust'"):
            settings_priced(method_spec("untrac", **setting))


def test_a_setting_by_name_replaces_the_presets():
    settings = ascent_settings(method_spec("untrac", preset="paper", steps=7))
    assert (settings.steps, settings.epochs) == (7, None)
    settings = ascent_settings(method_spec("untrac", preset="paper", optimizer="kronecker"))
    assert (settings.learning_rate, settings.target_loss_increase, settings.samples) == (None, 0.05, 300)


def test_recipe_refuses_a_shape_that_does_not_fit():
    with pytest.raises(ValueError, match="even multiple"):
        TrainSpec.model_validate(
            {"hidden_size": 30, "num_heads": 4, "subsets": [{"name": "a", "source": {"file": "x"}}]}
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "'name' is empty: fill it in"),
        ({"name": "x" * 81}, "'name': it has more than 80 characters; shorten it"),
        ({"seeds": 0}, "'seeds': write a list, as [a, b] (given: '0')"),
        ({"seeds": ["a"]}, "'seeds.0': write a whole number (given: 'a')"),
        ({"block_size": 1}, "'block_size': it must be 8 or more (given: '1')"),
        ({"weighting": "x"}, "'weighting': choose 'none', 'equal' or 'proportional' (given: 'x')"),
        ({"model": "demo"}, "'model': write keys and values (given: 'demo')"),
    ],
)
def test_the_faults_of_values_are_in_words_of_ours(change, words):
    subsets = [{"name": name, "source": {"file": "x"}} for name in "ab"]
    request = {"name": "x", "model": {"path": "demo"}, "prompts": [{"name": "a", "source": {"file": "x"}}]}
    with pytest.raises(InputError) as caught:
        build(TraceSpec, {**request, "subsets": subsets, **change}, where="request")
    assert words in str(caught.value)
