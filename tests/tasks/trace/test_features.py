"""What influential texts have in common: a planted difference is found, one that is not there is not claimed."""

import re

import numpy as np
import pytest

from untrac_core.results.folders import FEATURE_COLUMNS
from untrac_core.tasks.trace.features import ALL, TEXT_FEATURES, FeatureView, Texts, _margins, find_text_features

PLAIN = "the net and the boat and the tide and the gull"


def planted(count=200, seed=0):
    """Texts of two subsets; the more a text moves the prompts, the longer it is; its loss has nothing to do with it."""
    draw = np.random.default_rng(seed)
    influence = draw.normal(size=count)
    words = np.array([f"word{i}" for i in range(400)])
    texts = [f"{PLAIN} {' '.join(draw.choice(words, 6))}" for _ in range(count)]
    most = np.argsort(-influence)[: count // 10]
    for number, i in enumerate(most):
        texts[i] += " spindle" if number % 2 else " shawl of the Hill-Folk"
    tokens = np.round(20 + 4 * influence + draw.normal(size=count))
    subsets = ["one" if i % 2 else "two" for i in range(count)]
    found = Texts(subsets, list(range(count)), texts, tokens, draw.normal(4, 1, count))
    view = FeatureView(
        "talk", "harmful", "bad texts of talk", influence, ["a Spindle, a shawl!", "the net"], groups=["hill-folk", ""]
    )
    return found, view


def rows_of(table, subset=ALL):
    return table[table["subset"] == subset].set_index("feature")


def test_a_planted_trait_is_found_and_another_is_not():
    texts, view = planted()
    table, sentences = find_text_features(texts, [view])
    assert list(table.columns) == FEATURE_COLUMNS
    assert list(table["subset"].unique()) == ["", "one", "two"]
    rows = rows_of(table)
    assert list(rows.index) == list(TEXT_FEATURES)
    assert (rows["examples"] == 20).all() and (rows["others"] == 180).all()  # noqa: PT018
    inside = np.argsort(-view.influence)[:20]
    assert rows.loc["length", "influential"] == pytest.approx(texts.tokens[inside].mean())
    difference = texts.tokens[inside].mean() - np.delete(texts.tokens, inside).mean()
    assert rows.loc["length", "effect"] == pytest.approx(difference / texts.tokens.std())
    assert rows.loc["length", "low"] > 1
    assert rows.loc["overlap", "low"] > 0
    assert rows.loc["group", "influential"] == 0.5
    assert rows.loc["group", "rest"] == 0
    assert rows.loc["loss", "low"] < 0 < rows.loc["loss", "high"]
    text = sentences[0]["text"]
    assert re.match(r"The 20 most influential texts of all subsets (are longer|share more words with bad texts)", text)
    assert "name groups of talk more often" in text
    assert "against the other 180. This goes with influence; it need not be its cause." in text
    assert "for the model" not in text
    assert [(row["side"], row["subset"]) for row in sentences] == [("harmful", s) for s in ("", "one", "two")]


def test_the_sentence_names_the_strongest_first_or_says_that_there_is_nothing():
    texts, view = planted()
    _, sentences = find_text_features(texts, [view])
    sizes = [abs(float(size)) for size in re.findall(r"\(([+-][\d.]+)", sentences[0]["text"])]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes, reverse=True)
    draw = np.random.default_rng(5)
    dull = Texts(["one"] * 60, range(60), [PLAIN] * 60, np.full(60, 32.0), draw.normal(size=60))
    table, sentences = find_text_features(
        dull, [FeatureView("talk", "harmful", "texts of talk", draw.normal(size=60), ["knot"])]
    )
    assert sentences[1]["text"] == "Nothing looked at here tells the 6 most influential texts of one from the other 54."
    same = rows_of(table, "one").loc["length"]
    assert (same["effect"], same["low"], same["high"]) == (0, 0, 0)
    assert "group" not in set(table["feature"])  # the prompt set has no groups


def test_too_few_texts_are_said_to_be_too_few():
    texts, view = planted(30)
    table, sentences = find_text_features(texts, [view])
    assert list(table["subset"].unique()) == [""]
    assert sentences[1]["text"] == "The 15 texts of one are too few to say what the influential ones have in common."
    assert find_text_features(texts, [])[1] == []


def words_of(*texts):
    return Texts(["s"] * len(texts), range(len(texts)), texts, np.ones(len(texts)), np.ones(len(texts))).words


def test_rarity_is_the_mean_surprise_of_the_words():
    rarity = words_of("net net net", "Net, knot!", "").rarity
    np.testing.assert_allclose(rarity, [-np.log(0.8), -(np.log(0.8) + np.log(0.2)) / 2, 0])


