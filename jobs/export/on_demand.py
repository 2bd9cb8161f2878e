"""Adds to a bundle what it takes to score an entity that no page has: the model, and the newest page's feature groups.

The groups are computed once more, in the sandbox at the page's `as_of` and with the facts that the page was made from,
since a feature page keeps the rows of its own entities alone. Then the file is asked for entities that the page has,
and has to say what the page says of them, bit for bit. What cannot be made exactly is left out, and the manifest says
why: the bundle goes out all the same.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from jobs.bundles.compiled_trees import CompiledTrees, NotExact
from jobs.bundles.key_columns import BundleRefused, KeyColumn, KeyRefused, micros
from jobs.bundles.on_demand import OnDemand, Scoring
from jobs.export.content import Content
from jobs.export.from_request import from_request, require_declared
from jobs.export.kept_values import MADE, inside_of, kept_as
from jobs.models.arms.assignment import Assignment
from jobs.models.compiled_files import compiled_bytes, compiled_file
from jobs.models.versions import model_history
from jobs.scoring.interface.arrow_input import feature_kind, plain_column
from jobs.suite import Suite
from warehouse.batching.batch import Batch
from warehouse.batching.page_columns import PageColumn, joined_on, page_columns
from warehouse.batching.shared_rows import ENTITIES
from warehouse.definitions import Product
from warehouse.errors import DefinitionError, RunFailed, ScoringFailed
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord, PageRecord
from warehouse.ledger.rollouts import courses_of
from warehouse.lineage.binding import bind_product
from warehouse.sandbox import Sandbox, memory_limit_of, timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: So many entities of the page are compared.
_COMPARED = 64
_ROWS = "almanac_group_rows"
_BATCH_ROWS = 65_536
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
#: Types of entities.sql's columns that a request gives exactly, and what the model then reads.
_GIVEN = {**dict.fromkeys((*_INTEGERS, "DOUBLE", "BOOLEAN"), "float64"), "VARCHAR": "text"}


@dataclass(frozen=True)
class _Page:
    """The newest page: its publications, what its rows have in common, its version and that one's model."""

    features: PageRecord
    facts: str
    model: ModelRecord
    compiled: bytes
    kinds: Mapping[str, str]

    @property
    def as_of(self) -> datetime:
        """Its instant."""
        return self.features.as_of


