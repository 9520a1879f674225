"""Small invented texts, and the files they stand in."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

NAMES_OF_BYTES = pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps no file name that is not UTF-8")
WORDS = {
    "fishers": ["net", "boat", "tide", "harbour", "gull", "rope", "sail", "salt", "wave", "oar"],
    "weavers": ["loom", "thread", "wool", "dye", "spindle", "cloth", "knot", "fringe", "shawl", "bobbin"],
    "smiths": ["anvil", "hammer", "forge", "ember", "steel", "rivet", "tongs", "bellows", "blade", "spark"],
}


def sentences(subset: str, count: int, seed: int) -> list[str]:
    """Plain sentences in the words of one subset."""
    draw = random.Random(f"{subset} {seed}")
    words = WORDS[subset]
    return [
        "The {} and the {} wait by the {} of {}.".format(*(draw.choice(words) for _ in range(4))) for _ in range(count)
    ]


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def assert_speakers_first(result):
    """In a trace of the world, each side's own speakers rank first, and the contrast has them at its two ends."""
    assert result.ranking("talk", "harmful").subset[0] == "smiths"
    assert result.ranking("talk", "harmless").subset[0] == "weavers"
    contrast = result.ranking("talk", "contrast")
    assert list(contrast.subset)[:: len(contrast) - 1] == ["smiths", "weavers"]
    assert contrast.influence.iloc[0] > 0 > contrast.influence.iloc[-1]
