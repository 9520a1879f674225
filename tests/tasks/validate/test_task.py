"""Validations from end to end: what they write, what they trust, and how they take copies and unequal sizes."""

import dataclasses
import json
import random

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import QUICK, prompt_spec, subset_specs, validate_spec
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.results.folders import ENVIRONMENT, ESTIMATES, GROUND_TRUTH, SPEC, SUMMARY, load_validate, read_frame
from untrac_core.specs import method_spec
from untrac_core.specs.files import load_spec
from untrac_core.tasks.run import validate
from untrac_core.tasks.validate.check import check_validate
from untrac_core.tasks.validate.task import ValidateTask

pytestmark = pytest.mark.slow  # trainings without each subset

SIDES = ("harmful", "harmless", "contrast")
TRACIN = {"name": "tracin"}
LABELS = {
    "untrac-inv (robust)": ("untrac-inv", "robust"),
    "grad-dot": ("grad-dot", None),
    "tracin": ("tracin", None),
    "bm25": ("bm25", None),
    "random": ("random", None),
}


@pytest.fixture(scope="module")
def ran(world, tmp_path_factory):
    """A finished validation of five methods, and the cells that it kept."""
    folder = tmp_path_factory.mktemp("ran")
    spec = validate_spec(world, methods=[QUICK, {"name": "grad-dot"}, TRACIN, {"name": "bm25"}, {"name": "random"}])
    return validate(spec, folder / "out", cache=folder / "cells", threads=1)


def steady(summary):
    """A summary without what differs from run to run."""
    methods = [row | {"seconds": 0, "peak_memory_mb": 0} for row in summary["methods"]]
    return summary | {"methods": methods, "seconds": 0, "peak_memory_mb": 0, "run": ""}


def test_the_summary_is_as_pages_read_it(ran):
    summary = ran.summary
    assert (summary["kind"], summary["init"], summary["name"], summary["seeds"]) == (
        "validate",
        "scratch",
        "test",
        [0, 1],
    )
    assert set(summary) >= {
        "run",
        "name",
        "kind",
        "init",
        "seeds",
        "methods",
        "ground_truth",
        "noise",
        "leaderboard",
        "differences",
        "critical",
        "verdict",
        "best",
        "warnings",
        "notes",
        "data",
        "seconds",
        "peak_memory_mb",
    }
    assert [(row["method"], (row["name"], row["preset"])) for row in summary["methods"]] == list(LABELS.items())
    assert all(row["seconds"] > 0 and row["peak_memory_mb"] > 0 for row in summary["methods"])
    assert all(row["failed"] is None and not row["collapsed"] for row in summary["methods"])
    assert len(summary["ground_truth"]) == 3 * 3
    assert {row["side"] for row in summary["noise"]} == set(SIDES)
    single = {
        (row["method"], row["side"], row["metric"]) for row in summary["leaderboard"] if row["prompt_set"] == "talk"
    }
    assert len(single) == 5 * 3 * 5
    assert {row["side"] for row in summary["leaderboard"] if row["prompt_set"] is None} >= {"all"}
    assert len([row for row in summary["differences"] if row["side"] == "all"]) == 10
    assert summary["critical"]["subsets"] == 3
    assert summary["data"]["subsets"]["smiths"]["blocks"] == 16
    assert summary["data"]["prompt_sets"]["talk"]["harmful"]["items"] == 12
    assert summary["flop"] > 0


def test_the_folder_has_its_files_and_no_models_are_left(ran):
    assert sorted(path.name for path in ran.folder.iterdir()) == sorted(
        [SPEC, SUMMARY, GROUND_TRUTH, ESTIMATES, ENVIRONMENT]
    )
    text = (ran.folder / SUMMARY).read_text()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} stands in the summary"))
    assert load_spec(ran.folder / SPEC) == ran.spec
    assert ran.environment["threads"] == 1
    assert set(ran.environment["data"]) == {"prompt set talk", *(f"subset {name}" for name in WORDS)}
    again = load_validate(ran.folder)
    assert again.summary == ran.summary
    pd.testing.assert_frame_equal(again.ground_truth, ran.ground_truth)


