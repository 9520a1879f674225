"""What a validation costs is known before it runs, without torch."""

import math
import subprocess
import sys

import pytest

from tests.helpers.recipes import CPU, QUICK, marked, subset_specs, validate_spec
from untrac_core.errors import InputError
from untrac_core.models.loading import load_model
from untrac_core.paths import PROJECT
from untrac_core.specs import ModelRef
from untrac_core.specs.catalogue import BASELINES
from untrac_core.tasks.costs import one_training_flop
from untrac_core.tasks.validate.check import check_validate, recipe_facts
from untrac_core.training.recipe import build_model

METHODS = list(BASELINES)


def numbers(found):
    return [
        found.trainings, found.training_seconds, *found.method_seconds.values(), found.seconds, found.memory_mb,
        found.disk_mb, found.flop, found.parameters,
    ]  # fmt: skip


def test_every_number_is_finite_for_every_method(world):
    methods = [{"name": name} for name in METHODS]
    methods += [{"name": name, "preset": preset} for name in ("untrac", "untrac-inv") for preset in ("robust", "paper")]
    found = check_validate(validate_spec(world, methods=methods))
    assert all(math.isfinite(number) and number >= 0 for number in numbers(found))
    assert len(found.method_seconds) == len(methods)
    assert all(seconds > 0 for title, seconds in found.method_seconds.items() if title not in ("bm25", "random"))
    assert found.seconds >= found.training_seconds + sum(found.method_seconds.values())


def test_it_counts_the_trainings(world, tmp_path):
    assert check_validate(validate_spec(world)).trainings == 2 * 4
    subsets = [*subset_specs(world), marked(tmp_path)]
    assert check_validate(validate_spec(world, subsets=subsets, seeds=[0, 1, 2])).trainings == 3 * 5


def test_cost_grows_with_what_there_is_to_do(world, tmp_path):
    base = check_validate(validate_spec(world))
    more = {
        "seeds": validate_spec(world, seeds=[0, 1, 2]),
        "steps": validate_spec(world, {"steps": 100}),
        "batch_size": validate_spec(world, {"batch_size": 32}),
        "width": validate_spec(world, {"hidden_size": 32}),
        "subsets": validate_spec(world, subsets=[*subset_specs(world), marked(tmp_path)]),
    }
    for what, spec in more.items():
        found = check_validate(spec)
        assert found.training_seconds > base.training_seconds, what
        assert found.flop > base.flop, what
        assert found.seconds > base.seconds, what
    assert check_validate(more["seeds"]).training_seconds == pytest.approx(1.5 * base.training_seconds)
    assert check_validate(more["steps"]).training_seconds == pytest.approx(10 * base.training_seconds)
    assert check_validate(more["seeds"]).method_seconds == base.method_seconds


def test_methods_cost_by_their_draws_and_blocks_and_do_not_cost_each_other(world):
    base = check_validate(validate_spec(world))
    more = check_validate(
        validate_spec(
            world, methods=[QUICK, {"name": "grad-dot"}, {"name": "bm25"}, {"name": "random"}, {"name": "lissa"}]
        )
    )
    assert more.seconds > base.seconds
    assert base.method_seconds.items() <= more.method_seconds.items()
    assert more.training_seconds == base.training_seconds
    for wider in (validate_spec(world, estimate_seeds=list(range(10))), validate_spec(world, samples_per_subset=64)):
        assert check_validate(wider).method_seconds["untrac-inv (robust)"] > base.method_seconds["untrac-inv (robust)"]


def test_a_measured_rate_takes_the_place_of_a_guess(world):
    slow, fast = (check_validate(validate_spec(world), rates={"cpu": rate}) for rate in (1e9, 1e10))
    assert slow.training_seconds == pytest.approx(10 * fast.training_seconds)
    assert slow.flop == pytest.approx(fast.flop)


def test_operations_are_those_of_the_run(world):
    spec = validate_spec(world)
    facts = recipe_facts(spec.training)
    training = spec.training
    expected = 6 * facts.parameters * training.steps * training.batch_size * training.block_size
    assert one_training_flop(training, facts) == expected


