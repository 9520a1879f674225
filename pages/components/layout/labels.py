"""What the pages say: questions, legends, times and sizes in words; nothing here draws."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from untrac_core.figures.palette import HARMFUL, HARMLESS, UNDECIDED, colour_key, paleness
from untrac_core.specs import PromptSet
from untrac_core.text.labels import labels
from untrac_core.text.numbers import duration

TINTS = {HARMFUL: "orange", HARMLESS: "blue", UNDECIDED: "gray"}
"""The colours of figures as the theme names them."""

STATUS = {
    "queued": ("queued", "gray", ":material/schedule:"),
    "running": ("running", "blue", ":material/progress_activity:"),
    "cancelling": ("stopping", "orange", ":material/stop_circle:"),
    "done": ("done", "green", ":material/check_circle:"),
    "failed": ("failed", "red", ":material/error:"),
    "cancelled": ("cancelled", "orange", ":material/block:"),
}

DTYPES = {
    "auto": "auto (float32 where it fits)",
    "float32": "float32 (exact)",
    "bfloat16": "bfloat16 (half the memory)",
    "float16": "float16 (half, needs a GPU)",
}

TRAINABLE = {
    "preset": "as the preset says",
    "all": "all parameters",
    "matrices": "the weight matrices",
    "last_layers": "the matrices of the last blocks",
    "lora": "a LoRA adapter alone",
}

SIZES = {
    "none": "as they are, up to the limit",
    "equal": "equal: all cut to the smallest",
    "proportional": "proportional to all their text",
}


MODEL_KINDS = {"causal": "causal (left to right)", "seq2seq": "encoder and decoder", "classifier": "classifier"}


def colours(prompts: PromptSet, side: str, *, bracket: bool = False) -> str:
    """The key to the colours of the bars, as markdown in the theme's own colours; ``bracket``: and to the brackets."""
    marks = [f":{TINTS[tint]}[■] {words}" for tint, words in colour_key(labels(prompts), side)]
    return " · ".join([*marks, paleness(bracket=bracket)])


def about(amount: str) -> str:
    """An estimate in words; what cannot be known before the run says so."""
    return "known when it starts" if amount == "unknown" else f"about {amount}"


def ago(when: float | None, now: float | None = None) -> str:
    """How long since a moment (seconds since 1970); 0 stands for the recording that comes with the program."""
    if when is None:
        return "not yet"
    if when == 0:
        return "recorded"
    passed = (time.time() if now is None else now) - when
    if passed < 5:
        return "just now"
    if passed < 86_400:
        return f"{duration(passed if passed < 600 else round(passed / 60) * 60)} ago"
    return time.strftime("%-d %B %Y", time.localtime(when))


def finished(when: float | None) -> str:
    """'finished 3 min ago'; the recording says that it is one."""
    return ago(when) if when == 0 else f"finished {ago(when)}"


def number(value: float | None) -> str:
    """A large number in words' length: '12,300', '1.2 million', '7 billion'; unknown where there is none."""
    if value is None or math.isnan(value):
        return "unknown"
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:,.0f}"


def bytes_in_words(size: float) -> str:
    """A size given in bytes: '640 B', '12 kB', '3.4 MB', '2.1 GB'."""
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.2g} {word}" if size < 10 * unit else f"{size / unit:,.0f} {word}"
    return f"{size:.0f} B"


def shown_as(labels: Mapping[str, str]) -> Callable[[Any], str]:
    """For a choice: what to show for each option. (Not a closure: a session's state must be fit to be stored.)"""
    return partial(_label, dict(labels))


def _label(labels: dict[str, str], one: Any) -> str:
    return labels.get(one, str(one))
