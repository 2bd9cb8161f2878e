"""Commands on suites: demo, init, test, status, late, doctor, upkeep; products renamed and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.options import (
    DebugOption,
    JsonOption,
    ScratchOption,
    State,
    SuiteOption,
    now,
    parse_instant,
    parse_span,
    the_suite,
)
from jobs.cli.output import console
from warehouse.wording import counted

if TYPE_CHECKING:
    from jobs.examples.run import ExampleResult


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("demo")(demo)
    app.command("init")(init)
    app.command("test")(examples)
    app.command("status")(status)
    app.command("late")(late)
    app.command("upkeep")(upkeep)
    app.command("doctor")(doctor)
    app.command("rename")(rename)
    app.command("remove")(remove)
    app.command("move-lake")(move_lake)


def demo(
    directory: Annotated[Path, typer.Argument(help="Where the suite is made; must be new or empty.")] = Path(
        "almanac-demo"
    ),
    debug: DebugOption = False,
) -> None:
    """Run the main job on real flights, end to end, in a fresh suite, and show the table.

    Needs the flights: pip install 'almanac[demo]'.
    """
    from jobs.suites.demo import run_demo

    result = run_demo(directory, now, console.listener())
    console.print_table(result.steps, "What it did")
    console.print_table(result.evaluation, "Published predictions against what came of them")
    typer.echo(f"\nWhat an application asks ({result.query}):")
    console.print_rows(result.answer.names, result.answer.shown, numbers=result.answer.numbers)
    typer.echo(f"The suite is in {directory}; look around: almanac status --suite {directory}")


def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    bare: Annotated[bool, typer.Option("--bare", help="Without the example: the directories, and a schedule.")] = False,
    lake: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the lake is: postgresql://USER@HOST/DATABASE?data=/DIRECTORY."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Make a new suite: a small working example with comments that teach.

    With --lake its lake has its catalogue in PostgreSQL, and several hosts may share it; lake.yaml then says so.

    Examples:  almanac init shop   |   almanac init shop --bare
    """
    from jobs.suite import almanac_version
    from jobs.suites.elsewhere import put_elsewhere, readable
    from jobs.suites.starter import make_bare, make_starter

    address = readable(lake) if lake is not None else None

    make = make_bare if bare else make_starter
    make(directory)
    if address is not None:
        put_elsewhere(directory, address, now(), almanac_version())
        typer.echo(f"The lake is {address.url}; {directory}/lake.yaml says so.")
    if bare:
        console.lines_of(
            [
                f"Made an empty suite in {directory}. Now:",
                f"  write {directory}/sql/sources/NAME.sql, a SELECT from files to a typed table",
                f"  almanac ingest --suite {directory}",
                "  then feature groups in sql/features/ and a product in sql/products/: see docs/definitions.md",
            ]
        )
        return
    console.lines_of(
        [
            f"Made a suite in {directory}. Now:",
            f"  cd {directory}",
            "  almanac ingest",
            "  almanac train late_order --as-of 2026-03-01",
            "  almanac run late_order --as-of 2026-03-10T18:00",
            '  almanac query "FROM predictions.late_order_current LIMIT 5"',
        ]
    )


