import json
import math

import pandas as pd
import pytest

from untrac_core.figures import base as figure_parts
from untrac_core.figures import labels as figure_labels
from untrac_core.figures import palette
from untrac_core.figures import ranking as figures

HOSTILE = '<a href="http://evil.example">x</a><img src=x onerror=alert(1)>' + "y" * 200


def ranking(names=("forum", "blog", "news")):
    return pd.DataFrame(
        {
            "subset": list(names),
            "rank": range(1, len(names) + 1),
            "influence": [0.06, 0.01, -0.02][: len(names)],
            "low": [0.05, -0.01, -0.03][: len(names)],
            "high": [0.07, 0.03, -0.01][: len(names)],
            "separable": [True, False, False][: len(names)],
        }
    )


def points(names=("forum", "blog")):
    rows = [(name, step, step * 0.01, step * 0.008, step * 0.012, 3) for name in names for step in range(4)]
    return pd.DataFrame(rows, columns=["subset", "step", "influence", "low", "high", "seeds"])


def pairs(names=("forum", "blog", "news")):
    frame = ranking(names)[["subset", "influence", "low", "high"]]
    return frame.assign(truth=[0.1, 0.0, -0.1], truth_low=[0.09, -0.01, -0.1], truth_high=[0.11, 0.01, -0.1])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0623, "+0.062"),
        (-0.0623, "−0.062"),
        (1.0, "+1.0"),
        (-12.4, "−12"),
        (123.0, "+120"),
        (0.3, "+0.30"),
        (0.10, "+0.10"),
        (0.00012, "+0.00012"),
        (0.0, "0"),
        (float("nan"), "–"),
        (2e-6, "+2.0e-06"),
    ],
)
def test_signed_has_two_significant_digits(value, text):
    assert figures.signed(value) == text


def test_bars_are_ranked_coloured_and_carry_their_interval():
    shuffled = ranking().sample(frac=1, random_state=1)
    bar = figures.ranked_bars(shuffled, side="contrast").data[0]
    assert list(bar.customdata) == ["forum", "blog", "news"]
    assert list(bar.marker.color) == [palette.HARMFUL, palette.UNDECIDED, palette.HARMLESS]
    assert list(bar.marker.opacity) == [1.0, figures.PALE, figures.PALE]
    assert list(bar.error_x.array) == pytest.approx([0.01, 0.02, 0.01])
    assert list(bar.error_x.arrayminus) == pytest.approx([0.01, 0.02, 0.01])


def test_a_single_side_keeps_its_colour_whatever_the_sign():
    frame = ranking()
    assert figures.ranked_bars(frame, side="harmful").data[0].marker.color[2] == palette.HARMFUL
    assert figures.ranked_bars(frame, side="harmless").data[0].marker.color[0] == palette.HARMLESS


def test_range_holds_zero_and_every_interval():
    low, high = figures.ranked_bars(ranking(), side="contrast").layout.xaxis.range
    assert low < -0.03
    assert high > 0.07


@pytest.mark.parametrize("dark", [False, True])
def test_backgrounds_are_transparent_and_hostile_names_are_text(dark):
    names = (HOSTILE, "blog", "news")
    colours = dict.fromkeys(names, palette.HARMFUL)
    drawn = [
        figures.ranked_bars(ranking(names), side="contrast", dark=dark),
        figures.trajectory(points(names[:2]), colours=colours, dark=dark),
        figures.truth_scatter(pairs(names), colours=colours, across="true influence", dark=dark),
        figures.truth_scatter(pairs(), colours={}, across=HOSTILE, unit=HOSTILE, dark=dark),
    ]
    for figure in drawn:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        spec = json.loads(figure.to_json())
        for trace in spec["data"]:
            trace.pop("customdata", None)  # never drawn
        assert "<a" not in json.dumps(spec)
        assert "<img" not in json.dumps(spec)
        assert "y" * 100 not in json.dumps(spec)


def test_trajectory_marks_the_stop_of_each_line_and_names_it():
    figure = figures.trajectory(points(), colours={"forum": palette.HARMFUL, "blog": palette.HARMLESS})
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [line.marker.symbol[-1] for line in lines] == ["diamond", "diamond"]
    assert {note.text for note in figure.layout.annotations} == {"forum", "blog"}


def test_many_lines_name_only_the_outermost():
    names = tuple(f"subset {i}" for i in range(20))
    figure = figures.trajectory(points(names), colours=dict.fromkeys(names, palette.UNDECIDED))
    assert len(figure.layout.annotations) == 8
    thin = [trace for trace in figure.data if trace.line.width == 1]
    assert len(thin) == 1, "one trace of a colour, with gaps"
    assert [x for x in thin[0].x if x is not None] == [*points(names[:1])["step"]] * 12
    assert thin[0].marker.symbol.count("diamond") == 12
    assert sum("subset 7<" in text for text in thin[0].hovertext) == len(points(names[:1]))


def test_spread_keeps_order_and_distance_within_the_bounds():
    placed = figure_labels.spread([0.0, 0.1, 0.11, 5.0], 1.0, -10.0, 10.0)
    assert placed[0] < placed[1] < placed[2] < placed[3] == 5.0
    assert placed[1] - placed[0] == pytest.approx(1.0)
    assert sum(placed[:3]) == pytest.approx(0.21)
    assert figure_labels.spread([0.0, 0.1, 0.11], 1.0, 0.0, 10.0) == [0.0, 1.0, 2.0]
    assert figure_labels.spread([9.9, 10.0], 1.0, 0.0, 10.0) == [9.0, 10.0]


