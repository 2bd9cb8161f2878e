"""Commands that try a model version out: models compare, models bench, reproduce."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli.models import ProductArgument, VersionArgument, models
from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("reproduce")(reproduce)


@models.command("compare")
def compare(
    product: ProductArgument,
    one: Annotated[str, typer.Argument(metavar="V1", help="A version.")],
    other: Annotated[str, typer.Argument(metavar="V2", help="Another one.")],
    first: Annotated[
        str | None, typer.Option("--from", metavar="A", help="The first instant, inclusive.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="B", help="The last instant, exclusive.", show_default=False)
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="Figures for each value.", show_default=False)
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare two versions on the labelled pages of which neither had seen a label.

    The interval of each difference (V2 less V1) holds 95 of 100 draws of the pages.

    Examples:  almanac models compare flight_delay v1 v2 --by origin
    """
    from jobs.rollout.compare import compare as run

    found = run(
        the_suite(),
        product,
        (one, other),
        first=parse_instant(first, "--from") if first else None,
        until=parse_instant(until, "--to") if until else None,
        by=by,
        progress=console.listener(),
    )
    if as_json:
        console.print_json(vars(found))
        return
    title = (
        f"{product}: {other} less {one}, {found.n_rows:,} rows of {found.n_pages} pages, {found.first} to {found.last}"
    )
    console.print_table(found.rows, title)
    console.lines_of(f"note: {note}" for note in found.notes)


@models.command("bench")
def bench(
    product: ProductArgument,
    version: VersionArgument,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a version: rows a second, seconds for the newest page from facts to staged predictions, and memory.

    Exit code 1 if a page takes longer than gates.page_seconds allows.

    Examples:  almanac models bench flight_delay v1
    """
    from jobs.models.bench import bench as run

    found = run(the_suite(), product, version)
    figures = {
        "version": version,
        "scorer": found.scorer,
        "rows_per_second": round(found.times.rows_per_second),
        "page": found.page,
        "page_rows": found.times.page_rows,
        "page_seconds": found.times.page_seconds,
        "budget_seconds": found.budget_s,
        "within_budget": found.within_budget,
        "peak_memory_mib": round(found.peak_memory_bytes / 2**20),
    }
    if as_json:
        console.print_json(figures)
    else:
        console.print_table([figures], f"{product}, medians")
    if found.within_budget is False:
        raise typer.Exit(1)


def reproduce(
    product: ProductArgument,
    version: VersionArgument,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a version again from its record, and compare raw predictions; or say what differs. Registers nothing.

    Exit code 1 if the predictions differ, or it could not be trained again.

    Examples:  almanac reproduce flight_delay v1
    """
    from jobs.training.reproduce import reproduce as run

    found = run(the_suite(), product, version, console.listener())
    if as_json:
        console.print_json(vars(found))
    elif found.same:
        typer.echo(f"{product} {version}: the same raw predictions, in every bit, of {found.n_rows:,} training rows.")
    elif found.same is None:
        typer.echo(f"{product} {version} was not trained again.")
    else:
        apart = found.largest_difference
        typer.echo(f"{product} {version}: raw predictions differ, by up to {apart} on {found.n_rows:,} training rows.")
    if not as_json:
        console.lines_of(f"differs: {difference}" for difference in found.differences)
    if not found.same:
        raise typer.Exit(1)
