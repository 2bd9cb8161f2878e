"""Writing down what a check found, in production's ledger: the one thing of it that production's lake gets to know."""

from __future__ import annotations

import json
from dataclasses import asdict

from jobs.check.results import CheckResult
from jobs.metering import who
from warehouse.lake.lake import Lake
from warehouse.ledger import records as ledger
from warehouse.ledger.deployments import CheckResultRecord


def record_check(lake: Lake, result: CheckResult) -> CheckResultRecord:
    """Write a check down, in one commit, under the hash of the definitions and the snapshot that it was compared with.

    Raises
    ------
    PublishFailed
        If production's lake cannot be written to.
    """
    with lake.commit(f"check {result.check_id} of the definitions {result.definitions}") as commit:
        record = CheckResultRecord(
            check_id=result.check_id,
            definitions=result.definitions,
            lake_snapshot=result.snapshot_id,
            passed=result.passed,
            failures=result.failures,
            result=json.dumps(asdict(result), default=str),
            checked_at=result.checked_at,
            checked_by=who(),
            git_commit=result.git_commit,
            snapshot_id=commit.snapshot_id,
        )
        ledger.append(commit, [record])
    return record
