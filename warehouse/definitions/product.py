"""A product: what applications look up (`sql/products/NAME/`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from warehouse.definitions.calendar import Calendar
from warehouse.definitions.cron import Grid, with_cron
from warehouse.definitions.durations import Duration
from warehouse.definitions.expect import parse_share
from warehouse.definitions.export import ServedSettings
from warehouse.definitions.gates import CheckBounds, GateSettings
from warehouse.definitions.monitor import MonitorSettings
from warehouse.definitions.pipeline import ModelSettings, RetrainSettings, SearchSettings
from warehouse.definitions.reasons import ReasonSettings
from warehouse.definitions.rollout import RolloutSettings
from warehouse.definitions.sql_file import SqlFile, Strict, checked, read_header, read_sql_file
from warehouse.engine_names import HERE, EngineName, no_shards_reason
from warehouse.errors import DefinitionError
from warehouse.label_kinds import KINDS, KindName, LabelKind, quantile_name
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.row_wise import faults_of_rows
from warehouse.queries.running import QUERY_TIMEOUT

#: The name by which a check reads the page that is being made.
PAGE = "page"


class FeatureUse(Strict):
    """A feature group as a product uses it: `on` maps the group's key columns to columns of entities.sql."""

    group: str
    on: dict[str, str] = Field(default_factory=dict)
    prefix: str = ""


@dataclass(frozen=True)
class Ranking:
    """How pages are lists.

    Attributes
    ----------
    keys
        Those that tell lists apart.
    top, at_most
        How many entities of each are written, and how many candidates it may have.
    keep
        Of which share of the lists the features of all candidates are kept, and not only those of what is listed.
    """

    keys: tuple[str, ...]
    top: int
    at_most: int
    keep: float = 1.0


class LabelSettings(Strict):
    """What the label is, and how long after a page's `as_of` the last of its labels is expected."""

    kind: KindName
    matures_within: Duration
    classes: list[str] = Field(default_factory=list)
    quantiles: list[float] = Field(default_factory=list)
    #: Of a ranking: by which keys entities make up a list, how many of each are written, and the most candidates.
    list_: list[str] = Field(default_factory=list, alias="list")
    top: int | None = Field(default=None, ge=1)
    at_most: int | None = Field(default=None, ge=1)
    #: Of which share of the lists all candidates are kept; None: of all.
    keep: Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=1)] | None = None

    @property
    def of(self) -> LabelKind:
        """The kind: of a regression with quantiles that of quantiles."""
        return KINDS["quantiles" if self.quantiles else self.kind]

    @model_validator(mode="after")
    def _lists_go_with_the_kind(self) -> Self:
        if self.kind != "ranking":
            if self.model_fields_set & {"list_", "top", "at_most", "keep"}:
                raise ValueError(
                    f"`list`, `top`, `at_most` and `keep` are of ranking labels, and the label is {self.kind}"
                )
        elif not self.list_ or self.top is None or self.at_most is None:
            raise ValueError("a ranking needs `list: [customer_id]`, `top: 20` and `at_most: 200` candidates of a list")
        elif self.at_most < self.top:
            raise ValueError("`at_most` candidates of a list cannot be fewer than its `top`")
        return self

    @model_validator(mode="after")
    def _quantiles_go_with_the_kind(self) -> Self:
        if not self.quantiles:
            return self
        if self.kind != "regression":
            raise ValueError(f"`quantiles` are of regression labels, and the label is {self.kind}")
        rising = all(low < high for low, high in itertools.pairwise(self.quantiles))
        if len(self.quantiles) < 2 or not rising or not all(0 < each < 1 for each in self.quantiles):
            raise ValueError("`quantiles` are two at least, ascending, between 0 and 1, such as [0.1, 0.5, 0.9]")
        if len({quantile_name(each) for each in self.quantiles}) < len(self.quantiles):
            raise ValueError("two of `quantiles` would be columns of one name")
        return self

    @model_validator(mode="after")
    def _classes_go_with_the_kind(self) -> Self:
        if not KINDS[self.kind].has_classes:
            if self.classes:
                raise ValueError(f"`classes` are of multiclass labels, and the label is {self.kind}")
        elif self.classes and (len(self.classes) < 2 or not all(name.strip() for name in self.classes)):
            told = "`classes` of a multiclass label are two at least, such as [on time, late, cancelled]"
            raise ValueError(f"{told}; where they are left out, trainings find them")
        elif len({name.lower() for name in self.classes}) < len(self.classes):
            raise ValueError("two of `classes` differ in nothing, or in case alone, which SQL does not tell apart")
        return self


class PageSettings(Strict):
    """The page grid: one page for each occurrence of `cron` in `zone`, from `since` on; `every` is short for a cron."""

    cron: str
    zone: str = "UTC"
    since: datetime
    _of_every = model_validator(mode="before")(with_cron)

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


