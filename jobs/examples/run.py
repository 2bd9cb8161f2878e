"""Examples, run: each in an instance in memory, where its query sees what is given as a sandbox would show it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from jobs.examples.differences import differences
from jobs.examples.files import Example, ExamplesOf, FileGiven, load_examples
from jobs.examples.given import GivenFacts
from warehouse.definitions import Definitions
from warehouse.errors import AlmanacError, DefinitionError
from warehouse.queries.bounded_functions import bound_functions
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.error_lines import in_file
from warehouse.queries.running import running
from warehouse.system_sql import quote

_SCHEMA = "memory.page"
_BOUNDED = "memory.bounded"


@dataclass(frozen=True)
class ExampleResult:
    """What became of an example: `differences` has a sentence for each value that was not as expected."""

    where: str
    example: str
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.differences


def run_examples(
    definitions: Definitions, names: Sequence[str] = (), told: Callable[[ExampleResult], None] = lambda _: None
) -> list[ExampleResult]:
    """Run the examples of a suite, or those of some sources, feature groups and products.

    No lake is read. A query that fails, and an example that gives what does not fit, is a difference too, so that
    one does not hide the others.

    Raises
    ------
    DefinitionError
        If a file of examples is wrong.
    NotFoundError
        If one of `names` has no examples.
    """
    results: list[ExampleResult] = []
    declared: dict[str, dict[str, str] | None] = {}
    for examples in load_examples(definitions, list(names)):
        for name, example in examples.content.examples.items():
            place = examples.at(definitions.root, name)
            try:
                found = _Run(definitions, examples, example, place, declared).differences()
            except AlmanacError as error:
                found = str(error).splitlines()
            results.append(ExampleResult(place, name, found))
            told(results[-1])
    return results


class _Run:
    """One example."""

    def __init__(
        self,
        definitions: Definitions,
        examples: ExamplesOf,
        example: Example,
        place: str,
        declared: dict[str, dict[str, str] | None],
    ) -> None:
        self.definitions, self.examples, self.example, self.place = definitions, examples, example, place
        self.declared = declared

    def differences(self) -> list[str]:
        """Give what is not as expected."""
        with tempfile.TemporaryDirectory() as directory, _instance() as connection:
            types, root = self.examples.content.types, self.definitions.root
            given = GivenFacts(connection, root, Path(directory), self.place, types, self.declared)
            if self.examples.of == "source":
                return self._of_source(given)
            return self._of_query(given)

    def _of_source(self, given: GivenFacts) -> list[str]:
        source = self.definitions.source(self.examples.name)
        if source.name not in self.example.given:
            raise DefinitionError(
                f"{self.place}: give what {source.name} is to read, as `given: {{{source.name}: ...}}`."
            )
        facts, rejects = given.read(source, self.example.given[source.name])
        connection = given.connection
        found = differences(connection, facts, self.example.expect, source.key, self.place)
        turned_away = differences(connection, rejects, self.example.rejects or [], (), f"{self.place}: rejects")
        return [*found, *(f"rejects: {one}" for one in turned_away)]

    def _of_query(self, given: GivenFacts) -> list[str]:
        example, query = self.example, self.examples.query
        assert example.as_of is not None
        seen_at = example.known_by or example.as_of
        groups = {name: example.given[name] for name in example.given.keys() & self.definitions.groups.keys()}
        computed = [
            group
            for group in self.definitions.ordered_groups(sorted(query.tables & self.definitions.groups.keys()))
            if group.name not in groups
        ]
        for name in groups:
            self._show(given, name)
        needed = self._sources_read([query, *(group.query for group in computed)])
        for name in sorted(needed | (example.given.keys() & self.definitions.sources.keys())):
            source = self.definitions.source(name)
            facts, rejects = given.read(source, example.given.get(name, []))
            self._refuse_rejects(given.connection, name, rejects)
            given.show(source, facts, _SCHEMA, seen_at)
        if "page" in query.tables:
            self._show(given, "page")
        for group in computed:
            table = f"{_SCHEMA}.{quote(group.name)}"
            self._run(given.connection, group.query, f"CREATE TABLE {table} AS")
        result = "memory.main.result"
        self._run(given.connection, query, f"CREATE TABLE {result} AS")
        return differences(given.connection, result, example.expect, self.examples.key, self.place)

    def _sources_read(self, queries: Sequence[CheckedQuery]) -> set[str]:
        return {table for query in queries for table in query.tables if table in self.definitions.sources}

    def _show(self, given: GivenFacts, name: str) -> None:
        rows = self.example.given.get(name, [])
        if isinstance(rows, (str, FileGiven)):
            raise DefinitionError(f"{self.place}: `{name}` is no source; give it as rows.")
        given.connection.execute(f"CREATE VIEW {_SCHEMA}.{quote(name)} AS FROM {given.table(name, rows)}")

    def _refuse_rejects(self, connection: duckdb.DuckDBPyConnection, name: str, rejects: str) -> None:
        """Refuse a given row that the source would turn away: the query would never see it."""
        wrong = connection.execute(f"SELECT reason FROM {rejects} LIMIT 1").fetchone()
        if wrong is not None:
            hint = (
                " To give several versions of one fact, say `known_at` of each." if "different rows" in wrong[0] else ""
            )
            raise DefinitionError(f"{self.place}: {name} would turn a row away: {wrong[0]}.{hint}")

    def _run(self, connection: duckdb.DuckDBPyConnection, query: CheckedQuery, statement: str) -> None:
        """Run an author's query as it stands, where names mean what this example gives."""
        bound = query.bound(as_of=self.example.as_of, known_by=self.example.known_by)
        try:
            with contextlib.closing(connection.cursor()) as cursor, running(cursor, query.where):
                cursor.execute("SET TimeZone = 'UTC'")
                cursor.execute(f"SET search_path = '{_SCHEMA},{_BOUNDED}'")
                cursor.execute(f"{statement} {query.text}", bound or None)
        except duckdb.Error as error:
            raise DefinitionError(in_file(query.where, error, query.text)) from error


@contextlib.contextmanager
def _instance() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an instance in memory with the functions and settings that authors' queries have."""
    from warehouse.lake.extensions import open_instance

    with contextlib.closing(open_instance()) as connection:
        connection.execute("SET threads = 1")
        connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        connection.execute(f"CREATE SCHEMA {_BOUNDED}")
        bound_functions(connection, _BOUNDED)
        yield connection
