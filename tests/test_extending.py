"""What CONTRIBUTING promises: a method is one file and one row, a probe one YAML. Each is added to a copy of the core
and run from a spec to its result."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.recipes import prompt_spec, subset_specs
from tests.helpers.unlearning_requests import RECIPE
from tests.helpers.worlds import sentences, write_jsonl
from untrac_core.paths import PROJECT

pytestmark = pytest.mark.slow  # each runs a copy of the core in a process of its own

RUN = """
import json, sys
from untrac_core.specs.files import load_spec
from untrac_core.tasks.run import run_task
result = run_task(load_spec(sys.argv[1]), "out")
print(json.dumps(result.summary))
"""


@pytest.fixture
def core(tmp_path):
    """A copy of the core that a contributor works in; with its bytecode, which takes as long to make as a run."""
    shutil.copytree(PROJECT / "untrac_core", tmp_path / "untrac_core")
    return tmp_path / "untrac_core"


def run(core, spec) -> dict:
    """The summary of a request, run by the copy in a process of its own."""
    (core.parent / "spec.yaml").write_text(yaml.safe_dump(spec))
    environment = {**os.environ, "PYTHONPATH": str(core.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, "spec.yaml"], cwd=core.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def add_row(core, table: str, row: str) -> None:
    """Put a row at the beginning of a table of the catalogue."""
    path = core / "specs" / "catalogue.py"
    text = path.read_text()
    begin = f"{table} = _rows(\n"
    assert text.count(begin) == 1
    path.write_text(text.replace(begin, f"{begin}    {row},\n"))


def trace_of(world, **more) -> dict:
    return {
        "kind": "trace", "model": {"path": str(world / "model")}, "prompts": [prompt_spec(world)],
        "subsets": subset_specs(world), "seeds": [0, 1], "baselines": [], "device": "cpu", **more,
    }  # fmt: skip


def test_an_attribution_method_is_one_file_and_one_row(world, core):
    (core / "attribution" / "baselines" / "clipped_dot.py").write_text(
        '"""Gradient products that no single parameter decides."""\n'
        "from untrac_core.attribution.baselines.gradients import GradientMethod\n\n\n"
        "class ClippedDot(GradientMethod):\n"
        '    """g_Z . clip(g_Q)."""\n\n'
        '    name = "clipped-dot"\n'
        '    unit = "dot product of clipped gradients"\n\n'
        "    def scale(self, study, stack, queries):\n"
        "        stack.matrix.clamp_(-1e-3, 1e-3)\n"
    )
    row = (
        'Attribution("clipped-dot", "attribution.baselines.clipped_dot:ClippedDot", "Clipped dot", "As GradDot.", '
        "GradientSettings)"
    )
    add_row(core, "ATTRIBUTION", row)
    method = {"name": "clipped-dot", "subsample": 0.75}
    summary = run(core, trace_of(world, method=method, baselines=["clipped-dot", "grad-dot"]))
    ranked = [r["subset"] for r in summary["ranking"] if r["side"] == "harmful" and not r["group"]]
    assert summary["method"] == "clipped-dot"
    assert ranked[0] == "smiths"


def test_an_unlearning_method_is_one_file_and_one_row(world, core):
    (core / "unlearning" / "methods" / "gentle.py").write_text(
        '"""A tenth of gradient ascent, with the retain set trained on."""\n'
        "from untrac_core.unlearning.methods.base import UnlearningMethod\n\n\n"
        "class Gentle(UnlearningMethod):\n"
        '    """L = - NLL(forget) / 10 + NLL(retain)."""\n\n'
        '    name = "gentle"\n\n'
        "    def loss(self, step):\n"
        "        return -step.losses.sum() / step.tokens.sum() / 10\n"
    )
    row = 'Unlearning("gentle", "unlearning.methods.gentle:Gentle", "Gentle", "Slow ascent.", GradDiffSettings)'
    add_row(core, "UNLEARNING", row)
    spec = {
        "kind": "unlearn",
        "model": {"path": str(world / "model")},
        "forget": {"subset": "smiths"},
        "subsets": subset_specs(world),
        "prompts": [prompt_spec(world)],
        "device": "cpu",
        "relearn_steps": 0,
        "eval_samples": 8,
        "method": {"name": "gentle", "learning_rate": 0.01},
        "stop": {"rule": "fixed", "steps": 4, "eval_every": 4},
        "training": {**RECIPE, "steps": 10},
        "seeds": [0, 1],
    }
    summary = run(core, spec)
    assert [row["method"] for row in summary["methods"]] == ["gentle", "retain-only"]
    loss = next(row for row in summary["table"] if row["metric"] == "loss" and row["on"].startswith("the forget set"))
    assert loss["after"] > loss["before"]


METADATA = {
    "title": "Trades", "version": 1, "about": "What smiths and weavers say.", "warning": "None.", "licence": "none",
    "citation": "none", "home": "https://example.org", "hub": "guild/trades", "parts": [{"split": "test"}],
    "confirmed": "made here", "harmful": "bad", "harmless": "good", "groups": "none", "most": 64,
}  # fmt: skip


@pytest.mark.parametrize("with_items", [False, True], ids=["rows-are-items", "rows-are-not-items"])
def test_a_probe_is_one_yaml_and_items_where_rows_are_not_items(world, core, with_items):
    folder = core / "data" / "probes" / "bundled"
    if with_items:
        (folder / "trades.py").write_text(
            "from untrac_core.data.probes.rows import ProbeItem\n\n\n"
            "def items(row):\n"
            '    yield ProbeItem("bad", row["smith"])\n'
            '    yield ProbeItem("good", row["weaver"])\n'
        )
        shape = {"needs": [["smith", "weaver"]]}
        pairs = zip(sentences("smiths", 12, 1), sentences("weavers", 12, 1), strict=True)
        rows = [{"smith": smith, "weaver": weaver} for smith, weaver in pairs]
    else:
        shape = {"columns": {"completion": "said", "label": "by"}}
        rows = [
            {"said": text, "by": label}
            for label, who in (("bad", "smiths"), ("good", "weavers"))
            for text in sentences(who, 12, 1)
        ]
    (folder / "trades.yaml").write_text(yaml.safe_dump({"name": "trades", **METADATA, **shape}))
    source = {"file": str(write_jsonl(core.parent / "trades.jsonl", rows))}
    prompts = [{"name": "talk", "probe": "trades", "source": source}]
    summary = run(core, trace_of(world, prompts=prompts, method={"name": "grad-dot"}))
    ranked = [row["subset"] for row in summary["ranking"] if row["side"] == "contrast" and not row["group"]]
    assert ranked[0] == "smiths"
