"""Dropout that a seed decides, and that leaves nothing behind."""

import pytest
import torch
from torch import nn

from untrac_core.models.dropout import dropout_by_seed

CPU = torch.device("cpu")


@pytest.fixture
def module():
    return nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)).eval()


def masks(module, *seed):
    with dropout_by_seed(module, CPU, seed):
        return module(torch.ones(4, 8)).detach()


def test_masks_are_those_of_the_seed_whatever_was_drawn_before(module):
    first = masks(module, 0, 1)
    torch.rand(3)
    assert torch.equal(masks(module, 0, 1), first)
    assert not torch.equal(masks(module, 1, 1), first)
    assert not torch.equal(masks(module, 0, 2), first)
    assert (first == 0).any()


def test_mode_and_random_numbers_come_back_also_after_a_fault(module):
    state = torch.random.get_rng_state()
    masks(module, 3)
    with pytest.raises(RuntimeError), dropout_by_seed(module, CPU, (3,)):
        raise RuntimeError
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(part.training for part in module.modules())
    with dropout_by_seed(module.train(), CPU, (3,)):
        pass
    assert module.training
