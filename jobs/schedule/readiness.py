"""Readiness queries: `sql/readiness/NAME.sql`, a SELECT of one value that is true once a page's data are complete.

Such a query is judged and run like any other of the author's: in the sandbox, at the page's `as_of`, where it sees
each source as it was known then, by what has been ingested up to now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jobs.schedule.files.readiness_names import product_of
from jobs.suite import Suite
from warehouse.definitions.product import PlainHeader
from warehouse.definitions.sql_file import read_header, read_sql_file
from warehouse.errors import AlmanacError, DefinitionError
from warehouse.facts.promises import unready_watermarks
from warehouse.queries.checked_query import CheckedQuery, check_query
from warehouse.sandbox import Sandbox


def readiness_names(root: Path) -> list[str]:
    """List the readiness queries of a suite."""
    return sorted(path.stem for path in (root / "sql" / "readiness").glob("[!.]*.sql"))


def read_readiness(suite: Suite, name: str) -> CheckedQuery:
    """Read one readiness query.

    Raises
    ------
    DefinitionError
        If the file is wrong, or holds something that the sandbox does not know to be safe.
    """
    problems: list[str] = []
    file = read_sql_file(suite.root / "sql" / "readiness" / f"{name}.sql", suite.root, problems)
    if file is None or read_header(PlainHeader, file, problems) is None:
        raise DefinitionError(problems)
    return check_query(file.statement, file.where, tables=suite.definitions.sources, parameters={"as_of"})


def why_unready(suite: Suite, questions: Sequence[tuple[str, datetime]]) -> dict[tuple[str, datetime], str | None]:
    """Ask readiness queries about pages: None where one says true, else a sentence that says what it said.

    A query that fails is an answer too: the page is not known to be ready.
    """
    import duckdb

    products = {question: product_of(question[0]) for question in questions}
    by_query = [question for question, product in products.items() if product is None]
    answers = {question: _of_watermarks(suite, name, question[1]) for question, name in products.items() if name}
    if not by_query:
        return answers
    try:
        queries = {name: read_readiness(suite, name) for name in {name for name, _ in by_query}}
        with Sandbox(suite.lake) as sandbox:
            answers |= {(name, page): _answer(suite, sandbox, name, queries[name], page) for name, page in by_query}
    except (AlmanacError, duckdb.Error) as error:
        answers |= dict.fromkeys(by_query, f"readiness cannot be asked: {error}")
    return answers


def _of_watermarks(suite: Suite, product: str, page: datetime) -> str | None:
    import duckdb

    try:
        definitions = suite.definitions
        sources = definitions.sources_of(definitions.product(product))
        with suite.lake.reading() as connection:
            said = unready_watermarks(connection, sources, page, suite.clock())
    except (AlmanacError, duckdb.Error) as error:
        return f"the watermarks cannot be asked: {error}"
    return said and f"not ready: {said}"


def _answer(suite: Suite, sandbox: Sandbox, name: str, query: CheckedQuery, page: datetime) -> str | None:
    import duckdb

    try:
        with sandbox.at(page, suite.definitions.sources_read([query])) as at:
            rows = at.answer(query, 2)
    except (AlmanacError, duckdb.Error) as error:
        return f"the readiness query {name} failed: {error}"
    if len(rows) == 1 and rows[0] == (True,):
        return None
    found = "no row" if not rows else "more than one row" if len(rows) > 1 else f"{rows[0][0]}"
    return f"not ready: {name} gives {found}"
