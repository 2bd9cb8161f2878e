"""The keys of `schedules.yaml`, as models. docs/schedule.md explains each of them.

schedules.schema.json, by which editors help, is made from these models. Putting a schedule together from them is
left to `jobs.schedule.files.reading`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model, model_validator

from jobs.schedule.files.kinds import KINDS, Kind, Takes
from jobs.schedule.files.retraining import Retraining
from jobs.schedule.files.schedule import Work
from warehouse.definitions.cron import Grid
from warehouse.definitions.durations import Duration, duration_text
from warehouse.definitions.sql_file import Strict
from warehouse.definitions.zones import open_zone
from warehouse.errors import DefinitionError

_A_MINUTE = timedelta(minutes=1)


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_several)]


def _name_of_a_variable(value: str) -> str:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value):
        # The value is not shown: it is likely to be the address itself, and that is a secret.
        raise ValueError("an alert is the name of an environment variable that holds the address, not the address")
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("it must be longer than 0")
    return value


def _no_less_than_cron(value: timedelta) -> timedelta:
    if value < _A_MINUTE:
        raise ValueError("it must be a minute or more, since cron looks once a minute")
    return value


def _a_zone(value: str) -> str:
    try:
        open_zone(value)
    except DefinitionError as error:
        raise ValueError(str(error)) from error
    return value


def _an_expression(value: str | None) -> str | None:
    try:
        return value if value is None else Grid.parse(value, "UTC").cron
    except DefinitionError as error:
        raise ValueError("; ".join(error.problems)) from error


_A_SPAN = {"type": ["string", "integer"], "examples": ["15 minutes", "2 hours", "1 day"]}
Span = Annotated[Duration, AfterValidator(_positive), WithJsonSchema(_A_SPAN)]
Variables = Annotated[list[Annotated[str, AfterValidator(_name_of_a_variable)]], BeforeValidator(_several)]
# It is part of the name of a file: that of its log.
JobName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=100)]
CatchUpWord = Literal["all", "latest", "none"]
OverlapWord = Literal["queue", "skip"]


class RetrySettings(Strict):
    """How often a tick is tried again after a failure, and how long it rests before that."""

    attempts: Annotated[int, Field(ge=1, le=100, description="Attempts in all; 1 is no retry.")] = 3
    backoff: Annotated[Span, Field(description="The first rest; each further one is twice as long.")] = timedelta(
        minutes=1
    )
    at_most: Annotated[Span, Field(description="The longest rest.")] = timedelta(minutes=30)
    jitter: Annotated[float, Field(ge=0, le=1, description="By which share a rest may be shorter or longer.")] = 0.1


class Settings(Strict):
    """What `defaults` can say for all jobs, and each job for itself."""

    zone: Annotated[str, AfterValidator(_a_zone), Field(description="The IANA time zone of `cron`.")] = "UTC"
    retries: Annotated[RetrySettings, Field(description="Attempts, and rests between them.")] = Field(
        default_factory=lambda: RetrySettings(attempts=1)
    )
    timeout: Annotated[Span | None, Field(description="When a run and all its processes are stopped.")] = None
    grace: Annotated[
        Span, AfterValidator(_no_less_than_cron), Field(description="A tick that is seen later than this was missed.")
    ] = timedelta(minutes=5)
    catch_up: Annotated[CatchUpWord, Field(description="What becomes of missed ticks.")] = "latest"
    catch_up_at_most: Annotated[int, Field(ge=1, le=300, description="Missed pages that one backfill makes.")] = 100
    overlap: Annotated[OverlapWord, Field(description="What a tick does while an earlier one is not done.")] = "queue"
    pool: Annotated[str, Field(description="The pool whose limit the job's runs count against.")] = "default"
    wait_at_most: Annotated[Span, Field(description="How long to wait for `after` and `ready_when`.")] = timedelta(
        hours=24
    )
    owner: Annotated[str | None, Field(description="Who answers for the job.")] = None
    team: Annotated[str | None, Field(description="The team that its costs are put to.")] = None
    tags: Annotated[Names, Field(description="Words of your own, shown in listings.")] = Field(default_factory=list)
    alerts: Annotated[Variables, Field(description="Environment variables that hold apprise URLs.")] = Field(
        default_factory=list
    )


class _OneKind(Strict):
    """What a job runs: exactly one of these."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            allowed = ", ".join(type(self).model_fields)
            raise ValueError(f"give exactly one of {allowed}; found {', '.join(given) or 'none'}")
        return self

    def work(self) -> Work:
        """Give it as a plain value."""
        kind, value = next((name, value) for name, value in self if value is not None)
        names = value if isinstance(value, list) else [] if value is True else [value]
        return Work(kind, tuple(names))


