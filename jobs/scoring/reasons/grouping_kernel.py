"""Merging the leaves of a tree into groups, and filling the groups' tables. Compiled by numba.

A group is described by the classes into which its leaves' conditions divide each column's values: `classes` (n_columns,
n_segments) has the class of each segment of a column, `n_classes` (n_columns,) how many there are. A group's states are
the combinations of classes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from jobs.scoring.machine_code.kernel_cache import compile_cached
from jobs.scoring.reasons.kernel_sources import SOURCES

MOST_STATES = 65_536
"""States of a table at most: places of lines have 16 bits."""


def _n_joined(a: Any, n_a: int, b: Any, n_b: int, n_segments: int) -> int:
    """Return into how many classes two divisions of a column's segments divide it together."""
    if n_a == 1 or n_b == 1:
        return int(n_a * n_b)
    seen = np.zeros(n_a * n_b, np.bool_)
    found = 0
    for segment in range(n_segments):
        place = a[segment] * n_b + b[segment]
        found += 0 if seen[place] else 1
        seen[place] = True
    return found


n_joined = numba.njit(nogil=True)(_n_joined)


def _line_width(n_players: int) -> int:
    """Return how many players' room the lines of a table take: chunks of eight, the last of four if that is enough."""
    return (n_players + 3) // 4 * 4 if 0 < n_players % 8 <= 4 else (n_players + 7) // 8 * 8


line_width = numba.njit(nogil=True)(_line_width)


def _cost(classes: Any, n_classes: Any, states: Any, a: int, b: int, n_segments: Any, limits: Any) -> float:
    """Return what it costs to merge two groups, infinity if they would have too many states or columns."""
    n_columns, of_a, of_b, n_states = 0, 0, 0, 1.0
    for column in range(len(n_segments)):
        n_columns += 1 if max(n_classes[a, column], n_classes[b, column]) > 1 else 0
        of_a += 1 if n_classes[a, column] > 1 else 0
        of_b += 1 if n_classes[b, column] > 1 else 0
        n_states *= max(n_classes[a, column], n_classes[b, column])
    # Two large tables become one, if it takes no more room than they do.
    room = (states[a] * line_width(of_a) + states[b] * line_width(of_b)) / line_width(n_columns)
    most = max(float(limits[0]), min(room, float(MOST_STATES)))
    if n_columns > limits[1] or n_states > most:
        return np.inf
    n_states = 1.0
    for column in range(len(n_segments)):
        n_a, n_b = n_classes[a, column], n_classes[b, column]
        n_states *= n_joined(classes[a, column], n_a, classes[b, column], n_b, n_segments[column])
        if n_states > most:
            return np.inf
    return float(np.log(n_states) - 0.5 * (np.log(states[a]) + np.log(states[b])))


cost = numba.njit(nogil=True)(_cost)


def _join(classes: Any, n_classes: Any, a: int, b: int, n_segments: Any) -> float:
    """Merge group b into group a; return the states of a."""
    states = 1.0
    for column in range(len(n_segments)):
        n_a, n_b = n_classes[a, column], n_classes[b, column]
        number_of = np.full(n_a * n_b, -1, np.int32)
        found = 0
        for segment in range(n_segments[column]):
            place = classes[a, column, segment] * n_b + classes[b, column, segment]
            if number_of[place] < 0:
                number_of[place] = found
                found += 1
            classes[a, column, segment] = number_of[place]
        n_classes[a, column] = found
        states *= found
    return states


join = numba.njit(nogil=True)(_join)


def _cheapest(costs: Any, alive: Any) -> tuple[int, int]:
    """Return the two groups that cost least to merge, -1 twice if none can be merged."""
    least, first, second = np.inf, -1, -1
    for leaf in range(len(alive)):
        if alive[leaf]:
            for other in range(leaf):
                if alive[other] and costs[leaf, other] < least:
                    least, first, second = costs[leaf, other], leaf, other
    return first, second


cheapest = numba.njit(nogil=True)(_cheapest)


