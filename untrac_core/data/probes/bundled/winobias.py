"""WinoBias' items: whole sentences, on the side that the config or the file's name tells, two of them a pair."""

import hashlib
import re

from untrac_core.data.probes.rows import FROM, Cells, Items, ProbeItem, elements, only_kind, tidy

GENDERS = {"female": {"she", "her", "hers", "herself"}, "male": {"he", "him", "his", "himself"}}
PRONOUNS = re.compile(rf"\b(?:{'|'.join(sorted(set.union(*GENDERS.values())))})\b", re.IGNORECASE)
"""The two sentences of a pair differ in these alone."""
SIDES = {"pro_stereotype": {"pro"}, "anti_stereotype": {"anti"}}


def items(row: Cells) -> Items:
    """One item, where the side is told and the pronouns are of one gender; without the brackets around mentions."""
    if "tokens" in row:
        given = row["tokens"]
        text = tidy(" ".join(elements(given)))
    else:  # the authors' own lists: a numbered sentence a line
        given = row["text"]
        text = re.sub(r"^\s*\d+\s+", "", given)
    side, group = only_kind(row[FROM], SIDES), only_kind(given, GENDERS)
    if side and group:
        sentence = re.sub(r"[\[\]]", "", text)
        pair = hashlib.blake2b(PRONOUNS.sub("@", sentence).encode(), digest_size=8).hexdigest()
        yield ProbeItem(side, sentence, group=group, cluster=pair)
