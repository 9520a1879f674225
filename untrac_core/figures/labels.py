"""Where the names in a figure stand, so that they do not cover each other."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]

PLACES = {
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "bottom right": (1, -1),
    "top left": (-1, 1),
    "bottom left": (-1, -1),
    "top center": (0, 1),
    "bottom center": (0, -1),
}
PLOT_WIDTH = 340.0
"""Pixels between the ends of the horizontal axis in the narrowest window that these figures are made for."""
LETTER = 6.6
COVERED_MOST = 40.0
"""Square pixels of another name that a name may cover; one that would cover more is left out."""


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The same values moved apart so that none are closer than ``gap`` and, if they fit, none is outside low..high.

    Each moves as little as its neighbours allow; their order is kept.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[tuple[float, list[int]]] = []
    for i in order:
        centre, members = values[i], [i]
        while groups and centre - groups[-1][0] < gap * (len(members) + len(groups[-1][1])) / 2:
            other, earlier = groups.pop()
            centre = (centre * len(members) + other * len(earlier)) / (len(members) + len(earlier))
            members = earlier + members
        groups.append((centre, members))
    placed = [0.0] * len(values)
    for centre, members in groups:
        for position, i in enumerate(members):
            placed[i] = centre + gap * (position - (len(members) - 1) / 2)
    for position, i in enumerate(reversed(order)):
        placed[i] = min(placed[i], high - gap * position)
    for position, i in enumerate(order):
        placed[i] = max(placed[i], low + gap * position)
    return placed


def positions(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    across: Sequence[float],
    upwards: Sequence[float],
    plot_height: float,
) -> list[str | None]:
    """Where each point's name stands (a plotly ``textposition``), or ``None`` where it would cover another name.

    ``across`` and ``upwards`` are the ranges of the axes. Greedy, in pixels: the names of crowded points are placed
    last, each where it meets names, points and the edges of the figure the least. A point with an empty name is only
    kept free.
    """
    x_scale = PLOT_WIDTH / ((across[1] - across[0]) or 1.0)
    y_scale = plot_height / ((upwards[1] - upwards[0]) or 1.0)
    pixels = [((x - across[0]) * x_scale, (y - upwards[0]) * y_scale) for x, y in points]
    marks = [(x - 5, x + 5, y - 5, y + 5) for x, y in pixels]
    crowd = [sum(abs(x - u) < 70 and abs(y - v) < 25 for u, v in pixels) for x, y in pixels]
    taken: list[Box] = []
    chosen: list[str | None] = [None] * len(points)
    for i in sorted((i for i, name in enumerate(names) if name), key=lambda i: crowd[i]):
        boxes = {place: _box(pixels[i], names[i], place) for place in PLACES}
        costs = {
            place: (sum(_overlap(box, other) for other in taken), _meets(box, marks, i) + _outside(box, plot_height))
            for place, box in boxes.items()
        }
        best = min(PLACES, key=lambda place: sum(costs[place]))
        if costs[best][0] <= COVERED_MOST:
            chosen[i] = best
            taken.append(boxes[best])
    return chosen


def _box(point: tuple[float, float], name: str, place: str) -> Box:
    """Left, right, bottom and top of a name beside its point."""
    (right, up), (x, y) = PLACES[place], point
    width = LETTER * len(name)
    left = x + 8 if right > 0 else x - 8 - width if right < 0 else x - width / 2
    middle = y + up * (13 if right == 0 else 9)
    return left, left + width, middle - 7, middle + 7


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[1], b[1]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[2], b[2])
    return width * height if width > 0 and height > 0 else 0.0


def _meets(box: Box, marks: Sequence[Box], own: int) -> float:
    return sum(_overlap(box, mark) for j, mark in enumerate(marks) if j != own)


def _outside(box: Box, plot_height: float) -> float:
    return 20.0 * (
        max(0.0, -box[0]) + max(0.0, box[1] - PLOT_WIDTH) + max(0.0, -box[2]) + max(0.0, box[3] - plot_height)
    )
