"""Tables of contributions: for each group of leaves, what they give to each player in each of its states.

What the contributions mean lives here alone: path-dependent or against background rows, of columns or of groups of
them; the kernel only adds lines up. Tables are made within a budget of memory; what is above it is left to quadrature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.codes import I64
from jobs.scoring.kernels.ensemble import F64
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_scorer import in_threads
from jobs.scoring.reasons.leaf_groups import LeafGroup
from jobs.scoring.reasons.leaf_paths import LeafPaths
from jobs.scoring.reasons.players import Players

if TYPE_CHECKING:
    from jobs.scoring.reasons.table_kernel import TableArrays

WIDTH = 8
"""Players of a line of a table."""
SHORT_WIDTH = 4
"""Players of a short line, where so few are left."""
NEAR_BYTES = 512 << 10
"""About how much of the tables rows pass by at a time: what the second-level cache holds beside their sums."""


@dataclass(frozen=True)
class Background:
    """Rows that unknown values are taken from: the bins (n_columns, n_rows) of each of the model's columns."""

    bins: I64

    @property
    def n_rows(self) -> int:
        """How many they are."""
        return int(self.bins.shape[1])


class GroupTable:
    """One group with the players of its leaves.

    Parameters
    ----------
    model, players
        Whose.
    group
        The leaves.
    """

    def __init__(self, model: TreeModel, players: Players, group: LeafGroup) -> None:
        self.group = group
        self._features = np.array([model.columns[column].column for column in group.columns.tolist()], np.int64)
        self.players, self._place_of = np.unique(players.of_feature[self._features], return_inverse=True)
        self.widths = chunk_widths(len(self.players))

    @property
    def n_bytes(self) -> int:
        """The size of its table."""
        return 8 * sum(self.n_cells)

    @property
    def n_cells(self) -> list[int]:
        """How much room each of its chunks takes: each begins a cache line."""
        return [-(-self.group.n_states * width // WIDTH) * WIDTH for width in self.widths]

    def cells(self, paths: LeafPaths, values: F64, starts: I64, background: Background | None) -> list[F64]:
        """Return the table's chunks, (n_states, width) each.

        Parameters
        ----------
        paths, starts
            With one player for each feature, and where each path's conditions begin.
        values
            (n_leaves,) of each path's leaf.
        background
            None: path-dependent.
        """
        from jobs.scoring.reasons import grouping_kernel

        group = self.group
        table = np.zeros((group.n_states, sum(self.widths)))
        for path, holds in zip(group.paths.tolist(), group.holds, strict=True):
            first = int(starts[path])
            conditions = slice(first, first + int(paths.n_conditions[path]))
            own = np.searchsorted(self._features, paths.player[conditions])
            places, bit_of_own = np.unique(self._place_of[own], return_inverse=True)
            bit_of = np.full(len(group.columns), -1, np.int64)
            bit_of[own] = bit_of_own
            given = np.empty((1 << len(places), len(places)))
            points, gauss = quadrature((len(places) + 1) // 2)
            if background is None:
                weights = np.ones(len(places))
                np.multiply.at(weights, bit_of_own, paths.weight[conditions])
                grouping_kernel.path_dependent(float(values[path]), weights, points, gauss, given)
            else:
                shares = self.shares(background, holds, bit_of, len(places))
                grouping_kernel.interventional(float(values[path]), shares, points, gauss, given)
            grouping_kernel.add_leaf(table, group.n_classes, given, holds, bit_of, places)
        return np.split(table, np.cumsum(self.widths)[:-1], axis=1)

    def shares(self, background: Background, holds: npt.NDArray[np.bool_], bit_of: I64, n_players: int) -> F64:
        """Return (2 ** n_players,) which share of the background satisfies just these players' conditions."""
        line = np.full(background.n_rows, (1 << n_players) - 1, np.int64)
        for number in np.flatnonzero(bit_of >= 0).tolist():
            column = int(self.group.columns[number])
            is_met = holds[number, self.group.classes[number, background.bins[column]]]
            line &= np.where(is_met, -1, ~(1 << int(bit_of[number])))
        return np.bincount(line, minlength=1 << n_players) / background.n_rows

    def tests(self, sizes: Sequence[int]) -> tuple[list[I64], int]:
        """Return how a row's line is found: columns, limits and what is added above them, (3, n) each, and the start.

        Parameters
        ----------
        sizes
            The bins of each of the model's columns.
        """
        group = self.group
        found, start, stride = [], 0, 1
        for number, column in enumerate(group.columns.tolist()):
            # Codes count null first.
            by_code = np.roll(group.classes[number, : sizes[column]].astype(np.int64), 1) * stride
            limits = np.flatnonzero(np.diff(by_code))
            start += int(by_code[0])
            found.append(np.stack([np.full(len(limits), column), limits, np.diff(by_code)[limits]]))
            stride *= int(group.n_classes[number])
        return found, start


def chunk_widths(n_players: int) -> list[int]:
    """Return how many players' room the lines of each of a table's chunks have."""
    n_full, n_left = divmod(n_players, WIDTH)
    return [*[WIDTH] * n_full, *([SHORT_WIDTH if n_left <= SHORT_WIDTH else WIDTH] if n_left else [])]


@lru_cache(maxsize=64)
def quadrature(n_points: int) -> tuple[F64, F64]:
    """Return the points and weights of Gauss and Legendre between 0 and 1."""
    points, weights = np.polynomial.legendre.leggauss(n_points)
    return (points + 1) / 2, weights / 2


def within_budget(tables: Sequence[GroupTable], budget_bytes: int) -> list[GroupTable]:
    """Return the tables that fit a budget, in their order: those that cost the most for each leaf are left out."""
    cost = np.array([table.n_bytes / len(table.group.paths) for table in tables])
    cheapest = np.argsort(cost, kind="stable")
    sizes = np.array([table.n_bytes for table in tables], np.int64)
    n_kept = int(np.searchsorted(np.cumsum(sizes[cheapest]), budget_bytes, side="right"))
    return [tables[place] for place in sorted(cheapest[:n_kept].tolist())]


def table_arrays(
    model: TreeModel,
    tables: Sequence[GroupTable],
    paths: LeafPaths,
    values: F64,
    background: Background | None = None,
) -> TableArrays:
    """Make the tables, and lay them out for the kernel."""
    from jobs.scoring.reasons.table_kernel import TableArrays

    sizes = [column.size for column in model.columns]
    starts = np.cumsum(paths.n_conditions) - paths.n_conditions
    chunk_start = np.cumsum([0, *(n for table in tables for n in table.n_cells)], dtype=np.int64)
    cells = aligned((int(chunk_start[-1]),))
    tests, test_end, start, chunk_end, players, n_players = [np.zeros((3, 0), np.int64)], [], [], [], [], []
    n_tests = n_chunks = 0
    for table in tables:
        found, begin = table.tests(sizes)
        tests += found
        n_tests += sum(part.shape[1] for part in found)
        n_chunks += len(table.widths)
        test_end.append(n_tests)
        start.append(begin)
        chunk_end.append(n_chunks)
        for first in range(0, len(table.players), WIDTH):
            own = table.players[first : first + WIDTH]
            players.append(np.pad(own, (0, WIDTH - len(own))))
            n_players.append(len(own))

    def fill(number: int) -> None:
        first = chunk_end[number] - len(tables[number].widths)
        for chunk, at in zip(
            tables[number].cells(paths, values, starts, background), chunk_start[first:], strict=False
        ):
            cells[at : at + chunk.size].reshape(chunk.shape)[:] = chunk

    in_threads(fill, range(len(tables)))
    column, limit, delta = np.concatenate(tests, axis=1)
    return TableArrays(
        test_column=np.ascontiguousarray(column),
        test_limit=limit.astype(code_type(sizes)),
        # Places are counted modulo 65,536.
        test_delta=delta.astype(np.int64).astype(np.uint16),
        test_end=np.array(test_end, np.int64),
        start=np.array(start, np.int64),
        chunk_end=np.array(chunk_end, np.int64),
        near_end=_near_ends([table.n_bytes for table in tables]),
        chunk_start=chunk_start,
        players=np.array(players, np.int64).reshape(-1, WIDTH),
        n_players=np.array(n_players, np.int64),
        cells=cells,
    )


def _near_ends(n_bytes: Sequence[int]) -> I64:
    """Return where each run of tables ends that rows pass by at a time."""
    ends, held = [], 0
    for number, size in enumerate(n_bytes):
        if held and held + size > NEAR_BYTES:
            ends.append(number)
            held = 0
        held += size
    return np.array([*ends, *([len(n_bytes)] if n_bytes else [])], np.int64)


def code_type(sizes: Sequence[int]) -> type[np.unsignedinteger[Any]]:
    """Return the type of the codes of columns with so many bins."""
    return np.uint8 if max(sizes, default=0) <= 256 else np.uint16


def aligned(shape: tuple[int, ...]) -> F64:
    """Return float64 whose first cell begins a cache line."""
    size = int(np.prod(shape))
    room = np.empty(size + 8)
    skipped = -room.ctypes.data % 64 // 8
    return room[skipped : skipped + size].reshape(shape)
