"""The benchmark's testbeds: what is trained on what, and that nothing is chosen on what is reported."""

import pytest

from benchmarks.accuracy.testbeds import BEDS, SHARES
from tests.helpers.real_data import ROOT


def test_the_equal_beds_differ_in_their_shape_alone(tmp_path):
    specs = [BEDS[name](ROOT, tmp_path) for name in ("opt", "gpt2", "llama")]
    assert [spec.training.architecture for spec in specs] == ["opt", "gpt2", "llama"]
    assert len({spec.training.model_copy(update={"architecture": "opt"}).model_dump_json() for spec in specs}) == 1
    assert all(len(spec.subsets) == 10 and spec.training.equal_tokens for spec in specs)


def test_the_mix_has_the_shares_of_the_paper(tmp_path):
    spec = BEDS["mix"](ROOT, tmp_path)
    limits = [subset.limit for subset in spec.subsets]
    assert [limit / sum(limits) for limit in limits] == pytest.approx([share / 100 for share in SHARES])
    assert sum(limits) == spec.training.steps * spec.training.batch_size


def test_development_shares_no_item_with_the_beds_that_are_reported(tmp_path):
    from untrac_core.data.prompts import load_prompts

    made, told = BEDS["development"](ROOT, tmp_path), BEDS["opt"](ROOT, tmp_path)
    for one, other in zip(made.prompts, told.prompts, strict=True):
        assert one.name == other.name
        ids = [{item.id for items in load_prompts(asked).sides.values() for item in items} for asked in (one, other)]
        assert not ids[0] & ids[1]
        assert min(map(len, ids)) > 100
