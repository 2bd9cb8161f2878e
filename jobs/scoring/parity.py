"""Compares a compiled scorer with the estimator before it may score anything.

The rows compared are real ones, and rows in which each column takes, in turn, every value that lies on or
next to a threshold, NaN, infinities, zeros of both signs, the largest numbers, and categories known and
unseen. Trees must agree in every bit of the raw prediction, and of the probabilities; models that add up products
may differ by a few units in the last place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.scoring.interface.arrow_input import column_named, feature_kind, plain_column
from jobs.scoring.interface.scorer import EstimatorScorer, Floats, Scorer, estimator_scorer, is_classifier, parts_of
from warehouse.errors import ScoringFailed

MAX_REAL_ROWS = 20_000
MAX_PROBES = 200_000
"""Most rows of each kind that are compared; of more values than that, evenly spaced ones are taken."""
MAX_PREDICTED = 20_000
"""Of how many rows the predictions are compared, too. A link looks at one row at a time."""
LARGEST32 = float(np.finfo(np.float32).max)
SPECIAL = (None, float("nan"), float("inf"), float("-inf"), LARGEST32, -LARGEST32, 3.5e38, 1e300, -1e300)
"""Values that an estimator may refuse: each is tried on its own."""


@dataclass(frozen=True)
class ParityReport:
    """How a scorer compares with the estimator.

    Parameters
    ----------
    equal
        Whether every raw prediction and every probability agrees, within `tolerance_ulp`.
    rows
        How many rows both scored.
    refused
        How many sets of rows both refused.
    tolerance_ulp
        The difference allowed, in units in the last place: 0 means equal bits.
    largest_ulp
        The largest difference seen.
    difference
        The first difference beyond it in words, None if there is none.
    """

    equal: bool
    rows: int
    refused: int
    tolerance_ulp: int
    largest_ulp: int
    difference: str | None


def _in_order(values: Floats) -> npt.NDArray[Any]:
    """Return integers that count the representable numbers."""
    integers: type[np.signedinteger[Any]] = np.int32 if values.dtype == np.float32 else np.int64
    bits = values.view(integers)
    return np.where(bits < 0, np.iinfo(integers).min - bits - 1, bits)


def ulps_apart(left: Floats, right: Floats, sizes: Floats | None = None) -> npt.NDArray[np.float64]:
    """Return how many representable numbers lie between each two; 0 for equal bits and for two NaN.

    Where `sizes` are given, each difference is counted in units of the last place of a number of that size.
    """
    if sizes is not None:
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.ceil(np.abs(left - right) / np.spacing(sizes)))
    both_nan = np.isnan(left) & np.isnan(right)
    first, second = _in_order(left), _in_order(right.astype(left.dtype))
    # Two's complement makes the difference right even where it overflows.
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second).astype(np.int64)
    apart = high.view(np.uint64) - low.view(np.uint64)
    return np.where(both_nan, 0.0, apart.astype(np.float64))


def _numeric_values(values: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    """Return the values, their neighbours, those as float32, and a few more; all finite."""
    dtype = np.dtype(kind)
    tiny = np.finfo(dtype).tiny
    smallest = np.finfo(dtype).smallest_subnormal
    special = np.array([0.0, -0.0, tiny, -tiny, smallest, -smallest, 1.0, -1.0, 1e10], dtype)
    with np.errstate(over="ignore"):
        near, float32 = values.astype(dtype), values.astype(np.float32)
        beside = [np.nextafter(near, dtype.type(end)) for end in (np.inf, -np.inf)]
        beside += [np.nextafter(float32, np.float32(end)).astype(dtype) for end in (np.inf, -np.inf)]
    found = np.unique(np.concatenate([near, float32.astype(dtype), *beside]))
    # What may be refused is tried apart, lest the whole set be refused for it.
    found = found[np.abs(found) < 1e30]
    if len(found) > MAX_PROBES:
        found = found[np.linspace(0, len(found) - 1, MAX_PROBES).astype(np.int64)]
    return np.concatenate([special, found])


def _probe_values(scorer: Scorer, place: int, kind: str) -> pa.Array:
    """Return the values of one column that are worth trying."""
    probes = getattr(scorer, "probes", None)
    known = list(probes(place)) if probes is not None else []
    if kind == "text":
        texts = [value for value in known if isinstance(value, str)]
        return pa.array([*texts, "".join(("?", *texts)), "", None], pa.string())
    numbers = np.array([value for value in known if isinstance(value, int | float)], np.float64)
    return pa.array(_numeric_values(numbers, kind))


def _plain(sample: pa.Table, names: Sequence[str]) -> pa.Table:
    columns = [plain_column(name, column_named(sample, name)) for name in names]
    return pa.table(columns, names=list(names))


def _repeated(table: pa.Table, n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Return random rows of the sample, or rows of nulls if it has none."""
    if table.num_rows:
        return table.take(pa.array(rng.integers(0, table.num_rows, n_rows)))
    return pa.table([pa.nulls(n_rows, field.type) for field in table.schema], schema=table.schema)


