"""Contributions of a tree model at the rate of pages: prepared as tables, then added up by a kernel.

Preparing takes seconds, so a few rows are explained by `tree_contributions`, which prepares nothing. Leaves for whose
tables the budget is too small, and trees with very many leaves, are worked out by quadrature over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.codes import I64
from jobs.scoring.kernels.ensemble import F64
from jobs.scoring.kernels.kernel_arrays import column_arrays
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_scorer import in_threads, kernel_rows, places_of
from jobs.scoring.machine_code.kernel_cache import make_ready
from jobs.scoring.reasons.largest import Largest
from jobs.scoring.reasons.leaf_groups import MAX_CONDITIONS, MAX_LEAVES, leaf_groups
from jobs.scoring.reasons.leaf_paths import LeafPaths, leaf_paths
from jobs.scoring.reasons.leaf_tables import (
    Background,
    GroupTable,
    aligned,
    code_type,
    quadrature,
    table_arrays,
    within_budget,
)
from jobs.scoring.reasons.players import Players
from jobs.scoring.reasons.tree_contributions import leaf_values

if TYPE_CHECKING:
    from jobs.scoring.reasons.table_kernel import PathArrays

BUDGET_BYTES = 256 << 20
"""How much memory tables take at most."""
RUN_ROWS = 8192
"""Rows that a thread takes at a time: so many that a table is read often once it is near, and few enough for the sums
of 20 columns to stay in the second-level cache."""
TILE = 128
"""Rows whose codes and sums lie beside each other, as `table_kernel` has it, which takes long to import."""


class TableContributions:
    """One output of a tree model, ready to be divided among players.

    Parameters
    ----------
    model
        The model.
    players
        Who its columns' contributions go to.
    output
        Which of its raw predictions.
    background
        Columns and number of rows that unknown values are taken from; None: path-dependent.
    budget_bytes
        How much memory tables take at most.

    Raises
    ------
    NotUnderstood
        It is not known how much of the training went through the nodes; or, against a background, a path has too many
        columns for a table, or the tables are larger than the budget.
    """

    def __init__(
        self,
        model: TreeModel,
        players: Players,
        output: int,
        background: tuple[Sequence[pa.Array], int] | None = None,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._model = model
        self.n_players = len(players.names)
        n_features = len(players.of_feature)
        by_feature = Players(tuple(str(place) for place in range(n_features)), np.arange(n_features))
        paths = leaf_paths(model, by_feature, needs_cover=background is None)
        values = leaf_values(model, paths, output)
        is_used = np.bincount(paths.tree, weights=values != 0.0, minlength=model.n_trees) > 0
        is_small = np.bincount(paths.tree, minlength=model.n_trees) <= MAX_LEAVES
        groups = leaf_groups(model, paths, np.flatnonzero(is_used & is_small))
        tables = within_budget([GroupTable(model, players, group) for group in groups], budget_bytes)
        in_tables = np.zeros(len(paths.leaf), np.bool_)
        for table in tables:
            in_tables[table.group.paths] = True
        in_tables |= (values == 0.0) | (paths.n_conditions == 0)
        self.n_table_leaves, self.n_leaves = int(in_tables.sum()), len(in_tables)
        rows = None
        if background is not None:
            rows = _background(model, *background)
            if not in_tables.all():
                raise NotUnderstood(
                    f"{self.n_leaves - self.n_table_leaves} of its leaves have more than {MAX_CONDITIONS} columns on"
                    f" their paths, or do not fit into {budget_bytes >> 20} MiB of tables, and against a background"
                    " there is no other way"
                )
        self.base = float(model.base[output]) / model.divisor + _mean(model, paths, values, rows)
        self._tables = table_arrays(model, tables, paths, values, rows)
        left_out = np.sort(paths.leaf[~in_tables])
        self._paths = path_arrays(model, leaf_paths(model, players, needs_cover=rows is None), output, left_out)
        self._columns = column_arrays(model.columns)
        self._codes = code_type([column.size for column in model.columns])
        self._is_ready = False
        self._rooms: list[_Room] = []

    @property
    def n_bytes(self) -> int:
        """The memory that the tables take."""
        return int(self._tables.cells.nbytes)

    def by_player(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return the contributions (n_players, n_rows) of a batch's rows.

        Parameters
        ----------
        columns
            The feature columns, each one piece, of the types that the model was read for.
        n_rows
            Their length.
        """
        out = np.empty((self.n_players, n_rows))

        def take(first: int, n_here: int, sums: F64) -> None:
            out[:, first : first + n_here] = sums.transpose(1, 0, 2).reshape(self.n_players, -1)[:, :n_here]

        self._explain(columns, n_rows, take)
        return out

    def of(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return the contributions (n_rows, n_players) of a batch's rows."""
        return self.by_player(columns, n_rows).T

    def pick_largest(self, columns: Sequence[pa.Array], n_rows: int, direction: int, found: Largest) -> None:
        """Pick the largest contributions of a batch's rows, run by run, while they are near."""

        def take(first: int, n_here: int, sums: F64) -> None:
            found.of_rows(slice(first, first + n_here)).pick(sums, direction)

        self._explain(columns, n_rows, take)

    def _explain(self, columns: Sequence[pa.Array], n_rows: int, take: Callable[[int, int, F64], None]) -> None:
        """Explain a batch, run by run; hand on each run's first row, its length and its sums by tile, in any thread."""
        rows, held = kernel_rows(columns, self._model.columns)

        def explain(first: int) -> None:
            n_here = min(RUN_ROWS, n_rows - first)
            room = self._rooms.pop() if self._rooms else self._room()
            self._run(rows, first, n_here, room)
            take(first, n_here, room.sums)
            self._rooms.append(room)

        if n_rows and not self._is_ready:
            self._run(rows, 0, 0, self._room())
            self._is_ready = True
        in_threads(explain, range(0, n_rows, RUN_ROWS))
        del held

    def _room(self) -> _Room:
        n_tiles = RUN_ROWS // TILE
        codes = np.zeros((n_tiles, len(self._model.columns), TILE), self._codes)
        return _Room(codes, np.zeros(TILE, np.uint16), aligned((n_tiles, self.n_players, TILE)))

    def _run(self, rows: Any, first: int, n_rows: int, room: _Room) -> None:
        from jobs.scoring.reasons.table_kernel import explain_rows

        arguments = (rows, self._columns, self._tables, self._paths, first, n_rows, *room)
        if not self._is_ready:
            make_ready(explain_rows, arguments)
        explain_rows(*arguments)


class _Room(NamedTuple):
    """What a run of rows is worked on in, used again by the next one: see `table_kernel.explain_rows`."""

    codes: Any
    places: Any
    sums: F64


def _background(model: TreeModel, columns: Sequence[pa.Array], n_rows: int) -> Background:
    if not n_rows:
        raise NotUnderstood("the background has no rows")
    bins = [places_of(columns[one.column], one).astype(np.int64) for one in model.columns]
    return Background(np.stack(bins) if bins else np.zeros((0, n_rows), np.int64))


def _mean(model: TreeModel, paths: LeafPaths, values: F64, background: Background | None) -> float:
    """Return the mean of the leaves: as training went, or over the background."""
    starts = np.cumsum(paths.n_conditions) - paths.n_conditions
    reach = np.ones(len(values))
    some = paths.n_conditions > 0
    if not some.any():
        return float(np.sum(values))
    if background is None:
        reach[some] = np.multiply.reduceat(paths.weight, starts[some])
        return float(np.sum(values * reach))
    codes = np.stack([slot.codes[background.bins[slot.bins]] for slot in model.slots])
    ends = np.append(starts[1:], len(paths.test_start))
    test_ends = np.append(paths.test_start, len(paths.test_node))
    for path in np.flatnonzero(some).tolist():
        tests = slice(int(test_ends[starts[path]]), int(test_ends[ends[path]]))
        nodes = paths.test_node[tests]
        is_met = (codes[model.slot[nodes]] > model.code[nodes, np.newaxis]) == paths.test_is_right[tests, np.newaxis]
        reach[path] = is_met.all(axis=0).mean()
    return float(np.sum(values * reach))


def path_arrays(model: TreeModel, paths: LeafPaths, output: int, leaves: I64) -> PathArrays:
    """Lay out the paths to some leaves for the quadrature over rows."""
    from jobs.scoring.reasons.table_kernel import PathArrays

    chosen = np.flatnonzero(np.isin(paths.leaf, leaves))
    # One order of the sums, whatever the lengths of the paths.
    values = leaf_values(model, paths, output)
    starts = np.cumsum(paths.n_conditions) - paths.n_conditions
    sizes = paths.n_conditions[chosen]
    conditions = _ranges(starts[chosen], sizes)
    test_ends = np.append(paths.test_start[1:], len(paths.test_node))
    n_tests = (test_ends - paths.test_start)[conditions] if len(conditions) else np.zeros(0, np.int64)
    tests = _ranges(paths.test_start[conditions], n_tests)
    nodes = paths.test_node[tests]
    most = int((sizes.max(initial=0) + 1) // 2)
    points, gauss = np.zeros((most + 1, max(most, 1))), np.zeros((most + 1, max(most, 1)))
    for n_points in range(1, most + 1):
        points[n_points, :n_points], gauss[n_points, :n_points] = quadrature(n_points)
    # Codes of columns count null first.
    slot_codes = [np.roll(slot.codes, 1) for slot in model.slots] if len(chosen) else []
    lengths = [len(codes) for codes in slot_codes]
    return PathArrays(
        slot_column=np.array([slot.bins for slot in model.slots][: len(slot_codes)], np.int64),
        slot_start=np.cumsum([0, *lengths], dtype=np.int64)[:-1],
        slot_codes=np.concatenate([np.zeros(0, np.int64), *slot_codes]).astype(np.int32),
        value=values[chosen],
        end=np.cumsum(sizes, dtype=np.int64),
        player=paths.player[conditions],
        weight=paths.weight[conditions],
        test_end=np.cumsum(n_tests, dtype=np.int64),
        test_slot=model.slot[nodes].astype(np.int64),
        test_code=model.code[nodes].astype(np.int64),
        test_is_right=paths.test_is_right[tests],
        points=points,
        gauss=gauss,
    )


def _ranges(starts: I64, sizes: I64) -> I64:
    """Return the numbers from each start on, so many of each."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + np.repeat(starts - (ends - sizes), sizes), np.int64)
