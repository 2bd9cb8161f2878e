"""What the facts of a source should be, worked out row by row in Python from its deliveries and its definition."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
COLUMNS = ("id", "depot", "n", "placed", "revised", "gone")
#: Columns that a SELECT may have, in SQL and in Python.
EXPRESSIONS: dict[str, Callable[[Row], Any]] = {
    "id": lambda row: row["id"],
    "depot": lambda row: row["depot"],
    "trim(depot) AS depot": lambda row: row["depot"].strip(),
    "depot AS spot": lambda row: row["depot"],
    "n": lambda row: row["n"],
    "n::VARCHAR AS n": lambda row: None if row["n"] is None else str(row["n"]),
    "n AS number": lambda row: row["n"],
    "placed": lambda row: row["placed"],
    "revised": lambda row: row["revised"],
    "gone": lambda row: row["gone"],
    "n > 2 AS big": lambda row: None if row["n"] is None else row["n"] > 2,
    "coalesce(n, 0) + 1 AS more": lambda row: (row["n"] or 0) + 1,
    "length(depot) AS length": lambda row: len(row["depot"]),
    "CASE WHEN gone THEN upper(depot) END AS loud": lambda row: row["depot"].upper() if row["gone"] else None,
}
RULES: dict[str, Callable[[Row], bool | None]] = {
    "n < 4": lambda row: None if row["n"] is None else row["n"] < 4,
    "length(depot) > 1": lambda row: len(row["depot"]) > 1,
}


def named(expression: str) -> str:
    """Give the name of a column of a SELECT."""
    return expression.rpartition(" AS ")[2]


@dataclass(frozen=True)
class Definition:
    """A definition of the source, of the parts that are tried."""

    select: tuple[str, ...] = ("id", "depot", "n", "placed", "revised", "gone")
    key: tuple[str, ...] = ("id",)
    days: int = 0
    where: bool = False
    restated: bool = False
    withdrawn: bool = False
    rules: tuple[str, ...] = ()

    def text(self, *, files: str, keep: bool) -> str:
        """Write it as a file."""
        rules = "".join(f"  rule {n}: {rule}\n" for n, rule in enumerate(self.rules))
        return (
            f"/*\ndescription: Orders.\nkey: [{', '.join(self.key)}]\nfiles: {files}\n"
            f"known_at: placed + INTERVAL {self.days} DAY\n"
            + ("restated_at: revised\n" if self.restated else "")
            + ("withdrawn: gone\n" if self.withdrawn else "")
            + (f"rules:\n{rules}" if rules else "")
            + ("keep: true\n" if keep else "")
            + f"*/\nSELECT {', '.join(self.select)}\nFROM read_csv($files, header = true, types = {{\n"
            "    'id': 'VARCHAR', 'depot': 'VARCHAR', 'n': 'INTEGER',\n"
            "    'placed': 'TIMESTAMP', 'revised': 'TIMESTAMP', 'gone': 'BOOLEAN'\n})"
            + ("\nWHERE n IS NULL OR n <> 3" if self.where else "")
        )


@dataclass
class Facts:
    """Facts as (content, known_at, withdrawn), and rejects as (content, withdrawn)."""

    facts: list[tuple[tuple[Any, ...], datetime, bool]] = field(default_factory=list)
    rejects: list[tuple[tuple[Any, ...], bool]] = field(default_factory=list)


def facts_of(definition: Definition, deliveries: Sequence[tuple[datetime, Sequence[Row]]]) -> Facts:
    """Take deliveries in, each at its instant."""
    held = Facts()
    versions: dict[tuple[Any, ...], list[tuple[tuple[Any, ...], datetime, bool]]] = {}
    names = [named(expression) for expression in definition.select]
    for now, rows in deliveries:
        fresh: dict[tuple[tuple[Any, ...], bool], Row] = {}
        for row in rows:
            if definition.where and row["n"] == 3:
                continue
            given = {name: EXPRESSIONS[text](row) for name, text in zip(names, definition.select, strict=True)}
            withdrawn = bool(definition.withdrawn and given["gone"])
            fresh[tuple(given.values()), withdrawn] = given
        newest = {key: found[-1] for key, found in versions.items()}
        compared = [one for found in versions.values() for one in found] if definition.restated else newest.values()
        known = {(content, withdrawn) for content, _, withdrawn in compared} | set(held.rejects)
        _judge(definition, now, {item: row for item, row in fresh.items() if item not in known}, newest, versions, held)
    held.facts = [one for found in versions.values() for one in found]
    return held


def _judge(
    definition: Definition,
    now: datetime,
    fresh: dict[tuple[tuple[Any, ...], bool], Row],
    newest: dict[tuple[Any, ...], tuple[tuple[Any, ...], datetime, bool]],
    versions: dict[tuple[Any, ...], list[tuple[tuple[Any, ...], datetime, bool]]],
    held: Facts,
) -> None:
    groups: dict[tuple[Any, ...], list[tuple[tuple[tuple[Any, ...], bool], Row]]] = {}
    for item, row in fresh.items():
        groups.setdefault(tuple(row[name] for name in definition.key), []).append((item, row))
    for key, members in groups.items():
        restated_at = [row["revised"] if definition.restated else None for _, row in members]
        order = sorted(range(len(members)), key=lambda n: (restated_at[n] is not None, restated_at[n] or now))
        accepted = []
        for nth, place in enumerate(order):
            (content, withdrawn), row = members[place]
            restated, declared = restated_at[place], row["placed"] + timedelta(days=definition.days)
            before = newest[key][1] if key in newest else None
            changes = before is not None or nth > 0 or withdrawn
            wrong = (
                any(RULES[rule](row) is False for rule in definition.rules)
                or restated_at.count(restated) > 1
                or (restated is not None and before is not None and restated <= before)
            )
            if wrong:
                held.rejects.append((content, withdrawn))
                continue
            known_at = restated or declared
            if changes and restated is None:
                known_at = max(now, before + timedelta(microseconds=1)) if before is not None else now
            accepted.append((content, known_at, withdrawn))
        for one in accepted:
            versions.setdefault(key, []).append(one)
            versions[key].sort(key=lambda version: version[1])


def random_definition(rng: random.Random, like: Definition | None = None) -> Definition:
    """Make up a definition; with `like`, one that differs from it in one thing or two."""
    found = like or Definition()
    for _ in range(rng.choice((1, 1, 2))):
        found = _edited(rng, found)
    names = {named(text) for text in found.select}
    if "depot" in found.key and "depot" not in names:
        found = replace(found, key=("id",))
    rules = tuple(rule for rule in found.rules if ("n" in found.select if rule == "n < 4" else "depot" in names))
    return replace(
        found,
        rules=rules,
        restated=found.restated and "revised" in names,
        withdrawn=found.withdrawn and "gone" in names,
    )


def _edited(rng: random.Random, old: Definition) -> Definition:
    kind = rng.choice(
        ("column", "column", "column", "drop", "order", "key", "known", "rule", "where", "restated", "gone")
    )
    if kind == "column":
        names = {named(text) for text in old.select}
        free = [text for text in EXPRESSIONS if named(text) not in names or (named(text) not in ("id", "placed"))]
        text = rng.choice(free)
        kept = [other for other in old.select if named(other) != named(text)]
        return replace(old, select=(*kept, text))
    if kind == "drop":
        can_go = [text for text in old.select if named(text) not in ("id", "placed")]
        gone = rng.choice(can_go) if can_go else ""
        return replace(old, select=tuple(text for text in old.select if text != gone))
    if kind == "order":
        return replace(old, select=tuple(rng.sample(old.select, len(old.select))))
    if kind == "key":
        return replace(old, key=("id", "depot") if old.key == ("id",) else ("id",))
    if kind == "known":
        return replace(old, days=1 - old.days)
    if kind == "rule":
        return replace(old, rules=() if old.rules else (rng.choice(list(RULES)),))
    if kind == "where":
        return replace(old, where=not old.where)
    return replace(old, restated=not old.restated) if kind == "restated" else replace(old, withdrawn=not old.withdrawn)


def random_rows(rng: random.Random, now: datetime, before: Sequence[Row], n_rows: int) -> list[Row]:
    """Make up rows of a delivery: new ones, and some of before, as they were or changed."""
    rows = []
    for _ in range(n_rows):
        if before and rng.random() < 0.6:
            row = dict(rng.choice(list(before)))
            if rng.random() < 0.6:
                row[rng.choice(("depot", "n", "gone"))] = None
                row = {**row, "depot": row["depot"] or rng.choice((" a", "a", "bb")), "gone": bool(row["gone"])}
                row["n"] = rng.choice((None, 1, 3, 5)) if row["n"] is None else row["n"]
                row["revised"] = now - timedelta(hours=rng.randint(1, 30))
        else:
            placed = now - timedelta(days=rng.randint(2, 9), hours=rng.randint(0, 23))
            row = {
                "id": f"k{rng.randint(1, 9)}",
                "depot": rng.choice((" a", "a", "bb", "c ")),
                "n": rng.choice((None, 1, 2, 3, 4, 5)),
                "placed": placed,
                "revised": placed + timedelta(hours=rng.randint(1, 40)),
                "gone": rng.random() < 0.15,
            }
        rows.append(row)
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    """Write rows as a file."""
    lines = [",".join(COLUMNS)]
    for row in rows:
        cells = ["" if row[name] is None else row[name] for name in COLUMNS]
        lines.append(",".join(str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in cells))
    return "\n".join(lines) + "\n"
