"""The policy that was really lived gives the real ledger again: versions, decisions, alarms, looks and pages."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.rehearsal.rehearse import rehearse
from jobs.suite import Suite, open_suite
from tests.conftest import PRODUCT, clock_at
from tests.rehearsal.lived_suite import TAKES, lived_suite
from warehouse.lake.registry import TABLES

#: With ALMANAC_HISTORIES=1 two months; days else.
LONG = "ALMANAC_HISTORIES" in os.environ
SINCE = "2026-01-15" if LONG else "2026-02-01"
BEGIN = datetime(2026, 2, 2) if LONG else datetime(2026, 3, 1)
LATER = datetime(2026, 2, 9) if LONG else datetime(2026, 3, 5)
END = datetime(2026, 4, 2) if LONG else datetime(2026, 3, 10)
#: What tells one run from another (`basis` is a hash of them), or what it took, and nothing of what was decided.
LEFT_OUT = {
    "run_id", "page_run_id", "labels_run_id", "snapshot_id", "decision_id", "artifact", "sha256", "cost", "libraries",
    "lease", "seconds", "check_id", "basis",
}  # fmt: skip
COMPARED = (
    "models", "promotions", "decisions", "gates", "rollouts", "rollout_steps", "looks", "arms", "drift", "alarms",
    "performance", "triggers", "checks", "profiles",
)  # fmt: skip


def rows_of(suite: Suite, schema: str, name: str, begin: datetime) -> list[str]:
    """Give the rows of a table by what they say, in an order of their own; of pages those from `begin` on."""
    registered = {table.name: table for table in TABLES if table.schema == "ledger"}
    with suite.lake.reading() as connection:
        there = [row[0] for row in connection.execute(f"DESCRIBE {schema}.{name}").fetchall()]
        kept = [column for column in there if column not in LEFT_OUT]
        where = f"product = '{PRODUCT}'" if schema == "ledger" and registered[name].product else "true"
        where += f" AND as_of >= '{begin}'" if "as_of" in there else ""
        found = connection.execute(f"SELECT {', '.join(kept)} FROM {schema}.{name} WHERE {where}").fetchall()
    return sorted(str({**dict(zip(kept, map(_said, row), strict=True))}) for row in found)


def _said(value: Any) -> Any:
    """Leave seconds out of figures by name, and of what validation tells."""
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if not key.endswith(("_s", "_seconds", "memory_bytes"))}
    if isinstance(value, str) and '"fit_s"' in value:
        import json

        told = json.loads(value)
        for fold in told["folds"]:
            del fold["fit_s"]
        return told
    return value


def test_the_policy_that_was_lived_gives_the_ledger_again(tmp_path: Path) -> None:
    suite = lived_suite(tmp_path / "shop", BEGIN, END, SINCE)
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: {lived: {}}")
    found = rehearse(suite, PRODUCT, LATER, END, policies, training_takes=TAKES, keep=True)
    assert found.facts_in_their_time
    assert found.rows[0].failed == 0
    (place,) = (suite.lake.root / "rehearsals").glob("*/policies/lived")
    again = open_suite(place, clock_at(END))
    n_rows, differing = {}, {}
    for schema, name in [*(("ledger", name) for name in COMPARED), ("predictions", PRODUCT), ("features", PRODUCT)]:
        real, rehearsed = (rows_of(one, schema, name, LATER) for one in (suite, again))
        n_rows[name if schema == "ledger" else schema] = len(real)
        if rehearsed != real:
            only_real, only_again = Counter(real) - Counter(rehearsed), Counter(rehearsed) - Counter(real)
            differing[schema, name] = (sorted(only_real)[:2], sorted(only_again)[:2])
    print(n_rows)
    assert not differing
    # Something was decided in that time.
    assert n_rows["predictions"]
    assert n_rows["features"]
    assert n_rows["models"] >= (4 if LONG else 1)
    assert n_rows["looks"] >= 2
    assert n_rows["rollouts"] >= 1
