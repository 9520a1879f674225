"""Examinations: a text's influence is what unlearning it alone does, beside texts that were drawn, not chosen."""

import json
import math
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.cli.app import main
from untrac_core.cli.outcomes import outcome
from untrac_core.data.tokens import distinct_ids, read_tokenizer
from untrac_core.engine.requests import prepare_request
from untrac_core.errors import InputError
from untrac_core.models.loading import hash_weights
from untrac_core.models.losses import batch_losses, example_losses
from untrac_core.paths import DEMO
from untrac_core.results.folders import SUMMARY, VERIFIED_COLUMNS, VERIFIED_EXAMPLES, load_verify
from untrac_core.specs import RUN_KINDS, Columns, PromptSet, Source, VerifySpec, method_spec
from untrac_core.specs.build import build
from untrac_core.specs.files import absolute, load_spec, parse_spec, to_yaml
from untrac_core.stats.clusters import clusters_by_side
from untrac_core.stats.intervals import items_margin
from untrac_core.tasks.prepare import encode, load_records
from untrac_core.tasks.registry import describe_run
from untrac_core.tasks.run import verify
from untrac_core.tasks.verify.check import VerifiedExample, check_verify, texts_of, verified_method
from untrac_core.tasks.verify.frames import check_frame, comparison_rows, side_estimates
from untrac_core.tasks.verify.task import VerifyTask

QUICK = {"samples": 20}
SIDES = ["contrast", "harmful", "harmless"]


@pytest.fixture(scope="module")
def subsets(world, request_of):
    """The world's blocks of 16 tokens, by subset, as a trace has them."""
    spec = request_of()
    return encode(read_tokenizer(world / "model"), *load_records(spec), 32, 16)[1]


@pytest.fixture(scope="module")
def chosen(subsets):
    """Two texts of the smiths and one of the fishers: (subset, id)."""
    return [(name, distinct_ids(subsets[name].blocks)[i]) for name, i in (("smiths", 3), ("fishers", 5), ("smiths", 9))]


@pytest.fixture(scope="module")
def ask(request_of, chosen):
    """Make a verification of the world; further arguments replace parts of its trace."""

    def make(method=None, texts=None, controls=3, name="test", **more) -> VerifySpec:
        trace = request_of(QUICK if method is None else method, **{"block_size": 16, **more})
        named = [{"subset": subset, "id": name} for subset, name in (chosen if texts is None else texts)]
        values = {"name": name, "trace": trace.model_dump(), "prompt_set": "talk", "texts": named}
        return build(VerifySpec, values | {"controls": controls, "device": "cpu"}, where="test")

    return make


@pytest.fixture(scope="module")
def done(ask, tmp_path_factory):
    """A finished verification, and the cells that it kept."""
    folder = tmp_path_factory.mktemp("examined")
    return verify(ask(), folder / "out", cache=folder / "cells", threads=1)


def by_hand(model, block, items, rate, steps):
    """Half of what the items lose after ascent on a block, less what they lose after descent: the loss per token."""
    module = model.module
    saved = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    sides = []
    for sign in (1.0, -1.0):
        for _ in range(steps):
            module.zero_grad()
            (batch_losses(module, [block], model.device).sum() / block.tokens).backward()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.add_(parameter.grad, alpha=sign * rate)
        losses = example_losses(module, items, model.device, model.facts.vocab_size)
        sides.append(losses.sum() / sum(item.tokens for item in items))
        module.load_state_dict(saved)
    module.zero_grad(set_to_none=True)
    return (sides[0] - sides[1]) / 2


def test_a_text_s_influence_is_what_unlearning_it_alone_does(ask, tmp_path):
    method = {
        "preset": "paper", "optimizer": "sgd", "learning_rate": 0.02, "steps": 2, "two_sided": True, "trainable": "all",
    }  # fmt: skip
    spec = ask(method, controls=1)
    task = VerifyTask(spec, threads=1)
    before = hash_weights(task.study.model.module)
    frames = [task.run_cell(cell) for cell in task.cells]
    assert hash_weights(task.study.model.module) == before
    task.write(tmp_path, frames, 1.0, 1.0)
    rows = load_verify(tmp_path).verified_examples.set_index(["id", "side"])
    for text in task.texts:
        parts = []
        for side, items in task.study.prompts["talk"].items():
            expected = by_hand(task.study.model, text.block, items, 0.02, 2)
            assert abs(expected) > 1e-5
            assert rows.loc[(text.id, side), "influence"] == pytest.approx(expected, rel=0.01, abs=2e-7)
            parts.append(expected)
        assert rows.loc[(text.id, "contrast"), "influence"] == pytest.approx(parts[0] - parts[1], rel=0.01, abs=4e-7)


