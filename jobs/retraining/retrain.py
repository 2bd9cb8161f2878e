"""Retraining: ask whether a product is to be trained again, and carry out what was decided, once.

The answer is written down first. A training registers its version together with what became of the answer, in one
commit; so whoever asks after a process was killed finds what is left to do, and one answer gives one training.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.metering import RunMeter
from jobs.models.warm_start import require_sound
from jobs.progress import Progress, Silent
from jobs.retraining.decision import BUSY, TRAIN, WAITING, Answer, decide
from jobs.retraining.figures import Known, as_numbers, faulty_pages, figures_at, known_at
from jobs.retraining.retraining_jobs import retraining_job
from jobs.rollout.stages import start
from jobs.schedule.files.retraining import Retraining
from jobs.suite import Suite
from jobs.training.fit import model_definitions
from jobs.training.recalled import Recalls
from jobs.training.register import Order
from jobs.training.train import Continuing, train
from warehouse.definitions import Product
from warehouse.errors import AlmanacError
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import alarms_of
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.triggers import FAILED, TRAINED, Trigger, end_of, trigger_id, triggers_of
from warehouse.operations.leases import Leases

#: What is leased while a product is asked about and trained: it stands for no page.
_NO_PAGE = datetime(1970, 1, 1)
_MICROSECOND, _A_DAY = timedelta(microseconds=1), timedelta(days=1)


@dataclass(frozen=True)
class Retrained:
    """What was answered; where a version was trained, what became of it: `became` is `live`, `in rollout`, ..."""

    trigger: Trigger
    version: str | None = None
    became: str | None = None


def retrain(
    suite: Suite,
    product_name: str,
    job: str | None = None,
    tick: datetime | None = None,
    progress: Progress | None = None,
    *,
    only_ask: bool = False,
    recalled: Recalls | None = None,
) -> Retrained:
    """Ask as of now whether a product is to be trained again by a job's rules, and do it if so.

    A training that was decided on before and did not get done is done instead. Asked again for the same tick, what was
    answered then stands.

    Parameters
    ----------
    job
        A job `run: {retrain: PRODUCT}` of schedules.yaml; None: the only one.
    tick
        The tick of the job (naive UTC); None: now.
    only_ask
        Leave what is to be trained to whoever asks next.
    recalled
        Trainings that this process has made before, whose work need not be done again.

    Raises
    ------
    UsageError
        If there is no such job, or the training has nothing to learn from.
    RunFailed
        If the training fails; the ledger then says so, and that it came to nothing.
    """
    product = suite.definitions.product(product_name)
    name, rules = retraining_job(suite, product, job)
    now = suite.clock()
    asking = _Asking(suite, product, name, rules, tick or now, progress or Silent(), only_ask, recalled)
    with suite.lake.reading():  # says what to do if there is no lake yet
        pass
    with Leases(suite.lake) as leases, holding(leases, product) as ours:
        if not ours:
            busy = Answer(BUSY, "another process trains it just now")
            return Retrained(asking.write(busy, now, {}))
        return asking.answer()


def holding(leases: Leases, product: Product) -> AbstractContextManager[set[datetime]]:
    """Hold what keeps other processes from training a product; what is given is empty if another one holds it."""
    return leases.holding(f"retraining of {product.name}", [_NO_PAGE])


@dataclass(frozen=True)
class _Asking:
    """One job asking about one product, by nobody else meanwhile."""

    suite: Suite
    product: Product
    job: str
    rules: Retraining
    tick: datetime
    progress: Progress
    only_ask: bool = False
    recalled: Recalls | None = None

    def answer(self) -> Retrained:
        with self.suite.lake.reading() as connection:
            triggers = triggers_of(connection, self.product.name)
            # Each answer knows of those before it, however coarse the clock is, or if it was set back.
            now = max([self.suite.clock(), *(one.known_by + _MICROSECOND for one in triggers)])
            known = known_at(connection, self.product.name, now)
        name = trigger_id(self.product.name, self.job, self.tick)
        if (left := self._left_to_do(known, triggers, name)) is not None:
            return self.carry_out(left)
        said = [one for one in triggers if one.trigger_id == name and not one.is_end]
        # An answer that another process kept from being given is none.
        if said and said[-1].answer != BUSY:
            end = end_of(triggers, name)
            return self._became(said[-1], end.version if end else None)
        figures = figures_at(self.suite, self.product, now)
        answer, numbers = decide(self.rules, figures), as_numbers(figures)
        if self._is_said(answer, triggers, now):
            return Retrained(self._as_trigger(answer, now, numbers))
        trigger = self.write(answer, now, numbers)
        return self.carry_out(trigger) if trigger.answer == TRAIN else Retrained(trigger)

    def _is_said(self, answer: Answer, triggers: list[Trigger], now: datetime) -> bool:
        """Tell whether the job's last answer, of less than a day ago, was the same: then it stands.

        Who asks every five minutes would else make a commit each time, and the answer of any instant can be had anyway.
        """
        said = [one for one in triggers if one.job == self.job]
        if not said or answer.answer == TRAIN or now - said[-1].known_by >= _A_DAY:
            return False
        last = said[-1]
        return (last.answer, last.fired, last.alarms) == (answer.answer, list(answer.fired), list(answer.alarms))

    def write(self, answer: Answer, now: datetime, figures: dict[str, float]) -> Trigger:
        """Write an answer down."""
        trigger = self._as_trigger(answer, now, figures)
        with self.suite.lake.commit(f"ask whether {self.product.name} is to be trained again") as commit:
            trigger = replace(trigger, snapshot_id=commit.snapshot_id)
            ledger.append(commit, [trigger])
        return trigger

    def _as_trigger(self, answer: Answer, now: datetime, figures: dict[str, float]) -> Trigger:
        meter = RunMeter(self.suite, "retrain", self.product.name)
        return Trigger(
            trigger_id=trigger_id(self.product.name, self.job, self.tick),
            product=self.product.name,
            job=self.job,
            known_by=now,
            tick=self.tick,
            answer=answer.answer,
            reason=answer.reason,
            fired=list(answer.fired),
            alarms=list(answer.alarms),
            needs=list(answer.needs),
            figures=figures,
            rules=self.rules.model_dump_json(exclude_none=True),
            run_id=meter.run_id,
        )

    def carry_out(self, trigger: Trigger) -> Retrained:
        """Do what is left of a training that was decided on: train, begin the rollout."""
        if self.only_ask:
            return Retrained(trigger)
        with self.suite.lake.reading() as connection:
            end = end_of(triggers_of(connection, self.product.name), trigger.trigger_id)
        version = end.version if end is not None else None
        if version is None:
            version = self._train(trigger)
        with self.suite.lake.reading() as connection:
            known = known_at(connection, self.product.name, datetime.max)
        if self._is_to_be_rolled_out(known, version):
            start(self.suite, self.product.name, [version], reason=f"trained by {self.job}: {trigger.reason}")
        return self._became(trigger, version)

    def _train(self, trigger: Trigger) -> str:
        with self.suite.lake.reading() as connection:
            known = known_at(connection, self.product.name, trigger.known_by)
            alarms = alarms_of(connection, self.product.name, trigger.known_by - _MICROSECOND)
        # The first version has nobody to be tried beside.
        by_stages = self.product.header.rollout is not None and known.live is not None
        order = Order(
            reason=f"{self.job}: {trigger.reason}",
            may_promote=not by_stages,
            why_not="it goes by the stages of its rollout",
            leave_out=tuple(faulty_pages(self.product, alarms)),
            along=lambda commit, model: _note(commit, self._ended(trigger, TRAINED, model), model.run_id),
        )
        stateful = way_of(self.suite, self.product, known)
        try:
            at = min(trigger.known_by, self.suite.clock())
            how: dict[str, Any] = {"stateful": stateful, "order": order, "recalled": self.recalled}
            found = train(self.suite, self.product.name, at, self.progress, **how)
        except AlmanacError as error:
            with self.suite.lake.commit(f"the training of {self.product.name} failed") as commit:
                _note(commit, replace(self._ended(trigger, FAILED, None), reason=str(error)[:500]), trigger.run_id)
            raise
        return found.model.version

    def _ended(self, trigger: Trigger, answer: str, model: ModelRecord | None) -> Trigger:
        end = Trigger(trigger.trigger_id, trigger.product, trigger.job, self.suite.clock(), trigger.tick, answer, "")
        if model is None:
            return end
        way = f"continues {model.parent}" if model.parent else "stateless"
        return replace(end, version=model.version, reason=f"{model.version}, {way}", figures=dict(model.cost))

    def _left_to_do(self, known: Known, triggers: list[Trigger], asked: str) -> Trigger | None:
        """Find a training that was decided on and did not get done: killed before its end, or to be tried again.

        One that failed is tried again for its own tick alone, by the clock's `retries`. Of one whose version was
        registered, the beginning of its rollout may be left.
        """
        newest = next((one for one in reversed(triggers) if one.answer == TRAIN), None)
        if newest is None:
            return None
        end = end_of(triggers, newest.trigger_id)
        if end is None:
            return newest
        if end.version is None:
            return newest if newest.trigger_id == asked else None
        return newest if self._is_to_be_rolled_out(known, end.version) else None

    def _is_to_be_rolled_out(self, known: Known, version: str) -> bool:
        """Tell whether a version waits for a rollout that nothing keeps from beginning."""
        if self.product.header.rollout is None or known.live is None or known.going is not None:
            return False
        trained_at = known.history.version(version).trained_at
        overtaken = any(promotion.promoted_at > trained_at for promotion in known.history.promotions)
        return known.fate(version) == WAITING and not overtaken

    def _became(self, trigger: Trigger, version: str | None) -> Retrained:
        if version is None:
            return Retrained(trigger)
        with self.suite.lake.reading() as connection:
            known = known_at(connection, self.product.name, datetime.max)
        return Retrained(trigger, version, known.fate(version))


def _note(commit: Commit, end: Trigger, run_id: str | None) -> None:
    ledger.append(commit, [replace(end, run_id=run_id, snapshot_id=commit.snapshot_id)])


def way_of(suite: Suite, product: Product, known: Known) -> Continuing | None:
    """Choose how to train: None for a new estimator, else which version goes on with what has become known.

    What was made from other definitions is not continued: then a new estimator is fitted.

    Raises
    ------
    UsageError
        If product.yaml asks for a stateful training of an estimator that cannot go on.
    """
    settings = product.header.retrain
    live = known.live
    if settings.way == "stateless" or live is None or live.is_rule or live.is_imported:
        return None
    require_sound(product.header.model.estimator)
    if live.definitions != model_definitions(suite, product):
        return None
    # As many in turn as continue others: v3.2 is the third of its line.
    versions = {one.version: one for one in known.history.models}
    count, model = 0, live
    while model.parent is not None and model.parent in versions:
        count, model = count + 1, versions[model.parent]
    if settings.stateless_every is not None and count + 1 >= settings.stateless_every:
        return None
    return Continuing(live.version)
