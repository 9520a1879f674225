"""The losses of the unlearning methods, each against what its equation says, to the gradient of every weight."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.helpers import unlearning_lab as lab
from tests.helpers.families import make_model
from tests.helpers.lab_unlearning import fresh, method_of, quick, result, settings_of
from untrac_core.data.prompts import Item
from untrac_core.errors import InputError
from untrac_core.models.loading import LoadedModel, hash_weights, load_model
from untrac_core.models.losses import batch_losses
from untrac_core.specs import ModelRef, unlearning_method_spec
from untrac_core.unlearning.loop import _frozen, _mean_distance
from untrac_core.unlearning.methods.base import ForgetBatch, UnlearningData, UnlearningMethod, make_unlearning_method
from untrac_core.unlearning.methods.grin import _refused
from untrac_core.unlearning.methods.npo import npo_loss
from untrac_core.unlearning.settings import settled, unlearning_config

FORGET = lab.subset("toxic")[:8]
RETAIN = lab.subset("polite")[:8]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def gradients(model: LoadedModel, method: UnlearningMethod, reference=None) -> dict[str, torch.Tensor]:
    """Of a method's loss on eight texts; the reference is the model itself unless given."""
    model.module.zero_grad(set_to_none=True)
    losses = batch_losses(model.module, FORGET, lab.CPU)
    tokens = losses.new_tensor([example.tokens for example in FORGET])
    known = losses.detach() if reference is None else losses.new_tensor(reference)
    method.loss(ForgetBatch(losses, tokens, known)).backward()
    return {name: parameter.grad.clone() for name, parameter in model.module.named_parameters()}


def gradients_of_ascent(model: LoadedModel) -> dict[str, torch.Tensor]:
    """Of minus the summed loss of a text, the mean over the texts."""
    model.module.zero_grad(set_to_none=True)
    (-batch_losses(model.module, FORGET, lab.CPU).mean()).backward()
    return {name: parameter.grad.clone() for name, parameter in model.module.named_parameters()}


@pytest.mark.parametrize("beta", [2.0**-20, 0.125, 0.5, 1.0, 4.0, 64.0])
def test_npo_at_its_reference_is_ascent_to_the_bit(beta):
    """Powers of two: every factor of the derivative is exact, so that nothing is left to rounding."""
    model = fresh()
    ascent = gradients_of_ascent(model)
    assert max(float(each.abs().max()) for each in ascent.values()) > 0.01
    found = gradients(model, method_of(FORGET, name="npo", beta=beta))
    assert all(torch.equal(found[name], ascent[name]) for name in ascent)


@pytest.mark.parametrize("beta", [0.1, 0.3, 2.5, 7.0])
def test_npo_at_its_reference_is_ascent_for_any_beta(beta):
    model = fresh()
    ascent = gradients_of_ascent(model)
    found = gradients(model, method_of(FORGET, name="npo", beta=beta))
    for name in ascent:
        torch.testing.assert_close(found[name], ascent[name], rtol=1e-4, atol=1e-7)


def test_npo_becomes_ascent_as_beta_falls():
    """Away from the reference: the distance falls with beta, and is none at all in the end."""
    model = fresh()
    away = np.array([30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0])  # texts are at about 50 nats
    ascent = torch.cat([each.flatten() for each in gradients_of_ascent(model).values()])
    apart = []
    for beta in (1.0, 0.1, 0.01, 0.001, 1e-6):
        found = gradients(model, method_of(FORGET, name="npo", beta=beta), away)
        apart.append(float((torch.cat([each.flatten() for each in found.values()]) - ascent).norm() / ascent.norm()))
    assert apart[0] > 0.1
    assert all(later < earlier / 5 for earlier, later in pairwise(apart[1:]))
    assert apart[-1] < 1e-4


