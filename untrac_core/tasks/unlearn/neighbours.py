"""The neighbours that join a forget set, once the model has been asked which texts it finds most like it."""

from __future__ import annotations

from dataclasses import replace

from untrac_core.models.loading import LoadedModel
from untrac_core.progress import Progress
from untrac_core.tasks.unlearn.data import Neighbour, UnlearnInputs
from untrac_core.unlearning.neighbours import nearest


def with_neighbours(data: UnlearnInputs, model: LoadedModel, count: int, progress: Progress) -> UnlearnInputs:
    """The texts with so many of the retained ones told to go; texts of a prompt set's other side always stay."""
    places = [(name, example) for name, blocks in sorted(data.retain.items()) for example in blocks]
    found = [
        Neighbour(places[place][0], places[place][1], data.forget[of].id, cosine)
        for place, of, cosine in nearest(model, data.forget, [example for _, example in places], count, progress)
    ]
    gone = {id(each.example) for each in found}
    retain = {name: [block for block in blocks if id(block) not in gone] for name, blocks in data.retain.items()}
    return replace(
        data,
        forget=[*data.forget, *(each.example for each in found)],
        retain={name: blocks for name, blocks in retain.items() if blocks},
        neighbours=found,
    )
