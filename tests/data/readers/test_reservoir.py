import random

import numpy as np
import pytest

from untrac_core.data.readers.reservoir import OVERHEAD, Keys, Reservoir, Shelf


def fill(reservoir, sizes):
    key = Keys().next
    for i, size in enumerate(sizes):
        reservoir.add(key(), size, i)
    return reservoir


def test_every_row_has_the_same_chance():
    """3,000 draws of a tenth of 200 rows, each pass with other keys: no row is drawn far more or less often."""
    draw, hits = random.Random(0), np.zeros(200)
    for _ in range(3000):
        reservoir = Reservoir(20 * (OVERHEAD + 10))
        for i in range(200):
            reservoir.add(draw.random(), 10, i)
        assert len(reservoir) == 20
        hits[reservoir.items()] += 1
    expected = 300.0
    assert abs(hits.mean() - expected) < 1e-9
    assert ((hits - expected) ** 2 / (expected * 0.9)).sum() < 200 + 5 * 20  # chi-square, five deviations
    assert np.corrcoef(hits, np.arange(200))[0, 1] < 0.25


def test_what_is_kept_is_within_the_budget_and_as_much_as_fits():
    draw = random.Random(1)
    sizes = [draw.randrange(1, 3000) for _ in range(5000)]
    reservoir = fill(Reservoir(400_000), sizes)
    kept = reservoir.items()
    assert reservoir.size == sum(sizes[i] + OVERHEAD for i in kept) <= 400_000
    assert reservoir.size > 390_000
    assert not reservoir.whole


@pytest.mark.parametrize("budget", [5_000, 50_000, 333_333])
def test_a_smaller_budget_keeps_a_beginning_of_a_larger_one(budget):
    sizes = [random.Random(i).randrange(1, 3000) for i in range(3000)]
    large, small = fill(Reservoir(1_000_000), sizes).items(), fill(Reservoir(budget), sizes).items()
    assert large[: len(small)] == small
    shrunk = fill(Reservoir(1_000_000), sizes)
    shrunk.shrink(budget)
    assert shrunk.items() == small


def test_small_sources_stay_whole():
    reservoir = fill(Reservoir(10_000), [10] * 40)
    assert reservoir.whole
    assert sorted(reservoir.items()) == list(range(40))


def test_a_row_over_the_budget_is_still_one_row():
    assert len(fill(Reservoir(100), [5000] * 20)) == 1


def test_a_shelf_takes_from_the_largest():
    shelf, key = Shelf(100_000), Keys().next
    for i in range(5000):
        shelf.add("large" if i % 50 else "small", key(), 100, i)
    assert shelf.size == sum(one.size for one in shelf.reservoirs.values()) <= 100_000
    assert shelf.of("small").whole
    assert len(shelf.of("small")) == 100
    assert not shelf.of("large").whole
    alone = Reservoir(shelf.of("large").size)
    key = Keys().next
    for i in range(5000):
        drawn = key()
        if i % 50:
            alone.add(drawn, 100, i)
    assert alone.items() == shelf.of("large").items()
