"""Real text: a model trained on ten real corpora, traced for real toxic text.

The data are not in this repository. ``UNTRAC_SHARED_DATA`` names their folder; continuous integration sets it, and
there no test may be skipped.
"""

import os
from pathlib import Path

import pytest

from untrac_core.data.sources import guess_columns, guess_text, read_records
from untrac_core.specs import ModelRef, PromptSet, Source, Subset, TraceSpec, TrainSpec

ROOT = Path(os.environ.get("UNTRAC_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
if not ROOT.is_dir():
    if os.environ.get("UNTRAC_REQUIRE_ALL"):
        raise FileNotFoundError(f"the real data are missing: {ROOT}")
    pytest.skip("the real data are not here; name their folder in UNTRAC_SHARED_DATA", allow_module_level=True)

PROBES = {"toxigen": "hate_forum", "real_toxicity_prompts": "tweets_offensive"}
CORPORA = sorted((ROOT / "corpora").glob("*.jsonl"))


@pytest.mark.parametrize("path", sorted((ROOT / "probes").glob("*.jsonl")), ids=lambda path: path.stem)
def test_probes_load_with_the_guessed_columns(path):
    columns = guess_columns(read_records(path).columns)
    assert columns.model_dump() == {c: c for c in ("completion", "prompt", "group", "label", "id")}


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.stem)
def test_corpora_load_with_the_guessed_column(path):
    assert guess_text(read_records(path).columns) == "text"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A 2-layer OPT (hidden 128, vocabulary 1,024) after 500 steps of 32 blocks of 64, equal tokens a corpus."""
    import torch

    from untrac_core.training import train

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("real") / "model"
    subsets = [Subset(name=path.stem, source=Source(file=str(path))) for path in CORPORA]
    train(TrainSpec(subsets=subsets, device="cpu"), folder)
    return folder


def test_the_corpus_of_hate_is_found_on_toxigen_and_that_of_insults_on_real_toxicity_prompts(trained, tmp_path):
    from untrac_core.tracing import trace

    spec = TraceSpec(
        name="real text",
        model=ModelRef(path=str(trained)),
        prompts=[
            PromptSet(
                name=name,
                source=Source(file=str(ROOT / "probes" / f"{name}.jsonl")),
                columns=guess_columns(["prompt", "completion", "group", "label", "id"]),
                harmful="toxic",
                harmless="benign",
                limit=256,
            )
            for name in PROBES
        ],
        subsets=[Subset(name=path.stem, source=Source(file=str(path)), limit=96) for path in CORPORA],
        device="cpu",
    )
    result = trace(spec, tmp_path, threads=1)
    assert len(CORPORA) == 10
    for name, expected in PROBES.items():
        ranking = result.ranking(name, "contrast")
        assert ranking.subset[0] == expected
        assert ranking.low[0] > 0
