"""Commands on suites: demo, init, status, doctor, upkeep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli import console
from jobs.cli.options import DebugOption, JsonOption, State, SuiteOption, now, the_suite


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("demo")(demo)
    app.command("init")(init)
    app.command("status")(status)
    app.command("upkeep")(upkeep)
    app.command("doctor")(doctor)


def demo(
    directory: Annotated[Path, typer.Argument(help="Where the suite is made; must be new or empty.")] = Path(
        "almanac-demo"
    ),
    debug: DebugOption = False,
) -> None:
    """Run the main job on real flights, end to end, in a fresh suite, and show the table.

    Needs the flights: pip install 'almanac[demo]'.
    """
    from jobs.demo import run_demo

    result = run_demo(directory, now, console.listener())
    console.print_table(result.steps, "What it did")
    console.print_table(result.evaluation, "Published predictions against what came of them")
    typer.echo(f"\nWhat an application asks ({result.query}):")
    console.print_table(result.answer, as_is=True)
    typer.echo(f"The suite is in {directory}; look around: almanac status --suite {directory}")


def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")], debug: DebugOption = False
) -> None:
    """Make a new suite: a small working example with comments that teach.

    Examples:  almanac init shop
    """
    from jobs.starter import make_starter

    make_starter(directory)
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


def status(suite: SuiteOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Show products, live models, last pages, sources, and what failed."""
    from jobs.status import status as look

    found = look(the_suite(runs_python=False))
    if as_json:
        console.print_json(vars(found))
        return
    console.print_table(found.products, f"Products (snapshot {found.snapshot_id}, times in UTC)")
    console.print_table(found.sources, "Sources")
    console.print_table(found.troubles, "Pages that were tried last without success")
    console.print_table(found.failed_runs, "Runs that failed last")
    if not found.troubles and not found.failed_runs:
        typer.echo("Nothing has failed.")


def upkeep(suite: SuiteOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Clear what killed runs left behind: orphaned files and staging directories."""
    from jobs.upkeep import upkeep as run

    result = run(the_suite())
    if as_json:
        console.print_json(vars(result))
        return
    typer.echo(
        f"Cleared {result.orphaned_files} orphaned files ({result.orphaned_bytes:,} bytes) and"
        f" {result.abandoned_runs} leftovers of runs that are gone."
    )


def doctor(suite: SuiteOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Look at versions, extensions, definitions and the lake's health. Exit 1 if anything is wrong."""
    from jobs.doctor import doctor as look

    findings = look(State.suite, now)
    if as_json:
        console.print_json([vars(finding) for finding in findings])
    else:
        console.print_table([vars(finding) for finding in findings])
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(1)
