"""The record of an unlearning and the card of its model: what was done, with hashes, and what that does not prove."""

from __future__ import annotations

import hashlib

import pytest

from tests.helpers.unlearning_requests import unlearn_spec
from untrac_core.results.folders import UNLEARNED
from untrac_core.tasks.run import unlearn
from untrac_core.tasks.unlearn.audit import LIMITS, card, hash_folder

QUICK = {
    "stop": {"rule": "match_retrained", "steps": 2, "eval_every": 2},
    "seeds": [0],
    "relearn_steps": 0,
    "eval_samples": 8,
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def ran(world, tmp_path_factory, cells):
    return unlearn(unlearn_spec(world, **QUICK), tmp_path_factory.mktemp("audited") / "out", cache=cells, threads=1)


def test_the_record_names_method_settings_data_and_models(ran):
    audit = ran.audit
    assert (audit["forget_set"], audit["method"], audit["seeds"]) == ("subset smiths", "npo", [0])
    assert audit["settings"]["learning_rate"] == 1e-3
    assert audit["settings"]["batch_size"] >= 8  # settled, not "unset"
    assert audit["settings"]["beta"] > 0
    assert audit["stop"] == ran.summary["stop"]
    assert set(audit["data"]) == {"prompt set talk", "subset fishers", "subset smiths", "subset weavers"}
    digests = [*audit["data"].values(), audit["removed_texts"], audit["model_before"]]
    digests += [*audit["models_retrained"].values(), *audit["model_after"].values()]
    assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in digests)
    assert audit["environment"]["packages"]["torch"]
    assert audit["does_not_prove"] == list(LIMITS)
    assert any("does not prove that any text was erased" in text for text in LIMITS)


def test_the_record_changes_with_what_was_removed_and_with_the_method(ran, world, tmp_path, cells):
    other = unlearn(unlearn_spec(world, forget={"subset": "weavers"}, **QUICK), tmp_path / "other", threads=1)
    assert other.audit["removed_texts"] != ran.audit["removed_texts"]
    assert other.audit["model_before"] == ran.audit["model_before"]
    assert other.audit["models_retrained"] != ran.audit["models_retrained"]
    rate = unlearn_spec(world, method={"name": "npo", "learning_rate": 0.01}, **QUICK)
    faster = unlearn(rate, tmp_path / "faster", cache=cells, threads=1)
    assert faster.audit["removed_texts"] == ran.audit["removed_texts"]
    assert faster.audit["models_retrained"] == ran.audit["models_retrained"]
    assert faster.audit["settings"]["learning_rate"] == 0.01
    assert faster.audit["model_after"]["model.safetensors"] != ran.audit["model_after"]["model.safetensors"]


def test_every_file_of_the_model_has_its_hash(ran, tmp_path):
    told = hash_folder(ran.folder / UNLEARNED)
    assert told == ran.audit["model_after"]
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(told)
    for name, digest in told.items():
        assert hashlib.sha256((ran.folder / UNLEARNED / name).read_bytes()).hexdigest() == digest
    (tmp_path / "shard-1").mkdir()
    (tmp_path / "shard-1" / "a").write_bytes(b"x")
    assert hash_folder(tmp_path) == {"shard-1/a": hashlib.sha256(b"x").hexdigest()}


def test_the_card_says_what_was_done_and_what_it_does_not_prove(ran, world):
    text = (ran.folder / UNLEARNED / "README.md").read_text()
    assert text.startswith("---\ntags:\n- unlearned\n---\n")
    assert "without subset smiths" in text
    assert "with the method npo" in text
    for limit in LIMITS:
        assert f"- {limit}" in text
    (loss,) = [row for row in ran.summary["table"] if (row["metric"], row["on"]) == ("loss", "the forget set")]
    numbers = " | ".join(f"{loss[key]:.3g}" for key in ("before", "after", "retrained"))
    assert f"| Loss, the forget set (nats per token) | {numbers} |" in text
    for warning in ran.summary["warnings"]:
        assert warning.split(":")[0] in text


def test_a_name_cannot_write_markdown_into_the_card(ran, world):
    spec = unlearn_spec(world, method={"name": "npo", "label": "<b>[x](y)</b> | # `z`"})
    text = card(spec, "subset *a*", ran.summary | {"warnings": ["<script>\n# new heading"]})
    assert "<b>" not in text.replace("\\<b\\>", "")
    assert "[x](y)" not in text
    assert "subset \\*a\\*" in text
    assert "\n# new heading" not in text
    assert "- \\<script\\> \\# new heading" in text
