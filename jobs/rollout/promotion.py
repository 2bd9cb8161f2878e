"""Promotion: which version writes a product's pages, as a decision of its own, with who, when, from which page, why.

History is only ever added to. A version is promoted if its gates pass, or by force with a reason; retired, so that
it is not promoted again; or a promotion is taken back. Each decision is in the ledger with its gates' figures,
whether it was carried out or not.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.metering import who
from jobs.models.columns.requirements import given_columns, require_met
from jobs.models.versions import ModelHistory, model_history
from jobs.progress import Progress, Silent
from jobs.rollout.judge import Verdict, judge_version
from jobs.rollout.promotion_history import Stretch, is_retired, stretch, to_undo, undoing
from jobs.rollout.stages import require_no_arm, require_no_rollout
from jobs.suite import Suite
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.decisions import Decision, GateRecord, decisions
from warehouse.ledger.model_record import NEVER
from warehouse.ledger.records import ModelRecord, Promotion


@dataclass(frozen=True)
class Decided:
    """A decision as recorded, what its gates found, and the pages that the version writes by it."""

    decision: Decision
    verdict: Verdict
    stretch: Stretch


def promote(
    suite: Suite,
    product_name: str,
    version: str,
    *,
    effective_from: datetime | None = None,
    reason: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Decided:
    """Make a version live for the pages from an instant on, if its gates pass or it is forced.

    It writes them up to where a promotion that stands takes effect later; the stretch is given with the decision.

    Parameters
    ----------
    effective_from
        An as_of, naive UTC; by default the version's label cut-off, or where the newest promotion takes effect if
        that is later.
    force
        Promote although a gate does not pass; needs `reason`.

    Raises
    ------
    UsageError
        If it would write pages of which it has seen the labels, reads what the definitions do not give any more, is
        retired, or is forced without a reason; if a rollout goes on; or if another version would write that page.
    RunFailed
        If a gate does not pass; the decision is recorded, and the live version stays.
    """
    product = suite.definitions.product(product_name)
    if force and not reason:
        raise UsageError("--force needs a --reason: it is recorded, and others will ask.")
    with suite.lake.reading() as connection:
        history = model_history(connection, product.name)
        retired = is_retired(decisions(connection, product.name), version)
        columns = given_columns(connection, suite.definitions, product)
    model = history.version(version)
    if columns is not None:
        require_met(product, model, columns)
    start = _start(history, model, effective_from, product.header.pages.since)
    if retired and not force:
        raise UsageError(
            f"{product.name} {version} is retired. Promote another version, or give --force and a --reason."
        )
    live = history.live(start)
    verdict = judge_version(suite, product, model, live if live != model else None, progress or Silent())
    if not verdict.passed and not force:
        _refuse(suite, model, verdict, live, reason)
    with suite.lake.commit(f"promote {product.name} {version}") as commit:
        _require_unchanged(history, model_history(commit.connection, product.name))
        require_no_rollout(commit.connection, product.name, "a promotion")
        if not retired and is_retired(decisions(commit.connection, product.name), version):
            raise RunFailed(f"{product.name} {version} was retired while its gates were judged. It was not promoted.")
        forced = force and (retired or not verdict.passed)
        decision = record_decision(
            commit, suite, model, verdict, "promote", taken=True, forced=forced, starts=[start], reason=reason
        )
        written = stretch(ledger.promotions(commit.connection, product.name), start, version)
    return Decided(decision, verdict, written)


def _refuse(suite: Suite, model: ModelRecord, verdict: Verdict, live: ModelRecord | None, reason: str | None) -> None:
    """Record that a version was not promoted, and say so."""
    with suite.lake.commit(f"refuse {model.product} {model.version}") as commit:
        record_decision(commit, suite, model, verdict, "promote", taken=False, reason=reason)
    raise RunFailed(
        f"{model.product} {model.version} was not promoted; {live.version if live else 'nothing'} stays live."
        f" {verdict.failures()}. Train another version, change the gates, or give --force and a --reason."
    )


def retire(suite: Suite, product_name: str, version: str, reason: str | None = None) -> Decision:
    """Retire a version: it is not promoted any more. Pages that it wrote stay, and so do its record and artifact.

    Raises
    ------
    UsageError
        If it is live now or will be, or is retired already.
    """
    product = suite.definitions.product(product_name)
    now = suite.clock()
    with suite.lake.commit(f"retire {product.name} {version}") as commit:
        history = model_history(commit.connection, product.name)
        model = history.version(version)
        starts = [now, *(p.effective_from for p in history.promotions if p.effective_from > now)]
        if any(ledger.model_in_effect(history.promotions, start) == version for start in starts):
            raise UsageError(
                f"{product.name} {version} is live, or will be. Promote another version first, or go back:"
                f" almanac models rollback {product.name}."
            )
        if is_retired(decisions(commit.connection, product.name), version):
            raise UsageError(f"{product.name} {version} is retired already.")
        require_no_arm(commit.connection, product.name, version)
        return record_decision(commit, suite, model, Verdict([], None), "retire", taken=True, reason=reason)


def rollback(
    suite: Suite, product_name: str, *, effective_from: datetime | None = None, reason: str | None = None
) -> Decided:
    """Take back the promotion that decides who writes the product's pages now.

    The version that was live before it is live again, for the pages from where that promotion took effect (or from
    `effective_from`): those that the other one wrote are stale then, and a backfill makes them again. No gate is
    asked. Going back again goes one promotion further back. A promotion for pages to come stands.

    Raises
    ------
    UsageError
        If there is nothing to go back to, the version to go back to is retired or reads what the definitions do not
        give any more, or another promotion decides from `effective_from` on.
    RunFailed
        If another decision was made meanwhile.
    """
    product = suite.definitions.product(product_name)
    now = suite.clock()
    with suite.lake.reading() as connection:
        judged = model_history(connection, product.name)
        _, before = to_undo(product.name, judged.promotions, now)
        columns = given_columns(connection, suite.definitions, product)
    if columns is not None:
        require_met(product, judged.version(before.version), columns)
    with suite.lake.commit(f"roll back the model of {product.name}") as commit:
        history = model_history(commit.connection, product.name)
        _require_unchanged(judged, history)
        require_no_rollout(commit.connection, product.name, "going back")
        if is_retired(decisions(commit.connection, product.name), before.version):
            raise UsageError(
                f"{product.name} would go back to {before.version}, which is retired. Promote the version that you"
                " want instead."
            )
        model = history.version(before.version)
        found = undoing(product.name, history.promotions, now, effective_from, model.writes_from)
        verdict = Verdict([], found.undone.version)
        decision = record_decision(
            commit, suite, model, verdict, "rollback", taken=True, starts=found.starts, reason=reason
        )
        promotions = ledger.promotions(commit.connection, product.name)
        return Decided(decision, verdict, stretch(promotions, found.starts[0], model.version))


def record_decision(
    commit: Commit,
    suite: Suite,
    model: ModelRecord,
    verdict: Verdict,
    action: str,
    *,
    taken: bool,
    forced: bool = False,
    starts: Sequence[datetime] = (),
    reason: str | None = None,
) -> Decision:
    """Write a decision, its gates, and the promotions that follow from it, one for each of `starts`."""
    now = suite.clock()
    decision = Decision(
        decision_id=f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}",
        product=model.product,
        version=model.version,
        action=action,
        against=verdict.against,
        passed=verdict.passed,
        forced=forced,
        taken=taken,
        effective_from=min(starts, default=None),
        decided_at=now,
        decided_by=who(),
        reason=reason,
        snapshot_id=commit.snapshot_id,
    )
    ledger.append(commit, [decision])
    found = [GateRecord(decision.decision_id, model.product, model.version, **vars(gate)) for gate in verdict.gates]
    ledger.append(commit, found)
    common = (now, decision.decided_by, reason, action, forced, commit.snapshot_id)
    ledger.append(commit, [Promotion(model.product, model.version, start, *common) for start in starts])
    return decision


def _start(history: ModelHistory, model: ModelRecord, effective_from: datetime | None, since: datetime) -> datetime:
    if model.writes_from == NEVER:
        raise UsageError(
            f"{model.product} {model.version} was trained elsewhere, and it is not known as of when; so it cannot be"
            " live. Import it again with --trained-as-of, if that is known."
        )
    if effective_from is None:
        return max([model.label_cutoff or since, *(promotion.effective_from for promotion in history.promotions)])
    if effective_from < model.writes_from:
        raise UsageError(
            f"{model.product} {model.version} has seen labels up to {model.label_cutoff}, and cannot be live before"
            f" (--effective-from {effective_from}). Choose a later instant, or a version that was trained earlier."
        )
    return effective_from


def _require_unchanged(judged: ModelHistory, now: ModelHistory) -> None:
    if len(judged.promotions) != len(now.promotions):
        raise RunFailed(
            f"{judged.product}: another promotion was made meanwhile. Nothing was decided; look at"
            f" `almanac live {judged.product}`, and decide again."
        )
