"""Promotion is a decision of its own: gated, recorded with who and why, and it can be taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.models.model_table import live, model_card, model_rows
from jobs.pages.labelled import LabelledPages
from jobs.pages.predict import predict_pages
from jobs.pages.states import page_states
from jobs.progress import Silent
from jobs.rollout.evidence import contender
from jobs.rollout.judge import judge_contender
from jobs.rollout.promotion import promote, retire, rollback
from jobs.rollout.promotion_history import stretch, undoing
from jobs.suite import Suite, open_suite
from jobs.training.register import Order
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lakes import rows
from warehouse.errors import RunFailed, UsageError
from warehouse.ledger.records import Promotion, model_in_effect

YAML = "sql/products/late_order/product.yaml"
V2_FROM, V3_FROM = datetime(2026, 3, 12), datetime(2026, 3, 20)


def with_gates(root: Path, gates: str) -> Suite:
    path = root / YAML
    path.write_text(path.read_text() + f"gates: {gates}\n")
    return open_suite(root, clock_at(NOW))


@pytest.fixture(scope="module")
def _three(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions, the first of them live; no gates."""
    root = tmp_path_factory.mktemp("three") / "shop"
    shutil.copytree(_trained, root)
    for as_of in (V2_FROM, V3_FROM):
        train(open_suite(root, clock_at(NOW)), PRODUCT, as_of, order=Order("more labels"))
    return root


