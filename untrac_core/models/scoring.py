"""What calls a text harmful: a list of words, or a sequence classifier that the user names.

Both give a score from 0 to 1 and a threshold. A word list knows no context and a classifier has its own errors; either
is a first sieve for texts that people should read before they trust the label.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from untrac_core.errors import InputError, reason_of
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef, Scorer, Source

if TYPE_CHECKING:
    import torch

LEXICON = Source(bundled="lexicon.txt")
"""The list that comes with the program: mild, hostile, without any slur."""
HARMFUL, HARMLESS = "toxic", "benign"
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
PHRASE_WORDS, ENTRIES = 8, 100_000
CLASSIFIER_THRESHOLD = 0.5
LIKE_HARM = re.compile(r"tox|hate|hateful|offens|abus|harm|insult|hostil|unsafe|obscene|threat", re.IGNORECASE)
LIKE_NONE = re.compile(r"^(non|not|no|un(?!safe)|in(?!sult)|harmless)", re.IGNORECASE)
TEXTS_A_BATCH, TOKENS_A_TEXT = 16, 512


class TextScorer(Protocol):
    """Scores texts; scores from ``threshold`` on are harmful."""

    threshold: float
    digest: str
    """Hash of all that the scores depend on."""
    name: str

    def score(self, texts: Sequence[str]) -> list[float]:
        """A score from 0 to 1 for each text."""


class Lexicon:
    """The share of a text's words that stand in a list of words and phrases; any of them makes it harmful."""

    def __init__(self, source: Source, threshold: float | None = None) -> None:
        self.entries = read_lexicon(source)
        self.threshold = threshold if threshold is not None else 1e-9
        self.digest = hashlib.sha256(json.dumps(sorted(self.entries)).encode()).hexdigest()
        self.name = f"lexicon of {len(self.entries)} words"
        self._longest = max(map(len, self.entries))

    def score(self, texts: Sequence[str]) -> list[float]:
        """See :class:`TextScorer`."""
        return [self._share(text) for text in texts]

    def _share(self, text: str) -> float:
        words = _words(text)
        listed = [False] * len(words)
        for start in range(len(words)):
            for length in range(1, min(self._longest, len(words) - start) + 1):
                if tuple(words[start : start + length]) in self.entries:
                    listed[start : start + length] = [True] * length
        return sum(listed) / len(words) if words else 0.0


def _words(text: str) -> list[str]:
    return [word.casefold().replace("’", "'") for word in WORD.findall(text)]


def read_lexicon(source: Source) -> set[tuple[str, ...]]:
    """The words and phrases of a list, one per line (or a row of its text column); ``# `` begins a remark.

    Raises:
        InputError: for a file that cannot be read, has none, or has a phrase of more than 8 words.
    """
    from untrac_core.data.readers.columns import guess_text
    from untrac_core.data.readers.records import read_records

    where = "lexicon"
    records = read_records(source, where=where)
    lines = records.column(guess_text(records.columns, records.rows[:50]), where=where)
    entries = set()
    for number, line in zip(records.lines, lines, strict=True):
        words = tuple(_words(line))
        if not words or line.startswith("# "):
            continue
        if len(words) > PHRASE_WORDS:
            raise InputError(
                f"line {number} has {len(words)} words", field=where, hint=f"write a word or a phrase of {PHRASE_WORDS}"
            )
        entries.add(words)
    if not entries or len(entries) > ENTRIES:
        hint = f"give 1 to {ENTRIES:,}, one per line"
        raise InputError(f"the list has {len(entries):,} words", field=where, hint=hint)
    return entries


