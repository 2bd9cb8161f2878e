"""What fresh data is worth: versions as of several cut-offs, judged on all later pages, and what retraining would gain.

The versions are neither registered nor promoted. They are a measurement: among the versions that people choose from,
that a stateful training continues, or that a trigger counts from, they would be in the way. What was measured stands in
`ledger.freshness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from jobs.metering import RunMeter, cpu_seconds
from jobs.models.columns.requirements import require_bound
from jobs.models.versions import model_history
from jobs.pages.labelled import LabelledPages, TrainingRows, ensure_feature_pages, model_features
from jobs.pages.outcomes import matured_pages
from jobs.progress import Progress, Silent
from jobs.scoring import compile_model
from jobs.suite import Suite
from jobs.training.age_curve import AgeCurve, Estimate, Floats, age_curve, paired
from jobs.training.fit import Stateless, pages_to_train_on, with_model
from jobs.training.freshness_record import Age, Freshness, Iteration, Policy, Version, keep_freshness
from jobs.training.validation import can_be_learnt, losses_of_rows, require_losses_of_rows
from warehouse.definitions import Product
from warehouse.errors import UsageError

#: The policies that are compared, by name: so many days from training to training.
POLICIES = {"once a year": 365.0, "quarterly": 91.0, "monthly": 30.0, "weekly": 7.0, "daily": 1.0}
_YEARLY = POLICIES["once a year"]
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Judged:
    """Versions of one way of learning: losses by version and page; what each cost, NaN where it learnt nothing."""

    losses: Floats
    n_rows: list[int]
    cpu_s: list[float]


def freshness(
    suite: Suite,
    product_name: str,
    first: datetime,
    until: datetime,
    *,
    cutoffs: int = 6,
    also: str | None = None,
    progress: Progress | None = None,
) -> Freshness:
    """Train versions as of cut-offs from `first` on, and judge each on the later pages before `until`.

    Parameters
    ----------
    first, until
        Naive UTC; the first cut-off is the page at `first`, and pages count whose labels have matured by now.
    cutoffs
        How many versions are trained; at least two.
    also
        Another estimator, tried at the same cut-offs beside this one, and this one on half of the pages.

    Raises
    ------
    UsageError
        If the label is of a kind whose loss is not that of single rows, the product has a rule, or there are too few
        pages or labels.
    DefinitionError
        If there is no such estimator, or it does not suit the label.
    """
    progress = progress or Silent()
    product = suite.definitions.product(product_name)
    require_losses_of_rows(product)
    if product.rule is not None:
        raise UsageError(f"{product.name} has a rule, {product.rule.where}, which learns nothing.")
    judged_on = matured_pages(suite, product, product.pages_between(first, until), suite.clock())
    chosen = _cutoffs(judged_on, cutoffs)
    if len(chosen) < 2:
        raise UsageError(
            f"{product.name} has {len(judged_on)} pages with all labels from {first} to {until}, too few to compare"
            " versions of different ages. Give a longer --from and --to."
        )
    meter = RunMeter(suite, "freshness", product.name)
    pages = [*pages_to_train_on(product, chosen[0], None), *judged_on]
    with suite.lake.reading() as connection:
        require_bound(connection, suite.definitions, product)
    ensure_feature_pages(suite, product, pages, progress)
    with suite.staging(meter.run_id) as directory, LabelledPages(suite, product, pages, directory) as labelled:
        if product.finds_classes:
            labelled.find_classes(suite.clock())
        found = _Measuring(suite, labelled, chosen, judged_on, progress).measure(also)
    keep_freshness(suite, found, meter)
    return found


def _cutoffs(pages: Sequence[datetime], count: int) -> list[datetime]:
    """Choose cut-offs among the pages, closer and closer, so that ages of all sizes meet on one page."""
    shares = [1 - (1 - number / count) ** 2 for number in range(count)]
    return sorted({pages[int(share * len(pages))] for share in shares}) if pages else []


class _Measuring:
    """One measurement: the same pages and labels for every version."""

    def __init__(
        self,
        suite: Suite,
        labelled: LabelledPages,
        cutoffs: Sequence[datetime],
        pages: Sequence[datetime],
        progress: Progress,
    ) -> None:
        self.suite, self.labelled, self.cutoffs, self.pages, self.progress = suite, labelled, cutoffs, pages, progress
        self.product = labelled.product
        self.features = model_features(suite, self.product, labelled.columns())
        wanted = [*self.features, *self.product.keys]
        until = pages[-1] + timedelta(microseconds=1)
        self.rows = labelled.rows(wanted, suite.clock(), pages[0], until)
        self.notes = list[str]()

    def measure(self, also: str | None) -> Freshness:
        """Train and judge, then work out the curve and what follows from it."""
        n_ways = 3 if also else 1
        self.progress.start("train", n_ways * len(self.cutoffs), "versions")
        own = self._judged(self.product)
        seed = self.product.header.model.seed
        curve = age_curve(self._ages(), own.losses, seed=seed)
        if curve is None:
            raise UsageError(
                f"{self.product.name}: no two versions could be judged on the same page; labels are missing before the"
                " first cut-offs, or after them. Give another --from and --to."
            )
        iterations = [*self._iterations(own, also, seed)] if also else []
        self.progress.finish()
        cpu_s, measured_by = self._cost_of_training(own)
        return Freshness(
            product=self.product.name,
            loss={"binary": "log loss", "multiclass": "log loss", "regression": "squared error"}.get(
                self.product.kind.name, "pinball loss"
            ),
            versions=self._versions(own),
            first_page=self.pages[0],
            last_page=self.pages[-1],
            n_pages=len(self.pages),
            rows_a_year=self._rows_a_year(),
            ages=self._by_age(curve, own),
            policies=[self._policy(name, curve, cpu_s) for name in POLICIES],
            iterations=iterations,
            cpu_s=cpu_s,
            measured_by=measured_by,
            notes=self.notes,
        )

    def _ages(self) -> Floats:
        return np.array([[(page - cutoff) / _DAY for page in self.pages] for cutoff in self.cutoffs])

    def _judged(self, product: Product, half: bool = False) -> _Judged:
        """Train a version as of each cut-off by a product's settings, perhaps on the newer half of the pages alone."""
        way = Stateless(self.suite, self.labelled, self.features)
        way.product = product
        found = np.full((len(self.cutoffs), len(self.pages)), np.nan)
        n_rows, costs = [], [np.nan] * len(self.cutoffs)
        for number, cutoff in enumerate(self.cutoffs):
            began = cpu_seconds()
            known = way.rows(cutoff)
            if half:
                pages = known.distinct_pages()
                known = known.between(pages[len(pages) // 2], cutoff) if pages else known
            if can_be_learnt(known, product.kind.name):
                learnt = way.fit(known)
                costs[number] = cpu_seconds() - began
                scorer = compile_model(learnt.estimator, learnt.names)
                later = self.rows.between(cutoff, self.pages[-1] + timedelta(microseconds=1))
                of_rows = losses_of_rows(product, learnt, scorer.predict(later.features), later)
                found[number] = self._by_page(later, of_rows)
            n_rows.append(known.n_rows)
            self.progress.advance(1, known.n_rows)
        return _Judged(found, n_rows, costs)

    def _by_page(self, rows: TrainingRows, of_rows: Floats) -> Floats:
        """Give the mean loss of each page; NaN of one without a row."""
        places = np.searchsorted(np.array(self.pages, "M8[us]"), rows.pages)
        counts = np.bincount(places, minlength=len(self.pages))
        sums = np.bincount(places, of_rows, minlength=len(self.pages))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def _versions(self, own: _Judged) -> list[Version]:
        found = []
        for cutoff, n_rows, of_pages, cpu_s in zip(self.cutoffs, own.n_rows, own.losses, own.cpu_s, strict=True):
            seen = of_pages[np.isfinite(of_pages)]
            if len(seen):
                found.append(Version(cutoff, n_rows, len(seen), float(seen.mean()), cpu_s))
        return found

    def _by_age(self, curve: AgeCurve, own: _Judged) -> list[Age]:
        ages = self._ages()[np.isfinite(own.losses)]
        edges = [*curve.knots, float("inf")]
        found = []
        for place, knot in enumerate(curve.knots):
            one = curve.at(place)
            count = int(((ages >= knot) & (ages < edges[place + 1])).sum())
            found.append(Age(float(knot), one.value, one.low, one.high, count))
        oldest = float(curve.knots[-1])
        if oldest < _YEARLY:
            self.notes.append(f"the oldest version was {oldest:g} days old; beyond that the curve is taken as flat")
        return found

    def _policy(self, name: str, curve: AgeCurve, cpu_s: float) -> Policy:
        every = POLICIES[name]
        saved, a_year = curve.saved(every, _YEARLY), _YEARLY / every
        return Policy(name, every, saved.value, saved.low, saved.high, a_year, a_year * cpu_s)

    def _rows_a_year(self) -> float:
        pages = len(self.product.pages_between(self.pages[-1] - 365 * _DAY, self.pages[-1])) or 1
        return self.rows.n_rows / len(self.pages) * pages

    def _cost_of_training(self, own: _Judged) -> tuple[float, str]:
        """Give the CPU seconds of one training: of the last real one where there was any."""
        with self.suite.lake.reading() as connection:
            models = model_history(connection, self.product.name).models
        for model in reversed(models):
            if model.cost.get("cpu_s") and model.parent is None:
                return model.cost["cpu_s"], f"the training of {model.version}, with its validation and gates"
        return float(np.nanmean(own.cpu_s)), "the fits of this measurement; a training validates besides"

    def _iterations(self, own: _Judged, also: str, seed: int) -> list[Iteration]:
        """Try another estimator on the same rows, and this one on half of the pages."""
        settings = self.product.header.model.model_copy(update={"estimator": also, "parameters": {}})
        changed = with_model(self.product, settings)
        found = []
        other, half = self._judged(changed), self._judged(self.product, half=True)
        for what, less, cost in (
            (f"{also}, with its defaults", own.losses - other.losses, other.cpu_s),
            ("all pages, not the newer half of them", half.losses - own.losses, own.cpu_s),
        ):
            one: Estimate | None = paired(less, seed)
            if one is not None:
                found.append(Iteration(what, one.value, one.low, one.high, float(np.nanmean(cost))))
        return found
