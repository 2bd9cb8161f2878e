"""A tree ensemble scored by the bitvector kernel: from Arrow batches to arrays of predictions.

Prepares what the kernel reads, once per set of column types; hands it the buffers of each batch as they are;
and spreads long batches over threads, each of which takes the next run of rows that nobody has taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.scoring.interface.arrow_functions import is_null, places_in
from jobs.scoring.interface.scorer import Floats
from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.kernel_arrays import column_arrays, slot_arrays, tree_arrays, walk_arrays
from jobs.scoring.kernels.kernel_input import BINS, FLOAT32, FLOAT64, Rows, TreeArrays, WalkArrays
from jobs.scoring.kernels.layout import Layout, largest_code, lay_out
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_structure import tree_structure
from jobs.scoring.kernels.walk_layout import WalkLayout, lay_out_walk
from jobs.scoring.machine_code.kept_code import Code, code_for, words_of
from jobs.scoring.machine_code.kernel_cache import make_ready
from warehouse.errors import ScoringFailed

RUN_ROWS = 8192
"""Rows that a thread takes at a time."""
LINK_ROWS = 16_384
"""Rows whose raw predictions a thread turns into probabilities at a time."""
MAX_BITVECTOR_LEAVES = 512
"""Larger trees are walked: from about here on, one path costs less than a test of every node."""


def kernel_kind(max_leaves: int) -> str:
    """Return the name of the kernel that scores trees of at most so many leaves."""
    for leaves, kind in (
        (32, "bitvector-32"),
        (64, "bitvector-64"),
        (MAX_BITVECTOR_LEAVES, "bitvector-wide"),
    ):
        if max_leaves <= leaves:
            return kind
    return "traversal"


@lru_cache(maxsize=1)
def scoring_threads() -> ThreadPoolExecutor:
    """Return the threads that all scorers of this process share, one for each CPU that it may use."""
    return ThreadPoolExecutor(available_cpus(), "almanac-scoring")


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class TreeProgram:
    """An ensemble made ready for batches whose columns have certain types.

    Parameters
    ----------
    model
        The model.
    feature_names
        The feature columns' names, for messages.
    """

    tolerance_ulp = 0

    def __init__(self, model: TreeModel, feature_names: Sequence[str]) -> None:
        self.model = model
        self._link = model.link
        # A copy: arrays of a file cannot be written, and numba would compile the kernels for such ones anew.
        self.base = np.array(model.base)
        self.divisor = model.base.dtype.type(model.divisor)
        self.feature_names = tuple(feature_names)
        structure = tree_structure(model)
        max_leaves = int(structure.n_leaves.max(initial=1))
        # The bitvector kernels' codes have 16 bits at most.
        self.kind = kernel_kind(max_leaves) if largest_code(model) < 1 << 16 else "traversal"
        kernel = "traversal" if self.kind == "traversal" else "bitvector"
        self.why = (
            f"{model.n_trees} trees of at most {max_leaves} leaves go through the {kernel} kernel with all the steps"
            " before them."
        )
        self._is_ready = False
        if self.kind == "traversal":
            self._prepare_walk(lay_out_walk(model, structure))
        else:
            self._prepare(lay_out(model, structure))
        self._code: Code | None = None
        self._fixed_words = words_of((self._columns, self._slots, self._trees, self.base, self.divisor))

    def predict(self, raw: Floats) -> Floats:
        """Return what the model predicts, from its raw predictions (n_rows, n_outputs): its link, row by row."""
        if len(raw) <= LINK_ROWS:
            return self._link(raw)
        pieces = [raw[first : first + LINK_ROWS] for first in range(0, len(raw), LINK_ROWS)]
        return np.concatenate(in_threads(self._link, pieces))

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column at which the trees' tests change their answer."""
        of_column = [bins for bins in self.bins if bins.column == place]
        return [value for bins in of_column for value in (*bins.domain, *bins.breakpoints.astype(np.float64).tolist())]

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return zeros: every bit agrees."""
        return np.zeros((n_rows, len(self.base)))

    def _prepare(self, layout: Layout) -> None:
        self.bins = layout.columns
        self._columns = column_arrays(self.bins)
        shift = 1 << (layout.width - 1)
        self._slots, number_of = slot_arrays(layout.slots, len(self.bins), layout.code.dtype, shift)
        self._trees: TreeArrays | WalkArrays = tree_arrays(layout, number_of)
        self._kernel = "score_rows_8" if layout.width == 8 else "score_rows_16"

    def _prepare_walk(self, layout: WalkLayout) -> None:
        self.bins = layout.columns
        self._columns = column_arrays(self.bins)
        self._slots, number_of = slot_arrays(layout.slots, len(self.bins), np.int32, 0)
        self._trees = walk_arrays(layout, number_of)
        self._kernel = "score_rows_walking"

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
        rows, held = kernel_rows(columns, self.bins)
        if not self._is_ready:
            arguments = self._arguments(rows, 0, out)
            self._code = code_for(self._kernel, arguments, self._dispatcher)
            if self._code is None:
                make_ready(self._dispatcher(), arguments)
            self._is_ready = True
        runs = [(first, out[first : first + RUN_ROWS]) for first in range(0, n_rows, RUN_ROWS)]
        row_words = words_of(rows)
        refused = in_threads(lambda run: self._score(rows, row_words, *run), runs)
        del held
        if any(refused):
            raise ScoringFailed(self._refusal(columns))
        return out

    def _score(self, rows: Rows, row_words: list[int], first: int, out: npt.NDArray[Any]) -> bool:
        if self._code is None:
            return bool(self._dispatcher()(*self._arguments(rows, first, out)))
        return self._code([*row_words, *self._fixed_words, first, *words_of((out,))])

    def _dispatcher(self) -> Any:
        """Return numba's own way to run the kernel."""
        if self._kernel == "score_rows_walking":
            from jobs.scoring.kernels import walk_kernel

            return walk_kernel.score_rows_walking
        from jobs.scoring.kernels import kernel

        return vars(kernel)[self._kernel]

    def _arguments(self, rows: Rows, first: int, out: npt.NDArray[Any]) -> tuple[Any, ...]:
        return rows, self._columns, self._slots, self._trees, self.base, self.divisor, first, out

    def _refusal(self, columns: Sequence[pa.Array]) -> str:
        """Say which value the estimator refuses."""
        for bins in self.bins:
            places = places_of(columns[bins.column], bins)
            rows = np.flatnonzero(bins.refused[places])
            if len(rows):
                value = columns[bins.column][int(rows[0])].as_py()
                name = self.feature_names[bins.column]
                return (
                    f"The model refuses {value!r} in column {name!r} (row {rows[0]} of the batch). Replace"
                    " such values in the feature's SQL, or train the model on rows that have them."
                )
        return "The model refuses a value."


