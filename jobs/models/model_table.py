"""All products and versions of a suite in one table, what was live at any time, and all that is known of a version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from jobs.models.columns.findings import FeatureFindings, findings_of
from jobs.models.columns.requirements import learnt_another_label, unseen_notes
from jobs.models.compiled_files import compiled_file
from jobs.models.versions import ModelHistory, model_history
from jobs.suite import Suite
from warehouse.errors import AlmanacError
from warehouse.lake.lake import check_format
from warehouse.ledger import records as ledger
from warehouse.ledger.decisions import Decision, GateRecord, decisions, gates_of
from warehouse.ledger.records import ModelRecord, Promotion
from warehouse.ledger.rollouts import Rollout, Step, courses_of, stage_name
from warehouse.system_sql import system_sql


def model_rows(suite: Suite, product_name: str | None = None) -> list[dict[str, Any]]:
    """Give one row a version, of one product or of all: whose it is, its state, and how it did.

    The states: live; next (promoted, for pages to come); past (was live); retired; refused (its gates did not pass);
    registered (never decided on). A product that the ledger knows and no definition names any more is listed too.
    """
    if product_name is not None:
        suite.definitions.product(product_name)
    now = suite.clock()
    with suite.lake.reading() as connection:
        known = [str(name) for (name,) in connection.execute(system_sql("ledger/products_with_models")).fetchall()]
        names = [product_name] if product_name else sorted({*suite.definitions.products, *known})
        return [row for name in names for row in _rows_of(connection, suite, name, now)]


def _rows_of(connection: duckdb.DuckDBPyConnection, suite: Suite, name: str, now: datetime) -> list[dict[str, Any]]:
    history, made = model_history(connection, name), decisions(connection, name)
    product = suite.definitions.products.get(name)
    return [
        {
            "product": name,
            "version": model.version,
            "state": state_of(history, made, model.version, now),
            "owner": product.header.owner if product else None,
            "team": product.header.team if product else None,
            "label_cutoff": model.label_cutoff,
            "pages": labelled_pages(model),
            "rows": model.n_rows,
            "estimator": model.estimator,
            "scorer": model.scorer,
            "continues": model.parent,
            "label": _label_of(suite, name, model),
            "live_from": _live_from(history, model.version),
            "trained_by": model.trained_by,
            "metrics": _validation(model),
        }
        for model in history.models
    ]


def labelled_pages(model: ModelRecord) -> int:
    """Give how many pages had labels that a version learnt; of versions of old, how many its range has."""
    return int(model.metrics.get("labelled_pages", model.n_pages))


def _label_of(suite: Suite, name: str, model: ModelRecord) -> str | None:
    """Tell whether a version learnt the label as it is declared now: figures of other ones are no match for it."""
    product = suite.definitions.products.get(name)
    if product is None or model.label_definition is None:
        return None
    other = learnt_another_label(model, suite.definitions.label_definition(product))
    return f"other ({model.label_definition[:6]})" if other else "as now"


def _validation(model: ModelRecord) -> dict[str, float]:
    prefix = "validation_"
    return {name.removeprefix(prefix): value for name, value in model.metrics.items() if name.startswith(prefix)}


def _live_from(history: ModelHistory, version: str) -> datetime | None:
    starts = [promotion.effective_from for promotion in history.promotions if promotion.version == version]
    return min(starts, default=None)


def state_of(history: ModelHistory, made: Sequence[Decision], version: str, now: datetime) -> str:
    """Give a version's state, see `model_rows`."""
    if ledger.model_in_effect(history.promotions, now) == version:
        return "live"
    coming = [promotion.effective_from for promotion in history.promotions if promotion.effective_from > now]
    if any(ledger.model_in_effect(history.promotions, start) == version for start in coming):
        return "next"
    own = [decision for decision in made if decision.version == version]
    if [d.action for d in own if d.taken and d.action != "train"][-1:] == ["retire"]:
        return "retired"
    if any(promotion.version == version for promotion in history.promotions):
        return "past"
    return "refused" if own and not own[-1].passed else "registered"


