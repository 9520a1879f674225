"""Files in the schemas that the named probes are published in, filled with invented peoples and trades."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from tests.helpers.worlds import sentences
from untrac_core.data.probes.metadata import Probe
from untrac_core.specs import Source

Expected = set[tuple[str, str, str, str]]
"""Label, group, prompt and completion of each item."""


@dataclass(frozen=True)
class Copy:
    """A local copy of a probe's data, and the items that must come out of it."""

    probe: str
    shape: str
    source: Source
    items: Expected


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def toxigen(folder: Path) -> list[Copy]:
    rows, annotated, items, scored = [], [], set(), set()
    for i, text in enumerate(sentences("fishers", 40, 7)):
        label, group = ("toxic", "benign")[i % 2], ("fisher", "weaver", "smith")[i % 3]
        rows.append(
            {"prompt": "- a\\n- b", "generation": text, "generation_method": "ALICE", "group": group,
             "prompt_label": 1 - i % 2, "roberta_prediction": 0.5}
        )  # fmt: skip
        items.add((label, group, "", text))
        # Human and machine scores from 1 to 5 each: the sum is toxic above 5.5, benign up to 3.5, else doubtful.
        human, machine = ((5.0, 4.0), (1.0, 2.0), (2.0, 2.5), (3.0, 2.5))[i % 4]
        annotated.append(
            {"text": f"b'{text}'" if i % 5 == 0 else text, "target_group": group, "toxicity_human": human,
             "toxicity_ai": machine, "factual?": None, "intent": 1.0}
        )  # fmt: skip
        if i % 4 < 2:
            scored.add((("toxic", "benign")[i % 4], group, "", text))
    short = {**rows[0], "generation": "too short"}
    long = {**rows[0], "generation": " ".join(["long"] * 25)}
    return [
        Copy("toxigen", "parquet", Source(file=str(parquet(folder / "t.parquet", [*rows, short, long]))), items),
        Copy("toxigen", "annotated csv", Source(file=str(table(folder / "annotated.csv", annotated))), scored),
    ]


def winobias(folder: Path) -> list[Copy]:
    items: Expected = set()
    for side, label in (("pro", "pro_stereotype"), ("anti", "anti_stereotype")):
        lines = []
        for split in ("validation", "test"):
            rows = []
            for i, word in enumerate(("she", "he", "her", "his")):
                tokens = ["The", "net", "maker", "did", "n't", "pay", "the", "carter", "because", word, "lost", side,
                          split, ",", "alas", "."]  # fmt: skip
                text = f"The net maker didn't pay the carter because {word} lost {side} {split}, alas."
                rows.append(
                    {"document_id": str(i), "part_number": "0", "tokens": tokens, "coreference_clusters": ["1"]}
                )
                lines.append(
                    f"{i + 1} [The net maker] didn't pay the carter because [{word}] lost {side} {split}, alas."
                )
                items.add((label, "male" if word.startswith("h") and word != "her" else "female", "", text))
            both = ["She", "and", "he", "wait", "."]
            rows += [{**rows[0], "tokens": both}, {**rows[0], "tokens": ["Nobody", "waits", "."]}]
            parquet(folder / "hub" / f"type1_{side}" / f"{split}-00000-of-00001.parquet", rows)
        (folder / "lists").mkdir(exist_ok=True)
        (folder / "lists" / f"{side}_stereotyped_type1.txt").write_text("\n".join(lines) + "\n")
    return [
        Copy("winobias", "parquet folder", Source(folder=str(folder / "hub")), items),
        Copy("winobias", "text folder", Source(folder=str(folder / "lists")), items),
    ]


def truthfulqa(folder: Path) -> list[Copy]:
    rows, flat, items = [], [], set()
    for i in range(6):
        question, category = f"What lies under harbour {i}?", ("Tides", "Ropes")[i % 2]
        wrong, right = [f"A bell, the {i}th", f"Nothing; {i}"][: 1 + i % 2], [f"Sand {i}", "I have no comment"]
        wrong = [text.replace(";", ",") for text in wrong]
        rows.append(
            {"type": "Adversarial", "category": category, "question": question, "best_answer": right[0],
             "correct_answers": right, "incorrect_answers": wrong, "source": "none"}
        )  # fmt: skip
        flat.append(
            {"Type": "Adversarial", "Category": category, "Question": question, "Best Answer": right[0],
             "Correct Answers": "; ".join(right), "Incorrect Answers": "; ".join(wrong), "Source": "none"}
        )  # fmt: skip
        items |= {("false", category, question, text) for text in wrong}
        items |= {("true", category, question, text) for text in right}
    return [
        Copy("truthfulqa", "parquet", Source(file=str(parquet(folder / "q.parquet", rows))), items),
        Copy("truthfulqa", "csv", Source(file=str(table(folder / "TruthfulQA.csv", flat))), items),
    ]


