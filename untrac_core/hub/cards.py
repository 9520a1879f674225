"""Cards of models and data sets: their front matter, read without letting a small text become a large value."""

from __future__ import annotations

from typing import Any

import yaml

from untrac_core.errors import InputError

FRONT_MOST = 2_000_000
"""Characters of a front matter."""
CARD_BYTES = 100_000
"""Bytes of a model's card that are looked at."""
NODES = 500_000
"""Most values of a card, each alias of it written out."""
MEND = "choose another"


def front_of(text: str) -> str | None:
    """The front matter of a data set's card, cut out as ``datasets`` does; ``None`` where it has none."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    found = REGEX_YAML_BLOCK.search(text)
    return found[2] if found else None


def parsed(text: str, where: str) -> Any:
    """The values of a front matter, whose aliases must not make much of little: each would be walked in full.

    Raises :class:`InputError` for one that is too large, and what ``yaml`` raises for one that is malformed.
    """
    if len(text) > FRONT_MOST:
        raise InputError("its card is too large", field=where, hint=MEND)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _spread(node, {}) > NODES:
            raise InputError("its card is too large", field=where, hint=MEND)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _spread(node: Any, known: dict[int, int]) -> int:
    """How many nodes a node is with its aliases written out; one that holds itself is endless."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = NODES + 1  # what it is while its own inside is counted
        inside = (part for pair in node.value for part in pair) if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = min(1 + sum(_spread(part, known) for part in inside), NODES + 1)
    return known[id(node)]
