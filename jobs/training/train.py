"""Train: a model version from past pages and the labels known before its cut-off, in the ledger with its figures.

The newest pages are held out first, and predicted by models that could have existed before them; then the version
itself is trained on all pages. It goes live if the gates of its product pass; of a product without gates the first
version does.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.metering import RunMeter, cpu_seconds
from jobs.models.columns.findings import FeatureFindings, find_oddities
from jobs.models.columns.requirements import require_bound
from jobs.models.folds import Fold, time_ordered_folds
from jobs.models.libraries import ESTIMATORS
from jobs.models.reasons.explaining import CHECKED_ROWS
from jobs.models.versions import model_history
from jobs.models.warm_start import require_sound
from jobs.monitoring.performance.unfinished import find_unfinished
from jobs.pages.labelled import LabelledPages, TrainingRows, ensure_feature_pages, model_features
from jobs.progress import Progress, Silent
from jobs.rollout.evidence import Contender
from jobs.rollout.judge import Verdict, judge_contender
from jobs.scoring import ready_scorer
from jobs.scoring.kernels.tree_scorer import available_cpus
from jobs.suite import Suite
from jobs.training.fit import (
    Learnt,
    Stateful,
    Stateless,
    Way,
    model_definitions,
    pages_to_train_on,
    require_continuable,
    with_model,
)
from jobs.training.recalled import Fitted, LearntRows, Recalled, Recalls
from jobs.training.register import Order, Trained, register
from jobs.training.rules import register_rule
from jobs.training.search import Found, Searching, search
from jobs.training.validation import Validation, can_be_learnt, figures_of, validate
from warehouse.definitions import Product
from warehouse.errors import DefinitionError, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.trials import TrialRecord
from warehouse.queries.checked_query import CheckedQuery, fingerprint_of

_PARITY_ROWS = 2_000
#: Of so many values at most a model is fitted while another is validated: both hold a copy of them.
_BESIDE_VALUES = 64 * 1024**2


@dataclass(frozen=True)
class TrainResult:
    """A registered version; `went_live` tells whether it writes pages now, `why` why it does or does not.

    `beside` compares the ways of training where it was stateful: cost and figures on the same held-out rows.
    `live_from` is the first instant whose page it writes, where it went live. `is_new` is false of a rule whose very
    text is a version already, which is then `model`. `trials` are those of the search that came before, if one did.
    """

    model: ModelRecord
    went_live: bool
    why: str
    verdict: Verdict
    validation: Validation
    beside: list[dict[str, Any]]
    wall_s: float
    live_from: datetime | None = None
    is_new: bool = True
    trials: Sequence[TrialRecord] = ()


@dataclass(frozen=True)
class Continuing:
    """Asks for a stateful training.

    `version` is the one to continue (None: the one that knows the latest labels); `alone` leaves out the stateless
    training that is tried beside it.
    """

    version: str | None = None
    alone: bool = False


def train(
    suite: Suite,
    product_name: str,
    as_of: datetime | None = None,
    progress: Progress | None = None,
    *,
    window: timedelta | None = None,
    stateful: Continuing | None = None,
    searching: Searching | None = None,
    order: Order | None = None,
    recalled: Recalls | None = None,
) -> TrainResult:
    """Train a version as of an instant (default: now) on every page before it whose labels were known by then.

    Parameters
    ----------
    window
        Only the pages of the newest so much time; by default `model.train_on` of product.yaml, or all.
    stateful
        Continue a version on what has become known since its label cut-off, instead of fitting a new estimator.
    searching
        Try other models first on earlier pages, by the key `search` of product.yaml, and train the best.
    order, recalled
        Why it is trained, and whether it may go live; what this process has trained before, which is not done again.

    Raises
    ------
    UsageError
        If there are no pages or no labels before `as_of`, or the version cannot be continued.
    DefinitionError
        If the product's estimator is not one, a query does not bind, or labels are not finished (`find_unfinished`).
    """
    progress = progress or Silent()
    product = suite.definitions.product(product_name)
    cutoff = suite.clock() if as_of is None else as_of
    if cutoff > suite.clock():
        raise UsageError(f"--as-of {cutoff} lies in the future; labels are known up to now ({suite.clock()} UTC).")
    if product.rule is not None:
        asked = [one for one in (window, stateful, searching) if one is not None]
        return _register_rule(suite, product, product.rule, cutoff, progress, asked, order or Order())
    meter = RunMeter(suite, "train", product.name)
    parent = _parent(suite, product, stateful, cutoff) if stateful else None
    order, recalled = order or Order(), recalled or Recalled()
    pages = pages_to_train_on(product, cutoff, window or product.header.model.train_on, order.leave_out)
    with suite.lake.reading() as connection:  # says what to do if there is no lake yet
        require_bound(connection, suite.definitions, product)
    ensure_feature_pages(suite, product, pages, progress)
    with suite.staging(meter.run_id) as directory, LabelledPages(suite, product, pages, directory) as labelled:
        if product.finds_classes:
            labelled.find_classes(cutoff)
        found = _searched(suite, labelled, cutoff, searching, meter, progress) if searching else None
        features = model_features(suite, labelled.product, labelled.columns())
        stateless = Stateless(suite, labelled, features)
        way: Way = stateless
        if parent is not None:
            require_continuable(suite, product, features, parent)
            features = {name: features[name] for name in parent.features}
            way = Stateful(suite, labelled, features, parent)
        beside = stateless if stateful and not stateful.alone else None
        return _Training(suite, labelled, features, cutoff, way, beside, progress, found).run(meter, order, recalled)


def _searched(
    suite: Suite, labelled: LabelledPages, cutoff: datetime, asked: Searching, meter: RunMeter, progress: Progress
) -> Found:
    """Search for a model, and let what is trained be the best."""
    found = search(suite, labelled, cutoff, asked, meter, progress)
    labelled.product = with_model(labelled.product, found.winner.model)
    return found


def _register_rule(
    suite: Suite,
    product: Product,
    rule: CheckedQuery,
    known_by: datetime,
    progress: Progress,
    asked: Sequence[object],
    order: Order,
) -> TrainResult:
    """Register a rule, which learns nothing, so that nothing can be `asked` of how."""
    if asked:
        raise UsageError(
            f"{rule.where} is not trained: --window, --stateful, --search and --from have nothing to say to it."
        )
    began = time.monotonic()
    with suite.lake.reading() as connection:
        require_bound(connection, suite.definitions, product)
    found = register_rule(suite, product, rule, known_by, order, progress)
    wall_s, nothing = time.monotonic() - began, Validation()
    return TrainResult(
        found.model, found.went_live, found.why, found.verdict, nothing, [], wall_s, found.live_from, found.is_new
    )


def _parent(suite: Suite, product: Product, stateful: Continuing, cutoff: datetime) -> ModelRecord:
    """Give the version to continue, if its kind can be, and there is anything new to learn."""
    with suite.lake.reading() as connection:
        history = model_history(connection, product.name)
    if all(model.is_rule or model.is_imported for model in history.models):
        raise UsageError(f"{product.name} has no version to continue; train one: almanac train {product.name}")
    parent = history.version(stateful.version) if stateful.version else history.newest()
    if parent.is_imported:
        raise UsageError(f"{product.name} {parent.version} was trained elsewhere, and is not continued here.")
    if parent.is_rule:
        raise UsageError(f"{product.name} {parent.version} is a text of SQL, which was not trained and learns nothing.")
    require_sound(product.header.model.estimator)
    if parent.writes_from >= cutoff:
        raise UsageError(
            f"{product.name} {parent.version} has seen the labels up to {parent.label_cutoff}; there is nothing new as"
            f" of {cutoff}. Give a later --as-of."
        )
    return parent


class _Training:
    """One training, from labelled pages to a registered version."""

    def __init__(
        self,
        suite: Suite,
        labelled: LabelledPages,
        features: dict[str, str],
        cutoff: datetime,
        way: Way,
        beside: Way | None,
        progress: Progress,
        found: Found | None = None,
    ) -> None:
        self.suite, self.labelled, self.features, self.cutoff = suite, labelled, features, cutoff
        self.way, self.beside, self.progress, self.found = way, beside, progress, found
        self.product, self.names = labelled.product, list(features)

    def run(self, meter: RunMeter, order: Order, recalled: Recalls) -> TrainResult:
        """Validate, fit, make the scorer, judge, and register."""
        self.progress.start("train", 3, "steps")
        key = fingerprint_of(*self._follows_from())
        fitted, is_shared = recalled.of(key, self._fitted)
        with self.suite.lake.reading() as connection:
            history = model_history(connection, self.product.name)
        # Judged by what was known at the cut-off: by what its stand-in said of the pages held out.
        learnt, validation = fitted.learnt, fitted.validation
        what = (learnt.classes, self.product.classes, self.product.quantiles)
        candidate = Contender("this", self.cutoff, learnt.names, fitted.scorer, validation.held_out, *what)
        live = history.live(self.cutoff)
        verdict = judge_contender(self.suite, self.labelled, candidate, live, self.cutoff, fitted.report)
        self.progress.finish()
        searched = self.found.as_record() if self.found else None
        trained = Trained(fitted, self.cutoff, self.way.parent, order.leave_out, searched, is_shared)
        model, live_now, why = register(self.suite, self.labelled, meter, trained, verdict, history, order)
        live_from = self.cutoff if live_now else None
        trials = self.found.trials if self.found else ()
        wall_s, beside = meter.wall_s, fitted.beside
        return TrainResult(model, live_now, why, verdict, validation, beside, wall_s, live_from, trials=trials)

    def _follows_from(self) -> tuple[object, ...]:
        """Give all that what is learnt follows from."""
        definitions = model_definitions(self.suite, self.product)
        parent = (self.way.parent.version, self.way.parent.sha256) if self.way.parent else None
        facts, is_beside = self.labelled.sandbox.ingest_id, self.beside is not None
        return (definitions, self.cutoff, self.labelled.pages, list(self.features), parent, is_beside, facts)

    def _fitted(self) -> Fitted:
        """Learn, and find out what that is worth."""
        wall_began, cpu_began = time.monotonic(), cpu_seconds()
        rows = self.way.rows(self.cutoff)
        self._require_labels(rows)
        self._require_finished()
        self.progress.advance(1, rows.n_rows)
        with self._fitting(rows) as fitting:
            validation, beside = self._validate(rows)
            self.progress.advance(1)
            learnt, fit_s, findings = fitting()
        self._tell(findings)
        scorer, report = ready_scorer(learnt.estimator, learnt.names, rows.features.slice(0, _PARITY_ROWS))
        self._tell_unseen(learnt.classes)
        self.progress.advance(1)
        return Fitted(
            learnt,
            scorer,
            report,
            LearntRows.of(rows, learnt.names, CHECKED_ROWS),
            validation,
            beside,
            findings,
            self._influenced(rows),
            fit_s,
            cpu_seconds() - cpu_began,
            time.monotonic() - wall_began,
        )

    @contextlib.contextmanager
    def _fitting(self, rows: TrainingRows) -> Iterator[Callable[[], tuple[Learnt, float, FeatureFindings]]]:
        """Give what waits for the fitted model, the seconds that it took, and what is odd about its columns.

        All that is done beside the validation, if there is room. What the suite imports itself may not be made for two
        threads, and waits.
        """

        def fit() -> tuple[Learnt, float, FeatureFindings]:
            began = time.monotonic()
            learnt = self.way.fit(rows)
            return learnt, time.monotonic() - began, self._look_at(rows, learnt.names)

        settings = self.product.header.model
        is_known = settings.estimator in ESTIMATORS and settings.pipeline is None and isinstance(self.way, Stateless)
        if not is_known or available_cpus() == 1 or rows.n_rows * len(self.names) > _BESIDE_VALUES:
            yield fit
            return
        threads = ThreadPoolExecutor(1, "almanac-fit")
        try:
            yield threads.submit(fit).result
        finally:
            # Where the validation fails, or Ctrl-C comes, nobody waits for it.
            threads.shutdown(wait=False, cancel_futures=True)

    def _influenced(self, rows: TrainingRows) -> float | None:
        """Give the share of its labels that predictions may have influenced, where product.yaml says that they do."""
        plan = self.product.header.rollout
        if plan is None or not plan.influenced:
            return None
        return self.labelled.influenced_share(self.cutoff, rows.distinct_pages()[0], self.cutoff)

    def _require_labels(self, rows: TrainingRows) -> None:
        since = f" since {self.way.parent.label_cutoff}" if self.way.parent else ""
        if rows.n_rows == 0:
            raise UsageError(
                f"{self.product.name}: no label of its pages became known{since} by {self.cutoff}. Ingest the facts"
                f" that {self.product.label.where} reads, or train with a later --as-of."
            )
        if not can_be_learnt(rows, self.product.kind.name):
            both = "two classes" if self.product.classes else "both"
            raise UsageError(
                f"{self.product.name}: all {rows.n_rows} labels known{since} by {self.cutoff} are"
                f" {self._named(rows.labels[0])}; a classifier needs {both}. Train on more pages, or look at label.sql."
            )

    def _require_finished(self) -> None:
        """See that no label that is learnt is one of what is known so far, which will be another."""
        labelled = self.labelled
        found = find_unfinished(
            labelled.sandbox, self.suite, labelled.product, labelled.pages, self.cutoff, labelled.directory
        )
        if found is not None:
            raise DefinitionError(found.in_words(self.product))

    def _named(self, label: float) -> str:
        """Give a label as people know it."""
        return f"`{self.product.classes[int(label)]}`" if self.product.classes else f"{label:g}"

    def _tell_unseen(self, learnt: Sequence[str]) -> None:
        """Tell which classes no label is of: the version will give them no probability."""
        unseen = [f"`{name}`" for name in self.product.classes if name not in learnt]
        if unseen:
            told = f"{self.product.name}: no label known by {self.cutoff} is of {', '.join(unseen)}"
            self.progress.warn(f"{told}; the version gives it no probability.")

    def _look_at(self, rows: TrainingRows, read: Sequence[str]) -> FeatureFindings:
        """Look for columns that teach nothing or too much; `read` are those that the model reads."""
        findings = find_oddities(rows.features, rows.labels, self.names, self.product.kind.name)
        return replace(findings, empty=[name for name in findings.empty if name not in read])

    def _tell(self, findings: FeatureFindings) -> None:
        for words in findings.in_words(self.product.kind.name):
            self.progress.warn(f"{self.product.name}: {words}.")

    def _validate(self, rows: TrainingRows) -> tuple[Validation, list[dict[str, Any]]]:
        settings = self.product.header.model.validation
        known = self.way.parent.writes_from if self.way.parent else self.labelled.pages[0]
        # Pages whose labels are not known yet, as the last 12 weeks' of a label that takes 12, are none to hold out.
        pages = [page for page in rows.distinct_pages() if page >= known]
        folds = time_ordered_folds(pages, self.cutoff, settings.folds, settings.share)
        # What was forgotten is told where both ways are tried: on the pages that the version to continue has learnt.
        parent = self.way.parent
        old = self.beside.rows(parent.writes_from) if self.beside is not None and parent is not None else None
        validation = validate(self.labelled.product, rows, self.names, folds, self.way, old=old)
        for fold in validation.folds:
            if fold["left_out"]:
                names = ", ".join(f"`{name}`" for name in fold["left_out"])
                told = f"{self.product.name}: {names} had no value yet at the fold of {fold['cutoff']}"
                self.progress.warn(f"{told}, whose model does not read it.")
        if validation.held_out is None:
            self.progress.warn(f"{self.product.name}: too few labelled pages to hold any out; no validation was made.")
        if self.beside is None:
            return validation, []
        return validation, self._side_by_side(rows, folds, validation, self.beside, old)

    def _side_by_side(
        self,
        rows: TrainingRows,
        folds: Sequence[Fold],
        validation: Validation,
        other: Way,
        old: TrainingRows | None,
    ) -> list[dict[str, Any]]:
        """Train the other way too, as of the same folds, and give what both cost and are worth, on old pages too."""
        stateless = validate(self.labelled.product, rows, self.names, folds, other, importance=False, old=old)
        return [
            {"way": "stateful", **figures_of(validation)},
            {"way": "stateless", **figures_of(stateless)},
        ]
