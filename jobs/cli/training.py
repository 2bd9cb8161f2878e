"""Commands on models: train."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.options import AsOfOption, DebugOption, JsonOption, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.training.train import TrainResult


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("train")(train)


def train(
    product: Annotated[str, typer.Argument(help="A product.")],
    as_of: AsOfOption = None,
    window: Annotated[
        str | None,
        typer.Option("--window", metavar="90d", help="Only the pages of so much time before.", show_default=False),
    ] = None,
    stateful: Annotated[
        bool, typer.Option("--stateful", help="Continue a version on what has become known since.")
    ] = False,
    version: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="The one to continue.", show_default="the newest")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Do not try a stateless training beside it.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the record.", show_default=False)] = None,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Register it, and leave live what is.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a model version on the labels known before an instant (default: now), or register a rule in SQL.

    The newest fifth of the pages is held out for validation. The version goes live if the product's gates pass; of a
    product without gates the first version does, and later ones are promoted by a person.

    Examples:  almanac train flight_delay --as-of 2013-10-01   |   almanac train flight_delay --window 90d
    """
    from jobs.training.register import Order
    from jobs.training.train import Continuing
    from jobs.training.train import train as run
    from warehouse.errors import UsageError

    if (version or alone) and not stateful:
        raise UsageError("--from and --alone go with --stateful.")
    result = run(
        the_suite(),
        product,
        parse_instant(as_of, "--as-of") if as_of else None,
        console.listener(),
        window=_duration(window, "--window"),
        stateful=Continuing(version, alone) if stateful else None,
        order=Order(reason, may_promote=not no_promote),
    )
    model = result.model
    if as_json:
        gates = [vars(gate) for gate in result.verdict.gates]
        told = {name: getattr(result, name) for name in ("went_live", "is_new", "why", "beside")}
        console.print_json({**vars(model), **told, "gates": gates})
        return
    _print_result(result)


def _print_result(result: TrainResult) -> None:
    model = result.model
    if not result.is_new:
        typer.echo(f"{model.product}: {result.why}; nothing was registered.")
        return
    figures = {
        "version": model.version,
        "live": result.went_live,
        "label cut-off": model.label_cutoff,
        "pages": model.n_pages,
        "rows": model.n_rows,
        "features": len(model.features),
        "scorer": model.scorer,
        "seconds": result.wall_s,
    }
    console.print_table([figures], f"{'Registered' if model.is_rule else 'Trained'} {model.product}")
    prefix = "validation_"
    validation = {n.removeprefix(prefix): value for n, value in model.metrics.items() if n.startswith(prefix)}
    if validation:
        console.print_table([validation], "Validation: the newest pages, by a model that had not seen them")
    console.print_table(result.beside, "Both ways, on the same held-out rows")
    console.print_table(
        [{"gate": gate.gate, "passed": gate.passed, "found": gate.message} for gate in result.verdict.gates], "Gates"
    )
    if result.went_live:
        typer.echo(f"{model.version} is live for the pages from {result.live_from} on: {result.why}.")
    else:
        typer.echo(f"{model.version} is registered and not live: {result.why}. What was live stays.")


def _duration(text: str | None, option: str) -> timedelta | None:
    """Read a duration as people write it in definitions."""
    from warehouse.definitions.durations import parse_duration
    from warehouse.errors import UsageError

    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from error
