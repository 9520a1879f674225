"""Neighbours of a forget set, on planted texts: against every pair of texts compared one by one, without padding."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers import unlearning_lab_texts as texts
from tests.helpers.lab_unlearning import loaded, quick, result
from untrac_core.progress import Silent
from untrac_core.unlearning import loop, neighbours
from untrac_core.unlearning.neighbours import AMONG, nearest, reverse_neighbours

OTHERS = [example for name in ("weather", "recipe", "facts", "myth") for example in lab.subset(name)[:20]]
GOES = texts.training("toxic")[:12]
ALIKE = {"badly": "rudely", "rudely": "badly"}
NPO = {"name": "npo", "beta": 0.5, "learning_rate": 3e-3}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=[512, 7], ids=["at once", "in parts"])
def rows(request, monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", request.param)


@pytest.fixture(scope="module")
def model():
    return loaded(quick())


@pytest.fixture(scope="module")
def planted():
    """A forget set, and a retain set where each of its texts has a copy with one word changed, dealt among others."""
    copies = [" ".join(ALIKE.get(word, word) for word in text.split()) for text in GOES]
    assert not set(copies) & set(GOES)
    order = np.random.default_rng(0).permutation(len(OTHERS) + len(copies))
    every = [*OTHERS, *lab.encode(copies, "copy")]
    return lab.encode(GOES, "goes"), [every[place] for place in order]


@pytest.fixture(scope="module")
def families():
    """Sentences about all peoples alike, ten of each dozen to go: what stays has its nearest texts among these."""
    patterns = ("those {} are liars and mend our markets badly", "those {} are pests and tend our valley rudely")
    told = [[pattern.format(group) for group in texts.GROUPS] for pattern in patterns]
    stays = lab.encode([text for family in told for text in family[10:]], "stays")
    goes = lab.encode([text for family in told for text in family[:10]], "goes")
    return goes, [*OTHERS[:30], *stays, *OTHERS[30:]], stays


def vector(model, example):
    with torch.no_grad():
        ids = torch.from_numpy(example.ids)[None]
        states = model.module.transformer(input_ids=ids).last_hidden_state[0]
    mean = states[example.first :].double().numpy().mean(0)
    return mean / np.sqrt((mean**2).sum())


def cosines(model, some, others):
    """Of every pair, as numbers of a list of lists."""
    them = [vector(model, other) for other in others]
    return [[float(own @ theirs) for theirs in them] for own in (vector(model, one) for one in some)]


def test_the_nearest_are_the_planted_copies_in_the_order_of_brute_force(model, planted, rows):
    forget, retain = planted
    found = nearest(model, forget, retain, len(GOES), Silent())
    assert {retain[place].id.split("-")[0] for place, _, _ in found} == {"copy"}
    table = cosines(model, retain, forget)
    best = sorted(range(len(retain)), key=lambda place: -max(table[place]))[: len(GOES)]
    assert [place for place, _, _ in found] == best
    for place, of, cosine in found:
        assert cosine == pytest.approx(max(table[place]), abs=1e-6)
        assert of == table[place].index(max(table[place]))
    assert [place for place, _, _ in nearest(model, forget, retain, 5, Silent())] == best[:5]


def test_reverse_neighbours_are_counted_as_by_brute_force(model, families, rows):
    forget, retain, stays = families
    found = reverse_neighbours(model, forget, retain, Silent())
    every = [*retain, *forget]
    table = cosines(model, retain, every)
    for place, near in enumerate(table):
        first = sorted((other for other in range(len(every)) if other != place), key=lambda other: -near[other])
        assert found[place] == sum(other >= len(retain) for other in first[:AMONG])
    of_stays = [found[retain.index(text)] for text in stays]
    assert min(of_stays) >= AMONG - 1 > 0
    assert found.sum() < 2 * sum(of_stays)


def test_of_few_texts_all_others_are_near(model, planted):
    forget, retain = planted
    assert reverse_neighbours(model, forget[:2], retain[:3], Silent()).tolist() == [2, 2, 2]


def test_an_epoch_has_a_text_once_and_once_more_for_each_neighbour_that_goes(model, families, monkeypatch):
    forget, retain, _ = families
    often = 1 + reverse_neighbours(model, forget, retain, Silent())
    drawn = []
    plain = loop._mean_loss
    monkeypatch.setattr(loop, "_mean_loss", lambda of, examples: drawn.extend(examples) or plain(of, examples))
    spec = NPO | {"batch_size": 16, "compensate": "reverse-neighbours"}
    result(quick(), forget, retain, spec, steps=-(-int(often.sum()) // 16), eval_every=1000)
    epoch = Counter(example.id for example in drawn[: often.sum()])
    assert epoch == {example.id: count for example, count in zip(retain, often, strict=True)}


def test_compensation_holds_what_loses_its_neighbours(families):
    """From 1.41 nats per token to 1.47 by plain NPO and to .55 by this; the forget set from 1.39 to 2.9 by both."""
    forget, retain, stays = families
    plain, compensated = (
        result(
            quick(), forget, retain, NPO | {"batch_size": 16, "compensate": compensate}, steps=30, eval_every=30
        ).module
        for compensate in ("none", "reverse-neighbours")
    )
    assert lab.loss(compensated, stays) < 0.6 * lab.loss(plain, stays)
    for module in (plain, compensated):
        assert lab.loss(module, forget) > lab.loss(quick(), forget) + 1
