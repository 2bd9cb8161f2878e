"""Commands on facts and tables: ingest, query."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, parse_span, the_suite
from jobs.cli.output import console
from warehouse.wording import counted

if TYPE_CHECKING:
    from jobs.suites.query import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.facts.ingest import IngestResult, Way
    from jobs.suite import Suite


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("ingest")(ingest)
    app.command("query")(query)


def ingest(
    sources: Annotated[list[str] | None, typer.Argument(help="Sources; all if none is named.")] = None,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="FILE", help="Leave a file that is set aside alone from now on.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and what would come of it; change nothing.")
    ] = False,
    keep_gone: Annotated[
        bool,
        typer.Option("--keep-gone", help="Keep facts of files that are gone where their source's definition changed."),
    ] = False,
    withdraw: Annotated[
        int | None,
        typer.Option("--withdraw", metavar="N", help="Let a complete delivery withdraw the N facts that it lacks."),
    ] = None,
    set_back: Annotated[
        bool,
        typer.Option("--set-back", help="The clock is right; it was wrong when the last ingestion was later than now."),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C, and take in every few seconds what has come.")
    ] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often --follow looks.")] = 5,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Take in new files of sources as facts.

    Rows that the lake holds already are left alone, changed ones become new versions, and rows that break a
    rule go to rejects.SOURCE with the reason. A file that cannot be read is set aside in rejects.files, the rest is
    taken in, and the command ends with 1. Where a source's definition has changed, its facts are first made anew from
    all that was delivered. Where no source is named, those whose package is not installed are passed over, with what
    to install for them.

    Examples:  almanac ingest   |   almanac ingest landings   |   almanac ingest --forget data/orders-3.csv   |
    almanac ingest --follow orders
    """
    from jobs.facts.ingest import Way
    from jobs.facts.set_aside import forget_file
    from warehouse.errors import UsageError

    if withdraw is not None and len(sources or ()) != 1:
        raise UsageError("--withdraw goes with the name of one source, as in: almanac ingest orders --withdraw 12")
    opened = the_suite(runs_python=False, commits=True)
    if forget is not None:
        typer.echo(f"{forget_file(opened, forget).path} is left alone from now on, unless what is in it changes.")
        return
    if follow and (dry_run or withdraw is not None or set_back):
        raise UsageError("--follow takes in what comes; it goes with neither --dry-run, --withdraw nor --set-back.")
    if follow:
        _follow(opened, sources or (), Way(keep_gone), every, as_json=as_json)
        return
    _ingest_once(opened, sources or (), Way(keep_gone, dry_run, withdraw, set_back), as_json=as_json)


def _ingest_once(opened: Suite, sources: Sequence[str], way: Way, *, as_json: bool) -> None:
    from jobs.facts.ingest import ingest as run
    from jobs.pages.outcomes import settle_where_possible
    from warehouse.errors import DeliveryRefused, FilesSetAside

    failed: FilesSetAside | DeliveryRefused | None = None
    try:
        results = run(opened, sources, console.listener(), way)
    except (FilesSetAside, DeliveryRefused) as error:
        results, failed = list(error.results), error
    if not way.dry_run:
        settle_where_possible(opened, console.listener())
    _print_ingested(results, as_json=as_json, dry_run=way.dry_run)
    _warn_of_promises(opened, results)
    if failed is not None:
        raise failed


def _follow(opened: Suite, sources: Sequence[str], way: Way, every_s: float, *, as_json: bool) -> None:
    """Ingest again and again; the first Ctrl-C lets the ingestion in hand end, and the command with it.

    What fails is told once and tried again, since files and databases come back; what somebody has to change first
    ends it.
    """
    from jobs.cli.output.interrupts import Interrupts
    from jobs.facts.ingest import ingest as run
    from jobs.pages.outcomes import settle_where_possible
    from warehouse.errors import DeliveryRefused, FilesSetAside, RunFailed

    def say_what_was_kept() -> None:
        typer.echo("Nothing of the ingestion in hand was kept.", err=True)

    told = ""
    with Interrupts("the ingestion in hand", say_what_was_kept) as stop:
        while not stop.asked_to_stop():
            begun, failed = time.monotonic(), ""
            results: list[IngestResult] = []
            try:
                results = run(opened, sources, way=way)
            except (FilesSetAside, DeliveryRefused) as error:
                results, failed = list(error.results), str(error)
            except RunFailed as error:
                failed = str(error)
            if done := [result for result in results if result.ingestion is not None]:
                settle_where_possible(opened, console.listener())
                _print_ingested(done, as_json=as_json, dry_run=False)
            if failed and failed != told:
                typer.echo(f"almanac: {failed}", err=True)
            told = failed
            while not stop.asked_to_stop() and time.monotonic() < begun + every_s:
                time.sleep(0.05)


def _warn_of_promises(opened: Suite, results: Sequence[IngestResult]) -> None:
    from warehouse.facts.promises import broken_promises

    with opened.lake.reading() as connection:
        looked_at = [opened.definitions.source(result.source) for result in results]
        for broken in broken_promises(connection, looked_at, opened.clock()):
            typer.echo(f"warning: {broken.sentence}", err=True)


