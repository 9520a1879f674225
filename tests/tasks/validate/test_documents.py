"""Random halves of the documents: what they lack, what methods say of them, and a validation that asks for them."""

import numpy as np
import pytest

from tests.helpers.recipes import validate_spec
from untrac_core.attribution.base import make_method
from untrac_core.data.tokens import Example
from untrac_core.results.folders import DOCUMENT_HALVES, read_frame
from untrac_core.specs import method_spec
from untrac_core.tasks.run import validate
from untrac_core.tasks.validate.additions.documents import block_influence, document_halves, predicted
from untrac_core.tasks.validate.task import ValidateTask


def blocks_of(name, documents):
    """Two blocks of each document."""
    ids = np.arange(4)
    return [
        Example(f"{name}{i}.{part}", ids, 1, "", 0, cluster=f"{name}{i}") for i in range(documents) for part in (0, 1)
    ]


BLOCKS = {"first": blocks_of("a", 6), "second": blocks_of("b", 9)}


def test_each_half_lacks_half_of_every_subsets_documents_whole():
    halves = document_halves(BLOCKS, 5)
    assert halves == document_halves(BLOCKS, 5)
    for half in halves:
        for name, documents in (("first", 3), ("second", 4)):
            gone = [block.id for block in half[name]]
            assert len(gone) == 2 * documents
            assert len({block.split(".")[0] for block in gone}) == documents


def test_what_is_said_of_a_half_is_the_sum_beyond_the_mean():
    draw = np.random.default_rng(0)
    influence = {name: draw.normal(size=len(own)) for name, own in BLOCKS.items()}
    halves = document_halves(BLOCKS, 4)
    every = {
        (name, block.id): value for name in BLOCKS for block, value in zip(BLOCKS[name], influence[name], strict=True)
    }
    mean = sum(every.values()) / len(every)
    wanted = [sum(every[name, block.id] - mean for name, own in half.items() for block in own) for half in halves]
    np.testing.assert_allclose(predicted(influence, BLOCKS, halves), wanted)


@pytest.fixture(scope="module")
def asked(world, tmp_path_factory):
    """A validation with halves of the documents, and its task."""
    methods = [{"name": name} for name in ("untrac-inv", "grad-dot", "bm25", "continuation")]
    methods[-1] |= {"steps": 10}
    spec = validate_spec(world, methods=methods, seeds=[0], estimate_seeds=[0], document_halves=4)
    folder = tmp_path_factory.mktemp("documents")
    return validate(spec, folder / "result", threads=1), ValidateTask(spec, folder / "work", threads=1)


def test_methods_with_numbers_of_single_texts_are_scored(asked):
    result, _ = asked
    told = result.summary["document_halves"]
    assert (told["count"], told["seed"]) == (4, 0)
    assert 0 < told["read"] <= 1
    scored = {row["method"] for row in told["scores"]}
    assert scored == {"untrac-inv (robust)", "grad-dot", "bm25"}
    assert all(-1 <= row["value"] <= 1 for row in told["scores"])
    table = read_frame(result.folder / DOCUMENT_HALVES)
    assert list(table.columns) == ["half", "prompt_set", "side", "loss"]
    assert sorted(table["half"].unique()) == [0, 1, 2, 3]


def test_the_scores_of_documents_add_up_to_those_of_folds(asked):
    _, task = asked
    study = task.studies["grad-dot"]
    method = make_method(method_spec("grad-dot"))
    [cell] = method.cells(study)
    frame = method.run(study, cell)
    study.single_texts = False
    plain = make_method(method_spec("grad-dot"))
    [other] = plain.cells(study)
    folds = plain.run(study, other)
    assert cell.key != other.key
    assert len(frame) > len(folds)
    sums = [each.groupby(["subset", "side"])["change"].sum() for each in (frame, folds)]
    np.testing.assert_allclose(*sums, rtol=1e-4, atol=1e-6 * sums[1].abs().max())


def test_a_documents_number_is_dealt_to_its_blocks(asked):
    _, task = asked
    study, panel = task.studies["grad-dot"], task.panels["grad-dot"]
    study.single_texts = True
    cells = panel.cells(study)
    [outcome] = panel.outcomes(study, cells, [panel.run(study, cell) for cell in cells])
    found = block_influence(outcome)
    for (prompt_set, side), by_subset in found.items():
        frame = outcome.frames[0]
        for subset, values in by_subset.items():
            own = frame[(frame["subset"] == subset) & (frame["prompt_set"] == prompt_set) & (frame["side"] == side)]
            assert values.shape == (len(study.subsets[subset].blocks),)
            assert values.sum() == pytest.approx(own["change"].sum())
