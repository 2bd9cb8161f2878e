"""Retraining on a lake: an answer is written down, carried out once, and the same when it is asked for again."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.progress import Silent
from jobs.retraining.decision import decide
from jobs.retraining.figures import figures_at, known_at
from jobs.retraining.retrain import Retrained, retrain, way_of
from jobs.rollout.stages import abort
from jobs.schedule.files.retraining import Retraining
from jobs.suite import Suite, open_suite
from jobs.training.reproduce import reproduce
from jobs.training.train import Continuing
from tests.conftest import PRODUCT, clock_at
from tests.page_makers import CONTEXT
from tests.schedule.clock_suites import run, run_json
from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import Alarm, write_alarms
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.triggers import Trigger, triggers_of
from warehouse.operations.leases import Leases

DAY = timedelta(days=1)
GATES = "gates: {metrics: {log_loss: {at_most: 5}}, min_pages: 1, pages: 5}\n"
SCHEDULE = f"""
jobs:
  again:
    run: {{retrain: {PRODUCT}}}
    cron: "0 19 * * *"
    when: {{any: [{{age: 10 days}}, {{performance: alarm}}]}}
    cooldown: 3 days
    learn_after: 2 pages
"""


def at(suite: Suite, month: int, day: int) -> Suite:
    return open_suite(suite.root, clock_at(datetime(2026, month, day, 19)))


def asked(suite: Suite, month: int, day: int) -> Retrained:
    return retrain(at(suite, month, day), PRODUCT)


def said(found: Retrained) -> tuple[str, str | None, str | None]:
    return found.trigger.answer, found.version, found.became


def prepared(suite: Suite, header: str, schedule: str = SCHEDULE) -> None:
    path = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    path.write_text(path.read_text() + header)
    (suite.root / "schedules.yaml").write_text(schedule)


def written(suite: Suite) -> list[Trigger]:
    with suite.lake.reading() as connection:
        return triggers_of(connection, PRODUCT)


def versions(suite: Suite) -> list[ModelRecord]:
    with suite.lake.reading() as connection:
        return ledger.models(connection, PRODUCT)


def is_replayed(suite: Suite) -> bool:
    """Ask again as of each answer, by the rules of then."""
    product = suite.definitions.product(PRODUCT)
    for one in written(suite):
        if not one.is_end:
            again = decide(Retraining.model_validate_json(one.rules or ""), figures_at(suite, product, one.known_by))
            assert (again.answer, again.reason, [*again.needs]) == (one.answer, one.reason, one.needs)
    return True


class _Killed(Silent):
    def start(self, what: str, total: int, unit: str = "pages") -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def killed_in_training(root: Path, now: datetime) -> None:
    """Ask, in a process that is killed as soon as the training begins."""
    retrain(open_suite(root, clock_at(now)), PRODUCT, progress=_Killed())


def an_alarm(suite: Suite, now: datetime, kind: str, state: str, first: datetime, last: datetime) -> None:
    alarm = Alarm(f"{kind:.8}", PRODUCT, kind, state, first, last, message="a test's")
    with suite.lake.commit("an alarm") as commit:
        write_alarms(commit, [alarm], "a-run", now)


def test_a_product_is_asked_about_trained_and_rolled_out_once(paged: Suite) -> None:
    prepared(paged, GATES)
    assert said(asked(paged, 3, 5)) == ("train", "v1", "live")
    assert said(asked(paged, 3, 6)) == ("quiet", None, None)

    # A fault holds the training back.
    page = datetime(2026, 3, 7, 18)
    an_alarm(paged, page + DAY, "performance", "open", page, page)
    an_alarm(paged, page + DAY, "acute", "open", page, page + DAY)
    assert said(asked(paged, 3, 9)) == ("bad data", None, None)
    # Labels take five days, and two pages after the faulty ones have to have theirs.
    an_alarm(paged, datetime(2026, 3, 11), "acute", "closed", page, page + DAY)
    assert said(asked(paged, 3, 14)) == ("nothing to learn yet", None, None)

    process = CONTEXT.Process(target=killed_in_training, args=(paged.root, datetime(2026, 3, 15, 19)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (written(paged)[-1].answer, written(paged)[-1].alarms) == ("train", ["performa"])
    assert len(versions(paged)) == 1
    # Whoever asks next does what was decided, as of then, and that once.
    assert said(asked(paged, 3, 16)) == ("train", "v2", "live")
    v1, v2 = versions(paged)
    assert (v1.label_cutoff, v2.label_cutoff) == (datetime(2026, 3, 5, 19), datetime(2026, 3, 15, 19))
    # The faulty pages are not learnt, and the record says so.
    assert json.loads(v2.validation or "")["left_out_pages"] == [str(page), str(page + DAY)]
    assert v2.n_pages == len(paged.definitions.product(PRODUCT).pages_between(v2.first_page, v2.last_page + DAY)) - 2
    again = reproduce(at(paged, 4, 1), PRODUCT, "v2")
    assert (again.same, again.same_rows, again.differences) == (True, True, [])
    # The alarm goes on, and has had its training.
    assert said(asked(paged, 3, 17)) == ("quiet", None, None)

    # With stages, what comes of it is tried beside the live version first.
    prepared(paged, "rollout: {stages: [{shadow: {pages: 2}}], margin: 0.5}\n")
    assert said(asked(paged, 3, 26)) == ("train", "v3", "in rollout")
    assert said(asked(paged, 3, 26)) == ("train", "v3", "in rollout")
    assert said(asked(paged, 3, 27)) == ("busy", None, None)
    abort(at(paged, 3, 27), PRODUCT, "a test")
    cooling = asked(paged, 3, 28)
    assert said(cooling) == ("cooling", None, None)
    assert cooling.trigger.reason.endswith("ends at 2026-04-01 19:00:00")
    assert [one.answer for one in written(paged)] == [
        *("train", "trained", "quiet", "bad data", "nothing to learn yet", "train", "trained", "quiet"),
        *("train", "trained", "busy", "cooling"),
    ]
    assert is_replayed(at(paged, 4, 1))

    found = run_json(paged.root, "triggers", PRODUCT, "--at", "2026-03-06T19:00")
    assert found["jobs"][0]["answer"] == "quiet"
    assert found["jobs"][0]["needs"] == [
        "age: the live version is 10 days old at 2026-03-15 19:00:00",
        "performance: a new alarm on performance",
        "the cooldown after the training of 2026-03-05 19:00:00 ends at 2026-03-08 19:00:00",
    ]
    assert [one["answer"] for one in found["answers"]] == ["train", "trained"]
    assert "cooling" in run(paged.root, "triggers", PRODUCT, "--limit", "3")


def test_a_training_that_fails_comes_to_nothing_and_is_tried_again_for_its_own_tick_alone(paged: Suite) -> None:
    prepared(paged, "")
    label = paged.root / f"sql/products/{PRODUCT}/label.sql"
    whole = label.read_text()
    label.write_text(whole.replace("(delivered_at > promised_at)::INTEGER", "0"))
    tick = datetime(2026, 3, 12, 19)
    with pytest.raises(UsageError, match="a classifier needs both"):
        retrain(at(paged, 3, 12), PRODUCT, "again", tick)
    assert [one.answer for one in written(paged)] == ["train", "failed"]
    assert said(retrain(at(paged, 3, 13), PRODUCT, "again", tick + DAY))[0] == "cooling"
    label.write_text(whole)
    assert said(retrain(at(paged, 3, 13), PRODUCT, "again", tick)) == ("train", "v1", "live")
    assert [one.answer for one in written(paged)] == ["train", "failed", "cooling", "trained"]
    # What a process that was killed behind the registration leaves to do: a version that waits for its rollout.
    assert said(asked(paged, 3, 23)) == ("train", "v2", "waiting")
    assert said(asked(paged, 3, 24)) == ("cooling", None, None)
    prepared(paged, "rollout: {stages: [{shadow: {pages: 2}}], margin: 0.5}\n")
    assert said(asked(paged, 3, 25)) == ("train", "v2", "in rollout")
    assert said(asked(paged, 3, 26)) == ("busy", None, None)
    assert len(versions(paged)) == 2


def test_the_way_is_that_of_product_yaml(paged: Suite) -> None:
    path = paged.root / f"sql/products/{PRODUCT}/product.yaml"
    text = path.read_text().replace("hist_gradient_boosting_classifier", "gradient_boosting_classifier")
    text = re.sub(r"parameters: \{.*\}", "parameters: {max_depth: 2, n_estimators: 20}", text)
    path.write_text(text.replace("matures_within: 5 days", "matures_within: 1 day"))
    prepared(paged, GATES + "retrain: {way: stateful, stateless_every: 2}\n")
    assert said(asked(paged, 3, 1)) == ("train", "v1", "live")
    assert said(asked(paged, 3, 12)) == ("train", "v1.1", "live")
    assert [model.parent for model in versions(paged)] == [None, "v1"]
    # Both ways, with what they cost and are worth on the same held-out rows, stand with the version.
    beside = json.loads(versions(paged)[1].validation or "")["beside"]
    assert [one["way"] for one in beside] == ["stateful", "stateless"]
    # The next is stateless.
    suite = at(paged, 3, 23)
    with suite.lake.reading() as connection:
        known = known_at(connection, PRODUCT, suite.clock())
    assert way_of(suite, suite.definitions.product(PRODUCT), known) is None
    v1 = replace(
        known, at=datetime(2026, 3, 11), history=replace(known.history, promotions=known.history.promotions[:1])
    )
    assert way_of(suite, suite.definitions.product(PRODUCT), v1) == Continuing("v1")


def test_what_keeps_from_asking_is_said(trained: Suite) -> None:
    prepared(trained, "", "jobs: {}")
    with pytest.raises(UsageError, match=r"no job of schedules\.yaml trains late_order again"):
        asked(trained, 3, 5)
    two = SCHEDULE + SCHEDULE.partition("jobs:\n")[2].replace("again", "weekly")
    (trained.root / "schedules.yaml").write_text(two)
    with pytest.raises(UsageError, match="again, weekly; name one with --job"):
        asked(trained, 3, 5)
    with pytest.raises(UsageError, match="no job other"):
        retrain(at(trained, 3, 5), PRODUCT, "other")
    with Leases(trained.lake) as leases, leases.holding(f"retraining of {PRODUCT}", [datetime(1970, 1, 1)]):
        assert said(retrain(at(trained, 3, 12), PRODUCT, "again"))[0] == "busy"


def test_the_clock_asks_by_a_child_process(trained: Suite) -> None:
    schedule = SCHEDULE.replace("age: 10 days", "age: 9000 days")
    prepared(trained, "", schedule)
    run(trained.root, "tick", "--now", "2026-04-01T18:00")
    done = run_json(trained.root, "tick", "--now", "2026-04-01T19:00")
    assert [(end["job"], end["outcome"]) for end in done["settled"]] == [("again", "ran")]
    (one,) = written(trained)
    assert (one.job, one.tick, one.answer) == ("again", datetime(2026, 4, 1, 19), "quiet")