def kernel_rows(columns: Sequence[pa.Array], bins_of: Sequence[ColumnBins]) -> tuple[Rows, list[Any]]:
    """Return where the columns lie, and what has to be kept alive while they are read."""
    kind, address, validity, offset = [], [], [], []
    held: list[Any] = []
    for bins in bins_of:
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


def places_of(column: pa.Array, bins: ColumnBins) -> npt.NDArray[Any]:
    """Return the bin of each value (n_rows,), without a kernel."""
    if bins.kind == "text":
        return _text_bins(column, bins)
    values = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
    places = np.searchsorted(bins.breakpoints, values, side="left")
    return np.where(np.isnan(values), bins.size - 1, places)


def _text_bins(column: pa.Array, bins: ColumnBins) -> npt.NDArray[np.uint32]:
    """Return the bin of each text: its category's, the one after all of them if unknown, the last if null."""
    domain = pa.array(bins.domain, column.type)
    places = places_in(column, domain).to_numpy(zero_copy_only=False).astype(np.uint32)
    if column.null_count:
        places[is_null(column).to_numpy(zero_copy_only=False)] = len(bins.domain) + 1
    return np.asarray(places)


def in_threads(work: Callable[[Any], Any], pieces: Sequence[Any]) -> list[Any]:
    """Do the work on each piece, over the scoring threads where there is more than one piece."""
    if len(pieces) < 2:
        return [work(piece) for piece in pieces]
    return list(scoring_threads().map(work, pieces))