def test_names_in_a_crowd_never_cover_each_other():
    points = [(0.001 * i, 0.001 * (i % 3)) for i in range(12)]
    names = [f"subset {i}" for i in range(12)]
    places = figure_labels.positions(points, names, [-0.1, 1.0], [-0.1, 1.0], 260)
    assert None in places
    pixels = [((x + 0.1) / 1.1 * 340, (y + 0.1) / 1.1 * 260) for x, y in points]
    boxes = [figure_labels._box(pixels[i], names[i], place) for i, place in enumerate(places) if place]
    covered = [figure_labels._overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert max(covered, default=0.0) <= figure_labels.COVERED_MOST


def test_one_subset_or_equal_truths_still_draw():
    lone = pairs().iloc[:1]
    figures.truth_scatter(lone, colours={}, across="true influence")
    figures.truth_scatter(pairs().assign(truth=0.0, truth_low=0.0, truth_high=0.0), colours={}, across="x")


def test_one_seed_has_no_interval_and_no_colour():
    frame = ranking().assign(low=float("nan"), high=float("nan"), separable=False)
    figure = figures.ranked_bars(frame, side="contrast")
    assert set(figure.data[0].marker.color) == {palette.UNDECIDED}
    assert "no interval" in figure.data[0].hovertext[0]
    low, high = figure.layout.xaxis.range
    assert low < -0.02 < 0.06 < high


def ties(names, groups):
    frame = ranking().iloc[[0] * len(names)].assign(subset=names, rank=range(1, len(names) + 1))
    figure = figures.ranked_bars(frame, side="contrast", groups=groups)
    uprights = [shape for shape in figure.layout.shapes if shape.x0 == shape.x1]
    return figure, [(shape.x0, round(shape.y0 + 0.3), round(shape.y1 - 0.3)) for shape in uprights]


def test_brackets_span_their_run_and_stand_side_by_side_where_runs_overlap():
    figure, uprights = ties(list("abcdef"), [["e", "f"], ["a", "b", "c"], ["c", "d"], ["only"], ["a"]])
    assert uprights == [(8, 0, 2), (8 + figures.LANE, 2, 3), (8, 4, 5)]
    assert figure.layout.margin.r == 16 + 2 * figures.LANE


def test_without_groups_or_with_too_many_there_are_no_brackets():
    assert ties(list("abc"), [])[1] == []
    names = [str(i) for i in range(20)]
    figure, uprights = ties(names, [names[i : i + 10] for i in range(10)])
    assert uprights == []
    assert figure.layout.margin.r == 16


def test_the_unit_is_the_methods_own_and_small_numbers_have_no_greek_letter():
    figure = figures.ranked_bars(ranking(), side="contrast", unit="<b>score</b>")
    assert figure.layout.xaxis.title.text == "influence, &lt;b&gt;score&lt;/b&gt;"
    assert "score" in figure.data[0].hovertext[0]
    assert figure.layout.xaxis.exponentformat == "none"


def test_a_name_is_not_written_along_its_bar():
    still = pairs().assign(truth_low=[0.1, 0.0, -0.1], truth_high=[0.1, 0.0, -0.1])
    place = figures.truth_scatter(still, colours={}, across="truth").data[-1].textposition[1]
    assert place == "middle right"
    moved = figures.truth_scatter(still.assign(truth_high=[0.1, 0.08, -0.1]), colours={}, across="truth").data[-1]
    assert moved.textposition[1] not in (place, None)


def test_a_scatter_has_bars_both_ways_and_units_in_words():
    columns = ["subset", "influence", "low", "high", "truth", "truth_low", "truth_high"]
    rows = [
        ("forum", 0.002, 0.001, 0.003, 0.06, 0.05, 0.07),
        ("blog", 0.001, math.nan, math.nan, 0.02, math.nan, math.nan),
        ("news", -0.001, -0.002, 0.0, -0.03, -0.05, -0.02),
    ]
    told = pd.DataFrame(rows, columns=columns)
    across = "retrained without it, nats per token"
    figure = figures.truth_scatter(told, colours={"forum": palette.HARMFUL}, across=across, unit="products")
    points = figure.data[-1]
    assert list(points.marker.color) == [palette.HARMFUL, palette.UNDECIDED, palette.UNDECIDED]
    assert list(points.error_x.arrayminus) == pytest.approx([0.01, 0.0, 0.02])
    assert list(points.error_y.array) == pytest.approx([0.001, 0.0, 0.001])
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == ("estimate, products", across)
    assert "estimate +0.0020 products" in points.hovertext[0]
    assert len(figures.truth_scatter(told.iloc[:1], colours={}, across=across).data) == 1  # one point draws no line


def test_marks_that_turn_the_writing_are_left_out():
    assert figures.safe("\u202eevil\u2066 <b>") == "evil &lt;b&gt;"


@pytest.mark.parametrize("size", [12, 20])
def test_letters_grow_together_and_bars_with_them(size):
    drawn = [
        figures.ranked_bars(ranking(), side="harmful", size=size),
        figures.trajectory(points(), colours={"forum": palette.HARMFUL}, size=size),
        figures.truth_scatter(pairs(), colours={}, across="truth", size=size),
    ]
    for figure in drawn:
        assert figure.layout.xaxis.tickfont.size == figure.layout.yaxis.title.font.size == size
    assert drawn[0].data[1].textfont.size == drawn[1].layout.annotations[0].font.size == size
    assert drawn[0].layout.height == figure_parts.TOP + 4 * size + 3 * 34 * size // 12
