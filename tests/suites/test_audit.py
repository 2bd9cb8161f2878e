"""One list says who did what, when, why and from which host."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta

import pytest

from jobs.metering import who
from jobs.monitoring.decisions import accept
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback as rollback_page
from jobs.rollout.promotion import promote, retire
from jobs.suite import Suite
from jobs.suites.audit import Deed, audit
from jobs.training.train import train
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, reopened
from tests.lakes import rows
from warehouse.errors import NotFoundError
from warehouse.ledger.alarms import Alarm, write_alarms
from warehouse.operations.state import open_operations, writing

HOUR = timedelta(hours=1)


def did(deed: Deed) -> tuple[object, ...]:
    return deed.what, deed.product, deed.concerns, deed.why, deed.outcome


@pytest.fixture
def decided(published: Suite) -> Suite:
    """A suite on which five things were decided, an hour apart."""
    later = [reopened(published, NOW + n * HOUR) for n in range(7)]
    train(later[0], PRODUCT, PAGE - 24 * HOUR)
    promote(later[1], PRODUCT, "v2", reason="more labels")
    run_page(later[2], PRODUCT, PAGE)
    ((first,),) = rows(later[2], "SELECT min(snapshot_id) FROM ledger.pages WHERE kind = 'predictions'")
    rollback_page(later[3], PRODUCT, PAGE, first, "the page of then")
    retire(later[4], PRODUCT, "v1", reason="old")
    alarm = Alarm(
        alarm_id="ab12", product=PRODUCT, kind="acute", state="open", first_page=PAGE, last_page=PAGE, since=None,
        expected=None, columns=["x"], flags=["shape"], evidence=1.0, bound=1.0, effect=1.0, message="x",
    )  # fmt: skip
    with later[4].lake.commit("an alarm") as commit:
        write_alarms(commit, [alarm], "a run", NOW)
    accept(later[5], "ab12", "the world is so now")
    with contextlib.closing(open_operations(published.lake.root)) as state, writing(state):
        state.execute(
            "INSERT INTO jobs (job_id, name, trigger, first_seen, seen_until) VALUES (1, 'pages', '', '', '')"
        )
        values = (f"{NOW + 6 * HOUR}", f"{NOW + 7 * HOUR}")
        state.execute("INSERT INTO pauses VALUES (1, ?, 'ada@build-7', 'rain', ?, 'bob', '')", values)
    return later[6]


def test_everything_that_was_decided_is_in_one_list(decided: Suite) -> None:
    deeds = audit(decided)
    assert [did(deed) for deed in deeds] == [
        ("promote after training", PRODUCT, "v1", "the first version of the product", "done"),
        ("promote", PRODUCT, "v2", "more labels", "done"),
        ("roll back a page", PRODUCT, f"{PAGE:%Y-%m-%dT%H:%M}", "the page of then", "done"),
        ("retire", PRODUCT, "v1", "old", "done"),
        ("accepted an alarm", PRODUCT, "ab12", "the world is so now", "done"),
        ("pause", None, "pages", "rain", "done"),
        ("resume", None, "pages", None, "done"),
    ]
    user, _, host = who().rpartition("@")
    assert {(deed.who, deed.host) for deed in deeds[:-2]} == {(user, host)}
    assert [(deed.who, deed.host) for deed in deeds[-2:]] == [("ada", "build-7"), ("bob", None)]
    assert [deed.at for deed in deeds[1:]] == [NOW + n * HOUR for n in (1, 3, 4, 5, 6, 7)]


def test_a_part_of_it_can_be_asked_for(decided: Suite) -> None:
    assert len(audit(decided, PRODUCT)) == 5
    assert [deed.what for deed in audit(decided, since=NOW + 4 * HOUR, until=NOW + 6 * HOUR)] == [
        "retire",
        "accepted an alarm",
    ]
    with pytest.raises(NotFoundError, match="there is no product `late_orders`"):
        audit(decided, "late_orders")


def test_what_was_refused_and_what_was_forced_are_told_apart(decided: Suite) -> None:
    path = decided.root / f"sql/products/{PRODUCT}/product.yaml"
    path.write_text(path.read_text() + "gates: {metrics: {log_loss: {at_most: 0.0001}}}\n")
    suite = reopened(decided, NOW + 9 * HOUR)
    train(suite, PRODUCT, PAGE - 12 * HOUR)
    assert almanac(suite.root, "promote", PRODUCT, "v3").returncode == 1
    said(suite.root, "promote", PRODUCT, "v3", "--force", "--reason", "we know")
    shown = json.loads(said(suite.root, "audit", PRODUCT, "--json"))
    assert [(row["concerns"], row["outcome"]) for row in shown if row["concerns"] == "v3"] == [
        ("v3", "refused"),
        ("v3", "forced"),
    ]


def test_rollouts_are_in_it_as_far_as_a_person_decided(published: Suite) -> None:
    train(published, PRODUCT, PAGE - 24 * HOUR)
    path = published.root / f"sql/products/{PRODUCT}/product.yaml"
    path.write_text(path.read_text() + "rollout: {stages: [{shadow: {pages: 9}}], margin: 0.01}\n")
    said(published.root, "rollout", "start", PRODUCT, "v2", "--why", "it knows more")
    said(published.root, "rollout", "abort", PRODUCT, "--why", "a mistake")
    deeds = json.loads(said(published.root, "audit", PRODUCT, "--json"))
    assert [(row["what"], row["concerns"], row["why"]) for row in deeds[-2:]] == [
        ("start a rollout", "v2", "it knows more"),
        ("abort a rollout", "v2", "a mistake"),
    ]
    assert {row["host"] for row in deeds[-2:]} == {who().rpartition("@")[2]}
