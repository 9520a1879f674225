"""The loop: when it stops, which weights it leaves, and that an interruption changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers.lab_unlearning import fresh, loaded, looker, method_of, quick, result
from untrac_core.errors import Cancelled
from untrac_core.models.loading import hash_weights, weights_restored
from untrac_core.progress import Silent
from untrac_core.specs.unlearn import StopRule
from untrac_core.unlearning import checkpoint as checkpoint_module
from untrac_core.unlearning import loop as removing
from untrac_core.unlearning.loop import unlearn_model
from untrac_core.unlearning.methods.base import UnlearningData
from untrac_core.unlearning.stopping import EvalPoint, Stop

FORGET, RETAIN = lab.subset("toxic")[:24], lab.subset("polite")[:40]
NPO = {"name": "npo", "batch_size": 8}
GRIN = {"name": "grin", "batch_size": 8}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def stop_of(rule: str, level: float | None = None, **more) -> Stop:
    return Stop(StopRule(rule=rule, **more), level, lab.vocabulary())


def told(*eval_points: tuple[float, float]):
    """Looks that say what a test wants, whatever the model does."""
    by_step = dict(enumerate(eval_points))
    return lambda model: lambda step: EvalPoint(step, *by_step[step])


# --- when it stops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "said"),
    [("match_retrained", "a model that never saw them"), ("match_holdout", "the holdout set")],
)
def test_it_stops_at_the_first_look_from_the_level_on(rule, said):
    eval_points = told((1.0, 1.0), (2.4, 1.0), (2.5, 1.0), (9.0, 1.0))
    history = result(
        quick(), FORGET, RETAIN, NPO, rule=rule, level=2.5, steps=3, eval_every=1, look=eval_points
    ).history
    assert (history.kept, history.collapsed) == (2, False)
    assert [each.step for each in history.eval_points] == [0, 1, 2]
    assert said in history.ended


def test_it_stops_at_a_loss_that_the_model_really_has():
    module = quick()
    level = lab.loss(module, FORGET) + 0.5
    done = result(module, FORGET, RETAIN, NPO, rule="match_retrained", level=level, steps=60, eval_every=2)
    assert 0 < done.history.kept < 60
    last, before = done.history.eval_points[-1], done.history.eval_points[-2]
    assert before.forget < level <= last.forget == lab.loss(done.module, FORGET)


@pytest.mark.parametrize("rule", ["match_retrained", "match_holdout", "fixed"])
def test_without_a_level_all_steps_are_taken(rule):
    """And the last is looked at, whether it is due or not."""
    history = result(quick(), FORGET, RETAIN, NPO, rule=rule, steps=7, eval_every=3).history
    assert [each.step for each in history.eval_points] == [0, 3, 6, 7]
    assert (history.kept, history.ended, history.collapsed) == (7, "all 7 steps", False)


def test_the_last_look_inside_the_budget_comes_back_exactly():
    eval_points = told((1.0, 1.0), (2.0, 1.01), (3.0, 1.019), (4.0, 1.021))
    how = {"rule": "retain_budget", "eval_every": 1, "look": eval_points}
    done = result(quick(), FORGET, RETAIN, NPO, steps=3, **how)
    assert done.history.kept == 2
    assert [each.step for each in done.history.eval_points] == [0, 1, 2]
    assert "2%" in done.history.ended
    plain = result(quick(), FORGET, RETAIN, NPO, steps=2, eval_every=1)
    assert hash_weights(done.module) == hash_weights(plain.module)


def test_a_budget_that_the_first_look_exceeds_leaves_the_model_as_it_was():
    module = quick()
    eval_points = told((1.0, 1.0), (2.0, 1.2))
    done = result(module, FORGET, RETAIN, NPO, rule="retain_budget", steps=5, eval_every=1, look=eval_points)
    assert done.history.kept == 0
    assert hash_weights(done.module) == hash_weights(module)


def test_a_budget_holds_what_stays():
    module = quick()
    start = lab.loss(module, RETAIN)
    spec = {"name": "grad-ascent", "batch_size": 8}
    done = result(module, FORGET, RETAIN, spec, rule="retain_budget", max_retain_increase=0.05, steps=60, eval_every=1)
    assert 0 < done.history.kept < 60
    assert start < lab.loss(done.module, RETAIN) <= 1.05 * start
    assert lab.loss(done.module, FORGET) > lab.loss(module, FORGET)


def test_ascent_at_a_large_rate_collapses_and_it_is_said():
    done = result(quick(), FORGET, RETAIN, {"name": "grad-ascent", "learning_rate": 0.02}, steps=100, eval_every=2)
    assert done.history.collapsed
    assert done.history.kept < 100
    assert done.history.ended.startswith(f"collapsed at step {done.history.kept}: ")


def test_weights_that_are_no_numbers_are_a_collapse():
    module = quick()
    with torch.no_grad():
        next(module.parameters())[0, 0] = math.nan  # the start token's row: in every text
    done = result(module, FORGET, RETAIN, NPO, rule="match_retrained", level=2.0, steps=9, eval_every=1)
    assert done.history.collapsed
    assert done.history.kept == 1
    assert "no numbers" in done.history.ended


@pytest.mark.parametrize(
    ("retain", "said"),
    [(1.5 + 3.1, "has lost 3.10"), (math.nan, "no numbers"), (math.inf, "no numbers"), (5.0, "a mere guess")],
)
def test_signs_of_a_collapse(retain, said):
    verdict = stop_of("match_retrained", 2.0).verdict(EvalPoint(0, 1.0, 1.5), EvalPoint(4, 2.5, retain))
    assert said in verdict
    assert Stop.collapsed(verdict)
    assert not Stop.collapsed(stop_of("match_retrained", 2.0).verdict(EvalPoint(0, 1.0, 1.5), EvalPoint(4, 2.5, 1.6)))


# --- what it leaves alone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [NPO, GRIN, {"name": "grad-ascent", "learning_rate": 1.0}])
def test_weights_are_as_they_were_when_the_caller_restores_them(spec):
    model = loaded(quick())
    before = hash_weights(model.module)
    with weights_restored(model.module):
        method, look = method_of(FORGET, **spec), looker(model, FORGET, RETAIN)
        unlearn_model(model, UnlearningData(FORGET, RETAIN), method, stop_of("fixed", steps=4, eval_every=4), look)
        assert hash_weights(model.module) != before
    assert hash_weights(model.module) == before
    assert all(parameter.grad is None for parameter in model.module.parameters())


def test_only_what_may_move_moves():
    from untrac_core.models.trainable import set_trainable

    model = loaded(quick())
    set_trainable(model.module, "last_layers")
    before = {name: parameter.detach().clone() for name, parameter in model.module.named_parameters()}
    look = looker(model, FORGET, RETAIN)
    unlearn_model(
        model, UnlearningData(FORGET, RETAIN), method_of(FORGET, **GRIN), stop_of("fixed", steps=3, eval_every=3), look
    )
    moved = {name for name, parameter in model.module.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name, parameter in model.module.named_parameters() if parameter.requires_grad}
    assert 0 < len(moved) < len(before)


def test_the_same_seed_gives_the_same_bits_and_another_others():
    hashes = [
        hash_weights(result(quick(), FORGET, RETAIN, GRIN, steps=4, eval_every=4, seed=s).module) for s in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (10, 10), (3, 8), (7, 1)])
def test_batches_are_dealt_out_evenly_whatever_their_size(count, batch):
    stream = removing._batches(count, batch, 0)
    size = min(count, batch)
    drawn = [next(stream) for _ in range(count)]
    assert {len(each) for each in drawn} == {size}
    flat = [index for each in drawn for index in each]
    assert all(flat.count(index) == size for index in range(count))
    again = removing._batches(count, batch, 0)
    assert [next(again) for _ in range(count)] == drawn


def test_nothing_that_stays_is_no_error():
    done = result(quick(), FORGET, [], NPO, steps=2, eval_every=2, look=told((1.0, 1.0), (1.0, 1.0), (1.0, 1.0)))
    assert done.history.kept == 2


# --- an interruption -----------------------------------------------------------------------------------------------

RUN = {"steps": 9, "eval_every": 2, "seed": 5}


class Interrupted(Silent):
    """Cancels when a step of the loop is done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def tick(self, done: int, total: int) -> None:
        if done == self.step:
            raise Cancelled


