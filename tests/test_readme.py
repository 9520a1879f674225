"""What the README shows can be used as it stands."""

import re

import pytest

from untrac_core.home import PROJECT
from untrac_core.spec_files import parse_spec
from untrac_core.specs import RUN_KINDS

README = (PROJECT / "README.md").read_text(encoding="utf-8")
SPECS = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


def test_every_kind_of_run_is_shown():
    assert {parse_spec(text).kind for text in SPECS} == set(RUN_KINDS)


@pytest.mark.parametrize("line", re.findall(r"^from untrac_core.*$", README, flags=re.MULTILINE))
def test_what_is_imported_is_there(line):
    exec(line, {})  # noqa: S102 - our own README