@dataclass(frozen=True)
class OnDemandPart:
    """What is added to the bundles of one product."""

    suite: Suite
    product: Product

    def add(self, connection: duckdb.DuckDBPyConnection, file: Path, content: Content) -> dict[str, Any]:
        """Add it to a bundle's file; give what the manifest says of it, or why there is none.

        Parameters
        ----------
        connection
            Reads the lake as it is exported.
        file
            The SQLite file, which nobody reads yet.
        content
            What is exported.
        """
        try:
            page = self._page(connection, content)
            with self._computed(page, content.run_id) as batch:
                told = self._fill(connection, batch, file, page)
            self._compare(connection, file, content, page, told)
        except (BundleRefused, DefinitionError, RunFailed, ScoringFailed) as error:
            return {"on_demand": None, "not_on_demand": f"nothing is scored on demand: {str(error).rstrip('.')}"}
        return {"on_demand": told, "not_on_demand": None}

    def _page(self, connection: duckdb.DuckDBPyConnection, content: Content) -> _Page:
        """Find the newest page, and see that one version wrote it, whose model can be repeated."""
        name = self.product.name
        as_of = max(ledger.published_pages(connection, name, "predictions"))
        features = ledger.published_pages(connection, name, "features", [as_of]).get(as_of)
        if features is None or features.definitions != self.suite.definitions.page_fingerprint(self.product):
            raise NotExact(f"the definitions have changed since the page {as_of} was made; make it again")
        shared = inside_of({each: content.columns[each] for each in MADE if each in content.columns})
        query = system_sql("export/bundle/facts_of_page", facts=shared, relation=content.relation)
        facts = connection.execute(query, {"as_of": as_of}).fetchall()
        if len(facts) != 1:
            many = "more than one version serves" if facts else "no row is current of"
            raise NotExact(f"{many} the page {as_of}")
        record = ledger.published_pages(connection, name, "predictions", [as_of])[as_of]
        model = model_history(connection, name).version(record.model_version or "")
        self._require_alone(connection, as_of, model)
        compiled = compiled_file(connection, model, self.suite.lake.root, content.suite_id)
        if compiled is None:
            raise NotExact(f"the model of {model.version} is not compiled: its estimator scores for itself")
        data = compiled_bytes(model, self.suite.lake.root, compiled)
        trees = CompiledTrees(data)
        return _Page(features, facts[0][0], model, data, dict(zip(trees.features, trees.kinds, strict=True)))

    def _require_alone(self, connection: duckdb.DuckDBPyConnection, as_of: datetime, model: ModelRecord) -> None:
        said = courses_of(connection, self.product.name).at(as_of, model.version)
        if said is None:
            return
        given = Assignment.from_json(said[1].assignment)
        if given.explore or any(arm.high > arm.low for arm in given.arms):
            raise NotExact(f"a rollout serves a part of the page {as_of} by other versions")

    @contextlib.contextmanager
    def _computed(self, page: _Page, run_id: str) -> Iterator[Batch]:
        """Compute the page's feature groups as they were computed for it."""
        suite, product = self.suite, self.product
        with (
            suite.staging(run_id) as directory,
            Sandbox(suite.lake, spill=directory / "spill", memory_limit=memory_limit_of(product)) as sandbox,
            Batch(sandbox, suite.definitions, product, ingest_id=page.features.ingest_id) as batch,
        ):
            sources = {source.name: sandbox.source_columns(source) for source in suite.definitions.sources_of(product)}
            inexact = bind_product(suite.definitions, product, sources, notes_sums=True).inexact
            texts = [text for text in inexact if any(text.startswith(group.file.where) for group in batch.groups)]
            if texts:
                raise NotExact(texts[0])
            batch.compute([page.as_of], directory / "features.parquet", 1, lambda _: None)
            if batch.failed:
                raise NotExact(batch.failed[page.as_of])
            yield batch

    def _fill(self, connection: duckdb.DuckDBPyConnection, batch: Batch, file: Path, page: _Page) -> dict[str, Any]:
        """Write the model and the groups' rows; give what the manifest says."""
        entities = batch.columns(ENTITIES)
        listed = {each.name: each for each in page_columns(batch.definitions, self.product, entities, batch.columns)}
        lacking = [name for name in page.model.features if name not in listed]
        if lacking:
            raise NotExact(f"the model reads `{lacking[0]}`, which is no column of the page any more")
        groups, places = self._groups([listed[name] for name in page.model.features], entities)
        features = [places.get(name, name) for name in page.model.features]
        given = [name for name in features if isinstance(name, str)]
        for name in given:
            kind = _GIVEN.get(listed[name].stored_kind)
            if kind != page.kinds[name]:
                raise NotExact(
                    f"the model reads `{name}` of entities.sql, which is {listed[name].kind}: a request gives that not"
                    " exactly; cast it to DOUBLE, BIGINT, BOOLEAN or VARCHAR"
                )
        until, column = self._validity(page.as_of, listed)
        joined = [name for group in groups for name in group["given"]]
        needed = dict.fromkeys([*self.product.keys, *joined, *given, *([column] if column else [])])
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(system_sql("export/bundle/create_on_demand"))
            database.execute("INSERT INTO almanac_model VALUES (?)", [page.compiled])
        require_declared(self.product, entities, batch)
        for group in groups:
            types = batch.columns(group["group"])
            group["key_types"] = [types[name] for name in group["keys"]]
            self._fill_group(connection, batch, file, page, group)
            group["worked"] = from_request(batch, group, page.kinds, page.as_of)
        return {
            "columns": _askable(self.product, entities, needed),
            "needed": list(needed),
            "groups": [
                {name: group[name] for name in ("table", "keys", "given", "values", "worked")} for group in groups
            ],
            "key_types": {group["table"]: group["key_types"] for group in groups},
            "features": features,
            "score": self.product.score_column,
            "facts": page.facts,
            "valid_until_us": until,
            "valid_until_column": column,
            "request": sorted(self.product.header.request),
        }

    def _groups(
        self, features: Sequence[PageColumn], entities: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], dict[str, tuple[int, int]]]:
        """Give the groups that the model reads, and where in which of them each of its columns stands."""
        groups: list[dict[str, Any]] = []
        places: dict[str, tuple[int, int]] = {}
        by_use = sorted((each for each in features if each.use is not None), key=lambda each: each.use or 0)
        for use, columns in itertools.groupby(by_use, key=lambda each: each.use or 0):
            on = joined_on(self.suite.definitions, self.product.header.features[use])
            of_use = list(columns)
            places |= {each.name: (len(groups), place) for place, each in enumerate(of_use)}
            groups.append(
                {
                    "table": f"group_{use}",
                    "group": self.product.header.features[use].group,
                    "keys": list(on),
                    "given": list(on.values()),
                    "given_types": [entities[name] for name in on.values()],
                    "values": [each.column for each in of_use],
                    "columns": of_use,
                }
            )
        return groups, places

    def _validity(self, as_of: datetime, listed: Mapping[str, PageColumn]) -> tuple[int | None, str | None]:
        """Give until when a row is valid, or the column of entities.sql that says so."""
        header = self.product.header
        if header.valid_for is not None:
            return micros(as_of + header.valid_for), None
        column = listed[header.valid_until or ""]
        if column.use is not None or column.kind != "TIMESTAMP":
            raise NotExact(f"`valid_until` is `{column.name}`, which is no TIMESTAMP of entities.sql")
        return None, column.name

    def _fill_group(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch: Batch,
        file: Path,
        page: _Page,
        group: Mapping[str, Any],
    ) -> None:
        """Write one group's rows, as the model is given them."""
        types, rows = batch.columns(group["group"]), batch.table(group["group"])
        keys = [KeyColumn(name, types[name]) for name in group["keys"]]
        for key, name, kind in zip(keys, group["given"], group["given_types"], strict=True):
            if key.type != kind and not {key.type, kind} <= {*_INTEGERS}:
                raise NotExact(f"`{group['group']}` is joined by `{key.name}`, {key.type}, on `{name}`, {kind}")
        parts = {"keys": quote_all(group["keys"]), "group": rows, "as_of": timestamp_literal(page.as_of)}
        if batch.cursor.execute(system_sql("pages/repeated_keys", **parts)).fetchone():
            raise NotExact(f"the feature group `{group['group']}` has more than one row for a key")
        columns: Sequence[PageColumn] = group["columns"]
        query = system_sql(
            "export/bundle/group_rows",
            keys=", ".join(f"{kept_as(quote(key.name), key.type)} AS {quote(key.name)}" for key in keys),
            values=", ".join(f"{quote(each.column)}::{each.stored_kind} AS {quote(each.column)}" for each in columns),
            rows=rows,
            has_keys=" AND ".join(f"{quote(key.name)} IS NOT NULL" for key in keys),
        )
        found = batch.cursor.execute(query).to_arrow_reader(_BATCH_ROWS)
        kinds = {each.column: page.kinds[each.name] for each in columns}
        for name, kind in kinds.items():
            if feature_kind(name, found.schema.field(name).type) != kind:
                raise NotExact(f"the model knows `{name}` as {kind}, which it is no more")
        declared = {name: "TEXT" if kind == "text" else "REAL" for name, kind in kinds.items()}
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute(
                system_sql(
                    "export/bundle/create_group",
                    table=quote(group["table"]),
                    key_columns=", ".join(f"{quote(key.name)} {key.storage}" for key in keys),
                    value_columns=", ".join(f"{quote(name)} {kind}" for name, kind in declared.items()),
                    keys=quote_all(group["keys"]),
                )
            )
        _insert(connection, file, _as_model_input(found, list(kinds)), group)

    def _compare(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: Path,
        content: Content,
        page: _Page,
        told: Mapping[str, Any],
    ) -> None:
        """See that the file says of entities of the page what the page says of them."""
        name, keys = self.product.name, self.product.keys
        query = system_sql(
            "export/bundle/compared_rows",
            given=", ".join(quote(each) if each in keys else f"features.{quote(each)}" for each in told["needed"]),
            score=quote(told["score"]),
            relation=content.relation,
            features=f"features.{quote(name)}",
            keys=quote_all(keys),
        )
        rows = connection.execute(query, {"as_of": page.as_of, "most": _COMPARED}).fetchall()
        types = {key: content.columns[key] for key in keys}
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            known = [KeyColumn(key, kind) for key, kind in types.items()]
            scoring = Scoring(database, OnDemand.told(told), known)
            for *values, score, valid_until in rows:
                given = dict(zip(told["needed"], values, strict=True))
                try:
                    scored = scoring.score(given)
                except KeyRefused:
                    # JSON has no word for it, so that nobody can ask for this entity.
                    continue
                same = scored is not None and _bits(scored.prediction) == _bits(score)
                if not same or scored is None or scored.valid_until_us != valid_until:
                    raise NotExact(
                        f"of an entity that the page {page.as_of} has it would be another prediction than the page's;"
                        " make the page again"
                    )


