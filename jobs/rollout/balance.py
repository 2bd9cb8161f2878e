"""Balance: how the units that arms are given had differed before any arm served them. Recorded as a rollout begins."""

from __future__ import annotations

import json

import duckdb

from jobs.models.arms.assignment import Assignment, unit_sql
from jobs.pages.scores.steps import assignment_of
from warehouse.definitions import Product
from warehouse.definitions.rollout import RolloutSettings
from warehouse.lake.lake import table_columns
from warehouse.ledger.rollouts import Rollout
from warehouse.system_sql import quote, system_sql

#: So many of the newest labelled pages are looked at.
PAGES = 60


def balance_of(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    rollout: Rollout,
    settings: RolloutSettings,
    unit: tuple[str, ...],
) -> str | None:
    """Give rows, units and the mean label by arm of the last canary by share or list, as JSON; None if none is known.

    An arm whose units had other outcomes before will have other outcomes again: that is chance, and not its model.
    """
    columns = table_columns(connection, "labels", product.name)
    given = [
        assignment_of(settings, place, rollout.salt, unit, rollout.live, rollout.versions)
        for place, stage in enumerate(settings.stages)
        if stage.canary is not None and stage.canary.where is None
    ]
    if not given or not columns.keys() >= {"as_of", "label", *unit}:
        return None
    return json.dumps(_rows(connection, product, given[-1], columns["label"]), sort_keys=True)


def _rows(
    connection: duckdb.DuckDBPyConnection, product: Product, given: Assignment, label_type: str
) -> list[dict[str, object]]:
    query = system_sql(
        "rollouts/balance",
        given=given.arm_sql(),
        unit=unit_sql(given.unit),
        label="NULL::DOUBLE" if label_type == "VARCHAR" else "label::DOUBLE",
        table=quote(product.name),
        pages=str(PAGES),
    )
    names = ("arm", "n_rows", "n_units", "mean_label")
    return [dict(zip(names, row, strict=True)) for row in connection.execute(query).fetchall()]
