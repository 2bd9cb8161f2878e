"""Exact Shapley values of a tree ensemble, by quadrature over the paths to its leaves.

What a leaf of value v gives to a player depends on which of its path's conditions the row satisfies. With z_j = 1 for
a satisfied one and else 0, and w_j its weight, the player of condition i gets

    v (z_i - w_i) * integral over t from 0 to 1 of the product over j != i of (w_j (1 - t) + z_j t)

that is, the average over all orders in which conditions become known, where an unknown one holds with its weight
(path-dependent TreeSHAP, Lundberg et al. 2020). The integrand is a polynomial of degree d - 1, so Gauss-Legendre with
d / 2 points is exact but for rounding. Rows are taken `ROWS` at a time and paths in blocks of a fixed size, so that a
row's sums have one order, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.scoring.kernels.ensemble import F64
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_scorer import places_of
from jobs.scoring.reasons.leaf_paths import LeafPaths, leaf_paths
from jobs.scoring.reasons.players import Players

ROWS = 32
"""Rows that are worked on at a time."""
BLOCK_CONDITIONS = 65_536
"""Conditions of the paths that are worked on at a time: some 16 MB for each of a handful of arrays."""


class TreeContributions:
    """One output of a tree model, ready to be divided among players.

    Parameters
    ----------
    model
        The model.
    players
        Who its columns' contributions go to.
    output
        Which of its raw predictions.

    Raises
    ------
    NotUnderstood
        It is not known how much of the training went through the nodes.
    """

    def __init__(self, model: TreeModel, players: Players, output: int) -> None:
        self._model = model
        self._paths = leaf_paths(model, players)
        self._n_players = len(players.names)
        self._values = leaf_values(model, self._paths, output)
        self._starts = np.cumsum(self._paths.n_conditions) - self._paths.n_conditions
        self.base = float(model.base[output]) / model.divisor + float(np.sum(self._values * self._reach()))

    def _reach(self) -> F64:
        """Return (n_leaves,) the product of the weights on each path: the share of training that came there."""
        reach = np.ones(len(self._values))
        some = self._paths.n_conditions > 0
        if some.any():
            reach[some] = np.multiply.reduceat(self._paths.weight, self._starts[some])
        return reach

    def of(self, columns: Sequence[pa.Array], n_rows: int) -> F64:
        """Return the contributions (n_rows, n_players) of a batch's rows.

        Parameters
        ----------
        columns
            The feature columns, each one piece, of the types that the model was read for.
        n_rows
            Their length.
        """
        out = np.zeros((n_rows, self._n_players))
        for first in range(0, n_rows, ROWS):
            part = [column.slice(first, ROWS) for column in columns]
            out[first : first + ROWS] = self._of_few(part).T
        return out

    def _of_few(self, columns: Sequence[pa.Array]) -> F64:
        """Return the contributions (n_players, n_rows) of at most `ROWS` rows."""
        passes = self._passes(columns)
        n_rows = passes.shape[1]
        out = np.zeros((self._n_players, n_rows))
        for first, last in _blocks(self._paths):
            length = int(self._paths.n_conditions[first])
            begin = int(self._starts[first])
            end = begin + (last - first) * length
            shape = (last - first, length)
            is_met = self._is_met(passes, begin, end).reshape(*shape, n_rows)
            given = _given(is_met, self._paths.weight[begin:end].reshape(shape), self._values[first:last])
            _add_up(given.reshape(-1, n_rows), self._paths.player[begin:end], out)
        return out

    def _passes(self, columns: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
        """Return (n_nodes, n_rows) whether a row goes to the first child of each node; leaves are not looked at."""
        model = self._model
        bins = [places_of(columns[one.column], one).astype(np.int64) for one in model.columns]
        if not model.slots:
            return np.zeros((len(model.slot), len(columns[0]) if columns else 0), np.bool_)
        codes = np.stack([slot.codes[bins[slot.bins]] for slot in model.slots])
        return np.asarray(codes[np.maximum(model.slot, 0)] <= model.code[:, np.newaxis])

    def _is_met(self, passes: npt.NDArray[np.bool_], begin: int, end: int) -> npt.NDArray[np.bool_]:
        """Return (end - begin, n_rows) which conditions the rows satisfy."""
        paths = self._paths
        first = paths.test_start[begin]
        last = paths.test_start[end] if end < len(paths.test_start) else len(paths.test_node)
        tests = passes[paths.test_node[first:last]] != paths.test_is_right[first:last, np.newaxis]
        return np.asarray(np.logical_and.reduceat(tests, paths.test_start[begin:end] - first, axis=0))


def leaf_values(model: TreeModel, paths: LeafPaths, output: int) -> F64:
    """Return (n_leaves,) what each path's leaf adds to an output, 0 where its tree adds to others."""
    part = output - model.output[paths.tree].astype(np.int64)
    is_part = (part >= 0) & (part < model.leaves.shape[1])
    held = model.leaves[paths.leaf, np.where(is_part, part, 0)].astype(np.float64)
    return np.asarray(np.where(is_part, held, 0.0) / model.divisor)


def _blocks(paths: LeafPaths) -> list[tuple[int, int]]:
    """Cut the paths into blocks of one length; those without conditions, which give nothing, are left out."""
    found = []
    lengths, firsts = np.unique(paths.n_conditions, return_index=True)
    lasts = [*firsts[1:].tolist(), len(paths.n_conditions)]
    for length, first, last in zip(lengths.tolist(), firsts.tolist(), lasts, strict=True):
        if length:
            step = max(1, BLOCK_CONDITIONS // length)
            found += [(start, min(start + step, last)) for start in range(first, last, step)]
    return found


def _given(is_met: npt.NDArray[np.bool_], weight: F64, values: F64) -> F64:
    """Return (n_paths, length, n_rows) what each condition's player gets of each path's leaf."""
    z, w = is_met.astype(np.float64), weight[:, :, np.newaxis]
    length = z.shape[1]
    points, gauss_weights = np.polynomial.legendre.leggauss((length + 1) // 2)
    total = np.zeros_like(z)
    for point, gauss_weight in zip((points + 1) / 2, gauss_weights / 2, strict=True):
        factor = w * (1 - point) + z * point
        others = np.ones_like(z)
        for place in range(1, length):
            others[:, place] = others[:, place - 1] * factor[:, place - 1]
        after = np.ones_like(z[:, 0])
        for place in range(length - 2, -1, -1):
            after *= factor[:, place + 1]
            others[:, place] *= after
        total += gauss_weight * others
    return np.asarray((z - w) * total * values[:, np.newaxis, np.newaxis])


def _add_up(given: F64, player: npt.NDArray[np.int64], out: F64) -> None:
    """Add (n_conditions, n_rows) to the players' sums (n_players, n_rows), in the order of the conditions."""
    order = np.argsort(player, kind="stable")
    present, starts = np.unique(player[order], return_index=True)
    out[present] += np.add.reduceat(given[order], starts, axis=0)
