"""A SQL file of the suite: a comment block of YAML, then one statement; and the plainest of them, a feature group.

    /*
    description: How each carrier did of late.
    key: [carrier]
    */
    SELECT ...

The header is split off textually; the statement is kept with its line numbers, so that an error points into
the file as its author sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from warehouse.definitions.yaml.yaml_text import read_yaml, validate
from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import CheckedQuery, check_query

HeaderT = TypeVar("HeaderT", bound=BaseModel)


class Strict(BaseModel):
    """The base class of every definition: unknown keys are mistakes, and nothing is changed after reading."""

    # A model's validator is built when it first validates: most are parts of another one, which builds its own of them.
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)


@dataclass(frozen=True)
class SqlFile:
    """One file: `where` as shown to people, the header's text and first line, and the whole text."""

    where: str
    header: str
    header_line: int
    text: str

    @property
    def statement(self) -> str:
        """The statement with its header blanked out, so that line numbers stay those of the file."""
        end = self.text.find("*/")
        blank = "\n" * self.text[: end + 2].count("\n") if self.header else ""
        body = self.text[end + 2 :] if self.header else self.text
        return (blank + body).rstrip().removesuffix(";").rstrip()

    def at(self, *path: str | int) -> str:
        """Give the place of a key of the header as it is shown to people: file and line."""
        return f"{self.where}:{read_yaml(self.header, self.where, self.header_line).line_of(path)}"


def read_sql_file(path: Path, root: Path, problems: list[str]) -> SqlFile | None:
    """Read a SQL file and split off its header; a file without one is a problem."""
    where = path.relative_to(root).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{where}: cannot be read: {error}.")
        return None
    return split_header(text, where, problems)


def split_header(text: str, where: str, problems: list[str]) -> SqlFile | None:
    """Split the header off the text of a SQL file; one without is a problem."""
    start = len(text) - len(text.lstrip())
    end = text.find("*/", start)
    if not text.startswith("/*", start) or end < 0:
        problems.append(
            f"{where}:1: expected the file to open with a comment block /* ... */ that holds YAML"
            " (at least `description:`)."
        )
        return None
    header_line = text[: start + 2].count("\n") + 1
    return SqlFile(where, text[start + 2 : end], header_line, text)


def read_header(model: type[HeaderT], file: SqlFile, problems: list[str]) -> HeaderT | None:
    """Read the header of a SQL file as `model`; mistakes are added to `problems`."""
    return validate(model, file.header, file.where, problems, file.header_line)


def checked(problems: list[str], text: str, where: str, **allowed: object) -> CheckedQuery | None:
    """Check an author's query; give None where it is refused, with the reasons among the problems."""
    try:
        return check_query(text, where, **allowed)  # type: ignore[arg-type]
    except QueryRefused as error:
        problems.extend(error.problems)
        return None


class FeatureHeader(Strict):
    """The header of `sql/features/NAME.sql`: one SELECT at one instant, one row per key."""

    description: str
    key: list[str] = Field(min_length=1)
    owner: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class FeatureGroup:
    """One feature group. `query` reads sources, other feature groups and its own CTEs, at `$as_of`."""

    name: str
    file: SqlFile
    header: FeatureHeader
    query: CheckedQuery

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that its rows are unique by."""
        return tuple(self.header.key)


def read_group(name: str, file: SqlFile, problems: list[str], *, names: set[str]) -> FeatureGroup | None:
    """Read the file of a feature group that may read sources and groups of these names; None if it is none."""
    header = read_header(FeatureHeader, file, problems)
    allowed = names - {name}
    query = checked(problems, file.statement, file.where, tables=allowed, parameters={"as_of"})
    return FeatureGroup(name, file, header, query) if header and query else None
