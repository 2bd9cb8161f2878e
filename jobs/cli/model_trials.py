"""Commands that take a model in and try versions out: models import, models compare, models bench, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.models import ProductArgument, ReasonOption, VersionArgument, models
from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("reproduce")(reproduce)


@models.command("import")
def import_model(
    product: ProductArgument,
    file: Annotated[Path, typer.Argument(help="A skops file, LightGBM's text or XGBoost's JSON.")],
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B,C", help="Its columns in order, if it names none.", show_default=False),
    ] = None,
    trained_as_of: Annotated[
        str | None,
        typer.Option("--trained-as-of", metavar="T", help="It knows no label of later.", show_default=False),
    ] = None,
    reason: ReasonOption = None,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Register it, and leave live what is.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Register a model that was trained elsewhere as a version, judged by the product's gates.

    Without --trained-as-of it may write no page but with --hindsight.

    Examples:  almanac models import flight_delay delay.json --trained-as-of 2013-10-01 --columns distance,hour
    """
    from jobs.training.imported import import_model as run
    from jobs.training.register import Order

    done = run(
        the_suite(),
        product,
        file,
        [name.strip() for name in columns.split(",")] if columns else None,
        parse_instant(trained_as_of, "--trained-as-of") if trained_as_of else None,
        Order(reason, may_promote=not no_promote),
        console.listener(),
    )
    model, gates = done.model, done.verdict.gates
    if as_json:
        told = {"went_live": done.went_live, "why": done.why, "gates": [vars(gate) for gate in gates]}
        console.print_json({**vars(model), **told})
        return
    console.print_table([{"gate": gate.gate, "passed": gate.passed, "found": gate.message} for gate in gates], "Gates")
    live = f"is live for the pages from {model.label_cutoff} on" if done.went_live else "is registered, and not live"
    typer.echo(f"{product}: {model.version}, {model.scorer} scorer, {live}: {done.why}.")


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
