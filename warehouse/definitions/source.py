"""A source: a typed table of facts, filled from files or by a loader (`sql/sources/NAME.sql`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from warehouse.definitions.durations import Duration
from warehouse.definitions.expect import DeliverySettings, Expectation, short_form
from warehouse.definitions.sql_file import SqlFile, Strict
from warehouse.lake.registry import FACT_COLUMNS
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.running import QUERY_TIMEOUT

#: Columns that the suite adds to every source, and so are not the author's to name.
SYSTEM_COLUMNS = tuple(FACT_COLUMNS)


_OFTEN = {"hourly": "1 hour", "daily": "1 day", "weekly": "7 days"}


def _often(value: Any) -> Any:
    """Take `weekly` for each 7 days."""
    return _OFTEN.get(value, value) if isinstance(value, str) else value


#: Where files lie that are fetched before they are read.
_REMOTE = ("s3://", "https://", "http://")


def is_remote(pattern: str) -> bool:
    """Tell whether a pattern of `files` is a URL."""
    return pattern.startswith(_REMOTE)


def _place_of_files(pattern: str) -> str:
    """Refuse URLs of a kind that is not read, that bear a password, or that ask for what no server lists."""
    scheme, is_url, rest = pattern.partition("://")
    if not is_url:
        return pattern
    if not is_remote(pattern):
        raise ValueError(f"`files` may lie under {', '.join(_REMOTE)} or in a directory, not under `{scheme}://`")
    if "@" in rest.partition("/")[0]:
        raise ValueError("a URL of `files` holds no user or password; keys of S3 come from the environment")
    if not rest.partition("/")[2]:
        raise ValueError(f"`{scheme}://{rest}` names no file: write a path behind it")
    if not pattern.startswith("s3://") and any(sign in rest for sign in "*?[#"):
        # What stands behind a ? may be a secret, and would stand in the ledger.
        raise ValueError(
            f"a URL under {scheme} names one file, without `*`, `?`, `[` or `#`: list the files one by one, or write a"
            " `loader`"
        )
    return pattern


Files = Annotated[str, AfterValidator(_place_of_files)]


class DeliveryEntry(Strict):
    """One kind of files of a source: `sql/sources/SOURCE.NAME.sql` reads `files`, a path or a glob."""

    name: str = Field(pattern="^[a-z_][a-z0-9_]*$")
    files: Files


class Buckets(Strict):
    """How the files of a source are laid out, so that shards made by the same columns read their own."""

    by: list[str] = Field(min_length=1)
    n: int = Field(ge=2, le=256)


class SourceHeader(Strict):
    """The header of `sql/sources/NAME.sql`. Expressions are SQL over the columns of the file's SELECT."""

    description: str
    key: list[str] = Field(min_length=1)
    known_at: str = ""
    owner: str | None = None
    files: Files | list[Files] | None = None
    deliveries: list[DeliveryEntry] | None = Field(default=None, min_length=1)
    loader: str | None = None
    batches: str | None = Field(default=None, pattern="^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$")
    product: str | None = None
    as_if_on_time: bool = False
    database: str | None = Field(default=None)
    table: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    cursor: str | None = Field(default=None, min_length=1)
    overlap: Duration = timedelta(0)
    compare: Annotated[Duration | None, BeforeValidator(_often)] = None
    requires: str | None = None
    restated_at: str | None = None
    withdrawn: str | None = None
    arrives_within: Duration = timedelta(0)
    clock_skew: Duration = timedelta(days=1)
    delivery: Annotated[DeliverySettings | None, BeforeValidator(short_form)] = None
    expect: Expectation | None = None
    watermark: str | None = None
    query_timeout: Duration = QUERY_TIMEOUT
    rules: dict[str, str] = Field(default_factory=dict)
    keep: bool = False
    buckets: Buckets | None = None
    subject: dict[str, str] = Field(default_factory=dict)

    @field_validator("subject")
    @classmethod
    def _names_columns(cls, value: dict[str, str]) -> dict[str, str]:
        for kind, named_by in value.items():
            if not re.fullmatch("[a-z_][a-z0-9_]*", kind) or not all(named_by.split(".")) or named_by.count(".") > 1:
                raise ValueError(
                    "`subject` says which column names a person, such as `{customer: customer_id}`, or whose column it"
                    " is that names one, such as `{customer: orders.order_id}`"
                )
        return value

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        origins = (self.files, self.deliveries, self.loader, self.batches, self.product, self.database)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError(
                "give one of `files` (paths, globs or package:NAME/PATH), `deliveries`, `loader`, `batches`,"
                " `product` and `database`, and no other"
            )
        return self

    @field_validator("database")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        # What else it is is not shown: it may hold a password.
        if value is not None and not re.fullmatch("[A-Z_][A-Z0-9_]*", value):
            raise ValueError("`database` is the name of an environment variable, in capital letters, that says where")
        return value

    @model_validator(mode="after")
    def _reads_a_table_or_a_query(self) -> Self:
        if self.database is None and (self.table, self.query) != (None, None):
            raise ValueError("`table` and `query` go with `database`")
        if self.database is None and self.batches is None and (self.cursor, self.overlap) != (None, timedelta(0)):
            raise ValueError("`cursor` and `overlap` go with `database` or `batches`")
        if self.database is not None and (self.table is None) == (self.query is None):
            raise ValueError("give one of `table` and `query` with `database`, to say what is read")
        if self.compare is not None and (self.database is None or self.cursor is None):
            raise ValueError("`compare` goes with a `cursor` of a `database`, which does not see what was deleted")
        if self.overlap and self.cursor is None:
            raise ValueError("`overlap` goes with a `cursor`")
        if self.cursor is not None and self.delivery is not None:
            raise ValueError("`delivery: complete` reads all of a table, and a `cursor` what is new of it; give one")
        return self

    @model_validator(mode="after")
    def _names_deliveries_once(self) -> Self:
        names = [entry.name for entry in self.deliveries or ()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"`deliveries` names {', '.join(twice)} twice; give each a name of its own")
        if names and self.delivery is not None:
            raise ValueError(
                "`delivery` is for a source of `files`: deliveries of several formats are none by themselves"
            )
        return self

    @model_validator(mode="after")
    def _says_when_facts_were_known(self) -> Self:
        if self.product is None and not self.known_at:
            raise ValueError("the key `known_at` is missing: say when a fact could first have been known")
        return self

    @model_validator(mode="after")
    def _publications_say_it_themselves(self) -> Self:
        if self.product is None and self.as_if_on_time:
            raise ValueError("`as_if_on_time` is for a source of a `product`'s publications")
        if self.product is not None and (self.known_at or self.restated_at or self.withdrawn):
            raise ValueError(
                "a source of a `product`'s publications has no `known_at`, `restated_at` or `withdrawn`: a prediction"
                " is known when it is published, and restated when its page is published again"
            )
        return self

    @model_validator(mode="after")
    def _has_complete_files(self) -> Self:
        if self.delivery is not None and self.product is not None:
            raise ValueError("`delivery` is for sources of files; a product's publications say by themselves what goes")
        if self.delivery is not None and self.delivery.kind == "complete by file" and not isinstance(self.files, str):
            raise ValueError("`delivery: complete by file` goes with one path or glob in `files`")
        return self

    @model_validator(mode="after")
    def _requires_what_it_reads(self) -> Self:
        files = [self.files] if isinstance(self.files, str) else self.files or []
        if self.requires is not None and not any(file.startswith("package:") for file in files):
            raise ValueError("`requires` says what to install for `files: package:NAME/PATH`, and there are none")
        return self


