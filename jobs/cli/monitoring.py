"""Commands that watch pages, and what requests give: profile, monitor, skew, alarms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import DebugOption, JsonOption, ListingGroup, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.monitoring.comparison import Comparison
    from jobs.suite import Suite
    from warehouse.ledger.alarms import Alarm

_DISTANCES = ("psi", "by_chance", "js", "hellinger", "ks", "wasserstein", "wasserstein_scaled")


alarms = typer.Typer(cls=ListingGroup, help="Alarms: list, accept, close.")


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("profile")(profile)
    app.command("monitor")(monitor)
    app.command("report")(report)
    app.command("skew")(skew)
    app.add_typer(alarms, name="alarms")


def profile(
    product: Annotated[str, typer.Argument(help="A product.")],
    page: Annotated[str, typer.Option("--page", metavar="T", help="The page.", show_default=False)],
    column: Annotated[
        str | None, typer.Option("--column", help="One column, with its distribution.", show_default=False)
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show how the values of a page are spread, beside the last pages of its season.

    Examples:  almanac profile flight_delay --page 2013-10-05T22:00   |   ... --column distance
    """
    from dataclasses import asdict

    from jobs.monitoring.profile import compare_page

    found = compare_page(the_suite(), product, parse_instant(page, "--page"), column)
    if as_json:
        console.print_json([asdict(one) for one in found])
        return
    for one in found:
        span = f"{one.reference[0]} to {one.reference[-1]}" if one.reference else "none yet"
        title = f"{one.kind} of the page {one.page}; reference: {len(one.reference)} pages, {span}"
        console.print_table([_figures(each) for each in one.columns], title)
        if column:
            for each in one.columns:
                console.print_table(_bins(each), f"{each.column}: share of rows")


def _figures(one: Comparison) -> dict[str, Any]:
    shown = {"column": one.column, "rows": one.n_rows, "missing": one.missing, "before": one.missing_reference}
    return shown | {name: getattr(one, name) for name in _DISTANCES}


def _bins(one: Comparison) -> list[dict[str, Any]]:
    page, reference = sum(each.n_page for each in one.bins), sum(each.n_reference for each in one.bins)
    return [
        {
            "values": each.name,
            "page": each.n_page / page if page else None,
            "reference": each.n_reference / reference if reference else None,
        }
        for each in one.bins
    ]