def test_npo_by_hand():
    """-(2 / b) log sigmoid(-b (log pi - log pi_ref)): a text that is 2 nats unlikelier, and one that is likelier."""
    found = npo_loss(torch.tensor([12.0, 7.0]), torch.tensor([10.0, 8.0]), 0.5)
    by_hand = -(2 / 0.5) * np.mean([-np.log1p(np.exp(0.5 * -2)), -np.log1p(np.exp(0.5 * 1))])
    assert float(found) == pytest.approx(by_hand, rel=1e-6)


def test_npo_lets_go_of_a_text_that_is_gone():
    losses = torch.tensor([100.0, 10.0], requires_grad=True)
    npo_loss(losses, torch.tensor([10.0, 10.0]), 0.5).backward()
    assert abs(float(losses.grad[0])) < 1e-15
    assert float(losses.grad[1]) == -0.5


def test_simple_npo_by_hand():
    losses, tokens = torch.tensor([30.0, 4.0], requires_grad=True), torch.tensor([10, 8])
    method = method_of(FORGET, name="simnpo", beta=2.5)
    found = method.loss(ForgetBatch(losses, tokens, torch.zeros(2)))
    by_hand = np.mean([(2 / 2.5) * np.log1p(np.exp(-2.5 * x)) for x in (3.0, 0.5)])
    assert float(found.detach()) == pytest.approx(by_hand, rel=1e-6)
    found.backward()
    slopes = [-2 / (1 + np.exp(2.5 * x)) / n / 2 for x, n in ((3.0, 10), (0.5, 8))]
    np.testing.assert_allclose(losses.grad.numpy(), slopes, rtol=1e-5)


def test_the_cap_of_gradient_difference_leaves_a_text_alone():
    losses, tokens = torch.tensor([29.0, 31.0], requires_grad=True), torch.tensor([10, 10])
    method = method_of(FORGET, name="grad-diff", max_forget_loss=3.0)
    method.prepare(fresh(), UnlearningData(FORGET, RETAIN, 2.0), 0, lambda done, total: None)
    loss = method.loss(ForgetBatch(losses, tokens, torch.zeros(2)))
    assert float(loss.detach()) == pytest.approx(-(2.9 + 3.0) / 2)
    loss.backward()
    assert losses.grad.tolist() == [pytest.approx(-1 / 20), 0.0]


@pytest.mark.parametrize(
    ("max_forget_loss", "retrained", "expected"), [(1.5, 2.0, 1.5), (None, 2.0, 2.0), (None, None, np.log(157))]
)
def test_where_the_cap_comes_from(max_forget_loss, retrained, expected):
    method = method_of(FORGET, name="grad-diff", max_forget_loss=max_forget_loss)
    method.prepare(fresh(), UnlearningData(FORGET, RETAIN, retrained), 0, lambda done, total: None)
    losses = torch.full((2,), 1e4)
    assert float(method.loss(ForgetBatch(losses, torch.tensor([10, 10]), losses))) == pytest.approx(-expected)


def test_ascent_climbs_the_loss_a_token():
    losses = torch.tensor([20.0, 10.0], requires_grad=True)
    loss = method_of(FORGET, name="grad-ascent").loss(ForgetBatch(losses, torch.tensor([10, 5]), torch.zeros(2)))
    assert float(loss.detach()) == -2.0


def test_divergence_from_the_model_as_it_was_is_zero_at_the_start():
    """And its gradient is nothing but rounding, while that of a moved model's is not."""
    model = fresh()
    before = _frozen(model)

    def found() -> tuple[float, float]:
        model.module.zero_grad(set_to_none=True)
        distance = _mean_distance(model, before, RETAIN)
        distance.backward()
        return float(distance.detach()), max(float(each.grad.abs().max()) for each in model.module.parameters())

    distance, slope = found()
    assert distance == 0.0
    assert slope < 1e-7
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    distance, slope = found()
    assert distance > 1e-3
    assert slope > 1e-4


