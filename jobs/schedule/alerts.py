"""Alerts: what is worth telling somebody, told once, by apprise to addresses in environment variables.

An alert is written to the tick store in the transaction that gives rise to it, under a name that makes it happen once
however many schedulers notice. Sending is another matter, done afterwards and tried a few times; a channel that
fails never fails a job.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from jobs.schedule.alarms_told import STOOD_FOR, read, told_together, written
from jobs.schedule.decisions.ticks import Tick
from jobs.schedule.files.redaction import redacted
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.scheduler import Step
from jobs.schedule.tick_store import TickStore
from warehouse.ledger.alarms import ACUTE, Alarm
from warehouse.system_sql import system_sql
from warehouse.wording import counted, to_the_second

#: After so many failed tries, with this rest in between, an alert is given up.
TRIES = 5
_REST = timedelta(minutes=1)
#: A next try that lies further ahead was set by a clock that has been set back since.
_LONG = timedelta(hours=1)
#: The fact in the tick store that says what is wrong with the suite's files, as the last scheduler found them.
_REFUSED = "refused"
#: The fact in the tick store that says which promises of sources are known to be broken, as JSON: name, and since when.
_BROKEN = "broken promises"


def raise_alert(
    tick_store: TickStore, what: str, title: str, body: str, channels: Sequence[str], now: datetime
) -> None:
    """Write down an alert, inside a transaction; one of that name that was written before stays as it is."""
    if channels:
        values = (what, str(now), redacted(title), redacted(body), json.dumps(list(channels)))
        tick_store.db.execute(system_sql("operations/raise_alert"), values)


def alert_of_step(tick_store: TickStore, schedule: Schedule, step: Step, now: datetime) -> None:
    """Write down what a step of the scheduler gives rise to."""
    for name, end in step.settled:
        if not (end.outcome == "failed" or end.alarming):
            continue
        job = schedule.jobs.get(name)
        if job is not None and job.work.kind == "export" and _failed_before(tick_store, end.tick):
            continue  # The target that is down has been told of; `almanac exports` says since when.
        title = f"{name}: the tick of {end.tick.at} (UTC) {'failed' if end.outcome == 'failed' else 'was skipped'}"
        owner = f"\nOwner: {job.owner}" if job and job.owner else ""
        body = f"Page {end.tick.page} (UTC): {end.reason}{owner}"
        what = f"{end.outcome} {end.tick.job_id} {end.tick.at}"
        raise_alert(tick_store, what, title, body, job.alerts if job else schedule.alerts, now)


def _failed_before(tick_store: TickStore, tick: Tick) -> bool:
    """Tell whether the tick of the same job that was run before this one failed too."""
    values = (tick.job_id, str(tick.at))
    row = tick_store.db.execute(system_sql("operations/outcome_before"), values).fetchone()
    return row is not None and row["outcome"] == "failed"


def alert_of_refusal(
    tick_store: TickStore, schedule: Schedule, refused: Sequence[str], now: datetime, meanwhile: str
) -> bool:
    """Write down, once, that an edit of the suite's files is wrong, and what holds meanwhile; tells if that is news.

    The same mistake, made again after it was mended, is another one. With nothing refused the last one is over.
    """
    # What holds meanwhile is not compared: a daemon goes on where a `tick` cannot, and it is one mistake to both.
    wrong = "\n".join(refused)
    if wrong == (tick_store.fact(_REFUSED) or ""):
        return False
    tick_store.note_fact(_REFUSED, wrong)
    if refused:
        body = f"{meanwhile} What is wrong:\n{wrong}"
        raise_alert(tick_store, f"refused {now}", "schedules.yaml: an edit is wrong", body, schedule.alerts, now)
    return bool(refused)


def alert_of_freshness(
    tick_store: TickStore, schedule: Schedule, stale: Mapping[str, str], watched: Collection[str], now: datetime
) -> None:
    """Write down which of the products that are watched have gone stale, and which are fresh again: each change once.

    One that is no longer watched is not fresh for that; nothing more is said of it.
    """
    known = {row["product"]: row["since"] for row in tick_store.db.execute("SELECT product, since FROM stale_products")}
    for product, sentence in stale.items():
        if product not in known:
            tick_store.db.execute("INSERT INTO stale_products VALUES (?, ?)", (product, str(now)))
            title, what = f"{product} is stale", f"stale {product} {now}"
            raise_alert(tick_store, what, title, sentence, _channels_of(schedule, product), now)
    for product in known.keys() - stale.keys():
        tick_store.db.execute("DELETE FROM stale_products WHERE product = ?", (product,))
        if product not in watched:
            continue
        title, what = f"{product} is fresh again", f"fresh {product} {now}"
        body = f"It was known to be stale since {to_the_second(datetime.fromisoformat(known[product]))} (UTC)."
        raise_alert(tick_store, what, title, body, _channels_of(schedule, product), now)


def alert_of_promises(
    tick_store: TickStore, schedule: Schedule, broken: Mapping[tuple[str, str], str], now: datetime
) -> None:
    """Write down what sources promised and do not keep, and what they keep again: each change once.

    Parameters
    ----------
    broken
        A sentence by source and what of it is meant: a key of `expect`, or a file that is set aside.
    """
    known: dict[str, str] = json.loads(tick_store.fact(_BROKEN) or "{}")
    now_broken = {f"{source} {what}": (source, sentence) for (source, what), sentence in broken.items()}
    for name, (source, sentence) in now_broken.items():
        if name not in known:
            title = f"{source} does not deliver what it should"
            raise_alert(tick_store, f"broken {name} {now}", title, sentence, _channels_of_source(schedule, source), now)
    for name in known.keys() - now_broken.keys():
        source = name.partition(" ")[0]
        body = f"It was known since {to_the_second(datetime.fromisoformat(known[name]))} (UTC): {name}."
        channels = _channels_of_source(schedule, source)
        raise_alert(tick_store, f"kept {name} {now}", f"{source} delivers again", body, channels, now)
    if known.keys() != now_broken.keys():
        tick_store.note_fact(_BROKEN, json.dumps({name: known.get(name, str(now)) for name in now_broken}))


def alert_of_alarms(
    tick_store: TickStore,
    schedule: Schedule,
    alarms: Collection[Alarm],
    now: datetime,
    sources_of: Callable[[str], Collection[str]] = lambda product: (),
) -> None:
    """Write down the alarms that are open: each once, for as long as it stands.

    Of acute alarms of several products that read a source in common, and that are about the same time, the first
    stands for all. `sources_of` gives the sources that a product reads.
    """
    known = read(tick_store.fact(STOOD_FOR))
    stood_for = told_together(alarms, sources_of, known)
    if stood_for != known:
        tick_store.note_fact(STOOD_FOR, written(stood_for))
    for alarm in alarms:
        if alarm.alarm_id in stood_for:
            continue
        title = f"{alarm.product}: {alarm.kind} alarm {alarm.alarm_id}"
        effect = "" if alarm.effect is None else f" Predictions have moved by {alarm.effect:.2g} standard deviations."
        since = f"since the page of {alarm.since or alarm.first_page} (UTC)"
        others = sorted(one.product for one in alarms if stood_for.get(one.alarm_id) == alarm.alarm_id)
        of_source = "" if alarm.kind != ACUTE else _and_others(alarm, others, sources_of)
        body = f"{alarm.message}, {since}.{effect}{of_source} `almanac alarms` lists it, `accept` and `close` end it."
        raise_alert(tick_store, f"alarm {alarm.alarm_id}", title, body, _channels_of(schedule, alarm.product), now)


def _and_others(alarm: Alarm, others: Sequence[str], sources_of: Callable[[str], Collection[str]]) -> str:
    """Say which other products have an alarm at the same time, and what they read in common."""
    if not others:
        return ""
    shared = set(sources_of(alarm.product)).intersection(*(set(sources_of(one)) for one in others))
    read_by_all = f", which all read {', '.join(sorted(shared))}" if shared else ""
    named = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
    return f" So have {counted(len(others), 'other product')} ({named}){read_by_all}."


def _channels_of_source(schedule: Schedule, source: str) -> tuple[str, ...]:
    jobs = [
        job for job in schedule.jobs.values() if job.work.kind == "ingest" and source in (job.work.names or [source])
    ]
    return tuple(dict.fromkeys(name for job in jobs for name in job.alerts)) or schedule.alerts


def alert_of_clock(
    tick_store: TickStore, schedule: Schedule, back_by: timedelta, until: datetime, now: datetime
) -> None:
    """Write down that the machine's clock was set back, so that nothing new is due for a while."""
    title = f"the clock of this machine was set back by {back_by}"
    body = (
        f"What was due up to {until} (UTC) is accounted for and is not run again; nothing new is due until then. If it"
        " never was that late, `almanac tick --set-back` makes what was not run due again in its time."
    )
    raise_alert(tick_store, f"set back {until}", title, body, schedule.alerts, now)