def move_lake(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Where to: postgresql://USER@HOST/DATABASE?data=/DIRECTORY (or s3://BUCKET/PREFIX), or `here`: into"
            " the suite's directory, with SQLite.",
        ),
    ],
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Move the suite's lake: its catalogue into PostgreSQL, its files to where hosts share them; from there, or back.

    It is copied and compared, and lake.yaml then names it. The lake of before is left: in the suite's directory as
    lake.moved, and with its catalogue in PostgreSQL where it is, to be read only. Stop schedulers first.

    Examples:  almanac move-lake "postgresql://almanac@db/lake?data=/mnt/shared/lake"   |   almanac move-lake here
    """
    from jobs.suites.elsewhere import readable
    from jobs.suites.move_lake import move_lake as move
    from warehouse.lake.postgres.addresses import HERE

    done = move(State.suite.resolve(), None if url == HERE else readable(url), console.listener())
    if as_json:
        console.print_json([vars(done)])
        return
    typer.echo(
        f"Moved {counted(done.tables, 'table')} with {counted(done.rows, 'row')}, {counted(done.snapshots, 'snapshot')}"
        f" and {counted(done.files, 'file')}. The lake of before is {done.left_as}; delete it once you are content."
    )


def examples(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Sources, feature groups and products; all that have examples if none is named."),
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the examples that stand beside the SQL, in NAME.tests.yaml: given facts, an instant, expected rows.

    No lake is read or made. Exit 1 if any row is not as expected.

    Examples:  almanac test   |   almanac test depot_history
    """
    from jobs.examples.run import run_examples
    from warehouse.definitions import load_definitions
    from warehouse.without_pandas import keep_pandas_out

    if State.owns_process:
        keep_pandas_out()
    definitions = load_definitions(State.suite)
    results = run_examples(definitions, names or (), _tell if not as_json else lambda _: None)
    failed = [one for one in results if not one.passed]
    if as_json:
        console.print_json([{**vars(one), "passed": one.passed} for one in results])
    elif not results:
        typer.echo("There are no examples yet; write some beside the SQL, in NAME.tests.yaml (docs/ci.md).")
    else:
        typer.echo(f"{counted(len(results), 'example')}, {len(failed)} failed.")
    if failed:
        raise typer.Exit(1)


def _tell(result: ExampleResult) -> None:
    typer.echo(f"{'ok' if result.passed else 'FAILED'}  {result.where}: {result.example}")
    for difference in result.differences:
        typer.echo(f"    {difference}")