def test_divergence_by_hand():
    """KL(before || now) over the scored tokens, padding and given tokens left out."""
    model, other = fresh(0), fresh(1)
    short, long = RETAIN[0], lab.subset("stereotype")[0]
    texts = [replace(short, first=4), long]
    total = 0.0
    for example in texts:
        given = torch.tensor(example.ids)[None]
        with torch.no_grad():
            own, was = (
                torch.log_softmax(each.module(input_ids=given).logits[0], -1).double() for each in (model, other)
            )
        kl = (was.exp() * (was - own)).sum(-1)
        total += float(kl[example.first - 1 : -1].sum())
    found = float(_mean_distance(model, other, texts).detach())
    assert found == pytest.approx(total / sum(example.tokens for example in texts), rel=1e-4)


def test_holding_to_probabilities_holds_what_training_on_text_does_not():
    """Trained on, the retain set gets likelier than it was; held to its probabilities it keeps its loss."""
    module = quick()
    start, known = lab.loss(module, RETAIN), lab.loss(module, FORGET)
    ends = {}
    for retain in ("nll", "kl"):
        done = result(module, FORGET, RETAIN, {"name": "npo", "retain": retain}, steps=20, eval_every=20)
        assert lab.loss(done.module, FORGET) > known + 0.3
        ends[retain] = lab.loss(done.module, RETAIN)
    print(f"\n{start:.3f} {known:.3f} {ends}", end="")
    assert ends["nll"] < start - 0.3
    assert abs(ends["kl"] - start) < 0.2


def test_the_control_reads_nothing_of_the_forget_set(monkeypatch):
    import untrac_core.unlearning.loop as removing

    read = []
    original = removing.batch_losses
    monkeypatch.setattr(removing, "batch_losses", lambda m, batch, *a: read.extend(batch) or original(m, batch, *a))
    result(fresh().module, FORGET, RETAIN, {"name": "retain-only"}, steps=3, eval_every=3)
    assert {id(example) for example in read} == {id(example) for example in RETAIN}
    read.clear()
    result(fresh().module, FORGET, RETAIN, {"name": "npo"}, steps=3, eval_every=3)
    assert {id(example) for example in read} >= {id(example) for example in FORGET}


# --- refusals ------------------------------------------------------------------------------------------------------


def answer_of(text: str) -> np.ndarray:
    return np.array([*lab.encoder().tokenizer.encode(text, add_special_tokens=False).ids, 0])


def test_a_refusal_takes_the_place_of_a_completion_or_of_a_second_half():
    answer = answer_of("bake it")
    block = FORGET[0]
    refused = _refused(block, answer)
    half = len(block.ids) // 2
    assert refused.first == half
    assert refused.ids.tolist() == [*block.ids[:half], *answer]
    item = replace(block, first=5)
    assert _refused(item, answer).ids.tolist() == [*block.ids[:5], *answer]
    assert _refused(item, answer).first == 5


@pytest.mark.parametrize("first", [1, 2, 5, 8, 9])
def test_a_refusal_takes_no_more_room_than_what_it_stands_for(first):
    """So that it fits the context, also where next to all of the text is given."""
    item = replace(FORGET[0], first=first)
    refused = _refused(item, np.arange(1, 60))
    assert len(refused.ids) == len(item.ids)
    assert refused.tokens >= 1


def test_a_refusal_of_a_seq2seq_model_is_what_the_decoder_says():
    item = replace(FORGET[0], source=np.array([7, 8, 9]))
    refused = _refused(item, answer_of("bake it"))
    assert refused.source is item.source
    assert refused.ids.tolist() == [item.ids[0], *answer_of("bake it")]
    assert refused.first == 1


