"""Scorers: the demo's hostile texts are told from its friendly ones, and a classifier must be what it says it is."""

import json
import math

import pytest
import torch

from tests.helpers.families import make_tokenizer
from tests.helpers.worlds import write_jsonl
from untrac_core.data.prompts import load_prompts
from untrac_core.demo.requests import demo_prompts
from untrac_core.errors import InputError
from untrac_core.models.scoring import LEXICON, Classifier, Lexicon, check_scorer, choose_label, read_lexicon
from untrac_core.specs import ModelRef, Scorer, Source
from untrac_core.specs.build import build

CPU = torch.device("cpu")


@pytest.fixture
def words(tmp_path):
    def write(text, name="words.txt"):
        (tmp_path / name).write_text(text)
        return Source(file=str(tmp_path / name))

    return write


def make_classifier(folder, labels=("benign", "toxic"), **more):
    """A random-weight sequence classifier, as ``save_pretrained`` writes it."""
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = make_tokenizer("qwen")
    config = BertConfig(
        vocab_size=320, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, pad_token_id=tokenizer.pad_token_id, id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)}, **more,
    )  # fmt: skip
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_bundled_list_tells_the_demos_sides_apart():
    scorer = Lexicon(LEXICON)
    data = load_prompts(next(spec for spec in demo_prompts() if spec.name == "toxicity"))
    for side, expected in (("harmful", True), ("harmless", False)):
        scores = scorer.score([item.completion for item in data.sides[side]])
        assert {score >= scorer.threshold for score in scores} == {expected}


def test_a_score_is_the_share_of_words_that_stand_in_the_list(words):
    scorer = Lexicon(words("# the smiths' list\nrusty\nof poor make\n\nSMITH’S\n"))
    assert scorer.score(["A rusty nail of poor make.", "of poor", "smith's RUSTY", "", "?!", "rustyish"]) == [
        pytest.approx(4 / 6), 0.0, 1.0, 0.0, 0.0, 0.0,
    ]  # fmt: skip
    assert scorer.threshold > 0
    assert Lexicon(words("rusty"), 0.5).threshold == 0.5
    assert Lexicon(words("rusty"), 0.5).digest != scorer.digest


def test_a_list_that_is_none_is_refused_in_one_line(words):
    for text, message in (
        ("?\n!\n", "has 0 words"),
        ("one two three four five six seven eight nine", "line 1 has 9 words"),
        ("", "no records"),
    ):
        with pytest.raises(InputError, match=message):
            read_lexicon(words(text))
    with pytest.raises(InputError, match="there is no file"):
        check_scorer(Scorer(lexicon=Source(file="/nowhere.txt")))


def test_a_list_may_be_a_table(tmp_path):
    path = write_jsonl(tmp_path / "list.jsonl", [{"id": "1", "text": "rusty"}, {"id": "2", "text": "poor make"}])
    assert read_lexicon(Source(file=str(path))) == {("rusty",), ("poor", "make")}


def test_a_classifier_gives_its_labels_probability(tmp_path):
    folder = make_classifier(tmp_path / "judge")
    scorer = Classifier(Scorer(classifier=ModelRef(path=str(folder))), CPU)
    assert (scorer.label, scorer.threshold) == ("toxic", 0.5)
    texts = ["The anvil waits.", "", "net " * 100, "a loom"]
    scores = scorer.score(texts)
    assert all(0 < score < 1 for score in scores)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    module = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, score in zip(texts, scores, strict=True):
        encoded = tokenizer(text or " ", return_tensors="pt", truncation=True, max_length=38)
        if text:
            with torch.no_grad():
                assert math.isclose(module(**encoded).logits.softmax(-1)[0, 1].item(), score, abs_tol=1e-5)
    other = Classifier(Scorer(classifier=ModelRef(path=str(folder)), label="benign"), CPU)
    assert other.score(texts) == pytest.approx([1 - score for score in scores], abs=1e-5)
    assert other.digest != scorer.digest


def test_labels_that_exclude_nothing_have_their_own_probabilities(tmp_path):
    folder = make_classifier(
        tmp_path / "judge", ("toxic", "threat", "insult"), problem_type="multi_label_classification"
    )
    scores = [
        Classifier(Scorer(classifier=ModelRef(path=str(folder)), label=label), CPU).score(["an oar"])[0]
        for label in ("toxic", "threat", "insult")
    ]
    assert sum(scores) > 1.1


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (["benign", "toxic"], "toxic"),
        (["neutral", "hate"], "hate"),
        (["severe_toxic", "toxic", "threat"], "toxic"),
        (["non-toxic", "TOXIC"], "TOXIC"),
        (["not_offensive", "offensive"], "offensive"),
        (["harmless", "harmful"], "harmful"),
        (["safe", "unsafe"], "unsafe"),
    ],
)
def test_the_harmful_label_is_found_by_its_name(labels, chosen):
    assert choose_label(labels, None) == chosen


def test_a_label_that_nothing_says_is_harmful_must_be_named():
    for labels in (["LABEL_0", "LABEL_1"], ["non-toxic", "neutral"], ["positive", "negative"]):
        with pytest.raises(InputError, match=r"Name one in 'label'"):
            choose_label(labels, None)
    assert choose_label(["LABEL_0", "LABEL_1"], "LABEL_1") == "LABEL_1"
    with pytest.raises(InputError, match="there is no label 'rude'"):
        choose_label(["a", "b"], "rude")


def test_what_is_no_classifier_or_could_run_code_is_refused(tmp_path, world):
    with pytest.raises(InputError, match="is not a sequence classifier"):
        check_scorer(Scorer(classifier=ModelRef(path=str(world / "model"))))
    folder = make_classifier(tmp_path / "judge")
    check_scorer(Scorer(classifier=ModelRef(path=str(folder))))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(InputError, match="auto_map"):
        check_scorer(Scorer(classifier=ModelRef(path=str(folder))))
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="pickle"):
        check_scorer(Scorer(classifier=ModelRef(path=str(folder))))


@pytest.mark.parametrize(("key", "value"), [("adapter", "guild/lora"), ("dtype", "float16")])
def test_what_a_classifier_does_not_heed_is_refused(key, value):
    with pytest.raises(InputError, match=f"a classifier takes no '{key}'") as caught:
        build(Scorer, {"classifier": {"path": "guild/judge", key: value}}, where="scorer")
    assert "\n" not in str(caught.value)


def test_a_classifier_without_its_head_is_refused(tmp_path):
    """Transformers would draw the missing head at random, and every score with it."""
    from safetensors.torch import load_file, save_file

    folder = make_classifier(tmp_path / "judge")
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="no weights for classifier"):
        Classifier(Scorer(classifier=ModelRef(path=str(folder))), CPU)


def test_known_classifiers_are_called_by_their_names():
    assert Scorer.model_validate({"classifier": "detoxify"}).classifier == ModelRef(path="unitary/toxic-bert")
    assert choose_label(["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"], None) == "toxic"
    with pytest.raises(ValueError, match=r"'detox' is no known classifier: write one of \['detoxify', "):
        Scorer.model_validate({"classifier": "detox"})
