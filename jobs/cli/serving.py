"""Commands on bundles: serve, reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.options import DebugOption, SuiteOption, parse_instant, the_suite

if TYPE_CHECKING:
    from jobs.web.settings import ServeSettings


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("serve")(serve)
    app.command("reader")(reader)


def serve(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Bundles, or directories of bundles; no suite is needed then.", show_default="those of the suite"
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0: where it is free.")] = 8300,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen to; elsewhere than here with a token only.")
    ] = "127.0.0.1",
    processes: Annotated[int, typer.Option("--processes", min=1, max=64, help="How many processes answer.")] = 2,
    rate: Annotated[
        float, typer.Option("--rate", min=0, help="Keys a second for one client and process; 0: any number.")
    ] = 50_000,
    patience: Annotated[
        float, typer.Option("--patience", min=0.1, help="Seconds after which a client that is slow is cut off.")
    ] = 10,
    trust: Annotated[
        Path | None, typer.Option("--trust", help="A public key (PEM); bundles that it did not sign are refused.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--now", metavar="T", help="What to take the time for, for trials.", show_default="the clock"),
    ] = None,
    suite: SuiteOption = None,
    debug: DebugOption = False,
) -> None:
    """Answer look-ups over HTTP from bundles, the targets of `export:` that end in .bundle, until told to stop.

    Newer bundles are taken over as they come. It needs the extra `serve`, and no lake.

    Examples:  almanac serve   |   almanac serve /srv/bundles --processes 4 --trust bundles.pub
    """
    from dataclasses import replace

    from jobs.bundles.key_columns import micros
    from jobs.web.serve import guarded, require_packages
    from jobs.web.serve import serve as run

    require_packages()
    settings = guarded(replace(_settings(bundles or []), processes=processes, rate=rate, patience_s=patience), host)
    if trust is not None:
        settings = replace(settings, public_key=_public_key(trust))
    if at is not None:
        settings = replace(settings, now_us=micros(parse_instant(at, "--now")))
    run(settings, host, port, lambda address: typer.echo(f"Predictions are served at {address}"))


def _settings(bundles: list[Path]) -> ServeSettings:
    from jobs.web.settings import ServeSettings
    from warehouse.errors import NotFoundError, UsageError

    lacking = [path for path in bundles if not path.is_dir()]
    if lacking:
        raise NotFoundError(f"{lacking[0]} is no directory; name bundles, or directories of bundles.")
    named = [path for path in bundles if path.name.endswith(".bundle")]
    searched = [path for path in bundles if path not in named]
    if not bundles:
        opened = the_suite(runs_python=False)
        targets = [each for one in opened.definitions.products.values() for each in one.header.export.values()]
        named = [opened.root / each.to for each in targets if each.kind == "bundle"]
        if not named:
            raise UsageError(
                "no product of the suite has a bundle to serve: name one under `export` in a product.yaml, such as"
                " `serving: {to: out/NAME.bundle}`, and run `almanac export`."
            )
    absolute = [tuple(path.resolve() for path in paths) for paths in (named, searched)]
    return ServeSettings(absolute[0], absolute[1], Path())


def _public_key(path: Path) -> str:
    from jobs.bundles.signatures import is_signed_by
    from warehouse.errors import UsageError

    try:
        text = path.read_text(encoding="ascii")
        is_signed_by(text, "", "")
    except (OSError, ValueError) as error:
        raise UsageError(f"--trust {path}: {error}") from error
    return text


def reader(debug: DebugOption = False) -> None:
    """Print the reader of bundles as one Python file, to copy to where there is no network.

    Examples:  almanac reader > almanac_bundles.py
    """
    from jobs.bundles.one_file import one_file

    typer.echo(one_file(), nl=False)
