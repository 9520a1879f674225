"""What if, of results: of the demo, whose other mixes were retrained, and of validations with unequal subsets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers import validations
from untrac_core.errors import InputError
from untrac_core.paths import DEMO
from untrac_core.results.folders import HALVES, load_trace, load_validate, write_frame
from untrac_core.tasks.validate.additions.halves import COLUMNS, random_halves
from untrac_core.tasks.validate.mixing import checked_by_halves, mixing_of


@pytest.fixture(scope="module")
def demo():
    return load_trace(DEMO / "run")


@pytest.fixture(scope="module")
def mixing(demo):
    return mixing_of(demo)


@pytest.fixture
def validation(tmp_path):
    def make(blocks):
        folder = tmp_path / "validation"
        validations.write_validation(folder, validations.validate_spec(tmp_path / "data"))
        found = load_validate(folder)
        subsets = {name: {"trained_blocks": size} for name, size in zip(validations.NAMES, blocks, strict=True)}
        summary = found.summary | {"data": found.summary["data"] | {"subsets": subsets}}
        return replace(found, summary=summary)

    return make


def test_a_subset_that_is_left_out_is_told_with_what_retraining_showed(demo, mixing):
    found = mixing.ask({"forum": 0})
    rows = found.table.set_index(["prompt_set", "side"])
    truth = (
        demo.ground_truth[demo.ground_truth["subset"] == "forum"].groupby(["prompt_set", "side"])["influence"].mean()
    )
    for place, row in rows.iterrows():
        assert row["retrained"] == pytest.approx(truth[place])
        assert row["low"] < row["retrained"] < row["high"]
        assert row["change"] == pytest.approx(truth[place], abs=0.05)
    assert found.leaves == []
    assert found.shares.set_index("subset").loc["forum", "after"] == 0
    assert found.shares["after"].sum() == pytest.approx(1)


def test_a_contrast_is_the_difference_of_its_sides(mixing):
    rows = mixing.ask({"forum": 2, "web": 0.5}).table.set_index(["prompt_set", "side"])
    for name in ("toxicity", "bias", "truthfulness"):
        difference = rows.loc[(name, "harmful"), "change"] - rows.loc[(name, "harmless"), "change"]
        assert rows.loc[(name, "contrast"), "change"] == pytest.approx(difference)
    assert rows["retrained"].isna().all()


def test_the_same_mix_written_otherwise_says_the_same(mixing):
    left = dict.fromkeys(mixing.subsets, 2.0) | {"forum": 0.0}
    assert (
        mixing.ask(left).table[["change", "retrained"]].equals(mixing.ask({"forum": 0}).table[["change", "retrained"]])
    )


def test_it_says_where_it_leaves_what_it_was_checked_on(mixing):
    first = mixing.subsets
    assert "more than 2 times as often" in mixing.ask({first[0]: 3}).leaves[0]
    assert "5 subsets change" in mixing.ask(dict.fromkeys(first[:5], 0.5)).leaves[0]
    assert "38% of the mix goes to other subsets" in mixing.ask(dict.fromkeys(first[:3], 0)).leaves[0]
    assert any("guess" in text for text in mixing.ask(dict.fromkeys(first[1:], 0)).leaves)
    assert mixing.ask({first[0]: 2, first[1]: 0.5}).leaves == []


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"nobody": 0}, "there is no subset 'nobody'"),
        ({"forum": -1}, "is not how often"),
        ({"forum": float("nan")}, "is not how often"),
    ],
)
def test_a_mix_that_is_none_is_refused_in_one_line(mixing, times, said):
    with pytest.raises(InputError, match=said):
        mixing.ask(times)


def test_nothing_is_left_to_train_on(mixing):
    with pytest.raises(InputError, match="nothing is left"):
        mixing.ask(dict.fromkeys(mixing.subsets, 0))


def test_a_validation_knows_how_much_of_each_subset_was_trained_on(validation):
    found = mixing_of(validation([40, 20, 20, 10, 10]))
    np.testing.assert_allclose(found.law.shares, [0.4, 0.2, 0.2, 0.1, 0.1])
    gone = found.ask({"forum": 0}).shares.set_index("subset")["after"]
    assert gone["blog"] == pytest.approx(1 / 3)


def test_what_has_no_retrainings_or_too_few_tells_nothing(demo, validation):
    assert mixing_of(replace(demo, ground_truth=None)) is None
    told = validation([1, 1, 1, 1, 1])
    with pytest.raises(InputError, match="does not say how much"):
        mixing_of(replace(told, summary={}))
    with pytest.raises(InputError, match="not about the same texts"):
        mixing_of(demo, told)
    fewer = replace(told, ground_truth=told.ground_truth[told.ground_truth["subset"] != "forum"])
    with pytest.raises(InputError, match="tell no other mix"):
        mixing_of(fewer)


def test_random_halves_of_a_validation_check_its_own_law(validation):
    told = validation([10, 10, 10, 10, 10])
    mixing = mixing_of(told)
    assert checked_by_halves(mixing, told) is None
    halves = random_halves(mixing.subsets, 8)
    rows = [
        (number, "\n".join(sorted(half)), row.prompt_set, row.side, 3.0 + 2 * row.change)
        for number, half in enumerate(halves)
        for row in mixing.ask(dict.fromkeys(half, 0)).table.itertuples()
    ]
    write_frame(pd.DataFrame(rows, columns=COLUMNS), told.folder / HALVES)
    assert "8 trainings on random halves" in checked_by_halves(mixing, told)
    assert "r = 1.00 on average, and 1.00 at the least" in checked_by_halves(mixing, told)
    (told.folder / HALVES).write_bytes(b"no table")
    with pytest.raises(InputError, match="is damaged"):
        checked_by_halves(mixing, told)
