"""Commands on ranges of pages: plan, backfill, pages."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import (
    DebugOption,
    EngineOption,
    JsonOption,
    ShardsOption,
    SuiteOption,
    parse_instant,
    the_suite,
)
from jobs.cli.output import console
from jobs.cli.output.interrupts import Interrupts
from jobs.cli.pages import judge_if_the_clock_asks
from warehouse.errors import Dropped
from warehouse.wording import counted

if TYPE_CHECKING:
    from jobs.pages.backfill import BackfillOrder, BackfillPlan
    from jobs.pages.costs import Cost
    from jobs.pages.make import PagesResult
    from jobs.pages.plan import CheckWay, Group, Plan, Way
    from jobs.pages.states import PageState
    from jobs.suite import Suite

#: How many stretches of pages are shown for people; --json gives all.
_SPANS_SHOWN = 40

FromOption = Annotated[
    str | None, typer.Option("--from", metavar="A", help="The first instant, inclusive.", show_default="first page")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="B", help="The last instant, exclusive.", show_default="now")
]


class Only(StrEnum):
    """What `--only` takes."""

    missing = "missing"
    failed = "failed"
    stale = "stale"
    rolled_back = "rolled-back"
    all = "all"


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("plan")(plan)
    app.command("backfill")(backfill)
    app.command("pages")(pages)


def plan(
    product: Annotated[str | None, typer.Argument(help="A product.", show_default="all")] = None,
    first: FromOption = None,
    until: ToOption = None,
    features_only: Annotated[bool, typer.Option("--features-only", help="Of feature pages alone.")] = False,
    engine: EngineOption = None,
    shards: ShardsOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which pages are missing, failed or stale, and why; how they would be made, and at what cost.

    Changes nothing.

    Examples:  almanac plan   |   almanac plan flight_delay --from 2013-10-01 --to 2013-11-01
    """
    from jobs.pages.plan import plan as work_out
    from jobs.pages.shards.choice import with_engine

    opened = the_suite(runs_python=False)
    start, end = _instant(first, "--from"), _instant(until, "--to")
    names = [product] if product else list(opened.definitions.products)
    opened = with_engine(opened, names, engine, shards)
    plans = [work_out(opened, name, start, end, features_only=features_only) for name in names]
    if as_json:
        console.print_json([asdict(found) for found in plans])
        return
    for found in plans:
        _print_plan(found)


def _print_plan(plan: Plan) -> None:
    title = f"{plan.product}: {counted(plan.n_pages, 'page')} from {plan.first} to {plan.last} (UTC)"
    _print_groups(plan.groups, title)
    _print_ways(plan.ways, "How feature groups are made where there are many pages")
    if plan.shard_ways:
        console.print_table([asdict(way) for way in plan.shard_ways], "How its queries are asked in shards")
    if plan.check_ways:
        _print_ways(plan.check_ways, "How its own checks are run there")
    typer.echo(
        f"almanac backfill {plan.product} would make {_cost(plan.n_wanted, plan.cost)}; up to"
        f" {counted(plan.pages_per_commit, 'page')} a commit."
    )
    if plan.n_without_model:
        typer.echo(f"No version was in effect at {plan.n_without_model:,} more; see --model and --hindsight.")
    for why in plan.unfit:
        typer.echo(f"{why}. No page can be made where it is live, until another version is: see `almanac status`.")
    if plan.n_stale:
        typer.echo(f"With --only stale it would make {_cost(plan.n_stale, plan.cost_of_stale)}.")
    if plan.n_rolled_back:
        typer.echo(
            f"{counted(plan.n_rolled_back, 'page was', 'pages were')} rolled back, which stays so;"
            " --only rolled-back undoes that."
        )


def _print_ways(ways: Sequence[Way | CheckWay], title: str) -> None:
    """Print ways. That there is no quicker one is no fault, so the column says what it is about."""
    rows = [{**asdict(way), "no quicker way, since": way.why} for way in ways]
    console.print_table([{name: value for name, value in row.items() if name != "why"} for row in rows], title)


def _print_groups(groups: Sequence[Group], title: str) -> None:
    rows = [
        {"state": group.state, "pages": span.n_pages, "first": span.first, "last": span.last, "why": group.why}
        for group in groups
        for span in group.spans
    ]
    console.print_table(rows[:_SPANS_SHOWN], title)
    if len(rows) > _SPANS_SHOWN:
        typer.echo(f"and {len(rows) - _SPANS_SHOWN} more stretches of pages; --json gives all")


def _cost(n_pages: int, cost: Cost) -> str:
    if not n_pages:
        return "no page"
    pages, by = counted(n_pages, "page"), f"by {counted(cost.n_runs, 'past run')}"
    if cost.rows is None:
        return f"{pages}; what that costs is not known before the first run"
    if cost.seconds is None:
        return (
            f"{pages}, about {counted(cost.rows, 'row')}, in {cost.at_least:,.0f} to {cost.at_most:,.0f} s ({by}, of"
            " another size: what of it is fixed, and what each page takes, is known once larger ones were made)"
        )
    return f"{pages}, about {counted(cost.rows, 'row')}, in about {cost.seconds:,.1f} s ({by})"