@pytest.fixture
def at_every_look(monkeypatch):
    monkeypatch.setattr(checkpoint_module, "KEEP_SECONDS", 0.0)


@pytest.fixture(scope="module")
def undisturbed():
    found = {}
    for spec in (NPO, GRIN, {**NPO, "retain": "kl"}):
        done = result(quick(), FORGET, RETAIN, spec, **RUN)
        found[str(spec)] = (hash_weights(done.module), done.history)
    return found


@pytest.mark.parametrize(
    ("spec", "step"),
    [
        *((NPO, step) for step in range(1, 10)),
        *((GRIN, step) for step in range(10)),  # 0: while it looks at gradients
        *(({**NPO, "retain": "kl"}, step) for step in (1, 2, 7)),
    ],
)
def test_it_goes_on_where_it_was_interrupted(undisturbed, at_every_look, tmp_path, monkeypatch, spec, step):
    file = tmp_path / "work" / "checkpoint.safetensors"
    with pytest.raises(Cancelled):
        result(quick(), FORGET, RETAIN, spec, **RUN, progress=Interrupted(step), checkpoint=file)
    looked = (step - 1) // 2 * 2 if step else 0
    assert file.is_file() == (looked > 0)
    taken = []
    original = removing._step
    monkeypatch.setattr(removing, "_step", lambda *args: taken.append(1) or original(*args))
    done = result(quick(), FORGET, RETAIN, spec, **RUN, checkpoint=file)
    assert (hash_weights(done.module), done.history) == undisturbed[str(spec)]
    assert len(taken) == RUN["steps"] - looked
    assert not file.parent.exists() or not list(file.parent.iterdir())


