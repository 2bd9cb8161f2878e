"""Which definitions are live is decided by a deployment, and jobs keep to it where the suite says so."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.check.check import Order, check
from jobs.check.deploy import deploy
from jobs.check.record import record_check
from jobs.check.results import CheckResult, ProductCheck
from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.audit import audit
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from warehouse.errors import DefinitionError, UsageError
from warehouse.ledger.texts import all_texts, fingerprint_of_texts

GROUP = "sql/features/courier_load.sql"
HOUR = timedelta(hours=1)


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()  # fmt: skip


def commit(root: Path, message: str = "change") -> str:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def kept(published: Suite) -> Suite:
    """A suite under version control, whose jobs run only what was deployed; nothing was yet."""
    (published.root / "suite.yaml").write_text("deploy: required\n")
    git(published.root, "init", "-q")
    commit(published.root)
    return reopened(published)


def record(suite: Suite, *failures: str, at: datetime = NOW) -> CheckResult:
    """Record a check of a suite's definitions as they are."""
    product = ProductCheck(PRODUCT, failures=list(failures))
    definitions = fingerprint_of_texts(all_texts(suite.definitions))
    result = CheckResult(
        check_id="a1b2", definitions=definitions, git_commit=None, against="x", snapshot_id=1, origin="y",
        checked_at=at, files={}, touched=[], products=[product], unchanged=[], notes=[],
    )  # fmt: skip
    record_check(suite.lake, result)
    return result


def test_only_deployed_definitions_run(kept: Suite) -> None:
    with pytest.raises(UsageError, match="no definitions were deployed yet"):
        run_page(kept, PRODUCT, PAGE)
    result = check(kept, Order())
    assert result.passed
    record_check(kept.lake, result)
    first = deploy(kept, None, "the first").deployment
    assert (first.deployment, first.forced, first.check_id) == (1, False, result.check_id)
    assert first.git_commit == git(kept.root, "rev-parse", "HEAD")
    run_page(kept, PRODUCT, PAGE)
    # A comment is another text, and what was tested was the first.
    (kept.root / GROUP).write_text((kept.root / GROUP).read_text() + "-- who knows\n")
    with pytest.raises(UsageError, match=f"not those of deployment 1: {GROUP} differs"):
        ingest(reopened(kept))
    assert not deploy(kept, None, "again").is_new if git(kept.root, "checkout", "-q", GROUP) == "" else False


def test_what_is_not_committed_is_not_deployed(kept: Suite) -> None:
    (kept.root / GROUP).write_text((kept.root / GROUP).read_text() + "-- who knows\n")
    suite = reopened(kept)
    record(suite)
    with pytest.raises(UsageError, match=f"not committed: {GROUP}"):
        deploy(suite, None, "in haste")
    commit(kept.root)
    (kept.root / "sql/features/new.sql").write_text((kept.root / GROUP).read_text())
    suite = reopened(kept)
    record(suite)
    with pytest.raises(UsageError, match=r"not committed: sql/features/new\.sql"):
        deploy(suite, None, "in haste")


def test_a_check_that_is_missing_failing_or_old_is_refused(kept: Suite) -> None:
    with pytest.raises(UsageError, match="no check of these very definitions"):
        deploy(kept, None, "x")
    record(kept, "predictions_changed: 9 %", at=NOW)
    with pytest.raises(UsageError, match="failed: late_order: predictions_changed: 9 %"):
        deploy(kept, None, "x")
    record(kept, at=NOW + HOUR)
    with pytest.raises(UsageError, match="more than a day ago"):
        deploy(replace(kept, clock=clock_at(NOW + 26 * HOUR)), None, "x")
    with pytest.raises(UsageError, match="--reason is empty"):
        deploy(kept, None, " ")
    assert deploy(replace(kept, clock=clock_at(NOW + 25 * HOUR)), None, "x").is_new


