"""Read the text of a `schedules.yaml`: a `Schedule`, or sentences that say everything that is wrong with it.

Each sentence has the file and line, what was found and what is allowed, with the nearest name for a misspelling.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jobs.schedule.files.definitions import JobSettings, RetrySettings, ScheduleFile, Settings
from jobs.schedule.files.followers import exports_that_follow
from jobs.schedule.files.kinds import KINDS, Takes, kind_of
from jobs.schedule.files.readiness_names import WATERMARKS, nothing_new_of, watermarks_of
from jobs.schedule.files.redaction import redacted
from jobs.schedule.files.retraining import Retraining
from jobs.schedule.files.schedule import Job, Retries, Schedule
from jobs.schedule.files.triggers import Interval, Trigger
from warehouse.definitions.cron import Grid
from warehouse.definitions.yaml.yaml_text import read_yaml, validate
from warehouse.errors import DefinitionError


@dataclass(frozen=True)
class Known:
    """The names in the suite that a schedule may refer to; `exported`: the products that have targets."""

    products: Collection[str]
    sources: Collection[str]
    readiness: Collection[str]
    exported: Collection[str] = ()


#: How many runs the default pool allows at once, unless the file says otherwise.
DEFAULT_POOL_SIZE = 4


def read_schedule(text: str, known: Known, where: str = "schedules.yaml") -> Schedule:
    """Read the text of a schedules.yaml.

    Parameters
    ----------
    text
        The file.
    known
        What it may refer to.
    where
        Its name in messages.

    Raises
    ------
    DefinitionError
        With every problem of the file.
    """
    problems: list[str] = []
    file = validate(ScheduleFile, text, where, problems)
    if file is not None:
        lines = read_yaml(text, where)
        for path, problem in _problems_of(file, known):
            problems.append(f"{where}:{lines.line_of(path)}: {problem}")
    if file is None or problems:
        # What was found is shown, and a command may hold a password.
        raise DefinitionError([redacted(problem) for problem in problems])
    jobs = {name: _job(name, settings, file.defaults) for name, settings in file.jobs.items()}
    jobs |= {job.name: job for job in exports_that_follow(jobs, known.exported)}
    pools = {"default": DEFAULT_POOL_SIZE, **file.pools}
    return Schedule(MappingProxyType(jobs), MappingProxyType(pools), tuple(file.defaults.alerts))


def _job(name: str, job: JobSettings, defaults: Settings) -> Job:
    """Put a job together from what it says and, where it says nothing, the defaults."""

    def said(key: str) -> Any:
        return getattr(job if key in job.model_fields_set else defaults, key)

    trigger: Trigger = Interval(job.every) if job.every else Grid.parse(job.cron or "", said("zone"))
    both = [settings.retries for settings in (defaults, job) if "retries" in settings.model_fields_set]
    retries = {key: value for each in both for key, value in each if key in each.model_fields_set}
    return Job(
        name=name,
        work=job.run.work(),
        trigger=trigger,
        was=tuple(job.was),
        after=tuple(job.after),
        ready_when=_ready_when(job),
        unless=nothing_new_of(job.run.work().names[0]) if job.unless else None,
        wait_at_most=said("wait_at_most"),
        retries=Retries(**dict(RetrySettings(**retries))) if both else Retries(),
        timeout=said("timeout"),
        grace=said("grace"),
        catch_up=said("catch_up"),
        catch_up_at_most=said("catch_up_at_most"),
        overlap=said("overlap"),
        pool=said("pool"),
        owner=said("owner"),
        team=said("team"),
        tags=tuple(said("tags")),
        alerts=tuple(said("alerts")),
        retraining=Retraining(**{key: getattr(job, key) for key in Retraining.model_fields}),
    )


def _ready_when(job: JobSettings) -> str | None:
    """Name what is asked before a job starts; the watermarks are those of its product's sources."""
    product = job.run.work().concerns
    return watermarks_of(product) if job.ready_when == WATERMARKS and product else job.ready_when


def _problems_of(file: ScheduleFile, known: Known) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Find what refers to something that does not exist, or to itself; each with its place in the file."""
    pools = {"default", *file.pools}
    readiness = [*known.readiness, WATERMARKS]
    for name, job in file.jobs.items():
        here = ("jobs", name)
        work = job.run.work()
        if job.ready_when == WATERMARKS and not work.concerns:
            with_product = " or ".join(f"`{kind.name}`" for kind in KINDS if kind.takes is Takes.PRODUCT)
            yield (*here, "ready_when"), f"`jobs.{name}.ready_when`: `{WATERMARKS}` goes with {with_product}"
        takes = kind_of(work.kind).takes
        refers: tuple[tuple[str, str | list[str] | None, str, Collection[str]], ...] = (
            ("pool", job.pool, "pool", pools),
            ("after", job.after, "job", file.jobs),
            ("ready_when", job.ready_when, "readiness query", readiness),
            ("run", work.concerns, "product", known.products),
            ("run", [*work.names] if takes is Takes.SOURCES else None, "source", known.sources),
        )
        for key, value, kind, there in refers:
            for word in [value] if isinstance(value, str) else value or []:
                if word not in there:
                    yield (*here, key), f"`jobs.{name}.{key}`: {_no_such(kind, word, there)}"
        for old in job.was:
            if old in file.jobs:
                yield (*here, "was"), f"`jobs.{name}.was`: {old} is the name of a job in this file; remove one of them"
            if sum(old in other.was for other in file.jobs.values()) > 1:
                yield (*here, "was"), f"`jobs.{name}.was`: {old} is claimed by more than one job"
    if WATERMARKS in known.readiness:
        yield (
            ("jobs",),
            f"sql/readiness/{WATERMARKS}.sql: `ready_when: {WATERMARKS}` means the sources; rename the file",
        )
    if file.defaults.pool not in pools:
        yield ("defaults", "pool"), f"`defaults.pool`: {_no_such('pool', file.defaults.pool, pools)}"
    yield from _circles(file)


def _circles(file: ScheduleFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Find jobs that wait for each other in a circle; each circle once."""
    done: set[str] = set()
    for start in file.jobs:
        trail: list[str] = []
        waiting = [(start, 0)]
        while waiting:
            name, depth = waiting.pop()
            del trail[depth:]
            if name in trail:
                circle = " -> ".join([*trail[trail.index(name) :], name])
                yield ("jobs", name, "after"), f"`jobs.{name}.after`: jobs wait for each other in a circle: {circle}"
                done.update(trail)
            elif name in file.jobs and name not in done:
                trail.append(name)
                waiting += [(other, depth + 1) for other in file.jobs[name].after]
        done.add(start)


def _no_such(kind: str, word: str, there: Collection[str]) -> str:
    near = difflib.get_close_matches(word, there, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"there is no {kind} `{word}`.{hint} There is: {', '.join(sorted(there)) or 'none'}."
