"""The evidence page: every testbed and method, which contrasts can be resolved, what was chosen on what."""

from tests.helpers.making import said
from untrac_core.engine import DEMO_RUN
from untrac_core.results.evidence import testbeds


def test_the_page_has_every_testbed_and_says_what_cannot_be_answered(page):
    at = page("pages/evidence.py")
    assert at.subheader[0].value == "How far can these numbers be trusted?"
    numbers, contrasts = (table.value for table in at.dataframe)
    assert set(numbers["testbed"]) == {bed.title for bed in testbeds()}
    assert {"toxigen", "truthfulqa"} <= set(contrasts["prompt set"])
    assert "the right answer is" in said(at)
    assert "do not prove" in said(at)


def test_a_result_says_first_how_retrained_models_agree_with_it(page):
    assert "retrained without each subset agree: r = 0.9" in said(page("pages/influence.py", run=DEMO_RUN))
