"""A product: what applications look up (`sql/products/NAME/`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from warehouse.definitions.cron import Grid
from warehouse.definitions.durations import Duration
from warehouse.definitions.gates import GateSettings
from warehouse.definitions.pipeline import PipelineSettings
from warehouse.definitions.reasons import ReasonSettings
from warehouse.definitions.sql_file import SqlFile, Strict
from warehouse.errors import DefinitionError
from warehouse.label_kinds import KINDS, KindName, LabelKind
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.running import QUERY_TIMEOUT


class FeatureUse(Strict):
    """A feature group as a product uses it: `on` maps the group's key columns to columns of entities.sql."""

    group: str
    on: dict[str, str] = Field(default_factory=dict)
    prefix: str = ""


class LabelSettings(Strict):
    """What the label is, and how long after a page's `as_of` the last of its labels is expected."""

    kind: KindName
    matures_within: Duration


class ValidationSettings(Strict):
    """How a training is validated: the newest `share` of the pages is held out, in `folds` steps of time."""

    folds: int = Field(default=1, ge=1)
    share: float = Field(default=0.2, gt=0, lt=1)


class ModelSettings(Strict):
    """Which estimator is trained, by a registered name or an import path `package.module:factory`."""

    estimator: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    leave_out: list[str] = Field(default_factory=list)
    train_on: Duration | None = None
    validation: ValidationSettings = Field(default_factory=ValidationSettings)
    pipeline: PipelineSettings | str | None = None

    @field_validator("pipeline")
    @classmethod
    def _is_a_path(cls, value: Any) -> Any:
        if isinstance(value, str) and ":" not in value:
            raise ValueError(f"`{value}` is no import path `package.module:factory`; or give the steps themselves")
        return value


class PageSettings(Strict):
    """The page grid: one page for each occurrence of `cron` in `zone`, from `since` on."""

    cron: str
    zone: str = "UTC"
    since: datetime

    @field_validator("since", mode="before")
    @classmethod
    def _midnight(cls, value: Any) -> Any:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time())
        return value

    @model_validator(mode="after")
    def _parses(self) -> Self:
        try:
            Grid.parse(self.cron, self.zone)
        except DefinitionError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    @model_validator(mode="after")
    def _since_has_no_zone(self) -> Self:
        if self.since.tzinfo is not None:
            raise ValueError("`since` is an instant in UTC and bears no zone; write for example 2013-01-08")
        return self


class RowCountBand(Strict):
    """Warn when a page's row count is off the mean of the last `pages` pages by more than `within` of it."""

    pages: int = Field(default=14, ge=1)
    within: float = Field(default=0.5, gt=0)


class CheckSettings(Strict):
    """Settings of the built-in checks."""

    row_count_band: RowCountBand | None = Field(default_factory=RowCountBand)
    allow_empty_page: bool = False


class ProductHeader(Strict):
    """The keys of `sql/products/NAME/product.yaml`."""

    description: str
    owner: str | None = None
    team: str | None = None
    keys: list[str] = Field(min_length=1)
    features: list[FeatureUse] = Field(default_factory=list)
    label: LabelSettings
    model: ModelSettings
    pages: PageSettings
    valid_until: str | None = None
    valid_for: Duration | None = None
    fresh_within: Duration | None = None
    query_timeout: Duration = QUERY_TIMEOUT
    checks: CheckSettings = Field(default_factory=CheckSettings)
    gates: GateSettings | None = None
    reasons: ReasonSettings | None = None

    @field_validator("features", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"group": item} if isinstance(item, str) else item for item in value]
        return value

    @model_validator(mode="after")
    def _has_validity(self) -> Self:
        if (self.valid_until is None) == (self.valid_for is None):
            raise ValueError("give either `valid_for` (a duration) or `valid_until` (a column), and not both")
        return self

    @model_validator(mode="after")
    def _gates_go_with_the_label(self) -> Self:
        problems = self.gates.problems(self.label.kind) if self.gates else []
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _reasons_go_with_the_score(self) -> Self:
        problems = self.reasons.problems(KINDS[self.label.kind].score, self.keys) if self.reasons else []
        if problems:
            raise ValueError("; ".join(problems))
        return self


class PlainHeader(Strict):
    """The header of entities.sql and label.sql."""

    description: str
    owner: str | None = None


class CheckHeader(PlainHeader):
    """The header of `checks/NAME.sql`. An error keeps the page back; a warning is recorded and shown."""

    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class Check:
    """One check of the author's: a SELECT that returns the rows that are wrong."""

    name: str
    file: SqlFile
    header: CheckHeader
    query: CheckedQuery


@dataclass(frozen=True)
class Product:
    """One product with its queries. `yaml_where` is its product.yaml as shown to people; `lines` those of its keys."""

    name: str
    yaml_where: str
    header: ProductHeader
    entities: CheckedQuery
    label: CheckedQuery
    files: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict, repr=False)

    def at(self, *path: str | int) -> str:
        """Give the place of a key of product.yaml as it is shown to people: file and line, where it has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.yaml_where}:{self.lines[path]}" if path in self.lines else self.yaml_where

    @property
    def keys(self) -> tuple[str, ...]:
        """The entity key."""
        return tuple(self.header.keys)

    @property
    def grid(self) -> Grid:
        """The occurrences on which pages stand, without regard to `since`."""
        return Grid.parse(self.header.pages.cron, self.header.pages.zone)

    @property
    def kind(self) -> LabelKind:
        """The kind of its label, and what that means for its pages."""
        return KINDS[self.header.label.kind]

    @property
    def score_column(self) -> str:
        """`probability` for a binary label, `prediction` for a regression."""
        return self.kind.score

    def pages_between(self, start: datetime, end: datetime) -> list[datetime]:
        """Give every page's `as_of` (naive UTC) with start <= as_of < end, none before `since`."""
        return list(self.grid.between(max(start, self.header.pages.since), end))

    def page_at(self, at: datetime) -> datetime | None:
        """Give the newest page of the grid that is not after `at`."""
        newest = self.grid.latest(at)
        return newest if newest is not None and newest >= self.header.pages.since else None

    @property
    def maturity(self) -> timedelta:
        """How long after a page's `as_of` its last label is expected."""
        return self.header.label.matures_within
