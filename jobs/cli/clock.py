"""Commands of the clock: schedule, tick, agenda, pause, resume, ticks, costs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from jobs.cli.options import DebugOption, JsonOption, State, SuiteOption, now, parse_instant
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.schedule.suite_clock import SuiteClock
    from jobs.schedule.tick_store import TickStore

FromOption = Annotated[str | None, typer.Option("--from", metavar="A", help="The first instant, inclusive.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="B", help="The last instant, exclusive.")]
JobArgument = Annotated[str, typer.Argument(help="A job of schedules.yaml.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; it is kept.")]
WhoOption = Annotated[str | None, typer.Option("--who", help="Who does so.", show_default="the user of this process")]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.command("schedule")(schedule)
    app.command("tick")(tick)
    app.command("agenda")(agenda)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("ticks")(ticks)
    app.command("costs")(costs)


def schedule(suite: SuiteOption = None, debug: DebugOption = False) -> None:
    """Run jobs as schedules.yaml has them, in the foreground, until told to stop.

    SIGTERM or Ctrl-C drains: nothing new starts, and what runs is waited for. A second one stops it.

    Examples:  almanac schedule   |   almanac schedule --suite /srv/flights 2>> clock.log
    """
    from jobs.schedule.daemon import Daemon

    with Daemon(State.suite, now, now) as daemon:
        daemon.run_daemon()


def tick(
    at: Annotated[
        str | None, typer.Option("--now", metavar="T", help="What to take the time for.", show_default="the clock")
    ] = None,
    set_back: Annotated[
        bool, typer.Option("--set-back", help="The clock was wrong when it was later than now: forget what it brought.")
    ] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run whatever is due, wait until it is done, and exit. Safe to call every minute, and twice at once.

    Exit code 1 if a tick failed, or the clock was set back since the last one; 2 if an edit of the
    suite's files is wrong (what was right before has then run).

    Examples:  almanac tick   |   almanac tick --now 2013-10-05T18:00-04:00 --json
    """
    from jobs.schedule.daemon import Daemon
    from warehouse.errors import DefinitionError

    instant = parse_instant(at, "--now") if at else None
    with Daemon(State.suite, (lambda: instant) if instant else now, now) as daemon:
        if set_back:
            daemon.set_back()
        done = daemon.run_once()
        refused, is_set_back = daemon.files.refused, daemon.is_set_back()
    rows = [
        {"job": name, "tick": end.tick.at, "page": end.tick.page, "outcome": end.outcome, "reason": end.reason}
        for name, end in done.settled
    ]
    if as_json:
        console.print_json({"settled": rows, "runs": [run.run for run in done.started], "refused": refused})
    else:
        console.print_table(rows, "Ticks")
        typer.echo(f"{len(done.started)} run(s) started, {len(rows)} tick(s) settled.")
    if refused:
        raise DefinitionError([*refused, "The schedule before this edit was followed."])
    if is_set_back:
        typer.echo(
            "almanac: the clock was set back since the last tick, so nothing new is due. Set it right; if it is right"
            " now, and was wrong before, run `almanac tick --set-back`.",
            err=True,
        )
    if is_set_back or any(row["outcome"] == "failed" for row in rows):
        raise typer.Exit(1)