#: What a value must look like, by what it is.
_VALUES: Mapping[Takes, tuple[Any, dict[str, Any]]] = {
    Takes.SOURCES: (Names, {}),
    Takes.PRODUCT: (str, {}),
    Takes.NOTHING: (Literal[True], {}),
    Takes.FUNCTION: (str, {"pattern": r"^[\w.]+:\w+$"}),
    Takes.COMMAND: (str, {"min_length": 1}),
}


def _field_of(kind: Kind) -> tuple[Any, Any]:
    value, limits = _VALUES[kind.takes]
    return Annotated[value | None, Field(description=kind.description, **limits)], None


if TYPE_CHECKING:
    RunSettings = _OneKind
else:
    RunSettings = create_model(
        "RunSettings", __base__=_OneKind, __doc__=_OneKind.__doc__, **{kind.name: _field_of(kind) for kind in KINDS}
    )
#: The kinds that one word is enough for, with what that stands for.
_IN_A_WORD: dict[str, dict[str, Any]] = {
    kind.name: {kind.name: [] if kind.takes is Takes.SOURCES else True} for kind in KINDS if kind.in_a_word
}


def _run_in_a_word(value: Any) -> Any:
    if isinstance(value, str) and value in _IN_A_WORD:
        return _IN_A_WORD[value]
    if isinstance(value, str):
        words = ", ".join(f"`{word}`" for word in _IN_A_WORD)
        raise ValueError(f"{value!r} is not understood: write {words}, or a mapping such as {{predict: PRODUCT}}")
    return value


class JobSettings(Settings, Retraining):
    """One job. Every key of `defaults` may be given here as well."""

    run: Annotated[RunSettings, BeforeValidator(_run_in_a_word), Field(description="What the job runs.")]
    cron: Annotated[
        str | None,
        AfterValidator(_an_expression),
        Field(description="When it is due: minute hour day month weekday."),
    ] = None
    every: Annotated[Span | None, Field(description="Instead of `cron`: how often it is due.")] = None
    was: Annotated[Names, Field(description="Earlier names of this job, so that its history stays with it.")] = Field(
        default_factory=list
    )
    after: Annotated[Names, Field(description="Jobs that must have succeeded for the same page.")] = Field(
        default_factory=list
    )
    ready_when: Annotated[
        str | None, Field(description="sql/readiness/NAME.sql, or `watermarks`: are the data complete?")
    ] = None
    unless: Annotated[
        Literal["nothing new"] | None,
        Field(description="Of a job `predict`: make no page that would say what the page before says."),
    ] = None

    @model_validator(mode="after")
    def _is_due(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError("give either `cron` or `every`, and not both")
        if self.every is not None and self.every < _A_MINUTE:
            raise ValueError(f"`every` is {self.every}, and the shortest interval is a minute")
        return self

    @model_validator(mode="after")
    def _makes_pages(self) -> Self:
        if self.unless is not None and self.run.work().product is None:
            raise ValueError("`unless` goes with `run: {predict: PRODUCT}`")
        return self

    @model_validator(mode="after")
    def _retrains(self) -> Self:
        said = [f"`{key}`" for key in Retraining.model_fields if getattr(self, key) is not None]
        if said and self.run.work().kind != "retrain":
            raise ValueError(f"{', '.join(said)} goes with `run: {{retrain: PRODUCT}}`")
        return self


class ScheduleFile(Strict):
    """The whole of schedules.yaml."""

    defaults: Annotated[Settings, Field(description="What holds for every job that does not say otherwise.")] = Field(
        default_factory=Settings
    )
    pools: Annotated[
        dict[str, Annotated[int, Field(ge=1)]], Field(description="How many runs each pool allows at once.")
    ] = Field(default_factory=dict)
    # Not left out even if there is none: a file that is being written begins empty, and takes no job out of the clock.
    jobs: Annotated[dict[JobName, JobSettings], Field(description="The jobs by name; `{}` if there is none.")]


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema of schedules.yaml, the short forms included."""
    schema = ScheduleFile.model_json_schema()
    definitions = schema["$defs"]
    job, run = definitions["JobSettings"], definitions["RunSettings"]
    run |= {"minProperties": 1, "maxProperties": 1}
    job["oneOf"] = [{"required": ["cron"]}, {"required": ["every"]}]
    job["properties"]["run"]["anyOf"] = [{"enum": [*_IN_A_WORD]}, {"$ref": job["properties"]["run"].pop("$ref")}]
    for model in (Settings, JobSettings, RetrySettings):
        for key, field in model.model_fields.items():
            if isinstance(field.default, timedelta):
                definitions[model.__name__]["properties"][key]["default"] = duration_text(field.default)
    for name, definition in definitions.items():
        for key, value in definition["properties"].items() if name != "Condition" else ():
            # A list of names may be given as one name.
            kinds = value.get("anyOf", [value])
            if key != "run" and any(kind.get("type") == "array" for kind in kinds):
                rest = {name: value.pop(name) for name in ("type", "items") if name in value}
                value["anyOf"] = [{"type": "string"}, *([rest] if rest else kinds)]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Almanac's schedules.yaml"}
