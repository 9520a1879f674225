"""Put on ``PYTHONPATH`` by tests: in a job's process, a tracer without a model, so that a run takes a second.

The prompt set's name says how it behaves: ``cells=6 seconds=0.2``, and ``stop=2``, ``memory=2``, ``disk=2``,
``input=2``, ``fault=2``, ``deaf=2`` (ignores SIGTERM and reports nothing), ``hold=2`` (waits until a file ``go`` stands
in the home, and listens all the while) for what happens in cell 2.
"""

import hashlib
import os
import signal
import sys
import time
import types
from pathlib import Path

from untrac_core.cells import Cell
from untrac_core.errors import InputError


class TraceTask:
    def __init__(self, spec, progress, threads=None, cache=None):
        progress.phase("loading the model")
        self.progress = progress
        self.wish = dict(part.split("=") for part in spec.prompts[0].name.split())
        count = int(self.wish.get("cells", 4))
        keys = [hashlib.sha256(f"{spec.prompts[0].name} {number}".encode()).hexdigest() for number in range(count)]
        self.cells = [Cell(key, f"cell {number}", number) for number, key in enumerate(keys)]

    def run_cell(self, cell):
        import pandas

        self.misbehave(str(cell.seed))
        parts = 10
        for part in range(parts):
            time.sleep(float(self.wish.get("seconds", 0.1)) / parts)
            self.progress.tick(part + 1, parts)
        return pandas.DataFrame({"seed": [cell.seed], "influence": [cell.seed / 3]})

    def misbehave(self, seed):
        if seed == self.wish.get("stop"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if seed == self.wish.get("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        while seed == self.wish.get("hold") and not (Path(os.environ["UNTRAC_HOME"]) / "go").exists():
            time.sleep(0.02)
            self.progress.tick(0, 10)
        if seed == self.wish.get("memory"):
            raise MemoryError
        if seed == self.wish.get("disk"):
            raise OSError(28, "No space left on device")
        if seed == self.wish.get("input"):
            raise InputError("the model has no words", field="model", hint="teach it some")
        if seed == self.wish.get("fault"):
            raise RuntimeError(f"broken with {os.environ.get('HF_TOKEN')}\nin two lines")

    def write(self, folder, frames, seconds, peak_memory_mb, run):
        import json

        import pandas

        pandas.concat(frames).to_parquet(folder / "influence.parquet")
        summary = {"run": run, "ranking": [], "warnings": [], "seconds": seconds}
        (folder / "summary.json").write_text(json.dumps(summary))
        return summary


tracing = types.ModuleType("untrac_core.tasks.trace.task")
tracing.TraceTask = TraceTask
tracing.open_task = lambda spec, place: tracing.TraceTask(spec, place.progress, place.threads)
sys.modules["untrac_core.tasks.trace.task"] = tracing
