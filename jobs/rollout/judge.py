"""Judging a version by its product's gates, on labelled pages about which it is honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.models.bench import measure_times
from jobs.models.columns.requirements import learnt_another_label, not_comparable
from jobs.models.gates import GateResult, Judged, judge, other_label
from jobs.models.versions import load_estimator
from jobs.monitoring.performance.unfinished import finished_pages
from jobs.pages.labelled import LabelledPages, ensure_feature_pages
from jobs.pages.outcomes import matured_pages
from jobs.progress import Progress
from jobs.rollout.evidence import Contender, contender, gather, require_columns
from jobs.scoring import ParityReport, check_parity
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger.records import ModelRecord


@dataclass(frozen=True)
class Verdict:
    """What the gates found. `against` is the live version that it was compared with, if any."""

    gates: Sequence[GateResult]
    against: str | None

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)

    def failures(self) -> str:
        """Say which gates did not pass, and why."""
        return "; ".join(f"{gate.gate}: {gate.message}" for gate in self.gates if not gate.passed)


def judge_contender(
    suite: Suite,
    labelled: LabelledPages,
    candidate: Contender,
    live: ModelRecord | None,
    known_by: datetime,
    parity: ParityReport | None,
) -> Verdict:
    """Judge a version on the newest pages among `labelled` about which it is honest.

    Parameters
    ----------
    labelled
        Feature pages: those of a training, or those that follow a version's label cut-off.
    live
        The version that it would take the place of.
    known_by
        Labels known by then count, of pages whose labels had matured by then.
    parity
        How the compiled scorer compared with the estimator, None if the estimator scores itself.
    """
    product = labelled.product
    gates = product.header.gates
    if gates is None:
        return Verdict([], live.version if live else None)
    segments = [segment.by for segment in gates.segments]
    require_columns(suite, product, segments, f"{product.yaml_where}: gates.segments")
    of_groups = [name for bound in gates.fairness for name in bound.by]
    require_columns(suite, product, of_groups, f"{product.yaml_where}: gates.fairness")
    segments = list(dict.fromkeys([*segments, *of_groups]))
    apart = _apart(suite, labelled, live) if live and gates.not_worse else None
    honest = candidate.held_out_pages
    pages = [page for page in labelled.pages if page >= candidate.label_cutoff or page in honest]
    pages = matured_pages(suite, product, pages, known_by)[-gates.pages :]
    against = contender(suite, live) if live and gates.not_worse and apart is None else None
    contenders = [candidate, against] if against else [candidate]
    evidence = gather(labelled, contenders, pages, known_by, segments)
    (own,), honest_rows = evidence.scored(candidate.version)
    pair = evidence.scored(candidate.version, against.version)[0] if against else None
    times = None
    if gates.rows_per_second is not None or gates.page_seconds is not None:
        newest = (pages or labelled.pages)[-1]
        sample = evidence.features if evidence.features.num_rows else _any_rows(labelled, candidate, known_by)
        times = measure_times(suite, product, labelled.sandbox, labelled.directory, candidate.scorer, sample, newest)
    judged = Judged(
        rows=own,
        paired=(pair[0], pair[1]) if pair else None,
        live=live.version if live else None,
        apart=apart,
        segments={name: evidence.column(name)[honest_rows] for name in segments},
        times=times,
        parity=None if parity is None or parity.equal else parity.difference,
    )
    results = judge(gates, product.kind.name, judged, product.header.model.seed)
    return Verdict(results, live.version if live else None)


def _apart(suite: Suite, labelled: LabelledPages, live: ModelRecord) -> str | None:
    """Say why the live version cannot be compared with one trained on the definitions as they are."""
    fingerprint = suite.definitions.label_definition(labelled.product)
    return not_comparable(labelled.product, live, labelled.columns(), fingerprint)


def judge_version(
    suite: Suite, product: Product, model: ModelRecord, live: ModelRecord | None, progress: Progress
) -> Verdict:
    """Judge a registered version by what is known now: pages since its label cut-off, and those held out before it."""
    gates = product.header.gates
    if learnt_another_label(model, suite.definitions.label_definition(product)):
        # Its figures would measure it by a label that it never learnt.
        return Verdict([other_label(product.label.where)], live.version if live else None)
    if gates is None:
        return Verdict([], live.version if live else None)
    now = suite.clock()
    candidate = contender(suite, model)
    before = sorted(candidate.held_out_pages)
    after = product.pages_between(model.writes_from, now)
    pages = (
        finished_pages(suite, product, [*before, *after], now)[-gates.pages :]
        or product.pages_between(model.first_page, now)[-1:]
    )
    if not pages:
        raise UsageError(f"{product.name} has no page before {now} to judge {model.version} on.")
    ensure_feature_pages(suite, product, pages, progress)
    with (
        suite.staging(f"judge-{model.version}") as directory,
        LabelledPages(suite, product, pages, directory) as labelled,
    ):
        report = None
        if gates.parity and candidate.scorer.kind not in ("estimator", "sql"):
            estimator = load_estimator(suite.lake, model)
            report = check_parity(candidate.scorer, estimator, _any_rows(labelled, candidate, now))
        return judge_contender(suite, labelled, candidate, live, now, report)


def _any_rows(labelled: LabelledPages, candidate: Contender, known_by: datetime) -> object:
    return labelled.rows(candidate.features, known_by, labelled.pages[0], known_by).features
