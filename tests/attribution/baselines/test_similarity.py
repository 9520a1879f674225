"""Methods that compare texts: against hand-computed scores, by what they rank first, and that they repeat."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from tests.helpers.families import CONTEXT, make_model
from untrac_core.attribution.base import AttributionContext, ModelIdentity, make_method
from untrac_core.attribution.baselines.bm25 import words
from untrac_core.data.prompts import Item
from untrac_core.data.subsets import Document
from untrac_core.data.tokens import Packed
from untrac_core.errors import InputError
from untrac_core.models.loading import load_model
from untrac_core.specs import ModelRef, method_spec
from untrac_core.stats.clusters import clusters_of

TEXTS = {
    "fishers": ["the net and the boat", "the tide, the tide and the gull", "a rope"],
    "smiths": ["the anvil waits by the forge", "hammer and forge", "the ember glows, the steel rings"],
}
ITEMS = {
    "harmful": ["the forge and the hammer", "steel by the anvil", "ember by the forge", "a Hammer! A hammer."],
    "harmless": ["the net", "a gull by the tide", "the boat and a rope", "xyzzy"],
}
NAMES = ("bm25", "hidden-state-similarity", "random")


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    root = tmp_path_factory.mktemp("similarity")
    return {family: make_model(root / family, family) for family in ("opt", "t5")}


def make_study(home, texts=TEXTS, seeds=(0, 1), items=ITEMS) -> AttributionContext:
    """Each text a block of its own, each item with a prompt; nothing here is trained."""
    model = load_model(ModelRef(path=str(home)), torch.device("cpu"))
    encoder = model.encoder
    subsets = {}
    for name, lines in texts.items():
        blocks = [encoder.blocks([Document("d", line, 1)], CONTEXT, None).blocks[0] for line in lines]
        subsets[name] = Packed(blocks, len(blocks), len(blocks), len(blocks))
    sides = {
        side: encoder.items(
            [Item(str(i), "They say", line, "", i) for i, line in enumerate(lines)], context=None, where=""
        )
        for side, lines in items.items()
    }
    identity = ModelIdentity("digest", "cpu", "float32", "all")
    return AttributionContext(identity, lambda: model, {}, {"talk": sides}, {}, subsets, list(seeds))


def frames(study, name, **settings):
    method = make_method(method_spec(name, **settings))
    return [method.run(study, cell) for cell in method.cells(study)]


def per_token(frame, side):
    """Each block's score, subset by subset."""
    rows = frame[frame.side == side]
    return {subset: (part.change / part.tokens).to_numpy() for subset, part in rows.groupby("subset", sort=False)}


def bm25_by_hand(query, document, documents):
    count, mean = len(documents), sum(map(len, documents)) / len(documents)
    found, score = Counter(document), 0.0
    for word in query:
        with_it = sum(word in other for other in documents)
        rarity = math.log(1 + (count - with_it + 0.5) / (with_it + 0.5))
        score += rarity * found[word] / (found[word] + 1.2 * (0.25 + 0.75 * len(document) / mean))
    return score


@pytest.mark.parametrize("family", ["opt", "t5"])
def test_bm25_is_the_formula(homes, family):
    study = make_study(homes[family])
    split = {name: [line.replace(",", "").split() for line in lines] for name, lines in TEXTS.items()}
    if family == "t5":  # running text is halved between encoder and decoder, within a word
        split = {
            name: [words(study.model.encoder, block) for block in packed.blocks]
            for name, packed in study.subsets.items()
        }
    documents = [line for lines in split.values() for line in lines]
    for seed, frame in zip(study.seeds, frames(study, "bm25"), strict=True):
        for side, lines in ITEMS.items():
            drawn = [f"They say {lines[i]}" for i in clusters_of([""] * 4).draw(0.5, seed)]
            queries = [line.lower().replace("!", "").replace(".", "").split() for line in drawn]
            for subset, found in per_token(frame, side).items():
                expected = [
                    np.mean([bm25_by_hand(query, line, documents) for query in queries]) for line in split[subset]
                ]
                np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_words_are_those_of_prompt_and_completion(homes):
    for home in homes.values():
        study = make_study(home)
        assert words(study.model.encoder, study.prompts["talk"]["harmful"][3]) == [
            *("they", "say"),
            *("a", "hammer") * 2,
        ]


