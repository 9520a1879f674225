"""What the README and the pages of docs/ show can be used as it stands."""

import re

import pytest

import untrac_core
from untrac_core.paths import PROJECT
from untrac_core.specs import RUN_KINDS
from untrac_core.specs.files import parse_spec

README = (PROJECT / "README.md").read_text(encoding="utf-8")
SHOWN = "\n".join([README, *(path.read_text(encoding="utf-8") for path in sorted((PROJECT / "docs").glob("*.md")))])
SPECS = re.findall(r"```yaml\n(.*?)```", SHOWN, flags=re.DOTALL)
CALLED = sorted(set(re.findall(r"\buntrac\.(\w+)\(", SHOWN)))


def test_every_kind_of_run_is_shown():
    assert set(RUN_KINDS) <= {parse_spec(text).kind for text in SPECS}


@pytest.mark.parametrize("line", re.findall(r"^(?:from|import) untrac_core.*$", SHOWN, flags=re.MULTILINE))
def test_what_is_imported_is_there(line):
    exec(line, {})  # noqa: S102 - our own pages


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_is_there(name):
    assert name in untrac_core.__all__
    assert callable(getattr(untrac_core, name))


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
