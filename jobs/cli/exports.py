"""Commands on what is handed out of the lake: export, exports, serve, reader, web."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.options import DebugOption, JsonOption, State, SuiteOption, now, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.web.settings import ServeSettings


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("export")(export)
    app.command("exports")(exports)
    app.command("serve")(serve)
    app.command("reader")(reader)
    app.command("web")(web)


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
    log_requests: Annotated[
        Path | None,
        typer.Option("--log-requests", help="A directory: what requests give of `request:` is written there."),
    ] = None,
    log_at_most: Annotated[
        str, typer.Option("--log-at-most", help="How large that directory may become, such as 500 MB.")
    ] = "1 GB",
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
    if log_requests is not None:
        settings = replace(settings, log_requests=log_requests.resolve(), log_bytes=_bytes_of(log_at_most))
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


def _bytes_of(text: str) -> int:
    """Read a size such as 500 MB."""
    import re

    from warehouse.errors import UsageError

    found = re.fullmatch(r"(\d{1,9}) ?([kMG]?)B", text.strip())
    if not found:
        raise UsageError(f"--log-at-most {text}: a size is expected, such as 500 MB or 1 GB.")
    return int(found[1]) * int(1000 ** "_kMG".index(found[2] or "_"))


def _public_key(path: Path) -> str:
    from jobs.bundles.signatures import is_signed_by
    from warehouse.errors import UsageError

    try:
        text = path.read_text(encoding="ascii")
        is_signed_by(text, "", "")
    except (OSError, ValueError) as error:
        raise UsageError(f"--trust {path}: {error}") from error
    return text


def reader(
    javascript: Annotated[
        bool, typer.Option("--javascript", help="The reader for browsers, of bundles with plain JSON.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Print the reader of bundles as one Python file, to copy to where there is no network.

    Examples:  almanac reader > almanac_bundles.py   |   almanac reader --javascript > almanac_bundles.js
    """
    from jobs.bundles.one_file import javascript_file, one_file

    typer.echo(javascript_file() if javascript else one_file(), nl=False)


def web(
    export: Annotated[
        Path | None, typer.Option("--export", metavar="DIR", help="Write the pages as files instead.")
    ] = None,
    pages: Annotated[
        int, typer.Option("--pages", metavar="N", min=0, help="With --export: a file for each of the newest N pages.")
    ] = 400,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0 for a free one.")] = 8400,
    host: Annotated[str, typer.Option("--host", help="Other than this machine: with a token.")] = "127.0.0.1",
    at: Annotated[
        str | None, typer.Option("--now", metavar="T", help="What to take the time for.", show_default="the clock")
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the suite in a browser: products, pages, versions, alarms, rollouts, the clock, sources, costs.

    It reads, and writes nothing to the suite. Each page is of one state of the lake, whatever jobs do meanwhile.

    Examples:  almanac web   |   almanac web --export site --pages 90
    """
    from jobs.bundles.key_columns import micros
    from jobs.web.site.serve_site import require_packages, serve_site

    require_packages(to_serve=export is None)
    instant = parse_instant(at, "--now") if at else None
    clock = now if instant is None else lambda: instant
    if export is None:
        now_us = micros(instant) if instant else None
        serve_site(State.suite, clock, host, port, lambda at: typer.echo(f"The suite is shown at {at}"), now_us)
        return
    from jobs.web.site.export import export_site
    from jobs.web.site.opened import OpenedSuite

    done = export_site(OpenedSuite(State.suite.resolve(), clock), export, pages)
    if as_json:
        console.print_json(vars(done))
    else:
        typer.echo(f"{done.n_files:,} files of snapshot {done.snapshot_id}; open {done.directory / 'index.html'}")
