"""Commands that watch pages: profile, monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.monitoring.comparison import Comparison
    from jobs.monitoring.performance.records import Performance

_DISTANCES = ("psi", "by_chance", "js", "hellinger", "ks", "wasserstein", "wasserstein_scaled")


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("profile")(profile)
    app.command("monitor")(monitor)


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
        typer.Option("--from", metavar="A", help="The first page, inclusive.", show_default="the last 14 pages"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="B", help="The last page, exclusive.", show_default="the newest")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="A column of monitor.segments.", show_default=False)
    ] = None,
    as_known_at: Annotated[
        str | None,
        typer.Option("--as-known-at", metavar="T", help="Judge by what was known then; nothing is written."),
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Judge a product's published pages by the labels that have come, and tell how many have profiles.

    Examples:  almanac monitor flight_delay   |   ... --from 2013-10-01 --to 2014-01-01   |   ... --profile
    """
    from jobs.monitoring.performance.judge import judge_performance
    from jobs.monitoring.performance.summary import summary
    from jobs.monitoring.profile import monitor as monitor_product

    opened = the_suite()
    profiled = [vars(one) for one in monitor_product(opened, product, make_profiles)]
    if make_profiles:
        if as_json:
            console.print_json(profiled)
        else:
            console.print_table(profiled, "Published pages with profiles")
        return
    start, end, instant = (
        parse_instant(text, option) if text else None
        for text, option in ((first, "--from"), (until, "--to"), (as_known_at, "--as-known-at"))
    )
    found = summary(judge_performance(opened, product, instant), start, end, by)
    if as_json:
        console.print_json({"profiles": profiled, "performance": vars(found)})
        return
    console.print_table(profiled, "Published pages with profiles")
    console.print_table([_of_page(one) for one in found.pages], "Performance")
    console.print_table(found.segments, f"Performance by {by}")
    console.lines_of(found.notes)


def _of_page(one: Performance) -> dict[str, Any]:
    """Choose what of a judgement fits into a terminal; `ledger.performance` has all of it."""
    metric = next((name for name in ("roc_auc", "mae", "macro_f1") if name in one.metrics), None)
    return {
        "page": one.as_of,
        "version": one.model_version,
        "rows": one.n_rows,
        "labelled": one.n_labelled,
        "loss": one.loss,
        "expected": one.expected_loss,
        "excess": one.excess,
        "metric": f"{metric} {one.metrics[metric]:.4f}" if metric else None,
        "evidence": None if one.evidence is None else f"{one.evidence:.3g} of {one.bound:.0f}",
        "alarm": "begins" if one.alarm else "open" if one.alarm_open else None,
        "estimate": None if one.estimate is None else f"{one.estimate_low:.4f} to {one.estimate_high:.4f}",
    }
