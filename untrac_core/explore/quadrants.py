"""What subsets do in two views at once, in words: 'drives toxic and false', 'drives toxic, helps true'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from untrac_core.explore.ranking_view import LETTERS, RankingView, names, one_scale
from untrac_core.text.labels import RELATIVE, against_the_mean, legend, scored
from untrac_core.text.numbers import signed

NAMED_MOST = 3
NAME_LONG = 36
"""Characters of a name in a sentence, so that it fits a phone's width."""
ASIDE = {"one": "cannot separate from zero in {}", "both": "cannot separate from zero in either"}


def verb(words: str, *, many: bool) -> str:
    """'drive' of many, 'drives' of one; 'hold back', 'holds back'."""
    if many:
        return words
    first, _, rest = words.partition(" ")
    return f"{first}s {rest}".rstrip()


def quadrant(
    first: RankingView, second: RankingView, one: int, two: int, letters: str = LETTERS[:2], *, many: bool = False
) -> str:
    """What a subset does whose value has the sign ``one`` in the first view and ``two`` in the second.

    A sign is 1, -1, or 0 where the interval includes zero or is missing. ``letters`` name the two views; ``many``: of
    several subsets. Words of ours and plain labels only.
    """
    if not one and not two:
        return ASIDE["both"]
    if not one or not two:
        what = first.does(one) if one else second.does(two)
        known, unknown = (letters[0], letters[1]) if one else (letters[1], letters[0])
        return f"{verb(what[0], many=many)} {what[1]} in {known}; {ASIDE['one'].format(unknown)}"
    (act, thing), (other_act, other_thing) = first.does(one), second.does(two)
    act, other_act = verb(act, many=many), verb(other_act, many=many)
    if (act, thing) == (other_act, other_thing):
        return f"{act} {thing} in both"
    if {*first.objects} & {*second.objects}:
        return f"{act} {thing} in {letters[0]}, {other_act} {other_thing} in {letters[1]}"
    if act == other_act:
        return f"{act} {thing} and {other_thing}"
    return f"{act} {thing}, {other_act} {other_thing}"


def corners(first: RankingView, second: RankingView, letters: str = LETTERS[:2]) -> dict[tuple[int, int], str]:
    """The name of each quadrant, by the signs of its values in the two views."""
    return {(one, two): quadrant(first, second, one, two, letters) for one in (1, -1) for two in (1, -1)}


def strongest(table: pd.DataFrame, one: int, two: int, letters: str = LETTERS[:2]) -> pd.DataFrame:
    """The rows of a joined table in one quadrant; first the one that is large in both views beside their largest."""
    first, second = letters[0], letters[1]
    rows = table[(table[f"sign_{first}"] == one) & (table[f"sign_{second}"] == two)]
    scaled = [rows[f"value_{letter}"].abs() / (table[f"value_{letter}"].abs().max() or 1.0) for letter in letters]
    least = pd.concat(scaled, axis=1).min(axis=1)
    return rows.loc[least.sort_values(ascending=False, kind="stable").index]


