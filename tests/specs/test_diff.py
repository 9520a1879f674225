import pytest

from untrac_core.specs.diff import ABSENT, LONG, differences

FIRST = {"seeds": [0, 1], "prompts": [{"name": "a", "limit": 5}, {"name": "b", "limit": None}], "on": True}
SECOND = {"seeds": [0, 1], "prompts": [{"name": "b", "limit": 7}, {"name": "a", "limit": 5}], "on": False}


def test_only_what_differs_is_kept_and_order_does_not_count():
    table = differences([("A", FIRST), ("B", SECOND)])
    assert table.to_numpy().tolist() == [["prompts[b].limit", ABSENT, "7"], ["on", "yes", "no"]]
    assert list(table.columns) == ["setting", "A", "B"]


def test_every_setting_can_be_asked_for():
    table = differences([("A", FIRST), ("B", SECOND)], every=True)
    assert "0, 1" in table["A"].tolist()
    assert len(table) == 6


def test_what_one_does_not_have_is_absent():
    table = differences([("A", {"prompts": [{"name": "a"}]}), ("B", {"prompts": []})])
    assert table.to_numpy().tolist() == [["prompts[a]", "present", ABSENT], ["prompts", ABSENT, ""]]


def test_long_values_are_compared_whole_and_cut_so_that_both_ends_show():
    table = differences([("A", {"path": "x" * 300 + "1"}), ("B", {"path": "x" * 300 + "2"})])
    assert [len(table["A"][0]), table["A"][0][-1], table["B"][0][-1]] == [LONG, "1", "2"]


def test_nothing_differs():
    assert differences([("A", FIRST), ("B", FIRST)]).empty


def test_columns_have_different_names():
    with pytest.raises(ValueError, match="same name"):
        differences([("A", FIRST), ("A", FIRST)])
    with pytest.raises(ValueError, match="same name"):
        differences([("setting", FIRST), ("B", FIRST)])
