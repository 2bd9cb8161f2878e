"""Whatever kind of file is sent to a bucket is sent while others can commit, and not under the writer lock."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from jobs.models.artifacts import MANIFEST_FILE, MODEL_FILE, RULE_FILE, read_rule, verify_artifact
from jobs.models.versions import model_history
from jobs.products.leave import rename_product
from jobs.rollout.stages import start
from jobs.suite import Suite, open_suite
from jobs.suites.move_lake import LEFT_AS, move_lake
from jobs.training.train import train
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lake.shared_lakes import new_database, password
from tests.lakes import rows
from tests.models.test_compiled_files import without_file
from tests.page_makers import process_of
from tests.postgres_server import Server, needs_postgres
from tests.products.test_products import renamed
from tests.rollout.worlds import COIN, GOOD, WORSE, at, make, with_plan, with_rules
from tests.s3_proxy import Faults, broken_line
from tests.s3_server import S3
from warehouse.lake.lake import check_format
from warehouse.lake.postgres.addresses import read_address
from warehouse.lake.postgres.catalogue import LOCKS, WRITER
from warehouse.lake.storage.bucket_prefix import BucketPrefix

pytestmark = needs_postgres
LATER = datetime(2026, 3, 3)
#: What DuckLake writes itself, it writes in its transaction.
OURS = re.compile(r"PUT /shop/lakes/[a-z]+/(artifacts/.*|data/[^/]*/[^/]*/(?!ducklake-)[^/]*)")


@pytest.fixture(scope="module")
def faults(bucket: S3, _s3_server: tuple[str, Path]) -> Iterator[Faults]:
    with password(), broken_line(_s3_server[0]) as faults:
        yield faults


def in_bucket(suite: Suite, postgres: Server, name: str) -> None:
    suite.lake.close()
    url = f"{new_database(postgres, f'uploads_{name}')}?data=s3://shop/lakes/{name}"
    move_lake(suite.root, read_address(url, "it").of_suite(suite.root))
    shutil.rmtree(suite.root / LEFT_AS)


def sent_under_lock(faults: Faults, postgres: Server, name: str) -> dict[str, bool]:
    """Have it written down of each of our files that is sent from now on whether the writer lock is held meanwhile."""
    found: dict[str, bool] = {}
    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_database AS here ON here.oid = database"
        " WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted AND datname = current_database()"
    )

    def look(request: str) -> None:
        if named := OURS.match(request):
            with postgres.connect(f"uploads_{name}") as connection:
                found[named[1]] = connection.execute(query, [LOCKS, WRITER]).fetchone() != (0,)

    faults.tell("watch", names=f"lakes/{name}/", everything=True)
    faults.look = look
    return found


def test_every_file_of_ours_is_sent_before_the_lock(trained: Suite, faults: Faults, postgres: Server) -> None:
    root = trained.root
    without_file(trained)
    in_bucket(trained, postgres, "ahead")
    with_plan(root)
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    background = "{since: 2026-02-01, until: 2026-02-05, rows: 20}"
    header.write_text(f"{header.read_text()}reasons: {{top: 2, background: {background}}}\n")
    sent = sent_under_lock(faults, postgres, "ahead")
    train(at(root, NOW), PRODUCT, LATER)
    start(at(root, PAGE), PRODUCT, ["v2"], reason="it knows more")
    make(root, PAGE)
    suite = renamed(at(root, NOW), "delay")
    rename_product(suite, PRODUCT, "delay", None)
    faults.tell("")
    kinds = {re.sub(r"[0-9a-f-]{12,}", "*", path) for path in sent}
    assert {path.partition("/")[0] for path in sent} == {"artifacts", "data"}
    for part in ("predictions/late_order/", "predictions/late_order_arms/", MODEL_FILE, "/compiled-", "/background-"):
        assert any(part in path for path in kinds), (part, kinds)
    assert any(path.startswith("artifacts/delay/") for path in kinds)
    assert [path for path, is_held in sent.items() if is_held] == []
    # All that was sent is what the lake has.
    shutil.rmtree(suite.lake.root)
    suite = open_suite(root, clock_at(NOW))
    with suite.lake.reading() as connection:
        suite_id, models = check_format(connection, suite.lake.root), model_history(connection, "delay").models
    assert [verify_artifact(model, suite.lake.root, suite_id) != "" for model in models] == [True, True]
    query = "SELECT count(*) > 0, bool_and(reasons IS NOT NULL) FROM predictions.delay_current"
    assert rows(suite, query) == [(True, True)]


def _register(root: Path) -> None:
    train(at(root, NOW), PRODUCT, datetime(2026, 2, 1))


def test_a_version_that_another_overtakes_while_it_is_sent_gets_the_next_number(
    ingested: Suite, faults: Faults, postgres: Server, bucket: S3, tmp_path: Path
) -> None:
    root, other = ingested.root, tmp_path / "other host"
    with_rules(root, COIN)
    in_bucket(ingested, postgres, "overtaken")
    shutil.copytree(root, other)
    for host, rule in ((root, GOOD), (other, WORSE)):
        query = host / f"sql/products/{PRODUCT}/score.sql"
        query.write_text(query.read_text().replace(COIN, rule))
    faults.tell("wait", names=f"/{RULE_FILE}", count=1, everything=True)
    slower = process_of(_register, other)
    slower.start()
    assert faults.held.wait(120)
    _register(root)
    faults.go_on.set()
    slower.join()
    faults.tell("")
    assert slower.exitcode == 0
    # Another host, which has nothing of it yet, finds all of it.
    shutil.rmtree(root / "lake")
    suite = at(root, NOW)
    with suite.lake.reading() as connection:
        suite_id, models = check_format(connection, suite.lake.root), model_history(connection, PRODUCT).models
    texts = [read_rule(model, suite.lake.root, suite_id) for model in models]
    assert [model.version for model in models] == ["v1", "v2", "v3"]
    assert [rule in text for rule, text in zip((COIN, GOOD, WORSE), texts, strict=True)] == [True] * 3
    # What was sent under the number that another got is on the list of what upkeep deletes.
    sent = {key.removeprefix("lakes/overtaken/") for key in bucket.all_keys() if "overtaken/artifacts/" in key}
    in_vain = {path for path in sent if path.rpartition("/")[0] not in {model.artifact for model in models}}
    assert {Path(path).name for path in in_vain} == {RULE_FILE, MANIFEST_FILE}
    assert isinstance(suite.lake.storage, BucketPrefix)
    assert in_vain <= set(suite.lake.storage.keys.all())
