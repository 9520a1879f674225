"""The bundle: small, remade by one command, with a right answer that is found."""

import filecmp
import shutil

import numpy as np
import pytest

from tests.helpers.pace import allowed
from untrac_core.demo.requests import demo_spec, demo_unlearning, demo_validation
from untrac_core.demo.texts import SIDES, generate, verbatim_overlap, write
from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace, load_unlearn, load_validate
from untrac_core.specs import method_spec
from untrac_core.stats.intervals import pearson
from untrac_core.tasks.run import trace
from untrac_core.tasks.trace.check import check

SECONDS = 30
"""Of the demo's quick request, with all baselines, on one core that does nothing else."""
RECORDED = {"run": "untrac-inv", "untrac": "untrac"}
"""The recorded runs' folders, and their methods."""


def planted(result, prompt_set, side):
    """Planted statements by subset; for the contrast, harmful minus harmless ones."""
    planted = result.planted[result.planted.prompt_set == prompt_set].pivot_table(
        index="subset", columns="side", values="statements"
    )
    return planted.harmful - planted.harmless if side == "contrast" else planted[side]


def agreement(result, prompt_set, side, other):
    """Pearson r of the ranking with another number by subset."""
    values = result.ranking(prompt_set, side).set_index("subset").influence
    return pearson(values.loc[other.index].to_numpy(), other.to_numpy(dtype=np.float64))


@pytest.fixture(scope="module", params=RECORDED)
def recorded(request):
    return load_trace(DEMO / request.param)


def run_here(folder, method=None):
    """The demo's quick request, as the trace page offers it, run in this process."""
    trace(demo_spec(method), folder, threads=1)
    shutil.copyfile(DEMO / "planted.csv", folder / "planted.csv")
    return load_trace(folder)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The demo as the page offers it."""
    return run_here(tmp_path_factory.mktemp("quick"))


def test_the_corpus_is_what_the_generator_makes(tmp_path):
    corpus = generate()
    assert verbatim_overlap(corpus) == 0
    write(corpus, tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 8 + 3 + 1
    assert filecmp.cmpfiles(tmp_path, DEMO, made, shallow=False) == (made, [], [])


def test_another_seed_gives_another_corpus():
    assert generate(1).subsets != generate(0).subsets
    assert generate(1).subsets == generate(1).subsets


def test_the_bundle_is_small_and_safe():
    files = [path for path in DEMO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10 * 2**20
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".yaml", ".csv", ".parquet", ".safetensors", ".txt"}


@pytest.mark.parametrize("prompt_set", SIDES)
def test_the_recorded_top_stands_apart(recorded, prompt_set):
    verdict = next(v for v in recorded.summary["verdicts"] if (v["prompt_set"], v["side"]) == (prompt_set, "contrast"))
    assert verdict["top"] == planted(recorded, prompt_set, "contrast").idxmax()


@pytest.mark.parametrize("prompt_set", SIDES)
def test_the_recorded_run_finds_what_was_planted(recorded, prompt_set):
    expected = planted(recorded, prompt_set, "contrast")
    assert recorded.ranking(prompt_set, "contrast").subset[0] == expected.idxmax()
    assert agreement(recorded, prompt_set, "contrast", expected) >= 0.9
    truth = recorded.ground_truth[
        (recorded.ground_truth.prompt_set == prompt_set) & (recorded.ground_truth.side == "contrast")
    ]
    assert set(truth.seed) == {0, 1, 2}
    means = truth.groupby("subset").influence.mean()
    assert means.idxmax() == expected.idxmax()
    assert agreement(recorded, prompt_set, "contrast", means) >= 0.9


@pytest.mark.timed
def test_a_quick_run_finds_what_was_planted(quick):
    for prompt_set in SIDES:
        expected = planted(quick, prompt_set, "contrast")
        assert quick.ranking(prompt_set, "contrast").subset[0] == expected.idxmax()
        assert agreement(quick, prompt_set, "contrast", expected) >= 0.9
    assert agreement(quick, "toxicity", "harmful", planted(quick, "toxicity", "harmful")) >= 0.9
    assert quick.summary["seconds"] < allowed(SECONDS)


def test_the_recorded_run_is_the_demos_request(recorded):
    method = RECORDED[recorded.folder.name]
    assert recorded.spec == demo_spec(method_spec(method), limit=None)


def test_the_recorded_unlearning_is_the_demos_request_and_shows_in_what_the_model_writes():
    result = load_unlearn(DEMO / "unlearning")
    assert result.spec == demo_unlearning()
    written = {row["metric"]: row for row in result.summary["table"]}["toxic"]
    assert written["before"] >= 0.2
    assert written["after"] <= written["before"] / 2
    assert written["retrained"] <= written["before"] / 2
    assert written["high"] < written["before"], "no seed of it writes as before"
    assert result.model is None, "its weights would double the bundle"


def test_the_recorded_validation_is_the_demos_request_and_trusts_the_default_method():
    result = load_validate(DEMO / "validation")
    assert result.spec == demo_validation()
    assert result.summary["best"] in ("untrac (robust)", "untrac-inv (robust)")
    of_all = [row for row in result.summary["calibration"] if row["prompt_set"] is None]
    ours = [row for row in of_all if row["method"] in ("untrac (robust)", "untrac-inv (robust)")]
    assert min(row["coverage"] for row in ours) >= 0.85, "calibrated intervals hold the truth"
    assert min(row["signs"] for row in ours) >= 0.8


def test_the_quick_request_has_the_cells_that_are_said():
    assert check(demo_spec()).cells == 5 + 6 + 5 * 5  # seeds; sides, token by token; baselines