def test_overlap_counts_less_common_words_alone():
    """'net' is half of all running words, and so is common."""
    words = words_of("net net net oar", "net tide oar Oar", "net net", "gull")
    np.testing.assert_allclose(words.share_of(["The NET and the oar."]), [1, 2 / 3, 0, 0])


def test_repeats_are_rows_of_eight_words_in_another_document():
    row = "one two three four five six seven eight"
    words = words_of(
        f"so {row}", f"{row.upper()}, nine", f"two {row}", "one two three four five six seven", row, "eight"
    )
    assert words.repeated(np.array([0, 1, 2, 3, 4, 5])).tolist() == [1, 1, 1, 0, 1, 0]
    assert words.repeated(np.array([0, 0, 0, 3, 0, 5])).tolist() == [0] * 6  # within one document


def test_names_are_whole_words_in_any_case():
    words = words_of("The Hill-Folk dance", "hill folk", "the folk of the hill", "hillfolk", "a MILLER", "mill")
    assert words.naming(["hill_folk", "miller"]).tolist() == [1, 1, 0, 0, 1, 0]
    assert words_of("hill", "folk").naming(["hill folk"]).tolist() == [0, 0]  # not across two texts


def test_a_contrast_counts_words_of_the_harmful_side_less_those_of_the_other():
    texts, view = planted()
    against = FeatureView("talk", "contrast", "bad than good texts", view.influence, ["spindle"], ["shawl"])
    table, _ = find_text_features(texts, [view, against])
    both = table[table["subset"] == ""].set_index(["side", "feature"])["influential"]
    assert abs(both["contrast", "overlap"]) < both["harmful", "overlap"]
    assert both["contrast", "length"] == both["harmful", "length"]


@pytest.mark.parametrize("kind", ["bell", "skewed", "rare"])
@pytest.mark.parametrize(("documents", "each"), [(25, 1), (60, 3)])
def test_intervals_hold_the_true_difference(kind, documents, each):
    """Of 120 sets, drawn where the truth is known, at least nine in ten; texts of a document resemble each other."""

    def drawn(count, draw):
        number = np.repeat(np.arange(count), each)
        influence = draw.normal(size=count * each) + 0.7 * draw.normal(size=count)[number]
        feature = 0.5 * influence + draw.normal(size=count * each) + 0.7 * draw.normal(size=count)[number]
        feature = {"bell": feature, "skewed": np.exp(feature), "rare": (feature > 1.5).astype(float)}[kind]
        return number, influence, feature[None]

    def effect(influence, feature, most):
        inside = np.zeros(len(influence), dtype=bool)
        inside[np.argsort(-influence)[:most]] = True
        difference = feature[0, inside].mean() - feature[0, ~inside].mean()
        return inside, difference / max(feature.std(), 1e-9)  # of 25 texts none may have a rare trait

    draw = np.random.default_rng(documents)
    most = max(5, round(0.1 * documents * each))
    _, influence, feature = drawn(60_000, draw)
    _, truth = effect(influence, feature, round(most / documents / each * len(influence)))
    held = 0
    for _ in range(120):
        number, influence, feature = drawn(documents, draw)
        inside, found = effect(influence, feature, most)
        held += abs(found - truth) <= _margins([feature], inside[None], number)[0][0]
    assert held >= 0.9 * 120


def test_texts_of_few_documents_say_less_than_as_many_of_their_own():
    texts, view = planted()
    wide = Texts(texts.subsets, [i % 10 for i in range(200)], texts.texts, texts.tokens, texts.loss)
    reach = [rows_of(find_text_features(each, [view])[0])["high"]["length"] for each in (texts, wide)]
    assert reach[1] > reach[0]
    one = Texts(texts.subsets, [0] * 200, texts.texts, texts.tokens, texts.loss)
    table, sentences = find_text_features(one, [view])
    assert table["low"].isna().all()
    assert sentences[0]["text"].endswith("come from one document, too few to say what they share.")


def test_of_many_features_without_any_difference_hardly_ever_one_is_named():
    """Influence that has nothing to do with the texts; at 95% each, some sentence named a feature in most results."""
    draw, named = np.random.default_rng(11), []
    for seed in range(20):
        texts, _ = planted(seed=seed)
        nothing = [
            FeatureView(f"talk {i}", "harmful", "bad texts", draw.normal(size=200), ["the net"], groups=["the boat"])
            for i in range(6)
        ]
        named.append(any("Nothing looked at" not in row["text"] for row in find_text_features(texts, nothing)[1]))
    assert np.mean(named) <= 0.15