def backfill(
    products: Annotated[list[str], typer.Argument(help="Products; several share what they ask alike.")],
    first: Annotated[str, typer.Option("--from", metavar="A", help="The first instant, inclusive.")],
    until: Annotated[str, typer.Option("--to", metavar="B", help="The last instant, exclusive.")],
    only: Annotated[Only | None, typer.Option("--only", help="Which pages.", show_default="missing and failed")] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="VERSION", help="live-then: for each page the version in effect then.")
    ] = "live-then",
    hindsight: Annotated[
        bool, typer.Option("--hindsight", help="Let a version write pages before its label cut-off; marked.")
    ] = False,
    features_only: Annotated[bool, typer.Option("--features-only", help="Make features, and score nothing.")] = False,
    reverse: Annotated[bool, typer.Option("--reverse", help="The newest page first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and do nothing.")] = False,
    pages_per_commit: Annotated[
        int | None, typer.Option("--pages-per-commit", metavar="N", min=1, show_default="what the memory budget holds")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Pages at a time.", show_default="all cores")
    ] = None,
    engine: EngineOption = None,
    shards: ShardsOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a range of pages: only what is left of it, batch by batch, each in one commit.

    Run it again after an interruption, or once what failed has been put right: what is published stays. Of several
    products, each feature group that they share is computed once.

    Examples:  almanac backfill flight_delay --from 2013-10-01 --to 2014-01-01   |   ... --only stale --dry-run
    """
    from jobs.pages.backfill import BackfillOrder, prepare_backfill
    from jobs.pages.shards.choice import with_engine

    opened = with_engine(the_suite(runs_python=False, makes_pages=not dry_run), products, engine, shards)
    orders = [
        BackfillOrder(
            product=product,
            start=_instant(first, "--from"),
            end=_instant(until, "--to"),
            only=only.value if only else None,
            version=None if model == "live-then" else model,
            hindsight=hindsight,
            features_only=features_only,
            reverse=reverse,
            pages_per_commit=pages_per_commit,
            **({"workers": workers} if workers else {}),
        )
        for product in dict.fromkeys(products)
    ]
    prepared = [prepare_backfill(opened, order) for order in orders]
    if dry_run:
        return _report_prepared(prepared, as_json)
    made = _make(opened, orders, prepared)
    judge_if_the_clock_asks(opened, [] if features_only else products)
    return _report_all(orders, prepared, made, as_json)


def _report_prepared(prepared: Sequence[BackfillPlan], as_json: bool) -> None:
    if as_json:
        _print_json([_prepared_json(one) for one in prepared])
        return
    for one in prepared:
        _print_prepared(one)


def _report_all(
    orders: Sequence[BackfillOrder], prepared: Sequence[BackfillPlan], results: Sequence[PagesResult], as_json: bool
) -> None:
    if as_json:
        _print_json([_result_json(*one) for one in zip(orders, prepared, results, strict=True)])
    codes = [_report(*one, as_json) for one in zip(orders, prepared, results, strict=True)]
    if n_left := sum(len(result.left) for result in results):
        _say_how_to_go_on(f"{counted(n_left, 'page is', 'pages are')} left.")
    if max(codes):
        raise typer.Exit(max(codes))


def _print_json(found: list[dict[str, Any]]) -> None:
    """Print one product's figures, or a list of several products'."""
    console.print_json(found[0] if len(found) == 1 else found)


def _make(opened: Suite, orders: Sequence[BackfillOrder], prepared: Sequence[BackfillPlan]) -> list[PagesResult]:
    """Make the pages of each product in turn, until asked to stop."""
    from jobs.pages.backfill import run_backfill
    from jobs.pages.batches import sharing_rows

    names = [order.product for order in orders]
    with Interrupts("the batch in hand", _say_it_was_dropped) as interrupts:
        try:
            with sharing_rows(opened, names) as shared:
                return [
                    run_backfill(
                        opened, order, one, console.listener(one.cost.seconds), interrupts.asked_to_stop, shared
                    )
                    for order, one in zip(orders, prepared, strict=True)
                ]
        except (KeyboardInterrupt, Dropped, RuntimeError) as error:
            if not interrupts.asked_to_stop():
                raise
            _say_it_was_dropped()
            raise typer.Exit(130) from error


def _say_it_was_dropped() -> None:
    _say_how_to_go_on("The batch in hand was dropped; what was committed before stays.")


def _instant(text: str | None, option: str) -> datetime | None:
    return parse_instant(text, option) if text else None


def _prepared_json(prepared: BackfillPlan) -> dict[str, Any]:
    return {
        "product": prepared.product.name,
        "pages": prepared.pages,
        "groups": [asdict(group) for group in prepared.groups],
        "rolled_back": prepared.n_rolled_back,
        "left_rolled_back": prepared.n_left_rolled_back,
        "models": prepared.models,
        "pages_per_commit": prepared.pages_per_commit,
        "cost": asdict(prepared.cost),
    }


def _print_prepared(prepared: BackfillPlan) -> None:
    name = prepared.product.name
    _print_groups(
        prepared.groups, f"{name}: of {counted(prepared.n_pages, 'page')} it would make {len(prepared.pages):,}"
    )
    console.print_table([{"version": name, "pages": count} for name, count in prepared.models.items()], "Written by")
    typer.echo(f"That is {_cost(len(prepared.pages), prepared.cost)}. Nothing was changed.")


def _figures(order: BackfillOrder, prepared: BackfillPlan, result: PagesResult) -> dict[str, Any]:
    made = [record for record in result.published if record.kind == order.kind]
    return {
        "product": order.product,
        "pages_in_range": prepared.n_pages,
        "wanted": len(prepared.pages),
        "published": len(made),
        "rows": sum(record.n_rows for record in made),
        "made_by_others": len(result.by_others),
        "left_rolled_back": prepared.n_left_rolled_back,
        "rejected": len(result.rejected),
        "failed": len(result.failed),
        "left": len(result.left),
    }


def _result_json(order: BackfillOrder, prepared: BackfillPlan, result: PagesResult) -> dict[str, Any]:
    lists = {"rejected_pages": sorted(result.rejected), "failed_pages": result.failed, "run_ids": result.run_ids}
    errors = {page.isoformat(): error for page, error in sorted(result.failed.items())}
    return {**_figures(order, prepared, result), **lists, "failed_pages": errors}


def _report(order: BackfillOrder, prepared: BackfillPlan, result: PagesResult, as_json: bool) -> int:
    """Say what became of one product's pages; give the exit code that this comes to."""
    if not as_json:
        console.print_table([_figures(order, prepared, result)], "Backfilled")
    for check in result.audit.complaints()[:_SPANS_SHOWN]:
        typer.echo(f"{check.severity}: {check.as_of} {check.name}: {check.message}", err=True)
    if result.left:
        return 130
    if result.rejected or result.failed:
        kept_back = counted(len(result.rejected), "page was", "pages were")
        say = f"almanac: {kept_back} kept back by a check, {len(result.failed)} failed;"
        typer.echo(
            f"{say} what was published for them before is still there. See: almanac plan {order.product}", err=True
        )
        return 1
    return 0


