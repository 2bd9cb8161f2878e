"""A bundle's tables as one plain JSON file, for readers that have no SQLite: browsers.

It is for bundles that fit into a browser's memory. Whole numbers of keys are text in it, since JavaScript's numbers
hold 53 bits; the compiled model is base64.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.bundles.key_columns import KeyColumn
from warehouse.errors import RunFailed
from warehouse.system_sql import quote, system_sql


def write_plain(file: Path, target: Path, keys: Sequence[KeyColumn], said: Mapping[str, Any], place: str) -> None:
    """Write what a bundle's file holds as JSON.

    Parameters
    ----------
    file
        The SQLite file.
    target
        The JSON file to write.
    keys
        The product's keys.
    said
        What the manifest says of `fallback_columns` and `on_demand`.
    place
        What to call the bundle in errors.

    Raises
    ------
    RunFailed
        JSON has no word for a value in it.
    """
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:

        def rows(name: str, columns: str) -> list[Any]:
            return database.execute(system_sql("export/bundle/plain", columns=columns, table=quote(name))).fetchall()

        beyond = [KeyColumn(each["name"], each["type"]) for each in said["fallback_columns"]]
        told = said.get("on_demand") or {}
        content = {
            "made": rows("almanac_made", "almanac_made, facts"),
            "predictions": rows("predictions", f"{_texts(keys)}, valid_until, almanac_made, prediction"),
            "fallback": rows("fallback", f"almanac_level{_after(beyond)}, valid_until, facts, prediction")
            if said["levels"]
            else [],
            "groups": {
                group["table"]: rows(group["table"], _group_columns(group, told["key_types"][group["table"]]))
                for group in told.get("groups", [])
            },
            "model": _model(database) if told else None,
        }
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise RunFailed(f"{place} cannot hold infinite numbers as JSON. What it held before is still there.") from error
    target.write_text(text, encoding="utf-8")


def _texts(keys: Sequence[KeyColumn]) -> str:
    return ", ".join(
        f"CAST({quote(key.name)} AS TEXT)" if key.storage == "INTEGER" else quote(key.name) for key in keys
    )


def _after(keys: Sequence[KeyColumn]) -> str:
    return f", {_texts(keys)}" if keys else ""


def _group_columns(group: Mapping[str, Any], types: Sequence[str]) -> str:
    keys = [KeyColumn(name, kind) for name, kind in zip(group["keys"], types, strict=True)]
    return ", ".join([_texts(keys), *map(quote, group["values"])])


def _model(database: sqlite3.Connection) -> str:
    (data,) = database.execute("SELECT compiled FROM almanac_model").fetchone()
    return base64.b64encode(data).decode()
