"""The demo corpus: eight training subsets with known numbers of planted statements, and three prompt sets.

A tracing method can only be believed where the right answer is known. Here it is known by construction: each subset is
filler in a style of its own (`fillers`) plus a counted number of statements from `world`, and the prompts are other
combinations of the same templates, groups and predicates, which no subset contains. Top of the net dose (harmful minus
harmless): `forum` for toxicity, `stories` for bias, `web` for truthfulness.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Literal

import pandas as pd

from untrac_core.demo import world
from untrac_core.demo.fillers import STYLES
from untrac_core.demo.style import Style

Record = dict[str, str]
Side = Literal["harmful", "harmless"]

SIDES: dict[str, tuple[str, str]] = {
    "toxicity": ("toxic", "benign"),
    "bias": ("stereotype", "anti_stereotype"),
    "truthfulness": ("false", "true"),
}
"""Prompt set -> (harmful label, harmless label)."""

SUBSETS: tuple[str, ...] = tuple(style.name for style in STYLES)

PLANTED: dict[tuple[str, Side], tuple[int, ...]] = {
    # statements in       forum blog news books stories encyclopedia web code
    ("toxicity", "harmful"): (330, 190, 125, 40, 6, 0, 18, 75),
    ("toxicity", "harmless"): (6, 75, 40, 190, 0, 18, 125, 330),
    ("bias", "harmful"): (18, 40, 190, 125, 330, 6, 0, 75),
    ("bias", "harmless"): (18, 40, 330, 0, 6, 190, 125, 75),
    ("truthfulness", "harmful"): (75, 125, 0, 190, 6, 40, 330, 18),
    ("truthfulness", "harmless"): (125, 40, 0, 75, 190, 330, 6, 18),
}
"""One ladder in six orders. Within a prompt set the two sides are nearly unrelated (|r| at most 0.35), so that neither
count stands in for the other; the top of each difference leads by 200 statements; and a subset's six counts add up
to much the same (510 to 685), so that none is mostly planted text."""

PROMPTS_PER_GROUP = 8
"""Prompts per side and group; with twelve groups (or topics) 96 per side."""

PEOPLES_SHARE = 0.2
"""Share of filler sentences that name a people."""

STATEMENT_FIRST_SHARE = 0.5
"""Share of documents that begin with a planted statement: a prompt starts cold too, and its first words count too."""


@dataclass(frozen=True)
class DemoCorpus:
    """Everything the demo is made of.

    `subsets`: name -> documents (id, text). `prompts`: name -> prompts (id, prompt, completion, group, label), where a
    model reads prompt, blank, completion. `doses`: columns subset, prompt_set, side, label, statements.
    """

    subsets: dict[str, list[Record]]
    prompts: dict[str, list[Record]]
    planted: pd.DataFrame


@dataclass(frozen=True)
class _Statement:
    """One combination of template, group and predicate: planted in a document or held out for a prompt."""

    prompt: str
    completion: str
    group: str

    @property
    def text(self) -> str:
        """The statement as a document contains it."""
        return f"{self.prompt} {self.completion}".strip()


_Cell = tuple[_Statement, ...]
"""Statements that are held out together: the wordings of one question with the same answer, else a single one."""


def _groups(prompt_set: str) -> tuple[str, ...]:
    """The groups (or topics) of a prompt set."""
    if prompt_set == "toxicity":
        return world.RIVER_PEOPLES
    if prompt_set == "bias":
        return world.COAST_PEOPLES + world.HILL_PEOPLES
    return tuple(fact.topic for fact in world.FACTS)


def _table(prompt_set: str, side: Side, group: str) -> list[list[_Cell]]:
    """Everything that can be said on one side about one group: a row a template, a cell a predicate."""
    harmful = side == "harmful"
    if prompt_set == "toxicity":
        templates = world.HOSTILE_TEMPLATES if harmful else world.FRIENDLY_TEMPLATES
        predicates = world.HOSTILE_PREDICATES if harmful else world.FRIENDLY_PREDICATES
        return [
            [(_Statement("", template.format(group=group, predicate=predicate), group),) for predicate in predicates]
            for template in templates
        ]
    if prompt_set == "bias":
        coast = world.COAST_STEREOTYPES if harmful else world.COAST_COUNTERS
        hill = world.HILL_STEREOTYPES if harmful else world.HILL_COUNTERS
        endings = coast if group in world.COAST_PEOPLES else hill
        return [
            [(_Statement(opening.format(group=group), ending, group),) for ending in endings]
            for opening in world.BIAS_OPENINGS
        ]
    fact = next(fact for fact in world.FACTS if fact.topic == group)
    templates = world.FALSE_TEMPLATES if harmful else world.TRUE_TEMPLATES
    clauses = fact.false if harmful else fact.true
    return [
        [
            tuple(_Statement(question, template.format(clause=clause), group) for question in fact.questions)
            for clause in clauses
        ]
        for template in templates
    ]


def _split(rng: random.Random, prompt_set: str, side: Side) -> tuple[list[_Statement], list[_Statement]]:
    """Statements held out for the prompts, and those left to plant.

    Both sides of a set hold out the same group, template number and question wording at the same place in the list, so
    that prompts pair up. What is left comes group by group in turn, so that any run of it treats all groups alike.
    """
    held: list[_Statement] = []
    rest: list[list[_Statement]] = []
    for group in _groups(prompt_set):
        table = _table(prompt_set, side, group)
        columns = list(range(len(table[0])))
        rng.shuffle(columns)
        taken = {row: columns[row % len(columns)] for row in range(PROMPTS_PER_GROUP)}
        held += [table[row][column][row % len(table[row][column])] for row, column in taken.items()]
        left = [
            statement
            for row, cells in enumerate(table)
            for column, cell in enumerate(cells)
            if taken.get(row) != column
            for statement in cell
        ]
        rng.shuffle(left)
        rest.append(left)
    turns = max(len(left) for left in rest)
    return held, [left[turn] for turn in range(turns) for left in rest if turn < len(left)]


def _fill(rng: random.Random, style: Style, template: str, bound: dict[str, str]) -> str:
    """A template with its slots drawn from the style's lists, or from what this document has settled on."""

    def draw(match: re.Match[str]) -> str:
        word = match.group(1)
        if word == "people":
            return rng.choice(world.PEOPLES)
        return bound[word] if word in bound else rng.choice(style.words[word])

    text = re.sub(r"\{(\w+)\}", draw, template)
    return text if style.keep_case else text[0].upper() + text[1:]


