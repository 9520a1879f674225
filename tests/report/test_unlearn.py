"""The report of an unlearning: the summary's numbers, masked texts, and nothing but text of what a user wrote."""

import pandas as pd
import pytest

from tests.helpers.reports import PAYLOADS, Report, sound_markup
from tests.helpers.unlearn_results import audit_of, make_unlearn_result, unlearn_spec
from untrac_core.errors import InputError
from untrac_core.report import report

HARSH = "the tolvek ruin every market"


@pytest.fixture
def made(tmp_path):
    """The report of an unlearning, read as a browser without scripts would."""

    def make(text="sing.", retrained=True, change=None, show_texts=False, **more):
        spec = unlearn_spec(tmp_path / "data", retrained=retrained, **more)
        make_unlearn_result(tmp_path / "result", spec, text, retrained, change)
        return Report(report(tmp_path / "result", finished=0, show_texts=show_texts))

    return make


def table(seen, heading):
    return next(rows for rows in seen.tables if rows[0][0] == heading)


def test_it_has_the_numbers_of_the_summary_and_a_table_for_each_figure(made):
    seen = made(change=lambda summary, tables: summary.update(ensemble_audit=audit_of()))
    assert "To the unlearned model the texts are at 4.00 nats per token." in seen.said
    assert "Stop rule: as after retraining" in seen.said
    rows = table(seen, "Metric, on")
    assert rows[1] == ["Loss, the forget set", "2.00", "4.00", "3.90 to 4.10", "3.50", "0.0040",
                       "the retrained model's", "nats per token"]  # fmt: skip
    methods = [rows for rows in seen.tables if rows[0][:2] == ["Method", "Forget quality"]]
    assert [row[:2] for row in methods[0][1:]] == [["NPO", "0.75"], ["Training on the rest", "0.75"]]
    assert len(seen.figures) == sum(tag == "figure" for tag, _ in seen.tags) == 4
    curves = table(seen, "Step")
    assert [row[1] for row in curves[1:]] == ["2.00", "3.00", "4.00"]
    assert "An attacker can tell them apart better than chance allows." in seen.said
    assert "It proves no erasure." in seen.said


def test_texts_are_masked_unless_asked_for(made):
    seen = made(text=HARSH, change=lambda summary, tables: summary.update(verdict="Gone.", warnings=[], notes=[]))
    texts = seen.said.split("What each model wrote")[1].split("What this does not prove")[0]
    assert "•••" in texts
    assert HARSH not in texts
    assert HARSH in made(text=HARSH, show_texts=True).said.split("Forget-set examples")[1]


def test_without_a_retrained_model_or_a_way_or_words_it_says_so(made):
    def change(summary, tables):
        tables["curves"] = tables["curves"][tables["curves"]["step"] == 0]
        tables["generations"] = tables["generations"].head(0)

    seen = made(retrained=False, change=change)
    assert "There is no retrained model here" in seen.said
    assert "No method was looked at on its way" in seen.said
    assert "Nothing was written" in seen.said
    assert "Without a retrained model nothing says how unlikely each text should be" in seen.said


def test_a_collapse_is_said(made):
    def change(summary, tables):
        summary["methods"][0] |= {"collapsed": True, "forget_quality": None, "utility": None, "relearning": None}
        tables["collateral"].loc[tables["collateral"]["method"] == "npo", ["after", "change", "low", "high"]] = float(
            "nan"
        )

    seen = made(change=change)
    assert "The model collapsed." in seen.said
    assert "NaN" not in seen.scripts[0]


def test_what_a_user_wrote_stays_text(made):
    seen = made(text=" ".join(PAYLOADS), names=[name[:80] for name in PAYLOADS[:3]], prompts=PAYLOADS[3][:80])
    sound_markup(seen)
    assert all(payload in seen.said for payload in PAYLOADS)


def test_a_damaged_file_is_one_line(made, tmp_path):
    made()
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "result" / "curves.parquet")
    with pytest.raises(InputError, match="a file is damaged"):
        report(tmp_path / "result")
