"""Commands on what was and would be: diff, rollback, audit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.pages.diff import Diff
    from jobs.pages.diff_pages import PagesDiff
    from warehouse.pages.side_by_side import Side

PageOption = Annotated[
    str, typer.Option("--page", metavar="T", help="The page's as_of: 2013-10-01T22:00 (UTC) or with an offset.")
]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("diff")(diff)
    app.command("rollback")(rollback)
    app.command("audit")(audit)


def diff(
    product: Annotated[str, typer.Argument(help="A product.")],
    page: PageOption,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="SNAPSHOT|MODEL",
            help="A snapshot's number, or a version.",
            show_default="what the newest publication replaced",
        ),
    ] = None,
    against_page: Annotated[
        str | None,
        typer.Option("--against-page", metavar="S", help="Another page, such as yesterday's.", show_default=False),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="COLUMN", help="What rows of two pages are matched by.", show_default="the product's keys"
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Entities listed of each fate.")] = 20,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which predictions of a page changed since a snapshot, or would change under another version.

    With --against-page, compare it with another page: which rows changed, and which of their features differ.

    Changes nothing. The largest change comes first.

    Examples:  almanac diff late_order --page 2026-03-10T18:00   |   ... --against v2 --limit 5
    """
    from jobs.pages.diff import diff as compare
    from jobs.pages.diff_pages import diff_pages
    from warehouse.errors import UsageError

    if against_page is not None:
        if against is not None:
            raise UsageError("--against compares with another state of the page, --against-page with another page.")
        instants = parse_instant(page, "--page"), parse_instant(against_page, "--against-page")
        pages = diff_pages(the_suite(runs_python=False), product, *instants, key or (), limit)
        if as_json:
            console.print_json(asdict(pages))
        else:
            _print_pages(pages)
        return
    if key:
        raise UsageError("--key says how rows of two pages are matched; it goes with --against-page.")
    found = compare(the_suite(), product, parse_instant(page, "--page"), against, limit)
    if as_json:
        console.print_json(asdict(found))
    else:
        _print_diff(found)


def _print_diff(found: Diff) -> None:
    figures = {
        "before": _named(found.before),
        "after": _named(found.after),
        "same": found.n_same,
        "changed": found.n_changed,
        "came": found.n_came,
        "went": found.n_went,
        "largest_change": found.largest_change,
        "mean_change": found.mean_change,
    }
    console.print_table([figures], f"{found.product}, the page {found.as_of} (UTC)")
    console.lines_of(found.why)
    changed = [_contributions_in_words(row) for row in found.changed]
    console.print_table(changed, _heading("changed", found.n_changed, len(changed)), as_is=True)
    console.print_table(found.came, _heading("came", found.n_came, len(found.came)), as_is=True)
    console.print_table(found.went, _heading("went", found.n_went, len(found.went)), as_is=True)


def _print_pages(found: PagesDiff) -> None:
    figures = {
        "before": f"{found.against_page} ({found.before.model_version})",
        "after": f"{found.page} ({found.after.model_version})",
        "same": found.n_same,
        "changed": found.n_changed,
        "came": found.n_came,
        "went": found.n_went,
        "largest_change": found.largest_change,
        "mean_change": found.mean_change,
    }
    console.print_table([figures], f"{found.product}, two pages by {', '.join(found.keys)} (UTC)")
    console.lines_of(found.why)
    console.print_table(found.features[:20], "Features that differ")
    rows = [_contributions_in_words({**row, "features": _in_words(row["features"])}) for row in found.changed]
    console.print_table(rows, _heading("changed", found.n_changed, len(rows)), as_is=True)
    console.print_table(found.came, _heading("came", found.n_came, len(found.came)), as_is=True)
    console.print_table(found.went, _heading("went", found.n_went, len(found.went)), as_is=True)


def _in_words(pairs: dict[str, list[Any]]) -> str:
    return "; ".join(
        f"{name} {console.show(before)} -> {console.show(after)}" for name, (before, after) in pairs.items()
    )


def _contributions_in_words(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "contributions": _in_words(row["contributions"])} if "contributions" in row else row


def _named(side: Side) -> str:
    return f"snapshot {side.snapshot_id} ({side.model_version})" if side.snapshot_id else f"by {side.model_version}"


def _heading(what: str, count: int, shown: int) -> str:
    return f"Entities that {what}" + (f": the first {shown} of {count:,}" if shown < count else "")


def rollback(
    product: Annotated[str, typer.Argument(help="A product.")],
    page: PageOption,
    to: Annotated[int, typer.Option("--to", metavar="SNAPSHOT", min=0, help="The snapshot's number.")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for the ledger.")
    ] = "no reason was given",
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a page again what it was at a snapshot, in one commit.

    Backfills leave it so until they are run with --only rolled-back, or all.

    Examples:  almanac rollback late_order --page 2026-03-10T18:00 --to 41 --reason "orders of two depots were missing"
    """
    from jobs.pages.rollback import rollback as roll_back

    done = roll_back(the_suite(runs_python=False), product, parse_instant(page, "--page"), to, reason)
    if as_json:
        console.print_json(asdict(done))
        return
    row = {
        "page (UTC)": done.page.as_of,
        "rows": done.page.n_rows,
        "model": done.page.model_version,
        "until now rows": done.replaced.n_rows,
        "until now model": done.replaced.model_version,
        "snapshot": done.page.snapshot_id,
        "run": done.page.run_id,
    }
    console.print_table([row], f"{product}: {done.rollback.said}")
    if not done.with_features:
        typer.echo("The features that its predictions came from are no longer kept; those that are there stay.")
    typer.echo(f"What that changed: almanac diff {product} --page {page}")


def audit(
    product: Annotated[str | None, typer.Argument(help="A product.", show_default="all, and jobs")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="A", help="From this instant on.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="B", help="Before this instant.")] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show who did what, when, why, and from which host: promotions, rollbacks, alarms, pauses; the oldest first.

    Examples:  almanac audit   |   almanac audit flight_delay --from 2013-10-01 --json
    """
    from jobs.suites.audit import audit as look

    start = parse_instant(first, "--from") if first else None
    end = parse_instant(until, "--to") if until else None
    found = look(the_suite(runs_python=False), product, start, end)
    if as_json:
        console.print_json([vars(deed) for deed in found])
        return
    console.print_table([vars(deed) for deed in found], "Who did what (UTC)")
    if not found:
        typer.echo("Nobody has decided anything yet.")
