"""Commands on what a lake keeps: backup, backups, restore; repair, where there is no backup; and erase."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.options import DebugOption, JsonOption, ScratchOption, State, SuiteOption, the_suite
from jobs.cli.output import console
from warehouse.errors import UsageError
from warehouse.wording import counted


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("backup")(backup)
    app.command("backups")(backups)
    app.command("restore")(restore)
    app.command("repair")(repair)
    app.command("erase")(erase)


_Directory = Annotated[Path, typer.Argument(help="Where the backups are: a directory on another disk.")]


def backup(
    directory: _Directory,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="N", min=1, help="Delete all states but the newest N.", show_default="all"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every file of the lake again, so as to find damage.")
    ] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Add the lake's state to a store of backups, while jobs go on; only what is new is copied.

    The suite's definitions are not part of it: keep them in version control. Exit 1 if files of the lake are
    missing or damaged; the state is written all the same.

    Examples:  almanac backup /mnt/backups/shop   |   almanac backup /mnt/backups/shop --keep 30
    """
    from jobs.backup.backup import backup as run

    result = run(the_suite(runs_python=False), directory, keep=keep, full=full, progress=console.listener())
    if as_json:
        console.print_json(asdict(result))
    else:
        typer.echo(
            f"State {result.state}: {counted(result.n_files, 'file')}, {result.n_bytes:,} bytes, of which"
            f" {counted(result.copied_files, 'file')} ({result.copied_bytes:,} bytes) were read."
        )
        if result.deleted:
            typer.echo(f"Deleted {counted(len(result.deleted), 'older state')}.")
    for path in result.missing:
        typer.echo(f"almanac: lake/{path} is missing; `almanac doctor` says what it held", err=True)
    for path in result.changed:
        typer.echo(
            f"almanac: lake/{path} has changed, as no file of a lake does: it is damaged. The state has it as it was;"
            " `almanac restore` to another directory gives it back.",
            err=True,
        )
    if result.missing or result.changed:
        raise typer.Exit(1)


def backups(
    directory: _Directory,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file, and compare it with what was stored.")
    ] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the states in a store of backups. With --verify, exit 1 if one is not whole.

    Examples:  almanac backups /mnt/backups/shop   |   almanac backups /mnt/backups/shop --verify
    """
    from jobs.backup.listing import backups as look

    found = look(directory, verify=verify)
    if as_json:
        console.print_json([asdict(state) for state in found])
    else:
        rows = [
            {
                "state": state.state,
                "made at (UTC)": state.made_at,
                "snapshot": state.snapshot_id,
                "files": state.n_files,
                "bytes": state.n_bytes,
                "wrong": len(state.wrong),
            }
            for state in found
        ]
        console.print_table(rows, f"Backups in {directory}")
    wrong = dict.fromkeys(sentence for state in found for sentence in state.wrong)
    for sentence in wrong:
        typer.echo(f"almanac: {sentence}", err=True)
    if verify and wrong:
        raise typer.Exit(1)


def restore(
    directory: _Directory,
    state: Annotated[
        str | None, typer.Option("--state", metavar="NAME", help="Which one.", show_default="the newest")
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a state out of a store of backups the suite's lake. A lake that is there is not replaced: move it away.

    Where lake.yaml or ALMANAC_LAKE names a lake in PostgreSQL, it is restored to there.

    Examples:  almanac restore /mnt/backups/shop   |   almanac restore /mnt/backups/shop --suite copy --state NAME
    """
    from jobs.backup.restore import restore as run

    result = run(State.suite, directory, state, console.listener())
    if as_json:
        console.print_json(asdict(result))
    else:
        typer.echo(
            f"Restored the state {result.state}, made at {result.made_at:%Y-%m-%d %H:%M:%S} UTC:"
            f" {counted(result.n_files, 'file')}, {result.n_bytes:,} bytes."
        )
        typer.echo(
            "`almanac ingest` takes in what has come since, `almanac plan PRODUCT` says which pages are missing."
        )
    for path in result.missing:
        typer.echo(
            f"almanac: {path} was missing when the backup was made; `almanac doctor` says what it held", err=True
        )


def repair(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, by doing it to a scratch lake.")
    ] = False,
    scratch: ScratchOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Take data files that are lost or damaged out of the lake; what they held is then missing, and all else works.

    Pages can be made again, and facts taken in again where their deliveries are still to be had. Exit 1 if something
    is left that only files delivered again, or a backup, can bring back.

    Examples:  almanac repair --dry-run   |   almanac repair
    """
    from jobs.suites.repair import repair as run
    from jobs.suites.repair import repair_dry_run

    opened = the_suite(runs_python=False)
    found = repair_dry_run(opened, scratch) if dry_run else run(opened)
    if as_json:
        console.print_json(asdict(found))
    elif found.found_nothing:
        typer.echo("Every data file of the newest state is there, and can be read.")
    else:
        console.lines_of(["Nothing was changed. In a scratch lake, this came of it:"] if dry_run else [])
        console.lines_of(f"{path} {why}: put into lake/damaged" for path, why in found.set_aside.items())
        console.print_table(found.pages, "Pages that are missing now: `almanac backfill` makes them again")
        console.lines_of(
            f"the facts of {name} were dropped: `almanac ingest {name}` takes its deliveries in again"
            for name in found.dropped
        )
        console.lines_of(
            f"{name} lost facts, and these files are to be put back before they can be taken in again:"
            f" {', '.join(files)}"
            for name, files in found.deliver_again.items()
        )
        console.lines_of(found.left)
    if not found.is_whole:
        raise typer.Exit(1)


def erase(
    person: Annotated[str, typer.Argument(metavar="KIND=VALUE", help="Whom: `customer=17`, as sources declare it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, it is only said what ends.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the ledger.")] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Erase a person: their facts, their rows of pages, and what is left of them in files, snapshots and logs.

    Sources say by `subject: {customer: customer_id}` whom their rows are about. A keyed hash stays (the key is in
    ALMANAC_ERASE_KEY), by which a file read again does not bring them back. The same command continues one
    that was killed. Exit 1 if they are still named somewhere in the lake.

    Examples:  almanac erase customer=17   |   almanac erase customer=17 --yes --reason "ticket 512"
    """
    from jobs.cli.output.erased import lines_of_erasure
    from jobs.erasure.erase import erase as run
    from jobs.erasure.erase import what_ends

    kind, is_given, value = person.partition("=")
    if not (kind and is_given and value):
        raise UsageError(f"{person}: write KIND=VALUE, such as customer=17.")
    opened = the_suite(runs_python=False, holds=False)
    found = run(opened, kind, value, reason) if yes else what_ends(opened, kind, value)
    if as_json:
        console.print_json(asdict(found))
    else:
        console.lines_of(lines_of_erasure(found, person))
    if found.left:
        raise typer.Exit(1)