def test_it_is_interrupted_again_and_again(undisturbed, at_every_look, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    for step in (3, 3, 6, 9):
        with pytest.raises(Cancelled):
            result(quick(), FORGET, RETAIN, GRIN, **RUN, progress=Interrupted(step), checkpoint=file)
    done = result(quick(), FORGET, RETAIN, GRIN, **RUN, checkpoint=file)
    assert (hash_weights(done.module), done.history) == undisturbed[str(GRIN)]


def test_a_budget_is_kept_across_an_interruption(at_every_look, tmp_path):
    """The weights to come back are those of an evaluation before the interruption."""
    eval_points = told((1.0, 1.0), (2.0, 1.01), (3.0, 1.01), (4.0, 1.2))
    how = {"rule": "retain_budget", "steps": 6, "eval_every": 1, "look": eval_points}
    file = tmp_path / "c"
    with pytest.raises(Cancelled):
        result(quick(), FORGET, RETAIN, NPO, **how, progress=Interrupted(3), checkpoint=file)
    done = result(quick(), FORGET, RETAIN, NPO, **how, checkpoint=file)
    assert done.history.kept == 2
    assert hash_weights(done.module) == hash_weights(result(quick(), FORGET, RETAIN, NPO, steps=2, eval_every=1).module)
    assert not file.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "nonsense", "another file", "no looks"])
def test_a_damaged_checkpoint_starts_anew(undisturbed, at_every_look, tmp_path, damage):
    from safetensors.torch import save_file

    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Cancelled):
        result(quick(), FORGET, RETAIN, GRIN, **RUN, progress=Interrupted(7), checkpoint=file)
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "nonsense":
        file.write_bytes(b"\x00\xff" * 999)
    elif damage == "another file":
        save_file({"x": torch.zeros(2)}, file)
    else:
        file.write_bytes(content.replace(b'"looks"', b'"l00ks"', 1))
    done = result(quick(), FORGET, RETAIN, GRIN, **RUN, checkpoint=file)
    assert (hash_weights(done.module), done.history) == undisturbed[str(GRIN)]
    assert not file.exists()


def test_a_checkpoint_of_another_shape_starts_anew(undisturbed, at_every_look, tmp_path, monkeypatch):
    file = tmp_path / "c"
    wide = lab.RECIPE.model_copy(update={"hidden_size": 32})
    with monkeypatch.context() as patch:
        patch.setattr(lab, "RECIPE", wide)
        other = fresh().module
        with pytest.raises(Cancelled):
            result(other, FORGET, RETAIN, NPO, **RUN, progress=Interrupted(7), checkpoint=file)
    assert file.is_file()
    done = result(quick(), FORGET, RETAIN, NPO, **RUN, checkpoint=file)
    assert (hash_weights(done.module), done.history) == undisturbed[str(NPO)]


def test_checkpoints_are_not_written_all_the_time(tmp_path, monkeypatch):
    """An evaluation every step, and no time between them: nothing is written."""
    generations = []
    monkeypatch.setattr(checkpoint_module, "save_file", lambda *args, **more: generations.append(args))
    result(quick(), FORGET, RETAIN, NPO, steps=4, eval_every=1, checkpoint=tmp_path / "c")
    assert generations == []
