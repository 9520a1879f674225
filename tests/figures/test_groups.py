import json
import math

import pandas as pd
import pytest

from untrac_core.figures.groups import NUMBERED_MOST, group_heatmap, poles
from untrac_core.figures.palette import HARMFUL, HARMLESS, LESS

HOSTILE = '<a href="http://evil.example">x</a><img src=x onerror=alert(1)>'


def table(subsets=("forum", "blog"), groups=("weavers", "smiths")):
    rows = [
        (
            group,
            subset,
            0.01 * (i + 1) * (-1) ** j,
            0.01 * (i + 1) * (-1) ** j - 0.012,
            0.01 * (i + 1) * (-1) ** j + 0.012,
            8,
        )
        for i, subset in enumerate(subsets)
        for j, group in enumerate(groups)
    ]
    return pd.DataFrame(rows, columns=["group", "subset", "influence", "low", "high", "items"])


def test_cells_stand_in_the_order_of_the_ranking_and_grey_where_zero_is_inside():
    figure = group_heatmap(table(), subsets=["blog", "forum"], side="contrast")
    undecided, decided = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["blog", "forum"]
    assert list(figure.layout.xaxis.ticktext) == ["smiths", "weavers"]
    # forum: 0.01 and -0.01 with reach 0.012; blog: twice that
    assert [list(row) for row in decided.z] == [[pytest.approx(-0.02), pytest.approx(0.02)], [None, None]]
    assert [list(row) for row in undecided.z] == [[None, None], [0.0, 0.0]]
    assert decided.zmax == -decided.zmin == pytest.approx(0.02)
    assert list(decided.customdata[0][1]) == ["blog", "weavers"]
    assert "−0.020 nats per token" in decided.hovertext[0][0]
    assert "cannot be told from zero" in decided.hovertext[1][0]
    assert "cannot" not in decided.hovertext[0][0]


def test_a_missing_cell_and_one_seed_are_said():
    cells = table().iloc[:3].assign(low=math.nan, high=math.nan)
    undecided, decided = group_heatmap(cells, subsets=["forum", "blog"], side="harmful").data
    assert "no interval" in decided.hovertext[0][0]
    assert "not measured" in decided.hovertext[1][0]
    assert undecided.z[1][0] is None
    json.dumps(decided.z, allow_nan=False)


def test_colours_mean_the_same_as_elsewhere():
    assert poles("contrast") == (HARMLESS, HARMFUL)
    assert poles("harmful") == (LESS, HARMFUL)
    assert poles("harmless") == (LESS, HARMLESS)


@pytest.mark.parametrize("dark", [False, True])
def test_names_are_text_and_many_cells_carry_no_numbers(dark):
    few = group_heatmap(
        table((HOSTILE, "blog"), (HOSTILE, "smiths")), subsets=[HOSTILE, "blog"], side="contrast", dark=dark
    )
    spec = json.loads(few.to_json())
    for trace in spec["data"]:
        trace.pop("customdata")  # never drawn
    assert "<a" not in json.dumps(spec)
    assert "<img" not in json.dumps(spec)
    assert few.data[1].texttemplate
    names = [f"s{i}" for i in range(NUMBERED_MOST)]
    assert group_heatmap(table(names), subsets=names, side="contrast").data[1].texttemplate is None
