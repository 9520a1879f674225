"""What the page of a validation is drawn from: frames and sentences, without the page."""

import pandas as pd
import pytest

from tests.helpers.validations import (
    NAMES,
    summary_of,
)
from untrac_core.results.folders import ValidateFiles
from untrac_core.tasks.validate import frames, truth_frames


def test_differences_by_seed_decide_what_is_clear_in_the_truth(tmp_path):
    rows = [("a", (3.0, 9.0)), ("b", (2.0, 8.1)), ("c", (1.9, 1.0))]
    truth = [
        {"prompt_set": "p", "side": "harmful", "subset": name, "rank": rank, "influence": sum(seeds) / 2}
        | {"low": None, "high": None}
        for rank, (name, seeds) in enumerate(rows, 1)
    ]
    known = [(name, "p", "harmful", seed, value) for name, seeds in rows for seed, value in enumerate(seeds)]
    table = pd.DataFrame(known, columns=["subset", "prompt_set", "side", "seed", "influence"])
    found = ValidateFiles(tmp_path, None, {"ground_truth": truth}, table, pd.DataFrame(), {})
    assert list(truth_frames.ground_truth(found, "p", "harmful")["separable"]) == [True, False, False]
    alone = ValidateFiles(tmp_path, None, {"ground_truth": truth}, table[table["seed"] == 0], pd.DataFrame(), {})
    assert not truth_frames.ground_truth(alone, "p", "harmful")["separable"].any()


def test_a_difference_is_turned_to_the_method_that_is_asked_about():
    summary = summary_of(NAMES, "toxicity", "")
    turned = frames.differences(summary, "bm25", "all")
    assert list(turned["value"]) == [-1.4]
    assert turned["low"].iloc[0] == pytest.approx(-1.5)
    assert list(turned["verdict"]) == ["worse"]


def test_sentences_call_the_methods_as_the_figures_do():
    summary = summary_of(NAMES, "toxicity", "")
    text = "Trust untrac-inv (robust) here; a tie with grad-dot and bm25. Not sign-grad-dot, bm25s or 'a random 3'."
    told = "Trust UnTrac-Inv (robust) here; a tie with GradDot and BM25. Not sign-grad-dot, bm25s or 'a random 3'."
    assert frames.in_words(summary, text) == told