def listing(subsets: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c', 'a, b and 5 more', long names cut; holds a user's words (show as text)."""
    subsets = [_cut(subset) for subset in subsets]
    if len(subsets) > NAMED_MOST:
        return f"{', '.join(subsets[: NAMED_MOST - 1])} and {len(subsets) - NAMED_MOST + 1} more"
    *before, last = subsets
    return f"{', '.join(before)} and {last}" if before else last


def _cut(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= NAME_LONG else f"{line[: NAME_LONG - 1]}…"


def answer(first: RankingView, second: RankingView, table: pd.DataFrame, letters: str = LETTERS[:2]) -> str:
    """Which subsets do the same in both views, or that none can be told; holds a user's words (show as text).

    ``table``: as :func:`untrac_core.explore.ranking_view.joined` returns.
    """
    shared = table[table["views"].str.contains(letters[0]) & table["views"].str.contains(letters[1])]
    if shared.empty:
        return "The two views have no subset in common, so there is nothing to compare."
    both = {place: strongest(shared, *place, letters) for place in ((1, 1), (1, -1), (-1, 1), (-1, -1))}
    if all(rows.empty for rows in both.values()):
        return "Cannot separate: no subset is significant in both views."
    told = [_clause(first, second, rows, place, letters) for place, rows in both.items() if len(rows)]
    if both[1, 1].empty:
        none = quadrant(first, second, 1, 1, letters).replace(" and ", " and also ", 1)
        return f"No subset clearly {none}. {told[0]}."
    return f"{'; '.join(told[:2])}."


def _clause(first: RankingView, second: RankingView, rows: pd.DataFrame, place: tuple[int, int], letters: str) -> str:
    subsets = rows["subset"].astype(str).tolist()
    words = quadrant(first, second, *place, letters, many=len(subsets) > 1)
    if len(subsets) > 1:
        return f"{listing(subsets)} {words}"
    values = [float(rows[f"value_{letter}"].iloc[0]) for letter in letters]
    if first.unit == second.unit and not first.relative:
        return f"{_cut(subsets[0])} {words} ({signed(values[0])} and {signed(values[1])} {first.unit})"
    return f"{_cut(subsets[0])} {words} ({first.told(values[0])}; {second.told(values[1])})"


def subset_in_words(
    views: Sequence[RankingView], table: pd.DataFrame, subset: str, holds: Mapping[str, bool], *, between: str = "; "
) -> str:
    """One subset in every view, as one sentence; holds a user's words (show as text).

    ``holds``: letter to whether its move against the baseline is more than the intervals allow. ``between``: stands
    between two views.
    """
    row = table[table["subset"] == subset].iloc[0]
    shared = int(table["place_A"].notna().sum())
    told = []
    for letter, view, name in zip(LETTERS, views, names(views), strict=False):
        if letter not in row["views"]:
            told.append(f"{letter} ({name}): not in this view")
            continue
        by = view.values["value"].abs().max() or 1.0 if view.relative else 1.0
        ends = "no interval"
        if not pd.isna(row[f"low_{letter}"]):
            ends = f"{signed(row[f'low_{letter}'] / by)} to {signed(row[f'high_{letter}'] / by)}"
        at = f"rank {int(row[f'rank_{letter}'])} of {len(view.values)}"
        value = f"{view.told(row[f'value_{letter}'])} ({ends})"
        told.append(f"{letter} ({name}): {value}, {at}{_moved(row, letter, holds, shared)}")
    return f"{_cut(subset)}: {between.join(told)}."


def _moved(row: pd.Series, letter: str, holds: Mapping[str, bool], shared: int) -> str:
    move = row.get(f"move_{letter}")
    if move is None or pd.isna(move) or shared < 2:
        return ""
    if not move:
        return ", the same place as in A"
    places = f"{abs(int(move))} place{'' if abs(move) == 1 else 's'} {'up' if move > 0 else 'down'} from A"
    return f", {places} ({'more than the intervals allow' if holds.get(letter) else 'within the intervals'})"


def difference_in_words(first: RankingView, second: RankingView) -> str:
    """Why sizes can or cannot be compared."""
    if one_scale(first, second):
        return (
            "Both are changes of one model's loss on the same prompts by the same method, so their difference has a "
            "meaning; its interval takes the two as independent."
        )
    if not (first.measures_loss and second.measures_loss):
        return "They are in different units, or in a method's own: only the order of the subsets compares, not sizes."
    model, texts, _ = zip(first.scale_key, second.scale_key, strict=True)
    if model[0] != model[1]:
        why = "They come from different models"
    elif texts[0] != texts[1]:
        why = "They are about different prompts"
    else:
        why = "They come from unlearning by different methods or settings"
    return f"{why}: only the order of the subsets compares, not sizes."


def question(views: Sequence[RankingView]) -> str:
    """What views side by side answer, as a title; plain labels only."""
    first, second = views[0], views[1]
    acts = [view.does(1) for view in (first, second)]
    if len(views) == 2 and acts[0][0] == acts[1][0] and not {*first.objects} & {*second.objects}:
        return f"Do the same subsets {acts[0][0]} {acts[0][1]} and {acts[1][1]} text?"
    return f"Do these {('two', 'three', 'four')[len(views) - 2]} views rank the subsets alike?"


def meaning(view: RankingView) -> str:
    """What a positive and a negative number of a view mean."""
    if not view.measures_loss:
        return scored(view.prompts, view.side, view.method)
    if view.relative:
        return f"{against_the_mean(view.prompts, view.side)} {RELATIVE}"
    return legend(view.prompts, view.side)