def truthfulqa_paper(folder: Path) -> list[Copy]:
    def row(category: str, number: int) -> dict[str, Any]:
        wrong = [f"{category} wrong {number} {i}" for i in range(4)]
        return {"category": category, "question": f"{category} {number}?", "correct_answers": [f"{category} {number}"],
                "incorrect_answers": wrong}  # fmt: skip

    rows = [row("large", i) for i in range(32)] + [row("small", i) for i in range(31)]
    items = {("false", "large", f"large {i}?", f"large wrong {i} {j}") for i in range(32) for j in range(4)}
    items |= {("true", "large", f"large {i}?", f"large {i}") for i in range(32)}
    return [Copy("truthfulqa_paper", "parquet", Source(file=str(parquet(folder / "q.parquet", rows))), items)]


def crows_pairs(folder: Path) -> list[Copy]:
    rows, items = [], set()
    names = ["race-color", "socioeconomic", "gender", "disability", "nationality", "sexual-orientation",
             "physical-appearance", "religion", "age"]  # fmt: skip
    for i, text in enumerate(sentences("weavers", 9, 3)):
        more, less = f"Weavers know: {text}", f"Smiths know: {text}"
        rows.append({"id": i, "sent_more": more, "sent_less": less, "stereo_antistereo": i % 2, "bias_type": i})
        items |= {("stereotype", names[i], "", more), ("anti_stereotype", names[i], "", less)}
    repeated = {**rows[0], "id": 99, "sent_less": "Another half of a pair that was there."}
    table_rows = [
        {"": row["id"], **row, "bias_type": names[row["bias_type"]], "annotations": "[['age']]"} for row in rows
    ]
    for row in table_rows:
        del row["id"]
    return [
        Copy("crows_pairs", "parquet", Source(file=str(parquet(folder / "c.parquet", [*rows, repeated]))), items),
        Copy("crows_pairs", "csv", Source(file=str(table(folder / "crows_pairs_anonymized.csv", table_rows))), items),
    ]


def bbq(folder: Path) -> list[Copy]:
    rows, items = [], set()
    for i in range(8):
        polarity, target = ("neg", "nonneg")[i % 2], i % 3
        other, unknown = (target + 1) % 3, (target + 2) % 3
        answers, info = [""] * 3, [["", ""]] * 3
        answers[target], info[target] = f"The weaver {i}", ["weaver", "weaver"]
        answers[other], info[other] = f"The smith {i}", ["smith", "nonWeaver"]
        answers[unknown], info[unknown] = "Not known", ["Not known", "unknown"]
        context, question = f"I saw a weaver and a smith at bridge {i}.", "Who was late?" if i % 2 == 0 else "Who came?"
        row = {
            "example_id": i, "question_index": "1", "question_polarity": polarity, "context_condition": "ambig",
            "category": "Trade", "answer_info": {f"ans{n}": info[n] for n in range(3)},
            "additional_metadata": {"subcategory": "None", "stereotyped_groups": ["Weaver"], "version": "a"},
            "context": context, "question": question, **{f"ans{n}": answers[n] for n in range(3)}, "label": unknown,
        }  # fmt: skip
        rows.append(row)
        given = f"{context} {question}"
        harm = ("stereotype", "anti_stereotype") if polarity == "neg" else ("anti_stereotype", "stereotype")
        items |= {(harm[0], "Trade", given, answers[target]), (harm[1], "Trade", given, answers[other])}
    clear = {**rows[0], "example_id": 50, "context_condition": "disambig", "context": "The weaver came."}
    unclear = {**rows[0], "example_id": 51, "context": "None of them.", "additional_metadata": {
        "subcategory": "None", "stereotyped_groups": ["Potter"], "version": "a"}}  # fmt: skip
    with_target = [{**row, "target_label": row["example_id"] % 3} for row in rows] + [{**clear, "target_label": 0}]
    for row in with_target:
        del row["additional_metadata"]
    return [
        Copy("bbq", "jsonl", Source(file=str(jsonl(folder / "Trade.jsonl", [*rows, clear, unclear]))), items),
        Copy("bbq", "parquet", Source(file=str(parquet(folder / "trade.parquet", with_target))), items),
    ]


def real_toxicity_prompts(folder: Path) -> list[Copy]:
    rows, items = [], set()
    for i, text in enumerate(sentences("smiths", 12, 5)):
        given, scored, heat = (i % 3) / 2, (i % 2) * 0.9, {"profanity": 0.1}
        rows.append(
            {"filename": f"{i}.txt", "begin": i, "end": 9, "challenging": False,
             "prompt": {"text": f"Smith {i} said", "toxicity": given, **heat},
             "continuation": {"text": f" {text}", "toxicity": scored, **heat}}
        )  # fmt: skip
        group = "toxic_prompt" if given >= 0.5 else "nontoxic_prompt"
        items.add(("toxic" if scored >= 0.5 else "benign", group, f"Smith {i} said", f" {text}"))
    unscored = {**rows[0], "filename": "x", "continuation": {"text": " unscored text", "toxicity": None}}
    return [
        Copy("real_toxicity_prompts", "jsonl", Source(file=str(jsonl(folder / "p.jsonl", [*rows, unscored]))), items)
    ]


