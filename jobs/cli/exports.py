"""Commands on targets outside of the lake: export, exports."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli.options import DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("export")(export)
    app.command("exports")(exports)


def export(
    product: Annotated[str, typer.Argument(help="A product with `export` in its product.yaml.")],
    target: Annotated[
        str | None, typer.Argument(help="One of its targets; it gets the newest publication even if none waits.")
    ] = None,
    page: Annotated[
        str | None,
        typer.Option("--page", metavar="T", help="Only this page, for targets that hold pages.", show_default=False),
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Hand publications that wait to the targets of a product: databases and files that applications read.

    A target gets a publication whole or not at all, and once: what it holds already is not written again. One that
    fails keeps what it held, delays no other, and the command ends with 1.

    Examples:  almanac export late_order   |   almanac export late_order files --page 2026-03-10T18:00
    """
    from jobs.export.export import export as run
    from jobs.export.export import failed_text

    result = run(the_suite(), product, target, parse_instant(page, "--page") if page else None)
    if as_json:
        console.print_json(asdict(result))
    else:
        rows = [
            {
                "target": sent.target,
                "page (UTC)": sent.as_of,
                "snapshot": sent.snapshot_id,
                "rows": sent.n_rows,
                "where": sent.place,
                "": "was there already" if sent.was_there else "",
            }
            for sent in result.sent
        ]
        console.print_table(rows, f"Exported of {product}")
        if not rows and not result.failed:
            typer.echo(f"Nothing of {product} waits to be exported.")
    for text in failed_text(result.failed):
        typer.echo(f"almanac: {product} was not exported to {text}", err=True)
    if result.failed:
        raise typer.Exit(1)


def exports(
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Of each target, the newest N that wait no longer.")
    ] = 5,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which publication went to which target, what waits, and why.

    Examples:  almanac exports   |   almanac exports --limit 50 --json
    """
    from jobs.export.listing import export_states

    states = export_states(the_suite(runs_python=False), limit)
    if as_json:
        console.print_json([asdict(state) for state in states])
        return
    rows = [
        {
            "product": state.product,
            "target": state.target,
            "page (UTC)": state.page,
            "snapshot": state.snapshot_id,
            "state": state.state,
            "rows": state.n_rows,
            "since (UTC)": state.since,
            "why": state.why,
        }
        for state in states
    ]
    console.print_table(rows, "Exports")
    if not rows:
        typer.echo("No publication went to a target yet, and none waits; targets stand in product.yaml, as `export`.")
