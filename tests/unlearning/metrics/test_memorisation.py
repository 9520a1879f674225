"""Exact memorisation and extraction strength: whole, none, and all that lies between."""

import math

import numpy as np
import pytest

from untrac_core.unlearning.metrics.memorisation import exact_memorisation, extraction_strength


def test_exact_memorisation():
    assert exact_memorisation([0, 3, 4], [4, 4, 4]).tolist() == [0, 0.75, 1]
    for wrong in (([1], [1, 2]), ([], []), ([[1]], [[1]]), ([2], [1]), ([-1], [1]), ([0], [0]), ([0], [math.nan])):
        with pytest.raises(ValueError, match=r"matches|token"):
            exact_memorisation(*wrong)
    with pytest.raises(ValueError, match="matches"):
        exact_memorisation([math.nan], [3])


def test_a_memorised_text_needs_no_prefix():
    assert extraction_strength(np.ones(7, dtype=bool)) == 1
    assert extraction_strength([True]) == 1


def test_extraction_strength_by_hand():
    assert extraction_strength([False, True, True, True]) == 0.75
    assert extraction_strength([True, False, True, True]) == 0.5
    assert extraction_strength([True, True, True, False]) == 0, "nothing goes by itself, however much is right"
    assert extraction_strength([False]) == 0


def test_extraction_strength_tries_every_prefix():
    generator = np.random.default_rng(0)
    for _ in range(50):
        correct = generator.random(generator.integers(1, 12)) < 0.8
        prefix = next(k for k in range(len(correct) + 1) if correct[k:].all())
        assert extraction_strength(correct) == pytest.approx(1 - prefix / len(correct))
        assert extraction_strength(correct) <= correct.mean() + 1e-12


@pytest.mark.parametrize("wrong", [np.array([], dtype=bool), np.ones((2, 2), dtype=bool), np.ones(3), True])
def test_extraction_strength_refuses(wrong):
    with pytest.raises(ValueError, match="truth values"):
        extraction_strength(wrong)
