"""Token changes: they add up to their text's change, are kept like any cell, and leave the weights alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from untrac_core.attribution.settings import settings_priced
from untrac_core.data.tokens import Example, distinct_ids
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.results.folders import EXAMPLES, PROMPT_EXAMPLES, TEXT_FEATURES, TOKEN_COLUMNS, TOKENS, write_parts
from untrac_core.tasks.costs import cost
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.check import check
from untrac_core.tasks.trace.task import TraceTask
from untrac_core.tasks.workload import looked_at, workload_of

pytestmark = pytest.mark.slow  # traces that keep every token

SUBSETS = ("fishers", "weavers", "smiths")
ROUNDING = {"rel": 1e-3, "abs": 2e-5}
"""A text is batched with other texts when it is looked at closely, so its float32 losses of some 100 nats are the same
to 1e-7 of them, and a change of .01 nats to a thousandth."""


@pytest.fixture(scope="module")
def traced(request_of, tmp_path_factory):
    """A finished run of each method, and its cache."""
    found = {}
    for name in ("untrac", "untrac-inv"):
        folder = tmp_path_factory.mktemp(name)
        found[name] = trace(
            request_of({"name": name, "samples": 24}, seeds=[0, 1, 2]), folder / "out", cache=folder / "cells"
        )
    return found


def held(result):
    return {name for name in (EXAMPLES, PROMPT_EXAMPLES, TOKENS, TEXT_FEATURES) if result.has(name)}


def summed(result, side, subset, texts):
    """The sums of the changes, lower and upper ends of all texts that were looked at closely, beside their own rows."""
    rows = []
    for row in texts.to_dict("records"):
        tokens = result.tokens("talk", side, subset, row["id"])
        if len(tokens):
            rows.append((tokens["change"].sum(), tokens["loss_before"].sum(), row))
    return rows


@pytest.mark.parametrize("side", ["contrast", "harmful", "harmless"])
def test_changes_of_tokens_add_up_to_their_block_s(traced, side):
    result = traced["untrac-inv"]
    for subset in SUBSETS:
        texts = result.examples("talk", side, subset)
        rows = summed(result, side, subset, texts)
        assert 10 <= len(rows) <= 30 < len(texts)
        scale = max(abs(float(change)) for change, _, _ in rows)
        for change, before, row in rows:
            assert change == pytest.approx(row["influence"] * row["tokens"], rel=1e-3, abs=1e-3 * scale)
            assert before == pytest.approx(row["loss_before"] * row["tokens"], rel=1e-5)
        looked = {row["id"] for _, _, row in rows}
        order = texts.sort_values("influence", ascending=False)["id"].tolist()
        assert {*order[:5], *order[-5:]} <= looked


@pytest.mark.parametrize("side", ["harmful", "harmless"])
def test_changes_of_tokens_add_up_to_their_item_s(traced, side):
    result = traced["untrac"]
    items = result.items("talk", side)
    for subset in SUBSETS:
        rows = summed(result, side, subset, items[items["subset"] == subset])
        assert len(rows) == 40
        for change, _, row in rows:
            assert change == pytest.approx(row["influence"] * row["tokens"], **ROUNDING)


STOPPED = {"learning_rate": 5e-4, "steps": 8, "eval_points": 8, "max_loss_increase": 0.65}
"""Steps that some sides leave before others, so that the ranking is taken in the middle of the longer ascents."""


@pytest.mark.parametrize(
    "method", [{"name": "untrac-inv", "preset": "paper"} | STOPPED, {"name": "untrac", "preset": "paper", "steps": 6}]
)
def test_they_look_at_the_step_that_the_ranking_takes(request_of, tmp_path, method):
    result = trace(request_of(method, seeds=[0]), tmp_path)
    inverse = method["name"] == "untrac-inv"
    last = result.influence.groupby("side")["step"].max()
    assert (last.min() < last.max()) == inverse, last
    for subset in SUBSETS:
        for side in ("harmful", "harmless"):
            items = None if inverse else result.items("talk", side)
            texts = result.examples("talk", side, subset) if items is None else items[items["subset"] == subset]
            rows = summed(result, side, subset, texts)
            assert len(rows) >= 10
            for change, _, row in rows:
                assert change == pytest.approx(row["influence"] * row["tokens"], **ROUNDING)


@pytest.mark.parametrize("name", ["untrac", "untrac-inv"])
def test_pieces_are_the_text_and_say_what_is_scored(traced, name):
    result = traced[name]
    if name == "untrac":
        rows = result.items("talk", "harmful").drop_duplicates("id")
        texts = {row.id: f"{row.prompt} {row.completion}" for row in rows.itertuples()}
        subset = "fishers"
    else:
        rows = result.examples("talk", "contrast", "smiths")
        texts, subset = dict(zip(rows["id"], rows["text"], strict=True)), "smiths"
    met = 0
    for row in rows.itertuples():
        tokens = result.tokens("talk", "harmful" if name == "untrac" else "contrast", subset, row.id)
        if len(tokens):
            met += 1
            assert list(tokens["span"]) == list(range(len(tokens)))
            text = "".join(tokens["text"])
            assert texts[row.id].startswith(text)  # an item that is too long is cut to the model's context
            assert text == texts[row.id] or (name == "untrac" and len(tokens) == 32)
            assert tokens["scored"].sum() == row.tokens  # plain English: each token is a piece
            assert (tokens.loc[~tokens["scored"], ["loss_before", "change"]] == 0).all(axis=None)
            given = "".join(tokens.loc[~tokens["scored"], "text"])
            assert texts[row.id].startswith(given)
            assert ("They say:" in given) == (name == "untrac")
    assert met >= 10


def test_intervals_hold_their_changes_and_one_seed_has_none(traced, request_of, tmp_path):
    result = traced["untrac-inv"]
    row = result.examples("talk", "contrast", "smiths").nlargest(1, "influence").iloc[0]
    tokens = result.tokens("talk", "contrast", "smiths", row["id"])
    scored = tokens[tokens["scored"]]
    assert list(tokens.columns) == TOKEN_COLUMNS
    assert scored[["low", "high"]].isna().all(axis=None), "one look, at the whole side"
    result = traced["untrac"]
    row = result.items("talk", "harmful", subset="smiths").nlargest(1, "influence").iloc[0]
    tokens = result.tokens("talk", "harmful", "smiths", row["id"])
    scored = tokens[tokens["scored"]]
    assert ((scored["low"] < scored["change"]) & (scored["change"] < scored["high"])).all()
    alone = trace(request_of(seeds=[4]), tmp_path)
    row = alone.examples("talk", "harmful", "smiths").nlargest(1, "influence").iloc[0]
    tokens = alone.tokens("talk", "harmful", "smiths", row["id"])
    assert tokens["change"].sum() == pytest.approx(row["influence"] * row["tokens"], **ROUNDING)
    assert tokens[["low", "high"]].isna().all(axis=None)


def test_items_are_what_the_cells_say(traced, request_of):
    result = traced["untrac"]
    cells = [pd.read_parquet(path) for path in (result.folder.parent / "cells").glob("*.parquet")]
    cells = [cell for cell in cells if "tokens" in cell]  # those of the first stage
    common = min(cell["step"].max() for cell in cells)  # a seed may stop before it would run away
    last = pd.concat(cell[cell["step"] == common] for cell in cells)
    last = last[(last["subset"] == "weavers") & (last["side"] == "harmful")]
    expected = (last["change"] / last["tokens"]).groupby(last["example"]).mean()
    items = result.items("talk", "harmful")
    assert list(items["subset"].unique()) == sorted(SUBSETS)
    own = items[items["subset"] == "weavers"]
    np.testing.assert_allclose(own["influence"], expected, rtol=1e-12)
    assert ((own["low"] < own["influence"]) & (own["influence"] < own["high"])).all()
    assert list(own["id"]) == [f"bad-{i}" for i in range(40)]
    assert set(own["group"]) == {"g0", "g1"}
    assert list(result.items("talk", "harmful", "bad-7")["subset"]) == sorted(SUBSETS)
    assert result.items("talk", "contrast").empty
    weighted = (own["influence"] * own["tokens"]).sum() / own["tokens"].sum()
    ranking = result.ranking("talk", "harmful").set_index("subset")
    assert weighted == pytest.approx(ranking.loc["weavers", "influence"])


def test_a_second_run_takes_all_cells_from_the_cache_and_gives_the_same_bytes(traced, request_of, tmp_path):
    result = traced["untrac-inv"]
    cache = result.folder.parent / "cells"
    generations = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again = trace(request_of({"name": "untrac-inv", "samples": 24}, seeds=[0, 1, 2]), tmp_path / "again", cache=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == generations
    for name in (TOKENS, TEXT_FEATURES, EXAMPLES):
        assert (again.folder / name).read_bytes() == (result.folder / name).read_bytes()


@pytest.mark.parametrize("name", ["untrac", "untrac-inv"])
def test_close_looks_restore_the_weights_and_do_not_hang_on_their_order(request_of, name):
    tracer = TraceTask(request_of({"name": name, "samples": 24}, seeds=[0]))
    before = hash_weights(tracer.study.model.module)
    tracer.tell([tracer.run_cell(cell) for cell in tracer.cells])
    forward = [tracer.run_cell(look) for look in tracer.eval_points[:2]]
    assert hash_weights(tracer.study.model.module) == before
    backward = [tracer.run_cell(look) for look in tracer.eval_points[1::-1]][::-1]
    for one, other in zip(forward, backward, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_keys_hang_on_the_cells_that_choose(request_of):
    def keys(**more):
        tracer = TraceTask(request_of(**more))
        assert len(tracer.eval_points) == 2, "one for each side"
        assert len({cell.key for cell in (*tracer.cells, *tracer.eval_points)}) == len(tracer.cells) + 2
        return [look.key for look in tracer.eval_points]

    base = keys()
    assert keys(name="another") == base
    assert not set(keys(seeds=[0, 1, 2])) & set(base)  # another seed may choose other texts
    assert not set(keys(block_size=16)) & set(base)


def test_a_check_counts_and_prices_them(request_of):
    for name in ("untrac", "untrac-inv"):
        spec = request_of({"name": name, "samples": 24}, seeds=[0])
        tracer = TraceTask(spec)
        found = check(spec)
        assert found.cells == len(tracer.cells) + len(tracer.eval_points)
        work = workload_of(spec, tracer.study.prompts, tracer.study.subsets)
        looked = looked_at(spec, work)
        assert looked.unlearned_sets == work.unlearned_sets
        tracer.tell([tracer.run_cell(cell) for cell in tracer.cells])
        rows = tracer.run_cell(tracer.eval_points[0]).groupby(["subset", "prompt_set", "side"]).size()
        most = looked.eval_sets.rows * (1 if name == "untrac-inv" else len(tracer.study.subsets))
        assert (0.4 if name == "untrac-inv" else 1) * most <= rows.sum() <= most
        alone = cost(tracer.study.model.facts, settings_priced(spec.method), work, "float32", "cpu")
        assert 1.01 * alone.flop < found.flop < 2 * alone.flop
    assert check(request_of({"name": "grad-dot"})).cells == 2


def test_a_collapsed_run_has_none(request_of, tmp_path):
    method = {"name": "untrac-inv", "preset": "paper", "learning_rate": 0.05, "steps": 20}
    (tmp_path / TOKENS).write_bytes(b"of an earlier run")
    result = trace(request_of(method, seeds=[0]), tmp_path)
    assert result.summary["collapsed"]
    assert all(row["collapsed"] for row in result.summary["ranking"])
    assert held(result) == set()
    assert result.summary["text_features"] == []
    assert result.tokens("talk", "harmful", "smiths", "smiths-0 @0").empty
    assert list(result.text_features("talk", "harmful").columns)


def test_a_method_that_does_not_unlearn_has_none(request_of, tmp_path):
    spec = request_of({"name": "grad-dot"})
    assert TraceTask(spec).eval_points == []
    result = trace(spec, tmp_path)
    assert held(result) == set()


def test_questions_to_a_result_without_the_tables_are_answered_empty(traced):
    inverse, forward = traced["untrac-inv"], traced["untrac"]
    assert held(inverse) == {EXAMPLES, TOKENS, TEXT_FEATURES}
    assert held(forward) == {PROMPT_EXAMPLES, TOKENS}
    assert inverse.items("talk", "harmful").empty
    assert forward.examples("talk", "harmful").empty
    assert forward.text_features("talk", "harmful").empty
    assert inverse.tokens("talk", "harmful", "smiths", "no such text").empty
    assert list(inverse.examples("talk", "harmful", "smiths", columns=["id"]).columns) == ["id"]
    ids = inverse.examples("talk", "harmful", "smiths")["id"].tolist()[3:5]
    assert inverse.examples("talk", "harmful", "smiths", ids=ids)["id"].tolist() == ids
    assert len(inverse.text_features("talk", "contrast")) == 4 * len(inverse.text_features("talk", "contrast", ""))


def test_a_question_reads_few_rows_and_gives_those_of_an_older_file_too(traced, tmp_path):
    """Parts come in order and are stored in groups; a file written in one piece, in any order, answers the same."""
    result = traced["untrac-inv"]
    frame = pd.read_parquet(result.folder / TOKENS)
    places = frame[["prompt_set", "side", "subset"]].apply(tuple, axis=1).tolist()
    assert places == sorted(places)
    write_parts([part for _, part in frame.groupby("side")], tmp_path / TOKENS, rows=500)
    stored = pq.ParquetFile(tmp_path / TOKENS).metadata
    assert stored.num_row_groups >= len(frame) / 500
    again = replace(result, folder=tmp_path)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    frame.sort_values(["span", "side"], kind="stable").to_parquet(mixed / TOKENS)
    for row in result.examples("talk", "harmful", "smiths").nlargest(2, "influence").itertuples():
        asked = ("talk", "harmful", "smiths", row.id)
        pd.testing.assert_frame_equal(again.tokens(*asked), result.tokens(*asked))
        pd.testing.assert_frame_equal(replace(result, folder=mixed).tokens(*asked), result.tokens(*asked))
    (mixed / TOKENS).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged"):
        replace(result, folder=mixed).tokens("talk", "harmful", "smiths", "1")


def test_ids_are_made_distinct():
    ids = np.arange(3)
    names = ["a", "b", "a", "a (2)", "a", ""]
    found = distinct_ids([Example(name, ids, 1) for name in names])
    assert found[:2] == ["a", "b"]
    assert len(set(found)) == len(found)
    assert found[3] == "a (2)"
