"""The benchmark of what-if: its mixes, its scores, and what it recorded, held to what the code says today."""

import json

import pytest

from benchmarks.what_if import __main__ as bench
from benchmarks.what_if.mixes import development, held_out, in_words
from untrac_core.paths import DEMO
from untrac_core.results.evidence import what_if_checked
from untrac_core.results.folders import load_trace
from untrac_core.specs.parts import CONTRAST
from untrac_core.tasks.validate.mixing import CHANGED_MOST, MOVED_MOST, TIMES_MOST

NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]


def test_twenty_mixes_are_tested_and_none_of_them_was_chosen_on_or_is_an_anchor():
    first, second = development(NAMES), held_out(NAMES)
    assert (len(first), len(second)) == (6, 20)
    assert not [mix for mix in second if mix in first]
    assert all(mix and mix != {name: 0.0} for mix in second for name in NAMES)
    assert len({in_words(mix) for mix in second}) == 20
    assert [len(mix) for mix in second[:3]] == [2, 2, 2]
    assert not any(value for mix in second[:3] for value in mix.values())
    assert second == held_out(NAMES), "the same at each call"


def test_what_counts_as_checked_is_what_is_tested():
    mixing = bench.law_of(load_trace(DEMO / "run"))
    assert not [mix for mix in held_out(mixing.subsets) if mixing.ask(mix).leaves]
    most = max(mixing.law.moved(mixing.law.mix(mixing._times(mix))) for mix in held_out(mixing.subsets))
    assert most == pytest.approx(MOVED_MOST, abs=0.01)
    assert max(value for mix in held_out(mixing.subsets) for value in mix.values()) == TIMES_MOST
    assert max(len(mix) for mix in held_out(mixing.subsets)) == CHANGED_MOST


def test_scores_by_hand():
    rows = [
        {"mix": {"a": 0.0, "b": 0.0}, "prompt_set": "talk", "side": side, "retrained": true, "predicted": told}
        | {"low": told - 0.1, "high": told + 0.1, "summed": 0.0 if side == CONTRAST else told / 2}
        for side, true, told in (("harmful", 0.4, 0.2), ("harmless", -0.2, -0.15), (CONTRAST, 0.6, 0.35))
    ]
    found = bench.summary(rows)
    assert found["sides"]["slope"] == pytest.approx((0.4 * 0.2 + 0.2 * 0.15) / (0.2**2 + 0.15**2))
    assert found["sides"]["coverage"] == 0.5
    assert found["leave_two_out"] == found["sides"]
    assert found["summed_influence"]["slope"] == pytest.approx(2 * found["sides"]["slope"])
    assert found["contrasts"]["values"] == 1
    assert [line.split()[0] for line in bench.failures(found)] == ["slope", "coverage"]


@pytest.fixture(scope="module")
def recorded():
    return json.loads(bench.RESULTS.read_text(encoding="utf-8"))


def test_what_is_recorded_is_what_the_code_says_and_as_good_as_asked(recorded):
    mixing, rows, told = bench.law_of(load_trace(DEMO / "run")), [], {}
    mixes = [row["mix"] for row in recorded["rows"][::9]]
    assert mixes == held_out(mixing.subsets)[: recorded["mixes"]], "all in turn: none is passed over"
    for row in recorded["rows"]:
        name = in_words(row["mix"])
        if name not in told:
            told[name] = mixing.ask(row["mix"]).table.set_index(["prompt_set", "side"])
        found = told[name].loc[(row["prompt_set"], row["side"])]
        assert found["change"] == pytest.approx(row["predicted"], abs=1e-6)
        rows.append(row | {"predicted": found["change"], "low": found["low"], "high": found["high"]})
    summary = bench.summary(rows)
    assert bench.failures(summary) == []
    assert summary["sides"] == pytest.approx(recorded["tested"]["sides"], abs=1e-6)


def test_the_docs_and_the_page_say_what_was_recorded(recorded):
    assert bench.table(recorded["tested"]) in bench.EVIDENCE.read_text(encoding="utf-8")
    sides, told = recorded["tested"]["sides"], what_if_checked()
    assert f"{recorded['mixes']} other mixes" in told
    assert f"r = {sides['r']:.2f}, and {sides['coverage']:.0%} of" in told