@pytest.fixture
def three(_three: Path, tmp_path: Path) -> Suite:
    shutil.copytree(_three, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def version_at(suite: Suite, at: datetime) -> str | None:
    promotion = live(suite, PRODUCT, at).promotion
    return promotion.version if promotion else None


def states(suite: Suite) -> dict[str, str]:
    return {row["version"]: row["state"] for row in model_rows(suite, PRODUCT)}


def test_without_gates_the_first_version_goes_live_and_later_ones_wait_for_a_person(three: Suite) -> None:
    assert states(three) == {"v1": "live", "v2": "registered", "v3": "registered"}
    reasons = [card.decisions[0].reason for card in (model_card(three, PRODUCT, v) for v in ("v1", "v2"))]
    assert reasons[0] == "the first version of the product"
    assert "a person promotes" in str(reasons[1])


def test_what_was_decided_last_counts_although_the_clock_was_set_back_before_it(three: Suite) -> None:
    promote(three, PRODUCT, "v2", effective_from=V3_FROM)
    back = open_suite(three.root, clock_at(NOW - timedelta(hours=1)))
    promote(back, PRODUCT, "v3", effective_from=V3_FROM)
    assert [version_at(suite, V3_FROM) for suite in (three, back)] == ["v3", "v3"]
    retire(back, PRODUCT, "v2")
    assert states(three)["v2"] == "retired"
    with pytest.raises(UsageError, match="retired"):
        promote(three, PRODUCT, "v2")


def test_a_promotion_holds_from_the_label_cutoff_on_and_says_who_and_why(three: Suite) -> None:
    promote(three, PRODUCT, "v2", reason="it knows March")
    assert version_at(three, V2_FROM - timedelta(seconds=1)) == "v1"
    assert version_at(three, V2_FROM) == "v2"
    found = live(three, PRODUCT).promotion
    assert found is not None
    assert (found.version, found.reason, found.action, found.forced) == ("v2", "it knows March", "promote", False)
    assert found.promoted_by
    assert states(three) == {"v1": "past", "v2": "live", "v3": "registered"}


def test_an_older_version_promoted_again_takes_over_where_the_newer_one_did(three: Suite) -> None:
    promote(three, PRODUCT, "v2")
    promote(three, PRODUCT, "v1")
    assert version_at(three, V2_FROM) == "v1"
    assert [row["version"] for row in live(three, PRODUCT).timeline] == ["v1", "v1"]


def test_a_version_cannot_be_live_before_its_label_cutoff(three: Suite) -> None:
    with pytest.raises(UsageError, match="has seen labels up to 2026-03-12"):
        promote(three, PRODUCT, "v2", effective_from=V2_FROM - timedelta(days=1), force=True, reason="now!")


def test_a_promotion_for_pages_to_come_waits_for_them(three: Suite) -> None:
    promote(three, PRODUCT, "v2", effective_from=NOW + timedelta(days=3))
    assert states(three)["v1"] == "live"
    assert states(three)["v2"] == "next"
    with pytest.raises(UsageError, match="is live, or will be"):
        retire(three, PRODUCT, "v2")


def test_going_back_restores_the_version_before_and_makes_its_successors_pages_stale(three: Suite) -> None:
    promote(three, PRODUCT, "v2")
    product = three.definitions.product(PRODUCT)
    pages = product.pages_between(V2_FROM, V2_FROM + timedelta(days=2))
    predict_pages(three, product, pages)
    decision = rollback(three, PRODUCT, reason="v2 reads a broken column").decision
    assert (decision.version, decision.against, decision.effective_from) == ("v1", "v2", V2_FROM)
    assert [state.why for state in page_states(three, product, pages)] == ["made by v2; v1 is in effect"] * 2
    with pytest.raises(UsageError, match="v1 is the first that was live"):
        rollback(three, PRODUCT)


def test_going_back_twice_goes_two_promotions_back(three: Suite) -> None:
    promote(three, PRODUCT, "v2")
    promote(three, PRODUCT, "v3")
    assert rollback(three, PRODUCT).decision.version == "v2"
    assert rollback(three, PRODUCT).decision.version == "v1"
    assert version_at(three, NOW) == "v1"
    promote(three, PRODUCT, "v3")
    assert rollback(three, PRODUCT).decision.version == "v1"


def test_promotions_of_one_start_are_taken_back_one_by_one(three: Suite) -> None:
    promote(three, PRODUCT, "v1", effective_from=V3_FROM)
    promote(three, PRODUCT, "v2", effective_from=V3_FROM)
    assert version_at(three, NOW) == "v2"
    assert rollback(three, PRODUCT).decision.version == "v1"
    assert version_at(three, NOW) == "v1"


def test_a_promotion_before_a_standing_one_says_how_far_it_reaches(three: Suite) -> None:
    promote(three, PRODUCT, "v2", effective_from=V3_FROM)
    start = V2_FROM + timedelta(days=1)
    followed = promote(three, PRODUCT, "v2", effective_from=start).stretch
    assert followed.end is None, "it is the same version that follows"
    promote(three, PRODUCT, "v3", effective_from=NOW)
    written = promote(three, PRODUCT, "v1", effective_from=start).stretch
    assert (written.start, written.end, written.next_version) == (start, V3_FROM, "v2")
    done = said(three.root, "promote", PRODUCT, "v1", "--effective-from", f"{start:%Y-%m-%d}")
    assert f"v1 is live for the pages from {start} to before {V3_FROM}, where v2 takes over" in done
    assert f"almanac promote {PRODUCT} v1 --effective-from {V3_FROM:%Y-%m-%dT%H:%M}" in done
    told = json.loads(said(three.root, "promote", PRODUCT, "v1", "--effective-from", f"{start:%Y-%m-%d}", "--json"))
    assert (told["effective_until"], told["next_version"]) == (f"{V3_FROM.isoformat()}Z", "v2")


def test_going_back_leaves_a_promotion_to_come_alone(three: Suite) -> None:
    promote(three, PRODUCT, "v2")
    coming = NOW + timedelta(days=3)
    promote(three, PRODUCT, "v3", effective_from=coming)
    with pytest.raises(UsageError, match=r"are v3's by a promotion to come\. Give an --effective-from before"):
        rollback(three, PRODUCT, effective_from=coming + timedelta(days=1))
    assert version_at(three, coming + timedelta(days=2)) == "v3"
    done = rollback(three, PRODUCT)
    assert (done.stretch.start, done.stretch.end, done.stretch.next_version) == (V2_FROM, coming, "v3")
    assert [version_at(three, at) for at in (V2_FROM, NOW, coming)] == ["v1", "v1", "v3"]


def test_going_back_from_pages_to_come_is_not_taken_for_done_when_it_is_asked_again(three: Suite) -> None:
    promote(three, PRODUCT, "v2")
    rollback(three, PRODUCT, effective_from=NOW + timedelta(days=2))
    assert version_at(three, NOW) == "v2"
    with pytest.raises(UsageError, match=r"v2 has been taken back already, for pages to come\. To have v1 write"):
        rollback(three, PRODUCT)
    promote(three, PRODUCT, "v1", effective_from=V2_FROM)
    assert version_at(three, NOW) == "v1"


@given(
    st.lists(
        st.tuples(st.sampled_from(["promote", "rollback"]), st.integers(1, 4), st.integers(-6, 6)),
        min_size=2,
        max_size=12,
    )
)
def test_what_a_decision_says_of_the_pages_is_what_the_ledger_says(made: list[tuple[str, int, int]]) -> None:
    """Any decisions in any order: the pages of the stretch that is said change, to that version; no others do."""
    day = timedelta(days=1)
    promotions = [_promotion("v1", NOW - 10 * day, 0, "promote")]
    instants = [NOW + number * day / 2 for number in range(-22, 24)]
    for number, (action, version, days) in enumerate(made, 1):
        before = [model_in_effect(promotions, at) for at in instants]
        start, name = NOW + days * day, f"v{version}"
        if action == "promote":
            added, starts = name, [start]
        else:
            try:
                found = undoing(PRODUCT, promotions, NOW, start, NOW - 20 * day)
            except UsageError:
                continue
            added, starts = found.before.version, found.starts
        promotions += [_promotion(added, each, number, action) for each in starts]
        written = stretch(promotions, starts[0], added)
        for at, was in zip(instants, before, strict=True):
            inside = written.start <= at and (written.end is None or at < written.end)
            assert model_in_effect(promotions, at) == (added if inside else was)


def _promotion(version: str, start: datetime, number: int, action: str) -> Promotion:
    at = NOW + timedelta(seconds=number)
    return Promotion(PRODUCT, version, start, at, "x", None, action, snapshot_id=number)


def test_what_was_live_then_and_what_writes_the_page_now_are_told_apart(three: Suite) -> None:
    """v2 was promoted in time for its pages; what took it back reaches back to them."""
    earlier = open_suite(three.root, clock_at(V2_FROM + timedelta(hours=1)))
    promote(earlier, PRODUCT, "v2")
    rollback(three, PRODUCT)
    found = live(three, PRODUCT, V2_FROM + timedelta(days=1))
    assert found.promotion is not None
    assert found.by_then is not None
    assert (found.promotion.version, found.by_then.version) == ("v1", "v2")


def test_a_retired_version_is_not_promoted_but_by_force(three: Suite) -> None:
    retire(three, PRODUCT, "v2", "a doubtful week")
    assert states(three)["v2"] == "retired"
    with pytest.raises(UsageError, match="retired already"):
        retire(three, PRODUCT, "v2")
    with pytest.raises(UsageError, match="v2 is retired"):
        promote(three, PRODUCT, "v2")
    with pytest.raises(UsageError, match="--force needs a --reason"):
        promote(three, PRODUCT, "v2", force=True)
    promote(three, PRODUCT, "v2", force=True, reason="the week was fine")
    assert states(three)["v2"] == "live"
    assert rows(three, "SELECT forced FROM ledger.promotions WHERE version = 'v2'") == [(True,)]


def test_the_live_version_is_not_retired(three: Suite) -> None:
    with pytest.raises(UsageError, match="v1 is live"):
        retire(three, PRODUCT, "v1")


def test_going_back_to_a_retired_version_is_refused(three: Suite) -> None:
    promote(three, PRODUCT, "v2")
    retire(three, PRODUCT, "v1")
    with pytest.raises(UsageError, match="v1, which is retired"):
        rollback(three, PRODUCT)


def test_a_decision_that_fails_its_gates_is_recorded_with_its_figures_and_changes_nothing(three: Suite) -> None:
    suite = with_gates(three.root, "{metrics: {roc_auc: {at_least: 0.999}}, min_pages: 3}")
    with pytest.raises(RunFailed, match=r"v1 stays live\. roc_auc: .*wanted at least 0\.999"):
        promote(suite, PRODUCT, "v2")
    assert version_at(suite, NOW) == "v1"
    card = model_card(suite, PRODUCT, "v2")
    assert [(d.action, d.passed, d.taken) for d in card.decisions] == [
        ("train", True, False),
        ("promote", False, False),
    ]
    (gate,) = [gate for gate in card.gates if gate.gate == "roc_auc"]
    assert gate.figure is not None
    assert 0.5 < gate.figure < 0.999
    assert gate.n_pages >= 3
    promote(suite, PRODUCT, "v2", force=True, reason="the old one is broken")
    forced = model_card(suite, PRODUCT, "v2").decisions[-1]
    assert (forced.passed, forced.forced, forced.taken, forced.reason) == (False, True, True, "the old one is broken")


def test_every_kind_of_gate_is_judged_on_pages_without_hindsight(three: Suite) -> None:
    gates = """
  metrics: {roc_auc: {at_least: 0.5}, log_loss: {at_most: 2}, brier: {at_most: 0.5}}
  not_worse: {metric: log_loss, margin: 0.5, confidence: 0.9}
  calibration_error: {at_most: 0.5}
  segments: [{by: depot, metric: brier, at_most: 0.9, min_rows: 20}]
  rows_per_second: 10
  page_seconds: 600
  pages: 20
  min_pages: 3"""
    done = promote(with_gates(three.root, gates), PRODUCT, "v2")
    found = {gate.gate: gate for gate in done.verdict.gates}
    assert done.verdict.passed
    assert {"roc_auc", "log_loss", "brier", "not_worse.log_loss", "calibration_error", "parity"} <= found.keys()
    assert {"rows_per_second", "page_seconds", "segment.depot=north.brier"} <= found.keys()
    versus = found["not_worse.log_loss"]
    assert versus.figure is not None
    assert versus.low is not None
    assert versus.high is not None
    assert versus.low <= versus.figure <= versus.high
    assert 3 <= versus.n_pages <= 20


def test_a_version_that_cannot_be_compared_is_not_promoted(trained: Suite) -> None:
    """Trained as of the same instant, there are but the held-out pages whose labels had matured by then."""
    suite = with_gates(trained.root, "{not_worse: {metric: log_loss, margin: 1}}")
    at_the_time = open_suite(suite.root, clock_at(TRAINED_AS_OF))
    result = train(at_the_time, PRODUCT, TRAINED_AS_OF)
    assert not result.went_live
    assert "4 labelled pages on which neither this version nor the live v1 had hindsight" in result.why
    assert states(suite)["v2"] == "refused"


def test_a_version_is_judged_by_the_newest_pages_that_it_had_not_seen(trained: Suite) -> None:
    suite = with_gates(trained.root, "{metrics: {log_loss: {at_most: 9}}, pages: 3, min_pages: 3}")
    product = suite.definitions.product(PRODUCT)
    version = contender(suite, model_card(suite, PRODUCT, "v1").model)
    assert version.held_out is not None
    oldest = sorted(version.held_out_pages)[:3]
    # Pages after these are taken for such as it was fitted on: of their labels it would say what it has seen.
    held_out = version.held_out.filter(pc.is_in(version.held_out["as_of"], pa.array(oldest, pa.timestamp("us"))))
    candidate = replace(version, held_out=held_out)
    pages = product.pages_between(oldest[0], TRAINED_AS_OF)
    with suite.staging("judged") as directory, LabelledPages(suite, product, pages, directory) as labelled:
        verdict = judge_contender(suite, labelled, candidate, None, NOW, None)
    gate = next(gate for gate in verdict.gates if gate.gate == "log_loss")
    assert len(pages) > 3
    assert gate.n_pages == 3
    assert gate.passed


def test_training_promotes_a_later_version_if_its_gates_pass(trained: Suite) -> None:
    suite = with_gates(trained.root, "{not_worse: {metric: log_loss, margin: 0.5}, min_pages: 3}")
    first = train(suite, PRODUCT, V2_FROM, order=Order(may_promote=False))
    assert not first.went_live
    second = train(suite, PRODUCT, V2_FROM)
    assert second.went_live
    assert version_at(suite, V2_FROM) == second.model.version
    late = train(suite, PRODUCT, V2_FROM - timedelta(days=3))
    assert not late.went_live
    assert "before 2026-03-12" in late.why


class Meanwhile(Silent):
    """Does something once a step has ended, as another process could while gates are judged."""

    def __init__(self, step: str, act: Callable[[], object]) -> None:
        self.awaited, self.acts = step, [act]
        self.step = ""

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        self.step = step

    def finish(self, summary: str = "") -> None:
        while self.acts and self.step == self.awaited:
            self.acts.pop()()


Act = Callable[[Suite], object]
MEANWHILE: dict[str, tuple[Act, str]] = {
    "another is promoted": (lambda s: promote(s, PRODUCT, "v1"), "another promotion was made meanwhile"),
    "one is taken back": (lambda s: rollback(s, PRODUCT), "another promotion was made meanwhile"),
    "it is retired": (lambda s: retire(s, PRODUCT, "v3"), "v3 was retired while its gates were judged"),
}


@pytest.mark.parametrize("case", MEANWHILE)
def test_what_changes_while_the_gates_are_judged_is_not_promoted_over(three: Suite, case: str) -> None:
    act, words = MEANWHILE[case]
    promote(three, PRODUCT, "v2")
    suite = with_gates(three.root, "{metrics: {log_loss: {at_most: 5}}, min_pages: 1}")
    with pytest.raises(RunFailed, match=words):
        promote(suite, PRODUCT, "v3", progress=Meanwhile("features", lambda: act(three)))
    assert version_at(suite, NOW) != "v3"
    assert [d.action for d in model_card(suite, PRODUCT, "v3").decisions if d.taken and d.action == "promote"] == []


def test_a_training_does_not_go_live_over_a_promotion_made_meanwhile(three: Suite) -> None:
    suite = with_gates(three.root, "{metrics: {log_loss: {at_most: 5}}, min_pages: 1}")
    assert train(suite, PRODUCT, V3_FROM).went_live
    beaten = train(suite, PRODUCT, V3_FROM, Meanwhile("train", lambda: promote(three, PRODUCT, "v1")))
    assert not beaten.went_live
    assert "another version was promoted while this one was judged" in beaten.why
    assert version_at(suite, NOW) == "v1"


MISTAKES: dict[str, tuple[str, str]] = {
    "an unknown metric": ("{metrics: {auc: {at_least: 0.5}}}", "names the metric `auc`; of a binary label there is"),
    "a metric of another label": ("{not_worse: {metric: rmse, margin: 1}}", "names the metric `rmse`"),
    "no bound": ("{metrics: {roc_auc: {}}}", "give `at_least`, `at_most` or both"),
    "a misspelt key": ("{metric: {}}", "`metrics`"),
    "a margin that lets all pass": ("{not_worse: {metric: log_loss, margin: .inf}}", "margin"),
    "a bound that lets all pass": ("{metrics: {log_loss: {at_most: .inf}}}", "at_most"),
    "no page to judge by": ("{min_pages: 0}", "min_pages"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_gates_is_shown(starter: Path, case: str) -> None:
    gates, words = MISTAKES[case]
    with pytest.raises(UsageError, match=words):
        with_gates(starter, gates)


def test_a_segment_that_is_no_column_is_named(three: Suite) -> None:
    suite = with_gates(three.root, "{segments: [{by: dept, metric: brier, at_most: 1}]}")
    with pytest.raises(UsageError, match=r"gates\.segments names \['dept'\].*depot"):
        promote(suite, PRODUCT, "v2")


def test_a_lake_from_before_promotions_had_reasons_to_be_kept_still_opens(trained: Suite) -> None:
    """As an earlier version made it: without the columns and tables that have been added since."""
    added = {"models": ("reason", "parent", "pipeline", "threads", "platform", "rows_hash", "validation")}
    added["models"] += ("importance", "cost")
    added["promotions"] = ("action", "forced", "snapshot_id")
    with trained.lake.commit("as it was") as commit:
        for table, columns in added.items():
            for column in columns:
                commit.execute(f"ALTER TABLE ledger.{table} DROP COLUMN {column}")
        for table in ("decisions", "gates"):
            commit.execute(f"DROP TABLE ledger.{table}")
        commit.execute("UPDATE ledger.format SET version = 1")
    suite = open_suite(trained.root, clock_at(NOW))
    assert states(suite) == {"v1": "live"}
    assert model_card(suite, PRODUCT, "v1").model.importance == {}
    assert version_at(suite, PAGE) == "v1"
    promote(suite, PRODUCT, "v1", effective_from=PAGE, reason="to see it written")
    assert model_card(suite, PRODUCT, "v1").decisions[-1].reason == "to see it written"


Change = Callable[[Suite], object]
REFUSED: dict[str, tuple[Change, str]] = {
    "promote": (lambda s: promote(s, PRODUCT, "v9"), "no model version `v9`"),
    "retire": (lambda s: retire(s, PRODUCT, "v9"), "no model version `v9`"),
    "roll back": (lambda s: rollback(s, PRODUCT), "nothing to go back to"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_decided_leaves_no_trace(trained: Suite, case: str) -> None:
    act, words = REFUSED[case]
    before = trained.lake.newest_snapshot()
    with pytest.raises(UsageError, match=words):
        act(trained)
    assert trained.lake.newest_snapshot() == before