def _channels_of(schedule: Schedule, product: str) -> tuple[str, ...]:
    jobs = (job for job in schedule.jobs.values() if job.work.product == product)
    return tuple(dict.fromkeys(name for job in jobs for name in job.alerts)) or schedule.alerts


def send_alerts(tick_store: TickStore, log: Any, now: datetime) -> None:
    """Send what is to be sent. Whatever goes wrong is logged, and nothing is raised."""
    for row in tick_store.db.execute("SELECT * FROM alerts WHERE state = 'raised'").fetchall():
        with tick_store.writing():
            values = {"what": row["what"], "now": str(now), "again": str(now + _REST), "long_after": str(now + _LONG)}
            if tick_store.db.execute(system_sql("operations/take_alert"), values).rowcount == 0:
                continue  # another scheduler is at it, or it rests
        channels = json.loads(row["channels"])
        failed = {channel: problem for channel in channels for channel, problem in _send(channel, row)}
        state = "sent" if not failed else "given up" if row["tries"] + 1 >= TRIES else "raised"
        with tick_store.writing():
            change = "UPDATE alerts SET state = ?, channels = ? WHERE what = ?"
            tick_store.db.execute(change, (state, json.dumps(list(failed) or channels), row["what"]))
        if failed:
            log.warning("alert not sent", alert=row["title"], problems=list(failed.values()), state=state)
        else:
            log.info("alert sent", alert=row["title"])


