"""Numbers, times, sizes and names as people read them."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

UNIT = "nats per token"
STEP_UNIT = f"{UNIT} per micro-step"
"""Of influence to first order: what a step of a millionth of the natural gradient adds to a loss."""
CONTINUED_UNIT = f"{UNIT} of continued training"
"""Of what a short training without a subset adds to a loss, against one with it."""
PARTIAL_UNIT = f"{UNIT} of partial retraining"
"""Of what UnTrac with preset ``robust`` adds to a loss: a part of the way to a model trained without a subset."""
RETRAINED_UNIT = f"{UNIT} that retraining would show"
"""Of an influence that is calibrated against retraining."""
RELATIVE_UNIT = "share of the largest"
"""Of an influence that is not."""
NO_RETRAINED, NONE = "no retrained model", "–"
TURNS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
NAME_CHARACTERS = 32


def missing(value: float | None) -> bool:
    """Whether there is no number: ``None``, or not a number."""
    return value is None or math.isnan(value)


def duration(seconds: float | None) -> str:
    """A time span in words: '40 s', '3 min 20 s', '2 h 5 min'."""
    if seconds is None or math.isnan(seconds):
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """'1 cell', '1,200 cells'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """'a, b and c'; of more than ``most`` names: 'a, b and 9 more'."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def megabytes(size: float) -> str:
    """A size given in megabytes."""
    if math.isnan(size):
        return "unknown"
    return f"{size / 1024:.1f} GB" if size >= 1000 else f"{size:.1f} MB" if size < 10 else f"{size:.0f} MB"


def safe(text: object, most: int = NAME_CHARACTERS) -> str:
    """A user's text for a figure: one line, cut to ``most`` characters, with HTML escaped.

    Marks that turn the direction of writing are left out: they would turn what stands after the text too.
    """
    line = " ".join(str(text).translate(TURNS).split())
    cut = line if len(line) <= most else line[: most - 1] + "…"
    return html.escape(cut, quote=False)


def signed(value: float) -> str:
    """Two significant digits with a sign, and a true minus: ``+0.062``, ``−1.3``."""
    if missing(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = abs(float(value))
    if magnitude < 1e-4 or magnitude >= 1e4:
        text = f"{magnitude:.1e}"
    else:
        text = f"{float(f'{magnitude:.1e}'):f}".rstrip("0").rstrip(".")
        digits = len(text.replace(".", "").lstrip("0"))
        if digits < 2 and magnitude < 10:
            text = text + ("0" if "." in text else ".0")
    return ("+" if value > 0 else "−") + text


def true_minus(text: str) -> str:
    """A sentence whose numbers have a true minus, as those of the figures."""
    return re.sub(r"(?<=[\s(])-(?=\d)", "−", text)


def alike(values: Sequence[float]) -> list[str]:
    """Numbers that stand beside each other, each as :func:`signed`, none of them with an exponent unless all are small.

    What is so much smaller than the largest is cut two decimals below the largest one's last: ``+0.0027, +0.00002``.
    """
    largest = max((abs(value) for value in values if not missing(value)), default=0.0)
    if largest < 1e-4:
        return [signed(value) for value in values]
    places = 3 - math.floor(math.log10(largest))
    return [f"{value:+.{places}f}".replace("-", "−") if _tiny(value) else signed(value) for value in values]


def _tiny(value: float) -> bool:
    return not missing(value) and 0 < abs(value) < 1e-4


def decimals(value: float | None) -> str:
    """A number between -1 and 1 with two decimals and a true minus; a dash where there is none."""
    return "–" if value is None or missing(value) else f"{value:.2f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share in whole per cent; a dash where there is none."""
    return NONE if share is None or missing(share) else f"{share:.0%}"


def figure(value: float | None, unit: str = "") -> str:
    """A measured number to two significant digits, whole from ten on; a loss to two decimals at least; a true minus."""
    if value is None or missing(value):
        return NONE
    size = abs(float(value))
    if size >= 9.95 and unit != UNIT:
        text = f"{size:,.0f}"
    elif size >= 0.095 and unit == UNIT:
        text = f"{size:.2f}"
    else:
        return signed(value).removeprefix("+")
    return f"−{text}" if value < 0 else text