class Classifier:
    """The probability that a sequence classifier gives to its harmful label."""

    def __init__(self, scorer: Scorer, device: torch.device, progress: Progress | None = None) -> None:
        from untrac_core.hub.locate import fetch_model, hash_model

        assert scorer.classifier is not None  # noqa: S101
        folder = fetch_model(scorer.classifier, progress, classifier=True)
        labels = inspect_classifier(folder, scorer.classifier.path)
        self.label = choose_label(labels, scorer.label)
        self.threshold = scorer.threshold if scorer.threshold is not None else CLASSIFIER_THRESHOLD
        self.name = f"classifier {scorer.classifier.path}, label {self.label}"
        self.digest = hashlib.sha256(f"{hash_model(folder)} {self.label}".encode()).hexdigest()
        self._at, self._device = labels.index(self.label), device
        self._module, self._tokenizer = _load_classifier(folder, scorer.classifier, device)

    def score(self, texts: Sequence[str]) -> list[float]:
        """See :class:`TextScorer`."""
        scores: list[float] = []
        for start in range(0, len(texts), TEXTS_A_BATCH):
            scores += self._batch(list(texts[start : start + TEXTS_A_BATCH]))
        return scores

    def _batch(self, texts: list[str]) -> list[float]:
        import torch

        config = self._module.config
        known = getattr(config, "max_position_embeddings", None) or TOKENS_A_TEXT
        # Two positions less: RoBERTa's begin after its padding index.
        most = max(8, min(known - 2, TOKENS_A_TEXT))
        alone = self._tokenizer.pad_token_id is None
        given = [[text] for text in texts] if alone else [texts]
        found: list[float] = []
        for part in given:
            encoded = self._tokenizer(part, padding=not alone, truncation=True, max_length=most, return_tensors="pt")
            with torch.inference_mode():
                logits = self._module(**encoded.to(self._device)).logits.float()
            several = config.num_labels == 1 or config.problem_type == "multi_label_classification"
            shares = logits.sigmoid() if several else logits.softmax(-1)
            found += shares[:, self._at].tolist()
        return found


def inspect_classifier(folder: Path, name: str) -> list[str]:
    """Check a classifier's folder, without torch, and give its labels; :class:`InputError` for what is none."""
    from untrac_core.hub.locate import inspect_model

    inspect_model(folder, name, classifier=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    known = config.get("id2label")
    if not isinstance(known, dict) or sorted(known) != sorted(map(str, range(len(known)))):
        return ["LABEL_0", "LABEL_1"]  # what transformers takes them to be
    return [str(known[str(number)]) for number in range(len(known))]


def choose_label(labels: Sequence[str], wanted: str | None) -> str:
    """The label whose probability is the score: the one asked for, else the one that is named like harm."""
    listed = ", ".join(repr(label) for label in labels[:20])
    if wanted is not None:
        if wanted not in labels:
            raise InputError(f"there is no label {wanted!r}", field="classifier", hint=f"its labels are {listed}")
        return wanted
    alike = [label for label in labels if LIKE_HARM.search(label) and not LIKE_NONE.search(label)]
    plain = [label for label in alike if label.lower() in ("toxic", "toxicity")]
    if not alike:
        raise InputError(
            "none of its labels is named like harm", field="classifier", hint=f"name one in 'label': {listed}"
        )
    return (plain or alike)[0]


def _load_classifier(folder: Path, ref: ModelRef, device: torch.device) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    load: Callable[..., Any] = AutoModelForSequenceClassification.from_pretrained
    try:
        module, report = load(folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safe)
        if report["missing_keys"]:  # transformers would draw them at random
            raise ValueError(f"the files have no weights for {sorted(report['missing_keys'])[0][:100]}")
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
    except Exception as error:
        raise InputError(
            f"it could not be loaded ({reason_of(error)})",
            field=f"classifier {ref.path!r}",
            hint="check that transformers can load it",
        ) from error
    return module.to(device).eval(), tokenizer


def make_scorer(scorer: Scorer, device: torch.device, progress: Progress | None = None) -> TextScorer:
    """The scorer that a spec asks for, ready to score."""
    if scorer.lexicon is not None:
        return Lexicon(scorer.lexicon, scorer.threshold)
    return Classifier(scorer, device, progress)


def check_scorer(scorer: Scorer) -> None:
    """See, without torch, that a scorer can be used; one on the hub is looked at when the run starts."""
    from untrac_core.hub.locate import find_model

    if scorer.lexicon is not None:
        read_lexicon(scorer.lexicon)
    elif scorer.classifier is not None:
        folder = find_model(scorer.classifier)
        if folder is not None:
            choose_label(inspect_classifier(folder, scorer.classifier.path), scorer.label)
