"""Commands on a model's life: models (list, show, card, rollback), promote, retire, live."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.options import DebugOption, JsonOption, ListingGroup, SuiteOption, parse_instant, the_suite
from jobs.cli.output import console

if TYPE_CHECKING:
    from jobs.models.model_table import ModelCard
    from jobs.rollout.promotion_history import Stretch
    from warehouse.ledger.decisions import Decision
    from warehouse.ledger.records import ModelRecord, Promotion

ProductArgument = Annotated[str, typer.Argument(help="A product.")]
VersionArgument = Annotated[str, typer.Argument(help="A version, such as v2.")]
FromOption = Annotated[
    str | None,
    typer.Option("--effective-from", metavar="T", help="The first as_of that it writes.", show_default=False),
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for the record.", show_default=False)]


class Form(StrEnum):
    """How a model card is written."""

    MARKDOWN = "markdown"
    HTML = "html"


models = typer.Typer(cls=ListingGroup, help="Model versions: list, look at, compare, measure, go back.")


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.add_typer(models, name="models")
    app.command("promote")(promote)
    app.command("retire")(retire)
    app.command("live")(live)


@models.command("list")
def list_models(
    product: Annotated[str | None, typer.Argument(help="A product; default: all.", show_default=False)] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List all products' versions with owner, state and figures. `almanac models` alone does the same.

    Examples:  almanac models   |   almanac models flight_delay --json
    """
    from jobs.models.model_table import model_rows

    found = model_rows(the_suite(runs_python=False), product)
    if as_json:
        console.print_json(found)
        return
    if not found:
        typer.echo("There is no model version yet; make one with `almanac train PRODUCT`.")
    shown = ("roc_auc", "log_loss", "accuracy", "rmse", "mae")
    there = [name for name in shown if any(name in row["metrics"] for row in found)]
    rows = [
        {name: value for name, value in row.items() if name not in ("metrics", "team", "trained_by")}
        | {name: row["metrics"].get(name) for name in there}
        for row in found
    ]
    console.print_table(rows, "Model versions")


