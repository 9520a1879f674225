"""The mixing law: exact where the world obeys it, its noise to first order, and what it does at its ends."""

import numpy as np
import pytest

from untrac_core.stats.mixing_law import FAR, LEAST, POWER, MixingLaw

SHARES = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
COEFFICIENTS = np.array([[0.5, 1.6, 0.9, 1.3, 0.75], [1.2, -0.2, 1.5, 1.7, 1.35]])
"""Of two sides; each weighted by the shares is made to sum to one."""
BOTH = np.eye(2)


def law_world(times):
    """What a mix adds to both sides where the law is true."""
    a = COEFFICIENTS / (COEFFICIENTS @ SHARES)[:, None]
    mix = SHARES * times / (SHARES @ times)
    return -np.log(a @ mix) / POWER


def left_out():
    return np.stack([law_world(1.0 - np.eye(5)[k]) for k in range(5)], 1)


def seeds(changes, noise, count, seed=0):
    """Trainings with noise of their own, each less the one with everything of its seed; (sides, seeds, subsets)."""
    draw = np.random.default_rng(seed).normal(0, noise, (len(changes), count, changes.shape[1] + 1))
    return changes[:, None] + draw[:, :, 1:] - draw[:, :, :1]


@pytest.mark.parametrize("times", [[0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [2, 1, 1, 0.5, 3], [0.5, 0.5, 1, 1, 1]])
def test_any_mix_is_told_exactly_where_the_law_is_true_and_nothing_is_noisy(times):
    found = MixingLaw.fit(SHARES * 7, left_out()[:, None]).change(np.array(times, dtype=float), BOTH)
    np.testing.assert_allclose(found.value, law_world(np.array(times)), atol=1e-9)
    assert not found.straight
    assert (found.low < found.value).all()


def test_a_mix_that_does_not_change_adds_exactly_nothing():
    law = MixingLaw.fit(SHARES, seeds(left_out(), 0.05, 3))
    for times in (1.0, 2.5):
        found = law.change(np.full(5, times), BOTH)
        assert (found.value == 0).all()
        assert (found.low == found.high).all()


def test_a_training_with_everything_that_is_off_moves_all_changes_less_than_itself():
    exact = left_out()
    off = 0.06  # its loss is higher by chance: every difference from it is lower
    law = MixingLaw.fit(SHARES, (exact - off)[:, None])
    rest = law.changes - exact
    assert (np.abs(rest) < off / 2).all()
    assert np.sqrt(np.diag(law.noise)).max() > off / 2, "one seed tells the noise, too"


def test_the_noise_of_a_change_is_its_derivative_by_every_training():
    changes, times, step = left_out(), np.array([2, 0, 1, 0.5, 1.0]), 1e-5
    law = MixingLaw.fit(SHARES, changes[:, None])
    mix, u = law.mix(times), np.exp(-POWER * law.changes)
    at = ((1 - (1 - SHARES) * u) / SHARES) @ mix
    parts = law._of_noise(mix, u, at)

    def told(moved):
        return MixingLaw.fit(SHARES, moved[:, None]).change(times, BOTH).value

    for place in range(6):
        moved = -np.ones(5) if place == 0 else np.eye(5)[place - 1]
        slope = (told(changes + step * moved) - told(changes - step * moved)) / (2 * step)
        np.testing.assert_allclose(parts[:, place], slope, rtol=1e-3, atol=1e-4)


def test_the_noise_of_one_training_is_found_and_sides_that_share_it_are_known_to():
    law = MixingLaw.fit(SHARES, seeds(left_out(), 0.03, 40))
    np.testing.assert_allclose(np.sqrt(np.diag(law.noise)), 0.03, rtol=0.15)
    same = np.repeat(seeds(left_out()[:1], 0.03, 40), 2, 0)
    law = MixingLaw.fit(SHARES, same)
    assert law.noise[0, 1] > 0.4 * law.noise[0, 0]


def test_intervals_hold_single_trainings_even_those_of_one_seed():
    draw, times = np.random.default_rng(5), np.array([0, 1, 1, 2, 1.0])
    true, held = law_world(times), []
    for trial in range(60):
        for count in (1, 3):
            found = MixingLaw.fit(SHARES, seeds(left_out(), 0.04, count, trial)).change(times, BOTH)
            one = true + draw.normal(0, 0.04, 2) - draw.normal(0, 0.04, 2)
            held += list((found.low <= one) & (one <= found.high))
    assert np.mean(held) > 0.95


def test_the_interval_grows_with_how_far_a_mix_moves():
    law = MixingLaw.fit(SHARES, seeds(left_out(), 0.001, 3))
    widths = []
    for times in ([1, 1, 1, 1, 0.5], [1, 1, 1, 0.5, 0], [1, 0, 1, 0.5, 0]):
        found = law.change(np.array(times, dtype=float), BOTH)
        assert ((found.high - found.value) > 1.9 * FAR * law.moved(law.mix(np.array(times)))).all()
        widths.append((found.high - found.low).max())
    assert widths == sorted(widths)


def test_beyond_its_end_the_law_goes_on_in_a_straight_line():
    law = MixingLaw.fit(SHARES, left_out()[:, None])
    times = np.array([0, 1, 0, 0, 0.0])  # the second side has next to nothing but what speaks against it
    found = law.change(times, BOTH)
    assert found.straight
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert found.value[1] > -np.log(LEAST) / POWER


@pytest.mark.parametrize(
    ("shares", "changes"),
    [
        (np.ones(2), np.zeros((1, 1, 2))),
        (np.array([1, 1, 0.0]), np.zeros((1, 1, 3))),
        (np.ones(3), np.full((1, 1, 3), np.nan)),
    ],
)
def test_what_tells_no_law_is_refused(shares, changes):
    with pytest.raises(ValueError, match="at least three"):
        MixingLaw.fit(shares, changes)


@pytest.mark.parametrize("times", [[0, 0, 0, 0, 0], [-1, 1, 1, 1, 1], [np.inf, 1, 1, 1, 1]])
def test_what_is_no_mix_is_refused(times):
    with pytest.raises(ValueError, match="zero times or more"):
        MixingLaw.fit(SHARES, left_out()[:, None]).mix(np.array(times, dtype=float))
