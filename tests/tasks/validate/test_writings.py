"""What the leave-out models write: who trains what, what is scored, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from tests.helpers.recipes import CHEAP, validate_spec
from tests.helpers.worlds import WORDS, sentences
from untrac_core.errors import InputError
from untrac_core.results.folders import WRITINGS, read_frame
from untrac_core.tasks.run import validate
from untrac_core.tasks.validate.additions.writings import rates
from untrac_core.tasks.validate.check import check_validate
from untrac_core.training import retraining


@pytest.fixture
def spec(world, tmp_path):
    """Openings of sentences, completed by tiny models of one seed; words that these do write count as harmful."""
    words = tmp_path / "words.txt"
    words.write_text("wait\nthe\nand\nof")
    generation = {
        "texts": [" ".join(text.split()[:2]) for name in WORDS for text in sentences(name, 8, 40)][:60],
        "limit": 12,
        "sampling": {"samples": 2, "tokens": 8},
        "scorer": {"lexicon": {"file": str(words)}},
    }
    return validate_spec(world, {"steps": 50}, methods=CHEAP, seeds=[0], generation=generation)


def test_rates_are_means_over_each_prompts_samples():
    frames = [pd.DataFrame({"prompt": [0, 0, 1, 1], "harmful": values}) for values in ([1, 0, 1, 1], [0, 0, 0, 1])]
    np.testing.assert_allclose(rates(frames), [[0.5, 1.0], [0.0, 0.5]])


def test_what_cannot_be_scored_or_found_is_refused(world, spec):
    for change, words in (
        ({"scorer": None}, "must be scored"),
        ({"prompt_set": "nothing", "texts": []}, "no prompt set 'nothing'"),
    ):
        with pytest.raises(InputError, match=words):
            check_validate(spec.model_copy(update={"generation": spec.generation.model_copy(update=change)}))
    few = spec.model_copy(update={"generation": spec.generation.model_copy(update={"limit": 3})})
    with pytest.raises(InputError, match="3 different prompts are too few"):
        validate(few, world / "few", threads=1)


def test_every_model_writes_and_is_trained_once(spec, tmp_path, monkeypatch):
    """A model without a subset serves its losses and its texts; the losses are those without any writing."""
    trained = []
    train = retraining.Retraining.train

    def noted(self, seed, *rest):
        trained.append(self.without)
        return train(self, seed, *rest)

    monkeypatch.setattr(retraining.Retraining, "train", noted)
    result = validate(spec, tmp_path / "out", threads=1)
    assert sorted(trained, key=str) == sorted([None, *WORDS], key=str)
    table = read_frame(tmp_path / "out" / WRITINGS)
    assert table.groupby("subset").size().to_dict() == dict.fromkeys(["", *WORDS], 24)
    assert set(table["harmful"]) == {True, False}
    told = result.summary["writing"]
    assert (told["prompts"], told["samples"], told["seed"], told["side"]) == (12, 2, 0, "contrast")
    assert told["rate"] == pytest.approx(table[table["subset"] == ""]["harmful"].mean())
    changes = {row["subset"]: row for row in told["changes"]}
    for name in WORDS:
        without = table[table["subset"] == name]["harmful"].mean()
        assert changes[name]["change"] == pytest.approx(told["rate"] - without)
        assert changes[name]["low"] <= changes[name]["change"] <= changes[name]["high"]
    plain = validate(spec.model_copy(update={"generation": None}), tmp_path / "plain", threads=1)
    pd.testing.assert_frame_equal(plain.ground_truth, result.ground_truth)
