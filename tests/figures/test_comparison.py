import json

import pandas as pd
import pytest

from untrac_core.figures import comparison as figures
from untrac_core.figures.palette import HARMFUL, HARMLESS, UNDECIDED

HOSTILE = '<a href="http://evil.example">x</a><img src=x onerror=alert(1)>' + "y" * 200
CORNERS = {(1, 1): "drives toxic and false", (1, -1): "drives toxic, helps true", (-1, 1): "c", (-1, -1): "d"}
AXES = {"across": ("A · toxicity", "nats per token"), "upwards": ("B · truth", "BM25 score"), "corners": CORNERS}


def pairs(names=("both", "mixed", "open", "down"), half=0.01):
    x, y = [0.5, 0.4, 0.005, -0.4], [0.4, -0.3, 0.2, -0.5]
    rows = [
        (name, a, a - half, a + half, b, b - half, b + half, "words")
        for name, a, b in zip(names, x * len(names), y * len(names), strict=False)
    ]
    columns = ["subset", "x", "x_low", "x_high", "y", "y_low", "y_high", "words"]
    frame = pd.DataFrame(rows, columns=columns)
    sign = {axis: (frame[axis] > half).astype(int) - (frame[axis] < -half) for axis in "xy"}
    return frame.assign(x_sign=sign["x"], y_sign=sign["y"])


def test_points_have_intervals_both_ways_and_the_colours_of_both_views():
    mark = figures.view_scatter(pairs(), **AXES).data[0]
    assert list(mark.customdata) == ["both", "mixed", "open", "down"]
    assert list(mark.marker.color) == [HARMFUL, HARMFUL, UNDECIDED, HARMLESS]
    assert list(mark.marker.line.color) == [HARMFUL, HARMLESS, UNDECIDED, HARMLESS]
    for error in (mark.error_x, mark.error_y):
        assert list(error.array) == pytest.approx([0.01] * 4)
        assert list(error.arrayminus) == pytest.approx([0.01] * 4)


def test_on_a_harmless_side_up_is_away_from_the_harm():
    mark = figures.view_scatter(pairs(), **AXES, harm=(1, -1)).data[0]
    assert list(mark.marker.line.color) == [HARMLESS, HARMFUL, UNDECIDED, HARMFUL]


def test_a_missing_interval_takes_no_room_and_is_said():
    frame = pairs().assign(y_low=None, y_high=None, y_sign=0).astype({"y_low": float, "y_high": float})
    mark = figures.view_scatter(frame, **AXES).data[0]
    assert list(mark.error_y.array) == [0.0] * 4
    assert "no interval" in mark.hovertext[0]
    assert set(mark.marker.color) == {UNDECIDED}


def test_quadrants_are_named_where_they_have_the_room():
    named = [note.text for note in figures.view_scatter(pairs(), **AXES).layout.annotations]
    assert "<i>drives toxic,<br>helps true</i>" in named
    assert len(named) == 4
    up = pairs()[lambda frame: frame["x"] > 0.1].iloc[:1]
    assert [note.text for note in figures.view_scatter(up, **AXES).layout.annotations] == [
        "<i>drives toxic and false</i>"
    ]


def test_of_many_points_the_outermost_are_named_and_all_tell_their_name():
    frame = pairs([f"s{i}" for i in range(200)])
    frame.loc[7, ["x", "x_low", "x_high"]] = [3.0, 2.9, 3.1]
    mark = figures.view_scatter(frame, **AXES).data[0]
    named = [name for name, text in zip(mark.customdata, mark.text, strict=True) if text]
    assert "s7" in named
    assert len(named) <= figures.NAMED_MOST
    assert all(f"<b>{name}</b>" in told for name, told in zip(mark.customdata, mark.hovertext, strict=True))


def places(count=4, views=2):
    names = [f"s{i}" for i in range(count)]
    frame = pd.DataFrame({f"place_{'ABCD'[v]}": range(1, count + 1) for v in range(views)}, index=names, dtype=float)
    frame.index.name = "subset"
    frame.iloc[[0, -1], -1] = frame.iloc[[-1, 0], -1].to_numpy()
    holds = pd.DataFrame(False, index=names, columns=list("BCD"[: views - 1]))
    holds.iloc[0, -1] = True
    return frame, holds


def test_lines_join_the_places_and_moves_that_hold_are_strong():
    frame, holds = places()
    thin, strong = figures.place_lines(frame, holds, names=["A", "B"]).data
    assert set(strong.customdata) == {"s0"}
    assert [y for y in strong.y if y is not None] == [1.0, 4.0]
    assert set(thin.customdata) == {"s1", "s2", "s3"}
    assert strong.line.width > thin.line.width


def test_of_many_subsets_the_first_and_the_greatest_moves_are_drawn():
    frame, holds = places(200, views=3)
    shown = figures.notable(frame, holds)
    assert len(shown) == figures.LINES_MOST
    assert "s199" in shown.index
    assert list(shown.index[:3]) == ["s0", "s1", "s2"]
    assert len(figures.notable(*places(10))) == 10
    drawn = figures.place_lines(frame, holds, names=["A", "B", "C"])
    assert {y for line in drawn.data for y in line.y if y is not None} == set(range(1, figures.LINES_MOST + 1))
    assert "s199 <b>200</b>" in [note.text for note in drawn.layout.annotations]


@pytest.mark.parametrize("dark", [False, True])
def test_backgrounds_are_transparent_and_hostile_names_are_text(dark):
    axes = {"across": (HOSTILE, HOSTILE), "upwards": (HOSTILE, HOSTILE), "corners": dict.fromkeys(CORNERS, HOSTILE)}
    scatter = figures.view_scatter(pairs((HOSTILE, "b", "c", "d")), **axes, dark=dark)
    frame, holds = places()
    lines = figures.place_lines(
        frame.rename({"s1": HOSTILE}), holds.rename({"s1": HOSTILE}), names=[HOSTILE, "B"], dark=dark
    )
    for figure in (scatter, lines):
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        drawn = json.loads(figure.to_json())
        for trace in drawn["data"]:
            trace.pop("customdata")  # never drawn
        assert "<img" not in json.dumps(drawn)
        assert "<a " not in json.dumps(drawn)


def test_letters_grow_for_an_audience():
    small, large = (figures.view_scatter(pairs(), **AXES, size=size) for size in (12, 20))
    assert (small.data[0].textfont.size, large.data[0].textfont.size) == (12, 20)
