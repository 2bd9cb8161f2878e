"""Rules: a text of SQL becomes a version like others, judged by the same gates, and nothing is trained.

Another text is another version; comments and white space are none of it. A rule has seen no label, so it has no label
cut-off: it may write any page, and stands beside trained versions on every page about which they are honest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from jobs.metering import RunMeter, who
from jobs.models import environment
from jobs.models.artifacts import write_rule
from jobs.models.columns.requirements import unmet
from jobs.models.versions import ModelHistory, model_history
from jobs.pages.labelled import LabelledPages, choose_features, ensure_feature_pages
from jobs.pages.outcomes import matured_pages
from jobs.progress import Progress
from jobs.rollout.evidence import Contender
from jobs.rollout.judge import Verdict, judge_contender
from jobs.rollout.promotion import record_decision
from jobs.scoring.rules import RuleScorer
from jobs.suite import Suite
from jobs.training.fit import model_definitions
from jobs.training.register import Order, StagedVersion, goes_live
from warehouse.batching.batch import Batch
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.rollouts import is_in_rollout
from warehouse.pages.publishing import record_definitions
from warehouse.queries.checked_query import CheckedQuery
from warehouse.sandbox import Sandbox


@dataclass(frozen=True)
class Registered:
    """A rule's version. `is_new` is false where its text had been registered before."""

    model: ModelRecord
    went_live: bool
    live_from: datetime | None
    why: str
    verdict: Verdict
    is_new: bool = True


def register_rule(
    suite: Suite, product: Product, rule: CheckedQuery, known_by: datetime, order: Order, progress: Progress
) -> Registered:
    """Register a product's rule, unless a version has its very text; it goes live as a trained version would.

    Raises
    ------
    UsageError
        If the product has no page yet, or the rule reads what its pages do not have.
    """
    meter = RunMeter(suite, "train", product.name)
    with suite.lake.reading() as connection:
        judged = model_history(connection, product.name)
    pages = product.pages_between(product.header.pages.since, known_by)
    if not pages:
        raise UsageError(
            f"{product.name} has no page before {known_by}: its grid begins at {product.header.pages.since}."
        )
    registering = _Registering(suite, product, rule, pages, known_by, meter)
    features = registering.features()
    if (known := _version_of(judged, product, rule, features)) is not None:
        why = f"{rule.where} is {known.version} already"
        return Registered(known, False, None, why, Verdict([], None), is_new=False)
    verdict = registering.judge(features, judged.live(known_by), progress)
    with suite.staging(meter.run_id) as directory:
        write_rule(rule.text, directory / "artifact")
        files = StagedVersion.foreseen(suite, product.name, directory / "artifact", meter.run_id)
        with suite.lake.commit(f"register {rule.where}", kept=files.ahead) as commit:
            history = model_history(commit.connection, product.name)
            version = history.next_version()
            where, sha256 = files.put(commit, version)
            model = registering.record(commit, version, where, sha256, features, order.reason)
            tried = is_in_rollout(commit.connection, product.name)
            live, why = goes_live(product, history, judged, model, verdict, order, tried)
            # The first version writes all pages; a later one those that come.
            start = known_by if history.promotions else product.header.pages.since
            starts = [start] if live else []
            record_decision(commit, suite, model, verdict, "train", taken=live, starts=starts, reason=why)
    return Registered(model, live, start if live else None, why, verdict)


def _version_of(
    history: ModelHistory, product: Product, rule: CheckedQuery, features: dict[str, str]
) -> ModelRecord | None:
    """Find the version that has a rule's text, for the kind of label, the keys and the columns that the product has."""
    wanted = {"fingerprint": rule.fingerprint, "keys": list(product.keys)}
    for model in history.models:
        if model.is_rule and unmet(product, model, features) is None:
            told = json.loads(model.parameters)
            if wanted == {name: told[name] for name in wanted}:
                return model
    return None


@dataclass(frozen=True)
class _Registering:
    """One rule on its way into the ledger; `pages` are those of the grid up to `known_by`."""

    suite: Suite
    product: Product
    rule: CheckedQuery
    pages: list[datetime]
    known_by: datetime
    meter: RunMeter

    def features(self) -> dict[str, str]:
        """Give the columns that the rule is given, with their types."""
        with (
            self.suite.staging(f"{self.meter.run_id}-columns") as directory,
            Sandbox(self.suite.lake, spill=directory / "spill") as sandbox,
            Batch(sandbox, self.suite.definitions, self.product) as batch,
        ):
            return choose_features(self.product, batch.page_types(self.pages[-1]))

    def judge(self, features: dict[str, str], live: ModelRecord | None, progress: Progress) -> Verdict:
        """Judge the rule by the product's gates, on its newest pages whose labels have matured."""
        product, gates = self.product, self.product.header.gates
        if gates is None:
            return Verdict([], live.version if live else None)
        pages = matured_pages(self.suite, product, self.pages, self.known_by)[-gates.pages :] or self.pages[-1:]
        ensure_feature_pages(self.suite, product, pages, progress)
        keys, score = product.keys, product.score_column
        scorer = RuleScorer(
            self.rule.text, self.rule.where, list(features), keys, score, is_probability=product.kind.name == "binary"
        )
        candidate = Contender("this", datetime.min, list(features), scorer, None)
        name = f"{self.meter.run_id}-judge"
        with (
            self.suite.staging(name) as directory,
            LabelledPages(self.suite, product, pages, directory) as labelled,
        ):
            return judge_contender(self.suite, labelled, candidate, live, self.known_by, None)

    def record(
        self, commit: Commit, version: str, artifact: str, sha256: str, features: dict[str, str], reason: str | None
    ) -> ModelRecord:
        """Write the version, its definitions and the run into the ledger."""
        product, definitions = self.product, model_definitions(self.suite, self.product)
        told = {"file": self.rule.where, "fingerprint": self.rule.fingerprint, "keys": list(product.keys)}
        model = ModelRecord(
            product=product.name,
            version=version,
            label_cutoff=None,
            trained_at=self.suite.clock(),
            run_id=self.meter.run_id,
            first_page=self.pages[0],
            last_page=self.pages[-1],
            n_pages=0,
            n_rows=0,
            definitions=definitions,
            ingest_id=ledger.newest_ingest_id(commit.connection),
            estimator="sql",
            parameters=json.dumps(told, sort_keys=True),
            seed=0,
            features=list(features),
            metrics={},
            libraries={"duckdb": environment.library_versions()["duckdb"]},
            artifact=artifact,
            sha256=sha256,
            scorer=RuleScorer.kind,
            scorer_reason=RuleScorer.why,
            trained_by=who(),
            reason=reason,
            feature_types=features,
            label_kind=product.kind.name,
        )
        record_definitions(commit, product, definitions, self.suite.definitions, self.suite.clock())
        ledger.append(commit, [model])
        figures = {"n_pages": 0, "n_rows": 0, "model_version": version}
        run = self.meter.record("succeeded", definitions=definitions, snapshot_id=commit.snapshot_id, **figures)
        ledger.append(commit, [run])
        return model
