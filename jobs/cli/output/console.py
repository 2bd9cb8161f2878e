"""What commands print: tables for people, JSON for programs, and progress on stderr."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.tree import Tree

    from jobs.progress import Progress

_LINE_EVERY_S = 5.0
#: Where nobody watches, tables are as wide as they need to be.
_WIDEST = 100_000
#: Control characters but for the end of a line, halves of a character, and marks that change the direction of text.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def print_json(value: Any) -> None:
    """Print a value as JSON; times are ISO 8601 in UTC, and infinities and NaN, which JSON lacks, are strings."""
    typer.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """Give a value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {name if isinstance(name, str) else str(_plain(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _plain(vars(value)) if hasattr(value, "__dict__") else str(value)


#: What stands at the right of its column. A Decimal keeps its own number of places.
_NUMBERS = (int, float, Decimal, type(None))


def print_table(rows: Sequence[Mapping[str, Any]], title: str | None = None, *, as_is: bool = False) -> None:
    """Print rows as a table; their keys head the columns. `as_is` leaves numbers and names as they are stored."""
    if not rows:
        return
    names = list(rows[0])
    numbers = {place for place, name in enumerate(names) if all(isinstance(row[name], _NUMBERS) for row in rows)}
    heads = names if as_is else [name.replace("_", " ") for name in names]
    write = _as_stored if as_is else show
    texts = [tuple(write(as_count(name, row[name])) for name in names) for row in rows]
    print_rows(heads, texts, title, numbers=numbers)


def print_rows(
    names: Sequence[str], rows: Sequence[tuple[str, ...]], title: str | None = None, *, numbers: Collection[int] = ()
) -> None:
    """Print rows of text as a table. `numbers` are the places of the columns whose values stand at the right.

    Text is shown as it is: nothing in it is taken for markup, and what would steer a terminal is written as an escape.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=Text(title) if title else None, title_justify="left", title_style="bold")
    for place, name in enumerate(names):
        table.add_column(Text(visible(name)), justify="right" if place in numbers else "left")
    for row in rows:
        table.add_row(*(Text(visible(value)) for value in row))
    console = Console()
    # Where nobody watches, nothing is cut or wrapped.
    Console(width=None if console.is_terminal else _WIDEST, highlight=False).print(table)


def visible(text: str) -> str:
    """Write what is no character to be seen as an escape: control characters, and those that turn text around."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def print_tree(tree: Tree) -> None:
    """Print a tree; where nobody watches, nothing is cut or wrapped."""
    from rich.console import Console

    console = Console()
    Console(width=None if console.is_terminal else _WIDEST, highlight=False, markup=False).print(tree)


def _as_stored(value: Any) -> str:
    """Write a number as it is, since it may be one that nobody counts with, such as a flight's."""
    return repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else show(value)


def show(value: Any) -> str:
    """Write one value as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" if value.second == 0 else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, timedelta) and value >= timedelta(seconds=1):
        return str(value - timedelta(microseconds=value.microseconds))
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


def as_count(name: str, value: Any) -> Any:
    """Give a count as the whole number that it is: among a model's figures all are kept as DOUBLE."""
    is_count = any(part in ("n", "rows", "pages", "bytes") for part in name.split("_"))
    return int(value) if is_count and isinstance(value, float) and value.is_integer() else value


def listener(expected_s: float | None = None) -> Progress:
    """Give what shows a job's progress: bars on a terminal, plain lines otherwise.

    `expected_s` is how long past runs of this kind say that the job's first step takes.
    """
    return Bars(expected_s) if sys.stderr.isatty() else Lines(expected_s)


def seconds_left(elapsed_s: float, done: int, total: int | None, expected_s: float | None) -> float | None:
    """Estimate how long a step still takes; None where there is nothing to go by.

    The first units tell little: they warm everything up, and batches are small at first. So what past runs took counts
    most in the beginning, and what this one took more and more; without past runs nothing is said until a twentieth is
    done, and three units.
    """
    if not total or not 0 < done < total:
        return None
    share = done / total
    measured = elapsed_s / done * (total - done)
    if expected_s is None:
        return measured if share >= 0.05 and done >= 3 else None
    return share * measured + (1 - share) * (1 - share) * expected_s


class Lines:
    """Plain lines: when a step begins, at times while it goes on, and when it ends."""

    def __init__(self, expected_s: float | None = None) -> None:
        self._of_first_step = expected_s
        self._expected_s: float | None = None
        self._step, self._unit = "", ""
        self._total: int | None = None
        self._done, self._rows = 0, 0
        self._began = self._said = 0.0

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        """A step begins."""
        self._step, self._total, self._unit, self._done, self._rows = step, total, unit, 0, 0
        self._expected_s, self._of_first_step = self._of_first_step, None
        self._began = self._said = time.monotonic()

    def advance(self, done: int = 1, rows: int = 0) -> None:
        """Say how far it is, if nothing was said for a while."""
        self._done += done
        self._rows += rows
        # A page's rows are scored after its features are done, and that is told of in rows alone.
        ended = done > 0 and self._total is not None and self._done >= self._total
        if not ended and time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self._say("")

    def finish(self, summary: str = "") -> None:
        """Say that it is done."""
        self._say(summary)

    def warn(self, message: str) -> None:
        """Say it."""
        typer.echo(f"warning: {message}", err=True)

    def _say(self, summary: str) -> None:
        elapsed = time.monotonic() - self._began
        rate = self._rows / elapsed if elapsed else 0.0
        rows = f", {self._rows:,} rows ({rate:,.0f} a second)" if self._rows else ""
        total = f" of {self._total}" if self._total is not None else ""
        left_s = seconds_left(elapsed, self._done, self._total, self._expected_s)
        left = "" if left_s is None else f", about {left_s:,.0f} s left"
        text = f"{self._step}: {self._done}{total} {self._unit}{rows}, {elapsed:.1f} s{left}"
        typer.echo(f"{text}{' - ' if summary else ''}{summary}", err=True)


class Bars:
    """A bar for each step, with rows per second and the time left."""

    def __init__(self, expected_s: float | None = None) -> None:
        self._of_first_step = expected_s
        self._expected_s: float | None = None
        self._bar: Any = None
        self._task: TaskID | None = None
        self._total: int | None = None
        self._done, self._rows = 0, 0
        self._began = 0.0

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        """Show a bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._total, self._done, self._rows, self._began = total, 0, 0, time.monotonic()
        self._expected_s, self._of_first_step = self._of_first_step, None
        columns = [
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
        ]
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._bar.start()
        self._task = self._bar.add_task(step, total=total, rate="", left="")

    def advance(self, done: int = 1, rows: int = 0) -> None:
        """Move it."""
        self._done += done
        self._rows += rows
        elapsed = max(time.monotonic() - self._began, 1e-9)
        left_s = seconds_left(elapsed, self._done, self._total, self._expected_s)
        left = "" if left_s is None else f"about {left_s:,.0f} s left"
        rate = f"{self._rows / elapsed:,.0f} rows/s" if self._rows else ""
        self._bar.update(self._task, advance=done, rate=rate, left=left)

    def finish(self, summary: str = "") -> None:
        """Leave it as it is, and let go of the terminal."""
        self._bar.stop()
        if summary:
            typer.echo(summary, err=True)

    def warn(self, message: str) -> None:
        """Print it above the bar."""
        printer = self._bar.console.print if self._bar is not None else typer.echo
        printer(f"warning: {message}")


def lines_of(items: Iterable[str]) -> None:
    """Print plain lines."""
    for item in items:
        typer.echo(item)