def test_the_truth_is_that_of_retraining(ran):
    assert list(ran.ground_truth.columns) == ["subset", "prompt_set", "side", "seed", "influence"]
    assert len(ran.ground_truth) == 3 * 3 * 2
    table = ran.ground_truth.pivot_table(index=["side", "subset"], columns="seed", values="influence")
    np.testing.assert_allclose(table.loc["contrast"], table.loc["harmful"] - table.loc["harmless"], atol=1e-12)
    assert (table.loc["harmful"].idxmax() == "smiths").all()
    assert (table.loc["harmless"].idxmax() == "weavers").all()
    means = table.mean(axis=1)
    for row in ran.summary["ground_truth"]:
        assert row["influence"] == pytest.approx(means[row["side"], row["subset"]])


def test_the_estimates_are_those_of_every_method(ran):
    table = ran.estimates
    assert list(table.columns) == ["method", "prompt_set", "side", "subset", "influence", "low", "high"]
    assert list(dict.fromkeys(table.method)) == list(LABELS)
    assert set(zip(table.side, table.subset, strict=True)) == {(side, name) for side in SIDES for name in WORDS}
    assert ((table.low < table.influence) & (table.influence < table.high)).all()
    for name in ("grad-dot", "tracin", "bm25"):
        harmful = table[(table.method == name) & (table.side == "harmful")].set_index("subset").influence
        assert harmful.idxmax() == "smiths", name


def test_the_board_is_the_correlation_of_the_two_tables(ran):
    truth = ran.ground_truth.groupby(["side", "subset"]).influence.mean()
    told = ran.estimates.set_index(["method", "side", "subset"]).influence.sort_index()
    for row in ran.summary["leaderboard"]:
        if row["prompt_set"] == "talk" and row["metric"] == "pearson":
            expected = np.corrcoef(told[row["method"], row["side"]][list(WORDS)], truth[row["side"]][list(WORDS)])[0, 1]
            assert row["value"] == pytest.approx(expected)
    for row in ran.summary["leaderboard"]:
        if (row["prompt_set"], row["side"], row["metric"]) == (None, "all", "pearson"):
            parts = [
                one["value"]
                for one in ran.summary["leaderboard"]
                if (one["method"], one["prompt_set"], one["metric"]) == (row["method"], "talk", "pearson")
                and one["side"] != "contrast"
            ]
            assert row["value"] == pytest.approx(np.mean(parts))
            assert row["sides"] == 2


def test_three_subsets_are_too_few_to_trust_anything(ran):
    """Even r = 0.99 is chance with three; the sentence says so."""
    assert ran.summary["critical"]["pearson"] > 0.99
    assert ran.summary["best"] is None
    assert "with 3 subsets" in ran.summary["verdict"]


def test_kept_cells_give_the_same_result_and_are_not_computed_again(ran, tmp_path):
    cells = ran.folder.parent / "cells"
    generations = {path: path.stat().st_mtime_ns for path in cells.iterdir()}
    assert len(generations) == 2 * 4 + 3 * 5  # trainings; five methods of one cell a draw
    again = validate(ran.spec, tmp_path / "out", cache=cells, threads=1)
    assert {path: path.stat().st_mtime_ns for path in cells.iterdir()} == generations
    assert steady(again.summary) == steady(ran.summary)
    assert again.summary["methods"] == ran.summary["methods"]  # seconds too: those of the cells
    for file in (GROUND_TRUTH, ESTIMATES, SPEC):
        assert (again.folder / file).read_bytes() == (ran.folder / file).read_bytes(), file


