"""Lineage and impact of a suite: its graph of columns, and what removing a column would break or change.

The graph is drawn from the definitions (`warehouse.lineage`); this finds out what the definitions leave open: the
sources' columns, and which model versions use which features.
"""

from __future__ import annotations

import dataclasses
import difflib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.facts.source_columns import FoundColumns, find_columns
from jobs.models.versions import model_history
from jobs.pages.labelled import choose_features
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import DefinitionError, NotFoundError, UsageError
from warehouse.ledger import records as ledger
from warehouse.lineage.binding import Bound, bind_suite
from warehouse.lineage.files import label_of
from warehouse.lineage.graph import Graph, Node
from warehouse.lineage.impact import Broken, Impact, breaks_of, changes_of
from warehouse.lineage.product_graph import NEXT, ModelUse
from warehouse.lineage.sample_files import describe_over_samples
from warehouse.lineage.suite_graph import SourceColumns, draw_suite


@dataclass(frozen=True)
class SuiteLineage:
    """A suite's graph with what it was drawn from. `doubts` says what could not be told, and why."""

    suite: Suite
    found: Mapping[str, FoundColumns]
    bound: Bound
    models: Mapping[str, Sequence[ModelUse]]
    graph: Graph
    doubts: Sequence[str]

    @property
    def sources(self) -> dict[str, SourceColumns]:
        """The columns of each source."""
        return {name: found.columns for name, found in self.found.items()}


def suite_lineage(suite: Suite) -> SuiteLineage:
    """Draw a suite's graph of columns, from its files to its predictions. Needs no lake, and changes nothing."""
    definitions = suite.definitions
    found = {name: find_columns(suite, source) for name, source in definitions.sources.items()}
    bound = bind_suite(definitions, {name: each.columns.shown for name, each in found.items()})
    models = {name: _models(suite, product, bound) for name, product in definitions.products.items()}
    graph = draw_suite(definitions, {name: each.columns for name, each in found.items()}, bound, models)
    doubts = [each.doubt for each in found.values() if each.doubt]
    doubts += [f"{why}." for why in bound.problems.values()]
    assumed = {(edge.where, edge.doubt) for edge in graph.edges() if edge.doubt}
    doubts += [f"{where}: not traced, so all that it reads is assumed: {why}." for where, why in sorted(assumed)]
    return SuiteLineage(suite, found, bound, models, graph, doubts)


def _models(suite: Suite, product: Product, bound: Bound) -> list[ModelUse]:
    """List a product's versions, and the one that would be trained next."""
    versions: list[ModelUse] = []
    if suite.lake.exists():
        with suite.lake.reading() as connection:
            history = model_history(connection, product.name)
        live = ledger.model_in_effect(history.promotions, suite.clock())
        versions = [
            ModelUse(
                model.version, model.features, model.version == live, learns=not (model.is_rule or model.is_imported)
            )
            for model in history.models
        ]
    page = bound.columns.get(("page", product.name), {})
    try:
        chosen = list(choose_features(product, page))
    except UsageError:
        chosen = []
    is_first = not any(version.is_live for version in versions)
    return [*versions, ModelUse(NEXT, chosen, is_live=is_first, learns=product.rule is None)]


def product_column(lineage: SuiteLineage, name: str) -> Node:
    """Find the column that `PRODUCT.COLUMN` names: of the predictions, or of the features.

    Raises
    ------
    NotFoundError
        If there is no such product or column; the nearest is named.
    DefinitionError
        If the product's features cannot be bound.
    """
    product_name, _, column = name.partition(".")
    product = lineage.suite.definitions.product(product_name)
    page = lineage.graph.columns("page", product.name)
    for node in [*page, *lineage.graph.columns("predictions", product.name)]:
        if node.column == column:
            return node
    if why := lineage.bound.problems.get(("page", product.name)):
        raise DefinitionError(f"{product.name} has no features to speak of: {why}.")
    raise _no_column(f"{product.name} has no column `{column}`", column, [node.column for node in page])


