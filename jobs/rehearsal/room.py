"""The rooms of a rehearsal: `lake/rehearsals/ID/`, with a lake as it was at the beginning, and a copy for each policy.

Data files are shared by links, so that a lake takes little room, and whatever happens in one reaches no other. Where
hosts share the lake, or `--scratch` says so, the rooms are on a disk of this machine, since they have SQLite catalogues
themselves; on another disk than the lake's, data files are copied once.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import filelock

from jobs.backup.scratch import fill_scratch
from jobs.pages.labelled import ensure_feature_pages
from jobs.progress import Progress
from jobs.rehearsal.beginning import as_if_in_its_time, forget_later, staying_pages
from jobs.rehearsal.deliveries import Deliveries, came_in_its_time, hide_later, hide_pages
from jobs.rehearsal.policies import Policy, write_suite
from jobs.suite import Clock, Suite, open_suite
from jobs.training.fit import pages_to_train_on
from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.lake.lake import Lake
from warehouse.ledger.texts import all_texts, fingerprint_of_texts
from warehouse.queries.checked_query import fingerprint_of

#: Where the rooms are, below `lake/`, and in the suite's directory where hosts share the lake.
REHEARSALS = "rehearsals"
OF_SUITE = ".rehearsals"
#: Where they are in a directory that a command was given; those of each lake are apart.
_OF_SCRATCH = "almanac-rehearsals"
_READY = "ready.json"


@dataclass(frozen=True)
class Asked:
    """What is to be rehearsed: a product, from one instant to another (naive UTC), under some policies.

    `scratch` is the directory in which the rooms are put, if it is said.
    """

    product: Product
    begin: datetime
    end: datetime
    policies: tuple[Policy, ...]
    scratch: Path | None = None

    def place(self, suite: Suite) -> Path:
        """Give the directory in which the rooms of all rehearsals of a suite are."""
        root = suite.lake.root
        if self.scratch is not None:
            return self.scratch.resolve() / _OF_SCRATCH / fingerprint_of(str(root.resolve()))[:8]
        return suite.root / OF_SUITE if suite.lake.catalogue.is_shared else root / REHEARSALS

    def identity(self, suite: Suite) -> str:
        """Name the rehearsal: the same question about the same definitions has the same name."""
        said = [policy.said() for policy in self.policies]
        texts = fingerprint_of_texts(all_texts(suite.definitions))
        span = f"{self.begin.isoformat()} {self.end.isoformat()}"
        return fingerprint_of(self.product.name, span, json.dumps(said, default=str), texts)[:12]


@dataclass(frozen=True)
class Room:
    """One rehearsal's directory. `facts_in_their_time`: see `jobs.rehearsal.deliveries`."""

    directory: Path
    asked: Asked
    facts_in_their_time: bool

    def place_of(self, policy: Policy) -> Path:
        """Give the directory of a policy's suite."""
        return self.directory / "policies" / policy.name

    def make_second_place(self, policy: Policy) -> Path:
        """Make a second suite of a policy, with a lake as it was at the beginning; give its directory."""
        first, place = self.place_of(policy), self.directory / "ahead" / policy.name
        shutil.rmtree(place, ignore_errors=True)

        def lake_of(directory: str, _: list[str]) -> set[str]:
            return {"lake"} if Path(directory) == first else set()

        shutil.copytree(first, place, symlinks=True, ignore=lake_of)
        _fill(self, place)
        return place

    def deliveries(self, lake: Lake) -> Deliveries:
        """Give what had not come yet to a lake of this rehearsal at its beginning."""
        return Deliveries(lake, self.directory)

    def open(self, policy: Policy, clock: Clock) -> Suite:
        """Open the suite of a policy, which is made if it is not there yet."""
        return open_suite(self.place_of(policy), clock)


@contextlib.contextmanager
def one_at_a_time(suite: Suite, asked: Asked) -> Iterator[None]:
    """Keep other processes from living through the same rehearsal.

    Raises
    ------
    NotFoundError
        If there is no lake.
    RunFailed
        If one does already.
    """
    with suite.lake.reading():  # says what to do if there is no lake yet
        pass
    place = asked.place(suite)
    place.mkdir(parents=True, exist_ok=True)
    if place.parent == suite.root:
        (place / ".gitignore").write_text("*\n", encoding="utf-8")
    try:
        with filelock.FileLock(place / f"{asked.identity(suite)}.lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise RunFailed(
            f"another process lives through this rehearsal of {asked.product.name} just now; wait for its end."
        ) from error


def prepare(suite: Suite, asked: Asked, progress: Progress) -> Room:
    """Make the room of a rehearsal, or take up the one that a killed process has left.

    Raises
    ------
    NotFoundError
        If there is no lake.
    DefinitionError
        If a policy does not make right definitions.
    """
    directory = asked.place(suite) / asked.identity(suite)
    ready = directory / _READY
    if not ready.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        base = Lake(directory / "base" / "lake")
        fill_scratch(suite.lake, base, hard=True)
        try:
            told = _begin(suite, base, asked, directory, progress)
        finally:
            base.close()
        ready.write_text(json.dumps(told), encoding="utf-8")
    told = json.loads(ready.read_text(encoding="utf-8"))
    room = Room(directory, asked, told["facts_in_their_time"])
    for policy in asked.policies:
        _make_place(suite, room, policy)
    return room


def _begin(suite: Suite, base: Lake, asked: Asked, directory: Path, progress: Progress) -> dict[str, Any]:
    product, begin = asked.product, asked.begin
    with base.reading() as connection:
        in_its_time = came_in_its_time(connection, suite, product, begin)
    staying = staying_pages(base, product, begin, directory, in_its_time=in_its_time)
    with base.commit("the lake as it was") as commit:
        forget_later(commit, product, begin, staying, in_its_time=in_its_time)
        if in_its_time:
            hide_later(commit, directory, begin)
    if not in_its_time:
        there = Suite(suite.root, suite.definitions, base, lambda: asked.end)
        ensure_feature_pages(there, product, pages_to_train_on(product, asked.end, None), progress)
    with base.commit("pages of later") as commit:
        if not in_its_time:
            as_if_in_its_time(commit.connection, product)
        hide_pages(commit, product, directory, begin)
    return {"facts_in_their_time": in_its_time}


def _make_place(suite: Suite, room: Room, policy: Policy) -> None:
    """Make a policy's suite, all of it or nothing."""
    place = room.place_of(policy)
    if place.exists():
        return
    making = place.with_name(f".{policy.name}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    write_suite(suite, room.asked.product, policy, making)
    _fill(room, making)
    making.rename(place)


def _fill(room: Room, place: Path) -> None:
    """Give a suite a lake as it was at the beginning."""
    with contextlib.closing(Lake(place / "lake")) as lake:
        fill_scratch(Lake(room.directory / "base" / "lake"), lake, hard=True)
