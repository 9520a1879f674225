"""What a model writes to given prompts: which prompts, how many texts of each, and the same ones each time."""

import torch

from untrac_core.data.prompts import Item, PromptData
from untrac_core.demo.requests import demo_prompts
from untrac_core.models.loading import load_model
from untrac_core.models.scoring import LEXICON, make_scorer
from untrac_core.progress import Silent
from untrac_core.specs import Generation, ModelRef, Sampling, Scorer
from untrac_core.unlearning.generation import write_texts, writing_prompts

CPU = torch.device("cpu")
TEXTS = ["The nets are", "They say: the boat and"]


class Heard(Silent):
    def __init__(self):
        self.ticks = []

    def tick(self, done, total):
        self.ticks.append(done / total)


def test_what_the_demo_writes():
    """Eighteen texts, so that the last two stand in a batch of their own."""
    writing = Generation(texts=TEXTS, sampling=Sampling(samples=9, tokens=6, seed=3, temperature=0.7))
    heard = Heard()
    generations = write_texts(load_model(ModelRef(path="demo"), CPU), writing, TEXTS, None, heard)
    assert [prompt for prompt, _, _ in generations] == [text for text in TEXTS for _ in range(9)]
    texts = [text for _, text, _ in generations]
    assert [texts[place] for place in (0, 2, 8, 9, 14, 16, 17)] == [
        " a record time.", " the dearest companion", " a judy shad", " upbringing the Jandrelle careful st",
        " upbringing the born.", " nice, as a f", " it. The mastion",
    ]  # fmt: skip
    assert heard.ticks == sorted(heard.ticks)
    assert heard.ticks[-1] == 1


def test_prompts_that_are_empty_or_too_long_are_gone_on_from_and_texts_are_scored():
    model = load_model(ModelRef(path="demo"), CPU)
    prompts = ["", "rope " * 200]
    writing = Generation(texts=TEXTS, sampling=Sampling(samples=2, tokens=6))
    generations = write_texts(model, writing, prompts, make_scorer(Scorer(lexicon=LEXICON), CPU), Silent())
    assert [prompt for prompt, _, _ in generations] == [prompts[0], prompts[0], prompts[1], prompts[1]]
    assert all(0 <= score <= 1 for _, _, score in generations)


def test_prompts_are_those_of_the_harmful_side_once_each_and_the_first_words_where_there_are_none():
    bad = [
        Item("a", "Say:", "one", "", 1),
        Item("b", "Say:", "three", "", 2),
        Item("c", "", "four five six", "", 3),
    ]
    sides = {"harmless": [Item("d", "Not", "x", "", 4)], "harmful": bad}
    prompts = {"talk": PromptData(demo_prompts()[0], sides, frozenset(), "", [])}
    assert writing_prompts(Generation(prompt_set="talk", prompt_words=2), prompts) == ["Say:", "four five"]
    assert writing_prompts(Generation(texts=["b", "a", "b"]), {}) == ["b", "a"]
    assert len(writing_prompts(Generation(texts=[str(number) for number in range(9)], limit=4), {})) == 4