def test_a_forced_one_stands_in_the_audit_and_going_back_is_a_deployment(kept: Suite) -> None:
    record(kept)
    first = deploy(kept, None, "the first").deployment
    (kept.root / GROUP).write_text((kept.root / GROUP).read_text() + "-- who knows\n")
    second = deploy(reopened(kept, NOW + HOUR), None, "the house burns", force=True).deployment
    assert second.forced
    assert second.problems == [f"not committed: {GROUP}", "no check of these very definitions is recorded"]
    git(kept.root, "checkout", "-q", GROUP)
    third = deploy(reopened(kept, NOW + 2 * HOUR), None, "it was the other house").deployment
    assert (third.deployment, third.back_to, third.definitions, third.forced) == (3, 1, first.definitions, False)
    deeds = [deed for deed in audit(reopened(kept)) if deed.what == "deploy"]
    assert [(deed.outcome, deed.concerns.partition(",")[0]) for deed in deeds] == [
        ("done", "deployment 1"),
        ("forced", "deployment 2"),
        ("done", "deployment 3 (back to 1)"),
    ]
    assert deeds[1].why == f"the house burns (against it: {'; '.join(second.problems)})"
    assert "the house burns" in said(kept.root, "deployments", "--json")


def test_production_elsewhere_gets_to_know(kept: Suite, tmp_path: Path) -> None:
    working = tmp_path / "working"
    git(tmp_path, "clone", "-q", str(kept.root), str(working))
    suite = open_suite(working, clock_at(NOW))
    result = check(suite, Order(kept.root))
    assert (result.passed, result.files) == (True, {"added": [], "removed": [], "changed": []})
    record_check(kept.lake, result)
    deploy(suite, kept.root, "from elsewhere")
    run_page(kept, PRODUCT, PAGE)
    # A check goes by what was deployed from then on, and not by what lies beside the lake.
    (kept.root / GROUP).write_text((kept.root / GROUP).read_text() + "-- who knows\n")
    again = check(suite, Order(kept.root))
    assert (again.origin, again.passed, again.unchanged) == ("deployment 1", True, [PRODUCT])


def test_a_new_suite_is_deployed_before_anything_is_ingested(starter: Path) -> None:
    (starter / "suite.yaml").write_text("deploy: required\n")
    assert "no definitions were deployed yet" in almanac(starter, "ingest").stderr
    done = almanac(starter, "deploy", "--reason", "it begins")
    assert done.returncode == 2
    assert "git knows of no commit" in done.stderr
    assert "Deployment 1" in said(starter, "deploy", "--reason", "it begins", "--force")
    ingest(open_suite(starter, clock_at(NOW)))


def test_the_clock_keeps_to_the_schedule_that_was_deployed(kept: Suite) -> None:
    from jobs.schedule.suite_clock import SuiteClock
    from jobs.schedule.tick_store import TickStore

    record(kept)
    deploy(kept, None, "the first")
    files = SuiteClock(kept.root, TickStore.open(kept.lake.root), clock_at(NOW))
    assert "late_order" in files.schedule().jobs
    schedule = kept.root / "schedules.yaml"
    schedule.write_text(schedule.read_text().replace("  late_order:\n", "  other_name:\n"))
    assert "late_order" in files.schedule().jobs
    assert "schedules.yaml differs" in files.refused[0]
    deploy(reopened(kept, NOW + HOUR), None, "another name", force=True)
    assert "other_name" in files.schedule().jobs
    assert files.refused == []


def test_mistakes_in_suite_yaml_are_told_with_their_lines(starter: Path) -> None:
    (starter / "suite.yaml").write_text("prices: {cpu_hour: -1}\ndeploy: sometimes\nowner: me\n")
    with pytest.raises(DefinitionError) as error:
        open_suite(starter, clock_at(NOW))
    assert all(f"suite.yaml:{line}" in str(error.value) for line in (1, 2, 3))
