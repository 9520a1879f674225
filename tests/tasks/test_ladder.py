"""The ladder: which runs stand above a trace, and that they are about the same question."""

import pytest

from untrac_core.errors import InputError
from untrac_core.tasks.ladder import check_unchanged, leaving, next_rung, rungs
from untrac_core.tasks.run import trace
from untrac_core.tasks.workload import read_again


def names(spec):
    return [rung.spec.method.name for rung in rungs(spec)]


def test_rungs_above_a_method_are_those_that_are_closer_to_retraining(request_of):
    assert names(request_of({"name": "untrac-inv"})) == ["untrac", "continuation"]
    assert names(request_of({"name": "untrac"})) == ["continuation"]
    assert names(request_of({"name": "continuation"})) == []
    assert names(request_of({"name": "grad-dot"})) == ["untrac-inv", "untrac", "continuation"]
    assert names(request_of({"name": "untrac", "preset": "paper"})) == ["untrac-inv", "untrac", "continuation"]


def test_a_rung_asks_the_same_question(request_of):
    spec = request_of({"name": "untrac-inv", "trainable": "last_layers"}, baselines=["bm25"])
    rung = next_rung(spec)
    assert rung.spec.method.name == "untrac"
    assert rung.spec.method.trainable == "last_layers"
    assert rung.spec.baselines == []
    for part in ("model", "prompts", "subsets", "seeds", "weighting"):
        assert getattr(rung.spec, part) == getattr(spec, part)
    assert next_rung(spec, "continuation").spec.method.name == "continuation"


def test_where_there_is_no_rung_one_line_says_so(request_of):
    with pytest.raises(InputError, match=r"no rung 'next' above 'continuation'.*[Vv]alidate the same subsets"):
        next_rung(request_of({"name": "continuation"}))
    with pytest.raises(InputError, match=r"no rung 'untrac-inv' above 'untrac'\. Choose one of"):
        next_rung(request_of({"name": "untrac"}), "untrac-inv")


def test_changed_data_are_another_question(request_of, world, tmp_path):
    spec = request_of({"name": "untrac-inv", "samples": 8}, seeds=[0])
    own = tmp_path / "fishers.jsonl"
    own.write_text((world / "fishers.jsonl").read_text())
    subsets = [
        spec.subsets[0].model_copy(update={"source": spec.subsets[0].source.model_copy(update={"file": str(own)})})
    ]
    spec = spec.model_copy(update={"subsets": [*subsets, *spec.subsets[1:]]})
    folder = tmp_path / "result"
    trace(spec, folder)
    check_unchanged(spec, folder)
    own.write_text(own.read_text().replace("fish", "eel"))
    with pytest.raises(InputError, match="subset fishers has changed since the run"):
        check_unchanged(spec, folder)
    (folder / "environment.json").unlink()
    with pytest.raises(InputError, match="does not say which data it read"):
        check_unchanged(spec, folder)


def test_a_trace_without_some_rows_asks_the_rest_of_its_question(request_of):
    spec = request_of({"name": "untrac-inv"})
    name = spec.subsets[1].name
    less = leaving(spec, {name: ["a", "b", "a"]})
    assert [subset.without for subset in less.subsets][:2] == [[], ["a", "b"]]
    assert less.name == f"{spec.name}, without 2 rows"
    again = leaving(less, {name: ["c"]})
    assert (again.subsets[1].without, again.name) == (["a", "b", "c"], f"{spec.name}, without 3 rows")
    for rows, words in (({"nothing": ["a"]}, "no subset 'nothing'"), ({name: ["a"]}, "no row is left out")):
        with pytest.raises(InputError, match=words):
            leaving(less, rows)


def test_a_continuation_asks_for_as_much_text_as_it_reads_once(request_of):
    spec = request_of({"name": "untrac-inv"})
    few = [subset.model_copy(update={"limit": 10}) for subset in spec.subsets]
    more = spec.model_copy(update={"subsets": few})
    assert {subset.limit for subset in next_rung(more, "continuation").spec.subsets} == {40 * 16}
    assert {subset.limit for subset in next_rung(more, "untrac").spec.subsets} == {10}
    assert {subset.limit for subset in next_rung(spec, "continuation").spec.subsets} == {None}


def test_text_that_is_read_again_and_again_is_said(request_of):
    method = request_of({"name": "continuation"}).method
    assert read_again(method, {"fishers": 640, "weavers": 700}) == []
    [said] = read_again(method, {"fishers": 640, "weavers": 100})
    assert "subset 'weavers' 6.4 times" in said
    assert read_again(request_of({"name": "untrac"}).method, {"fishers": 1}) == []
