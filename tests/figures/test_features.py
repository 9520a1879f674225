import pandas as pd

from untrac_core.figures.features import feature_effects
from untrac_core.figures.palette import HARMLESS, UNDECIDED


def test_the_strongest_trait_is_on_top_and_grey_where_zero_is_inside():
    rows = pd.DataFrame(
        [
            ("length", 0.1, -0.2, 0.4, 60.0, 58.0),
            ("overlap", -0.9, -1.2, -0.6, 0.3, 0.5),
            ("new<b>", 0.5, 0.2, 0.8, 1, 0),
        ],
        columns=["feature", "effect", "low", "high", "influential", "rest"],
    )
    figure = feature_effects(rows, {"length": "Length", "overlap": "Shared words"})
    marks = figure.data[0]
    assert list(figure.layout.yaxis.ticktext) == ["Shared words", "new&lt;b&gt;", "Length"]
    assert list(marks.x) == [-0.9, 0.5, 0.1]
    assert list(marks.marker.color) == [HARMLESS, HARMLESS, UNDECIDED]
    assert "0.3 in the influential, 0.5 in the rest" in marks.hovertext[0]
    low, high = figure.layout.xaxis.range
    assert low < -1.2
    assert high > 0.8
