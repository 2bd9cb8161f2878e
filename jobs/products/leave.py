"""Rename a product, or take it out of a lake whose suite has it no more.

Which tables name a product is told by the registry of tables. A rename is one commit; what a killed process leaves of
it is copies of models that nothing names, which `almanac upkeep` clears.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from dataclasses import dataclass, field

from jobs.metering import RunMeter, who
from jobs.models.artifacts import MANIFEST_FILE
from jobs.suite import Suite
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.lake import Commit, newest_snapshot, table_columns
from warehouse.lake.registry import OPERATIONS, TABLES, Table, arms_table, views_of_products
from warehouse.lake.staged_files import sha256_of
from warehouse.lake.tables import drop_view
from warehouse.ledger import records as ledger
from warehouse.ledger.decisions import Decision
from warehouse.operations.leases import pages_held
from warehouse.operations.state import open_operations, writing
from warehouse.pages.views import ensure_views
from warehouse.system_sql import quote, system_sql

#: What people decided, and what runs cost, outlasts the tables of a product.
_OUTLASTS = frozenset({"runs", "decisions", "gates", "promotions", "rollbacks", "rollouts", "rollout_steps", "alarms"})
REMOVED = "remove the product"


@dataclass
class Left:
    """What was done: `tables` that were renamed or dropped, and how many `rows` of the ledger changed or went."""

    product: str
    tables: list[str] = field(default_factory=list)
    rows: int = 0


def products_gone(suite: Suite) -> list[str]:
    """List the products that the lake knows, that the suite does not have, and that nobody removed."""
    with suite.lake.reading() as connection:
        rows = connection.execute(system_sql("products/gone")).fetchall()
    return [name for name, is_removed in rows if name not in suite.definitions.products and not is_removed]


def rename_product(suite: Suite, old: str, new: str, reason: str | None) -> Left:
    """Give a product, whose files were renamed already, all that the lake has of it under its old name.

    Raises
    ------
    NotFoundError
        If the suite has no product of the new name, or the lake nothing of the old.
    UsageError
        If the suite still has the old one, or the lake has something of the new.
    RunFailed
        If a page of it is being made.
    """
    product = suite.definitions.product(new)
    _require_gone(suite, old)
    with suite.lake.reading() as connection:
        if any(table_columns(connection, schema, new) for schema in ("features", "predictions")):
            raise UsageError(f"the lake has tables of {new} already: choose another name, or remove that one first.")
    done, meter = Left(old), RunMeter(suite, "rename", new)
    with suite.lake.reading() as connection:
        seen, models = newest_snapshot(connection), ledger.models(connection, old)
    copies = {model.artifact: _copied(suite, model.artifact, new) for model in models}
    kept = {artifact: suite.lake.root / artifact for artifact in copies.values()}
    with suite.lake.commit(f"rename {old} to {new}", kept=kept) as commit:
        _drop_views(commit, old)
        for schema, before, after in _tables(old, new):
            if table_columns(commit.connection, schema, before):
                commit.execute(f"ALTER TABLE {schema}.{quote(before)} RENAME TO {quote(after)}")
                done.tables.append(f"{schema}.{after}")
        models = ledger.models(commit.connection, old)
        for table in _ledger_tables():
            done.rows += _run(
                commit, f"UPDATE ledger.{table.name} SET {table.product} = $2 WHERE {table.product} = $1", [old, new]
            )
        for model in models:
            # A version, or a file beside one, may have come meanwhile, and upkeep clears what nothing names.
            artifact = copies.get(model.artifact)
            if artifact is None or commit.snapshot_id != seen + 1 or not (suite.lake.root / artifact).is_dir():
                artifact = _copied(suite, model.artifact, new)
            commit.turn.keep(artifact)
            manifest = sha256_of(suite.lake.root / artifact / MANIFEST_FILE)
            commit.execute(system_sql("ledger/move_version"), [new, model.version, artifact, manifest])
        _decided(commit, suite, new, old, "rename the product", reason)
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
        ensure_views(commit, product)
    with contextlib.closing(open_operations(suite.lake.root)) as state, writing(state):
        for table in TABLES:
            if table.schema == OPERATIONS and table.product is not None:
                state.execute(
                    f"UPDATE OR REPLACE {table.name} SET {table.product} = ? WHERE {table.product} = ?", [new, old]
                )
    suite.lake.storage.remove(f"artifacts/{old}")
    return done


def remove_product(suite: Suite, name: str, reason: str | None, *, tables: bool) -> Left:
    """Take a product that the suite has no more out of what is looked after; with `tables` also out of the lake.

    What people decided on it, and what its runs cost, stays; with `tables` under a name that no product can have, so
    that another product can have its name.

    Raises
    ------
    NotFoundError
        If the lake has nothing of it.
    UsageError
        If the suite still has it.
    RunFailed
        If a page of it is being made.
    """
    _require_gone(suite, name, again=tables)
    done, meter = Left(name), RunMeter(suite, "remove", name)
    with suite.lake.commit(f"remove {name}") as commit:
        if tables:
            _drop_views(commit, name)
            for schema, table, _ in _tables(name, name):
                if table_columns(commit.connection, schema, table):
                    commit.execute(f"DROP TABLE {schema}.{quote(table)}")
                    done.tables.append(f"{schema}.{table}")
            former = f"{name} (removed {meter.started_at:%Y-%m-%d %H:%M})"
            for each in _ledger_tables():
                kept = each.name in _OUTLASTS
                change = (
                    f"UPDATE ledger.{each.name} SET {each.product} = $2" if kept else f"DELETE FROM ledger.{each.name}"
                )
                values: list[object] = [name, former] if kept else [name]
                done.rows += _run(commit, f"{change} WHERE {each.product} = $1", values)
            _decided(commit, suite, former, "-", REMOVED, reason)
        else:
            _decided(commit, suite, name, "-", REMOVED, reason)
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
    if tables:
        suite.lake.storage.remove(f"artifacts/{name}")
    return done


def _require_gone(suite: Suite, name: str, *, again: bool = False) -> None:
    if name in suite.definitions.products:
        raise UsageError(
            f"the suite still has the product {name}: delete or rename sql/products/{name} first. Nothing was changed."
        )
    with suite.lake.reading() as connection:
        there = dict(connection.execute(system_sql("products/gone")).fetchall())
    if there.get(name, True) and not (again and name in there):
        raise NotFoundError(f"the lake has no pages and no versions of a product {name}. Nothing was changed.")
    if pages_held(suite.lake, name):
        raise RunFailed(f"pages of {name} are being made; wait for that, or stop it, and run this again.")


def _tables(old: str, new: str) -> list[tuple[str, str, str]]:
    own = [(schema, old, new) for schema in ("features", "labels", "predictions")]
    return [*own, ("predictions", arms_table(old), arms_table(new))]


def _ledger_tables() -> list[Table]:
    return [table for table in TABLES if table.schema == "ledger" and table.product is not None and not table.is_view]


def _drop_views(commit: Commit, product: str) -> None:
    for ending in views_of_products():
        drop_view(commit, "predictions", f"{product}_{ending}")


def _run(commit: Commit, query: str, values: list[object]) -> int:
    row = commit.execute(query, values).fetchone()
    return int(row[0]) if row else 0


def _copied(suite: Suite, artifact: str, new: str) -> str:
    """Copy a version's directory to where another product's lie, with a manifest that names that; give its place."""
    source = suite.lake.storage.fetch_all(artifact)
    target = suite.lake.artifacts / new / source.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    manifest = json.loads((target / MANIFEST_FILE).read_text(encoding="utf-8"))
    text = json.dumps({**manifest, "product": new}, indent=2, sort_keys=True)
    (target / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return target.relative_to(suite.lake.root).as_posix()


def _decided(commit: Commit, suite: Suite, product: str, concerns: str, action: str, reason: str | None) -> None:
    decision = Decision(
        decision_id=uuid.uuid4().hex,
        product=product,
        version=concerns,
        action=action,
        against=None,
        passed=True,
        forced=False,
        taken=True,
        effective_from=None,
        decided_at=suite.clock(),
        decided_by=who(),
        reason=reason,
        snapshot_id=commit.snapshot_id,
    )
    ledger.append(commit, [decision])