@dataclass(frozen=True)
class Live:
    """Who writes a page, by whose decision; and who would have written it by the decisions made up to then.

    `by_then` differs from `promotion` where a later decision reached back, as a rollback does. `timeline` has a row
    for each stretch of pages. `rollout` says which versions are tried beside it on that page, and in which stage.
    """

    product: str
    at: datetime
    promotion: Promotion | None
    by_then: Promotion | None
    timeline: list[dict[str, Any]] = field(default_factory=list)
    rollout: dict[str, Any] | None = None


def live(suite: Suite, product_name: str, at: datetime | None = None) -> Live:
    """Tell which version writes the page of an instant (default: now), who made it so, when and why."""
    product = suite.definitions.product(product_name)
    instant = at or suite.clock()
    with suite.lake.reading() as connection:
        promotions = model_history(connection, product.name).promotions
        courses = courses_of(connection, product.name)
    deciding_now = ledger.model_in_effect(promotions, instant)
    by_then = [promotion for promotion in promotions if promotion.promoted_at <= instant]
    starts = sorted({promotion.effective_from for promotion in promotions})
    deciding = [ledger.deciding_promotion(promotions, start) for start in starts]
    timeline = [{"from": start, **vars(one)} for start, one in zip(starts, deciding, strict=True) if one is not None]
    return Live(
        product.name,
        instant,
        ledger.deciding_promotion(promotions, instant),
        ledger.deciding_promotion(by_then, instant),
        timeline,
        _arms(courses.at(instant, deciding_now)),
    )


def _arms(said: tuple[Rollout, Step] | None) -> dict[str, Any] | None:
    if said is None:
        return None
    rollout, step = said
    return {"rollout": rollout.rollout_id, "stage": stage_name(rollout, step.stage), "versions": step.versions}


def held_out_metrics(model: ModelRecord) -> list[dict[str, Any]]:
    """Give the metrics of what was held out, over all of it and over the newest pages; a row a metric."""
    prefix = "validation_"
    names = [name.removeprefix(prefix) for name in model.metrics if name.startswith(prefix)]
    return [
        {
            "metric": name,
            "held_out": model.metrics[f"{prefix}{name}"],
            "newest_pages": model.metrics.get(f"last_{name}"),
        }
        for name in names
    ]


@dataclass(frozen=True)
class ModelCard:
    """All that the ledger has of a version, newest decisions last; `compiled` says which file scores it, if any."""

    model: ModelRecord
    compiled: str
    state: str
    folds: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    by_class: list[dict[str, Any]]
    unseen: list[str]
    beside: list[dict[str, Any]]
    features: FeatureFindings
    decisions: list[Decision]
    gates: list[GateRecord]
    promotions: list[Promotion]
    pages_written: int


def model_card(suite: Suite, product_name: str, version: str) -> ModelCard:
    """Read what a version was made from, how it did, what was decided on it, and how many pages it wrote.

    Raises
    ------
    NotFoundError
        If there is no such version.
    """
    product = suite.definitions.product(product_name)
    with suite.lake.reading() as connection:
        history, made = model_history(connection, product_name), decisions(connection, product_name)
        model = history.version(version)
        gates = gates_of(connection, product_name, version)
        written = connection.execute(system_sql("ledger/pages_written"), [product_name, version]).fetchone()
        compiled = _compiled(connection, suite, model)
    learnt = json.loads(model.validation or "{}")
    return ModelCard(
        model,
        compiled,
        state_of(history, made, version, suite.clock()),
        learnt.get("folds", []),
        learnt.get("calibration", []),
        learnt.get("by_class", []),
        unseen_notes(product, [model]),
        learnt.get("beside", []),
        findings_of(model),
        [decision for decision in made if decision.version == version],
        gates,
        [promotion for promotion in history.promotions if promotion.version == version],
        int(written[0]) if written else 0,
    )


def _compiled(connection: duckdb.DuckDBPyConnection, suite: Suite, model: ModelRecord) -> str:
    """Say which file scores a version, or why the estimator's is read."""
    try:
        file = compiled_file(connection, model, suite.lake.root, check_format(connection, suite.lake.root))
    except AlmanacError as error:
        return str(error)
    if file is not None:
        return f"{file.name}, SHA-256 {file.sha256}"
    if model.is_rule:
        return "none: it is a text of SQL"
    if model.scorer == "estimator":
        return "none: the model cannot be compiled, and is read through skops"
    return "none: the model is read through skops; it is compiled at its next scoring, if a file can hold it"