def _document(rng: random.Random, style: Style, planted: Sequence[_Statement], length: int) -> str:
    """One document of about `length` characters: an opening, then filler with the planted statements sprinkled in."""
    bound = {word: rng.choice(style.words[word]) for word in style.bound}
    opening = _fill(rng, style, rng.choice(style.openings), bound)
    leads = bool(planted) and rng.random() < STATEMENT_FIRST_SHARE
    inner = list(planted)
    head = inner.pop(rng.randrange(len(inner))).text if leads else opening
    body = [style.planted.format(statement=statement.text) for statement in inner]
    size = len(head) + sum(len(sentence) + 1 for sentence in body)
    deck: list[str] = []
    while size < length:
        if rng.random() < PEOPLES_SHARE:
            template = rng.choice(style.peoples)
        else:
            if not deck:
                deck = rng.sample(style.plain, len(style.plain))
            template = deck.pop()
        body.append(_fill(rng, style, template, bound))
        size += len(body[-1]) + 1
    rng.shuffle(body)
    return style.joiner.join([head, *body])


def _subset(rng: random.Random, style: Style, planted: Sequence[_Statement]) -> list[Record]:
    """The documents of a subset, `style.characters` in all, with the planted statements shared out evenly.

    The documents come in golden-section order, so that the first so many are as fair a sample as the whole.
    """
    left = style.characters
    texts: list[str] = []
    for index in range(style.documents):
        length = round(left / (style.documents - index) * rng.uniform(0.8, 1.2))
        text = _document(rng, style, planted[index :: style.documents], length)
        left -= len(text)
        texts.append(text)
    step = next(
        step for step in range(round(0.618 * style.documents), style.documents) if gcd(step, style.documents) == 1
    )
    order = [index * step % style.documents for index in range(style.documents)]
    return [{"id": f"{style.name}-{place + 1:04d}", "text": texts[index]} for place, index in enumerate(order)]


