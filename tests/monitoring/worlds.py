"""Worlds of known truth: a year of pages in which nothing is wrong but what a world says, and faults put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.monitoring.segments import beside_wholes
from jobs.monitoring.series import Series, series_of
from jobs.monitoring.watch import watch
from jobs.monitoring.watched import Watch
from warehouse.pages.profiles import bins_of
from warehouse.pages.profiling.cuts import LEAST_ROWS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
N_COLUMNS = 20
#: The shares of the rows that segments have.
SHOPS = (0.4, 0.3, 0.18, 0.12)
#: What a latent normal value becomes in a column, and what its bins count from.
KINDS: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "normal": (lambda z: z, 0.0),
    "near 1000": (lambda z: 1000 + z, 1000.0),
    "years": (lambda z: np.round(2005 + 4 * z), 2005.0),
    "instants": (lambda z: np.floor(1.7e9 + 2e6 * z), 1.7e9),
    "ids": (lambda z: np.floor(500_000 * (1 + np.tanh(z))), 500_000.0),
    "rare counts": (lambda z: np.ceil(np.maximum(z - 1.645, 0) * 5), 0.0),
    "skewed": (lambda z: np.exp(z), 1.0),
}


@dataclass(frozen=True)
class World:
    """How the pages of a world differ: what the mean of each column does, by page, and how many rows pages have."""

    name: str
    shifts: Callable[[np.random.Generator, int], Floats]
    sizes: Callable[[np.random.Generator, int], Integers] = lambda rng, n_pages: np.full(n_pages, 900)
    slow_alarms: int = 1


def _still(rng: np.random.Generator, n_pages: int) -> Floats:
    return np.zeros((N_COLUMNS, n_pages))


def _weekly(rng: np.random.Generator, n_pages: int) -> Floats:
    return 0.5 * rng.normal(size=(N_COLUMNS, 7))[:, np.arange(n_pages) % 7]


def _day_effects(rng: np.random.Generator, n_pages: int) -> Floats:
    return 0.2 * rng.normal(size=(N_COLUMNS, n_pages))


def _both(rng: np.random.Generator, n_pages: int) -> Floats:
    return _weekly(rng, n_pages) + _day_effects(rng, n_pages)


def _autocorrelated(by: float) -> Callable[[np.random.Generator, int], Floats]:
    def shifts(rng: np.random.Generator, n_pages: int) -> Floats:
        shocks = rng.normal(size=(N_COLUMNS, n_pages)) * np.sqrt(1 - by**2)
        found = shocks.copy()
        for page in range(1, n_pages):
            found[:, page] += by * found[:, page - 1]
        return 0.2 * found

    return shifts


def _correlated(rng: np.random.Generator, n_pages: int) -> Floats:
    return 0.2 * (0.9 * rng.normal(size=(1, n_pages)) + 0.44 * rng.normal(size=(N_COLUMNS, n_pages)))


def _wave(rng: np.random.Generator, n_pages: int) -> Floats:
    phases = rng.uniform(0, 2 * np.pi, (N_COLUMNS, 1))
    return _day_effects(rng, n_pages) + 0.7 * np.sin(2 * np.pi * np.arange(n_pages) / 365 + phases)


def _creep(rng: np.random.Generator, n_pages: int) -> Floats:
    return _day_effects(rng, n_pages) + np.arange(n_pages) / 365 * rng.choice([-1, 0, 1], (N_COLUMNS, 1))


def _any_size(rng: np.random.Generator, n_pages: int) -> Integers:
    return np.exp(rng.uniform(np.log(30), np.log(3000), n_pages)).astype(np.int64)


WORLDS = (
    World("independent", _still),
    World("weekly season", _weekly),
    World("day effects", _day_effects),
    World("season and day effects", _both),
    World("autocorrelated .5", _autocorrelated(0.5)),
    World("autocorrelated .8", _autocorrelated(0.8), slow_alarms=3),
    World("correlated columns", _correlated),
    World("yearly wave", _wave),
    World("slow creep", _creep),
    World("pages of 30 to 3,000 rows", _day_effects, _any_size),
)


@dataclass
class Year:
    """The rows of a year: `values[column]` of all pages one after the other, and the page of each."""

    world: World
    n_pages: int
    of_page: Integers
    values: dict[str, Floats]
    categories: Integers

    def rows(self, page: int) -> npt.NDArray[np.bool_]:
        return self.of_page == page

    def judged(
        self, n_pages: int | None = None, only: str | None = None, parts: npt.NDArray[np.int64] | None = None
    ) -> Watch:
        """Judge the year, or its first pages; all columns, or one; and the segments that `parts` puts rows into."""
        n_pages = n_pages or self.n_pages
        if parts is None:
            return judged(self._of_rows(self.of_page < n_pages, n_pages, only), n_pages)
        wholes, of_parts = self.series(parts)
        kept = [one.of(slice(0, n_pages)) for one in wholes]
        cut = (one.of(np.flatnonzero(one.pages < n_pages)) for one in of_parts)
        return judged(kept, n_pages, parts=beside_wholes(kept, [one for one in cut if len(one.pages)]))

    def series(self, parts: Integers) -> tuple[list[Series], list[Series]]:
        """Give the series of all pages, and those of segments, on the pages on which they have enough rows."""
        found = []
        for number in range(len(SHOPS)):
            own = parts == number
            is_enough = np.bincount(self.of_page[own], minlength=self.n_pages) >= LEAST_ROWS
            for one in self._of_rows(own, self.n_pages):
                found.append(replace(one.of(np.flatnonzero(is_enough)), segment=f"shop = {number}"))
        return self._of_rows(np.ones(len(parts), bool), self.n_pages), found

    def _of_rows(self, kept: npt.NDArray[np.bool_], n_pages: int, only: str | None = None) -> list[Series]:
        series = [
            number_series(name, values[kept], self.of_page[kept], n_pages, centre_of(name))
            for name, values in self.values.items()
            if only in (None, name)
        ]
        if only in (None, "category"):
            series.append(category_series("category", self.categories[kept], self.of_page[kept], n_pages))
        return series


def centre_of(column: str) -> float:
    return KINDS[column.partition(" #")[0]][1]


def year_of(world: World, seed: int, n_pages: int = 365) -> Year:
    """Make a year."""
    rng = np.random.default_rng(seed)
    of_page = np.repeat(np.arange(n_pages), world.sizes(rng, n_pages))
    shifts = world.shifts(rng, n_pages)
    values = {}
    for number in range(N_COLUMNS - 1):
        kind = list(KINDS)[number % len(KINDS)]
        latent = rng.normal(size=len(of_page)) + shifts[number, of_page]
        values[f"{kind} #{number}"] = KINDS[kind][0](latent)
    latent = rng.normal(size=len(of_page)) + shifts[-1, of_page]
    return Year(world, n_pages, of_page, values, np.clip(np.round(latent + 3), 0, 6).astype(np.int64))


def shops_of(year: Year, seed: int) -> Integers:
    """Put each row into a segment at random."""
    return np.random.default_rng(seed).choice(len(SHOPS), size=len(year.of_page), p=SHOPS)


def judged(series: list[Series], n_pages: int, season: int = 7, parts: Iterable[Series] = ()) -> Watch:
    """Judge daily pages whose columns weigh alike."""
    every, classes = np.ones(n_pages, bool), np.arange(n_pages) % season
    bound = 365.25 / 2
    return watch(series, n_pages, classes, lambda _: every.astype(float), lambda _: every, bound, parts=parts)


def number_series(name: str, values: Floats, of_page: Integers, n_pages: int, centre: float) -> Series:
    """Profile a column of numbers, all pages at once; NaN is missing."""
    is_there = ~np.isnan(values)
    bins = bins_of(np.ascontiguousarray(values[is_there]), centre)
    return _series(name, "number", bins, values[is_there], of_page, is_there, n_pages, centre)


def category_series(name: str, values: Integers, of_page: Integers, n_pages: int) -> Series:
    """Profile a column of categories, which are written as numbers."""
    texts = np.array([f"c{number}" for number in range(int(values.max()) + 1)], object)[values]
    return _series(name, "category", texts, values, of_page, np.ones(len(values), bool), n_pages, None)


def _series(
    name: str,
    scale: str,
    codes: npt.NDArray[Any],
    values: npt.NDArray[Any],
    of_page: Integers,
    is_there: npt.NDArray[np.bool_],
    n_pages: int,
    centre: float | None,
) -> Series:
    pages = of_page[is_there]
    united, places = np.unique(codes, return_inverse=True)
    keys, counts = np.unique(pages * max(len(united), 1) + places, return_counts=True)
    sets = [np.unique(part) for part in np.split(values, np.searchsorted(pages, np.arange(1, n_pages)))]
    n_rows = np.bincount(of_page, minlength=n_pages)
    return series_of(
        kind="features",
        column=name,
        scale=scale,
        version=None,
        pages=np.arange(n_pages),
        codes=united[keys % max(len(united), 1)],
        counts=counts,
        offsets=np.searchsorted(keys, np.arange(n_pages + 1) * max(len(united), 1)),
        centre=centre,
        n_rows=n_rows,
        n_missing=n_rows - np.bincount(pages, minlength=n_pages),
        n_distinct=np.array([len(one) for one in sets]),
        n_other=np.zeros(n_pages, np.int64),
        values=np.array([hash(one.tobytes()) if len(one) else None for one in sets], object),
        run_ids=["run"] * n_pages,
    )


def lose(year: Year, page: int, among: Rows | None = None) -> None:
    """Lose 60 % of a column's values on a page, or among some rows of it."""
    rows = np.flatnonzero(_chosen(year, page, among))
    year.values["near 1000 #1"][rows[: round(0.6 * len(rows))]] = np.nan


def rename(year: Year, page: int, among: Rows | None = None) -> None:
    """Give a category another name on a page, or among some rows of it."""
    year.categories[_chosen(year, page, among) & (year.categories == 3)] = 9


def change_unit(year: Year, page: int, among: Rows | None = None) -> None:
    """Write a column in a unit a thousand times as small on a page, or among some rows of it."""
    year.values["skewed #6"][_chosen(year, page, among)] *= 1000


def _chosen(year: Year, page: int, among: Rows | None) -> Rows:
    return year.rows(page) if among is None else year.rows(page) & among


#: What is to be found on the page itself, in which column, and how many rows that page needs.
FAULTS_OF_WORLDS: dict[str, tuple[Callable[..., None], str, int]] = {
    "60 % missing": (lose, "near 1000 #1", 30),
    "renamed": (rename, "category", 100),
    "x 1,000": (change_unit, "skewed #6", 100),
}
