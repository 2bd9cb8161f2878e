"""schedules.yaml: what it may say, what is told of what it may not, and that all of it is documented."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import typer
import yaml

from jobs.cli import whole_app
from jobs.schedule.decisions.ticks import Run, Tick
from jobs.schedule.files.definitions import JobSettings, RetrySettings, RunSettings, ScheduleFile, Settings, json_schema
from jobs.schedule.files.kinds import KINDS, Kind, Takes
from jobs.schedule.files.readiness_names import nothing_new_of
from jobs.schedule.files.reading import Known, read_schedule
from jobs.schedule.files.schedule import Retries, Schedule, Work
from jobs.schedule.files.triggers import Interval
from jobs.schedule.processes.commands import command_of
from warehouse.definitions import load_definitions
from warehouse.definitions.cron import Grid
from warehouse.errors import DefinitionError

ROOT = Path(__file__).parents[2]
KNOWN = Known(["flight_delay"], ["landings", "schedule"], ["landed"])
DOCUMENT = ROOT / "docs" / "schedule.md"


def read(text: str) -> Schedule:
    return read_schedule(text, KNOWN)


def test_a_job_says_everything_that_there_is_to_say() -> None:
    schedule = read(
        """
        pools: {heavy: 2}
        jobs:
          ingest: {run: ingest, cron: "50 17 * * *"}
          flights:
            run: {predict: flight_delay}
            cron: 0 18 * * *
            zone: America/New_York
            was: [old, older]
            after: ingest
            ready_when: landed
            unless: nothing new
            wait_at_most: 2 hours
            retries: {attempts: 4, backoff: 2 minutes, at_most: 10 minutes, jitter: 0.5}
            timeout: 30 minutes
            grace: 10 minutes
            catch_up: all
            catch_up_at_most: 50
            overlap: skip
            pool: heavy
            owner: ada
            team: flights
            tags: [daily, public]
            alerts: [OPS, MAIL]
        """
    )
    job = schedule.jobs["flights"]
    assert job.work == Work("predict", ("flight_delay",))
    assert job.trigger == Grid.parse("0 18 * * *", "America/New_York")
    assert (job.was, job.after, job.ready_when) == (("old", "older"), ("ingest",), "landed")
    assert job.unless == nothing_new_of("flight_delay")
    assert job.wait_at_most == timedelta(hours=2)
    assert job.retries == Retries(4, timedelta(minutes=2), timedelta(minutes=10), 0.5)
    assert (job.timeout, job.grace) == (timedelta(minutes=30), timedelta(minutes=10))
    assert (job.catch_up, job.catch_up_at_most, job.overlap, job.pool) == ("all", 50, "skip", "heavy")
    assert (job.owner, job.team, job.tags, job.alerts) == ("ada", "flights", ("daily", "public"), ("OPS", "MAIL"))
    assert schedule.pools == {"default": 4, "heavy": 2}


def test_defaults_hold_where_a_job_says_nothing() -> None:
    schedule = read(
        """
        defaults: {zone: Europe/Berlin, retries: {attempts: 5, jitter: 0}, catch_up: none, alerts: OPS, team: a}
        jobs:
          one: {run: upkeep, cron: 0 3 * * *}
          two:
            {run: upkeep, cron: 0 3 * * *, zone: UTC, retries: {backoff: 5 minutes}, catch_up: all, team: b, alerts: []}
        """
    )
    one, two = schedule.jobs["one"], schedule.jobs["two"]
    assert one.trigger == Grid.parse("0 3 * * *", "Europe/Berlin")
    assert two.trigger == Grid.parse("0 3 * * *", "UTC")
    assert (one.retries.attempts, one.retries.backoff) == (5, timedelta(minutes=1))
    assert (two.retries.attempts, two.retries.backoff, two.retries.jitter) == (5, timedelta(minutes=5), 0)
    assert (one.catch_up, two.catch_up) == ("none", "all")
    assert (one.alerts, two.alerts, schedule.alerts) == (("OPS",), (), ("OPS",))
    assert (one.team, two.team) == ("a", "b")


@pytest.mark.parametrize(
    ("run", "work"),
    [
        ("ingest", Work("ingest")),
        ("{ingest: landings}", Work("ingest", ("landings",))),
        ("{ingest: [landings, schedule]}", Work("ingest", ("landings", "schedule"))),
        ("{train: flight_delay}", Work("train", ("flight_delay",))),
        ("upkeep", Work("upkeep")),
        ("{upkeep: true}", Work("upkeep")),
        ("{python: 'pack.mod:fun'}", Work("python", ("pack.mod:fun",))),
        ("{shell: 'echo hi'}", Work("shell", ("echo hi",))),
    ],
)
def test_the_kinds_of_work(run: str, work: Work) -> None:
    schedule = read(f"jobs: {{job: {{run: {run}, every: 90 minutes}}}}")
    assert schedule.jobs["job"].work == work
    assert schedule.jobs["job"].trigger == Interval(timedelta(minutes=90))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jobs: {a: {run: upkeep, cron: 0 0 * * *, evry: 1 day}}", "unknown key `jobs.a.evry`. Did you mean `every`?"),
        ("job: {}", "unknown key `job`. Did you mean `jobs`?"),
        ("defaults: {cron: 0 0 * * *}", "unknown key `defaults.cron`"),
        ("jobs: {a: {cron: 0 0 * * *}}", "the key `jobs.a.run` is missing"),
        ("jobs: {a: {run: upkeep}}", "give either `cron` or `every`, and not both"),
        ("jobs: {a: {run: upkeep, cron: 0 0 * * *, every: 1 day}}", "give either `cron` or `every`"),
        ("jobs: {a: {run: upkeep, cron: 0 25 * * *}}", "'25' is not understood as its hour; allowed are *, 0 to 23"),
        ("jobs: {a: {run: upkeep, cron: 0 0 * * *, zone: Berlin}}", "unknown time zone 'Berlin'"),
        ("jobs: {a: {run: upkeep, every: 30 seconds}}", "the shortest interval is a minute"),
        ("jobs: {a: {run: upkeep, every: 1 fortnight}}", "has the unit 'fortnight'"),
        ("jobs: {a: {run: upkep, every: 1 day}}", "'upkep' is not understood: write `ingest`, `upkeep`, or a mapping"),
        ("jobs: {a: {run: {train: flight_delay, shell: x}, every: 1 day}}", "give exactly one of ingest, predict"),
        ("jobs: {a: {run: {}, every: 1 day}}", "found none"),
        ("jobs: {a: {run: {python: nothing}, every: 1 day}}", "`jobs.a.run.python`"),
        (
            "jobs: {a: {run: {predict: flight_dely}, every: 1 day}}",
            "no product `flight_dely`. Did you mean `flight_delay`?",
        ),
        ("jobs: {a: {run: {ingest: landing}, every: 1 day}}", "no source `landing`. Did you mean `landings`?"),
        ("jobs: {a: {run: upkeep, every: 1 day, ready_when: x}}", "no readiness query `x`. There is: landed"),
        ("jobs: {a: {run: upkeep, every: 1 day, unless: nothing new}}", "`unless` goes with `run: {predict: PRODUCT}`"),
        ("jobs: {a: {run: {predict: flight_delay}, every: 1 day, unless: old}}", "'nothing new'"),
        ("jobs: {a: {run: upkeep, every: 1 day, pool: x}}", "no pool `x`"),
        ("{defaults: {pool: x}, jobs: {}}", "`defaults.pool`: there is no pool `x`"),
        ("pools: {x: 0}", "greater than or equal to 1"),
        ("jobs: {a: {run: upkeep, every: 1 day, after: b}}", "no job `b`"),
        ("jobs: {a: {run: upkeep, every: 1 day, after: a}}", "jobs wait for each other in a circle: a -> a"),
        ("jobs: {a: {run: upkeep, every: 1 day, was: a}}", "a is the name of a job in this file"),
        (
            "jobs: {a: {run: upkeep, every: 1 day, was: x}, b: {run: upkeep, every: 1 day, was: x}}",
            "x is claimed by more than one job",
        ),
        ("jobs: {a: {run: upkeep, every: 1 day, catch_up: some}}", "'all', 'latest' or 'none'"),
        ("jobs: {a: {run: upkeep, every: 1 day, overlap: both}}", "'queue' or 'skip'"),
        ("jobs: {a: {run: upkeep, every: 1 day, catch_up_at_most: 0}}", "greater than or equal to 1"),
        ("jobs: {a: {run: upkeep, every: 1 day, timeout: 0}}", "it must be longer than 0"),
        ("jobs: {a: {run: upkeep, every: 1 day, grace: 5 seconds}}", "it must be a minute or more"),
        ("jobs: {a: {run: upkeep, every: 1 day, retries: {attempts: 0}}}", "greater than or equal to 1"),
        ("jobs: {a: {run: upkeep, every: 1 day, retries: {jitter: 2}}}", "less than or equal to 1"),
        ("jobs: {'a b': {run: upkeep, every: 1 day}}", "jobs.a b"),
        ("jobs: {a: {run: upkeep", "not valid YAML"),
        ("[1]", "expected keys and values"),
        ("", "the key `jobs` is missing"),
        ("pools: {x: 1}", "the key `jobs` is missing"),
        ("jobs:", "`jobs`: Input should be a valid dictionary"),
        ("jobs: {a: {run: upkeep, every: 1 day, owner: 2013-99-99}}", "a value cannot be read: month must be in 1..12"),
        (f"pools: {{x: {'9' * 5000}}}", "a value cannot be read"),
        ("jobs: &a {x: *a}", "an alias (`*`) contains itself"),
        ("jobs: " + "[" * 1200, "nested too deeply"),
        (
            "{a0: &a0 [" + "x," * 9 + "]" + "".join(f", a{n + 1}: &a{n + 1} [{f'*a{n},' * 9}]" for n in range(9)) + "}",
            "more than 100,000 values",
        ),
        (r'jobs: {a: {run: {shell: "a\0b"}, every: 1 day}}', r"'a\x00b' has a character that no text can hold"),
        (r'jobs: {a: {run: upkeep, every: 1 day, owner: "\ud800"}}', "has a character that no text can hold"),
        ("jobs: {a: {run: upkeep, every: 36526 days}}", "is longer than a hundred years"),
        ("jobs: {a: {run: upkeep, every: 1 day, timeout: 99999999999 days}}", "is longer than a hundred years"),
        (f"jobs: {{{'a' * 101}: {{run: upkeep, every: 1 day}}}}", "at most 100 characters"),
        (f"jobs: {{a: {{run: {'x' * 1000}, every: 1 day}}}}", "is not understood"),
        (f"jobs: [{'x' * 1000}]", "Found: a list that is too long to show"),
    ],
)
def test_a_mistake_is_told_with_line_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(f"\n\n{text}")
    assert said in str(caught.value)
    assert all(re.match(r"schedules\.yaml:\d+: ", problem) for problem in caught.value.problems)


def test_an_address_where_a_variable_belongs_is_refused_and_not_shown() -> None:
    with pytest.raises(DefinitionError) as caught:
        read("defaults: {alerts: 'slack://tokenA/tokenB/tokenC'}")
    assert "the name of an environment variable" in str(caught.value)
    assert "token" not in str(caught.value)


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    with pytest.raises(DefinitionError) as caught:
        read(
            "jobs:\n  a:\n    run: upkeep\n    every: x\n  b:\n    run: nothing\n    cron: 61 * * * *\n    zone: Mars\n"
        )
    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        "schedules.yaml:4:",
        "schedules.yaml:8:",
        "schedules.yaml:6:",
        "schedules.yaml:7:",
    ]


def test_the_json_schema_is_up_to_date() -> None:
    committed = json.loads((ROOT / "jobs" / "schedule" / "files" / "schedules.schema.json").read_text())
    assert committed == json_schema(), "run: python -m jobs.schedule.files.schema"


def test_this_suites_own_schedule_is_right_and_names_the_schema() -> None:
    text = (ROOT / "schedules.yaml").read_text()
    definitions = load_definitions(ROOT)
    schedule = read_schedule(text, Known(list(definitions.products), list(definitions.sources), []))
    assert "flight_delay" in schedule.jobs
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert json.loads((ROOT / named[1]).read_text()) == json_schema()


def test_every_key_is_documented() -> None:
    document = DOCUMENT.read_text()
    models = (ScheduleFile, Settings, JobSettings, RunSettings, RetrySettings)
    keys = {name for model in models for name in model.model_fields}
    assert [key for key in sorted(keys) if f"`{key}`" not in document] == []


def test_the_examples_in_the_document_are_right() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    schedules = [block for block in blocks if "jobs:" in block]
    assert schedules
    for block in schedules:
        assert read_schedule(block, KNOWN).jobs.keys() == yaml.safe_load(block)["jobs"].keys()


def test_the_page_of_examples_calls_commands_that_there_are() -> None:
    text = (ROOT / "docs" / "examples.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    pod = yaml.safe_load(block)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    calls = [
        " ".join(["almanac", *pod["containers"][0]["args"]]),
        *re.findall(r"almanac (?:schedule|tick)[^`\n>&2\"]*", text),
    ]
    assert len(calls) >= 5
    for call in calls:
        name, *arguments = call.split()[1:]
        command = typer.main.get_command(whole_app()).commands[name]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} <= options


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_of_work_is_a_key_has_commands_and_is_documented(kind: Kind) -> None:
    value = {
        Takes.SOURCES: "[landings, schedule]",
        Takes.PRODUCT: "flight_delay",
        Takes.NOTHING: "true",
        Takes.FUNCTION: "reports:send",
        Takes.COMMAND: "make report",
    }[kind.takes]
    (job,) = read(f"jobs: {{it: {{run: {{{kind.name}: {value}}}, every: 1 day}}}}").jobs.values()
    ticks = [Tick(1, datetime(2026, 3, day), datetime(2026, 3, day), datetime(2026, 3, 4), True) for day in (1, 2)]
    for caught_up in ([replace(ticks[0], missed=False)], ticks):
        words = command_of(Run(1, job, tuple(caught_up), "lease"), ROOT)
        assert [word for word in words if "{" in word] == []
        assert set(job.work.names) <= set(words)
    assert f"| `{kind.name}` |" in DOCUMENT.read_text()


def test_kinds_of_work_are_the_keys_of_run_and_their_commands_are_commands() -> None:
    assert tuple(RunSettings.model_fields) == tuple(kind.name for kind in KINDS)
    known = typer.main.get_command(whole_app()).commands  # type: ignore[attr-defined]
    for kind in KINDS:
        for words in (kind.command, kind.catching_up or kind.command):
            assert words[0] != "{almanac}" or words[1] in known