def _print_ingested(results: Sequence[IngestResult], *, as_json: bool, dry_run: bool) -> None:
    rows = []
    for result in results:
        done = result.ingestion
        rows.append(
            {
                "source": result.source,
                "read": done.rows_read if done else 0,
                "new": done.rows_new if done else 0,
                "restated": done.rows_restated if done else 0,
                "withdrawn": done.rows_withdrawn if done else 0,
                "unchanged": done.rows_unchanged if done else 0,
                "rejected": done.rows_rejected if done else 0,
                "known_until": result.newest_fact,
                "seconds": round(result.wall_s, 2),
                "passed_over": result.passed_over,
                "set_aside": {one.file.path: one.reason for one in result.reading.aside},
                "lacking": result.reading.lacking,
                "erased": result.reading.n_erased,
                "refused": result.refused,
                "derived": vars(result.derived) if result.derived else None,
                "caught_up": len(result.caught_up),
            }
        )
    if as_json:
        console.print_json(rows)
        return
    apart = ("passed_over", "set_aside", "lacking", "erased", "refused", "derived", "caught_up")
    looked_at = [
        {name: value for name, value in row.items() if name not in apart} for row in rows if not row["passed_over"]
    ]
    console.print_table(looked_at, "Would be ingested" if dry_run else "Ingested")
    for result in results:
        if result.reading.n_erased:
            left_out = counted(result.reading.n_erased, "row")
            typer.echo(f"{result.source}: {left_out} about persons who were erased left out; no copy of them is kept")
        if result.derived:
            typer.echo(result.derived.said(dry_run=dry_run))
        if result.caught_up:
            n_deliveries = counted(len(result.caught_up), "delivery", "deliveries")
            typer.echo(f"{result.source}: {n_deliveries} that only other definitions had: taken in now.")
        for path, names in result.reading.lacking.items():
            typer.echo(f"{result.source}: {path} lacks {', '.join(names)}; its rows have NULL there")
    for result in results:
        if result.ingestion and result.ingestion.rows_rejected:
            hint = f'almanac query "SELECT reason, count(*) FROM rejects.{result.source} GROUP BY reason"'
            rejected = counted(result.ingestion.rows_rejected, "row was", "rows were")
            typer.echo(f"{result.source}: {rejected} rejected; see why with: {hint}")


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT.")],
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
    at_snapshot: Annotated[int | None, typer.Option("--at-snapshot", metavar="N", help="As of a snapshot.")] = None,
    at_time: Annotated[
        str | None, typer.Option("--at-time", metavar="T", help="As the lake was at an instant.", show_default=False)
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="D", help="How long it may take.")] = "10 minutes",
    as_json: JsonOption = False,
    suite: SuiteOption = None,
    debug: DebugOption = False,
) -> None:
    """Run a SELECT over the lake, read-only.

    Schemas: sources, rejects, features, predictions (PRODUCT, PRODUCT_current, _page, _outcomes), labels, ledger.

    Values are shown as DuckDB writes them. JSON has no infinities; they are strings there.

    Examples:  almanac query "FROM predictions.flight_delay_current LIMIT 5"   |   almanac query "DESCRIBE ledger.runs"
    """
    from jobs.suites.query import FORMATS, query_rows, query_to_file
    from warehouse.errors import UsageError

    opened, at = the_suite(runs_python=False), parse_instant(at_time, "--at-time") if at_time else None
    limit = parse_span(timeout, "--timeout")
    if as_json and form not in ("table", "json"):
        raise UsageError(f"--json is --format json, and --format {form} is another; leave one of them out.")
    form = "json" if as_json else form
    if form == "table":
        if output is not None:
            raise UsageError(f"--output goes with --format {', '.join(FORMATS)}.")
        _print_rows(query_rows(opened, sql, at_snapshot=at_snapshot, at_time=at, limit=_TABLE_ROWS + 1, timeout=limit))
        return
    if form not in FORMATS:
        raise UsageError(f"--format {form}: allowed are table, {', '.join(FORMATS)}.")
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal; add --output FILE.")
    if output is not None:
        query_to_file(opened, sql, form, output, at_snapshot=at_snapshot, at_time=at, timeout=limit)
        return
    # Not straight to /dev/stdout, which DuckDB would truncate where it is a file that something is appended to.
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / f"rows.{form}"
        query_to_file(opened, sql, form, file, at_snapshot=at_snapshot, at_time=at, timeout=limit)
        with file.open("rb") as rows:
            shutil.copyfileobj(rows, sys.stdout.buffer)


_TABLE_ROWS = 100


def _print_rows(answer: Answer) -> None:
    shown = answer.shown[:_TABLE_ROWS]
    console.print_rows(answer.names, shown, numbers=answer.numbers)
    if not shown:
        typer.echo("no rows")
    elif len(answer.rows) > _TABLE_ROWS:
        typer.echo(f"the first {_TABLE_ROWS} rows; --format csv gives all")
