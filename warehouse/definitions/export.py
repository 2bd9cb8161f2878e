"""What applications get: targets of publications (`export`), and what is said of unknown entities.

That is the mean of their group (`fallback`), or what the newest page's model gives for them (`on_demand`), by what a
request gives (`request`).
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Collection, Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from warehouse.definitions.sql_file import Strict

#: What a target is, by what `to` looks like.
TargetKind = Literal["sqlite", "duckdb", "files", "postgresql", "bundle"]
#: What a target holds, and how it comes there: what PRODUCT_current shows, in a new table or file (swap) or row by row
#: (upsert), or each page by itself (replace_page).
WriteMode = Literal["swap", "replace_page", "upsert"]
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
#: Files in a bucket.
_PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]+/([^@:?*\[\]]+/)?")
_ENDINGS: dict[str, TargetKind] = {
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".duckdb": "duckdb",
    ".bundle": "bundle",
    ".bundle/": "bundle",
    "/": "files",
}
#: What every answer that is looked up in a bundle bears.
_ANSWERS_BEAR = ("as_of", "valid_until", "model_version")


class TargetSettings(Strict):
    """One target: where it is, and what it is to hold."""

    to: str
    table: str | None = Field(default=None, min_length=1, max_length=127)
    write: WriteMode | None = None
    format: Literal["parquet", "csv", "jsonl", "json"] | None = None
    signed_with: str | None = None
    columns: list[str] = Field(default_factory=list)

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        # A value with `://` is not shown: it may hold a password.
        if _PREFIX.fullmatch(value):
            return value
        if "://" in value:
            raise ValueError(
                "`to` is a path, s3://BUCKET/PREFIX/ without a password, or the name of an environment variable that"
                " says where a PostgreSQL database is; other URLs are not written to"
            )
        if _VARIABLE.fullmatch(value) or any(value.endswith(end) and len(value) > len(end) for end in _ENDINGS):
            return value
        raise ValueError(
            f"`{value}` is no target: end it in .sqlite, .duckdb, .bundle or, for a directory of files, in /, or name"
            " an environment variable, in capital letters"
        )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.kind in ("files", "bundle") and self.table is not None:
            raise ValueError(f"`table` goes with a database, and `{self.to}` is a directory of files")
        if self.kind == "bundle" and self.is_bucket:
            raise ValueError("a bundle is a directory here: write it, and copy it to the bucket, manifest.json last")
        if self.signed_with is not None and (self.kind != "bundle" or not _VARIABLE.fullmatch(self.signed_with)):
            raise ValueError(
                "`signed_with` goes with a .bundle, and names the environment variable, in capital letters, that says"
                " where the private key is"
            )
        if self.kind != "postgresql" and self.write is not None:
            raise ValueError(f"`write` goes with PostgreSQL, and `{self.to}` is none; leave it out")
        longest = max(len(part.encode()) for part in (self.table or "").split("."))
        if longest > 63 or (self.table or "").count(".") > (self.kind == "postgresql"):
            raise ValueError("`table` is longer than 63 bytes, or has a schema where there are none")
        if self.format is not None and self.kind != ("bundle" if self.format == "json" else "files"):
            raise ValueError(
                f"`format` goes with a directory of files, whose `to` ends in /, and `format: json` with a .bundle;"
                f" `{self.to}` with `format: {self.format}` is neither"
            )
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("`columns` names a column twice")
        return self

    @property
    def kind(self) -> TargetKind:
        """What the target is."""
        if _VARIABLE.fullmatch(self.to):
            return "postgresql"
        return next(kind for ending, kind in _ENDINGS.items() if self.to.endswith(ending))

    @property
    def is_bucket(self) -> bool:
        """Whether its files lie in a bucket of S3."""
        return self.to.startswith("s3://")

    @property
    def mode(self) -> WriteMode:
        """How it is written."""
        return self.write or ("replace_page" if self.kind == "files" else "swap")

    @property
    def holds_pages(self) -> bool:
        """Whether it holds pages by `as_of`, and not what is current."""
        return self.mode == "replace_page"

    def problems(self, name: str, keys: list[str]) -> list[str]:
        """Say what does not go with a product of these keys."""
        needed = [*keys, "as_of"] if self.kind == "postgresql" and self.holds_pages else keys
        lacking = [key for key in needed if self.columns and key not in self.columns]
        told = [f"`export.{name}.columns` leaves out `{key}`, by which rows are told apart" for key in lacking]
        if self.kind == "bundle" and self.columns:
            unsaid = [column for column in _ANSWERS_BEAR if column not in self.columns]
            told += [f"`export.{name}.columns` leaves out `{column}`, which every answer bears" for column in unsaid]
        return told


def _apart(value: dict[str, TargetSettings]) -> dict[str, TargetSettings]:
    odd = [name for name in value if not re.fullmatch("[a-z_][a-z0-9_]*", name)]
    if odd:
        raise ValueError(f"the name `{odd[0]}` of a target must be lower-case letters, digits and underscores")
    tables = {name: f" {target.table}" if target.kind == "postgresql" else "" for name, target in value.items()}
    places = [posixpath.normpath(target.to) + tables[name] for name, target in value.items()]
    twice = [target.to for target, place in zip(value.values(), places, strict=True) if places.count(place) > 1]
    if twice:
        raise ValueError(f"two targets are `{twice[0]}`; what one writes the other would replace")
    return value


Targets = Annotated[dict[str, TargetSettings], AfterValidator(_apart)]


#: Columns that the view has besides those of levels and pages.
_OWN = ("place", "level", "columns", "n_rows", "facts", "prediction", "probabilities", "almanac_level")
#: Kinds of label that have a mean, of classes each one's share; and why others have none.
_WITH_MEAN = ("binary", "regression", "multiclass")
_NO_MEAN = {
    "quantiles": "quantiles of a group are no mean of its members' quantiles, nor is the mean of its labels",
    "ranking": "a score ranks within its list, and says nothing of an entity that is on none",
}
#: Of how many pages labels are averaged, unless product.yaml says so.
LABELLED_PAGES = 28


class FallbackSettings(Strict):
    """What is averaged; the levels, the finest first, each by its columns; and how much of a coarser one it is given.

    Labels are those of the newest `pages` pages that had matured by the page's instant.
    """

    of: Literal["predictions", "labels"] = "predictions"
    pages: int | None = Field(default=None, ge=1, le=1000)
    levels: dict[str, list[str]] = Field(min_length=1, max_length=8)
    shrink: float = Field(default=20, ge=0, le=1e9)

    @model_validator(mode="after")
    def _levels_are_nested(self) -> Self:
        odd = [name for name in self.levels if not re.fullmatch("[a-z_][a-z0-9_]*", name)]
        if odd:
            raise ValueError(f"the name `{odd[0]}` of a level must be lower-case letters, digits and underscores")
        for (finer, of_finer), (coarser, of_coarser) in itertools.pairwise(self.levels.items()):
            if not set(of_coarser) < set(of_finer):
                raise ValueError(f"`{coarser}` is no coarser than `{finer}`: it has to have some of its columns alone")
        if self.pages is not None and self.of != "labels":
            raise ValueError("`pages` says of how many pages labels are: it goes with `of: labels`")
        own = [name for name in self.columns if name.lower() in _OWN]
        if own or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"`{[*own, *self.columns][0]}` cannot be a column of a level, or is there twice")
        return self

    @property
    def n_pages(self) -> int:
        """Of how many pages labels are averaged."""
        return self.pages or LABELLED_PAGES

    @property
    def columns(self) -> list[str]:
        """The columns of all levels: those of the finest."""
        return next(iter(self.levels.values()))

    def problems(self, kind: str, keys: Iterable[str]) -> list[str]:
        """Say what does not go with labels of a kind, and with keys."""
        told = []
        if kind not in _WITH_MEAN:
            told.append(f"`fallback` is of {', '.join(_WITH_MEAN)} labels: {_NO_MEAN[kind]}")
        if set(self.columns) >= set(keys):
            told.append("the finest level of `fallback` has all of `keys`, and so is no coarser than they are")
        return told


#: Kinds of label with one score, which the readers of bundles can compute.
_WITH_ONE_SCORE = ("binary", "regression")


#: Types of what a request can give.
_REQUEST_TYPES = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"),
    *("DOUBLE", "BOOLEAN", "VARCHAR", "DATE", "TIMESTAMP", "UUID"),
)


class RequestColumn(Strict):
    """A column that a request gives: its type, and what it is in batch.

    That is a column of a source (`SOURCE.COLUMN`), or, where `batch` is left out, the column of entities.sql with its
    name.
    """

    type: str
    batch: str | None = None

    @field_validator("type")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value.upper() not in _REQUEST_TYPES:
            raise ValueError(f"`{value}` is no type of what a request gives; those are {', '.join(_REQUEST_TYPES)}")
        return value.upper()

    @field_validator("batch")
    @classmethod
    def _is_of_a_source(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^.\s]+\.[^.]+", value):
            raise ValueError(f"`{value}` is no SOURCE.COLUMN; leave `batch` out for a column of entities.sql")
        return value

    @property
    def source(self) -> str | None:
        """The source; None of a column of entities.sql."""
        return self.batch.partition(".")[0] if self.batch else None

    @property
    def column(self) -> str:
        """The source's column."""
        return (self.batch or "").partition(".")[2]


