"""Where a result may be copied to: an empty folder, or one that holds a result of the same request."""

import pytest

from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.cli.outputs import usable_out
from untrac_core.data import resolve as expansion
from untrac_core.errors import InputError
from untrac_core.specs import Collection, FetchSpec, ModelRef, PromptSet, Source, Subset, TraceSpec
from untrac_core.specs.files import to_yaml


@pytest.fixture
def spec(tmp_path):
    """A trace whose subsets are the values of a column."""
    rows = [{"text": text, "craft": name} for name in WORDS for text in sentences(name, 5, 0)]
    source = Source(file=str(write_jsonl(tmp_path / "mixed.jsonl", rows)))
    return TraceSpec(
        model=ModelRef(path="demo"),
        prompts=[PromptSet(name="talk", source=source)],
        collections=[Collection(source=source, split_by="column", column="craft", text="text")],
    )


@pytest.fixture
def expanded(monkeypatch):
    """The specs that were expanded, which may cost a pass over a source or calls to the hub."""
    found = []
    real = expansion.expand
    monkeypatch.setattr(expansion, "expand", lambda spec, *more: found.append(spec) or real(spec, *more))
    return found


def holding(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(text)
    return folder


def test_the_same_request_is_known_without_a_look_at_its_data(spec, expanded, tmp_path):
    usable_out(tmp_path / "new", spec)
    usable_out(holding(tmp_path / "out", to_yaml(spec)), spec)
    assert expanded == []


def test_a_result_of_a_request_that_was_written_out_is_the_same(spec, expanded, tmp_path):
    usable_out(holding(tmp_path / "out", to_yaml(expansion.expand(spec))), spec)
    other = expansion.expand(spec).model_copy(update={"seeds": [7]})
    with pytest.raises(InputError, match="the folder holds something else"):
        usable_out(holding(tmp_path / "out", to_yaml(other)), spec)


def test_anything_else_is_refused_without_a_look_at_the_data(spec, expanded, tmp_path):
    fetch = FetchSpec(subsets=[Subset(name="mixed", source=Source(file=str(tmp_path / "mixed.jsonl")))])
    for text, asked in (("notes", spec), ("kind: trace", spec), (to_yaml(fetch), spec), (to_yaml(spec), fetch)):
        with pytest.raises(InputError, match="the folder holds something else"):
            usable_out(holding(tmp_path / "out", text), asked)
    usable_out(holding(tmp_path / "out", to_yaml(fetch)), fetch)
    (tmp_path / "out" / "spec.yaml").rename(tmp_path / "out" / "notes.txt")
    with pytest.raises(InputError, match="the folder holds something else"):
        usable_out(tmp_path / "out", spec)
    assert expanded == []


def test_a_request_that_cannot_be_expanded_says_why(spec, tmp_path):
    out = holding(tmp_path / "out", to_yaml(spec))
    (tmp_path / "mixed.jsonl").unlink()
    with pytest.raises(InputError, match="there is no file"):
        usable_out(out, spec.model_copy(update={"seeds": [7]}))
