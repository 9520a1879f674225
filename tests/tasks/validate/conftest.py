"""The findings that the tests of a validation share."""

import numpy as np
import pytest

from tests.helpers.findings import BM25, DOT, RANDOM, TWO, outcome_of, spec_of, truth_of
from untrac_core.tasks.validate.findings import Findings


@pytest.fixture(scope="module")
def findings():
    """Two clear sides; one method is right, one says the reverse, one draws lots."""
    outcomes = [
        outcome_of(DOT, {side: 30 * values for side, values in TWO.items()}, noise=1.0),
        outcome_of(BM25, {side: -values for side, values in TWO.items()}),
        outcome_of(RANDOM, {side: np.random.default_rng(7).permutation(values) for side, values in TWO.items()}),
    ]
    return Findings(spec_of(), *truth_of(TWO), outcomes)