def _bits(number: float) -> str:
    return float(number).hex() if math.isfinite(number) else str(number)


def _askable(product: Product, entities: Mapping[str, str], needed: Mapping[str, Any]) -> list[dict[str, str]]:
    """Give the columns of entities.sql that a request may give: those that are needed, and others of like types."""
    found = []
    for name, kind in entities.items():
        if name in product.keys:
            continue
        try:
            KeyColumn(name, kind)
        except BundleRefused:
            if name in needed:
                raise
            continue
        found.append({"name": name, "type": "BIGINT" if kind in ("HUGEINT", "UHUGEINT") else kind})
    declared = [(name, each.type) for name, each in product.header.request.items() if name not in entities]
    return found + [{"name": name, "type": kind} for name, kind in declared]


def _as_model_input(reader: pa.RecordBatchReader, values: Sequence[str]) -> pa.RecordBatchReader:
    """Turn values into what the model is given of a feature page, in batches: float64, float32 or text."""

    def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            plain_column(name, column) if name in values else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    empty = plain(pa.RecordBatch.from_pylist([], schema=reader.schema))
    return pa.RecordBatchReader.from_batches(empty.schema, map(plain, reader))


def _insert(
    connection: duckdb.DuckDBPyConnection, file: Path, rows: pa.RecordBatchReader, group: Mapping[str, Any]
) -> None:
    connection.execute(system_sql("export/attach_sqlite", file=literal(str(file))))
    connection.register(_ROWS, rows)
    try:
        keys = quote_all(group["keys"])
        connection.execute(system_sql("export/bundle/group", table=quote(group["table"]), rows=_ROWS, keys=keys))
    finally:
        connection.unregister(_ROWS)
        connection.execute("DETACH target")
