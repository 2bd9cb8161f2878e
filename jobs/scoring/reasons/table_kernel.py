"""Contributions of a run of rows, from tables: rows to bins, bins to codes, codes to lines of tables, lines to sums.

Everything here is compiled by numba. What no table holds (paths with many columns) is worked out by quadrature over the
rows, path after path. Sums are taken group after group and path after path, so a row's bits do not depend on the rows
around it.

Rows pass by in tiles of `TILE`, so that their sums stay in the first-level cache while some of the tables, which stay
in the second-level cache, are read; then all tiles pass by the next tables, which are brought near meanwhile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from jobs.scoring.kernels.kernel import bin_column
from jobs.scoring.machine_code.kernel_cache import compile_cached
from jobs.scoring.reasons.kernel_sources import SOURCES
from jobs.scoring.reasons.table_vectors import HALF, STEP, add_lines, add_short_lines, bring_near, find_places

TILE = STEP
"""Rows whose codes and sums lie beside each other."""
FEW_TILES = 16
"""For so few rows tables are not brought near: little of them is read."""
LINE = 16
"""Cells that are brought near at a time: two lines of the cache."""
BLOCK = 128
"""Rows among which the largest contributions are picked at a time."""


class TableArrays(NamedTuple):
    """Groups of leaves with their tables, see `jobs.scoring.reasons.leaf_tables`.

    A group's tests are those before `test_end`, its lines begin at `start`; its table is cut into chunks of eight
    players, those before `chunk_end`: `cells[chunk_start ...]` has the lines, `players` (n_chunks, 8) whose they are,
    `n_players` how many of the eight. With four or fewer players, lines have room for four. The groups before each of
    `near_end` are gone through together.
    """

    test_column: Any
    test_limit: Any
    test_delta: Any
    test_end: Any
    start: Any
    chunk_end: Any
    near_end: Any
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
    """Write the codes (n_tiles, n_columns, TILE) of some rows: 0 of null, else one more than the bin."""
    bins = np.empty(n_rows, np.uint32)
    for column in range(len(rows.kind)):
        bin_column(rows, columns, column, first_row, n_rows, bins)
        null_bin = columns.null_bin[column]
        for first in range(0, n_rows, TILE):
            line, own = codes[first // TILE, column], bins[first : first + TILE]
            for row in range(len(own)):
                line[row] = 0 if own[row] == null_bin else own[row] + 1


write_codes = numba.njit(nogil=True)(_write_codes)


def _add_path(paths: Any, path: int, slots: Any, n_rows: int, room: Any, sums: Any) -> None:
    """Add what one path gives to the players, for the n_rows rows of a tile; `room` (3, n, TILE) is written to."""
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
    ahead = np.empty(TILE)
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
                total[row] += (met[place, row] - weight) * ahead[row] * after[place + 1, row]
                ahead[row] *= factor[place, row]


add_path = numba.njit(nogil=True)(_add_path)


def _add_paths(paths: Any, codes: Any, n_rows: int, sums: Any) -> None:
    """Add what the paths without tables give to sums (n_tiles, n_players, TILE)."""
    longest = 0
    for path in range(len(paths.end)):
        longest = max(longest, paths.end[path] - (paths.end[path - 1] if path else 0))
    room = np.empty((3, longest + 1, TILE))
    slots = np.empty((len(paths.slot_column), TILE), np.int32)
    for first in range(0, n_rows, TILE):
        tile, n_here = first // TILE, min(TILE, n_rows - first)
        for slot in range(len(paths.slot_column)):
            line, start = codes[tile, paths.slot_column[slot]], paths.slot_start[slot]
            for row in range(n_here):
                slots[slot, row] = paths.slot_codes[start + line[row]]
        for path in range(len(paths.end)):
            add_path(paths, path, slots, n_here, room, sums[tile])


add_paths = numba.njit(nogil=True)(_add_paths)


def _pass_by(tables: Any, groups: Any, tests: int, chunks: int, near: Any, codes: Any, places: Any, sums: Any) -> None:
    """Add the lines of some groups to the sums (n_players, TILE) of the rows of a tile.

    Parameters
    ----------
    groups
        The first group and the one after the last; their tests and chunks begin at `tests` and `chunks`.
    near
        The first of the cells that are to be brought near meanwhile, the one after the last, and how many with each
        group: all at once, they would be waited for.
    codes
        (n_columns, TILE).
    places
        (TILE,) uint16: written to.
    """
    for group in range(groups[0], groups[1]):
        find_places(
            codes.ctypes.data,
            TILE,
            tables.test_column.ctypes.data,
            tables.test_limit.ctypes.data,
            tables.test_delta.ctypes.data,
            tests,
            tables.test_end[group],
            tables.start[group],
            places.ctypes.data,
            TILE,
            codes,
        )
        tests = tables.test_end[group]
        for chunk in range(chunks, tables.chunk_end[group]):
            cells = tables.cells.ctypes.data + 8 * tables.chunk_start[chunk]
            players, n_players = tables.players.ctypes.data + 64 * chunk, tables.n_players[chunk]
            if n_players > HALF:
                add_lines(cells, places.ctypes.data, sums.ctypes.data, TILE, players, n_players, TILE)
            else:
                add_short_lines(cells, places.ctypes.data, sums.ctypes.data, TILE, players, n_players, TILE)
        chunks = tables.chunk_end[group]
        first = near[0] + (group - groups[0]) * near[2]
        if first < near[1]:
            bring_near(tables.cells.ctypes.data + 8 * first, 8 * min(near[2], near[1] - first))


pass_by = numba.njit(nogil=True)(_pass_by)


def _explain_rows(
    rows: Any, columns: Any, tables: Any, paths: Any, first_row: int, n_rows: int, codes: Any, places: Any, sums: Any
) -> None:
    """Write the contributions of rows first_row .. first_row + n_rows - 1.

    Parameters
    ----------
    rows, columns, tables, paths
        See the tuples' own words.
    codes
        (n_tiles, n_columns, TILE): written to; uint8 or uint16, as the tests' limits are.
    places
        (TILE,) uint16: written to.
    sums
        (n_tiles, n_players, TILE): the contributions. What is behind `n_rows` has no meaning.
    """
    n_tiles = (n_rows + TILE - 1) // TILE
    write_codes(rows, columns, first_row, n_rows, codes)
    sums[:n_tiles] = 0.0
    first, tests, chunks = 0, 0, 0
    for run in range(len(tables.near_end)):
        last = tables.near_end[run]
        # What the next groups take of the cells.
        begin = tables.chunk_start[tables.chunk_end[last - 1]]
        is_last = run + 1 == len(tables.near_end) or n_tiles <= FEW_TILES
        end = begin if is_last else tables.chunk_start[tables.chunk_end[tables.near_end[run + 1] - 1]]
        share = ((end - begin) // (max(n_tiles, 1) * (last - first)) + LINE) // LINE * LINE
        for tile in range(n_tiles):
            near = (begin + tile * share * (last - first), end, share)
            pass_by(tables, (first, last), tests, chunks, near, codes[tile], places, sums[tile])
        first, tests, chunks = last, tables.test_end[last - 1], tables.chunk_end[last - 1]
    if len(paths.end):
        add_paths(paths, codes, n_rows, sums)


explain_rows = compile_cached(_explain_rows, SOURCES)


def _insert(sizes: Any, player: Any, above: Any, before: Any, here: Any, own: Any) -> None:
    """Put a player's sizes (BLOCK,) into one place of the largest so far: `here` of `own`, behind `above` of `before`.

    All arrays are float64, players too, and there is one way through the loop: so it becomes vector instructions.
    """
    for row in range(BLOCK):
        size, larger, held = sizes[row], above[row], here[row]
        is_before, is_here = size > larger, size > held
        value, who = size if is_here else held, player if is_here else own[row]
        here[row] = larger if is_before else value
        own[row] = before[row] if is_before else who


insert = numba.njit(nogil=True)(_insert)


def _pick_largest(sums: Any, n_rows: int, direction: int, player: Any, value: Any, count: Any) -> None:
    """Pick the largest contributions of each row, ties by the order of players.

    Parameters
    ----------
    sums
        (n_tiles, n_players, n_rows of a tile).
    direction
        1: the largest above zero; -1: the largest below zero; 0: the largest sizes.
    player, value, count
        (n_rows, n), (n_rows, n) and (n_rows,): written to, the largest first; `count` says how many there are.
    """
    tile_rows, most = sums.shape[2], player.shape[1]
    sizes = np.zeros(BLOCK)
    # Ahead of the first place stands what nothing is larger than.
    best, who = np.empty((most + 1, BLOCK)), np.empty((most + 1, BLOCK))
    for first in range(0, n_rows, tile_rows):
        tile = sums[first // tile_rows]
        for begin in range(0, min(tile_rows, n_rows - first), BLOCK):
            n_block = min(BLOCK, tile_rows - begin, n_rows - first - begin)
            sizes[n_block:] = 0.0
            best[0], best[1:], who[:] = np.inf, 0.0, -1.0
            for one in range(len(tile)):
                line = tile[one, begin : begin + n_block]
                for row in range(n_block):
                    sizes[row] = abs(line[row]) if direction == 0 else direction * line[row]
                for place in range(most, 0, -1):
                    insert(sizes, float(one), best[place - 1], who[place - 1], best[place], who[place])
            for row in range(n_block):
                at, found = first + begin + row, 0
                while found < most and who[found + 1, row] >= 0.0:
                    whose = int(who[found + 1, row])
                    player[at, found] = whose
                    value[at, found] = tile[whose, begin + row]
                    found += 1
                count[at] = found


pick_largest = compile_cached(_pick_largest, SOURCES)
