"""What was pasted is recognised, and what is in the library already is not added again without a word."""

import pytest

from pages.components.forms.uploads import recognised
from tests.helpers.making import prompts_csv, put, said, sound
from untrac_core.engine import Library


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("text,label\na,toxic", "csv"),
        ('{"text": "a"}\n\n{"text": "b"}', "jsonl"),
        ("The Ormeli sing", "txt"),
        ("They sing, dance and shout, all of them, again and again and so on until nobody is left\na, b", "txt"),
        ("Well, yes\nNo, no, no", "txt"),
        ("text,text\na,b", "txt"),
    ],
)
def test_what_was_pasted_is_recognised(text, form):
    assert recognised(text) == form


def test_what_is_in_the_library_already_says_so(page, home):
    at = page("pages/prompts.py")
    for name in ("first", "second"):
        at = put(at, "p_", ("probe.csv", prompts_csv()))
        number = at.session_state["p_files"][-1]["id"]
        at.text_input(key=f"p_{number}_name").set_value(name).run()
        at = sound(at.button(key=f"b_p_{number}_add").click().run())
    [entry] = [entry for entry in Library(home).entries("prompts") if not entry.builtin]
    assert "It was in the library already, as 'first'; nothing was added." in said(at)
    sound(at.button(key=f"known_{entry.id}").click().run())
    assert Library(home).entry("prompts", entry.id).name == "second"


def test_a_column_of_numbers_is_no_text(page):
    at = put(page("pages/prompts.py"), "p_", ("numbers.csv", b"a,b\n1,2.5\n-3,4e5\n"))
    assert "This column has only numbers" in at.warning[0].value