def test_the_table_has_a_row_a_text_and_side_and_one_step_size(done, chosen):
    rows = done.verified_examples
    assert list(rows.columns) == VERIFIED_COLUMNS
    assert list(rows["side"].unique()) == SIDES
    harmful = rows[rows["side"] == "harmful"]
    assert list(zip(harmful["subset"], harmful["id"], strict=True))[:3] == chosen
    assert list(harmful["role"]) == ["chosen"] * 3 + ["control"] * 3
    assert ((rows["low"] < rows["influence"]) & (rows["influence"] < rows["high"])).all()
    # To first order the text that responds most rises by the preset's .05, and with one step size no other by more.
    assert harmful["loss_increase"].max() == pytest.approx(0.05, rel=0.1)
    assert harmful["loss_increase"].min() < 0.9 * harmful["loss_increase"].max()
    assert done.summary["kind"] == "verify"
    assert [row["side"] for row in done.summary["sides"]] == SIDES
    assert any("no seeds" in note for note in done.summary["notes"])


def test_controls_come_from_the_same_subsets_and_are_never_the_chosen(ask, subsets, chosen):
    for controls in (0, 1, 3, 6, 30, 50):
        texts = texts_of(ask(controls=controls), subsets)
        drawn = [text for text in texts if text.role == "control"]
        assert len(drawn) == controls
        assert [(text.subset, text.id) for text in texts[:3]] == chosen
        assert len({(text.subset, text.id) for text in texts}) == len(texts)
        assert not {text.block.ids.tobytes() for text in drawn} & {text.block.ids.tobytes() for text in texts[:3]}
        shares = Counter(text.subset for text in drawn)
        assert abs(shares["smiths"] - controls * 2 / 3) < 1
        assert texts == texts_of(ask(controls=controls), subsets)
    few = {name: type(packed)(packed.blocks[:12], 12, 1, 1) for name, packed in subsets.items()}
    texts = texts_of(ask(controls=50), few)
    assert Counter(text.subset for text in texts) == {"smiths": 12, "fishers": 12}


def test_a_text_with_the_tokens_of_a_chosen_one_is_no_control(ask, subsets, chosen):
    block = subsets["smiths"].blocks[3]
    copies = {**subsets, "smiths": type(subsets["smiths"])([*subsets["smiths"].blocks[:10], *[block] * 20], 30, 1, 1)}
    names = distinct_ids(copies["smiths"].blocks)
    assert f"{block.id} (2)" in names
    texts = texts_of(ask(texts=[("smiths", f"{block.id} (2)")], controls=50), copies)
    assert (texts[0].id, len(texts)) == (f"{block.id} (2)", 10)


