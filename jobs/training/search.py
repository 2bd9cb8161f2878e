"""Search: many models are tried on past pages, and the best is trained. `ledger.trials` has every try.

Successive halving over pages (Jamieson, Talwalkar 2016): on the first rung all models learn from the newest pages;
the best third goes on to twice as many. On each rung the newest pages are predicted by models that saw only what was
known before them. The search ends where the pages begin that the training holds out: what the training says of the
winner is of pages that no trial has seen.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from jobs.metering import RunMeter, cpu_seconds
from jobs.models.estimators import require_estimator
from jobs.models.folds import time_ordered_folds
from jobs.pages.labelled import LabelledPages, TrainingRows, model_features
from jobs.progress import Progress
from jobs.scoring import compile_model
from jobs.suite import Suite
from jobs.training.candidates import Trial
from jobs.training.fit import Stateless, pipeline_text, with_model
from jobs.training.samplers import sampler_of
from jobs.training.validation import can_be_learnt, losses_of_rows, require_losses_of_rows
from warehouse.definitions import Product
from warehouse.definitions.pipeline import PipelineSettings, SearchSettings
from warehouse.errors import AlmanacError, UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.trials import DROPPED, FAILED, KEPT, NOT_RUN, TOO_SLOW, WON, TrialRecord

#: How many rungs there are, each with twice as many pages as the one before, and which share of trials goes on.
RUNGS, GOES_ON = 3, 3
#: By the end of each rung so much of the budget may be spent.
_SPENT = (0.5, 0.75, 1.0)
_FEWEST_PAGES = 8


@dataclass(frozen=True)
class Searching:
    """Asks for a search: so many trials, in so much time of the clock at most (None: however long it takes)."""

    trials: int = 40
    budget: timedelta | None = None


@dataclass(frozen=True)
class Found:
    """What a search has come to: the winner's settings, and all tries."""

    search_id: str
    winner: Trial
    trials: Sequence[TrialRecord]

    def as_record(self) -> dict[str, object]:
        """Give what a version's record keeps of it, from which the winner can be trained again."""
        model = self.winner.model.model_dump(mode="json", include={"estimator", "parameters", "pipeline", "leave_out"})
        return {"search_id": self.search_id, "trial": self.winner.number, "model": model}


def as_searched(product: Product, validation: str | None) -> Product:
    """Give a product as it was when a version was trained that a search had found, by the version's record."""
    kept = json.loads(validation or "{}").get("search")
    if kept is None:
        return product
    told = dict(kept["model"])
    if isinstance(told["pipeline"], dict):
        told["pipeline"] = PipelineSettings.model_validate(told["pipeline"])
    return with_model(product, product.header.model.model_copy(update=told))


@dataclass(frozen=True)
class _Rung:
    """One rung: what models learn from, and what they are judged on, by labels known by `until`."""

    number: int
    first: datetime
    cutoff: datetime
    until: datetime
    n_pages: int
    learnt: TrainingRows
    judged: TrainingRows


def search(
    suite: Suite, labelled: LabelledPages, cutoff: datetime, asked: Searching, meter: RunMeter, progress: Progress
) -> Found:
    """Try models on the pages before those that a training as of `cutoff` holds out; write down every try.

    Raises
    ------
    UsageError
        If product.yaml has no `search`, the label is of a kind whose loss is not that of single rows, a feature group
        is not the product's, or there are too few pages.
    DefinitionError
        If a candidate's estimator is none, does not suit the label, or is not installed.
    """
    product = labelled.product
    settings = product.header.search
    if settings is None:
        raise UsageError(
            f"{product.yaml_where}: there is no key `search`, which says what is to be tried. Add it, for example"
            f" search: {{candidates: [{{estimator: {product.header.model.estimator}, parameters: {{learning_rate:"
            " {low: 0.01, high: 0.3, log: true}}}]}; see docs/models.md."
        )
    require_losses_of_rows(product)
    searching = _Search(suite, labelled, settings, cutoff, asked, meter, progress)
    found = searching.run()
    with suite.lake.commit(f"search for a model of {product.name}") as commit:
        rows = [replace(one, run_id=meter.run_id, snapshot_id=commit.snapshot_id) for one in found.trials]
        ledger.append(commit, rows)
    return replace(found, trials=rows)


