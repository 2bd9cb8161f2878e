"""Pages in a bucket: whole or not at all, named by a manifest that is replaced in one step."""

from __future__ import annotations

import io
import json
import random
import time
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.export.export import export
from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.effort import times
from tests.export.targets import with_targets
from tests.export.test_export_kills import publishes_and_exports_forever
from tests.lakes import rows
from tests.page_makers import PageMaker
from tests.s3_server import S3, SECRET
from warehouse.errors import DefinitionError

TARGETS = "\nexport:\n  app: {to: out/predictions.sqlite}\n  shop: {to: 's3://shop/predictions/'}\n"
ALL_ROWS = f"SELECT order_id, probability FROM predictions.{PRODUCT} WHERE as_of = '{PAGE}' ORDER BY order_id"


def body(s3: S3, key: str) -> bytes:
    read: bytes = s3.client.get_object(Bucket="shop", Key=f"predictions/{key}")["Body"].read()
    return read


def in_bucket(s3: S3) -> dict[str, list[dict[str, Any]]]:
    """Give the rows of each page that the manifest names."""
    pages = json.loads(body(s3, "manifest.json"))["pages"]
    return {page["as_of"]: pq.read_table(io.BytesIO(body(s3, page["file"]))).to_pylist() for page in pages}


def test_a_bucket_holds_the_pages_that_are_published(s3: S3, trained: Suite) -> None:
    suite = with_targets(trained, TARGETS)
    for page in (PAGE, PAGE + timedelta(days=1)):
        run_page(suite, PRODUCT, page)
        assert export(suite, PRODUCT).failed == {}
    held = in_bucket(s3)
    assert list(held) == [PAGE.isoformat(), (PAGE + timedelta(days=1)).isoformat()]
    sent = sorted((row["order_id"], row["probability"]) for row in held[PAGE.isoformat()])
    assert sent == rows(suite, ALL_ROWS)
    assert export(suite, PRODUCT).sent == []
    # A page that is published again gets another file; the one before goes with the export after.
    for _ in range(2):
        run_page(suite, PRODUCT, PAGE)
        export(suite, PRODUCT)
    files = [key for key in s3.all_keys() if PAGE.strftime("%Y%m%dT%H%M%S") in key]
    assert len(files) == 2
    assert not [path for path in suite.lake.staging.rglob("*") if path.is_file()]


def test_what_we_did_not_make_stays_and_a_server_that_is_down_holds_up_no_other_target(
    s3: S3, trained: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = with_targets(trained, TARGETS)
    run_page(suite, PRODUCT, PAGE)
    s3.put("predictions/manifest.json", '{"of": "somebody"}')
    done = export(suite, PRODUCT)
    assert [one.target for one in done.sent] == ["app"]
    assert "s3://shop/predictions/manifest.json was not written by exports" in done.failed["shop"]
    assert s3.all_keys() == ["predictions/manifest.json"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    why = export(suite, PRODUCT).failed["shop"]
    assert "s3://shop/predictions/ cannot be used: EndpointConnectionError" in why
    assert SECRET not in why
    with pytest.raises(DefinitionError, match="other URLs are not written to") as refused:
        with_targets(trained, TARGETS.replace("s3://shop/", "s3://me:hunter2@shop/"))
    assert "hunter2" not in str(refused.value)


def test_kills_leave_a_manifest_whose_files_are_whole(s3: S3, trained: Suite) -> None:
    suite, dice = with_targets(trained, TARGETS), random.Random(3)
    n_rows = run_page(suite, PRODUCT, PAGE).n_rows
    export(suite, PRODUCT)
    for _ in range(times(3)):
        maker = PageMaker(suite, publishes_and_exports_forever)
        maker.let_go()
        time.sleep(dice.uniform(0, 2.5))
        maker.kill()
        assert [len(held) for held in in_bucket(s3).values()] == [n_rows]
    assert export(suite, PRODUCT).failed == {}
    sent = sorted((row["order_id"], row["probability"]) for row in in_bucket(s3)[PAGE.isoformat()])
    assert sent == rows(suite, ALL_ROWS)