def _group_leaves(classes: Any, n_classes: Any, n_segments: Any, limits: Any, owner: Any) -> None:
    """Merge leaves into groups, always the two that grow least.

    Parameters
    ----------
    classes
        (n_leaves, n_columns, n_segments) int32, of each leaf: 0 where its condition holds, else 1. Afterwards, of each
        leaf that owns a group, the group's.
    n_classes
        (n_leaves, n_columns) int64: 2 where a leaf has a condition, else 1. Likewise.
    n_segments
        (n_columns,).
    limits
        (2,): the most states and the most columns of a group of several leaves.
    owner
        (n_leaves,): the leaf that owns the group of each; written to.
    """
    n_leaves = len(owner)
    states = np.ones(n_leaves)
    costs = np.full((n_leaves, n_leaves), np.inf)
    alive = np.ones(n_leaves, np.bool_)
    for leaf in range(n_leaves):
        owner[leaf] = leaf
        for column in range(len(n_segments)):
            states[leaf] *= n_classes[leaf, column]
        for other in range(leaf):
            costs[leaf, other] = cost(classes, n_classes, states, leaf, other, n_segments, limits)
    while True:
        a, b = cheapest(costs, alive)
        if a < 0:
            break
        states[a] = join(classes, n_classes, a, b, n_segments)
        alive[b] = False
        for leaf in range(n_leaves):
            if owner[leaf] == b:
                owner[leaf] = a
            if alive[leaf] and leaf != a:
                costs[max(a, leaf), min(a, leaf)] = cost(classes, n_classes, states, a, leaf, n_segments, limits)


group_leaves = compile_cached(_group_leaves, SOURCES)


def _path_dependent(value: float, weights: Any, points: Any, gauss: Any, out: Any) -> None:
    """Write what a leaf gives to the players of its path, (2 ** d, d), by which of their conditions hold.

    The bit number j of a line says whether the condition of player j holds; see `tree_contributions` for the formula.
    """
    length = len(weights)
    factor, after = np.empty(length), np.empty(length + 1)
    out[:] = 0.0
    for point in range(len(points)):
        t = points[point]
        for line in range(len(out)):
            after[length] = gauss[point] * value
            for place in range(length - 1, -1, -1):
                factor[place] = weights[place] * (1.0 - t) + ((line >> place) & 1) * t
                after[place] = after[place + 1] * factor[place]
            ahead = 1.0
            for place in range(length):
                out[line, place] += (((line >> place) & 1) - weights[place]) * ahead * after[place + 1]
                ahead *= factor[place]


path_dependent = compile_cached(_path_dependent, SOURCES)


def _interventional(value: float, shares: Any, points: Any, gauss: Any, out: Any) -> None:
    """Write what a leaf gives to the players of its path, (2 ** d, d), against background rows.

    Parameters
    ----------
    shares
        (2 ** d,): which share of the background rows satisfies just these conditions.
    """
    length = out.shape[1]
    out[:] = 0.0
    for point in range(len(points)):
        t = points[point]
        for player in range(length):
            held = shares.copy()
            for place in range(length):
                bit = 1 << place
                for line in range(len(held)):
                    if line & bit == 0:
                        fails, holds = held[line], held[line | bit]
                        if place == player:
                            held[line], held[line | bit] = -holds, fails
                        else:
                            held[line], held[line | bit] = (1.0 - t) * holds, t * fails + holds
            for line in range(len(held)):
                out[line, player] += gauss[point] * value * held[line]


interventional = compile_cached(_interventional, SOURCES)


def _add_leaf(table: Any, n_classes: Any, given: Any, bits: Any, bit_of: Any, players: Any) -> None:
    """Add what a leaf gives to the table of its group.

    Parameters
    ----------
    table
        (n_states, width): of each column the state number s has the class (s / the product of n_classes before it) %
        n_classes.
    n_classes
        (n_columns,) of the group.
    given
        (2 ** d, d) what the leaf gives to the players of its path.
    bits
        (n_columns, most classes): whether the leaf's condition on a column holds in a class; true without a condition.
    bit_of
        (n_columns,): the player of the path that a column is of, -1 if the leaf has no condition on it.
    players
        (d,): the place of each of the path's players in the table's lines.
    """
    lines = np.empty(len(table), np.int64)
    lines[0] = (1 << len(players)) - 1
    known = 1
    for column in range(len(n_classes)):
        # The first class last, since the others are made from what stands in its place.
        for number in range(n_classes[column] - 1, -1, -1):
            fails = bit_of[column] >= 0 and not bits[column, number]
            kept = ~(1 << bit_of[column]) if fails else -1
            for state in range(known):
                lines[number * known + state] = lines[state] & kept
        known *= n_classes[column]
    for state in range(len(table)):
        for place in range(len(players)):
            table[state, players[place]] += given[lines[state], place]


add_leaf = compile_cached(_add_leaf, SOURCES)