class ServedSettings(Strict):
    """What product.yaml says of those who look predictions up."""

    export: Targets = Field(default_factory=dict)
    fallback: FallbackSettings | None = None
    on_demand: bool = False
    request: dict[str, RequestColumn] = Field(default_factory=dict)

    def unserved(self, kind: str, keys: Iterable[str], *, by_rule: bool) -> list[str]:
        """Say what does not go with labels of a kind, with keys, and with a product whose scores a rule gives."""
        told = self.fallback.problems(kind, keys) if self.fallback else []
        if self.on_demand and kind not in _WITH_ONE_SCORE:
            told.append(f"`on_demand` is of {' and '.join(_WITH_ONE_SCORE)} labels, and the label is {kind}")
        told += self._of_request(list(keys))
        if self.on_demand and by_rule:
            told.append("`on_demand` scores by models that are trained; `model.sql` is SQL, which bundles do not run")
        if self.on_demand and not any(target.kind == "bundle" for target in self.export.values()):
            told.append("`on_demand` goes with a target under `export` that is a .bundle, which is what scores")
        return told

    def _of_request(self, keys: list[str]) -> list[str]:
        told = [f"`request` has `{name}`, which is a key and given anyhow" for name in self.request if name in keys]
        if self.request and not self.on_demand:
            told.append("`request` says what entities are scored by that no page has: it goes with `on_demand: true`")
        places = [each.batch for each in self.request.values() if each.batch]
        twice = sorted({place for place in places if places.count(place) > 1})
        return told + [f"two columns of `request` are `{place}`" for place in twice]

    def unknown_sources(self, sources: Collection[str]) -> list[tuple[tuple[str, ...], str]]:
        """Say which columns of `request` are of sources that are none, each with its place in product.yaml."""
        return [
            (("request", name), f"there is no source `{each.source}`; add sql/sources/{each.source}.sql.")
            for name, each in self.request.items()
            if each.source is not None and each.source not in sources
        ]
