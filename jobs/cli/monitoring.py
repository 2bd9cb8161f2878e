"""Commands that watch pages: profile, monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.monitoring.comparison import Comparison

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
        bool, typer.Option("--profile", help="Profile the published pages that have no profile yet.")
    ] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell how many of a product's published pages have profiles, and make those that lack.

    Examples:  almanac monitor flight_delay   |   almanac monitor flight_delay --profile
    """
    from jobs.monitoring.profile import monitor as monitor_product

    found = [vars(one) for one in monitor_product(the_suite(), product, make_profiles)]
    if as_json:
        console.print_json(found)
    else:
        console.print_table(found, "Published pages with profiles")
