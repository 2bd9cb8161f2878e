"""Team draft: one served list out of two rankings, such that neither ranking gets the better places.

Round by round each ranking picks the best item that is still there, and a coin says which picks first [Radlinski,
Kurup and Joachims 2008]. Where both would pick the same item it is placed without a team: it says nothing about which
ranking is better. (An item without a team for being of equal rank in both lists would not do: over all pairs of
rankings of four items, and clicks by chance, some then favour one team by a whole item.) Coins come from
md5(salt, list, round), so that a list can be drawn again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.models.arms.assignment import unit_sql, unit_text
from warehouse.system_sql import literal

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NOBODY, LIVE, CHALLENGER = 0, 1, 2


@dataclass(frozen=True)
class Drafted:
    """The served list: for each row its place, from 1, and the team that picked it: NOBODY, LIVE or CHALLENGER."""

    place: Integers
    team: Integers


def coin_of(salt: str, texts: Sequence[str | None], round_number: int) -> bool:
    """Tell whether the challenger picks first in a round, from 1, of the list with these key texts."""
    text = f"{salt}\x1f{unit_text(texts)}\x1f{round_number}"
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return bool(digest[8] & 1)


def coins_sql(salt: str, keys: Sequence[str], n_rounds: int) -> str:
    """Give the expression of a list's coins, a BOOLEAN[] with one for each of `n_rounds` rounds."""
    text = f"concat({literal(salt)}, chr(31), {unit_sql(keys)}, chr(31), coin_round)"
    return f"list_transform(range(1, {n_rounds + 1}), lambda coin_round: md5_number_lower({text}) % 2 = 1)"


def draft(lists: Integers, live_rank: Integers, rank: Integers, coins: Flags, top: int) -> Drafted:
    """Draw the served lists of a page.

    Parameters
    ----------
    lists
        (n_rows,), which list a row belongs to, 0 to n_lists - 1.
    live_rank, rank
        (n_rows,), the places that the live version and the challenger give it, 1 to the list's length, without ties.
    coins
        (n_lists, at least `top`), whether the challenger picks first in a round.
    top
        So many places are drafted; what is left follows in the live version's order, without a team.
    """
    n_lists, longest = len(coins), int(live_rank.max(initial=0))
    if not len(lists):
        return Drafted(np.zeros(0, np.int64), np.zeros(0, np.int64))
    # Items are named by their place in the live version's list; `order` is the challenger's list of those names.
    order = np.full((n_lists, longest), longest)
    order[lists, rank - 1] = live_rank - 1
    left = np.zeros((n_lists, longest + 1), bool)
    left[lists, live_rank - 1] = True
    length = left.sum(axis=1)
    place = np.zeros((n_lists, longest + 1), np.int64)
    team = np.zeros((n_lists, longest + 1), np.int64)
    placed = np.zeros(n_lists, np.int64)
    limit = np.minimum(length, top)
    for number in range(int(limit.max())):
        going = np.flatnonzero(placed < limit)
        if not len(going):
            break
        ours = left[going].argmax(axis=1)
        theirs = order[going, np.take_along_axis(left[going], order[going], axis=1).argmax(axis=1)]
        same, theirs_first = ours == theirs, coins[going, number]
        first, second = np.where(theirs_first, theirs, ours), np.where(theirs_first, ours, theirs)
        team_of_first = np.where(same, NOBODY, np.where(theirs_first, CHALLENGER, LIVE))
        _pick(going, first, team_of_first, place, team, placed, left)
        more = ~same & (placed[going] < limit[going])
        _pick(going[more], second[more], (LIVE + CHALLENGER - team_of_first)[more], place, team, placed, left)
    rest = left[:, :longest]
    place[:, :longest] = np.where(rest, placed[:, None] + rest.cumsum(axis=1), place[:, :longest])
    return Drafted(place[lists, live_rank - 1], team[lists, live_rank - 1])


def _pick(
    going: Integers, item: Integers, by: Integers, place: Integers, team: Integers, placed: Integers, left: Flags
) -> None:
    placed[going] += 1
    place[going, item] = placed[going]
    team[going, item] = by
    left[going, item] = False
