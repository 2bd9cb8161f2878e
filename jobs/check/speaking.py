"""What would speak if a change went live: checks on its pages, gates of its version, and monitors.

Whatever would have spoken of the same pages before the change is told too, and does not count against it.
"""

from __future__ import annotations

from jobs.check.making import Made
from jobs.check.results import Spoken
from jobs.monitoring.judging.monitor import judge_published
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.ledger.alarms import OPEN, Alarm, alarms_of
from warehouse.system_sql import system_sql

CHECK, GATE, MONITOR = "check", "gate", "monitor"


def open_alarms(suite: Suite, product: Product) -> set[str]:
    """Judge what production has published and not judged yet, and give the alarms that are open then, by their ids."""
    judge_published(suite, [product.name])
    return {alarm.alarm_id for alarm in _open(suite, product)}


def what_speaks(suite: Suite, product: Product, made: Made, open_before: set[str]) -> list[Spoken]:
    """Give what would speak of the pages that were made, and of the version that was trained for them.

    `open_before` is what `open_alarms` gave before they were made.
    """
    return [*_checks(suite, product, made), *_gates(made), *_monitors(suite, product, open_before)]


def _checks(suite: Suite, product: Product, made: Made) -> list[Spoken]:
    with suite.lake.reading() as connection:
        rows = connection.execute(system_sql("check/failed_checks"), [made.result.run_ids]).fetchall()
        values = [product.name, made.snapshot_before]
        before = set(connection.execute(system_sql("check/failed_before"), values).fetchall())
    found = []
    for name, severity, n_pages, wrong_rows, message, pages in rows:
        is_new = any((name, page) not in before for page in pages)
        said = message if message != "passed" else f"{wrong_rows} rows are wrong"
        found.append(Spoken(CHECK, name, severity, said, n_pages, is_new))
    return found


def _gates(made: Made) -> list[Spoken]:
    if made.verdict is None:
        return []
    return [
        Spoken(GATE, gate.gate, "gate", gate.message, gate.n_pages) for gate in made.verdict.gates if not gate.passed
    ]


def _monitors(suite: Suite, product: Product, before: set[str]) -> list[Spoken]:
    """Judge the pages as after a run, and give the alarms that this opens."""
    failed = judge_published(suite, [product.name])
    found = [
        Spoken(MONITOR, alarm.kind, "alarm", alarm.message or ", ".join(alarm.columns))
        for alarm in _open(suite, product)
        if alarm.alarm_id not in before
    ]
    return found + [Spoken(MONITOR, "judging", "warning", why) for why in failed]


def _open(suite: Suite, product: Product) -> list[Alarm]:
    with suite.lake.reading() as connection:
        return [alarm for alarm in alarms_of(connection, product.name) if alarm.state == OPEN]