@models.command("show")
def show(
    product: ProductArgument,
    version: VersionArgument,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what a version was made from, how it did, how it is scored, and every decision on it.

    Examples:  almanac models show flight_delay v1
    """
    from jobs.models.model_table import model_card

    card = model_card(the_suite(runs_python=False), product, version)
    if as_json:
        console.print_json(vars(card))
        return
    _print_card(card)


@models.command("card")
def card_of(
    product: ProductArgument,
    version: VersionArgument,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where it is written.", show_default="printed")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="How.", show_default="html for a FILE.html, else markdown")
    ] = None,
    suite: SuiteOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the model card of a version: purpose, data, figures by segment and group, gates, limits, history.

    Examples:  almanac models card flight_delay v1   |   almanac models card flight_delay v1 --output card.html
    """
    from jobs.monitoring.report.card import card_sections
    from jobs.monitoring.report.document import as_html, as_markdown, write_document

    wanted = form or (Form.HTML if output is not None and output.suffix == ".html" else Form.MARKDOWN)
    title, sections = card_sections(the_suite(runs_python=False), product, version)
    text = as_html(title, sections) if wanted is Form.HTML else as_markdown(title, sections)
    if output is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(f"Wrote {write_document(output, text)}.")


def _print_card(card: ModelCard) -> None:
    from jobs.models.model_table import held_out_metrics, labelled_pages
    from warehouse.ledger.model_record import NEVER

    model = card.model
    figures = {
        "state": card.state,
        "continues": model.parent,
        "label cut-off": "not known: it was trained elsewhere" if model.writes_from == NEVER else model.label_cutoff,
        "pages": None
        if model.is_rule or model.is_imported
        else f"{labelled_pages(model):,} with labels, of {model.n_pages:,}",
        "from, to": None if model.is_rule or model.is_imported else f"{model.first_page}, {model.last_page}",
        "rows": None if model.is_rule or model.is_imported else model.n_rows,
        "ingest_id": model.ingest_id,
        "definitions": model.definitions,
        "label": _label(model),
        "estimator": f"{model.estimator} {model.parameters}",
        "pipeline": model.pipeline,
        "features": f"{len(model.features)}: {', '.join(model.features)}",
        "scorer": f"{model.scorer}. {model.scorer_reason}",
        "compiled file": card.compiled,
        "seed, threads": None if model.is_rule or model.is_imported else f"{model.seed}, {model.threads}",
        "platform": model.platform,
        "libraries": ", ".join(f"{name} {version}" for name, version in model.libraries.items()),
        "cost": ", ".join(
            f"{name} {console.show(console.as_count(name, value))}" for name, value in model.cost.items()
        ),
        "trained": f"{model.trained_at} by {model.trained_by}{f': {model.reason}' if model.reason else ''}",
        "artifact": f"{model.artifact}, manifest SHA-256 {model.sha256}",
        "pages written": card.pages_written,
    }
    console.print_table(
        [{"what": name, "value": console.show(value)} for name, value in figures.items() if value not in (None, "")],
        f"{model.product} {model.version}",
        as_is=True,
    )
    metrics = [
        {
            "metric": row["metric"],
            "held out": console.as_count(row["metric"], row["held_out"]),
            "of them the newest pages": console.as_count(row["metric"], row["newest_pages"]),
        }
        for row in held_out_metrics(model)
    ]
    console.print_table(metrics, "Validation, by models that had not seen these pages")
    console.print_table(card.calibration, "Calibration of what was held out, by tenths of the rows")
    console.print_table(
        [{**row, "taken_for": _counts(row["taken_for"])} for row in card.by_class], "Classes of what was held out"
    )
    console.print_table(card.beside, "Both ways of training, on the same held-out rows")
    by_weight = sorted(model.importance.items(), key=lambda item: -item[1])
    importance = [{"feature": name, "loss_grows_by": f"{value:.6f}"} for name, value in by_weight[:15]]
    console.print_table(importance, "Permutation importance, the first fifteen")
    console.lines_of(f"note: {words}" for words in card.unseen)
    kind = model.label_kind or "binary"
    console.lines_of(f"note: {words}" for words in card.features.in_words(kind))
    _print_decisions(card.decisions)
    gates = [{n: v for n, v in vars(gate).items() if n in ("gate", "passed", "message")} for gate in card.gates]
    console.print_table(gates, "Gates")


def _counts(taken_for: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in taken_for.items() if count)


def _label(model: ModelRecord) -> str | None:
    """Say which label a version learnt; a rule learnt none, and of an imported version it is not known."""
    if model.is_imported:
        return f"{model.label_kind}, learnt elsewhere"
    if model.is_rule:
        return f"{model.label_kind}, learnt from none"
    return f"{model.label_kind}, definition {model.label_definition}" if model.label_kind else None


def _print_decisions(found: list[Decision]) -> None:
    shown = ("decided_at", "action", "version", "against", "passed", "forced", "taken", "effective_from", "decided_by")
    rows: list[dict[str, Any]] = [{name: getattr(one, name) for name in (*shown, "reason")} for one in found]
    console.print_table(rows, "Decisions")


@models.command("rollback")
def rollback(
    product: ProductArgument,
    effective_from: FromOption = None,
    reason: ReasonOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Take back the promotion of the live version: the one before it is live again. No gate is asked.

    It holds from the page on from which the promotion taken back did, or from --effective-from. Pages that the other
    version wrote since are stale: almanac backfill PRODUCT --only stale makes them again.

    Examples:  almanac models rollback flight_delay --reason "v4 reads a broken column"
    """
    from jobs.rollout.promotion import rollback as run

    start = parse_instant(effective_from, "--effective-from") if effective_from else None
    done = run(the_suite(runs_python=False), product, effective_from=start, reason=reason)
    decision, written = done.decision, done.stretch
    if as_json:
        console.print_json({**vars(decision), **_end_of(written)})
        return
    end = f"{written.end:%Y-%m-%dT%H:%M}" if written.end else "T"
    typer.echo(
        f"{product}: {decision.version} writes {written.said}, instead of"
        f" {decision.against}. What {decision.against} wrote of them is stale; make it again:"
        f" almanac backfill {product} --from {written.start:%Y-%m-%dT%H:%M} --to {end} --only stale"
    )


def promote(
    product: ProductArgument,
    version: VersionArgument,
    effective_from: FromOption = None,
    reason: ReasonOption = None,
    force: Annotated[bool, typer.Option("--force", help="Although a gate does not pass; needs --reason.")] = False,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a version live for the pages from an instant on, if the product's gates pass.

    By default from its label cut-off, or from where the newest promotion takes effect, if that is later. A version
    writes pages up to where another one's promotion takes effect; which they are is said.

    Examples:  almanac promote flight_delay v2   |   almanac promote flight_delay v1 --force --reason "v2 is broken"
    """
    from jobs.rollout.promotion import promote as run

    start = parse_instant(effective_from, "--effective-from") if effective_from else None
    done = run(
        the_suite(),
        product,
        version,
        effective_from=start,
        reason=reason,
        force=force,
        progress=console.listener(),
    )
    if as_json:
        gates = [vars(gate) for gate in done.verdict.gates]
        console.print_json({**vars(done.decision), **_end_of(done.stretch), "gates": gates})
        return
    console.print_table(
        [{"gate": gate.gate, "passed": gate.passed, "found": gate.message} for gate in done.verdict.gates], "Gates"
    )
    forced = ", by force" if done.decision.forced else ""
    typer.echo(f"{product}: {version} is live for {done.stretch.said}{forced}.")
    if done.stretch.end is not None:
        typer.echo(
            f"To have it write those too: almanac promote {product} {version} --effective-from"
            f" {done.stretch.end:%Y-%m-%dT%H:%M}"
        )


def _end_of(written: Stretch) -> dict[str, Any]:
    return {"effective_until": written.end, "next_version": written.next_version}


def retire(
    product: ProductArgument,
    version: VersionArgument,
    reason: ReasonOption = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Retire a version that is not live: it is not promoted any more. Its record, artifact and pages stay.

    Examples:  almanac retire flight_delay v1 --reason "superseded"
    """
    from jobs.rollout.promotion import retire as run

    decision = run(the_suite(runs_python=False), product, version, reason)
    if as_json:
        console.print_json(vars(decision))
    else:
        typer.echo(f"{product}: {version} is retired.")


def live(
    product: ProductArgument,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="An as_of; default: now.", show_default=False)
    ] = None,
    suite: SuiteOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell which version writes the page of an instant, who made it so, when and why; and the whole timeline.

    Examples:  almanac live flight_delay   |   almanac live flight_delay --at 2013-11-01
    """
    from jobs.models.model_table import live as look

    found = look(the_suite(runs_python=False), product, parse_instant(at, "--at") if at else None)
    if as_json:
        console.print_json(vars(found))
        return
    if found.promotion is None:
        typer.echo(f"{product} has no live model for the page of {found.at}.")
    else:
        typer.echo(f"{product}, page of {found.at}: {_in_words(found.promotion)}")
        if found.by_then and found.by_then != found.promotion:
            typer.echo(f"  as decided by then: {_in_words(found.by_then)}")
    if found.rollout is not None:
        tried = ", ".join(found.rollout["versions"])
        typer.echo(f"  beside it {tried}, {found.rollout['stage']} of the rollout {found.rollout['rollout']}")
    shown = ("from", "version", "action", "forced", "promoted_by", "promoted_at", "reason")
    console.print_table([{name: row[name] for name in shown} for row in found.timeline], "Which version writes pages")


def _in_words(promotion: Promotion) -> str:
    why = f": {promotion.reason}" if promotion.reason else ""
    return (
        f"{promotion.version}, in effect from {promotion.effective_from} on, by {promotion.promoted_by} at"
        f" {promotion.promoted_at:%Y-%m-%d %H:%M:%S} ({promotion.action}{', forced' if promotion.forced else ''}){why}"
    )