@pytest.mark.parametrize("architecture", ["opt", "gpt2", "llama"])
def test_a_recipe_s_parameters_are_about_those_of_its_model(world, architecture):
    training = validate_spec(world, {"architecture": architecture, "hidden_size": 64, "num_layers": 3}).training
    module = build_model(training, training.vocab_size, 0)
    assert recipe_facts(training).parameters == pytest.approx(sum(p.numel() for p in module.parameters()), rel=0.05)


def test_what_makes_nothing_trustworthy_is_warned_of_beforehand(world):
    assert any("One seed of truth" in text for text in check_validate(validate_spec(world, seeds=[3])).warnings)
    assert any("One draw" in text for text in check_validate(validate_spec(world, estimate_seeds=[3])).warnings)
    assert not any(text.startswith("One ") for text in check_validate(validate_spec(world)).warnings)


def test_a_model_that_does_not_fit_the_memory_is_warned_of(world, monkeypatch):
    from untrac_core.models.devices import device_info
    from untrac_core.tasks.validate import check as validation_check

    class Small:
        kind, memory_mb, name = "cpu", 100.0, device_info("cpu").name

    monkeypatch.setattr(validation_check, "device_info", lambda device: Small())
    assert any("take a smaller model, batch or block" in text for text in check_validate(validate_spec(world)).warnings)


def test_a_model_at_the_start_gives_its_own_size(world):
    spec = validate_spec(world, {"init": "continued", "hidden_size": 256}, model={"path": str(world / "model")})
    found = check_validate(spec)
    assert found.parameters < recipe_facts(spec.training).parameters  # its own width, not the recipe's
    module = load_model(ModelRef(path=str(world / "model")), CPU).module
    assert found.parameters == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("training", "more", "said"),
    [
        (
            {},
            {"methods": [{"name": "untrac", "preset": "paper", "target_loss_increase": 0.1}]},
            "'target_loss_increase' has no effect",
        ),
        ({}, {"methods": [{"name": "untrac-inv", "learning_rate": 1e-3}]}, "'learning_rate' has no effect"),
        ({}, {"methods": [{"name": "bm25", "damping": 0.1}]}, "'damping' has no effect with method 'bm25'"),
        ({}, {"subsets": "two"}, "'subsets' needs at least 3"),
        ({}, {"model": {"path": "demo"}}, "'model' is needed with training.init 'base' or 'continued', and only then"),
        ({"init": "base"}, {}, "'model' is needed with training.init 'base' or 'continued', and only then"),
        ({"init": "base"}, {"model": {"path": "demo", "adapter": "x"}}, "takes no 'adapter'"),
        ({}, {"methods": [QUICK, QUICK]}, "two methods are named"),
        ({}, {"seeds": [1, 1]}, "two seeds are named"),
        ({}, {"estimate_seeds": [1, 1]}, "two estimate seeds are named"),
    ],
    ids=[
        "loss_increase",
        "rate",
        "baseline",
        "two-subsets",
        "model-named",
        "no-model",
        "adapter",
        "twice",
        "seeds",
        "estimate_seeds",
    ],
)
def test_what_cannot_run_is_refused_in_one_line(world, training, more, said):
    if more.get("subsets") == "two":
        more = {"subsets": subset_specs(world)[:2]}
    with pytest.raises(InputError) as caught:
        check_validate(validate_spec(world, training, **more))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_free_of_torch(world, tmp_path):
    """Not only the import: the check itself."""
    from untrac_core.specs.files import to_yaml

    (tmp_path / "spec.yaml").write_text(to_yaml(validate_spec(world)))
    code = (
        "import sys; from pathlib import Path; from untrac_core.specs.files import load_spec; "
        "from untrac_core.tasks.validate.check import check_validate; "
        f"found = check_validate(load_spec(Path({str(tmp_path / 'spec.yaml')!r}))); assert found.seconds > 0; "
        "print([m for m in ('torch', 'transformers', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "[]"
