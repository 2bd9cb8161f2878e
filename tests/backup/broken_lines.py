"""A line to a bucket that breaks, each time at another place of an act's requests, and what a lake holds after it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jobs.suite import Suite, open_suite
from jobs.suites.move_lake import move_lake
from tests.backup.test_backup import contents
from tests.conftest import NOW, clock_at
from tests.lake.shared_lakes import new_database
from tests.postgres_server import Server
from tests.s3_proxy import Faults
from warehouse.errors import AlmanacError
from warehouse.lake.postgres.addresses import read_address

HOW = ("refuse", "cut", "lose", "deny", "truncate", "slow", "fail")
#: For how many requests a fault lasts; the others pass at once.
LASTS = {"slow": 3, "deny": 10**6}
#: Whether every request meets a fault.
ALL = "ALMANAC_ALL_STEPS" in os.environ


class Meeting:
    """An act, done again and again, each time with a fault at another place of its requests."""

    def __init__(self, faults: Faults, first: int) -> None:
        self._faults, self._kinds = faults, itertools.cycle([*HOW[first:], *HOW[:first]])
        self.told, self.said = 0, ""

    def count(self, act: Callable[[], object]) -> int:
        """Do it, and count its requests."""
        self._faults.tell("watch", everything=True)
        act()
        n_requests = self._faults.seen
        self._faults.tell("")
        return n_requests

    def each(self, n_requests: int, n_places: int) -> Iterator[tuple[str, int]]:
        """Give the faults, and where they are met: at so many places, the first and the last among them."""
        step = max(1, (n_requests - 1) // (n_places - 1))
        for place in range(0, n_requests, step):
            yield next(self._kinds), place

    def meets(
        self, how: str, place: int, act: Callable[[], object], *, names: str = "", for_good: bool = False
    ) -> bool:
        """Do it with a fault, at one place of the requests of such names; tell whether it was done all the same."""
        self._faults.tell(how, place, 10**6 if for_good else LASTS.get(how, 1), names, everything=True)
        try:
            act()
        except AlmanacError as error:
            self.told += 1
            self.said = str(error)
            return False
        finally:
            self._faults.tell("")
        return True


def at(root: Path) -> Suite:
    return open_suite(root, clock_at(NOW))


def wanted_of(root: Path) -> dict[str, list[Any]]:
    suite = at(root)
    found = contents(suite)
    suite.lake.close()
    return found


def moved_into_a_bucket(suite: Suite, postgres: Server, name: str) -> Path:
    """Move a suite's lake into the bucket, under a name; gives the suite's directory."""
    url = f"{new_database(postgres, f'faults_{name}')}?data=s3://shop/lakes/{name}"
    move_lake(suite.root, read_address(url, "it").of_suite(suite.root))
    return suite.root