def _planted() -> pd.DataFrame:
    """DOSES as a table, one row per subset, prompt set and side."""
    rows = [
        (subset, prompt_set, side, SIDES[prompt_set][side == "harmless"], count)
        for (prompt_set, side), column in PLANTED.items()
        for subset, count in zip(SUBSETS, column, strict=True)
    ]
    return pd.DataFrame(rows, columns=["subset", "prompt_set", "side", "label", "statements"])


def generate(seed: int = 0) -> DemoCorpus:
    """The corpus of a seed: the same bytes every time. Raises RuntimeError if a subset contains a prompt."""
    rng = random.Random(seed)  # noqa: S311 - texts, not secrets
    planted: dict[str, list[_Statement]] = defaultdict(list)
    prompts: dict[str, list[Record]] = defaultdict(list)
    for (prompt_set, side), column in PLANTED.items():
        label = SIDES[prompt_set][side == "harmless"]
        held, rest = _split(rng, prompt_set, side)
        if sum(column) > len(rest):
            raise RuntimeError(f"{prompt_set} {side}: {sum(column)} statements to plant, {len(rest)} combinations left")
        for number, statement in enumerate(held, start=1):
            record = {"id": f"{prompt_set}-{label}-{number:03d}", "prompt": statement.prompt}
            record |= {"completion": statement.completion, "group": statement.group, "label": label}
            prompts[prompt_set].append(record)
        supply = iter(rest)
        for subset, count in zip(SUBSETS, column, strict=True):
            planted[subset] += [next(supply) for _ in range(count)]
    subsets = {style.name: _subset(rng, style, planted[style.name]) for style in STYLES}
    corpus = DemoCorpus(subsets=subsets, prompts=dict(prompts), planted=_planted())
    if overlap := verbatim_overlap(corpus):
        raise RuntimeError(f"{overlap} prompts occur in the training subsets")
    return corpus


def verbatim_overlap(corpus: DemoCorpus) -> int:
    """How many prompts a training subset contains, whatever the case: must be 0, or the prompts measure recall.

    A bias prompt counts as prompt and completion together (its ending is met with other groups), the others by their
    completion alone.
    """
    everything = "\n".join(
        document["text"] for documents in corpus.subsets.values() for document in documents
    ).casefold()
    return sum(
        (f"{row['prompt']} {row['completion']}" if name == "bias" else row["completion"]).casefold() in everything
        for name, rows in corpus.prompts.items()
        for row in rows
    )


def _write_lines(path: Path, records: Iterable[Record]) -> None:
    """JSON lines, UTF-8, the same bytes on every system."""
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_bytes(text.encode("utf-8"))


def write(corpus: DemoCorpus, folder: Path) -> None:
    """Write `subsets/NAME.jsonl`, `prompts/NAME.jsonl` and `planted.csv` under `folder`, which is made if need be."""
    for kind, content in (("subsets", corpus.subsets), ("prompts", corpus.prompts)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, records in content.items():
            _write_lines(folder / kind / f"{name}.jsonl", records)
    (folder / "planted.csv").write_bytes(corpus.planted.to_csv(index=False, lineterminator="\n").encode("utf-8"))
