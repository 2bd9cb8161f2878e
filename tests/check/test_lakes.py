"""Many lakes are listed at a glance, and one that cannot be read hides no other."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

from jobs.check.lakes import look_at_lakes
from jobs.suite import Suite
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from warehouse.ledger.alarms import Alarm, write_alarms


def test_products_of_several_lakes_are_listed(published: Suite, tmp_path: Path) -> None:
    other, alone = tmp_path / "other", tmp_path / "alone"
    alarm = Alarm(
        alarm_id="ab12", product=PRODUCT, kind="acute", state="open", first_page=PAGE, last_page=PAGE, since=None,
        expected=None, columns=["x"], flags=["shape"], evidence=1.0, bound=1.0, effect=1.0, message="x",
    )  # fmt: skip
    with published.lake.commit("an alarm") as commit:
        write_alarms(commit, [alarm], "a run", NOW)
    published.lake.close()
    # A lake without the files of its suite is told by its ledger.
    shutil.copytree(published.lake.root, alone)
    shutil.copytree(published.root, other)
    header = other / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace("owner: you\n", "owner: ada\nteam: harbour\nfresh_within: 400 days\n"))
    found = look_at_lakes([other, alone], clock_at(NOW))
    assert found.unread == {}
    rows = {row.lake: row for row in found.products}
    assert (rows[str(other)].owner, rows[str(other)].team, rows[str(other)].state) == ("ada", "harbour", "due")
    assert (rows[str(alone)].owner, rows[str(alone)].state, rows[str(alone)].live) == ("you", "late", "v1")
    assert (rows[str(alone)].n_alarms, rows[str(alone)].alarms) == (1, "acute")
    fresh = look_at_lakes([alone], clock_at(PAGE + timedelta(hours=1)))
    assert fresh.products[0].state == "fresh"


def test_a_lake_that_cannot_be_read_hides_no_other(trained: Suite, tmp_path: Path) -> None:
    done = almanac(trained.root, "lakes", str(trained.root), str(tmp_path / "nowhere"), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [(row["product"], row["state"]) for row in found["products"]] == [(PRODUCT, "never published")]
    assert list(found["unread"]) == [str(tmp_path / "nowhere")]
