"""The ways that lead to the page of an unlearning, and what its course is read from."""

import pytest

from tests.helpers.unlearnings import NAMES
from untrac_core.engine import DEMO_RUN

PAGE = "pages/unlearn.py"


@pytest.mark.parametrize(
    ("file", "label", "query"),
    [
        ("pages/influence.py", "Unlearn this subset", {"trace": DEMO_RUN, "subset": "forum"}),
        (
            "pages/examples.py",
            "Unlearn the first 20 texts",
            {"trace": DEMO_RUN, "texts": "20", "prompts": "toxicity", "on": "contrast"},
        ),
    ],
)
def test_rankings_lead_here(page, file, label, query):
    from urllib.parse import parse_qsl

    at = page(file, run=DEMO_RUN)
    [link] = [link.proto for link in at.get("page_link") if link.proto.label == label]
    assert link.page == "unlearn"
    assert dict(parse_qsl(link.query_string)) == query


def test_what_the_course_is_read_from():
    from pages.components.unlearn.progress import HISTORY
    from untrac_core.tasks.unlearn.models import HISTORY as GENERATIONS
    from untrac_core.tasks.unlearn.task import WORK

    assert HISTORY.parts == (WORK, GENERATIONS)
    assert NAMES[0] == "forum"