@dataclass(frozen=True)
class Source:
    """One source. `query.text` is the author's SELECT over `$files`; `fingerprint` changes when it matters.

    Where files come in several formats, `entries` has a source of the same name for each, with the files and the
    SELECT of that format, and `query` is the first one's.
    """

    name: str
    file: SqlFile
    header: SourceHeader
    query: CheckedQuery
    entries: tuple[Source, ...] = ()

    @property
    def parts(self) -> tuple[Source, ...]:
        """The source by formats: its entries, or else itself."""
        return self.entries or (self,)

    @property
    def writes_deliveries(self) -> bool:
        """Whether what it delivers is written or fetched anew at each ingestion, so that the lake keeps copies."""
        return self.header.product is not None or self.reads_rows or self.is_remote

    @property
    def patterns(self) -> tuple[str, ...]:
        """The paths, globs and URLs of its files, of all formats."""
        if self.header.deliveries:
            return tuple(entry.files for entry in self.header.deliveries)
        files = self.header.files or []
        return (files,) if isinstance(files, str) else tuple(files)

    @property
    def is_remote(self) -> bool:
        """Whether files of it are fetched from elsewhere."""
        return any(is_remote(pattern) for pattern in self.patterns)

    @property
    def reads_rows(self) -> bool:
        """Whether it is filled with rows that are asked for, and not with files that are found."""
        return self.header.database is not None or self.header.batches is not None

    @property
    def withdraws_what_lacks(self) -> bool:
        """Whether facts are withdrawn because a delivery lacks them, now and then at least."""
        return self.header.delivery is not None or self.header.compare is not None

    def as_complete(self) -> Source:
        """Give it as it is for one delivery that has all rows that there are."""
        settings = self.header.delivery or DeliverySettings(kind="complete")
        return replace(self, header=self.header.model_copy(update={"delivery": settings}))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a fact."""
        return tuple(self.header.key)

    @property
    def known_at(self) -> str:
        """When a fact could first have been known: SQL over the columns of the SELECT."""
        if self.header.product is None:
            return self.header.known_at
        return "as_of" if self.header.as_if_on_time else "published_at"

    @property
    def restated_at(self) -> str | None:
        """When a changed row became known: SQL over the columns of the SELECT; None: when it was taken in."""
        if self.header.product is None:
            return self.header.restated_at
        # Where it is given, the first version of a fact is known then too: not so of pages as if they were on time.
        return None if self.header.as_if_on_time else "published_at"

    @property
    def promises_watermark(self) -> bool:
        """Whether it says itself up to when its facts have been delivered, or how often they are."""
        return self.header.watermark is not None or (self.header.expect is not None and bool(self.header.expect.every))

    @property
    def promise(self) -> list[str]:
        """What labels depend on besides the facts: what the source says of how far it has delivered."""
        header = self.header
        if not self.promises_watermark:
            return []
        expect = header.expect or Expectation()
        quiet = [[f"{each.after}", f"{each.before}"] for each in expect.quiet]
        return [f"{header.watermark}", f"{expect.every}", f"{quiet}"]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what the source means: its parsed query, and the header's keys that bear on rows."""
        return self._hash(self.header.arrives_within.total_seconds())

    @cached_property
    def facts_fingerprint(self) -> str:
        """A hash of what bears on the facts: all of `fingerprint` but `arrives_within`, which sandboxes add to them."""
        return self._hash(None)

    def _hash(self, arrives_within_s: float | None) -> str:
        from warehouse.queries.checked_query import fingerprint_of

        header = self.header
        queries = [entry.query.fingerprint for entry in self.entries]
        return fingerprint_of(
            queries or self.query.fingerprint,
            header.key,
            self.known_at,
            self.restated_at,
            header.withdrawn,
            arrives_within_s,
            header.rules,
            *([header.product, header.as_if_on_time] if header.product else []),
            *([header.delivery.kind] if header.delivery else []),
        )
