"""The testbeds that nobody has looked at: other items, other mixes, overlapping subsets, a fine-tune."""

import json

import pytest

from benchmarks.accuracy import unseen
from benchmarks.accuracy.testbeds import BEDS
from tests.helpers.real_data import ROOT
from untrac_core.data.prompts import load_prompts


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("beds")


def ids(prompts):
    return {asked.name: {i.id for side in load_prompts(asked).sides.values() for i in side} for asked in prompts}


def test_they_share_no_item_with_an_older_bed(work):
    new = ids(unseen.neox(ROOT, work).prompts)
    for name in ("opt", "mix", "development"):
        old = ids(BEDS[name](ROOT, work / name).prompts)
        assert not any(new[probe] & old[probe] for probe in new)
    assert min(map(len, new.values())) > 100


def test_a_pass_over_the_text_is_half_of_a_training(work):
    for make, count in ((unseen.neox, 10), (unseen.qwen, 8)):
        spec = make(ROOT, work)
        limits = [subset.limit for subset in spec.subsets]
        read = spec.training.steps * spec.training.batch_size
        assert len(limits) == count
        assert sum(limits) == pytest.approx(read / unseen.PASSES, rel=0.01)
    assert [round(100 * limit / sum(limits)) for limit in limits] == list(unseen.SHARES)
    assert sum(unseen.SHARES) == 100


def test_twenty_subsets_overlap_in_one_document_of_ten(work):
    spec = unseen.halves(ROOT, work)
    assert len(spec.subsets) == 20
    lines = (ROOT / "corpora" / "wikipedia.jsonl").read_text().splitlines()
    cut = unseen.cut_by_length(lines)
    known = {half: {json.loads(line)["id"] for line in part} for half, part in cut.items()}
    assert len(known["short"] & known["long"]) == len(range(0, len(lines), unseen.SHARED))
    assert len(known["short"] | known["long"]) == len(lines)
    words = {half: sum(len(json.loads(x)["text"].split()) for x in part) / len(part) for half, part in cut.items()}
    assert words["long"] > 1.2 * words["short"]