def _no_column(what: str, column: str, there: list[str]) -> NotFoundError:
    near = difflib.get_close_matches(column, there, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return NotFoundError(f"{what}.{hint} There is: {', '.join(there) or 'none that could be told'}.")


def impact(
    suite: Suite, name: str, new_type: str | None = None, *, of_file: bool = False
) -> tuple[Impact, SuiteLineage]:
    """Tell what breaks and what changes if `SOURCE.COLUMN` goes, or becomes `new_type`; also, what it was read off.

    The column is one of the source; or, if the source has none of that name or `of_file` is given, one of the files
    that its SELECT reads.

    Raises
    ------
    NotFoundError
        If there is no such source or column.
    UsageError
        If `new_type` is no type, or the question makes no sense of the column.
    """
    source_name, dot, column = name.partition(".")
    if not dot:
        raise UsageError(f"{name} has no column named: write SOURCE.COLUMN, such as {name}.known_at.")
    source = suite.definitions.source(source_name)
    lineage = suite_lineage(suite)
    found = lineage.found[source.name]
    if not of_file and (column == "known_at" or column in found.columns.shown):
        return _of_source_column(lineage, source.name, column, new_type), lineage
    for files, columns in found.files.items():
        label = label_of(files, source.header)
        if column in columns or Node("file", label, column) in lineage.graph.nodes:
            if new_type:
                raise UsageError(
                    f"{label} is a file, whose types are what the SELECT of {source.name} makes of it: ask for the"
                    f" source's column with --type, or for {name} without."
                )
            return _of_file_column(lineage, Node("file", label, column)), lineage
    there = [*found.columns.shown, *(name for columns in found.files.values() for name in columns)]
    raise _no_column(f"neither the source {source.name} nor its files have a column `{column}`", column, there)


def _of_source_column(lineage: SuiteLineage, source: str, column: str, new_type: str | None) -> Impact:
    node = Node("source", source, column)
    answer = Impact(node, f"becomes {new_type}" if new_type else "goes", changes=changes_of(lineage.graph, node))
    answer.notes += lineage.doubts
    if column == "known_at":
        answer.notes.append("Every source has `known_at`: it cannot go, and is always a TIMESTAMP.")
        return answer
    kind = _type(new_type) if new_type else None
    changed = {name: _without(each, column, kind) if name == source else each for name, each in lineage.sources.items()}
    answer.breaks, answer.retyped = breaks_of(lineage.suite.definitions, lineage.bound, changed, lineage.models)
    in_lake = lineage.suite.lake.exists()
    if in_lake and not new_type:
        answer.notes.append(
            f"Once the SELECT of {source} is without it, `almanac ingest` makes the facts anew without it; those"
            " of before stay for definitions that read it. A file that lacks it is taken in with NULLs, or set aside."
        )
    if in_lake and new_type:
        answer.notes.append(
            f"Once the SELECT of {source} gives this type, `almanac ingest` makes the facts anew with it. Under one"
            " definition columns keep their type or widen: a delivery of another type is refused."
        )
    return answer


def _without(columns: SourceColumns, column: str, kind: str | None) -> SourceColumns:
    def changed(listed: Mapping[str, str]) -> dict[str, str]:
        return {
            name: (kind or was) if name == column else was
            for name, was in listed.items()
            if kind is not None or name != column
        }

    return dataclasses.replace(columns, selected=changed(columns.selected), kept=changed(columns.kept))


def _type(text: str) -> str:
    """Read a type, and give it the name that DuckDB gives it."""
    import duckdb
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        kind = exp.DataType.build(text, dialect="duckdb").sql("duckdb")
        with duckdb.connect(":memory:") as connection:
            return str(connection.execute(f"SELECT typeof(NULL::{kind})").fetchall()[0][0])
    except (SqlglotError, ValueError, duckdb.Error) as error:
        examples = "BIGINT, VARCHAR or DECIMAL(8, 2)"
        raise UsageError(f"--type {text}: not a DuckDB type. Write for example {examples}.") from error


def _of_file_column(lineage: SuiteLineage, node: Node) -> Impact:
    """Tell what breaks and changes without a file's column: every source that reads the file is bound without it."""
    answer = Impact(node, "goes", changes=changes_of(lineage.graph, node), notes=list(lineage.doubts))
    changed = dict(lineage.sources)
    for name, found in lineage.found.items():
        source = lineage.suite.definitions.sources[name]
        without = {
            files: {column: kind for column, kind in columns.items() if column != node.column}
            for files, columns in found.files.items()
            if label_of(files, source.header) == node.owner
        }
        if not without:
            continue
        try:
            selected = _rebound(lineage, name, without)
        except DefinitionError as error:
            answer.breaks.append(Broken("source", name, f"`almanac ingest {name}` fails: {error}"))
            continue
        if selected is None:
            answer.notes.append(
                f"{source.file.where}: whether it would still run cannot be told from here; suppose that it would not."
            )
        else:
            changed[name] = dataclasses.replace(found.columns, selected=selected)
    broken, answer.retyped = breaks_of(lineage.suite.definitions, lineage.bound, changed, lineage.models)
    answer.breaks += broken
    return answer


def _rebound(lineage: SuiteLineage, name: str, without: Mapping[str, Mapping[str, str]]) -> dict[str, str] | None:
    """Bind a source's SELECT over files without a column; None if made-up files do not do even with it."""
    source, found = lineage.suite.definitions.sources[name], lineage.found[name]
    if source.entries:
        return None  # its formats' columns are told by the path of each, and not by their readers
    with tempfile.TemporaryDirectory() as directory:
        try:
            if describe_over_samples(source, found.files, Path(directory)) is None:
                return None
        except DefinitionError:
            return None
        selected = describe_over_samples(source, {**found.files, **without}, Path(directory))
    return {column: kind for column, kind in (selected or {}).items() if column in found.columns.selected}
