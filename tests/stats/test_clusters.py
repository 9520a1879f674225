"""Clusters stay whole in whatever is drawn, dealt or sampled, and where each example is one nothing changes."""

import numpy as np
import pytest

from untrac_core.stats.clusters import clusters_by_side, clusters_of

ALONE = clusters_of([""] * 100)
PAIRS = [f"pair {i}" for i in range(40)]


def chosen(names, positions):
    return {names[i] for i in positions}


@pytest.mark.parametrize("names", [[""] * 100, [str(i) for i in range(100)]], ids=["unnamed", "named"])
@pytest.mark.parametrize("seed", [0, 7])
def test_examples_of_their_own_are_drawn_as_without_clusters(names, seed):
    """By the first of a permutation of the examples, in its order; dealt in turn."""
    alone = clusters_of(names)
    order = np.random.default_rng(seed).permutation(100).tolist()
    assert alone.single
    assert alone.digest == ""
    assert alone.draw(0.5, seed) == order[:50]
    assert alone.draw(0.333, seed) == order[:34]
    assert alone.draw(1.0, seed) == order
    assert alone.sample(12, seed) == sorted(order[:12])
    assert alone.deal(3) == [list(range(part, 100, 3)) for part in range(3)]
    values = np.arange(100.0)
    np.testing.assert_array_equal(alone.sums(values), values)


def test_draws_are_a_share_without_repeats():
    half = ALONE.draw(0.5, 3)
    assert half == ALONE.draw(0.5, 3) != ALONE.draw(0.5, 4)
    assert len(set(half)) == 50
    assert len(clusters_of([""]).draw(0.01, 0)) == 1


def test_clusters_are_drawn_and_dealt_as_wholes():
    names = [f"document {i % 20}" for i in range(90)]
    clusters = clusters_of(names)
    assert (clusters.here, clusters.count, clusters.single) == (20, 20, False)
    for seed in range(5):
        drawn = clusters.draw(0.5, seed)
        inside = chosen(names, drawn)
        assert len(inside) == clusters.drawn(0.5) == 10
        assert sorted(drawn) == [i for i in range(90) if names[i] in inside]
        assert sorted(clusters.draw(1.0, seed)) == list(range(90))
    parts = [chosen(names, part) for part in clusters.deal(3)]
    assert sorted(map(len, parts)) == [6, 7, 7]
    assert not parts[0] & parts[1]
    np.testing.assert_array_equal(clusters.sums(np.ones(90)), [names.count(f"document {i}") for i in range(20)])


def test_pairs_are_drawn_dealt_and_sampled_together_in_whatever_order_the_sides_have_them():
    sides = {"harmful": PAIRS, "harmless": [PAIRS[i] for i in np.random.default_rng(0).permutation(40)]}
    found = clusters_by_side(sides)
    assert all(side.paired and side.count == side.here == 40 for side in found.values())

    def both(how):
        return [chosen(sides[side], how(clusters)) for side, clusters in found.items()]

    for seed in range(5):
        first, second = both(lambda clusters, seed=seed: clusters.draw(0.5, seed))
        assert first == second
        assert len(first) == 20
    first, second = both(lambda clusters: clusters.sample(13, 1))
    assert first == second
    assert len(first) == 13
    first, second = both(lambda clusters: clusters.deal(3)[1])
    assert first == second


def test_a_limit_takes_so_many_items_and_cuts_one_question_at_most():
    names = [f"question {i // 3}" for i in range(60)]
    taken = clusters_of(names).sample(20, 5)
    assert len(taken) == 20
    sizes = [[names[i] for i in taken].count(name) for name in chosen(names, taken)]
    assert sorted(sizes) == [2, *[3] * 6]


def test_sides_without_a_common_cluster_are_populations_of_their_own():
    found = clusters_by_side({"harmful": ["a", "a", ""], "harmless": ["b", "", "c"]})
    assert [list(side.numbers) for side in found.values()] == [[0, 0, 1], [0, 1, 2]]
    assert [(side.count, side.paired) for side in found.values()] == [(2, False), (3, False)]
    assert found["harmless"].single
    shared = clusters_by_side({"harmful": ["a", "a", ""], "harmless": ["b", "a"]})
    assert [list(side.numbers) for side in shared.values()] == [[0, 0, 1], [2, 0]]
    assert [(side.count, side.here, side.paired) for side in shared.values()] == [(3, 2, True), (3, 2, True)]


def test_a_digest_tells_one_grouping_from_another():
    kinds = [["a", "a", "b"], ["a", "b", "b"], ["a", "a", "a"], ["", "", ""]]
    assert len({clusters_of(names).digest for names in kinds}) == len(kinds)
    assert clusters_of(["a", "a", "b"]).digest == clusters_of(["x", "x", ""]).digest