class _Search:
    """One search. All trials share feature pages, labels and rows."""

    def __init__(
        self,
        suite: Suite,
        labelled: LabelledPages,
        settings: SearchSettings,
        cutoff: datetime,
        asked: Searching,
        meter: RunMeter,
        progress: Progress,
    ) -> None:
        self.suite, self.labelled, self.settings, self.asked = suite, labelled, settings, asked
        self.meter, self.progress, self.product = meter, progress, labelled.product
        self.cutoff, self.began = cutoff, time.monotonic()
        self.made = labelled.columns()
        groups = labelled.columns_of_groups()
        if unknown := [name for name in settings.without if name not in groups]:
            raise UsageError(
                f"{self.product.at('search', 'without')}: {unknown} are no feature groups of the product that give it"
                f" columns; there is: {', '.join(groups)}."
            )
        for candidate in settings.candidates:
            changed = self.product.header.model.model_copy(update={"estimator": candidate.estimator})
            require_estimator(with_model(self.product, changed), suite.root)
        self.sampler = sampler_of(settings, self.product.header.model, groups, self.product.at("search", "sampler"))

    def run(self) -> Found:
        """Climb the rungs, and give the best of the last."""
        self.progress.start("search", self.asked.trials, "trials")
        going, records = list[Trial](), list[TrialRecord]()
        for rung in self._rungs():
            if rung.number == 0:
                going, tried = self._first(rung)
            else:
                tried = [self._tried(trial, rung) for trial in going]
            records += tried
            by_loss = sorted(
                (one.loss, trial.number, trial) for one, trial in zip(tried, going, strict=True) if one.loss is not None
            )
            if not by_loss:
                raise UsageError(
                    f"{self.product.name}: no trial could be judged on the pages from {rung.cutoff} on:"
                    f" {tried[0].reason or tried[0].state}."
                )
            is_last = rung.number == RUNGS - 1
            best = [trial for _, _, trial in by_loss][: 1 if is_last else math.ceil(len(by_loss) / GOES_ON)]
            if not is_last and all(trial.number for trial in best):
                # The model of product.yaml is what the others have to beat, up to the end.
                best += [trial for _, _, trial in by_loss if trial.number == 0]
            names = {trial.number for trial in best}
            records = [self._with_state(one, rung.number, names, is_last) for one in records]
            going = sorted(best, key=lambda trial: trial.number) if not is_last else best
        self.progress.finish()
        return Found(self.meter.run_id, going[0], records)

    def _first(self, rung: _Rung) -> tuple[list[Trial], list[TrialRecord]]:
        """Try the model of product.yaml, then one after another, each chosen after what became of the last."""
        trials = [Trial(0, self.product.header.model)]
        tried = [self._tried(trials[0], rung)]
        for number in range(1, self.asked.trials):
            trial = self.sampler.trial(number)
            record = self._tried(trial, rung)
            self.sampler.learn(trial, record.loss)
            trials.append(trial)
            tried.append(record)
        return trials, tried

    def _with_state(self, one: TrialRecord, rung: int, best: set[int], is_last: bool) -> TrialRecord:
        if one.rung != rung or one.loss is None or one.state == TOO_SLOW:
            return one
        return replace(one, state=(WON if is_last else KEPT) if one.trial in best else DROPPED)

    def _rungs(self) -> Iterator[_Rung]:
        """Give the rungs, the smallest first. Labels count that were known where the held-out pages begin."""
        product, validation = self.product, self.product.header.model.validation
        way = Stateless(self.suite, self.labelled, model_features(self.suite, product, self.made))
        labelled = way.rows(self.cutoff).distinct_pages()
        folds = time_ordered_folds(labelled, self.cutoff, validation.folds, validation.share)
        until = folds[0].cutoff if folds else self.cutoff
        pages = [page for page in labelled if page + product.maturity <= until]
        if not folds or len(pages) < _FEWEST_PAGES:
            raise UsageError(
                f"{product.name} has {len(pages)} pages with all labels before {until}, where those begin that the"
                f" training holds out; a search needs {_FEWEST_PAGES}. Search with a later --as-of, or set"
                " `pages.since` earlier."
            )
        for number in range(RUNGS):
            some = pages[-max(_FEWEST_PAGES // 2, math.ceil(len(pages) / 2 ** (RUNGS - 1 - number))) :]
            cutoff = some[-max(1, round(len(some) * validation.share))]
            wanted = [*way.features, *product.keys]
            known = self.labelled.rows(wanted, cutoff, some[0], cutoff)
            judged = self.labelled.rows(wanted, until, cutoff, pages[-1] + timedelta(microseconds=1))
            yield _Rung(number, some[0], cutoff, until, len(some), known, judged)

    def _is_spent(self, rung: _Rung) -> bool:
        if self.asked.budget is None:
            return False
        return time.monotonic() - self.began > _SPENT[rung.number] * self.asked.budget.total_seconds()

    def _tried(self, trial: Trial, rung: _Rung) -> TrialRecord:
        """Try one model on one rung. That of product.yaml is tried whatever the budget is."""
        self.progress.advance(1 if rung.number == 0 else 0)
        model = trial.model
        record = TrialRecord(
            search_id=self.meter.run_id,
            product=self.product.name,
            trial=trial.number,
            rung=rung.number,
            state=DROPPED,
            estimator=model.estimator,
            parameters=json.dumps(model.parameters, sort_keys=True),
            pipeline=pipeline_text(model.pipeline),
            without=trial.without,
            first_page=rung.first,
            cutoff=rung.cutoff,
            known_by=rung.until,
            n_pages=rung.n_pages,
            n_rows=rung.learnt.n_rows,
            n_judged=rung.judged.n_rows,
        )
        if trial.number and self._is_spent(rung):
            return replace(record, state=NOT_RUN, reason="the budget was spent")
        try:
            return self._judged(record, with_model(self.product, model), rung, is_own=trial.number == 0)
        except (AlmanacError, ValueError, TypeError) as error:
            # A library may refuse a combination of parameters only when it fits.
            return replace(record, state=FAILED, reason=str(error)[:500])

    def _judged(self, record: TrialRecord, product: Product, rung: _Rung, *, is_own: bool) -> TrialRecord:
        if not can_be_learnt(rung.learnt, product.kind.name) or rung.judged.n_rows == 0:
            return replace(record, state=FAILED, reason="there are no labels to learn from, or none to judge by")
        way = Stateless(self.suite, self.labelled, model_features(self.suite, product, self.made))
        way.product = product
        began = cpu_seconds()
        learnt = way.fit(rung.learnt)
        cpu_s = cpu_seconds() - began
        scorer = compile_model(learnt.estimator, learnt.names)
        scored = time.monotonic()
        predictions = scorer.predict(rung.judged.features)
        n_pages = len(rung.judged.distinct_pages())
        page_seconds = (time.monotonic() - scored) / n_pages
        of_rows = losses_of_rows(product, learnt, predictions, rung.judged)
        _, places = np.unique(rung.judged.pages, return_inverse=True)
        loss = float(np.mean(np.bincount(places, of_rows) / np.bincount(places)))
        record = replace(record, cpu_s=cpu_s, page_seconds=page_seconds)
        at_most = self.settings.page_seconds
        if at_most is not None and page_seconds > at_most and not is_own:
            words = f"{page_seconds:.3g} s a page, and page_seconds is {at_most:g}; its loss was {loss:.6g}"
            return replace(record, state=TOO_SLOW, reason=words)
        return replace(record, loss=loss)
