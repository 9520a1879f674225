"""Views of rankings, for what compares them."""

from __future__ import annotations

import pandas as pd

from untrac_core.explore.ranking_view import RankingView
from untrac_core.specs import PromptSet
from untrac_core.specs.build import build
from untrac_core.text.numbers import UNIT


def prompt_set(name="toxicity", harmful="toxic", harmless="benign"):
    values = {"name": name, "source": {"file": "p.jsonl"}}
    if harmful is not None:
        values |= {"columns": {"label": "label"}, "harmful": harmful, "harmless": harmless}
    return build(PromptSet, values, where="test")


def view(values, half=0.01, **more):
    """A view of subsets with these values, all with intervals of the same width."""
    order = sorted(values, key=values.get, reverse=True)
    rows = [
        (name, rank, values[name], *((values[name] - half, values[name] + half) if half is not None else (None, None)))
        for rank, name in enumerate(order, 1)
    ]
    frame = pd.DataFrame(rows, columns=["subset", "rank", "value", "low", "high"])
    known = {
        "run": "aaaaaaaaaaaa",
        "run_name": "mine",
        "prompts": prompt_set(),
        "side": "contrast",
        "method": "untrac-inv",
        "unit": UNIT,
        "scale_key": ("model", "texts", "method"),
    }
    frame = frame.astype(dict.fromkeys(("value", "low", "high"), float))
    return RankingView(values=frame, **(known | more))


TRUE = {"prompts": prompt_set("truthfulness", "false", "true"), "scale_key": ("model", "other texts", "method")}
