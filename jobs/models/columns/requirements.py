"""What a version needs, compared with what its product's definitions give: its columns, their kinds, its label.

A table of feature pages keeps the columns that pages once had. A version that reads one that no definition gives any
more would be given NULL for it, and would go on publishing; so every way that scores asks here first.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from warehouse.definitions import Definitions, Product
from warehouse.errors import DefinitionError, UsageError
from warehouse.label_kinds import KINDS
from warehouse.lake.connections import remembered
from warehouse.lake.lake import table_columns
from warehouse.ledger.derivations import held_facts
from warehouse.ledger.records import ModelRecord
from warehouse.lineage import binding
from warehouse.lineage.binding import Bound, bind_product
from warehouse.private_cache import Stamps
from warehouse.sandbox import source_columns
from warehouse.system_sql import system_sql

#: The code that binds, as it was loaded.
_OWN_CODE = hashlib.sha256(Path(binding.__file__).read_bytes()).hexdigest()
#: Products whose queries bound.
_bound_well = Stamps("bindings")
#: So many columns are named in a message.
_SHOWN = 5
_NOT_BOUND = "no page can be made"


def given_columns(
    connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product
) -> dict[str, str] | None:
    """Give the columns of a product's feature pages by the definitions as they are, with their types.

    They are read from the ledger if a page was made under these definitions; otherwise the queries are bound over the
    columns of the lake's sources.

    Parameters
    ----------
    connection
        One that reads the lake.

    Returns
    -------
    None if a source of the product was never ingested.

    Raises
    ------
    DefinitionError
        If the queries do not bind.
    """
    recorded = recorded_columns(connection, definitions.page_fingerprint(product), "lake")
    if recorded is not None:
        return recorded
    bound = _bound(connection, definitions, product)
    if bound is None:
        return None
    if ("page", product.name) in bound.problems:
        raise DefinitionError(bound.mistakes)
    return bound.columns["page", product.name]


def require_bound(connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product) -> None:
    """See that all queries of a product bind over the lake's sources, and make up a page.

    That they did is remembered from process to process: to bind a dozen queries takes some tenths of a second.

    Raises
    ------
    DefinitionError
        With every mistake, each with file and line. Nothing is told of what reads a source that was never ingested.
    """
    columns = _source_columns(connection, definitions, product)
    queries = [product.entities, product.label, *(check.query for check in product.checks)]
    queries += [product.rule] if product.rule is not None else []
    parts = [query.fingerprint for query in queries] + [definitions.page_fingerprint(product)]
    known = hashlib.sha256(json.dumps([_OWN_CODE, duckdb.__version__, parts, columns, repr(product.header)]).encode())
    if known.hexdigest() in _bound_well:
        return
    bound = _bound(connection, definitions, product)
    if bound is not None and bound.mistakes:
        raise DefinitionError(bound.mistakes)
    if bound is not None:
        _bound_well.add(known.hexdigest())


def _bound(connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product) -> Bound | None:
    """Bind a product's queries over the lake's sources; None if one that its pages read was never ingested."""
    columns = _source_columns(connection, definitions, product)
    if not all(source.name in columns for source in definitions.sources_of(product)):
        return None
    return bind_product(definitions, product, columns)


def _source_columns(
    connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product
) -> dict[str, dict[str, str]]:
    """Give the columns of the sources that a product reads, as far as they were ingested."""
    queries = [product.entities, product.label, *(check.query for check in product.checks)]
    queries += [group.query for group in definitions.groups_of(product)]
    found, held = {}, held_facts(connection)
    for source in definitions.sources_read(queries):
        with contextlib.suppress(UsageError):
            columns = source_columns(connection, held, source)
            found[source.name] = {name: kind for name, kind in columns.items() if name != "known_at"}
    return found


@remembered
def recorded_columns(connection: duckdb.DuckDBPyConnection, definitions: str, lake: str) -> dict[str, str] | None:
    """Give the columns of feature pages made under a set of definitions, by its hash; None if they are not known.

    `lake` is the name under which the connection, which uses it, has the lake.
    """
    if "page_columns" not in table_columns(connection, "ledger", "definitions", lake):
        return None
    row = connection.execute(system_sql("ledger/page_columns"), [definitions]).fetchone()
    return dict(row[0]) if row and row[0] is not None else None


def unmet(product: Product, model: ModelRecord, columns: Mapping[str, str]) -> str | None:
    """Say why a version cannot score a product's pages as they are defined now; None if it can.

    Parameters
    ----------
    columns
        Those of the feature pages, with their DuckDB types.
    """
    kind, learnt = product.kind.name, label_kind_of(model)
    reasons = []
    if learnt is not None and learnt != kind:
        reasons.append(f"it learnt a {learnt} label, and label.kind of {product.yaml_where} is {kind}")
    lacking = [each for each in product.quantiles if each not in quantiles_of(model)] if learnt == kind else []
    if lacking:
        listed = ", ".join(f"{each:g}" for each in quantiles_of(model))
        reasons.append(f"it gives the quantiles {listed}, and label.quantiles asks for {_listed([*map(str, lacking)])}")
    gone = [name for name in classes_of(model) if name not in product.classes] if learnt == kind else []
    if gone:
        reasons.append(f"it tells of {_gone_in_words(gone, product, model)}, which label.classes has not any more")
    missing = [name for name in model.features if name not in columns]
    if missing:
        reasons.append(f"it reads {_missing_in_words(missing, model, columns)}")
    changed = [
        f"`{name}` ({learnt_type} then, {columns[name]} now)"
        for name, learnt_type in model.feature_types.items()
        if name in columns and _is_text(learnt_type) != _is_text(columns[name])
    ]
    if changed:
        reasons.append(f"{_listed(changed)} changed between text and number")
    return f"{product.name} {model.version} can write no page: {'; '.join(reasons)}" if reasons else None


def versions_unfit(
    connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product, models: Iterable[ModelRecord]
) -> dict[str, str]:
    """Give the versions that can write no page of a product as it is defined now, each with the reason.

    Where the queries do not bind, that is the reason, and no version can.
    """
    listed = list(models)
    try:
        columns = given_columns(connection, definitions, product) if listed else None
    except DefinitionError as error:
        return dict.fromkeys((model.version for model in listed), f"{_NOT_BOUND}: {str(error).rstrip('.')}")
    if columns is None:
        return {}
    return {model.version: why for model in listed if (why := unmet(product, model, columns))}


def require_met(product: Product, model: ModelRecord, columns: Mapping[str, str]) -> None:
    """See that a version can score a product's pages as they are defined now.

    Raises
    ------
    UsageError
        If it cannot; the message says what it lacks, and what to do.
    """
    if why := unmet(product, model, columns):
        raise UsageError(f"{why}. {what_to_do(product)}")


def with_advice(product: Product, why: str) -> str:
    """Say why no version, or none that is live, can write pages, and what to do: no training mends a query."""
    return f"{why}." if why.startswith(_NOT_BOUND) else f"{why}. {what_to_do(product)}"


def what_to_do(product: Product) -> str:
    """Say what to do about a version that cannot write pages any more."""
    return (
        f"Train a version on the definitions as they are (almanac train {product.name}) and make it live (almanac"
        f" promote {product.name} VERSION), or take the change back."
    )


def label_kind_of(model: ModelRecord) -> str | None:
    """Give the kind of label that a version learnt, recorded or told by its figures; None if nothing tells it."""
    if model.label_kind is not None:
        return model.label_kind
    return next((name for name, kind in KINDS.items() if kind.told_by in model.metrics), None)


def classes_of(model: ModelRecord) -> tuple[str, ...]:
    """Name the classes whose labels a version has seen, in the order of its predictions; none of other labels."""
    return tuple(_learnt(model).get("classes", ()))


def quantiles_of(model: ModelRecord) -> tuple[float, ...]:
    """Give the quantiles that a version predicts, in order; none of other labels."""
    return tuple(_learnt(model).get("quantiles", ()))


def declared_classes_of(model: ModelRecord) -> tuple[str, ...]:
    """Name the classes that were declared when a version was trained: those of its held-out predictions."""
    return tuple(_learnt(model).get("declared", ()))


def _learnt(model: ModelRecord) -> dict[str, Any]:
    return dict(json.loads(model.validation or "{}"))


def unseen_notes(product: Product, models: Iterable[ModelRecord]) -> list[str]:
    """Say of each version which classes it has never seen a label of."""
    found = []
    for model in models:
        unseen = [name for name in product.classes if name not in classes_of(model)]
        if unseen and label_kind_of(model) == product.kind.name:
            listed = _listed([f"`{name}`" for name in unseen])
            found.append(f"{model.version} has seen no label of {listed}, and gives it no probability.")
    return found


def learnt_another_label(model: ModelRecord, fingerprint: str) -> bool:
    """Tell whether a version is known to have learnt another label than the one with this fingerprint."""
    return model.label_definition is not None and model.label_definition != fingerprint


def label_notes(definitions: Definitions, product: Product, models: Iterable[ModelRecord]) -> list[str]:
    """Say of each version that learnt another label than the one declared now that figures measure it by that one."""
    now = definitions.label_definition(product)
    return [
        f"{model.version} learnt another label than {product.label.where} gives now: these figures measure it by a"
        " label that it was not trained for."
        for model in models
        if learnt_another_label(model, now)
    ]


def not_comparable(
    product: Product, model: ModelRecord, columns: Mapping[str, str], label_definition: str
) -> str | None:
    """Say why a version's figures do not stand beside those of one that learnt the label as it is; None if they do."""
    if (why := unmet(product, model, columns)) is not None:
        return why
    if learnt_another_label(model, label_definition):
        return f"{product.name} {model.version} learnt another label than {product.label.where} gives now"
    return None


def _gone_in_words(gone: list[str], product: Product, model: ModelRecord) -> str:
    new = [name for name in product.classes if name not in classes_of(model)]
    said = []
    for name in gone:
        near = difflib.get_close_matches(name, new, n=1)
        said.append(f"`{name}`{f' (renamed to `{near[0]}`?)' if near else ''}")
    return _listed(said)


def _missing_in_words(missing: list[str], model: ModelRecord, columns: Mapping[str, str]) -> str:
    new = [name for name in columns if name not in model.features]
    said = []
    for name in missing:
        near = difflib.get_close_matches(name, new, n=1)
        said.append(f"`{name}`{f' (renamed to `{near[0]}`?)' if near else ''}")
    return f"{_listed(said)}, which the definitions do not give any more"


def _listed(said: list[str]) -> str:
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return f"{', '.join(said[:_SHOWN])}{more}"


def _is_text(kind: str) -> bool:
    return kind == "VARCHAR"
