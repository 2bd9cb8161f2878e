"""What commands share: the suite, the clock, and how arguments are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from jobs.suite import Suite


#: Far enough from what a datetime can hold that a zone's offset, or a hundred years, leads to none that it cannot.
_YEARS = range(1000, 9000)


class State:
    """What was given before the command. One process runs one command line, so it is kept here."""

    suite: ClassVar[Path] = Path()
    #: Whether the process is `almanac` itself, and not a program that calls its commands.
    owns_process: ClassVar[bool] = False
    debug: ClassVar[bool] = False


def _set_suite(value: Path | None) -> None:
    if value is not None:
        State.suite = value


def _set_debug(value: bool) -> None:
    State.debug = State.debug or value


SuiteOption = Annotated[
    Path | None,
    typer.Option("--suite", help="The suite's directory.", callback=_set_suite, show_default="the current directory"),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_set_debug, hidden=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]
ScratchOption = Annotated[
    Path | None,
    typer.Option(
        "--scratch", metavar="DIR", help="Put scratch lakes there, on a disk of this machine.", show_default="the suite"
    ),
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="T", help="An instant: 2013-10-01, 2013-10-01T22:00 (UTC) or with an offset."),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="NAME", help="duckdb, processes or spark.", show_default="what product.yaml says, or duckdb"
    ),
]
ShardsOption = Annotated[
    int | None,
    typer.Option(
        "--shards", metavar="N", min=1, max=10_000, help="Make each page in N parts.", show_default="what it says"
    ),
]


def shared_options(suite: SuiteOption = None, debug: DebugOption = False) -> None:
    """Scheduled jobs that compute batch features, score them, and publish tables of predictions."""


class ListingGroup(TyperGroup):
    """A group that lists by itself, `almanac models [PRODUCT]`; its other commands are called by their names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before arguments that begin with no command of the group."""
        if "--help" in args and args[0] not in self.commands:
            args = ["--help"]
        elif not args or args[0] not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def now() -> datetime:
    """Read the clock: naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def the_suite(
    *, runs_python: bool = True, makes_pages: bool = False, commits: bool = False, holds: bool = True
) -> Suite:
    """Open the suite that was named.

    Parameters
    ----------
    runs_python
        Whether the command runs a suite's own Python code, or trains. Where it does not, pandas is kept out until a
        model or a loader is loaded that may want it (`warehouse.without_pandas`).
    makes_pages
        Whether pages will be computed and published; then what they are computed in is opened in the background.
    commits
        Whether something will most likely be committed, so that what is asked before is asked of the same instance.
    holds
        Whether the lake may be held open to the end; not where its files are written anew.
    """
    from jobs.suite import open_suite
    from warehouse.lake.warm_up import connect_ahead
    from warehouse.without_pandas import keep_pandas_out

    if State.owns_process and not runs_python:
        keep_pandas_out()
    opened = open_suite(State.suite, now, ends_soon=State.owns_process and holds, commits=makes_pages or commits)
    if makes_pages:
        connect_ahead(opened.lake)
    return opened


def parse_instant(text: str, option: str) -> datetime:
    """Read an instant as naive UTC; a date is its midnight, and an offset is taken into account.

    Raises
    ------
    UsageError
        If it is not an instant.
    """
    from warehouse.errors import UsageError

    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text}: not an instant. Write 2013-10-01, 2013-10-01T22:00 (both UTC) or 2013-10-01T18:00-04:00."
        ) from error
    if instant.year not in _YEARS:
        raise UsageError(f"{option} {text}: expected a year from {_YEARS[0]} to {_YEARS[-1]}")
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def parse_span(text: str, option: str) -> timedelta:
    """Read a duration such as `90d` or `1 hour`.

    Raises
    ------
    UsageError
        If it is none.
    """
    from warehouse.definitions.durations import parse_duration
    from warehouse.errors import UsageError

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}.") from error