def probe_rows(scorer: Scorer, sample: pa.Table) -> list[pa.Table]:
    """Return sets of rows to try: columns varied one by one, all at once, then with NaN, then with
    infinities.

    Parameters
    ----------
    scorer
        Its `probes(place)`, where it has them, gives the thresholds and categories of a column.
    sample
        Real rows: their types, and the values of the columns that are not varied.
    """
    rng = np.random.default_rng(20130101)
    names = scorer.feature_names
    plain = _plain(sample, names)
    kinds = [feature_kind(name, plain.schema.field(name).type) for name in names]
    values = [_probe_values(scorer, place, kind) for place, kind in enumerate(kinds)]
    sets = []
    budget = MAX_PROBES // max(1, len(names))
    for place, column_values in enumerate(values):
        chosen = column_values
        if len(chosen) > budget:
            chosen = chosen.take(pa.array(np.linspace(0, len(chosen) - 1, budget).astype(np.int64)))
        rows = _repeated(plain, len(chosen), rng)
        sets.append(rows.set_column(place, names[place], chosen.cast(plain.schema.types[place])))
    n_rows = max((len(column_values) for column_values in values), default=0)
    together = [
        column_values.take(pa.array(rng.permutation(np.arange(n_rows) % len(column_values))))
        for column_values in values
    ]
    mixed = pa.table(together, names=list(names)).cast(plain.schema)
    sets.append(mixed)
    for special in SPECIAL:
        for place, kind in enumerate(kinds):
            if special is not None and (kind == "text" or (kind != "float64" and LARGEST32 < abs(special) < 1e301)):
                continue
            value = pa.array([special] * 8, plain.schema.types[place])
            sets.append(_repeated(plain, 8, rng).set_column(place, names[place], value))
    return [rows.combine_chunks() for rows in sets if rows.num_rows]


def _answer(scorer: Scorer | EstimatorScorer, rows: pa.Table) -> Floats | None:
    try:
        return scorer.raw(rows)
    except ScoringFailed:
        return None


def _asked(
    sets: Sequence[pa.Table], scorer: Scorer, reference: EstimatorScorer
) -> Iterator[tuple[pa.Table, Floats | None, Floats | None]]:
    """Ask both about all sets at once; where either refuses, about each half, down to the sets that are refused.

    One question is as good as a thousand where nothing is refused, and much quicker.
    """
    rows = pa.concat_tables(sets).combine_chunks()
    with _as_reference(reference.estimator):
        expected = _answer(reference, rows)
    found = _answer(scorer, rows)
    if len(sets) == 1 or (expected is not None and found is not None):
        yield rows, expected, found
        return
    middle = len(sets) // 2
    for half in (sets[:middle], sets[middle:]):
        yield from _asked(half, scorer, reference)


@contextmanager
def _as_reference(estimator: Any) -> Iterator[None]:
    with single_threaded(estimator), warnings.catch_warnings():
        # Encoders warn of unknown categories, and these rows have some.
        warnings.simplefilter("ignore")
        yield


def check_parity(scorer: Scorer, estimator: Any, sample: pa.Table) -> ParityReport:
    """Compare a scorer's answers with the estimator's, on real rows and on rows made to be difficult.

    Parameters
    ----------
    scorer
        What is to be used.
    estimator
        What it has to agree with, asked with one thread where it counts.
    sample
        Real rows with the feature columns; up to `MAX_REAL_ROWS` of them are used.
    """
    tolerance = int(getattr(scorer, "tolerance_ulp", 0))
    reference = estimator_scorer(estimator, scorer.feature_names)
    names = list(scorer.feature_names)
    n_rows, n_refused, largest = 0, 0, 0
    real = sample.slice(0, MAX_REAL_ROWS)
    sets = [rows for rows in (_plain(real, names), *probe_rows(scorer, real)) if rows.num_rows]
    for rows, expected, found in _asked(sets, scorer, reference):
        if expected is None or found is None:
            if (expected is None) != (found is None):
                who = "the scorer refuses" if found is None else "the estimator refuses"
                words = f"only {who} {_row_in_words(rows, 0, names)}"
                return ParityReport(False, n_rows, n_refused, tolerance, largest, words)
            n_refused += 1
            continue
        n_rows += rows.num_rows
        sizes = _magnitude(scorer, rows)
        difference = _first_difference(expected, found, rows, names, tolerance, sizes)
        difference = difference or _predictions_differ(scorer, reference, _some_of(rows), tolerance)
        if difference is not None:
            return ParityReport(False, n_rows, n_refused, tolerance, largest, difference)
        largest = max(largest, int(ulps_apart(expected, found, sizes).max(initial=0.0)))
    return ParityReport(True, n_rows, n_refused, tolerance, largest, None)


