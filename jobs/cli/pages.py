"""Commands on pages: run, evaluate, explain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import (
    AsOfOption,
    DebugOption,
    EngineOption,
    JsonOption,
    ShardsOption,
    SuiteOption,
    parse_instant,
    the_suite,
)
from jobs.cli.output import console
from warehouse.errors import AlmanacError
from warehouse.wording import counted

if TYPE_CHECKING:
    from jobs.pages.make import PagesResult
    from jobs.suite import Suite


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("run")(run)
    app.command("evaluate")(evaluate)
    app.command("explain")(explain)


def run(
    products: Annotated[list[str], typer.Argument(help="Products; several share what they ask alike.")],
    as_of: AsOfOption = None,
    hindsight: Annotated[
        bool, typer.Option("--hindsight", help="Let a version write a page before its label cut-off; marked.")
    ] = False,
    engine: EngineOption = None,
    shards: ShardsOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make one page: features, scores, checks, one commit. Default: the newest page that is due.

    Making a page again replaces it with the same rows. Of several products, each feature group that they share is
    computed once; if one fails, the others' pages are made all the same.

    Examples:  almanac run flight_delay   |   almanac run flight_delay --as-of 2013-10-05T18:00-04:00
    """
    from jobs.pages.batches import sharing_rows
    from jobs.pages.predict import run_page
    from jobs.pages.shards.choice import with_engine

    instant = parse_instant(as_of, "--as-of") if as_of else None
    names = list(dict.fromkeys(products))
    opened = with_engine(the_suite(runs_python=False, makes_pages=True), names, engine, shards)
    results: dict[str, PagesResult] = {}
    failures: list[AlmanacError] = []
    with sharing_rows(opened, names) as shared:
        for name in names:
            try:
                found = run_page(opened, name, instant, hindsight=hindsight, progress=console.listener(), shared=shared)
                results[name] = found
            except AlmanacError as error:  # the other products' pages are made all the same
                if len(names) == 1:
                    raise
                failures.append(error)
    if as_json:
        shown = [_json_of_pages(result) for result in results.values()]
        console.print_json(shown[0] if len(names) == 1 else shown)
    several = len(names) > 1
    rejected = [report_pages(one, as_json, f" of {name}" if several else "") for name, one in results.items()]
    for failure in failures:
        typer.echo(f"almanac: {failure}", err=True)
    judge_if_the_clock_asks(opened, list(results))
    if failures or any(rejected):
        raise typer.Exit(max([1, *(failure.exit_code for failure in failures)]))


def judge_if_the_clock_asks(suite: Suite, products: list[str]) -> None:
    """Judge what a run of the clock has published; of a run by hand, `almanac monitor` is another command."""
    # Asked before the import: a run by hand does not need what judging loads.
    if products and "ALMANAC_LEASE" in os.environ:
        from jobs.monitoring.judging.monitor import judge_published

        for sentence in judge_published(suite, products):
            typer.echo(f"almanac: {sentence}", err=True)


def _json_of_pages(result: PagesResult) -> dict[str, Any]:
    return {
        "published": [vars(record) for record in result.published if record.kind == "predictions"],
        "rejected": sorted(result.rejected),
        "complaints": [vars(check) for check in result.audit.complaints()],
        "run_ids": result.run_ids,
    }


def report_pages(result: PagesResult, as_json: bool, of: str = "") -> bool:
    """Print what became of some pages (`of` says of which product); give whether a check kept any back."""
    predictions = [record for record in result.published if record.kind == "predictions"]
    complaints = result.audit.complaints()
    if not as_json:
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
        console.print_table(rows, f"Published{of}")
        for check in complaints:
            typer.echo(f"{check.severity}: {check.as_of} {check.name}: {check.message}", err=True)
    if result.rejected:
        kept = "what was published for them before is still there" if not as_json else ""
        typer.echo(
            f"almanac: {len(result.rejected)} page(s) were kept back by a check; {kept}. The wrong rows:"
            f" almanac query \"FROM ledger.wrong_rows WHERE run_id = '{result.run_ids[-1]}'\"",
            err=True,
        )
    return bool(result.rejected)


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
    console.print_table(result.confusion, "What rows of each class were taken for")
    console.lines_of(f"note: {note}" for note in result.notes)
    unlabelled = result.n_predictions - result.n_labelled
    typer.echo(
        f"{counted(result.n_pages, 'page')}, {counted(result.n_predictions, 'prediction')};"
        f" {unlabelled:,} have no label (not known yet, or none by definition, see label.sql) and are left out;"
        f" {result.n_hindsight:,} made with hindsight are left out too."
    )


def explain(
    product: Annotated[str, typer.Argument(help="A product.")],
    page: Annotated[str, typer.Option("--page", metavar="T", help="The page's as_of.")],
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="NAME=VALUE", help="The row, by each of its keys. Default: the whole page."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Means for each of its values.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="T", help="Another page, to compare with.")] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME=COLUMN,...", help="Columns that count as one; may be repeated."),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Explain at most so many rows of a page.")] = 2_000,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what each column contributed to a published prediction, or to those of a page.

    Contributions are exact Shapley values, in the unit of the model's raw prediction (log-odds of a probability).

    Examples:  almanac explain flight_delay --page 2013-10-05T22:00 --key flight_id=123   |   ... --by carrier
    """
    from jobs.pages.explain import Question, explain_page, explain_row

    instant = parse_instant(page, "--page")
    groups = {name: columns.split(",") for name, columns in _pairs(group or [], "--group").items()}
    question = Question(groups, rows)
    opened = the_suite(runs_python=False)
    if key:
        if by or since:
            raise _usage("--key explains one row; --by and --since a page. Leave one of them out.")
        _print_row(vars(explain_row(opened, product, instant, _pairs(key, "--key"), question)), as_json)
        return
    other = parse_instant(since, "--since") if since else None
    found = explain_page(opened, product, instant, by=by, since=other, question=question)
    if as_json:
        console.print_json(vars(found))
        return
    told = f"{found.n_explained:,} of {found.n_rows:,} rows" if found.n_explained < found.n_rows else "all rows"
    base = f"; base {found.base:.6g}" if found.base is not None else "; each by the class that was predicted"
    console.print_table(found.columns, f"{product} {instant}, by {found.version}: {told}{base}")
    typer.echo(f"{found.method}.")


def _print_row(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.print_json(found)
        return
    named = ", ".join(f"{name} {value}" for name, value in found["key"].items())
    steps = [{"column": "base", "raw": found["base"]}, *found["steps"]]
    names = list(found["steps"][0])
    said = f"{found['prediction']}, " if found["prediction"] is not None else ""
    title = f"{found['product']} {found['as_of']}, {named}, by {found['version']}: {said}{found['score']:.6g}"
    console.print_table([{name: step.get(name) for name in names} for step in steps], title)
    typer.echo(f"{found['method']}.")


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    """Read NAME=VALUE, each name once."""
    found = dict(text.partition("=")[::2] for text in texts)
    if len(found) != len(texts) or not all("=" in text for text in texts) or "" in found:
        raise _usage(f"{option} {' '.join(texts)}: write NAME=VALUE, each name once.")
    return found


def _usage(message: str) -> Exception:
    from warehouse.errors import UsageError

    return UsageError(message)
