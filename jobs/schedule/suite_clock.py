"""The schedule of a suite as it stands in its files, and what the clock asks of the suite's lake.

The files are looked at whenever the schedule is asked for, and read again when one of them has changed. An edit that
is wrong is refused as a whole: the last schedule that was right, which the tick store keeps, goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobs.schedule.files.definitions import ScheduleFile
from jobs.schedule.files.readiness_names import product_of, product_of_news
from jobs.schedule.files.reading import Known, read_schedule
from jobs.schedule.files.redaction import redacted, register_secrets
from jobs.schedule.files.schedule import Job, Schedule
from jobs.schedule.nothing_new import why_nothing_new
from jobs.schedule.readiness import read_readiness, readiness_names, why_unready
from jobs.schedule.scheduler import Question, World
from jobs.schedule.tick_store import TickStore
from jobs.suite import Clock, Suite, open_suite
from warehouse.definitions.yaml.yaml_text import validate
from warehouse.errors import AlmanacError, DefinitionError, NotFoundError, UsageError
from warehouse.facts.files_aside import files_aside
from warehouse.facts.promises import broken_promises
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import Alarm, alarms_of, open_alarms
from warehouse.ledger.deployments import require_deployed
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Answer = TypeVar("Answer")
_LAST_RIGHT = "schedules.yaml"


@dataclass
class SuiteClock:
    """One suite's schedule, kept up to date with its files."""

    root: Path
    tick_store: TickStore
    clock: Clock
    refused: list[str] = field(default_factory=list)
    _seen: str = ""
    _suite: Suite | None = None
    _schedule: Schedule | None = None
    _waits_for_deployment: bool = False

    @property
    def suite(self) -> Suite:
        """The suite, as its files were when they were last right."""
        if self._suite is None:
            self._suite = open_suite(self.root, self.clock)
        return self._suite

    def schedule(self) -> Schedule:
        """Give the schedule in force. After a wrong edit that is the last right one, and `refused` says what is wrong.

        Raises
        ------
        NotFoundError
            If the suite has no schedules.yaml, and never had.
        DefinitionError
            If it is wrong, and none was ever right.
        """
        signature = signature_of(self.root)
        # What is not deployed may be at any time, and no file changes by it.
        if self._schedule is None or signature != self._seen or self._waits_for_deployment:
            self._seen = signature
            self._schedule = self._read()
            register_secrets(alert_variables(self._schedule))
        return self._schedule

    def _read(self) -> Schedule:
        self._waits_for_deployment = False
        try:
            suite = open_suite(self.root, self.clock)
            self._require_deployed(suite)
            schedule = read_schedule(read_text(self.root), known_names(suite))
            for name in {job.ready_when for job in schedule.jobs.values() if job.ready_when}:
                if product_of(name):
                    continue
                read_readiness(suite, name)
        except (DefinitionError, NotFoundError, UsageError) as error:
            # They are printed and told, and what was found in a file may be a secret.
            self.refused = [redacted(problem) for problem in getattr(error, "problems", [str(error)])]
            if self._schedule is not None:
                return self._schedule
            if (before := self.tick_store.fact(_LAST_RIGHT)) is None:
                raise
            return read_schedule(before, known_names(self.suite))
        self._suite, self.refused = suite, []
        self.tick_store.note_fact(_LAST_RIGHT, read_text(self.root))
        return schedule

    def _require_deployed(self, suite: Suite) -> None:
        """Keep to the last schedule that was right, until one that has to be deployed is."""
        try:
            require_deployed(suite.lake, suite.definitions)
        except UsageError:
            self._waits_for_deployment = True
            raise

    def last_channels(self) -> tuple[str, ...]:
        """Give the channels of the suite itself by the last schedule that was right, whatever the files are now."""
        before = self.tick_store.fact(_LAST_RIGHT)
        file = validate(ScheduleFile, before, "schedules.yaml", []) if before else None
        return tuple(file.defaults.alerts) if file else ()

    def world(self) -> World:
        """Give what the scheduler asks of the suite."""
        return World(self.page_of, self.unready, self.published)

    def page_of(self, job: Job, at: datetime) -> datetime | None:
        """Give the page that a job is due for: of a predict job its product's newest, otherwise the tick itself."""
        if job.work.product is None:
            return at
        product = self.suite.definitions.products.get(job.work.product)
        return product.page_at(at) if product else None

    def unready(self, questions: Sequence[Question]) -> dict[Question, str | None]:
        """Ask readiness queries about pages, and whether anything is new for them."""
        of_news = {question: product for question in questions if (product := product_of_news(question[0]))}
        answers = why_unready(self.suite, [question for question in questions if question not in of_news])
        return answers | {question: self._nothing_new(product, question[1]) for question, product in of_news.items()}

    def _nothing_new(self, product: str, page: datetime) -> str | None:
        definitions = self.suite.definitions
        named = definitions.products.get(product)
        if named is None:
            return None
        return self._ask(lambda connection: why_nothing_new(connection, definitions, named, page))

    def published(self, product: str, pages: Iterable[datetime]) -> set[datetime]:
        """Give those of the pages that are published; none if the lake cannot be read."""
        wanted = set(pages)

        def found(connection: DuckDBPyConnection) -> set[datetime]:
            return wanted & ledger.published_pages(connection, product, "predictions", wanted).keys()

        return self._ask(found) or set()

    def fresh_within(self) -> dict[str, timedelta]:
        """Give the products that state how fresh they are to be, with what they state."""
        products = self.suite.definitions.products
        return {name: one.header.fresh_within for name, one in products.items() if one.header.fresh_within}

    def stale_products(self, now: datetime) -> dict[str, str] | None:
        """Give the products that state `fresh_within` and are not, each with a sentence on it.

        What counts is how old the newest page is by its `as_of`: an old page that is made again makes nothing fresh.
        None if there is a lake and it cannot be read, so that nobody knows.
        """
        products, stated = self.suite.definitions.products, self.fresh_within()
        newest = self._ask(lambda connection: {name: _newest_page(connection, name) for name in stated})
        if newest is None:
            if self.suite.lake.exists():
                return None
            newest = dict.fromkeys(stated)
        found: dict[str, str] = {}
        for name, within in stated.items():
            page = newest[name]
            if now - (page or products[name].header.pages.since) > within:
                what = f"its newest page is of {page} (UTC)" if page else "it has no page"
                found[name] = f"{name} is to be fresh within {_hours(within)}, and {what}"
        return found

    def broken_promises(self, now: datetime) -> dict[tuple[str, str], str] | None:
        """Give what sources promised and do not keep, and files that are set aside, by source and what it concerns.

        None if the lake cannot be read, so that nobody knows.
        """
        sources = self.suite.definitions.sources

        def found(connection: DuckDBPyConnection) -> dict[tuple[str, str], str]:
            aside = {
                (file.source, file.path): f"{file.source}: {file.path} cannot be read and is set aside: {file.reason}"
                for file in files_aside(connection)
            }
            broken = broken_promises(connection, sources.values(), now)
            return aside | {(each.source, each.key): each.sentence for each in broken}

        return self._ask(found)

    def alarms_to_tell(self) -> list[Alarm]:
        """Give the open alarms that somebody is to be told of; none if the lake cannot be read."""
        told = {name: set(product.header.monitor.notify) for name, product in self.suite.definitions.products.items()}
        found = self._ask(alarms_of) or []
        return [one for one in open_alarms(found) if one.expected is None and one.kind in told.get(one.product, ())]

    def sources_of(self, product: str) -> set[str]:
        """Give the sources that a product's pages are made from; none of one that there is not any more."""
        definitions = self.suite.definitions
        found = definitions.products.get(product)
        return {source.name for source in definitions.sources_of(found)} if found else set()

    def _ask(self, question: Callable[[DuckDBPyConnection], Answer]) -> Answer | None:
        """Ask the lake something; None if it cannot be asked, which must not end the clock."""
        import duckdb

        try:
            with self.suite.lake.reading() as connection:
                return question(connection)
        except (AlmanacError, duckdb.Error):
            return None


