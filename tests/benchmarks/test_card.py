"""The card of the methods: it is what the results say, and a run is compared with the testbed that is most like it."""

import json
from dataclasses import replace

from benchmarks.accuracy.card import CARD, card
from untrac_core.fileio import finite
from untrac_core.paths import DEMO
from untrac_core.results.evidence import in_words, most_like, testbeds
from untrac_core.results.folders import load_trace


def test_the_card_is_what_the_results_say():
    made = json.loads(json.dumps(finite(card())))
    assert json.loads(CARD.read_text()) == made, "run 'python -m benchmarks.accuracy.card', and commit what it writes"


def test_a_run_is_most_like_the_testbed_with_its_shares_then_with_its_architecture():
    result = load_trace(DEMO / "run")
    assert most_like(result).name == "opt"
    other = {"model": {"architecture": "GPT2LMHeadModel"}}
    assert most_like(replace(result, environment=other)).name == "gpt2"
    data = {"subsets": {name: {"tokens": tokens} for name, tokens in (("a", 300), ("b", 350), ("c", 350))}}
    uneven = replace(
        result,
        spec=result.spec.model_copy(update={"weighting": "proportional"}),
        summary=result.summary | {"data": data},
    )
    assert most_like(uneven).name == "mix"
    assert "r = " in in_words(load_trace(DEMO / "untrac"))
    assert len({bed.name for bed in testbeds()}) == len(testbeds()) >= 4