def _say_how_to_go_on(what: str) -> None:
    typer.echo(f"almanac: stopped. {what} To go on: almanac {shlex.join(sys.argv[1:])}", err=True)


def pages(
    product: Annotated[str, typer.Argument(help="A product.")],
    first: FromOption = None,
    until: ToOption = None,
    features_only: Annotated[bool, typer.Option("--features-only", help="Feature pages alone.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="One line a page, on a terminal too.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the state of each page: a line a page, or a calendar on a terminal.

    Examples:  almanac pages flight_delay --from 2013-10-01   |   almanac pages flight_delay --json
    """
    from jobs.cli.output.calendar import print_calendar
    from jobs.pages.states import grid_pages, page_states

    opened = the_suite(runs_python=False)
    found = opened.definitions.product(product)
    wanted = grid_pages(found, _instant(first, "--from"), _instant(until, "--to"), opened.clock())
    states = page_states(opened, found, wanted, "features" if features_only else "predictions")
    if as_json:
        console.print_json([_page_row(state) for state in states])
    elif sys.stdout.isatty() and not lines:
        print_calendar(product, states)
    else:
        console.lines_of(_page_line(state) for state in states)


def _page_row(state: PageState) -> dict[str, Any]:
    record = state.record
    return {
        "as_of": state.as_of,
        "state": state.state,
        "stale": state.stale,
        "why": state.why,
        "model_in_effect": state.model,
        "model": record.model_version if record else None,
        "rows": record.n_rows if record else None,
        "hindsight": record.hindsight if record else None,
        "recorded_at": record.recorded_at if record else None,
        "snapshot": record.snapshot_id if record else None,
        "run": record.run_id if record else None,
        "published_snapshot": state.published.snapshot_id if state.published else None,
        "rolled_back_to": state.rolled_back.to_snapshot if state.rolled_back else None,
    }


def _page_line(state: PageState) -> str:
    record = state.record
    figures = f"{record.n_rows:>8,}  {record.model_version or '-':<8}" if record else f"{'':>8}  {'-':<8}"
    return f"{state.as_of:%Y-%m-%dT%H:%M}  {state.shown:<11}  {figures}  {state.why or ''}".rstrip()