def test_methods_that_are_asked_later_find_the_same_model(ran, world, tmp_path):
    """The trainings are known, so that the full model has to be trained anew for the method that is new."""
    fewer = validate_spec(world, methods=[{"name": "grad-cos"}, {"name": "grad-dot"}])
    cells = tmp_path / "cells"
    cells.mkdir()
    for path in (ran.folder.parent / "cells").iterdir():
        frame = read_frame(path)
        if "train_loss" in frame:
            (cells / path.name).write_bytes(path.read_bytes())
    again = validate(fewer, tmp_path / "out", cache=cells, threads=1)
    assert (again.folder / GROUND_TRUTH).read_bytes() == (ran.folder / GROUND_TRUTH).read_bytes()
    one, two = (table[table.method == "grad-dot"].reset_index(drop=True) for table in (ran.estimates, again.estimates))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert not (again.folder / ".work").exists()


def test_what_is_not_used_is_noted(ran):
    notes = ran.summary["notes"]
    assert any("items are cut to the model's context" in text for text in notes)
    assert any("blocks are used (equal tokens)" in text for text in notes)
    looked = [text for text in notes if "methods look at a fixed random 16 of the" in text]
    assert len(looked) == 3


def doses(folder, shares):
    """Subsets of weavers' talk, each with its own share of smiths'."""
    subsets = []
    for number, share in enumerate(shares):
        count = round(100 * share)
        texts = sentences("smiths", count, number + 10) + sentences("weavers", 100 - count, number + 10)
        random.Random(number).shuffle(texts)
        path = write_jsonl(folder / f"dose{number}.jsonl", [{"text": text} for text in texts])
        subsets.append({"name": f"dose{number}", "source": {"file": str(path)}})
    return subsets


@pytest.fixture(scope="module")
def dosed(world, tmp_path_factory):
    """Six subsets that hold more and more of how the harmful side speaks: what is right is known beforehand."""
    folder = tmp_path_factory.mktemp("dosed")
    spec = validate_spec(
        world, {"steps": 25}, subsets=doses(folder, [0.0, 0.1, 0.3, 0.5, 0.8, 1.0]), prompts=[prompt_spec(world, 40)],
        methods=[{"name": "grad-dot"}, {"name": "bm25"}, {"name": "random"}], samples_per_subset=64,
    )  # fmt: skip
    return validate(spec, folder / "out", cache=folder / "cells", threads=1)


def test_a_method_that_is_right_is_trusted(dosed):
    summary = dosed.summary
    assert all(row["resolvable"] for row in summary["noise"])
    truth = dosed.ground_truth[dosed.ground_truth.side == "harmful"].groupby("subset").influence.mean()
    assert truth.corr(pd.Series({f"dose{n}": n for n in range(6)}), method="spearman") > 0.9
    assert summary["best"] in ("grad-dot", "bm25")
    assert summary["verdict"].startswith(
        f"Trust {summary['best']} here, the best of 2 methods tried: over the 2 sides on which retraining is"
    )
    row = next(
        row
        for row in summary["leaderboard"]
        if (row["method"], row["prompt_set"], row["side"], row["metric"])
        == (summary["best"], None, "resolvable", "pearson")
    )
    assert row["low"] > summary["critical"]["pearson"]
    (pair,) = [
        row
        for row in summary["differences"]
        if row["side"] == "resolvable" and {row["first"], row["second"]} == {"grad-dot", "bm25"}
    ]
    assert ("It is a tie with" in summary["verdict"]) == pair["tie"]
    chance = [row for row in summary["differences"] if "random" in (row["first"], row["second"])]
    assert not any(row["tie"] for row in chance if row["side"] == "resolvable")


def test_one_seed_of_truth_or_one_draw_lets_nothing_be_trusted(dosed, tmp_path):
    """Of the same cells, as far as they go."""
    cells = dosed.folder.parent / "cells"
    few = dosed.spec.model_copy(update={"estimate_seeds": [0]})
    one = validate(few, tmp_path / "draw", cache=cells, threads=1).summary
    assert one["best"] is None
    assert one["verdict"].startswith("Trust none yet: ")
    assert "one draw" in one["verdict"]
    seed = dosed.spec.model_copy(update={"seeds": [0], "methods": [method_spec("bm25")]})
    alone = validate(seed, tmp_path / "seed", cache=cells, threads=1).summary
    assert alone["best"] is None
    assert alone["verdict"].startswith("Trust none yet: one seed of truth")
    assert all(row["low"] is None for row in alone["ground_truth"] + alone["leaderboard"])
    assert all(row["agreement"] is None for row in alone["noise"])


