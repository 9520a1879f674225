import pytest

from pages.components.layout import labels as words
from untrac_core.specs import PromptSet, Source
from untrac_core.text import labels as wording
from untrac_core.text import numbers
from untrac_core.text.masking import mask


def prompts(harmful="toxic", harmless="benign", name="probe"):
    columns = {"label": "label"} if harmful else {}
    values = {"name": name, "source": Source(bundled="x"), "columns": columns}
    return PromptSet.model_validate({**values, "harmful": harmful, "harmless": harmless})


@pytest.mark.parametrize(
    "text", ["<b>", "[a](b)", "a:b", "a|b", "*a*", "$x$", "www.evil.example", "-a", "", None, "x" * 41]
)
def test_a_word_that_could_be_markup_is_not_plain(text):
    assert wording.plain(text) is None


def test_plain_words_lose_their_underscores():
    assert wording.plain("anti_stereotype") == "anti stereotype"
    assert wording.plain("Grün 2") == "Grün 2"


def test_questions_use_the_labels_only_when_they_are_plain():
    assert wording.question(prompts(), "contrast") == "Which subsets push the model towards toxic text?"
    assert wording.question(prompts(), "harmless") == "Which subsets make benign text more likely?"
    assert wording.question(prompts("<b>"), "contrast") == "Which subsets push the model towards harmful text?"
    unlabelled = prompts(None, None)
    assert wording.question(unlabelled, "harmful") == "Which subsets make the texts of probe more likely?"
    assert "this text a lower probability" in wording.legend(unlabelled, "harmful")


def test_texts_of_a_side_are_called_as_the_set_says():
    named = prompts("1", "0").model_copy(update={"harmful_name": "spiteful"})
    assert wording.texts_of(named, "contrast") == "spiteful rather than harmless texts of probe"
    assert wording.texts_of(named, "harmful") == "spiteful texts of probe"
    assert (
        wording.texts_of(prompts("pro_stereotype", "anti_stereotype"), "harmless") == "anti stereotype texts of probe"
    )
    assert wording.texts_of(prompts(None, None), "harmful") == "the texts of probe"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "unknown"), (3.4, "3 s"), (200, "3 min 20 s"), (1500, "25 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert numbers.duration(seconds) == text


def test_times_and_sizes():
    assert words.ago(None) == "not yet"
    assert words.ago(0) == "recorded"
    assert words.ago(100.0, now=103.0) == "just now"
    assert words.ago(100.0, now=190.0) == "1 min 30 s ago"
    assert numbers.megabytes(3.21) == "3.2 MB"
    assert numbers.megabytes(2048) == "2.0 GB"


def test_a_mask_keeps_the_outline_only():
    assert mask("The Ormeli\nsing") == "••• •••••• ••••"