def _magnitude(scorer: Scorer, rows: pa.Table) -> Floats | None:
    found: Floats | None = scorer.magnitude(rows) if hasattr(scorer, "magnitude") else None
    return found


def _some_of(rows: pa.Table) -> pa.Table:
    if rows.num_rows <= MAX_PREDICTED:
        return rows
    return rows.take(pa.array(np.linspace(0, rows.num_rows - 1, MAX_PREDICTED).astype(np.int64)))


def _predictions_differ(scorer: Scorer, reference: EstimatorScorer, rows: pa.Table, tolerance: int) -> str | None:
    """Compare what comes after the link: probabilities of classifiers, predicted values of regressors."""
    with _as_reference(reference.estimator):
        expected = reference.predict(rows)
    found, sizes = scorer.predict(rows), _magnitude(scorer, rows)
    if sizes is not None and is_classifier(reference.estimator):
        # A sigmoid or a softmax changes by less than what it is given, and a probability is of the size of 1.
        largest = np.maximum(1.0, sizes.reshape(len(sizes), -1).max(axis=1))
        sizes = np.broadcast_to(largest[:, np.newaxis], expected.shape)
    difference = _first_difference(expected, found, rows, list(scorer.feature_names), tolerance, sizes)
    return None if difference is None else f"of the predictions, {difference}"


class single_threaded:  # noqa: N801
    """Within it, the estimator's parts add up in one thread, hence in one order (forests)."""

    def __init__(self, estimator: Any) -> None:
        self._parts = [part for part in parts_of(estimator) if getattr(part, "n_jobs", None) not in (None, 1)]
        self._before = [part.n_jobs for part in self._parts]

    def __enter__(self) -> None:
        for part in self._parts:
            part.n_jobs = 1

    def __exit__(self, *_: object) -> None:
        for part, before in zip(self._parts, self._before, strict=True):
            part.n_jobs = before


def _row_in_words(rows: pa.Table, row: int, names: Sequence[str]) -> str:
    values = rows.select(list(names)).slice(row, 1).to_pylist()[0]
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _first_difference(
    expected: Floats,
    found: Floats,
    rows: pa.Table,
    names: Sequence[str],
    tolerance: int,
    sizes: Floats | None,
) -> str | None:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return f"the estimator gives {expected.dtype}{expected.shape}, the scorer {found.dtype}{found.shape}"
    apart = ulps_apart(expected, found, sizes)
    apart = apart.reshape(len(apart), -1).max(axis=1)
    differing = np.flatnonzero(apart > tolerance)
    if not len(differing):
        return None
    row = int(differing[0])
    return (
        f"the estimator gives {expected[row]!r}, the scorer {found[row]!r} ({apart[row]:.0f} units in the"
        f" last place apart), for {_row_in_words(rows, row, names)}; {len(differing)} of {len(apart)} differ"
    )


def ready_scorer(estimator: Any, feature_names: Sequence[str], sample: pa.Table) -> tuple[Scorer, ParityReport | None]:
    """Return the compiled scorer if it agrees with the estimator, otherwise the estimator's own.

    What is compared is the scorer of the model's file, as it is read back, where a file can hold the model.

    Parameters
    ----------
    estimator
        A fitted estimator or pipeline.
    feature_names
        Its features in order.
    sample
        Real rows to compare on; their types are those that the file is written for.

    Returns
    -------
    tuple
        The scorer to use, and how the compiled one compared; None where there was none to compare. The scorer's
        `filed` has the file.
    """
    from jobs.scoring.compiled import CompiledScorer, compile_model

    plain = _plain(sample, feature_names)
    kinds = tuple(feature_kind(name, plain.schema.field(name).type) for name in feature_names)
    scorer = compile_model(estimator, feature_names, kinds)
    if not isinstance(scorer, CompiledScorer):
        return scorer, None
    scorer = scorer.through_file()
    report = check_parity(scorer, estimator, sample)
    if report.equal:
        return scorer, report
    why = f"The compiled scorer ({scorer.kind}) does not agree with the estimator: {report.difference}."
    warnings.warn(f"{why} The estimator scores itself.", stacklevel=2)
    return estimator_scorer(estimator, feature_names, why), report
