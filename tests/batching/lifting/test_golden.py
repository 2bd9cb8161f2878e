"""Lifted queries of the flight-delay suite beside what they come from, so that a change of the text is seen.

`ALMANAC_GOLDEN=write python -m pytest tests/batching/lifting/test_golden.py` writes them anew.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from warehouse.batching.lifting import LiftedForm, TableShape, lift
from warehouse.system_sql import SQL_ROOT

GOLDEN = Path(__file__).parent / "golden"
SCHEDULE = TableShape(
    (
        *((name, "VARCHAR") for name in ("carrier", "origin", "dest", "tailnum")),
        *((name, "INTEGER") for name in ("flight", "local_hour", "block_minutes")),
        *((name, "TIMESTAMP") for name in ("departs_at", "scheduled_arrival", "known_at")),
        ("flight_date", "DATE"),
    )
)
LANDINGS = TableShape(
    (
        *((name, "VARCHAR") for name in ("carrier", "origin", "dest", "outcome")),
        *((name, "INTEGER") for name in ("flight", "air_time")),
        ("flight_date", "DATE"),
        ("known_at", "TIMESTAMP"),
    ),
    timedelta(minutes=15),
    has_versions=True,
)
SOURCES = {"schedule": SCHEDULE, "landings": LANDINGS}


@pytest.mark.parametrize("name", ["calendar", "congestion", "rotation", "carrier_today"])
def test_a_lifted_query_reads_as_it_did(name: str) -> None:
    header, _, query = (SQL_ROOT / "features" / f"{name}.sql").read_text().partition("*/")
    assert header.startswith("/*")
    form = lift(query, SOURCES)
    assert isinstance(form, LiftedForm), form
    golden = GOLDEN / f"{name}.lifted.sql"
    if os.environ.get("ALMANAC_GOLDEN") == "write":
        golden.write_text(form.text + "\n")
    assert form.text + "\n" == golden.read_text()
