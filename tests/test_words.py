"""No private word is left: names in the code, keys and files, and texts of pages have the field's own words."""

import ast
import re

import pytest

from untrac_core.paths import PROJECT
from untrac_core.specs.renamed import KEYS, VALUES

NAMES = [
    "gold",
    "golds",
    "Gold",
    "is_target",
    "Remover",
    "RemovalSpec",
    "RemovalMethod",
    "RemovalSettings",
    "Removed",
    "RemovalCheck",
    "Forgotten",
    "Subjects",
    "glance",
    "close_look",
    "CloseLooks",
    "Watched",
    "Told",
    "told_of",
    "warnings_of",
    "Course",
    "course",
    "courses",
    "Look",
    "looks",
    "board",
    "boards",
    "floor_of",
    "closeness",
    "Study",
    "open_study",
    "Panel",
    "Identity",
    "example_frames",
    "item_frames",
    "traits",
    "trait",
    "find_traits",
    "pieces_of",
    "moves",
    "Moves",
    "set_moves",
    "hold_moving_in_float32",
    "let_move",
    "Curvature",
    "KroneckerStepper",
    "ScaledStep",
    "Moments",
    "MomentsFile",
    "dose",
    "doses",
    "max_dose",
    "allotted",
    "LeaveOut",
    "Material",
    "Alone",
    "Examiner",
    "examiner",
    "examine",
    "examination",
    "choose_precision",
    "precision",
    "ModelFacts",
    "DeviceFacts",
    "inspect_ref",
    "Described",
    "guarded",
    "drafted",
    "Ledger",
    "compared_views",
    "moves_hold",
    "kin",
    "place_A",
    "mend",
    "stays",
    "held_out",
    "_names_arerefuse_repeats",
    "ExamineSpec",
    "Writing",
    "Target",
    "Only",
    "TRUTH",
    "DOSES",
]
"""Old names of modules, classes, functions, parameters and fields."""

FILES = ("truth", "doses", "items", "traits", "checks", "forgotten", "written", "measures")
"""Old names of result files, without their ending."""

TEXTS = (
    "What should be traced to what", "Is it going", "What should go?", "How should it go?", "Take away",
    "Before you trust it", "Worth knowing", "What was counted and what was cut", "a cheaper look", "What may move",
    "Does the order hold on the way", "the best there is", "Clear of neighbours", "Seed floor", "Set beside it",
    "clear of zero in both", "Take it off the list", "Mend what is marked", "Leave the presentation", "broke down",
    "Deep check", "Lean towards the harmful side", "harder to write", "the gold", "stop at a dose",
)  # fmt: skip
"""Old texts of pages, reports and the command line."""

CODE = sorted([*PROJECT.glob("untrac_core/**/*.py"), *PROJECT.glob("pages/**/*.py"), PROJECT / "app.py"])
DOCS = sorted([*PROJECT.glob("docs/*.md"), *PROJECT.glob("docs/facts/*.yaml"), PROJECT / "README.md"])

MAY = {
    "untrac_core/specs/renamed.py": "has the old keys and values, for the errors that name the new ones",
    "untrac_core/demo/": "a part of the invented corpus, whose words may be any",
}
"""Files that may have old words, and why."""


def held(path):
    """Whether a file is one that the rules hold for."""
    return not any(path.relative_to(PROJECT).as_posix().startswith(prefix) for prefix in MAY)


def names_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno


def strings_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


@pytest.fixture(scope="module")
def trees():
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in CODE if held(path)}


def test_no_old_name_is_left(trees):
    assert [(str(path), *found) for path, tree in trees.items() for found in names_of(tree) if found[0] in NAMES] == []


def test_no_old_file_is_left(trees):
    old = re.compile(rf"(?<![\w_])({'|'.join(FILES)})\.(parquet|csv)")
    texts = [(path, text) for path, tree in trees.items() for text, _ in strings_of(tree)]
    texts += [(path, path.read_text(encoding="utf-8")) for path in DOCS]
    assert [(str(path), text[:60]) for path, text in texts if old.search(text)] == []


def test_no_old_text_is_left(trees):
    texts = [(path, text) for path, tree in trees.items() for text, _ in strings_of(tree)]
    texts += [(path, path.read_text(encoding="utf-8")) for path in DOCS]
    assert [(str(path), old) for path, text in texts for old in TEXTS if old.lower() in text.lower()] == []


def test_no_old_key_or_value_stands_in_the_docs():
    keys = [key for key in KEYS if len(KEYS[key]) == 1 and key not in ("batch", "block", "only", "most", "by", "look")]
    old = re.compile(rf"^\s*[{{-]?\s*({'|'.join(keys)}): |kind: examine|name: ({'|'.join(VALUES)})\b", re.MULTILINE)
    texts = [(path, path.read_text(encoding="utf-8")) for path in DOCS if path.suffix == ".md"]
    assert [(str(path), found.group()) for path, text in texts for found in old.finditer(text)] == []


def test_what_may_have_old_words_is_there():
    assert all((PROJECT / place).exists() for place in MAY)


def test_the_glossary_of_the_docs_is_that_of_the_pages():
    from untrac_core.text.glossary import GLOSSARY

    text = (PROJECT / "docs" / "concepts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text[text.index("## Glossary") :], re.MULTILINE)
    assert dict(rows[2:]) == GLOSSARY