def status(suite: SuiteOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Show products, live models, last pages, sources, and what failed."""
    from jobs.suites.status import status as look

    found = look(the_suite(runs_python=False))
    if as_json:
        console.print_json(vars(found))
        return
    products = [{name: value for name, value in row.items() if name != "cannot_write"} for row in found.products]
    console.print_table(products, f"Products (snapshot {found.snapshot_id}, times in UTC)")
    console.lines_of(row["cannot_write"] for row in found.products if row["cannot_write"])
    console.print_table(found.sources, "Sources")
    console.print_table(found.troubles, "Pages that were tried last without success")
    console.print_table(found.failed_runs, "Runs that failed last")
    console.print_table(found.files_aside, "Files that could not be read and are set aside")
    console.print_table(found.broken_promises, "Sources that do not keep what they promise")
    if not any((found.troubles, found.failed_runs, found.files_aside, found.broken_promises)):
        typer.echo("Nothing has failed.")


def late(
    product: Annotated[str | None, typer.Argument(help="A product.", show_default="all")] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="A", help="The first page.", show_default="two weeks ago")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="B", help="The last page, excluded.", show_default="now")
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show how long after its instant each page was first published, against its product's fresh_within.

    A page that is due and was never published is late by as long as it is due. The latest comes first.

    Examples:  almanac late   |   almanac late flight_delay --from 2013-10-01 --json
    """
    from jobs.monitoring.late import late as look

    start = parse_instant(first, "--from") if first else None
    end = parse_instant(until, "--to") if until else None
    found = look(the_suite(runs_python=False), product, start, end)
    if as_json:
        console.print_json([vars(one) for one in found])
        return
    console.print_table([vars(one) for one in found], "Published after the page's instant (UTC)")
    promised = [one for one in found if one.is_late is not None]
    n_late, n_missing = sum(one.is_late is True for one in promised), sum(one.published_at is None for one in found)
    typer.echo(
        f"{n_late} of {counted(len(promised), 'page')} whose product promises a time (fresh_within)"
        " were later than that."
    )
    if n_missing:
        typer.echo(f"{n_missing} of {counted(len(found), 'page')} are due and were never published.")


def upkeep(
    keep: Annotated[
        str, typer.Option("--keep", metavar="DURATION", help="How long superseded pages can still be read.")
    ] = "90d",
    grace: Annotated[
        str, typer.Option("--grace", metavar="DURATION", help="How long readers have to end before files go.")
    ] = "1h",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, by doing it to a scratch lake.")
    ] = False,
    scratch: ScratchOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Merge small files, let go of what was superseded long ago, clear what killed runs left behind.

    Safe while jobs and readers are at work.

    Examples:  almanac upkeep   |   almanac upkeep --keep 30d --dry-run
    """
    from jobs.suites.upkeep import upkeep as run
    from jobs.suites.upkeep import upkeep_dry_run

    spans = parse_span(keep, "--keep"), parse_span(grace, "--grace")
    result = (
        upkeep_dry_run(the_suite(runs_python=False), *spans, scratch)
        if dry_run
        else run(the_suite(runs_python=False), *spans)
    )
    if as_json:
        console.print_json(vars(result))
        return
    if dry_run:
        typer.echo("Nothing was changed. In a scratch lake, upkeep did this:")
    typer.echo(
        f"Freed {counted(result.freed_files, 'file')} ({counted(result.freed_bytes, 'byte')}),"
        f" {result.orphaned_files:,} of them orphans ({result.orphaned_bytes:,} bytes),"
        f" and {result.abandoned_runs:,} leftovers of runs that are gone;"
        f" forgot {result.forgotten_ticks:,} old ticks."
    )
    gained = result.gained_bytes
    typer.echo(f"The lake's files take {counted(abs(gained), 'byte')} {'less' if gained >= 0 else 'more'} than before.")
    typer.echo(
        f"Merged {counted(result.files_before, 'file')} into {result.files_after:,};"
        f" let go of {counted(result.snapshots, 'snapshot')}."
    )
    if result.copies:
        typer.echo(f"Deleted {counted(result.copies, 'copy', 'copies')} of deliveries that nothing can need any more.")
    if result.waiting_files:
        typer.echo(
            f"{counted(result.waiting_files, 'file is', 'files are')} needed by nobody any more;"
            f" the next upkeep deletes them, once {grace} has passed for readers that began before."
        )
    if result.derivations:
        typer.echo(f"Dropped facts under definitions that nobody used: {', '.join(result.derivations)}.")
    for table, why in result.left.items():
        typer.echo(f"warning: the files of {table} were left as they are: {why}", err=True)


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every file of the lake, those of older snapshots too.")
    ] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Look at versions, extensions, definitions and the lake's health. Exit 1 if anything is wrong."""
    from jobs.suites.doctor import doctor as look

    findings = look(State.suite, now, deep=deep)
    if as_json:
        console.print_json([vars(finding) for finding in findings])
    else:
        console.print_table([vars(finding) for finding in findings])
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(1)


_Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the ledger.")]


def rename(
    old: Annotated[str, typer.Argument(help="What the product was called.")],
    new: Annotated[str, typer.Argument(help="What its directory in sql/products is called now.")],
    reason: _Reason = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Give a product whose directory was renamed what the lake has of it: tables, versions, ledger; one commit.

    Examples:  git mv sql/products/late sql/products/late_order && almanac rename late late_order
    """
    from jobs.products.leave import rename_product

    done = rename_product(the_suite(runs_python=False), old, new, reason)
    if as_json:
        console.print_json(vars(done))
    else:
        tables = counted(len(done.tables), "table")
        typer.echo(f"{old} is {new} now: {tables}, {counted(done.rows, 'row')} of the ledger. Its views are {new}_*.")


def remove(
    product: Annotated[str, typer.Argument(help="A product that the suite has no more.")],
    tables: Annotated[bool, typer.Option("--tables", help="Its tables, views and versions, too.")] = False,
    reason: _Reason = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say that a product was removed; with --tables drop what the lake has of it, which `upkeep` then frees.

    What people decided on it, and what its runs cost, stays in the ledger.

    Examples:  almanac remove late_order   |   almanac remove late_order --tables --reason "nobody asks for it"
    """
    from jobs.products.leave import remove_product

    done = remove_product(the_suite(runs_python=False), product, reason, tables=tables)
    if as_json:
        console.print_json(vars(done))
    elif tables:
        typer.echo(
            f"{product} is removed: {', '.join(done.tables) or 'it had no tables'}; `almanac upkeep` frees their files."
        )
    else:
        typer.echo(f"{product} is removed; its tables are left to be read (--tables drops them).")
