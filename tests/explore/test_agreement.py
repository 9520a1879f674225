import math

import numpy as np
import pytest

from tests.helpers.views import TRUE, view
from untrac_core.explore import agreement as ra
from untrac_core.explore.agreement import RankAgreement, agreement_in_words, rank_agreement, significant_rank_changes
from untrac_core.explore.ranking_view import joined
from untrac_core.stats import agreement as exact

EIGHT = {f"s{i}": float(i) for i in range(8)}


def shuffled(seed, count=8):
    order = np.random.default_rng(seed).permutation(count)
    return {f"s{i}": float(place) for i, place in enumerate(order)}


def test_clear_rankings_agree_exactly_and_beyond_chance():
    found = rank_agreement(view(EIGHT), view(EIGHT, **TRUE))
    assert (found.spearman.value, found.spearman.low, found.spearman.high) == (1.0, 1.0, 1.0)
    assert found.verdict == "agree"
    assert agreement_in_words(found) == (
        "The ranks of A and B agree: Spearman 1.00 (1.00 to 1.00) over 8 subsets, beyond the 0.74 of chance."
    )
    opposed = rank_agreement(view(EIGHT), view({name: -value for name, value in EIGHT.items()}, **TRUE))
    assert opposed.verdict == "oppose"
    assert opposed.kendall.value == -1.0


def test_wide_intervals_widen_the_interval_of_the_agreement_and_hold_its_value():
    narrow = rank_agreement(view(EIGHT, half=0.5), view(EIGHT, half=0.5, **TRUE))
    wide = rank_agreement(view(EIGHT, half=6.0), view(EIGHT, half=6.0, **TRUE))
    assert wide.spearman.low < narrow.spearman.low - 0.2
    for found in (narrow, wide):
        for metric in (found.spearman, found.kendall):
            assert metric.low <= metric.value <= metric.high
    assert rank_agreement(view(EIGHT, half=60.0), view(EIGHT, half=60.0, **TRUE)).verdict == "unsure"


def test_the_interval_covers_the_agreement_of_the_true_values():
    """Of 60 studies of known truth, at least nine of ten intervals hold the truth's own agreement."""
    generator = np.random.default_rng(5)
    held = 0
    for study in range(60):
        true = generator.normal(size=(2, 10))
        noisy = true + generator.normal(size=true.shape) * 0.3
        views = [
            view({f"s{i}": value for i, value in enumerate(row)}, half=1.96 * 0.3, run=f"{study:012x}", side=side)
            for row, side in zip(noisy, ("harmful", "harmless"), strict=True)
        ]
        found = rank_agreement(*views).spearman
        held += found.low <= float(exact.spearman(true[0], true[1])) <= found.high
    assert held >= 54


def test_the_same_views_give_the_same_numbers_in_any_order():
    first, second = view(EIGHT, half=3.0), view(shuffled(1), half=3.0, **TRUE)
    assert rank_agreement(first, second) == rank_agreement(second, first)
    ra.ranks_drawn.cache_clear()
    assert rank_agreement(first, second) == rank_agreement(first, second)


def test_only_shared_subsets_count():
    other = {f"s{i}": float(-i) for i in range(5)} | {"x": 99.0}
    found = rank_agreement(view(EIGHT), view(other, **TRUE))
    assert (found.subsets, found.spearman.value) == (5, -1.0)
    few = rank_agreement(view(EIGHT), view({"s1": 1.0, "x": 2.0}, **TRUE))
    assert few.verdict == "few"
    assert "fewer than three" in agreement_in_words(few)


def test_what_chance_can_do_is_said():
    found = rank_agreement(view(EIGHT), view({f"s{i}": float(i % 4) + i / 100 for i in range(8)}, **TRUE))
    assert found.verdict == "chance"
    assert "No significant rank agreement" in agreement_in_words(found, "AC")
    assert "significant is what exceeds 0.74 either way" in agreement_in_words(found, "AC")
    four = {f"s{i}": float(i) for i in range(4)}
    assert "too few for any order to beat chance" in agreement_in_words(rank_agreement(view(four), view(four, **TRUE)))


def test_one_seed_gives_no_interval_and_says_so():
    found = rank_agreement(view(EIGHT), view(EIGHT, half=None, **TRUE))
    assert math.isnan(found.spearman.low)
    assert found.verdict == "agree"
    assert "(no interval: one of them has a single seed)" in agreement_in_words(found)


def test_equal_values_have_no_order():
    found = rank_agreement(view(EIGHT), view(dict.fromkeys(EIGHT, 1.0), half=0.0, **TRUE))
    assert isinstance(found, RankAgreement)
    assert found.verdict == "few"
    assert "the same value" in agreement_in_words(found)


def test_ties_without_width_rank_by_their_mean():
    tied = {name: float(value // 2) for name, value in EIGHT.items()}
    found = rank_agreement(view(EIGHT, half=0.0), view(tied, half=0.0, **TRUE))
    values = np.array([EIGHT[name] for name in EIGHT]), np.array([tied[name] for name in EIGHT])
    assert found.spearman.low == pytest.approx(float(exact.spearman(*values)))
    assert found.kendall.high == pytest.approx(float(exact.kendall(*values)))


def test_the_quick_kendall_is_kendalls():
    generator = np.random.default_rng(0)
    first, second = (generator.normal(size=(30, 9)).argsort(-1).argsort(-1) + 1.0 for _ in range(2))
    assert ra._kendall(first, second) == pytest.approx(exact.kendall(first, second))


def test_a_move_holds_where_the_intervals_do_not_allow_that_there_is_none():
    first = view(EIGHT, half=0.1)
    moved = view(EIGHT | {"s0": 9.0}, half=0.1, **TRUE)
    table = joined([first, moved])
    held = significant_rank_changes([first, moved], table)["B"]
    assert held.all()  # every place is below s0 now, and the intervals are narrow
    loose = view(EIGHT | {"s0": 9.0}, half=4.0, **TRUE)
    held = significant_rank_changes([first, loose], joined([first, loose]))["B"]
    assert held["s0"]
    assert not held["s3"]
    single = view(EIGHT | {"s0": 9.0}, half=None, **TRUE)
    assert not significant_rank_changes([first, single], joined([first, single]))["B"].any()
