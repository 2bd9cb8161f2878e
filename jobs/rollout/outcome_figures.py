"""What came of what a page's arms have served, by its label or by a file `outcomes/NAME.sql`: clicks, revenue.

More is better, and what nothing is known of counts as 0. Interleaved lists are drafted again, from the rankings that
stand beside the page, and what came of an entry is credited to the version that picked it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from jobs.metering import RunMeter
from jobs.models.arms.lists import drafted
from jobs.pages.scores.arms import interleaves
from jobs.rollout.arm_figures import ArmOfPage, compared_by_split, figures_of_page
from jobs.rollout.inference.covariate import ArmSums
from jobs.rollout.inference.interleaving import credit_of
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.rollout import LABEL, RolloutSettings
from warehouse.errors import DefinitionError, RunFailed
from warehouse.lake.lake import table_columns
from warehouse.lake.registry import arms_table
from warehouse.ledger.rollouts import Course
from warehouse.pages.labels import settled_by
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

_OUTCOMES, _DRAFTED = "almanac_outcomes", "almanac_drafted"


def judged_by(product: Product, plan: RolloutSettings) -> Product:
    """Give a product with the outcome of a rollout in its label's place: whose sources and maturity count.

    Raises
    ------
    DefinitionError
        If the file that the plan names is not there any more.
    """
    if plan.outcome == LABEL:
        return product
    if plan.outcome not in product.outcomes:
        raise DefinitionError(
            f"{product.yaml_where}: the rollout compares by {plan.outcome}, and there is no such file. Put it back, or"
            f" end the rollout: almanac rollout abort {product.name} --why ..."
        )
    return replace(product, label=product.outcomes[plan.outcome])


def figures_at(
    suite: Suite, product: Product, course: Course, plan: RolloutSettings, page: datetime, stage: int
) -> dict[str, ArmOfPage]:
    """Give what each arm of a page came to, by what the plan compares.

    Parameters
    ----------
    stage
        In which the page was made.
    """
    rollout = course.rollout
    lists = interleaves(rollout, stage)
    if plan.outcome == LABEL and not lists:
        with suite.lake.reading(all_cores=True) as connection:
            return figures_of_page(connection, product, page, rollout.live, list(plan.guardrails), plan.influenced)
    outcomes = _of_label(suite, product, page) if plan.outcome == LABEL else _of_file(suite, product, plan, page)
    with suite.lake.reading(all_cores=True) as connection:
        if not outcomes.num_rows or not table_columns(connection, "predictions", arms_table(product.name)):
            return {}
        connection.register(_OUTCOMES, outcomes)
        try:
            if lists:
                return _of_lists(connection, product, page, rollout.live, rollout.versions[0], rollout.salt)
            return _of_served(connection, product, page, rollout.live)
        finally:
            connection.unregister(_OUTCOMES)


def _of_label(suite: Suite, product: Product, page: datetime) -> pa.Table:
    keys = quote_all(product.keys)
    with suite.lake.reading() as connection:
        there = table_columns(connection, "labels", product.name)
        table = f"FROM labels.{quote(product.name)} WHERE as_of = $1" if there else "FROM range(0) WHERE $1 IS NULL"
        columns = f"{keys}, label::DOUBLE AS outcome" if there else "range AS outcome"
        return connection.execute(f"SELECT {columns} {table}", [page]).to_arrow_table()


def _of_file(suite: Suite, product: Product, plan: RolloutSettings, page: datetime) -> pa.Table:
    """Run `outcomes/NAME.sql` for a page, as known by now."""
    judged, table = judged_by(product, plan), "memory.main.outcomes"
    query, sources = judged.label, suite.definitions.sources_read([judged.label])
    run_id = RunMeter(suite, "rollout", product.name).run_id
    with suite.staging(run_id) as directory, Sandbox(suite.lake, spill=directory) as sandbox:
        known_by = settled_by(sandbox, suite.definitions, judged, suite.clock())
        with sandbox.at(known_by, sources) as view:
            for statement in ("pages/prepare", "pages/collect"):
                view.run_wrapped(statement, query, table, page, known_by=known_by)
        cursor = sandbox.cursor()
        found = [str(row[0]) for row in cursor.execute(f"DESCRIBE {table}").fetchall()]
        missing = [name for name in (*product.keys, "outcome") if name not in found]
        if missing:
            raise DefinitionError(f"{query.where}: it must select the keys and `outcome`; {missing} are missing.")
        columns = f"{quote_all(product.keys)}, outcome::DOUBLE AS outcome"
        rows = cursor.execute(f"SELECT {columns} FROM {table}").to_arrow_table()
        cursor.execute(f"DROP TABLE {table}")
    if rows.group_by(list(product.keys)).aggregate([]).num_rows < rows.num_rows:
        raise RunFailed(f"{query.where}: more than one outcome for one entity of the page {page}. Add them up in it.")
    return rows


def _of_lists(
    connection: duckdb.DuckDBPyConnection, product: Product, page: datetime, live: str, version: str, salt: str
) -> dict[str, ArmOfPage]:
    assert product.ranking is not None
    beside = f"predictions.{quote(arms_table(product.name))}"
    rankings = [
        f"(SELECT * FROM {beside} WHERE as_of = {timestamp_literal(page)} AND arm = {literal(arm)})"
        for arm in (live, version)
    ]
    table = drafted(connection, rankings[0], rankings[1], salt, product.keys, product.ranking)
    connection.register(_DRAFTED, table)
    try:
        query = system_sql(
            "rollouts/drafted_outcomes", drafted=_DRAFTED, outcomes=_OUTCOMES, keys=quote_all(product.keys)
        )
        rows = connection.execute(query).to_arrow_table()
    finally:
        connection.unregister(_DRAFTED)
    columns = [rows.column(name).to_numpy() for name in ("list", "place", "team", "outcome")]
    credit = credit_of(columns[0], columns[1], columns[2], columns[3], product.ranking.top)
    n_lists = len(np.unique(columns[0]))
    return {
        live: ArmOfPage(n_lists, None),
        version: ArmOfPage(credit.n_lists, None, difference=credit.difference),
    }


def _of_served(
    connection: duckdb.DuckDBPyConnection, product: Product, page: datetime, live: str
) -> dict[str, ArmOfPage]:
    one_score = not (product.classes or product.quantiles or product.ranking)
    unit: Sequence[str] = product.ranking.keys if product.ranking else product.keys
    query = system_sql(
        "rollouts/served_outcomes",
        table=quote(product.name),
        beside=quote(arms_table(product.name)),
        keys=quote_all(product.keys),
        unit=quote_all(unit, "served."),
        score=quote(product.score_column) if one_score else "NULL::DOUBLE",
        page=timestamp_literal(page),
        live=literal(live),
        outcomes=_OUTCOMES,
    )
    rows = connection.execute(query).to_arrow_table()
    arms = rows.column("arm").to_numpy(zero_copy_only=False).astype(str)
    loss, covariate = (rows.column(name).to_numpy().astype(np.float64) for name in ("loss", "covariate"))
    sums, found = dict[str, ArmSums](), dict[str, ArmOfPage]()
    for arm in np.unique(arms):
        y, x = loss[arms == arm], covariate[arms == arm]
        sums[str(arm)] = ArmSums.of(y, x)
        found[str(arm)] = ArmOfPage(len(y), float(y.mean()))
    for arm in found.keys() - {live} if live in found else ():
        found[arm] = compared_by_split(found[arm], sums[arm], sums[live])
    return found
