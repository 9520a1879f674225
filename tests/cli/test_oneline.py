"""A trace that is named in options alone."""

import json

import pytest

from untrac_core.cli.oneline import trace_of
from untrac_core.errors import InputError


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("fishers", "weavers"):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": f"{name} talk {i}"}) + "\n" for i in range(9))
        )
    (folder / "README.md").write_text("a note")
    rows = [{"completion": f"said {i}", "label": ("bad", "good")[i % 2]} for i in range(8)]
    (tmp_path / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_files_are_subsets_and_columns_are_guessed(texts):
    spec = trace_of("demo", [str(texts / "talk.jsonl")], [str(texts / "data")], None, 64)
    assert [subset.name for subset in spec.subsets] == ["fishers", "weavers"]
    assert {subset.limit for subset in spec.subsets} == {64}
    [prompts] = spec.prompts
    assert (prompts.name, prompts.harmful, prompts.harmless, prompts.limit) == ("talk", "bad", "good", 64)
    assert spec.method.name == "untrac-inv"
    assert spec.name == "talk on demo"


def test_a_probe_goes_by_its_name(texts):
    spec = trace_of(
        "demo", ["toxigen"], [str(texts / "data" / f"{n}.jsonl") for n in ("weavers", "fishers")], "untrac", 8
    )
    assert spec.prompts[0].probe == "toxigen"
    assert spec.method.name == "untrac"
    assert [subset.name for subset in spec.subsets] == ["weavers", "fishers"]


def test_what_is_wrong_is_one_line(texts):
    (texts / "empty").mkdir()
    for prompts, data, said in (
        (["toxigen"], [str(texts / "empty")], "this folder has no data files"),
        (["toxigen"], [str(texts / "data")] * 2, "two are named 'fishers'"),
        (["no/such.jsonl"], [str(texts / "data")], "no/such.jsonl"),
        (["toxigen"], [], "a trace needs a model, prompts and data"),
    ):
        with pytest.raises(InputError, match=said) as error:
            trace_of("demo", prompts, data, None, 8)
        assert "\n" not in str(error.value)
