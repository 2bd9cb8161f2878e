"""Trials of a quicker way: many pages made at once, and some of them (`compared_pages`) made by themselves too.

What differs, fails, or cannot be compared is taken back, said, and made page by page. What is made, and how it is
compared, is the caller's: a batch's tables (`warehouse.batching.many_pages`), or what checks find
(`warehouse.pages.product_checks`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Protocol

import duckdb

from warehouse.errors import RunFailed

#: The pages, by query, that a quicker way leaves to be made one by one.
Left = Mapping[str, Sequence[datetime]]


class Comparison(Protocol):
    """Does one page by itself too; gives the queries that differ there, those that are known to included."""

    def __call__(self, page: datetime, left: Left, known: frozenset[str]) -> set[str]:
        """Compare one page."""


class Trials:
    """What came of the trials of one product's queries.

    Attributes
    ----------
    done
        The queries that are done for all pages, but for those in `left`.
    left
        Queries and pages that still have to be made one by one.
    differing
        Warnings about queries whose rows for many pages at once differed or failed.
    """

    def __init__(self, product: str) -> None:
        self._product = product
        self.done: set[str] = set()
        self.left: set[tuple[str, datetime]] = set()
        self.differing: list[str] = []

    def is_complete(self, name: str, page: datetime) -> bool:
        """Tell whether nothing of a query is left to be done on a page."""
        return name in self.done and (name, page) not in self.left

    def try_out(
        self,
        way: str,
        names: Collection[str],
        *,
        fill: Callable[[], Left],
        choose: Callable[[], Sequence[datetime]],
        compare: Comparison,
        take_back: Callable[[Iterable[str]], None],
        at_a_time: int = 1,
    ) -> None:
        """Do some queries for many pages at once, and compare some pages; what differs is taken back.

        Parameters
        ----------
        fill
            Does them for all pages; gives the pages, by query, that it leaves to be made one by one.
        choose
            Gives the pages to compare.
        compare
            Does one page by itself too, but for the queries that are known to differ; gives those that differ
            there, and says so in `differing`.
        at_a_time
            How many pages are compared at a time, each in a thread; whether a query is known to differ is told between
            such rounds.
        take_back
            Forgets what was done of some queries.
        """
        if not names:
            return
        try:
            left = fill()
        except duckdb.Error as error:
            # One query for many pages meets facts that no single page reaches, and may fail on them.
            self.differing.append(f"{self._product}: the {way} way failed ({str(error).splitlines()[0]})")
            take_back(names)
            return
        wrong: set[str] = set()
        try:
            chosen = choose()
            with ThreadPoolExecutor(max_workers=max(1, at_a_time)) as pool:
                for start in range(0, len(chosen), max(1, at_a_time)):
                    known = frozenset(wrong)
                    together = chosen[start : start + max(1, at_a_time)]
                    for found in pool.map(functools.partial(compare, left=left, known=known), together):
                        wrong |= found
        except RunFailed as error:
            # The page fails by itself too; page by page, each that does is told of.
            self.differing.append(f"{self._product}: the {way} way could not be compared ({error})")
            wrong = set(names)
        take_back(wrong)
        for name in set(names) - wrong:
            self.done.add(name)
            self.left |= {(name, page) for page in left.get(name, ())}
