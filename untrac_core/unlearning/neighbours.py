"""Neighbours of the forget set: which retained texts a model finds most like it, and which lose what was like them.

Two texts are as near as the cosine of their vectors (:mod:`untrac_core.models.hidden_states`) says, to the model as it
is. What lies next to the forget set may hold what is to go (:func:`nearest`). And a retained text whose own nearest
texts go, a *reverse neighbour* of the forget set, loses most by their going (:func:`reverse_neighbours`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from untrac_core.data.tokens import Example
from untrac_core.models.hidden_states import Vectors, unit_vectors
from untrac_core.models.loading import LoadedModel
from untrac_core.progress import Progress

AMONG = 10
"""A text's nearest ones, of which it is counted how many go."""
ROWS = 512
"""Texts that are compared with all others at once: their cosines are what memory must hold."""


def nearest(
    model: LoadedModel, forget: Sequence[Example], retain: Sequence[Example], count: int, progress: Progress
) -> list[tuple[int, int, float]]:
    """The ``count`` retained texts that lie nearest to the forget set, the nearest first.

    Of each its place in ``retain``, the place of the nearest text in ``forget``, and the cosine of the two, which is
    what counts. Of equally near ones the first come first.
    """
    gone, stay = unit_vectors(model, forget, progress), unit_vectors(model, retain, progress)
    found = [(part.argmax(1), part.max(1)) for part in _cosines(stay, gone)]
    which, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    first = np.argsort(-cosine, kind="stable")[:count]
    return [(int(place), int(which[place]), float(cosine[place])) for place in first]


def reverse_neighbours(
    model: LoadedModel, forget: Sequence[Example], retain: Sequence[Example], progress: Progress
) -> npt.NDArray[np.int64]:
    """Of each retained text how many of its :data:`AMONG` nearest texts, of all others, go; shape (retained,)."""
    every = np.concatenate([unit_vectors(model, part, progress) for part in (retain, forget)])
    among = min(AMONG, len(every) - 1)
    counts, start = [], 0
    for part in _cosines(every[: len(retain)], every):
        rows = np.arange(len(part))
        part[rows, start + rows] = -np.inf  # itself
        near = np.argpartition(-part, among - 1, axis=1)[:, :among]
        counts.append((near >= len(retain)).sum(1))
        start += len(part)
    return np.concatenate(counts).astype(np.int64)


def _cosines(some: Vectors, others: Vectors) -> Iterator[Vectors]:
    """Products of some unit vectors with others, :data:`ROWS` of the first at once."""
    for start in range(0, len(some), ROWS):
        yield some[start : start + ROWS] @ others.T