def test_what_is_not_there_is_refused_in_one_line(ask, world, tmp_path, capsys):
    hostile = "<img src=x>\n" * 200
    for texts in ([("smiths", "nobody @0")], [("smiths", hostile)]):
        for refuse in (prepare_request, VerifyTask):
            with pytest.raises(InputError, match=r"there is no text .* in subset 'smiths'") as caught:
                refuse(ask(texts=texts))
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 300
    values = ask().model_dump()
    for change, message in (
        ({"prompt_set": "other"}, "no prompt set 'other'"),
        ({"texts": [{"subset": "tailors", "id": "1"}]}, "no subset 'tailors'"),
        ({"texts": values["texts"][:1] * 2}, "names a text twice"),
        ({"texts": []}, "'texts' needs at least 1"),
        ({"controls": 51}, "controls"),
        ({"of": "../../x"}, "of"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            build(VerifySpec, values | change, where="test")
        assert "\n" not in str(caught.value)
    path = tmp_path / "spec.yaml"
    path.write_text(to_yaml(ask(texts=[("smiths", "nobody @0")])))
    assert main(["check", str(path)]) == 2
    assert "nobody" in capsys.readouterr().err


def test_a_spec_comes_back_from_its_file_with_its_paths_made_absolute(ask, tmp_path):
    spec = ask()
    assert parse_spec(to_yaml(spec)) == spec
    assert RUN_KINDS["verify"] is VerifySpec
    assert describe_run(spec) == "Verification · 3 texts unlearned alone · 3 controls"
    source = spec.trace.subsets[0].model_copy(update={"source": Source(file="a.jsonl")})
    near = spec.model_copy(
        update={"trace": spec.trace.model_copy(update={"subsets": [source, *spec.trace.subsets[1:]]})}
    )
    assert absolute(near, tmp_path).trace.subsets[0].source.file == str(tmp_path / "a.jsonl")
    wanted, megabytes, _ = prepare_request(spec)
    assert wanted == spec
    assert 0 < megabytes < 50


def test_kept_cells_give_the_same_bytes_and_are_not_computed_again(ask, done, tmp_path):
    cells = done.folder.parent / "cells"
    generations = {path: path.stat().st_mtime_ns for path in cells.glob("*.parquet")}
    assert len(generations) == 6
    lost = sorted(generations)[:2]
    for path in lost:
        path.unlink()
    again = verify(ask(name="another name"), tmp_path, cache=cells, threads=1)
    assert (tmp_path / VERIFIED_EXAMPLES).read_bytes() == (done.folder / VERIFIED_EXAMPLES).read_bytes()
    assert again.summary["sides"] == done.summary["sides"]
    kept = {path: path.stat().st_mtime_ns for path in cells.glob("*.parquet")}
    assert kept.keys() == generations.keys()
    assert {path for path in kept if kept[path] != generations[path]} <= set(lost)
    spec = ask(controls=2)  # another set of texts may have another step size
    assert not {cell.key for cell in VerifyTask(spec).cells} & {path.stem for path in generations}


def test_planted_texts_beat_the_controls_of_their_subset(ask, world, tmp_path):
    """Sentences in the smiths' words, as the harmful side has them, among those of the fishers."""
    said = [*sentences("fishers", 40, 0), *sentences("smiths", 12, 2), *sentences("fishers", 40, 3)]
    mixed = write_jsonl(tmp_path / "mixed.jsonl", [{"id": str(i), "text": text} for i, text in enumerate(said)])
    subsets = [
        {"name": "mixed", "source": {"file": str(mixed)}},
        {"name": "weavers", "source": {"file": str(world / "weavers.jsonl")}},
    ]
    probe = ask(texts=[("mixed", "0 @0")], subsets=subsets, block_size=24)
    blocks = encode(read_tokenizer(world / "model"), *load_records(probe.trace), 32, 24)[1]["mixed"].blocks
    planted = [("mixed", block.id) for block in blocks if 41 <= int(block.id.split()[0]) < 51][:8]
    assert len(planted) == 8
    result = verify(ask(texts=planted, controls=8, subsets=subsets, block_size=24), tmp_path / "out")
    row = result.summary["sides"][0]
    assert (row["side"], row["clear"], row["texts"], row["controls"]) == ("contrast", True, 8, 8)
    assert row["low"] > 0
    assert "make bad rather than good texts of talk less likely than texts drawn at random" in row["text"]


def test_a_collapsed_text_has_no_numbers_and_is_said(ask, tmp_path):
    method = {"preset": "paper", "optimizer": "sgd", "learning_rate": 1e5}
    result = verify(ask(method, controls=1), tmp_path)
    assert result.verified_examples[["influence", "low", "high"]].isna().all(axis=None)
    assert "collapsed while 4 of 4 texts" in " ".join(result.summary["warnings"])
    assert all(row["chosen"] is None and "Nothing can be said" in row["text"] for row in result.summary["sides"])


def test_a_baseline_s_texts_are_unlearned_as_untrac_does(ask):
    found = verified_method(method_spec("grad-dot", trainable="last_layers"))
    assert (found.name, found.optimizer, found.trainable, found.two_sided) == (
        "untrac", "kronecker", "last_layers", True,
    )  # fmt: skip
    spec = ask({"name": "grad-dot"}, controls=0)
    task = VerifyTask(spec)
    assert task.method.settings.optimizer == "kronecker"
    assert task.trace.method.name == "untrac"
    assert task.spec.trace.method.name == "grad-dot"


def test_a_check_prices_it(ask):
    small, large = check_verify(ask(controls=0)), check_verify(ask(controls=50))
    assert (small.texts, small.controls, large.controls) == (3, 0, 50)
    assert small.seconds < large.seconds
    assert "fewer than two controls" in " ".join(small.notes)


def test_the_command_line_checks_it_and_says_what_it_found(ask, done, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    path = tmp_path / "spec.yaml"
    path.write_text(to_yaml(ask()))
    assert load_spec(path) == ask()
    assert main(["check", str(path)]) == 0
    assert "3 texts and 3 controls, each unlearned alone" in capsys.readouterr().out
    outcome(json.loads((done.folder / SUMMARY).read_text()))
    told = capsys.readouterr().out
    assert "mean influence of a text" in told
    assert "contrast: " in told


TALK = PromptSet(name="talk", source=Source(file="x"), columns=Columns(label="label"), harmful="bad", harmless="good")


def texts_with(roles, block):
    return [VerifiedExample("smiths", str(i), role, block) for i, role in enumerate(roles)]


@pytest.fixture
def block(subsets):
    return subsets["smiths"].blocks[0]


def test_the_comparison_hangs_on_items_and_on_texts(block):
    """The mean of differences over items, by hand; and no verdict where nothing says how far texts differ."""
    draw = np.random.default_rng(0)
    tokens = {"harmful": np.full(40, 5.0)}
    changes = draw.normal(0.0, 0.05, (8, 40))
    changes[:4] += 0.5
    roles = ["chosen"] * 4 + ["control"] * 4
    sides = side_estimates({"harmful": changes}, tokens)
    (row,) = comparison_rows(texts_with(roles, block), sides, TALK)
    assert row["difference"] == pytest.approx((changes[:4].mean() - changes[4:].mean()) / 5)
    assert row["clear"]
    assert "less likely than" in row["text"]
    values = changes.mean(1) / 5
    of_items = (changes[:4].mean(0) - changes[4:].mean(0)) / 5
    margins = [
        t * np.std(part, ddof=1) / len(part) ** 0.5
        for t, part in ((3.1824, values[:4]), (3.1824, values[4:]), (2.0227, of_items))
    ]
    assert (row["high"] - row["low"]) / 2 == pytest.approx(math.hypot(*margins), rel=1e-3)
    (row,) = comparison_rows(texts_with(["control"] * 4 + ["chosen"] * 4, block), sides, TALK)
    assert "likelier than" in row["text"]
    (row,) = comparison_rows(texts_with(roles, block), side_estimates({"harmful": changes[::-1] * 0.01}, tokens), TALK)
    assert row["clear"] == ("Cannot separate" not in row["text"])
    for roles, words in ((["chosen"] * 8, "No control"), (["chosen"] * 7 + ["control"], "Cannot separate: one")):
        (row,) = comparison_rows(texts_with(roles, block), sides, TALK)
        assert row["low"] is None
        assert not row["clear"]
        assert words in row["text"]


def test_a_contrast_over_pairs_takes_what_they_share_out():
    draw = np.random.default_rng(2)
    shared, order = draw.normal(0, 1, (1, 30)), draw.permutation(30)
    changes = {"harmful": shared + draw.normal(0, 0.1, (1, 30)), "harmless": shared[:, order]}
    tokens = {side: np.ones(30) for side in changes}
    pairs = clusters_by_side({"harmful": [f"p{i}" for i in range(30)], "harmless": [f"p{i}" for i in order]})
    paired, unpaired = side_estimates(changes, tokens, pairs), side_estimates(changes, tokens)
    assert items_margin(paired["contrast"][0]) < 0.2 * items_margin(unpaired["contrast"][0])
    for side in changes:
        assert items_margin(paired[side][0]) == pytest.approx(items_margin(unpaired[side][0]))


def test_equal_texts_cannot_be_separated_and_intervals_are_over_items(block):
    draw = np.random.default_rng(1)
    tokens = {"harmful": np.full(30, 4.0), "harmless": np.full(20, 4.0)}
    changes = {side: draw.normal(0, 0.1, (6, len(part))) for side, part in tokens.items()}
    sides = side_estimates(changes, tokens)
    assert list(sides) == SIDES
    texts = texts_with(["chosen"] * 3 + ["control"] * 3, block)
    row = comparison_rows(texts, sides, TALK)[0]
    assert row["low"] < 0 < row["high"]
    assert row["text"].startswith("Cannot separate: unlearned alone")
    assert items_margin(sides["harmful"][0]) == pytest.approx(
        2.0452 * np.std(changes["harmful"][0] / 4, ddof=1) / 30**0.5, rel=1e-3
    )
    frame = check_frame(texts, sides, [0.05] * 6)
    parts = [items_margin(sides[side][0]) for side in ("harmful", "harmless")]
    assert frame.loc[0, "high"] - frame.loc[0, "influence"] == pytest.approx(math.hypot(*parts))
    broken = {side: np.where(np.arange(6)[:, None] == 0, np.nan, part) for side, part in changes.items()}
    rows = comparison_rows(texts, side_estimates(broken, tokens), TALK)
    assert rows[0]["texts"] == 2
    assert pd.isna(check_frame(texts, side_estimates(broken, tokens), [0.05] * 6).loc[0, "influence"])


def test_a_damaged_or_foreign_folder_is_refused(done, tmp_path):
    with pytest.raises(InputError, match="is missing"):
        load_verify(tmp_path)
    for name in (VERIFIED_EXAMPLES, SUMMARY):
        copy = tmp_path / name
        shutil.copytree(done.folder, copy)
        (copy / name).write_bytes(b"no such thing")
        with pytest.raises(InputError, match="damaged"):
            load_verify(copy)
    with pytest.raises(InputError, match=f"{VERIFIED_EXAMPLES} is missing"):
        load_verify(DEMO / "run")