def test_training_on_a_refusal_makes_it_the_answer():
    module, refusal = fresh().module, "tomorrow rain will cover it"
    spec = {
        "name": "grin",
        "objective": "po",
        "refusal": refusal,
        "mask_fraction": 1.0,
        "noise": 0.0,
        "learning_rate": 0.01,
    }
    asked = [replace(each, first=4) for each in FORGET]
    answers = [_refused(each, answer_of(refusal)) for each in asked]
    done = result(module, asked, RETAIN, spec, steps=40, eval_every=40)
    assert lab.loss(module, answers) > 4
    assert lab.loss(done.module, answers) < 0.5
    assert [each.ids.tolist() for each in done.method.answers(asked)] == [each.ids.tolist() for each in answers]


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> LoadedModel:
    return load_model(ModelRef(path=str(make_model(tmp_path_factory.mktemp("t5") / "m", "t5"))), lab.CPU)


@pytest.mark.parametrize("objective", ["npo", "grad-diff", "po"])
def test_a_seq2seq_model_forgets(t5, objective):
    """Encoder and decoder, a source for each text; weights come back with ``weights_restored``."""
    from untrac_core.models.loading import weights_restored
    from untrac_core.specs.unlearn import StopRule
    from untrac_core.unlearning.loop import unlearn_model
    from untrac_core.unlearning.stopping import EvalPoint, Stop

    made = [Item(f"i{n}", "They say:", f"the smith {word} iron", "", n) for n, word in enumerate(("bent", "made"))]
    texts = t5.encoder.items(made, context=64, where="")
    spec = {"refusal": "I cannot say"} if objective == "po" else {}
    settings = settled(unlearning_config(unlearning_method_spec("grin", objective=objective, **spec), 10_000), 8)
    method = make_unlearning_method("grin", settings)
    before = hash_weights(t5.module)
    with weights_restored(t5.module):
        stop = Stop(StopRule(rule="fixed", steps=5, eval_every=5), None, t5.facts.vocab_size)
        start = float(batch_losses(t5.module, texts[:1], lab.CPU).sum().detach())
        history = unlearn_model(
            t5, UnlearningData(texts[:1], texts[1:], None), method, stop, lambda step: EvalPoint(step, 1.0, 1.0)
        )
        after = float(batch_losses(t5.module, texts[:1], lab.CPU).sum().detach())
        assert hash_weights(t5.module) != before
    assert history.kept == 5
    assert after != start
    assert hash_weights(t5.module) == before
    if objective == "po":
        assert all(each.source is not None for each in method.answers(texts))


# --- settings ------------------------------------------------------------------------------------------------------


def test_settings_hang_on_the_size_and_on_the_texts():
    mean = sum(example.tokens for example in FORGET) / len(FORGET)
    npo = settings_of(FORGET, name="npo")
    assert (npo.learning_rate, npo.batch_size, npo.retain_weight) == (1e-3, 64, 1.0)
    assert npo.beta == pytest.approx(5 / mean)
    assert npo.forget_weight == pytest.approx(1 / mean)
    large = settled(unlearning_config(unlearning_method_spec("grin"), 10_000_000), 300)
    assert (large.learning_rate, large.mask_fraction, large.noise, large.noise_is_relative) == (1e-5, 0.1, 0.01, False)
    assert large.batch_size == 8
    simple = settings_of(FORGET, name="simnpo")
    assert (simple.beta, simple.forget_weight) == (2.5, 0.125)
    assert settings_of(FORGET, name="grin", objective="grad-diff").forget_weight == 1.0
    ascent = settings_of(FORGET, name="grad-ascent")
    assert (ascent.learning_rate, ascent.retain_weight) == (pytest.approx(1e-4), 0.0)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"name": "grad-ascent", "beta": 0.5}, "'beta' has no effect with method 'grad-ascent'"),
        ({"name": "grin", "objective": "po"}, "needs a 'refusal'"),
        ({"name": "grin", "refusal": "no"}, "no effect without"),
    ],
)
def test_settings_without_an_effect_are_refused(spec, said):
    with pytest.raises(InputError, match=said):
        unlearning_method_spec(**spec)