class ProductHeader(ServedSettings):
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
    engine: EngineName = HERE
    shards: int | None = Field(default=None, ge=1, le=10_000)
    checks: CheckSettings = Field(default_factory=CheckSettings)
    check: CheckBounds | None = None
    gates: GateSettings | None = None
    reasons: ReasonSettings | None = None
    monitor: MonitorSettings = Field(default_factory=MonitorSettings)
    rollout: RolloutSettings | None = None
    retrain: RetrainSettings = Field(default_factory=RetrainSettings)
    search: SearchSettings | None = None

    @field_validator("features", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"group": item} if isinstance(item, str) else item for item in value]
        return value

    @model_validator(mode="after")
    def _shards_have_an_engine(self) -> Self:
        if why := no_shards_reason(self.engine, self.shards):
            raise ValueError(why)
        return self

    @model_validator(mode="after")
    def _lists_are_of_keys(self) -> Self:
        own = self.label.list_
        if own and (not set(own) < set(self.keys) or len(set(own)) < len(own)):
            raise ValueError(f"`label.list` names some of the keys, and not all: {', '.join(self.keys)}")
        return self

    @model_validator(mode="after")
    def _has_validity(self) -> Self:
        if (self.valid_until is None) == (self.valid_for is None):
            raise ValueError("give either `valid_for` (a duration) or `valid_until` (a column), and not both")
        return self

    @model_validator(mode="after")
    def _settings_go_with_the_label(self) -> Self:
        kind, lists = self.label.of.name, self.label.list_
        problems = self.gates.problems(kind) if self.gates else []
        problems += self.rollout.problems(kind, self.keys, lists) if self.rollout else []
        problems += self.check.problems(kind) if self.check else []
        problems += self.unserved(kind, self.keys, by_rule=self.model.sql is not None)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _targets_can_tell_rows_apart(self) -> Self:
        problems = [each for name, target in self.export.items() for each in target.problems(name, self.keys)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _rule_goes_with_the_label(self) -> Self:
        if self.model.sql is not None and self.label.of.has_classes:
            raise ValueError("`model.sql` gives one score a row, and a multiclass label has one for each class")
        if self.model.sql is not None and self.label.quantiles:
            raise ValueError("`model.sql` gives one score a row, and `label.quantiles` ask for several")
        return self

    @model_validator(mode="after")
    def _reasons_go_with_the_score(self) -> Self:
        problems = self.reasons.problems(self.label.of.score, self.keys) if self.reasons else []
        if self.reasons and self.model.sql is not None:
            problems.append("`reasons` are of models that are trained; those of `model.sql` stand in its text")
        if self.reasons and self.reasons.condition is not None and self.label.of.has_classes:
            problems.append("`reasons.where` compares a number, and what is predicted of a multiclass label is a class")
        if self.reasons and self.label.quantiles:
            problems.append("`reasons` are of one score, and a label with `quantiles` has one for each")
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
    """One product with its queries. `yaml_where` is its product.yaml as shown to people; `lines` those of its keys.

    `rule` is the file that `model.sql` names, and `calendar` what `monitor.calendar` names, where one is named.
    `found_classes` are those that trainings have found, of a multiclass label that declares none. `outcomes` are the
    files of that directory, by `outcomes/NAME.sql`.
    """

    name: str
    yaml_where: str
    header: ProductHeader
    entities: CheckedQuery
    label: CheckedQuery
    files: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict, repr=False)
    rule: CheckedQuery | None = None
    calendar: Calendar = field(default_factory=lambda: Calendar({}))
    found_classes: tuple[str, ...] = ()
    outcomes: Mapping[str, CheckedQuery] = field(default_factory=dict)

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
        return self.header.label.of

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its label, in the order in which they are declared or were found; none of another kind."""
        return tuple(self.header.label.classes) or self.found_classes

    @property
    def finds_classes(self) -> bool:
        """Whether product.yaml leaves it to trainings to find the classes of its label."""
        return self.kind.has_classes and not self.header.label.classes

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles that its pages give, ascending; none where they give none."""
        return tuple(self.header.label.quantiles)

    @property
    def ranking(self) -> Ranking | None:
        """How its pages are lists, of a ranking."""
        label = self.header.label
        if label.top is None or label.at_most is None:
            return None
        return Ranking(tuple(label.list_), label.top, label.at_most, label.keep or 1.0)

    @property
    def keeps_part(self) -> bool:
        """Whether feature pages keep a part of the candidates only, so that nothing can be scored from them again."""
        return self.ranking is not None and self.ranking.keep < 1

    @property
    def columns_of_kind(self) -> dict[str, str]:
        """The columns that the kind of label brings to its pages, with their types."""
        return self.kind.columns_of(self.classes, self.quantiles)

    @property
    def score_column(self) -> str:
        """`probability` for a binary label, `prediction` for others."""
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


def read_rule(path: Path, root: Path, problems: list[str], files: dict[str, str]) -> CheckedQuery | None:
    """Read a product's rule, which looks at each row of its page by itself."""
    if not path.exists():
        problems.append(f"{path.parent.relative_to(root)}: the file {path.name}, which `model.sql` names, is missing.")
        return None
    file = read_sql_file(path, root, problems)
    if file is None or read_header(PlainHeader, file, problems) is None:
        return None
    files[file.where] = file.text
    query = checked(problems, file.statement, file.where, tables={PAGE}, parameters=())
    faults = faults_of_rows(query, PAGE) if query else []
    problems += faults
    return query if not faults else None


def read_check(name: str, file: SqlFile, problems: list[str], sources: set[str]) -> Check | None:
    """Read one of a product's own checks."""
    header = read_header(CheckHeader, file, problems)
    query = checked(problems, file.statement, file.where, tables={*sources, PAGE}, parameters={"as_of"})
    return Check(name, file, header, query) if header and query else None
