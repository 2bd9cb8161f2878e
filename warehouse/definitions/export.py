"""The targets that a product's publications are handed to (the key `export` of product.yaml)."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from warehouse.definitions.sql_file import Strict

#: What a target is, by what `to` looks like.
TargetKind = Literal["sqlite", "duckdb", "files"]
#: What a target holds: what PRODUCT_current shows (swap), or each page by itself (replace_page).
WriteMode = Literal["swap", "replace_page"]
_ENDINGS: dict[str, TargetKind] = {".sqlite": "sqlite", ".sqlite3": "sqlite", ".duckdb": "duckdb", "/": "files"}


class TargetSettings(Strict):
    """One target: where it is, and what it is to hold."""

    to: str
    table: str | None = Field(default=None, min_length=1, max_length=63)
    format: Literal["parquet", "csv", "jsonl"] | None = None
    columns: list[str] = Field(default_factory=list)

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        # A value with `://` is not shown: it may hold a password.
        if "://" in value:
            raise ValueError("`to` is a path in the suite or an absolute one; URLs are not written to")
        if not any(value.endswith(ending) and len(value) > len(ending) for ending in _ENDINGS):
            raise ValueError(f"`{value}` is no target: end it in .sqlite, .duckdb, or, for a directory of files, in /")
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.kind == "files" and self.table is not None:
            raise ValueError(f"`table` goes with a database, and `{self.to}` is a directory of files")
        if self.kind != "files" and self.format is not None:
            raise ValueError(f"`format` goes with a directory of files, whose `to` ends in /, and `{self.to}` is none")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("`columns` names a column twice")
        return self

    @property
    def kind(self) -> TargetKind:
        """What the target is."""
        return next(kind for ending, kind in _ENDINGS.items() if self.to.endswith(ending))

    @property
    def write(self) -> WriteMode:
        """What the target holds."""
        return "replace_page" if self.kind == "files" else "swap"

    def problems(self, name: str, keys: list[str]) -> list[str]:
        """Say what does not go with a product of these keys."""
        lacking = [key for key in keys if self.columns and key not in self.columns]
        return [f"`export.{name}.columns` leaves out `{key}`, by which rows are told apart" for key in lacking]


def _apart(value: dict[str, TargetSettings]) -> dict[str, TargetSettings]:
    odd = [name for name in value if not re.fullmatch("[a-z_][a-z0-9_]*", name)]
    if odd:
        raise ValueError(f"the name `{odd[0]}` of a target must be lower-case letters, digits and underscores")
    places = [posixpath.normpath(target.to) for target in value.values()]
    twice = [target.to for target, place in zip(value.values(), places, strict=True) if places.count(place) > 1]
    if twice:
        raise ValueError(f"two targets are `{twice[0]}`; what one writes the other would replace")
    return value


Targets = Annotated[dict[str, TargetSettings], AfterValidator(_apart)]