def _send(channel: str, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Send one alert to a channel, and yield those of it that failed, with what went wrong.

    A channel is an environment variable, or `VARIABLE:2`, the second address in it: what is tried again is sent to
    those addresses alone that it did not reach.
    """
    variable, _, only = channel.partition(":")
    addresses = os.environ.get(variable, "").split()
    if not addresses:
        yield channel, f"the environment variable {variable} is not set"
    for number, address in enumerate(addresses, start=1):
        one = variable if len(addresses) == 1 else f"{variable}:{number}"
        if only in ("", str(number)) and (problem := _send_to(address, row)):
            yield one, f"{one} {problem}"


def _kind_of(what: str) -> Any:
    """Give what apprise calls an alert of that name; webhooks pass it on, and chats colour by it."""
    from apprise import NotifyType

    kinds = {"fresh": NotifyType.SUCCESS, "skipped": NotifyType.WARNING, "alarm": NotifyType.WARNING}
    return kinds.get(what.partition(" ")[0], NotifyType.FAILURE)


def _send_to(address: str, row: Mapping[str, Any]) -> str | None:
    """Send one alert to one address; gives what went wrong."""
    import apprise

    # It logs addresses.
    logging.getLogger("apprise").disabled = True
    target = apprise.Apprise()
    try:
        # apprise 2.2 loads all its plugins at the first address, and some import what Python 3.11 deprecates.
        with warnings.catch_warnings(action="ignore"):
            if not target.add(address):
                return "is no address that apprise understands"
            kind = _kind_of(row["what"])
            sent = target.notify(title=row["title"], body=row["body"], notify_type=kind)
            return None if sent else "was not delivered"
    except Exception as error:  # noqa: BLE001 - some hundred kinds of channels, and none may fail a job
        return redacted(f"failed: {error}")
