"""A file of 2 GB: one pass, in a process of its own, whose memory stays bounded.

Its times are held to several times what they are, so it runs beside others.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pace import allowed
from untrac_core.paths import PROJECT

pytestmark = pytest.mark.slow  # half a minute of reading
SIZE = 2_000_000_000
SCRIPT = """
import json, sys, time
from untrac_core.data.collections import members
from untrac_core.data.readers.records import preview
from untrac_core.data.subsets import load_subsets
from untrac_core.models.devices import own_peak_mb
from untrac_core.specs.runs import Collection, Source

source = Source(file=sys.argv[1])
times = [time.monotonic()]
look = preview(source)
times.append(time.monotonic())
found = members(Collection(source=source, split_by="column", column="meta.trade"))
times.append(time.monotonic())
loaded = load_subsets(found)
times.append(time.monotonic())
print(json.dumps({
    "seen": {name: data.seen for name, data in loaded.items()},
    "held": [len(data.documents) for data in loaded.values()],
    "characters": sum(len(document.text) for data in loaded.values() for document in data.documents),
    "whole": look.whole,
    "rows": look.count,
    "peak_mb": own_peak_mb(),
    "seconds": [later - sooner for sooner, later in zip(times, times[1:])],
}))
"""


@pytest.fixture
def large(tmp_path):
    """2 GB of documents of three trades, and how many of each there are; removed afterwards."""
    draw, words = random.Random(0), [f"net{i}" for i in range(3000)]
    rows, counts = [], {"fishers": 0, "weavers": 0, "smiths": 0}
    for i in range(3000):
        trade = draw.choices(list(counts), (1, 2, 7))[0]
        counts[trade] += 1
        text = " ".join(draw.choices(words, k=draw.randrange(20, 600)))
        rows.append(json.dumps({"id": str(i), "text": text, "meta": {"trade": trade, "n": i}}) + "\n")
    block = "".join(rows).encode()
    path, times = tmp_path / "large.jsonl", SIZE // len(block) + 1
    with open(path, "wb") as file:
        for _ in range(times):
            file.write(block)
    yield path, {name: count * times for name, count in counts.items()}
    path.unlink()


def test_two_gigabytes_stream_in_bounded_memory(large, tmp_path):
    path, counts = large
    environment = {**os.environ, "UNTRAC_HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT)}
    line = [sys.executable, "-c", SCRIPT, str(path)]
    done = subprocess.run(line, env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(told)
    assert told["seen"] == counts  # every row was looked at
    assert told["peak_mb"] < 600
    assert told["characters"] < 64_000_000
    assert told["characters"] > 50_000_000
    assert max(told["held"]) < 1.5 * min(told["held"])  # the memory is shared, whatever the sizes are
    assert not told["whole"]
    assert told["seconds"][0] < allowed(5)  # a look does not read it all
    assert told["seconds"][2] < allowed(10)  # nor does loading, once the pass has been
    assert sum(file.stat().st_size for file in Path(tmp_path / "home" / "samples").iterdir()) < 64_000_000
