"""Commands on definitions before and as they go live: check, deploy, deployments; lakes at a glance."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jobs.cli.options import DebugOption, JsonOption, ScratchOption, SuiteOption, the_suite
from jobs.cli.output import console

AgainstOption = Annotated[
    Path | None,
    typer.Option("--against", metavar="LAKE", help="Production: its suite's directory, or its lake.",
                 show_default="this suite's lake"),
]  # fmt: skip


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("check")(check)
    app.command("deploy")(deploy)
    app.command("deployments")(deployments)
    app.command("lakes")(lakes)


def check(
    against: AgainstOption = None,
    pages: Annotated[int, typer.Option("--pages", metavar="N", min=1, help="How many pages are made both ways.")] = 14,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Who writes them.", show_default="one trained for it where that is needed"),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write what was found into production's ledger, for `almanac deploy`.")
    ] = False,
    form: Annotated[
        Literal["text", "json", "markdown"], typer.Option("--format", help="How what was found is shown.")
    ] = "text",
    scratch: ScratchOption = None,
    as_json: JsonOption = False,
    suite: SuiteOption = None,
    debug: DebugOption = False,
) -> None:
    """Find out what these definitions would do to production: in a scratch lake, which goes afterwards.

    Production's lake is only read. Exit 1 if a bound of product.yaml (check:) does not hold, a page cannot be made, or
    one that was published would be kept back.

    Examples:  almanac check   |   almanac check --against /srv/shop --format markdown
    """
    from jobs.check.check import Order
    from jobs.check.check import check as run
    from jobs.check.production import find_lake
    from jobs.check.record import record_check
    from jobs.cli.output.checked import markdown, sections_of

    opened = the_suite()
    form = "json" if as_json else form
    result = run(opened, Order(against, pages, version, scratch), console.listener())
    if record:
        record_check(find_lake(against, opened.root), result)
    sections = sections_of(result)
    if form == "json":
        console.print_json({**asdict(result), "passed": result.passed, "failures": result.failures})
    elif form == "markdown":
        typer.echo(markdown(sections), nl=False)
    else:
        for section in sections:
            console.lines_of([section.title, *(f"  {line}" for line in section.lines)])
            for title, rows in section.tables:
                console.print_table(rows, title)
    if not result.passed:
        raise typer.Exit(1)


def deploy(
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why they go live.")],
    against: AgainstOption = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever speaks against it, which is kept.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Record in production's ledger that these definitions are live: by which commit, check and reason.

    Refused are files that are not committed, and definitions without a check of the last day that passed
    (almanac check --record). Going back is a deployment of an earlier commit.

    Examples:  almanac deploy --against /srv/shop --reason "pull request 12"
    """
    from jobs.check.deploy import deploy as run

    found = run(the_suite(runs_python=False), against, reason, force=force)
    one = found.deployment
    if as_json:
        console.print_json({**_deployment(vars(one)), "is_new": found.is_new})
        return
    if not found.is_new:
        typer.echo(f"These definitions are live already, as deployment {one.deployment}; nothing was changed.")
        return
    back = f", back to deployment {one.back_to}" if one.back_to is not None else ""
    typer.echo(f"Deployment {one.deployment}{back}: the definitions {one.definitions} are live.")
    console.lines_of(f"forced although: {problem}" for problem in one.problems)


def deployments(
    against: AgainstOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List which definitions went live when, by whom, from which commit and by which check, the newest first."""
    from jobs.check.deploy import list_deployments

    found = [_deployment(vars(one)) for one in list_deployments(the_suite(runs_python=False), against)]
    if as_json:
        console.print_json(found)
    elif not found:
        typer.echo("No definitions were deployed yet.")
    else:
        console.print_table(found, "Deployments (UTC)")


def _deployment(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out the texts, and where it stands in the lake."""
    return {name: value for name, value in record.items() if name not in ("files", "snapshot_id")}


def lakes(
    places: Annotated[list[Path], typer.Argument(metavar="LAKE ...", help="Suites' directories, or their lakes.")],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the products of many lakes: owners, versions, states, newest pages, failures and open alarms.

    Exit 1 if a lake cannot be read; the others are listed all the same.

    Examples:  almanac lakes /srv/*/lake   |   almanac lakes shop flights --json
    """
    from jobs.check.lakes import look_at_lakes
    from jobs.cli.options import now

    found = look_at_lakes(places, now)
    if as_json:
        console.print_json({"products": [vars(one) for one in found.products], "unread": found.unread})
    else:
        console.print_table([vars(one) for one in found.products], "Products (UTC)")
        for place, why in found.unread.items():
            typer.echo(f"{place}: {why}", err=True)
    if found.unread:
        raise typer.Exit(1)
