"""The forget set, the retain set and what was never seen, told apart block by block."""

from __future__ import annotations

import pytest

from tests.helpers.recipes import subset_specs
from tests.helpers.unlearning_requests import RECIPE, unlearn_spec, unseen, without_recipe
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.data.tokens import distinct_ids, read_tokenizer
from untrac_core.errors import InputError
from untrac_core.hub.locate import fetch_tokenizer
from untrac_core.tasks.unlearn.data import forget_set_words, looked_at, read_records, unlearn_inputs

CONTEXT = 32


def data_of(spec):
    encoder = read_tokenizer(fetch_tokenizer(spec.model))
    return unlearn_inputs(spec, read_records(spec), encoder, CONTEXT), encoder


def bytes_of(examples):
    return [example.ids.tobytes() for example in examples]


def refusal(spec):
    with pytest.raises(InputError) as refused:
        data_of(spec)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_a_subset_goes_whole_and_the_others_stay_as_they_were_trained_on(world):
    from untrac_core.data.subsets import load_subsets
    from untrac_core.training.recipe import pack

    spec = unlearn_spec(world)
    data, encoder = data_of(spec)
    trained = pack(load_subsets(spec.subsets), encoder, 32, equal=True).blocks
    assert {name: bytes_of(blocks) for name, blocks in data.trained.items()} == {
        name: bytes_of(blocks) for name, blocks in trained.items()
    }
    assert bytes_of(data.forget) == bytes_of(trained["smiths"])
    assert {name: bytes_of(blocks) for name, blocks in data.retain.items()} == {
        name: bytes_of(trained[name]) for name in ("fishers", "weavers")
    }
    assert data.retain_texts == [*data.retain["fishers"], *data.retain["weavers"]]
    gone = data.in_forget_set()
    assert all(gone("smiths", block) for block in data.trained["smiths"])
    assert not any(gone(name, block) for name in ("fishers", "weavers") for block in data.trained[name])
    assert forget_set_words(spec) == "subset smiths"


def test_what_equal_tokens_left_over_of_the_forget_set_stands_for_unseen_text(world):
    data, _ = data_of(unlearn_spec(world))
    whole, _ = data_of(unlearn_spec(world, training=RECIPE | {"equal_tokens": False}))
    assert bytes_of(data.holdout) == bytes_of(whole.forget[len(data.forget) :])
    assert len(data.holdout) >= 8
    assert not set(bytes_of(data.holdout)) & set(bytes_of([*data.forget, *data.retain_texts]))
    assert any(f"{len(data.holdout)} blocks of the forget set's source were left out" in note for note in data.notes)
    assert whole.holdout == []
    smallest = min(data.trained, key=lambda name: len(whole.trained[name]))
    none, _ = data_of(unlearn_spec(world, forget={"subset": smallest}))
    assert none.holdout == []


def test_single_texts_go_and_the_rest_of_their_subset_stays(world):
    whole, _ = data_of(unlearn_spec(world))
    ids = distinct_ids(whole.trained["smiths"])
    texts = [{"subset": "smiths", "id": ids[3]}, {"subset": "weavers", "id": distinct_ids(whole.retain["weavers"])[0]}]
    spec = unlearn_spec(world, forget={"texts": texts})
    data, _ = data_of(spec)
    assert bytes_of(data.forget) == bytes_of([whole.trained["smiths"][3], whole.retain["weavers"][0]])
    assert len(data.retain["smiths"]) == len(whole.trained["smiths"]) - 1
    assert len(data.retain["weavers"]) == len(whole.retain["weavers"]) - 1
    assert data.trained.keys() == {"smiths", "weavers", "fishers"}
    assert len(data.trained["smiths"]) == len(ids)
    assert [i for i, b in enumerate(data.trained["smiths"]) if data.in_forget_set()("smiths", b)] == [3]
    assert forget_set_words(spec) == "2 single texts of smiths and weavers"


def test_a_text_that_was_not_trained_on_cannot_go(world):
    whole, _ = data_of(unlearn_spec(world, training=RECIPE | {"equal_tokens": False}))
    ids = distinct_ids(whole.trained["smiths"])
    assert "that was trained on" in refusal(
        unlearn_spec(world, forget={"texts": [{"subset": "smiths", "id": ids[-1]}]})
    )
    said = refusal(unlearn_spec(world, forget={"texts": [{"subset": "smiths", "id": "no such text"}]}))
    assert "there is no text 'no such text' of 32 tokens in subset 'smiths'" in said


