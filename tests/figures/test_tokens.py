import json
import math

import pandas as pd
import pytest

from untrac_core.figures.tokens import COLUMNS, layout, token_text

HOSTILE = '<a href="http://evil.example">x</a><script>alert(1)</script>'


def lines_of(texts, columns):
    letters = layout(texts, columns)
    count = max((letter.line for letter in letters), default=-1) + 1
    return ["".join(letter.text for letter in letters if letter.line == line) for line in range(count)]


def pieces(texts, changes):
    frame = pd.DataFrame({"text": texts, "change": changes})
    return frame.assign(scored=frame["change"].notna(), low=frame["change"] - 0.1, high=frame["change"] + 0.1)


def test_lines_break_between_words_and_hold_every_character():
    assert lines_of(["the wea", "ver sings"], 11) == ["the weaver ", "sings"]
    assert lines_of(["one\ntwo"], 10) == ["one", "two"]
    assert lines_of(["one\n\ntwo"], 10) == ["one", "", "two"]
    assert lines_of(["incompre", "hensible"], 6) == ["incomp", "rehens", "ible"]
    assert lines_of([], 10) == []
    text = "Old smiths hammer on, and on; 'til  dusk. "
    assert "".join(lines_of([text[:7], text[7:30], text[30:]], 9)) == text


def test_letters_know_their_piece_and_their_width():
    letters = layout(["a漢", "e\u0301b"], 10)
    assert [(letter.column, letter.width, letter.piece) for letter in letters] == [
        (0, 1, 0), (1, 2, 0), (3, 1, 1), (4, 0, 1), (4, 1, 1),
    ]  # fmt: skip
    assert lines_of(["漢字漢字"], 5) == ["漢字", "漢字"]


def test_the_ground_is_the_change_of_its_piece():
    figure = token_text(pieces(["The ", "weaver", " sings"], [math.nan, 0.25, -0.5]), side="contrast")
    heat, written = figure.data
    row = list(heat.z[0])
    assert row[:4] == [None] * 4
    assert row[4:10] == [0.25] * 6
    assert row[10:16] == [-0.5] * 6
    assert row[16:] == [None] * (COLUMNS - 16)
    assert heat.zmax == -heat.zmin == pytest.approx(0.5, abs=0.01)
    assert "not scored" in heat.hovertext[0][0]
    assert "+0.25 nats<br>interval +0.15 to +0.35" in heat.hovertext[0][5]
    assert list(written.text) == ["The\u00a0weaver\u00a0sings"]


def test_characters_of_other_widths_stand_alone():
    written = token_text(pieces(["ab漢c", "é!"], [0.1, 0.2]), side="harmful").data[1]
    assert list(zip(written.text, written.x, strict=True)) == [
        ("ab", 0),
        ("漢", 2),
        ("c", 4),
        ("é", 5),
        ("!", 6),
    ]


@pytest.mark.parametrize("masked", [False, True])
def test_hostile_text_is_text_and_masked_text_is_gone(masked):
    figure = token_text(pieces([HOSTILE, " weaver"], [0.1, 0.2]), side="contrast", masked=masked)
    drawn = json.dumps(json.loads(figure.to_json()), ensure_ascii=False)  # plotly's own JSON hides the brackets
    assert "<a" not in drawn
    assert "<script" not in drawn
    assert ("weaver" in drawn) is not masked
    assert ("•" in drawn) is masked


def test_a_text_without_changes_is_still_drawn():
    for frame in (pieces(["word"], [math.nan]), pieces(["word"], [0.0]), pieces([], [])):
        token_text(frame, side="harmless").to_json()
