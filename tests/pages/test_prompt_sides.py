"""The sides of a prompt set on its page: what sentences call their texts."""

from tests.helpers.making import put, said, sound
from untrac_core.engine import Library
from untrac_core.text.labels import labels, question


def own(home):
    return [entry for entry in Library(home).entries("prompts") if not entry.builtin]


def press(at, key):
    at.button(key=key).click()
    return sound(at.run())


def test_sides_have_names_for_sentences(page, home):
    """A label of digits says nothing: the page asks for a word, and keeps it with the set."""
    rows = [f"The weavers sing {i}.,{i % 2}" for i in range(8)]
    at = put(page("pages/prompts.py"), "p_", ("hate.csv", "\n".join(["text,hate?", *rows]).encode()))
    fields = {side: at.text_input(key=f"p_1_{side}_name_{label}") for side, label in (("harmful", 1), ("harmless", 0))}
    assert {side: field.value for side, field in fields.items()} == {"harmful": "harmful", "harmless": "harmless"}
    fields["harmful"].set_value("<b>").run()
    assert "letters, digits, blanks and hyphens alone" in said(press(at, "b_p_1_add"))
    assert not own(home)
    at.text_input(key="p_1_harmful_name_1").set_value("spiteful").run()
    press(sound(at), "b_p_1_add")
    [entry] = own(home)
    assert labels(entry.value) == ("spiteful", "harmless")
    assert question(entry.value, "contrast") == "Which subsets push the model towards spiteful text?"


def test_of_two_labels_the_other_one_is_the_contrast(page, home):
    rows = [f"The weavers sing {i}.,{('loud', 'soft')[i % 2]}" for i in range(8)]
    at = put(page("pages/prompts.py"), "p_", ("songs.csv", "\n".join(["text,label", *rows]).encode()))
    at.selectbox(key="p_1_harmful").set_value("loud").run()
    assert sound(at).selectbox(key="p_1_harmless").value == "soft"
    press(at, "b_p_1_add")
    [entry] = own(home)
    assert (entry.value.harmful, entry.value.harmless) == ("loud", "soft")