def test_an_upload_goes_and_every_subset_stays(world, tmp_path):
    spec = without_recipe(world, forget={"upload": unseen(tmp_path)})
    data, encoder = data_of(spec)
    own = encoder.blocks(read_records(spec).own["upload"].documents, 32, None).blocks
    assert bytes_of(data.forget) == bytes_of(own)
    assert data.retain.keys() == {"smiths", "weavers", "fishers"}
    assert data.trained == {}
    assert forget_set_words(spec) == "the upload unseen smiths"
    long = write_jsonl(tmp_path / "long.jsonl", [{"asked": "the anvil " * 40, "text": "waits"}])
    upload = {"name": "long", "source": {"file": str(long)}, "prompt": "asked"}  # nothing fits the context
    assert "too little text for one block" in refusal(without_recipe(world, forget={"upload": upload}))


def test_a_side_of_a_prompt_set_goes_and_is_scored_on_its_completions(world):
    for side in ("harmful", "harmless"):
        spec = without_recipe(world, forget={"prompts": "talk", "side": side})
        data, encoder = data_of(spec)
        assert data.forget is data.prompts["talk"][side]
        told = {"harmful": "smiths", "harmless": "weavers"}[side]
        wanted = sentences(told, 40, 1)
        for example in data.forget:
            assert example.first > 1
            completion = encoder.tokenizer.decode(example.ids[example.first :].tolist()).strip()
            assert any(text.startswith(completion.removesuffix("<|end|>")[:20]) for text in wanted)
        assert forget_set_words(spec) == f"the {side} side of talk"
        assert data.retain.keys() == {"smiths", "weavers", "fishers"}


def test_a_side_that_is_not_there_or_that_leaves_nothing_is_one_line(world):
    one = {"name": "talk", "source": {"file": str(world / "prompts.jsonl")}, "columns": {"completion": "completion"}}
    spec = without_recipe(world, prompts=[one], forget={"prompts": "talk", "side": "harmless"})
    assert "prompt set 'talk' has no harmless side" in refusal(spec)
    alone = without_recipe(world, prompts=[one], forget={"prompts": "talk"}, subsets=[])
    assert "nothing stays" in refusal(alone)


def test_where_every_text_of_the_subsets_goes_nothing_stays(world):
    two = subset_specs(world, "smiths", "weavers")
    whole, _ = data_of(unlearn_spec(world, subsets=two))
    every = [{"subset": name, "id": id} for name, blocks in whole.trained.items() for id in distinct_ids(blocks)]
    assert "nothing stays" in refusal(unlearn_spec(world, subsets=two, forget={"texts": every}))


def test_unseen_text_that_was_seen_after_all_is_taken_out_and_said(world, tmp_path):
    clean, _ = data_of(unlearn_spec(world, holdout=unseen(tmp_path)))
    assert clean.holdout
    assert not [note for note in clean.notes if "holdout" in note]
    # The very texts of the forget set: their blocks are cut alike, so each of them is found.
    same = {"name": "same", "source": {"file": str(world / "smiths.jsonl")}}
    data, _ = data_of(unlearn_spec(world, holdout=same))
    gone = len(data.forget)
    assert any(f"{gone} held-out texts are among the training texts and are not used" in note for note in data.notes)
    assert not set(bytes_of(data.holdout)) & set(bytes_of([*data.forget, *data.retain_texts]))


def test_blocks_must_be_those_of_the_recipe_and_fit_the_model(world):
    assert "'block_size' is 16 and the recipe's 32" in refusal(unlearn_spec(world, block_size=16))
    assert data_of(unlearn_spec(world, block_size=32))[0].block_size == 32
    long = refusal(without_recipe(world, block_size=64))
    assert "a block of 64 tokens is longer than the model's context of 32" in long
    assert "longer than the model's context" in refusal(unlearn_spec(world, training=RECIPE | {"block_size": 64}))
    assert data_of(without_recipe(world))[0].block_size == CONTEXT
    assert data_of(without_recipe(world, block_size=16))[0].block_size == 16


def test_a_look_is_a_fixed_sample(world):
    data, _ = data_of(unlearn_spec(world))
    chosen = looked_at(data.forget, 10)
    assert len(chosen) == 10
    assert bytes_of(chosen) == bytes_of(looked_at(data.forget, 10))
    assert bytes_of(looked_at(data.forget, 10_000)) == bytes_of(data.forget)


def test_canaries_are_read_apart(world, tmp_path):
    canaries = {"planted": unseen(tmp_path, seed=11), "candidates": unseen(tmp_path, seed=12)}
    data, _ = data_of(unlearn_spec(world, canaries=canaries))
    assert data.planted
    assert data.candidates
    assert bytes_of(data.planted) != bytes_of(data.candidates)