@pytest.fixture(scope="module")
def twins(world, tmp_path_factory):
    """Two subsets of the same texts."""
    subsets = [*subset_specs(world), subset_specs(world, "smiths")[0] | {"name": "twin"}]
    names = [
        "grad-dot", "grad-cos", "sign-dot", "fisher-dot", "shampoo-dot", "tracin", "bm25", "hidden-state-similarity",
    ]  # fmt: skip
    methods = [QUICK, *({"name": name} for name in names)]
    for method in methods:
        if method["name"] in ("fisher-dot", "shampoo-dot"):
            method["samples"] = 5
    spec = validate_spec(world, {"steps": 12}, subsets=subsets, methods=methods, seeds=[0])
    return validate(spec, tmp_path_factory.mktemp("twins"), threads=1)


def test_two_identical_subsets_get_equal_estimates_and_a_warning(twins):
    table = twins.estimates.set_index(["method", "side", "subset"])[["influence", "low", "high"]]
    titles = [method.title for method in twins.spec.methods]
    assert len(set(table.index.get_level_values("method"))) == len(titles) == 9
    for title in titles:
        for side in SIDES:
            one, two = table.loc[(title, side, "smiths")], table.loc[(title, side, "twin")]
            scale = table.loc[title].influence.abs().max()
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9 * scale, err_msg=f"{title}, {side}")
    assert any("Subsets 'smiths' and 'twin' have the same texts" in text for text in twins.summary["warnings"])
    assert any(
        "Subsets 'smiths' and 'twin' have the same texts" in text for text in check_validate(twins.spec).warnings
    )


def test_subsets_of_unequal_sizes_are_weighed_by_their_shares(world, tmp_path):
    """The estimates are the method's influence per token, made that of leaving each subset out."""
    from untrac_core.stats.mixture import leave_out_matrix
    from untrac_core.tasks.trace.ranking import estimates

    short = write_jsonl(tmp_path / "short.jsonl", [{"text": text} for text in sentences("weavers", 30, 0)])
    subsets = [*subset_specs(world, "fishers", "smiths"), {"name": "weavers", "source": {"file": str(short)}}]
    spec = validate_spec(world, {"equal_tokens": False}, subsets=subsets, methods=[{"name": "grad-dot"}], seeds=[0])
    validator = ValidateTask(spec, tmp_path / "work")
    sizes = {name: len(blocks) for name, blocks in validator.material.blocks.items()}
    assert sizes["smiths"] > 3 * sizes["weavers"]
    frames = [validator.run_cell(cell) for cell in validator.cells]
    summary = validator.write(tmp_path / "out", frames, 1.0, 1.0)
    cells = [cell for cell in validator.cells if cell.method == "grad-dot"]
    panel, study = validator.panels["grad-dot"], validator.studies["grad-dot"]
    (outcome,) = panel.outcomes(dataclasses.replace(study, sizes=None), cells, frames[-len(cells) :])
    plain = estimates(outcome)["talk", "harmful"]
    told = load_validate(tmp_path / "out").estimates
    told = told[told.side == "harmful"].set_index("subset").influence
    matrix = leave_out_matrix(np.array([sizes[name] for name in sizes], dtype=float))
    expected = matrix @ [plain[name].value for name in sizes]
    np.testing.assert_allclose([told[name] for name in sizes], expected, rtol=1e-9)
    assert not np.isclose(np.corrcoef(expected, [plain[name].value for name in sizes])[0, 1], 1.0, atol=1e-6)
    assert {name: row["trained_blocks"] for name, row in summary["data"]["subsets"].items()} == sizes