@pytest.mark.parametrize("texts", [{"a": ["net"], "b": ["boat"]}, {"a": ["! ."], "b": ["?"]}])
def test_bm25_of_nothing_in_common_is_zero(homes, texts):
    study = make_study(homes["opt"], texts, items={"harmful": ["xyzzy", "plugh"]})
    study.prompts["talk"]["harmful"] = study.model.encoder.items(
        [Item("0", "", "xyzzy", "", 1), Item("1", "", "...", "", 2)], context=None, where=""
    )
    assert all((frame.change == 0).all() and not frame.collapsed.any() for frame in frames(study, "bm25"))


@pytest.mark.parametrize("family", ["opt", "t5"])
def test_hidden_similarity_is_the_mean_cosine(homes, family):
    """Against each text's own pass through the library's decoder, one at a time and without padding."""
    study = make_study(homes[family])
    module = study.model.module

    def vector(example):
        ids = torch.from_numpy(example.ids)[None]
        with torch.no_grad():
            if example.source is None:
                states = module.model(input_ids=ids).last_hidden_state
            else:
                read = module.encoder(input_ids=torch.from_numpy(example.source)[None]).last_hidden_state
                states = module.decoder(input_ids=ids, encoder_hidden_states=read).last_hidden_state
        mean = states[0, example.first :].mean(0).double().numpy()
        return mean / np.linalg.norm(mean)

    for seed, frame in zip(study.seeds, frames(study, "hidden-state-similarity"), strict=True):
        for side, items in study.prompts["talk"].items():
            asked = [vector(items[i]) for i in clusters_of([""] * 4).draw(0.5, seed)]
            for subset, found in per_token(frame, side).items():
                blocks = study.subsets[subset].blocks
                expected = [np.mean([vector(block) @ item for item in asked]) for block in blocks]
                np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["bm25", "hidden-state-similarity"])
def test_a_planted_subset_ranks_first(homes, name):
    """One subset repeats the harmful items themselves; it is also the less like the harmless ones."""
    planted = TEXTS | {"planted": [f"They say {line}" for line in ITEMS["harmful"]]}
    study = make_study(homes["opt"], planted)
    for frame in frames(study, name, subsample=1.0):
        totals = frame.groupby(["side", "subset"])[["change", "tokens"]].sum()
        means = totals.change / totals.tokens
        assert means["harmful"].idxmax() == "planted"
        assert means["harmful", "planted"] > means["harmless", "planted"]


@pytest.mark.parametrize("name", ["bm25", "hidden-state-similarity"])
def test_identical_subsets_score_the_same(homes, name):
    study = make_study(homes["opt"], TEXTS | {"copy": TEXTS["smiths"]})
    for frame in frames(study, name):
        found = per_token(frame, "harmful")
        np.testing.assert_allclose(found["copy"], found["smiths"], rtol=1e-6)
        assert not np.allclose(found["copy"], found["fishers"])


@pytest.mark.parametrize("name", NAMES)
def test_scores_repeat_and_hang_on_the_seed(homes, name):
    first, second = frames(make_study(homes["opt"]), name), frames(make_study(homes["opt"]), name)
    assert all(a.equals(b) for a, b in zip(first, second, strict=True))
    assert not np.allclose(first[0].change, first[1].change)
    # A cell does not hang on which others there are, nor on their order.
    (alone,) = frames(make_study(homes["opt"], seeds=(1,)), name)
    assert alone.equals(first[1])


@pytest.mark.parametrize("name", NAMES)
def test_keys_change_with_texts_and_seeds(homes, name):
    def keys(study, **settings):
        return {cell.key for cell in make_method(method_spec(name, **settings)).cells(study)}

    base = keys(make_study(homes["opt"]))
    assert len(base) == 2
    assert keys(make_study(homes["opt"])) == base
    assert not keys(make_study(homes["opt"], TEXTS | {"smiths": ["a forge"]})) & base
    assert not keys(make_study(homes["opt"], items=ITEMS | {"harmless": ["a net"]})) & base
    if name != "random":
        assert not keys(make_study(homes["opt"]), subsample=0.25) & base


def test_random_numbers_are_standard_normal_and_apart(homes):
    study = make_study(homes["opt"], seeds=range(100))
    scores = [frame.groupby(["subset", "side"])[["change", "tokens"]].first() for frame in frames(study, "random")]
    values = np.concatenate([(part.change / part.tokens).to_numpy() for part in scores])
    assert len(set(values)) == 400
    assert abs(values.mean()) < 0.15
    assert values.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("name", "setting"), [("bm25", {"trainable": "all"}), ("random", {"subsample": 0.5})])
def test_a_setting_without_effect_is_refused(name, setting):
    with pytest.raises(InputError, match="no effect"):
        make_method(method_spec(name, **setting))
