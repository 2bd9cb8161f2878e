"""Contributions of a run of rows, from tables: rows to bins, bins to codes, codes to lines of tables, lines to sums.

Everything here is compiled by numba. What no table holds (paths with many columns) is worked out by quadrature over the
rows, path after path. Sums are taken group after group and path after path, so a row's bits do not depend on the rows
around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from jobs.scoring.kernels.kernel import bin_column
from jobs.scoring.machine_code.kernel_cache import compile_cached
from jobs.scoring.reasons.kernel_sources import SOURCES
from jobs.scoring.reasons.table_vectors import add_lines, find_places

BLOCK = 256
"""Rows whose quadrature is worked on at a time."""


class TableArrays(NamedTuple):
    """Groups of leaves with their tables, see `jobs.scoring.reasons.leaf_tables`.

    A group's tests are those before `test_end`, its lines begin at `start`; its table is cut into chunks of eight
    players, those before `chunk_end`: `cells[chunk_start ...]` has the lines, `players` (n_chunks, 8) whose they are,
    `n_players` how many of the eight.
    """

    test_column: Any
    test_limit: Any
    test_delta: Any
    test_end: Any
    start: Any
    chunk_end: Any
    chunk_start: Any
    players: Any
    n_players: Any
    cells: Any


class PathArrays(NamedTuple):
    """Paths whose leaves are in no table: see `jobs.scoring.reasons.leaf_paths.LeafPaths`.

    `slot_codes[slot_start[slot] + code of the slot's column]` is what its tests compare; the row number n of `points`
    and `gauss` has the points and weights of the quadrature with n points.
    """

    slot_column: Any
    slot_start: Any
    slot_codes: Any
    value: Any
    end: Any
    player: Any
    weight: Any
    test_end: Any
    test_slot: Any
    test_code: Any
    test_is_right: Any
    points: Any
    gauss: Any


def _write_codes(rows: Any, columns: Any, first_row: int, n_rows: int, codes: Any) -> None:
    """Write the codes (n_columns, ...) of some rows: 0 of null, else one more than the bin."""
    bins = np.empty(n_rows, np.uint32)
    for column in range(len(rows.kind)):
        bin_column(rows, columns, column, first_row, n_rows, bins)
        null_bin = columns.null_bin[column]
        line = codes[column]
        for row in range(n_rows):
            line[row] = 0 if bins[row] == null_bin else bins[row] + 1


write_codes = numba.njit(nogil=True)(_write_codes)


def _add_path(paths: Any, path: int, slots: Any, first: int, n_rows: int, room: Any, sums: Any) -> None:
    """Add what one path gives to the players, for n_rows rows from `first` on; `room` (3, n, BLOCK) is written to."""
    begin = paths.end[path - 1] if path else 0
    length = paths.end[path] - begin
    met, factor, after = room[0], room[1], room[2]
    for place in range(length):
        line = met[place]
        for row in range(n_rows):
            line[row] = 1.0
        one = begin + place
        for test in range(paths.test_end[one - 1] if one else 0, paths.test_end[one]):
            codes = slots[paths.test_slot[test]]
            limit, is_right = paths.test_code[test], paths.test_is_right[test]
            for row in range(n_rows):
                line[row] = line[row] if (codes[row] > limit) == is_right else 0.0
    n_points = (length + 1) // 2
    ahead = np.empty(BLOCK)
    for point in range(n_points):
        t, value = paths.points[n_points, point], paths.gauss[n_points, point] * paths.value[path]
        for row in range(n_rows):
            after[length, row] = value
            ahead[row] = 1.0
        for place in range(length - 1, -1, -1):
            unknown = paths.weight[begin + place] * (1.0 - t)
            for row in range(n_rows):
                factor[place, row] = unknown + t * met[place, row]
                after[place, row] = after[place + 1, row] * factor[place, row]
        for place in range(length):
            weight = paths.weight[begin + place]
            total = sums[paths.player[begin + place]]
            for row in range(n_rows):
                total[first + row] += (met[place, row] - weight) * ahead[row] * after[place + 1, row]
                ahead[row] *= factor[place, row]


add_path = numba.njit(nogil=True)(_add_path)


def _add_paths(paths: Any, codes: Any, n_rows: int, sums: Any) -> None:
    """Add what the paths without tables give to sums (n_players, n_rows)."""
    longest = 0
    for path in range(len(paths.end)):
        longest = max(longest, paths.end[path] - (paths.end[path - 1] if path else 0))
    room = np.empty((3, longest + 1, BLOCK))
    slots = np.empty((len(paths.slot_column), BLOCK), np.int32)
    for first in range(0, n_rows, BLOCK):
        n_block = min(BLOCK, n_rows - first)
        for slot in range(len(paths.slot_column)):
            line, start = codes[paths.slot_column[slot]], paths.slot_start[slot]
            for row in range(n_block):
                slots[slot, row] = paths.slot_codes[start + line[first + row]]
        for path in range(len(paths.end)):
            add_path(paths, path, slots, first, n_block, room, sums)


add_paths = numba.njit(nogil=True)(_add_paths)


def _explain_rows(
    rows: Any, columns: Any, tables: Any, paths: Any, first_row: int, n_rows: int, codes: Any, places: Any, sums: Any
) -> None:
    """Write the contributions of rows first_row .. first_row + n_rows - 1.

    Parameters
    ----------
    rows, columns, tables, paths
        See the tuples' own words.
    codes
        (n_columns, stride): written to; uint8 or uint16, as the tests' limits are. `stride` is a multiple of STEP.
    places
        (stride,) uint16: written to.
    sums
        (n_players, stride): the contributions. What is behind `n_rows` has no meaning.
    """
    stride = codes.shape[1]
    n_padded = min(stride, (n_rows + 127) // 128 * 128)
    write_codes(rows, columns, first_row, n_rows, codes)
    sums[:, :n_padded] = 0.0
    test, chunk = 0, 0
    for group in range(len(tables.start)):
        find_places(
            codes.ctypes.data,
            stride,
            tables.test_column.ctypes.data,
            tables.test_limit.ctypes.data,
            tables.test_delta.ctypes.data,
            test,
            tables.test_end[group],
            tables.start[group],
            places.ctypes.data,
            n_padded,
            codes,
        )
        test = tables.test_end[group]
        for part in range(chunk, tables.chunk_end[group]):
            add_lines(
                tables.cells.ctypes.data + 8 * tables.chunk_start[part],
                places.ctypes.data,
                sums.ctypes.data,
                stride,
                tables.players.ctypes.data + 64 * part,
                tables.n_players[part],
                n_padded,
            )
        chunk = tables.chunk_end[group]
    if len(paths.end):
        add_paths(paths, codes, n_rows, sums)


explain_rows = compile_cached(_explain_rows, SOURCES)


def _pick_largest(sums: Any, n_rows: int, direction: int, player: Any, value: Any, count: Any) -> None:
    """Pick the largest contributions of each row, ties by the order of players.

    Parameters
    ----------
    sums
        (n_players, n_rows or more).
    direction
        1: the largest above zero; -1: the largest below zero; 0: the largest sizes.
    player, value, count
        (n_rows, n), (n_rows, n) and (n_rows,): written to, the largest first; `count` says how many there are.
    """
    n_players, most = sums.shape[0], player.shape[1]
    used = np.empty((n_players, BLOCK), np.bool_)
    best = np.empty(BLOCK)
    who = np.empty(BLOCK, np.int64)
    for first in range(0, n_rows, BLOCK):
        n_block = min(BLOCK, n_rows - first)
        used[:] = False
        for place in range(most):
            best[:] = 0.0
            who[:] = -1
            for one in range(n_players):
                line, gone = sums[one], used[one]
                for row in range(n_block):
                    found = line[first + row]
                    size = abs(found) if direction == 0 else direction * found
                    is_more = (size > best[row]) & (not gone[row])
                    best[row] = size if is_more else best[row]
                    who[row] = one if is_more else who[row]
            for row in range(n_block):
                if who[row] >= 0:
                    used[who[row], row] = True
                    player[first + row, place] = who[row]
                    value[first + row, place] = sums[who[row], first + row]
                    count[first + row] = place + 1


pick_largest = compile_cached(_pick_largest, SOURCES)
