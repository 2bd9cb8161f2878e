"""Commands on models: train."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import console
from jobs.cli.options import AsOfOption, DebugOption, JsonOption, SuiteOption, parse_instant, the_suite


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("train")(train)


def train(
    product: Annotated[str, typer.Argument(help="A product.")],
    as_of: AsOfOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a model version on the labels known before an instant (default: now).

    The last fifth of the pages is held out for validation. The first version of a product goes live by itself.

    Examples:  almanac train flight_delay --as-of 2013-10-01
    """
    from jobs.train import train as run

    result = run(the_suite(), product, parse_instant(as_of, "--as-of") if as_of else None, console.listener())
    model = result.model
    if as_json:
        console.print_json({**vars(model), "went_live": result.went_live})
        return
    console.print_table(
        [
            {
                "version": model.version,
                "live": result.went_live,
                "label cut-off": model.label_cutoff,
                "pages": model.n_pages,
                "rows": model.n_rows,
                "features": len(model.features),
                "scorer": model.scorer,
                "seconds": result.wall_s,
            }
        ],
        f"Trained {product}",
    )
    validation = {
        name.removeprefix("validation_"): value
        for name, value in model.metrics.items()
        if name.startswith("validation_")
    }
    if validation:
        console.print_table([validation], "Validation: the last fifth of the pages, by a model that had not seen them")
    if not result.went_live:
        typer.echo(f"{model.version} is registered and not live; the live version keeps writing the pages.")
