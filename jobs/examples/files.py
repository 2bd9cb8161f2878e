"""Examples of a query's result: `NAME.tests.yaml` beside `NAME.sql`, with given facts and expected rows.

A source, a feature group, a product's entities.sql, label.sql and checks can each have a file of them. They are read
by `almanac test` alone: what pages mean does not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from warehouse.definitions.product import PAGE, Product
from warehouse.definitions.sql_file import Strict
from warehouse.definitions.suite import Definitions
from warehouse.definitions.yaml.yaml_text import read_yaml, validate
from warehouse.errors import DefinitionError, NotFoundError
from warehouse.queries.checked_query import CheckedQuery

#: How a file of examples is called, beside the SQL that it is of.
ENDING = ".tests.yaml"

Row = dict[str, Any]


def _instant(value: Any) -> Any:
    """Read an instant as naive UTC; a date is its midnight."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value


Instant = Annotated[datetime, BeforeValidator(_instant)]


class FileGiven(Strict):
    """A file of the suite that a source's SELECT is to read."""

    path: str


class Example(Strict):
    """One example: what is given, the instant, and the rows that are expected.

    Attributes
    ----------
    given
        By the name of a source or feature group (of a check also `page`): rows, the text of a file that the source's
        SELECT reads, or the path of one.
    expect
        The rows that come of it, in any order, by some or all of their columns.
    rejects
        Of a source: the rows that its rules turn away, with `reason`.
    """

    as_of: Instant | None = None
    known_by: Instant | None = None
    given: dict[str, list[Row] | FileGiven | str] = Field(default_factory=dict)
    expect: list[Row]
    rejects: list[Row] | None = None


class ExamplesFile(Strict):
    """`NAME.tests.yaml`: examples by name, and `types` of given columns that neither SELECT nor value tells."""

    types: dict[str, dict[str, str]] = Field(default_factory=dict)
    examples: dict[str, Example] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_facts_once(self) -> Self:
        for name, example in self.examples.items():
            if (kinds := sorted({kind for kind in ("as_of", "known_by") if kind in example.given})) != []:
                raise ValueError(f"`examples.{name}.given` has {kinds}; they stand beside `given`")
        return self


@dataclass(frozen=True)
class ExamplesOf:
    """The examples of one SQL file.

    Attributes
    ----------
    where
        The file of examples, as shown to people.
    of
        What it is of: `source`, `group`, `entities`, `label` or `check`.
    name
        The source, group or product.
    query
        What runs.
    key
        The columns that tell its rows apart; none of a check.
    content
        The examples themselves.
    """

    where: str
    of: str
    name: str
    query: CheckedQuery
    key: tuple[str, ...]
    content: ExamplesFile

    def at(self, root: Path, name: str) -> str:
        """Give the place of an example as it is shown to people: file and line."""
        text = (root / self.where).read_text(encoding="utf-8")
        return f"{self.where}:{read_yaml(text, self.where).line_of(('examples', name))}"


def load_examples(definitions: Definitions, names: list[str] | None = None) -> list[ExamplesOf]:
    """Read the examples of a suite, or those of some sources, feature groups and products.

    Raises
    ------
    NotFoundError
        If one of `names` is none of them, or has no examples.
    DefinitionError
        With every mistake in every file.
    """
    problems: list[str] = []
    found = [examples for one in _candidates(definitions) if (examples := _read(definitions, one, problems))]
    problems += _strays(definitions)
    if problems:
        raise DefinitionError(problems)
    for name in names or ():
        if name not in {*definitions.sources, *definitions.groups, *definitions.products}:
            raise NotFoundError(f"there is no source, feature group or product `{name}`.")
        if not any(examples.name == name for examples in found):
            raise NotFoundError(f"`{name}` has no examples; write some beside its SQL, in a file NAME{ENDING}.")
    return [examples for examples in found if not names or examples.name in names]


@dataclass(frozen=True)
class _Candidate:
    where: str
    of: str
    name: str
    query: CheckedQuery
    key: tuple[str, ...]


def _candidates(definitions: Definitions) -> Iterator[_Candidate]:
    for source in definitions.sources.values():
        yield _Candidate(source.file.where, "source", source.name, source.query, source.key)
    for group in definitions.groups.values():
        yield _Candidate(group.file.where, "group", group.name, group.query, group.key)
    for product in definitions.products.values():
        yield from _of_product(product)


def _of_product(product: Product) -> Iterator[_Candidate]:
    for of, query in (("entities", product.entities), ("label", product.label)):
        yield _Candidate(query.where, of, product.name, query, product.keys)
    for check in product.checks:
        yield _Candidate(check.file.where, "check", product.name, check.query, ())


def _read(definitions: Definitions, one: _Candidate, problems: list[str]) -> ExamplesOf | None:
    where = one.where.removesuffix(".sql") + ENDING
    path = definitions.root / where
    if not path.exists():
        return None
    try:
        content = validate(ExamplesFile, path.read_text(encoding="utf-8"), where, problems)
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{where}: cannot be read: {error}.")
        return None
    if content is None:
        return None
    read = ExamplesOf(where, one.of, one.name, one.query, one.key, content)
    problems += _unfit(definitions, read)
    return read


def _unfit(definitions: Definitions, examples: ExamplesOf) -> Iterator[str]:
    """Find keys of examples that do not go with what they are of."""
    known = {*definitions.sources, *definitions.groups}
    for name, example in examples.content.examples.items():
        place = f"{examples.at(definitions.root, name)}: the example `{name}`"
        allowed = {examples.name} if examples.of == "source" else known
        if examples.of == "check":
            allowed = known | {PAGE}
        for table in sorted(example.given.keys() - allowed):
            what = f"`{examples.name}` alone" if examples.of == "source" else "sources and feature groups"
            yield f"{place}: gives `{table}`; what can be given is {what}."
        for parameter, kinds in (("as_of", ("group", "entities", "label", "check")), ("known_by", ("label",))):
            has = getattr(example, parameter) is not None
            if examples.of in kinds and not has:
                yield f"{place}: the key `{parameter}` is missing."
            elif has and examples.of not in kinds:
                yield f"{place}: `{parameter}` goes with examples of {' and '.join(kinds)}."
        if example.rejects is not None and examples.of != "source":
            yield f"{place}: `rejects` goes with examples of a source."


def _strays(definitions: Definitions) -> Iterator[str]:
    """Find files of examples with no SQL beside them: nobody would run them."""
    at = {one.where.removesuffix(".sql") for one in _candidates(definitions)}
    for path in sorted((definitions.root / "sql").rglob(f"[!.]*{ENDING}")):
        where = path.relative_to(definitions.root).as_posix()
        if where.removesuffix(ENDING) not in at and not where.startswith("sql/system/"):
            yield f"{where}: there is no {Path(where).name.removesuffix(ENDING)}.sql beside it that could be tested."