def _newest_page(connection: DuckDBPyConnection, product: str) -> datetime | None:
    row = connection.execute(system_sql("status/pages"), [product]).fetchone()
    return row[1] if row else None


def read_text(root: Path) -> str:
    """Read a suite's schedules.yaml.

    Raises
    ------
    NotFoundError
        If there is none.
    DefinitionError
        If it is not text.
    """
    path = root / "schedules.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist; docs/schedule.md says how to write one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} cannot be read: {error}") from error


def schedule_of(suite: Suite) -> Schedule:
    """Read the schedule of a suite, as its file is now.

    Raises
    ------
    NotFoundError
        If the suite has no schedules.yaml.
    DefinitionError
        If it is wrong.
    """
    return read_schedule(read_text(suite.root), known_names(suite))


def known_names(suite: Suite) -> Known:
    """Give the names that the suite's schedule may refer to."""
    products = suite.definitions.products
    exported = [name for name, product in products.items() if product.header.export]
    return Known(list(products), list(suite.definitions.sources), readiness_names(suite.root), exported)


def alert_variables(schedule: Schedule) -> list[str]:
    """List the environment variables that hold addresses of alerts."""
    return sorted({*schedule.alerts, *(name for job in schedule.jobs.values() for name in job.alerts)})


def signature_of(root: Path) -> str:
    """Give a text that changes with the suite's files.

    An edit may keep a file's size and give it back its time of change, but not its `ctime`, which nobody can set.
    """
    files = [root / "schedules.yaml", *sorted((root / "sql").rglob("*"))]
    parts = []
    for path in files:
        with contextlib.suppress(OSError):  # gone since, or a link that leads nowhere
            stat = path.stat()
            parts.append(f"{path} {stat.st_ino} {stat.st_ctime_ns} {stat.st_mtime_ns} {stat.st_size}")
    return "\n".join(parts)


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:g} hours"