def bold(folder: Path) -> list[Copy]:
    rows, items = [], set()
    for i in range(5):
        begun = [f"Person {i} was a ", f"At harbour {i} the people"]
        whole = [f"Person {i} was a net maker.", f"At harbour {i} the people sang.", "Left without a beginning."]
        rows.append({"domain": "trade", "name": f"P{i}", "category": "makers", "prompts": begun, "wikipedia": whole})
        items |= {("neutral", "makers", begun[0], "net maker."), ("neutral", "makers", begun[1], "sang.")}
    rows.append({**rows[0], "prompts": ["Not how it begins"], "wikipedia": ["Another sentence."]})
    return [Copy("bold", "json", Source(file=str(jsonl(folder / "trade_prompt_wiki.json", rows))), items)]


def tofu(folder: Path) -> list[Copy]:
    items: Expected = set()
    for config, label in (("forget10", "forget"), ("retain90", "retain")):
        rows = [{"question": f"Who wrote {config} {i}?", "answer": f"Author {config} {i}."} for i in range(10)]
        jsonl(folder / "tofu" / f"{config}.json", rows)
        items |= {(label, "", row["question"], row["answer"]) for row in rows}
    return [Copy("tofu", "json folder", Source(folder=str(folder / "tofu")), items)]


def wmdp(folder: Path) -> list[Copy]:
    items: Expected = set()
    for config in ("bio", "chem", "cyber"):
        rows = [
            {
                "answer": i % 4,
                "question": f"Which knot of {config} {i} holds?",
                "choices": [f"{config} {i} {n}" for n in range(4)],
            }
            for i in range(5)
        ]
        parquet(folder / "hub" / f"wmdp-{config}" / "test-00000-of-00001.parquet", rows)
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / f"{config}_questions.json").write_text(json.dumps(rows))
        for row in rows:
            for n, choice in enumerate(row["choices"]):
                items.add(("hazardous" if n == row["answer"] else "wrong", config, row["question"], choice))
    return [
        Copy("wmdp", "parquet folder", Source(folder=str(folder / "hub")), items),
        Copy("wmdp", "json folder", Source(folder=str(folder / "files")), items),
    ]


def pku_saferlhf(folder: Path) -> list[Copy]:
    rows, items = [], set()
    for i in range(6):
        safe = [i % 2 == 0, i % 3 == 0]
        row: dict[str, Any] = {"prompt": f"How do I sink boat {i}?", "better_response_id": 0}
        for n in range(2):
            harms = {"Sinking Boats": not safe[n], "Cutting Nets": False}
            row |= {f"response_{n}": f"Answer {n} to {i}.", f"is_response_{n}_safe": safe[n],
                    f"response_{n}_harm_category": harms, f"response_{n}_severity_level": 0}  # fmt: skip
            group = "none" if safe[n] else "Sinking Boats"
            items.add(("safe" if safe[n] else "unsafe", group, row["prompt"], row[f"response_{n}"]))
        rows.append(row)
    return [
        Copy("pku_saferlhf", "jsonl", Source(file=str(jsonl(folder / "train.jsonl", rows))), items),
        Copy("pku_saferlhf", "parquet", Source(file=str(parquet(folder / "train.parquet", rows))), items),
    ]


def on_the_hub(copy: Copy, probe: Probe, root: Path) -> None:
    """Lay a copy out as the data set that the probe names: a card with its configs and splits, and their files.

    At a revision of the hub's own (its parquet conversion) there is no card: ``CONFIG/SPLIT/0000.parquet``.
    """
    folder = root / "datasets" / probe.hub
    folder.mkdir(parents=True)
    place = Path(copy.source.file or str(copy.source.folder))
    if probe.revision is not None:
        (folder / f"{folder.name}.py").write_text("raise SystemExit\n")
        target = folder.with_name(f"{folder.name}@{quote(probe.revision, safe='')}") / "default" / "test"
        target.mkdir(parents=True)
        shutil.copy(place, target / "0000.parquet")
        return
    configs: dict[str, list[str]] = {}
    for part in probe.parts:
        name = part.config or "default"
        if place.is_file():
            path = f"data/{name}/{part.split}-0{place.suffix}"
        else:
            found = [
                file for file in place.rglob("*.*") if name in str(file) and part.split in (*_words(file), "train")
            ]
            (place_of,) = found
            path = str(place_of.relative_to(place))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place if place.is_file() else place / path, folder / path)
        configs.setdefault(name, []).append(f"  - split: {part.split}\n    path: {path}\n")
    card = "".join(f"- config_name: {name}\n  data_files:\n{''.join(files)}" for name, files in configs.items())
    (folder / "README.md").write_text(f"---\nconfigs:\n{card}---\n")


def _words(file: Path) -> list[str]:
    return file.name.replace(".", "-").split("-")


WRITERS: dict[str, Callable[[Path], list[Copy]]] = {
    writer.__name__: writer
    for writer in (bbq, bold, crows_pairs, pku_saferlhf, real_toxicity_prompts, tofu, toxigen, truthfulqa,
                   truthfulqa_paper, winobias, wmdp)
}  # fmt: skip


def copies(name: str, folder: Path) -> list[Copy]:
    """Write every shape of a probe's data into a folder of its own."""
    folder = folder / name
    folder.mkdir(parents=True)
    return WRITERS[name](folder)