def monitor(
    product: Annotated[str, typer.Argument(help="A product.")],
    make_profiles: Annotated[
        bool, typer.Option("--profile", help="Profile the published pages that have no profile yet, and nothing else.")
    ] = False,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="A", help="The first page, inclusive.", show_default="the newest"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="B", help="The last page, exclusive.", show_default="the newest")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="A column of monitor.segments.", show_default=False)
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="One column, with its drift.", show_default=False)
    ] = None,
    as_known_at: Annotated[
        str | None,
        typer.Option("--as-known-at", metavar="T", help="By what was known then; nothing is written."),
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Judge a product's published pages by those before them, and by the labels that have come.

    Examples:  almanac monitor flight_delay   |   ... --from 2013-10-01 --to 2014-01-01   |   ... --profile
    """
    from jobs.monitoring.profile import monitor as profile_pages

    opened = the_suite()
    profiled = [vars(one) for one in profile_pages(opened, product, make_profiles)]
    if make_profiles and as_json:
        console.print_json(profiled)
    elif make_profiles:
        console.print_table(profiled, "Published pages with profiles")
    else:
        _watch(opened, product, (first, until, as_known_at), (by, column), profiled, as_json)


def report(
    product: Annotated[str, typer.Argument(help="A product.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The HTML file to write.")],
    first: Annotated[
        str | None, typer.Option("--from", metavar="A", help="The first page, inclusive.", show_default="the first")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="B", help="The last page, exclusive.", show_default="the newest")
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write what was found of a product's pages as one HTML file with plots, which fetches nothing when opened.

    Examples:  almanac report flight_delay --output flights.html   |   ... --from 2013-12-01
    """
    from jobs.monitoring.report.report import write_report

    start, end = (
        parse_instant(text, option) if text else None for text, option in ((first, "--from"), (until, "--to"))
    )
    written = write_report(the_suite(), product, output, start, end)
    if as_json:
        console.print_json({"written": str(written), "bytes": written.stat().st_size})
    else:
        typer.echo(f"Wrote {written}.")


def skew(
    product: Annotated[str, typer.Argument(help="A product.")],
    requests: Annotated[str, typer.Option("--requests", metavar="SOURCE", help="The source of the log of requests.")],
    most: Annotated[
        str, typer.Option("--most", metavar="SHARE", help="The share of a column that may differ.", show_default="1%")
    ] = "1%",
    first: Annotated[
        str | None, typer.Option("--from", metavar="A", help="Asked then or later.", show_default="the first")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="B", help="Asked before.", show_default="the last")
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare what requests gave with what was recorded of the same entities; exit 1 if a column differs too often.

    Examples:  almanac skew late_order --requests requests   |   ... --most 5% --from 2026-03-01
    """
    from jobs.monitoring.skew import skew_of
    from warehouse.definitions.expect import parse_share
    from warehouse.errors import UsageError

    try:
        bound = parse_share(most)
    except ValueError as error:
        raise UsageError(f"--most: {error}.") from error
    start, end = (
        parse_instant(text, option) if text else None for text, option in ((first, "--from"), (until, "--to"))
    )
    found = skew_of(the_suite(), product, requests, start, end)
    rows = [vars(one) | {"share": one.share, "too_often": one.share > bound} for one in found]
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows, f"What requests gave of {product}, beside what was recorded")
    if any(one.share > bound for one in found):
        raise typer.Exit(1)


def _watch(
    opened: Suite,
    product: str,
    instants: Sequence[str | None],
    columns: tuple[str | None, str | None],
    profiled: list[dict[str, Any]],
    as_json: bool,
) -> None:
    """Judge pages and print what was found; `instants` are those of --from, --to and --as-known-at."""
    from dataclasses import asdict

    from jobs.cli.output.monitored import print_drift, print_fairness, print_performance
    from jobs.monitoring.judging.monitor import monitor_product
    from jobs.monitoring.performance.fairness import judge_fairness
    from jobs.monitoring.performance.judge import judge_performance
    from jobs.monitoring.performance.summary import summary

    options = ("--from", "--to", "--as-known-at")
    start, end, instant = (
        parse_instant(text, option) if text else None for text, option in zip(instants, options, strict=True)
    )
    by, column = columns
    judgement = judge_performance(opened, product, instant)
    performance = summary(judgement, start, end, by)
    fairness = judge_fairness(opened, product, judgement) if instant is None else []
    drift = monitor_product(opened, product, start, end, instant, column, by)
    if as_json:
        console.print_json(
            {"profiles": profiled, "drift": asdict(drift), "performance": vars(performance), "fairness": fairness}
        )
        return
    console.print_table(profiled, "Published pages with profiles")
    print_drift(drift, by)
    print_performance(performance, by)
    print_fairness(fairness)


@alarms.command("list")
def list_alarms(
    product: Annotated[str | None, typer.Argument(help="A product; default: all.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the alarms that are open: what, since when, evidence, effect, which columns. `almanac alarms` does the same.

    Examples:  almanac alarms   |   almanac alarms flight_delay --all
    """
    from dataclasses import asdict

    from jobs.cli.output.monitored import print_alarms
    from jobs.monitoring.decisions import alarms as list_them

    found = list_them(the_suite(runs_python=False), product, every)
    if as_json:
        console.print_json([asdict(one) for one in found])
        return
    print_alarms(found, "Alarms" if every else "Open alarms")
    if not found:
        typer.echo("There is no alarm." if every else "No alarm is open. `almanac alarms --all` lists those of before.")


@alarms.command("accept")
def accept_alarm(
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="An alarm.")],
    why: Annotated[str, typer.Option("--why", help="Why, for the record.")],
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Accept what an alarm found: the world is so now. It is not told again.

    Examples:  almanac alarms accept 3d409695 --why "the schedule of the winter"
    """
    from jobs.monitoring.decisions import accept

    _say(accept(the_suite(runs_python=False), alarm_id, why), as_json)


@alarms.command("close")
def close_alarm(
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="An alarm.")],
    why: Annotated[str, typer.Option("--why", help="Why, for the record.")],
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Close an alarm that has been dealt with.

    Examples:  almanac alarms close 3d409695 --why "the delivery was made again"
    """
    from jobs.monitoring.decisions import close

    _say(close(the_suite(runs_python=False), alarm_id, why), as_json)


def _say(decided: Alarm, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        console.print_json(asdict(decided))
    else:
        typer.echo(f"{decided.alarm_id} of {decided.product} is {decided.state}: {decided.reason}")
