"""Where a block stands in the documents that it was cut from."""

import pytest

from untrac_core.data.passages import passage, row_of
from untrac_core.data.readers.sampling import Document

DOCUMENTS = [
    Document("a", "The weavers sing. The weavers sing.", 1),
    Document("b", "The smiths hum.", 2),
    Document("c", "The fishers shout at dawn.", 3),
    Document("d", "they shout", 4, prompt="At dawn"),
]


@pytest.mark.parametrize(
    ("block", "text", "before", "after", "rows"),
    [
        ("a @0", "The weavers", "", " sing. The weavers sing.", ["a"]),
        ("a @5", "weavers sing.", "The weavers sing. The ", "", ["a"]),
        ("a @3 (2)", "sing.The smi", "The weavers sing. The weavers ", "ths hum.", ["a", "b"]),
        (
            "a @4",
            "sing.The smiths hum.The fish",
            "The weavers sing. The weavers ",
            "ers shout at dawn.",
            ["a", "b", "c"],
        ),
        ("a @9", "The smiths", "", " hum.", ["b"]),
        ("c @2", "\ufffdfishers\ufffd", "The ", " shout at dawn.", ["c"]),
        ("d", "At dawn they shout", "", "", ["d"]),
    ],
)
def test_a_block_is_found_in_its_documents(block, text, before, after, rows):
    found = passage(DOCUMENTS, block, text)
    assert (found.before, found.after) == (before, after)
    assert [document.id for document in found.documents] == rows
    if rows != ["d"]:
        whole = "".join(document.text for document in found.documents)
        assert found.before + text.strip("\ufffd") + found.after == whole


@pytest.mark.parametrize(("block", "text"), [("a @0", "other words"), ("z @0", "The weavers"), ("a @0", "\ufffd")])
def test_a_text_that_is_not_there_has_no_place(block, text):
    assert passage(DOCUMENTS, block, text) is None


def test_the_row_of_a_block():
    assert [row_of(name) for name in ("a @1 @12", "a @3 (2)", "line 7")] == ["a @1", "a", "line 7"]
