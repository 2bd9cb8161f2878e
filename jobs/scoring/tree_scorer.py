"""A tree ensemble scored by the bitvector kernel: from Arrow batches to arrays of predictions.

Prepares what the kernel reads, once per set of column types; hands it the buffers of each batch as they are;
and spreads long batches over threads, each of which takes the next run of rows that nobody has taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.scoring.bins import ColumnBins
from jobs.scoring.ensemble import Ensemble, Values
from jobs.scoring.kernel_cache import make_ready
from jobs.scoring.layout import Layout, lay_out
from warehouse.errors import ScoringFailed

if TYPE_CHECKING:
    from jobs.scoring.kernel import ColumnArrays, Rows, SlotArrays, TreeArrays

RUN_ROWS = 8192
"""Rows that a thread takes at a time."""


@lru_cache(maxsize=1)
def scoring_threads() -> ThreadPoolExecutor:
    """Return the threads that all scorers of this process share, one for each CPU that it may use."""
    return ThreadPoolExecutor(available_cpus(), "almanac-scoring")


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _starts(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype)


def _cells(numbers: Values, low: Any, scale: Any) -> npt.NDArray[np.int64]:
    """Return the grid cell of each number, by the arithmetic of `kernel.find_cells`."""
    from jobs.scoring.kernel import CELLS

    with np.errstate(all="ignore"):
        places = (numbers - low) * scale
    cells: npt.NDArray[np.int64] = np.nan_to_num(np.clip(places, 0, CELLS - 1)).astype(np.int64)
    return cells


def _grid_of(breakpoints: Values) -> tuple[float, float, npt.NDArray[np.int64]]:
    """Choose the grid in whose fullest cell the fewest breakpoints lie: low, scale, and each breakpoint's
    cell.

    Breakpoints far out would leave the others in one cell, so grids that leave out a few at both ends are
    tried.
    """
    from jobs.scoring.kernel import CELLS

    number = breakpoints.dtype.type
    best = (0.0, 0.0, np.zeros(len(breakpoints), np.int64))
    fullest = len(breakpoints)
    for left_out in (0, 1, 2, 4, 8, 16, 32, 64):
        if 2 * left_out + 1 >= len(breakpoints):
            break
        low, high = breakpoints[left_out], breakpoints[len(breakpoints) - 1 - left_out]
        with np.errstate(all="ignore"):
            scale = number(CELLS) / (high - low)
        if not (np.isfinite(low) and np.isfinite(scale)):
            continue
        cells = _cells(breakpoints, low, scale)
        if np.bincount(cells).max() < fullest:
            best, fullest = (float(low), float(scale), cells), int(np.bincount(cells).max())
    return best


def _column_arrays(bins: Sequence[ColumnBins]) -> ColumnArrays:
    from jobs.scoring.kernel import CELLS, ColumnArrays

    low, scale = np.zeros(len(bins)), np.zeros(len(bins))
    grid = np.zeros((len(bins), CELLS), np.uint16)
    steps = np.zeros(len(bins), np.int64)
    padded: list[npt.NDArray[np.float64]] = []
    for place, column in enumerate(bins):
        low[place], scale[place], cells = _grid_of(column.breakpoints)
        in_cell = np.bincount(cells, minlength=CELLS)
        grid[place] = np.cumsum(in_cell) - in_cell
        steps[place] = int(in_cell.max()).bit_length()
        padding = np.full(1 << int(steps[place]), np.inf)
        padded.append(np.concatenate([column.breakpoints.astype(np.float64), padding]))
    flat = _joined(padded, np.float64)
    with np.errstate(over="ignore"):
        # Exact for float32 columns; nobody reads the others'.
        flat32 = flat.astype(np.float32)
    return ColumnArrays(
        start=_starts([len(numbers) for numbers in padded])[:-1],
        breakpoints=flat,
        breakpoints32=flat32,
        low=low,
        scale=scale,
        grid=grid,
        steps=steps,
        null_bin=np.array([column.size - 1 for column in bins], np.uint16),
        refused_start=_starts([column.size for column in bins]),
        refused=_joined([column.refused for column in bins], np.bool_),
        has_refused=np.array([column.refused.any() for column in bins], np.bool_),
    )


def _group_ends(output: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Cut the trees into groups of at most GROUP that add to the same output."""
    from jobs.scoring.kernel import GROUP

    ends, first = [], 0
    for tree in range(1, len(output) + 1):
        if tree == len(output) or output[tree] != output[first] or tree - first == GROUP:
            ends.append(tree)
            first = tree
    return np.array(ends, np.int64)


def _slot_arrays(layout: Layout) -> tuple[SlotArrays, npt.NDArray[np.int32]]:
    """Return the slots in the order of their columns, and the new number of each."""
    from jobs.scoring.kernel import SlotArrays

    cell = layout.code.dtype
    shift = 1 << (layout.width - 1)
    order = sorted(range(len(layout.slots)), key=lambda number: layout.slots[number].bins)
    slots = [layout.slots[number] for number in order]
    number_of = np.zeros(len(order), np.int32)
    number_of[order] = np.arange(len(order), dtype=np.int32)
    per_column = [sum(slot.bins == column for slot in slots) for column in range(len(layout.columns))]
    arrays = SlotArrays(
        first=_starts(per_column),
        is_ranked=np.array([slot.is_ranked for slot in slots], np.bool_),
        null_code=np.array([slot.codes[-1] - shift for slot in slots], cell),
        table_start=_starts([len(slot.codes) for slot in slots]),
        table=_joined([slot.codes - shift for slot in slots], cell),
    )
    return arrays, number_of


