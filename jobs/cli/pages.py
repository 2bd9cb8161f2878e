"""Commands on pages: run, evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import AsOfOption, DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.pages.make import PagesResult


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("run")(run)
    app.command("evaluate")(evaluate)


def run(
    product: Annotated[str, typer.Argument(help="A product.")],
    as_of: AsOfOption = None,
    hindsight: Annotated[
        bool, typer.Option("--hindsight", help="Let a version write a page before its label cut-off; marked.")
    ] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make one page: features, scores, checks, one commit. Default: the newest page that is due.

    Making a page again replaces it with the same rows.

    Examples:  almanac run flight_delay   |   almanac run flight_delay --as-of 2013-10-05T18:00-04:00
    """
    from jobs.pages.predict import run_page

    instant = parse_instant(as_of, "--as-of") if as_of else None
    opened = the_suite(runs_python=False, makes_pages=True)
    result = run_page(opened, product, instant, hindsight=hindsight, progress=console.listener())
    report_pages(result, as_json)


def report_pages(result: PagesResult, as_json: bool) -> None:
    """Print what became of some pages; exit 1 if a check kept any back."""
    predictions = [record for record in result.published if record.kind == "predictions"]
    complaints = result.audit.complaints()
    if as_json:
        console.print_json(
            {
                "published": [vars(record) for record in predictions],
                "rejected": sorted(result.rejected),
                "complaints": [vars(check) for check in complaints],
                "run_ids": result.run_ids,
            }
        )
    else:
        rows: list[dict[str, Any]] = [
            {
                "page (UTC)": record.as_of,
                "rows": record.n_rows,
                "model": record.model_version,
                "hindsight": record.hindsight,
                "snapshot": record.snapshot_id,
                "run": record.run_id,
            }
            for record in predictions
        ]
        console.print_table(rows, "Published")
        for check in complaints:
            typer.echo(f"{check.severity}: {check.as_of} {check.name}: {check.message}", err=True)
    if result.rejected:
        kept = "what was published for them before is still there" if not as_json else ""
        typer.echo(
            f"almanac: {len(result.rejected)} page(s) were kept back by a check; {kept}. The wrong rows:"
            f" almanac query \"FROM ledger.wrong_rows WHERE run_id = '{result.run_ids[-1]}'\"",
            err=True,
        )
        raise typer.Exit(1)


def evaluate(
    product: Annotated[str, typer.Argument(help="A product.")],
    first: Annotated[str, typer.Option("--from", metavar="A", help="The first instant, inclusive.")],
    until: Annotated[str, typer.Option("--to", metavar="B", help="The last instant, exclusive.")],
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Figures for each value.")] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare published predictions with the labels known since.

    Rows without a label are left out and counted, and so are pages made with hindsight.

    Examples:  almanac evaluate flight_delay --from 2013-10-01 --to 2014-01-01 --by carrier
    """
    from jobs.monitoring.evaluate import evaluate as work_out

    start, end = parse_instant(first, "--from"), parse_instant(until, "--to")
    result = work_out(the_suite(), product, start, end, by)
    if as_json:
        console.print_json(vars(result))
        return
    console.print_table(result.groups, f"{product}, pages from {start} until {end}, by {', '.join(result.versions)}")
    console.print_table(result.calibration, "Calibration, by tenths of the rows")
    console.lines_of(f"note: {note}" for note in result.notes)
    unlabelled = result.n_predictions - result.n_labelled
    typer.echo(
        f"{result.n_pages} pages, {result.n_predictions:,} predictions; {unlabelled:,} have no label (not known yet,"
        f" or none by definition, see label.sql) and are left out; {result.n_hindsight:,} made with hindsight are"
        " left out too."
    )