def agenda(
    first: FromOption = None,
    until: ToOption = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only jobs that bear this tag.")] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show every tick to come, with its page, in local time and UTC. Default: the next day.

    It follows the file as it is now, and says what in it is not in force yet.

    Examples:  almanac agenda --tag daily   |   almanac agenda --from 2013-03-09 --to 2013-03-12 --json
    """
    from jobs.schedule.agenda import agenda as list_ticks
    from jobs.schedule.agenda import pending_changes
    from jobs.schedule.files.reading import read_schedule
    from jobs.schedule.suite_clock import known_names, read_text

    start = parse_instant(first, "--from") if first else now()
    end = parse_instant(until, "--to") if until else start + timedelta(days=1)
    files = _files()
    file = read_schedule(read_text(files.root), known_names(files.suite))
    entries = [e for e in list_ticks(files.tick_store, file, files.page_of, start, end) if tag is None or tag in e.tags]
    changes = pending_changes(files.tick_store, file)
    if as_json:
        console.print_json({"ticks": [_columns(e) for e in entries], "changes": [_columns(c) for c in changes]})
        return
    rows = [
        {"UTC": e.at, "local": f"{e.local} {e.zone}", "job": e.job, "page (UTC)": e.page, "runs": e.work, "": e.note}
        for e in entries
    ]
    console.print_table(rows, f"From {start} to {end} (UTC)")
    console.lines_of(f"not in force yet: {change.job} {change.what}" for change in changes)
    typer.echo(f"{len(rows)} tick(s).")


def pause(
    job: JobArgument,
    why: WhyOption,
    who: WhoOption = None,
    suite: SuiteOption = None,
    debug: DebugOption = False,
) -> None:
    """Let a job rest: its ticks are skipped, with the reason, until it is resumed. What runs goes on.

    Examples:  almanac pause flight_delay --why "the weather station is being repaired"
    """
    _enter(_files()).pause(job, who or _user(), why, now())
    typer.echo(f"{job} is paused; `almanac resume {job}` ends that.")


def _user() -> str:
    from jobs.metering import who

    return who()


def resume(
    job: JobArgument,
    why: WhyOption = "",
    who: WhoOption = None,
    suite: SuiteOption = None,
    debug: DebugOption = False,
) -> None:
    """Let a paused job go on. Its ticks of the meantime stay skipped; `almanac backfill` makes their pages.

    Examples:  almanac resume flight_delay --why "repaired"
    """
    _enter(_files()).resume(job, who or _user(), why, now())
    typer.echo(f"{job} goes on.")


def ticks(
    job: Annotated[str | None, typer.Argument(help="A job.", show_default="all of them")] = None,
    first: FromOption = None,
    until: ToOption = None,
    at_most: Annotated[int, typer.Option("--limit", min=1, help="So many, the newest.")] = 100,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what became of each tick, the newest first.

    Examples:  almanac ticks   |   almanac ticks flight_delay --from 2013-10-01 --json
    """
    files = _files()
    start, end = (parse_instant(first, "--from") if first else None), (parse_instant(until, "--to") if until else None)
    rows = files.tick_store.report_ticks(job, start, end, at_most)
    if as_json:
        console.print_json(rows)
        return
    shown = ("job", "at", "page", "state", "reason", "attempts", "run", "started_at", "finished_at")
    console.print_table([{name: row[name] for name in shown} for row in rows], "Ticks (UTC)")
    typer.echo(f"{len(rows)} tick(s).")


def costs(
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help="owner, team, product or job.")] = "team",
    per: Annotated[
        Literal["month"] | None, typer.Option("--per", help="Each month by itself.", show_default="all together")
    ] = None,
    first: FromOption = None,
    until: ToOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Add up what runs cost: CPU and wall seconds, peak memory, rows and bytes written.

    With prices in suite.yaml also in money: CPU hours, and what the lake keeps of each product.

    Examples:  almanac costs --by team --per month   |   almanac costs --by product --from 2013-10-01 --json
    """
    from jobs.schedule.costs import costs as add_up
    from jobs.schedule.prices import kept_by, priced
    from warehouse.definitions import load_definitions
    from warehouse.lake.lake import lake_of

    files = _files()
    start, end = (parse_instant(first, "--from") if first else None), (parse_instant(until, "--to") if until else None)
    lake, per_month = lake_of(files.root), per is not None
    rows = add_up(lake, files.tick_store, by, start, end, per_month=per_month)
    definitions = load_definitions(files.root)
    if definitions.settings.prices is not None:
        kept = kept_by(lake, definitions, by, start, min(end or now(), now()))
        rows = priced(rows, kept, definitions.settings.prices, by, per_month=per_month)
    if as_json:
        console.print_json(rows)
        return
    console.print_table(rows, f"Costs by {by}")
    typer.echo(f"{sum(row['runs'] for row in rows)} run(s).")


def _files() -> SuiteClock:
    from jobs.schedule.suite_clock import SuiteClock
    from jobs.schedule.tick_store import TickStore
    from warehouse.lake.lake import lake_of

    root = State.suite.resolve()
    return SuiteClock(root, TickStore.open(lake_of(root).root), now)


def _enter(files: SuiteClock) -> TickStore:
    """Write down what is due up to now, so that what is changed next counts from now."""
    with files.tick_store.writing():
        files.tick_store.enter(files.schedule(), files.page_of, now())
    return files.tick_store


def _columns(item: object) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(item)  # type: ignore[call-overload, no-any-return]
