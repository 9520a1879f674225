"""Sign and oracle tests of both methods."""

import numpy as np
import pytest

from tests.helpers.exact import mean_gradient
from tests.helpers.worlds import write_jsonl
from untrac_core.attribution.base import make_method
from untrac_core.data.tokens import Example, examples_digest
from untrac_core.models.loading import hash_weights
from untrac_core.specs import method_spec
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.task import TraceTask

PAPER_SMITHS = ("untrac", "paper", "smiths")
SMALL_STEP = {
    "preset": "paper",
    "batch_size": 100_000,
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "steps": 1,
    "eval_points": 1,
    "subsample": 1.0,
    "two_sided": True,
}
# The test's model is tiny and its prompt set small, so that it takes fewer or smaller steps than the presets'.
GENTLE = {
    ("untrac", "robust"): {},
    ("untrac", "paper"): {"steps": 20},
    ("untrac-inv", "robust"): {},
    ("untrac-inv", "paper"): {},
}
ALL = [{"name": name, "preset": preset} for name in ("untrac", "untrac-inv") for preset in ("robust", "paper")]


@pytest.mark.parametrize("method", ALL, ids=lambda method: "-".join(method.values()))
def test_the_subset_that_speaks_like_the_prompts_ranks_first(request_of, tmp_path, method):
    """Positive: the subset makes the text more likely; the harmful side speaks like the smiths."""
    result = trace(request_of(method | GENTLE[method["name"], method["preset"]]), tmp_path)
    harmful, harmless = result.ranking("talk", "harmful"), result.ranking("talk", "harmless")
    assert harmful.subset[0] == "smiths"
    assert harmless.subset[0] == "weavers"
    assert harmful.influence[0] > 0
    contrast = result.ranking("talk", "contrast")
    assert list(contrast.subset) == ["smiths", "fishers", "weavers"]
    assert contrast.influence[0] > 0 > contrast.influence[2]


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL, ids=lambda method: "-".join(method.values()))
def test_a_copy_of_the_prompts_among_the_subsets_ranks_first(request_of, world, tmp_path, method):
    import json

    rows = [json.loads(line) for line in (world / "prompts.jsonl").read_text().splitlines()]
    harmful = [row["completion"] for row in rows if row["label"] == "bad"]
    copy = write_jsonl(tmp_path / "copy.jsonl", [{"text": text} for text in harmful])
    # The paper's UnTrac walks block by block: on so small a model it cannot tell a copy from the copy's like.
    rivals = [s for s in request_of(method).subsets if (method["name"], method["preset"], s.name) != PAPER_SMITHS]
    subsets = [{"name": "copy", "source": {"file": str(copy)}}, *(subset.model_dump() for subset in rivals)]
    result = trace(request_of(method | GENTLE[method["name"], method["preset"]], subsets=subsets), tmp_path / "out")
    assert result.ranking("talk", "harmful").subset[0] == "copy"


@pytest.mark.parametrize("name", ["untrac", "untrac-inv"])
def test_one_small_sgd_step_is_the_gradient_dot_product(request_of, name):
    """Equations 5 and 6: to first order, both are rate x (gradient of subset) . (gradient of prompts)."""
    tracer = TraceTask(request_of({"name": name, **SMALL_STEP}, seeds=[0]))
    study = tracer.study
    sides = {side: mean_gradient(study, items) for side, items in study.prompts["talk"].items()}
    blocks = {subset: mean_gradient(study, packed.blocks) for subset, packed in study.subsets.items()}
    for cell in tracer.cells:
        frame = tracer.run_cell(cell)
        last = frame[frame.step == 1]
        sums = last.groupby(["subset", "side"])[["change", "tokens"]].sum()
        for (subset, side), row in sums.iterrows():
            expected = SMALL_STEP["learning_rate"] * float(blocks[subset] @ sides[side])
            assert row.change / row.tokens == pytest.approx(expected, rel=0.02, abs=2e-6)


def test_both_methods_agree_to_first_order(request_of):
    """With one step of one size from the same weights, UnTrac and UnTrac-Inv are the same number."""
    values = {}
    for name in ("untrac", "untrac-inv"):
        tracer = TraceTask(request_of({"name": name, **SMALL_STEP}, seeds=[0]))
        frames = [tracer.run_cell(cell) for cell in tracer.cells]
        for frame in frames:
            for (subset, side), part in frame[frame.step == 1].groupby(["subset", "side"]):
                values.setdefault((subset, side), []).append(part.change.sum() / part.tokens.sum())
    pairs = np.array(list(values.values()))
    np.testing.assert_allclose(pairs[:, 0], pairs[:, 1], atol=0.03 * np.abs(pairs).max())


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL, ids=lambda method: "-".join(method.values()))
def test_every_cell_restores_the_weights(request_of, method):
    tracer = TraceTask(request_of(method, seeds=[0]))
    before = hash_weights(tracer.study.model.module)
    for cell in tracer.cells:
        tracer.run_cell(cell)
        assert hash_weights(tracer.study.model.module) == before


@pytest.mark.slow
def test_cells_are_independent_of_their_order(request_of):
    tracer = TraceTask(request_of())
    forward = [tracer.run_cell(cell) for cell in tracer.cells]
    other = TraceTask(request_of())
    backward = [other.run_cell(cell) for cell in reversed(other.cells)][::-1]
    assert all(a.equals(b) for a, b in zip(forward, backward, strict=True))


def test_keys_change_with_what_a_result_depends_on(request_of):
    def keys(method=None, **more):
        return [cell.key for cell in TraceTask(request_of(method, **more)).cells]

    base = keys()
    assert len(set(base)) == len(base)
    assert keys(name="other name") == base
    assert not set(keys(seeds=[0, 1, 2])) & set(base), "seeds deal the items, so each depends on how many there are"
    assert not set(keys({"samples": 25})) & set(base)
    by_steps = keys({"name": "untrac"})
    assert keys({"name": "untrac"}, seeds=[0, 1, 2])[: len(by_steps)] == by_steps
    assert not set(keys({"name": "untrac", "relative_step": 0.3})) & set(by_steps)
    assert not set(keys(block_size=16)) & set(base)
    subsets = [subset.model_dump() for subset in request_of().subsets]
    assert not set(keys(subsets=[subsets[0] | {"name": "renamed"}, *subsets[1:]])) & set(base)
    assert not set(keys(subsets=subsets[::-1])) & set(base)


def test_a_digest_covers_what_is_scored_and_what_an_encoder_reads():
    ids = np.arange(6, dtype=np.int64)
    kinds = [
        Example("a", ids, 1),
        Example("a", ids, 2),
        Example("a", ids[:5], 1),
        Example("a", ids, 1, source=ids),
        Example("a", ids, 1, source=ids[::-1].copy()),
        Example("a", ids, 1, source=ids[:0]),
    ]
    assert len({examples_digest([kind]) for kind in kinds}) == len(kinds)
    assert examples_digest(kinds[:2]) != examples_digest(kinds[1::-1])
    assert examples_digest([Example("another id", ids, 1)]) == examples_digest(kinds[:1])


def test_study_uses_the_settings_of_the_spec(request_of):
    tracer = TraceTask(request_of({"name": "untrac", "preset": "paper", "learning_rate": 1e-4}))
    method = tracer.panel.methods["untrac (paper)"]
    assert method.settings.learning_rate == 1e-4
    assert make_method(method_spec("untrac")).name == "untrac"
