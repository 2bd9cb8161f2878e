"""The second reference: pages beside those that their version was trained on. It is for reading, and alarms nobody.

The profiles of a version's training pages are added up once and kept in `ledger.training_profiles`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb

from jobs.monitoring.judging.circumstances import Circumstances
from jobs.monitoring.scores import Reference, Scores, score_series
from jobs.monitoring.series import Series, middles_of, read_series
from warehouse.ledger.drift import TrainingProfile, training_profiles_of
from warehouse.ledger.records import ModelRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

TRAINING = "training"
#: By column, scale and centre: what all training pages of a version add up to.
Totals = Mapping[tuple[str, str, float | None], TrainingProfile]


def beside_training(
    series: Sequence[Series], known: Circumstances, of: Mapping[str, Totals], start: int = 0
) -> Iterator[tuple[Series, Scores]]:
    """Compare pages with all pages that their version was trained on.

    Parameters
    ----------
    series
        The columns of the pages that are judged, which count from the place `start`.
    of
        By version what its training pages add up to.

    Yields
    ------
    tuple
        The part of a series that a version writes, and how far each of its pages is from the version's training.
    """
    import numpy as np

    live = [one.version if one is not None else None for one in known.live[start:]]
    for one in series:
        if one.kind != "features" or one.segment is not None:
            continue
        for version, totals in of.items():
            total = totals.get((one.column, one.scale, one.centre)) or totals.get((one.column, one.scale, None))
            places = [place for place, page in enumerate(one.pages) if live[page] == version]
            if total is not None and places:
                part, counts = _side_by_side(one.of(places), total)
                ones = np.ones(len(places), np.int64)
                sums = (total.n_rows * ones, total.n_missing * ones, total.n_pages * ones)
                yield part, score_series(part, Reference(np.tile(counts, (len(places), 1)), *sums))


def _side_by_side(part: Series, total: TrainingProfile) -> tuple[Series, Integers]:
    """Give a series and counts of training in the codes of both."""
    import numpy as np

    is_category = part.scale == "category"
    codes = np.array(total.top_values, object) if is_category else np.array(total.bins, np.int64)
    united = np.union1d(part.codes, codes) if len(codes) else part.codes
    table, counts = np.zeros((len(part.pages), len(united)), np.int64), np.zeros(len(united), np.int64)
    table[:, np.searchsorted(united, part.codes)] = part.counts
    counts[np.searchsorted(united, codes)] = total.counts
    middles = None if is_category else middles_of(united, part.centre)
    return replace(part, counts=table, codes=united, places=middles), counts


def trained_on(known: Circumstances, start: int = 0) -> dict[str, str]:
    """Give the versions that are live on the pages from a place on, each with what its training pages are known by."""
    found = {}
    for one in dict.fromkeys(version.version for version in known.live[start:] if version is not None):
        version = next(each for each in known.live if each is not None and each.version == one)
        runs = known.profiled.get("features", {})
        pages = [[known.pages[place].isoformat(), runs[place]] for place in _places(version, known) if place in runs]
        if pages:
            found[one] = hashlib.md5(json.dumps(pages).encode(), usedforsecurity=False).hexdigest()
    return found


def _places(version: ModelRecord, known: Circumstances) -> list[int]:
    if version.first_page is None or version.last_page is None:
        return []
    return [place for place, page in enumerate(known.pages) if version.first_page <= page <= version.last_page]


def totals_in_ledger(connection: duckdb.DuckDBPyConnection, product: str, version: str, basis: str) -> Totals:
    """Read what the training pages of a version add up to; empty if that has not been written."""
    found = training_profiles_of(connection, product, version, basis)
    return {(one.column_name, one.scale, one.centre): one for one in found}


def totals_of(
    connection: duckdb.DuckDBPyConnection,
    known: Circumstances,
    version: str,
    basis: str,
    series: Iterable[Series] | None,
) -> Totals:
    """Add up the profiles of a version's training pages.

    Parameters
    ----------
    series
        All profiles of the product, if they have been read.
    """
    record = next(one for one in known.live if one is not None and one.version == version)
    places = _places(record, known)
    if series is None:
        series = read_series(connection, known.product.name, known.pages, chosen=[known.pages[one] for one in places])
    found = {}
    for one in series:
        own = [row for row, page in enumerate(one.pages) if places[0] <= page <= places[-1]]
        if one.kind == "features" and own:
            total = _total(one, own, known.product.name, version, basis)
            found[(one.column, one.scale, total.centre)] = total
    return found


def _total(series: Series, own: Sequence[int], product: str, version: str, basis: str) -> TrainingProfile:
    import numpy as np

    counts = series.counts[own].sum(axis=0)
    there = np.flatnonzero(counts)
    codes = series.codes[there].tolist()
    is_category = series.scale == "category"
    return TrainingProfile(
        product=product,
        model_version=version,
        basis=basis,
        column_name=series.column,
        scale=series.scale,
        # Without a value the centre is not known to whoever reads these pages alone.
        centre=series.centre if codes and not is_category else None,
        n_pages=len(own),
        n_rows=int(series.n_rows[own].sum()),
        n_missing=int(series.n_missing[own].sum()),
        bins=[] if is_category else codes,
        top_values=codes if is_category else [],
        counts=counts[there].tolist(),
    )
