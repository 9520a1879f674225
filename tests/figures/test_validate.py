import math

import pandas as pd
import pytest

from tests.helpers.reports import only_text
from untrac_core.figures import ranking as figures
from untrac_core.figures import validate as validation_figures

HOSTILE = '<a href="http://evil.example">x</a><img src=x onerror=alert(1)>' + "y" * 200


def leaderboard(titles=("first", "second", "third")):
    values = [0.5, 0.9, -0.2]
    return pd.DataFrame(
        {
            "title": list(titles),
            "value": values,
            "low": [0.4, 0.8, math.nan],
            "high": [0.6, 0.95, math.nan],
            "relation": ["tie", "best", "worse"],
        }
    )


def noise(titles=("toxicity: harmful", "bias: harmful")):
    return pd.DataFrame(
        {
            "title": list(titles),
            "agreement": [0.9, 0.3],
            "low": [0.7, math.nan],
            "high": [0.95, math.nan],
            "ceiling": [0.97, 0.6],
            "resolvable": [True, False],
            "resolution": ["yes", "noise: cannot separate"],
        }
    )


def drawn(dark=False, titles=("a", "b", "c")):
    """One of each figure, with these names."""
    return [
        validation_figures.agreement_dots(leaderboard(titles), across=titles[0], critical=0.7, dark=dark),
        validation_figures.noise_dots(noise(titles[:2]), enough=0.8, dark=dark),
    ]


def test_dots_stand_in_the_order_of_agreement_and_show_ties_as_rings():
    dots = validation_figures.agreement_dots(leaderboard(), across="r", critical=None).data[0]
    assert list(dots.customdata) == ["second", "first", "third"]
    assert list(dots.marker.symbol) == ["circle", "circle-open", "circle"]
    assert list(dots.marker.color) == [validation_figures.BEST] * 2 + [figures.UNDECIDED]
    assert list(dots.error_x.array) == pytest.approx([0.05, 0.1, 0.0])
    assert "no interval" in dots.hovertext[2]
    assert "0.80 to 0.95" in dots.hovertext[0]


def test_one_retraining_is_a_diamond_whose_ends_are_seeds():
    row = {"title": "One retraining", "value": 0.97, "low": 0.94, "high": 0.99, "relation": "retraining"}
    rows = pd.concat([leaderboard(), pd.DataFrame([row])], ignore_index=True)
    dots, numbers = validation_figures.agreement_dots(rows, across="r", critical=None).data
    assert list(dots.marker.symbol) == ["diamond", "circle", "circle-open", "circle"]
    assert "seeds from 0.94 to 0.99" in dots.hovertext[0]
    assert [len(text) - len(text.lstrip("\u00a0")) for text in numbers.text] == [2, 2, 2, 4]


def test_the_line_of_chance_is_drawn_where_there_is_one():
    assert not validation_figures.agreement_dots(leaderboard(), across="r", critical=None).layout.shapes
    with_line = validation_figures.agreement_dots(leaderboard(), across="r", critical=0.71).layout
    assert with_line.shapes[0].x0 == 0.71
    assert with_line.annotations[0].text == "chance: 0.71"


def test_every_dot_interval_and_line_is_inside():
    low, high = validation_figures.agreement_dots(leaderboard(), across="r", critical=0.99).layout.xaxis.range
    assert low < -0.2
    assert high > 1
    low, high = validation_figures.noise_dots(noise(), enough=0.8).layout.xaxis.range
    assert low <= 0
    assert high > 1


def test_noise_tells_sides_that_can_be_resolved_from_those_that_cannot():
    dots, ceilings = validation_figures.noise_dots(noise(), enough=0.8).data
    assert list(dots.marker.color) == [validation_figures.BEST, figures.UNDECIDED]
    assert list(ceilings.x) == [0.97, 0.6]
    assert "noise: cannot separate" in dots.hovertext[1]
    assert "ceiling for any method: 0.97" in dots.hovertext[0]


@pytest.mark.parametrize("dark", [False, True])
def test_backgrounds_are_transparent_and_hostile_names_are_text(dark):
    for figure in drawn(dark, (HOSTILE, "=1+1", "plain")):
        only_text(figure)


@pytest.mark.parametrize(("value", "text"), [(0.954, "0.95"), (-0.5, "−0.50"), (None, "–"), (math.nan, "–")])
def test_decimals(value, text):
    assert validation_figures.decimals(value) == text


def test_another_mix_is_drawn_with_intervals_and_what_was_retrained():
    table = pd.DataFrame(
        {
            "title": ["talk: toxic", HOSTILE, "talk: toxic beyond benign"],
            "side": ["harmful", "harmless", "contrast"],
            "change": [0.3, 0.01, 0.4],
            "low": [0.2, -0.05, 0.2],
            "high": [0.4, 0.07, 0.6],
            "retrained": [0.31, math.nan, math.nan],
        }
    )
    figure = validation_figures.mix_dots(table)
    only_text(figure)
    dots, known = figure.data
    assert list(dots.marker.color) == ["#D55E00", "#999999", "#0072B2"]
    assert known.x[0] == 0.31
    assert "retrained: +0.31" in dots.hovertext[0]
    assert figure.layout.xaxis.range[0] == -figure.layout.xaxis.range[1]
    assert figure.layout.xaxis.range[1] >= 0.6