class TreeProgram:
    """An ensemble made ready for batches whose columns have certain types.

    Parameters
    ----------
    ensemble
        The model.
    kinds
        Of each feature column "float64", "float32" or "text".
    """

    def __init__(self, ensemble: Ensemble, kinds: Sequence[str]) -> None:
        from jobs.scoring.kernel import TreeArrays

        self._is_ready = False
        self.base = np.ascontiguousarray(ensemble.base)
        self.divisor = ensemble.base.dtype.type(ensemble.divisor)
        self.layout = lay_out(ensemble, kinds)
        self.bins = self.layout.columns
        self._columns = _column_arrays(self.bins)
        self._slots, number_of = _slot_arrays(self.layout)
        layout = self.layout
        self._trees: TreeArrays = TreeArrays(
            number_of[layout.slot] if len(layout.slot) else layout.slot,
            layout.code,
            layout.mask,
            layout.plane_end,
            layout.tree_end,
            layout.leaf_start,
            layout.leaves,
            layout.output,
            _group_ends(layout.output),
        )

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> npt.NDArray[Any]:
        """Return the raw predictions (n_rows, n_outputs) of one batch.

        Parameters
        ----------
        columns
            The feature columns, float64, float32 or text, each one piece.
        n_rows
            Their length.

        Raises
        ------
        ScoringFailed
            The estimator would refuse a value.
        """
        out = np.empty((n_rows, len(self.base)), self.base.dtype)
        rows, held = self._rows(columns)
        if not self._is_ready:
            make_ready(self._kernel(), self._arguments(rows, 0, out))
            self._is_ready = True
        runs = [(first, out[first : first + RUN_ROWS]) for first in range(0, n_rows, RUN_ROWS)]
        refused = in_threads(lambda run: self._score(rows, *run), runs)
        del held
        if any(refused):
            raise ScoringFailed(self._refusal(columns))
        return out

    def _kernel(self) -> Any:
        from jobs.scoring import kernel

        return kernel.score_rows_8 if self.layout.width == 8 else kernel.score_rows_16

    def _score(self, rows: Rows, first: int, out: npt.NDArray[Any]) -> bool:
        return bool(self._kernel()(*self._arguments(rows, first, out)))

    def _arguments(self, rows: Rows, first: int, out: npt.NDArray[Any]) -> tuple[Any, ...]:
        return rows, self._columns, self._slots, self._trees, self.base, self.divisor, first, out

    def _rows(self, columns: Sequence[pa.Array]) -> tuple[Rows, list[Any]]:
        """Return where the columns lie, and what has to be kept alive while they are read."""
        from jobs.scoring.kernel import BINS, FLOAT32, FLOAT64, Rows

        kind, address, validity, offset = [], [], [], []
        held: list[Any] = []
        for bins in self.bins:
            column = columns[bins.column]
            if bins.kind == "text":
                ready = _text_bins(column, bins)
                held.append(ready)
                kind.append(BINS)
                address.append(ready.ctypes.data)
                validity.append(0)
                offset.append(0)
                continue
            bitmap, values = column.buffers()
            kind.append(FLOAT32 if bins.kind == "float32" else FLOAT64)
            address.append(values.address if values is not None else 0)
            validity.append(bitmap.address if bitmap is not None and column.null_count else 0)
            offset.append(column.offset)
        whole = (np.array(numbers, np.int64) for numbers in (kind, address, validity, offset))
        return Rows(*whole), held

    def _refusal(self, columns: Sequence[pa.Array]) -> str:
        """Say which column holds a value that the estimator refuses."""
        for bins in self.bins:
            for place in np.flatnonzero(bins.refused):
                column = columns[bins.column]
                nulls = column.null_count or (bins.kind != "text" and pc.any(pc.is_nan(column)).as_py())
                if place == bins.size - 1 and nulls:
                    return f"column {bins.column} has missing values"
        return "a value is infinite, too large, or a category that the model has not seen"


def _text_bins(column: pa.Array, bins: ColumnBins) -> npt.NDArray[np.uint16]:
    """Return the bin of each text: its category's, the one after all of them if unknown, the last if null."""
    domain = pa.array(bins.domain, column.type)
    found = pc.fill_null(pc.index_in(column, domain), len(bins.domain))
    places = found.to_numpy(zero_copy_only=False).astype(np.uint16)
    if column.null_count:
        places[column.is_null().to_numpy(zero_copy_only=False)] = len(bins.domain) + 1
    return np.asarray(places)


def in_threads(work: Callable[[Any], Any], pieces: Sequence[Any]) -> list[Any]:
    """Do the work on each piece, over the scoring threads where there is more than one piece."""
    if len(pieces) < 2:
        return [work(piece) for piece in pieces]
    return list(scoring_threads().map(work, pieces))
