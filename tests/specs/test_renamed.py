"""A spec with an old key or value gets one line with the new one; nothing old is accepted."""

import pytest
import yaml

from untrac_core.errors import InputError
from untrac_core.specs.files import parse_spec
from untrac_core.specs.renamed import KEYS, VALUES

MODEL = {"path": "demo"}
SUBSETS = [{"name": name, "source": {"file": f"{name}.jsonl"}} for name in "abc"]
PROMPTS = [{"name": "p", "source": {"file": "p.jsonl"}}]
SPECS = {
    "trace": {"model": MODEL, "prompts": PROMPTS, "subsets": SUBSETS, "method": {"name": "untrac"}},
    "validate": {"prompts": PROMPTS, "subsets": SUBSETS, "training": {}, "methods": [{"name": "lissa"}]},
    "unlearn": {
        "model": MODEL, "forget": {"subset": "a"}, "subsets": SUBSETS, "prompts": PROMPTS, "training": {},
        "method": {"name": "grin"}, "stop": {}, "generation": {"prompt_set": "p"},
    },
    "train": {"subsets": SUBSETS},
}  # fmt: skip

PLACES = {
    "batch": [("train", ""), ("validate", "training"), ("unlearn", "method")],
    "beside": [("unlearn", "")],
    "block": [("trace", ""), ("unlearn", ""), ("train", ""), ("validate", "training")],
    "blocks": [("validate", "")],
    "budget": [("unlearn", "stop")],
    "by": [("trace", "collections")],
    "cap": [("unlearn", "method")],
    "deep": [("unlearn", "")],
    "dose": [("trace", "method")],
    "draws": [("validate", "")],
    "evaluations": [("trace", "method")],
    "every": [("unlearn", "stop")],
    "heads": [("train", ""), ("unlearn", "training")],
    "held_out": [("unlearn", "")],
    "hidden": [("train", "")],
    "layers": [("train", "")],
    "look": [("unlearn", "")],
    "max_dose": [("trace", "method")],
    "most": [("trace", "collections")],
    "moves": [("trace", "method"), ("unlearn", "method"), ("validate", "methods")],
    "only": [("trace", "subsets")],
    "precision": [("trace", "model"), ("unlearn", "model")],
    "relearn": [("unlearn", "")],
    "scan": [("trace", "source")],
    "share": [("trace", "method"), ("validate", "methods"), ("unlearn", "method")],
    "sizes": [("trace", "")],
    "target": [("unlearn", "")],
    "vocabulary": [("train", "")],
    "warmup": [("train", "")],
    "words": [("unlearn", "generation")],
    "writing": [("unlearn", "")],
}


def refusal(values):
    with pytest.raises(InputError) as caught:
        parse_spec(yaml.safe_dump(values))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def with_key(kind, place, key):
    """A spec with an old key at a place; what it would replace is missing, as it is in an old spec."""
    spec = yaml.safe_load(yaml.safe_dump({"kind": kind, **SPECS[kind]}))
    if place == "collections":
        spec["collections"] = [{"source": {"folder": "f"}}]
    there = spec if not place else spec["subsets"][0]["source"] if place == "source" else spec[place]
    there = there[0] if isinstance(there, list) else there
    for new in KEYS[key]:
        there.pop(new, None)
    there[key] = "x"
    return spec


@pytest.mark.parametrize(("key", "kind", "place"), [(k, *where) for k, found in PLACES.items() for where in found])
def test_an_old_key_gets_one_line_with_the_new_one(key, kind, place):
    said = refusal(with_key(kind, place, key))
    assert any(f"it is called {new!r} now" in said for new in KEYS[key])
    assert f"{key}'" in said


def test_every_old_key_is_tried():
    assert PLACES.keys() == KEYS.keys()


@pytest.mark.parametrize(
    ("old", "kind", "values"),
    [
        ("ascent", "unlearn", {"method": {"name": "ascent"}}),
        ("sim-npo", "unlearn", {"compare": [{"name": "sim-npo"}]}),
        ("kronecker-dot", "validate", {"methods": [{"name": "kronecker-dot"}]}),
        ("hidden-similarity", "trace", {"baselines": ["bm25", "hidden-similarity"]}),
        ("hidden-similarity", "trace", {"method": {"name": "hidden-similarity"}}),
        ("as-given", "trace", {"weighting": "as-given"}),
        ("last", "trace", {"method": {"name": "untrac", "trainable": "last"}}),
        ("gold", "unlearn", {"stop": {"rule": "gold"}}),
        ("held-out", "unlearn", {"stop": {"rule": "held-out"}}),
        ("retain-budget", "unlearn", {"stop": {"rule": "retain-budget"}}),
        ("steps", "unlearn", {"stop": {"rule": "steps"}}),
        ("further", "validate", {"training": {"init": "further"}, "model": MODEL}),
    ],
)
def test_an_old_value_gets_one_line_with_the_new_one(old, kind, values):
    assert f"called {VALUES[old]!r} now" in refusal({"kind": kind, **SPECS[kind], **values})


def test_an_old_kind_gets_the_new_one():
    assert "write 'kind: verify'" in refusal({"kind": "examine"}).replace("Write", "write")
