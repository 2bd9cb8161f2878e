"""The model card of a version: what it is for, made of and worth, and what was decided on it, for people to read.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). Everything in it is read from the ledger and the
definitions; nothing is computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.models.model_table import ModelCard, held_out_metrics, model_card
from jobs.models.reasons.records import ReasonsRecord
from jobs.monitoring.report.document import Section, shown
from jobs.monitoring.report.report import ledger_rows
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.ledger import records as ledger
from warehouse.ledger.model_record import NEVER, ModelRecord
from warehouse.wording import counted

#: So many of the columns that weigh most are listed.
_WEIGHED = 15


def card_sections(suite: Suite, product_name: str, version: str) -> tuple[str, list[Section]]:
    """Give the title and sections of the card of a version.

    Raises
    ------
    NotFoundError
        If there is no such product or version.
    """
    product = suite.definitions.product(product_name)
    card = model_card(suite, product.name, version)
    held_out = held_out_metrics(card.model)
    with suite.lake.reading() as connection:
        named = [product.name, version]
        performance = ledger_rows(connection, "performance", "version", named)
        fairness = ledger_rows(connection, "fairness", "fairness", named)
        reasons = ledger.records_of(connection, ReasonsRecord, "report/reasons_of_version", named)
    sections = [
        _purpose(product, card),
        _data(suite, product, card.model),
        _model(card),
        Section("Held out", [_held_out_in_words(held_out)], held_out),
        Section(
            "Published predictions",
            [] if performance else ["No page of this version has been judged by its labels."],
            performance,
        ),
        Section(
            "Groups", [] if fairness else ["No groups are compared (`monitor.fairness` of product.yaml)."], fairness
        ),
        _weights(card.model, reasons),
        Section("Gates", [] if card.gates else ["No gate was asked."], [_gate(vars(gate)) for gate in card.gates]),
        Section("Limits", list(_limits(product, card))),
        Section("History", [], [_decision(vars(one)) for one in card.decisions]),
    ]
    return f"{product.name} {version}", sections


def _purpose(product: Product, card: ModelCard) -> Section:
    header = product.header
    answers = ", ".join(name for name in (header.owner, header.team) if name) or "nobody is named"
    starts = sorted(promotion.effective_from for promotion in card.promotions)
    live = f" It was made live for the pages from {', '.join(map(str, starts))} on." if starts else ""
    wrote = f"It wrote {counted(card.pages_written, 'page')}, as they stand now."
    return Section(
        "Purpose",
        [header.description, f"Answers for it: {answers}.", f"State: {card.state}.{live} {wrote}"],
    )


def _data(suite: Suite, product: Product, model: ModelRecord) -> Section:
    sources = [source.name for source in suite.definitions.sources_behind(product)]
    groups = [group.name for group in suite.definitions.groups_of(product)]
    kind = product.header.label
    through = f", through the feature groups {', '.join(groups)}" if groups else ""
    said = [
        f"Label: {kind.kind}; it is known within {kind.matures_within} of a page.",
        f"Today's definitions read the sources {', '.join(sources)}{through}; those"
        f" of its training are kept as {model.definitions}.",
    ]
    if model.is_rule:
        said.append("It is a text of SQL that nobody trained.")
    elif model.is_imported:
        said.append("It was trained elsewhere; nothing is known here of the data that it has seen.")
    else:
        said.append(
            f"It learnt from {counted(model.n_rows, 'row')} of {counted(model.n_pages, 'page')}, {model.first_page} to"
            f" {model.last_page}, with labels known before {model.label_cutoff} (UTC), after ingestion"
            f" {model.ingest_id}."
        )
    return Section("Data", said)


def _model(card: ModelCard) -> Section:
    model = card.model
    figures = {
        "estimator": f"{model.estimator} {model.parameters}",
        "pipeline": model.pipeline,
        "continues": model.parent,
        "columns": f"{len(model.features)}: {', '.join(model.features)}",
        "scored by": f"{model.scorer}. {model.scorer_reason}",
        "seed": None if model.is_rule or model.is_imported else model.seed,
        "platform": model.platform,
        "libraries": ", ".join(f"{name} {number}" for name, number in model.libraries.items()),
        "cost of training": ", ".join(f"{name} {shown(value)}" for name, value in model.cost.items()),
        "trained": f"{model.trained_at} by {model.trained_by}{f': {model.reason}' if model.reason else ''}",
        "artifact": f"{model.artifact}, SHA-256 {model.sha256}",
    }
    return Section("Model", [], [{"what": name, "is": value} for name, value in figures.items() if value])


def _held_out_in_words(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "Nothing was held out."
    return "By models that had not seen these pages; the right column is of the newest of them."


def _weights(model: ModelRecord, reasons: list[ReasonsRecord]) -> Section:
    said = []
    for one in reasons[-1:]:
        said.append(
            f"No reasons are given: {one.refused}." if one.refused else f"Reasons of predictions: {one.method}."
        )
    if model.importance:
        said.append("By how much the loss grew on held-out rows when a column was shuffled:")
    heaviest = sorted(model.importance.items(), key=lambda item: -item[1])[:_WEIGHED]
    return Section(
        "What it goes by",
        said or ["It was not measured which columns weigh how much."],
        [{"column": name, "loss_grows_by": value} for name, value in heaviest],
    )


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    return {name: gate[name] for name in ("gate", "passed", "figure", "bound", "message")}


def _decision(decision: Mapping[str, Any]) -> dict[str, Any]:
    names = ("decided_at", "action", "against", "passed", "forced", "taken", "effective_from", "decided_by", "reason")
    return {name: decision[name] for name in names}


def _limits(product: Product, card: ModelCard) -> Iterator[str]:
    model = card.model
    if model.writes_from == NEVER:
        yield "It is not known which labels it has seen, so it may write no page."
    elif model.label_cutoff is not None:
        yield f"It has seen labels up to {model.label_cutoff}; it writes no page from before that."
    if not card.gates:
        yield "No gate has judged it."
    yield from (f"{words}." for words in card.unseen)
    yield from (f"{words}." for words in card.features.in_words(model.label_kind or product.kind.name))
    if product.header.monitor.fairness is None:
        yield "Nobody has asked how it does for groups of people."
