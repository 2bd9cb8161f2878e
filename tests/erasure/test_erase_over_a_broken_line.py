"""A person is erased from a lake in a bucket over a line that breaks: all is as it was, or the same command goes on.

With `ALMANAC_ALL_STEPS=1` the line breaks at one request after the other, for good, until none is left to break at.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.erasure.erase import Erasure, erase
from jobs.erasure.journal import read
from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suites.move_lake import LEFT_AS
from tests.backup.broken_lines import ALL, Meeting, at, moved_into_a_bucket
from tests.conftest import PAGE, PRODUCT
from tests.erasure.test_erase import HEAD, KEY, NAME, found_in
from tests.lake.shared_lakes import password
from tests.lakes import rows
from tests.postgres_server import Server, needs_postgres
from tests.s3_proxy import Faults
from tests.s3_server import S3

pytestmark = needs_postgres
PREFIX = "lakes/erased"
#: How the line breaks, at which of the requests of such names; each time the erasure goes on where it was.
PLACES = (
    ("deny", 5, ""),
    ("fail", 1, f"PUT /shop/{PREFIX}/data"),
    ("cut", 20, f"GET /shop/{PREFIX}/data"),
    ("fail", 1, f"DELETE /shop/{PREFIX}/data"),
    ("lose", 0, f"DELETE /shop/{PREFIX}/deliveries"),
    ("lose", 0, f"DELETE /shop/{PREFIX}/erasing.json"),
)
OTHERS = "FROM sources.orders WHERE courier <> $1 ORDER BY ALL"
#: How many rows of theirs each table has: all go in one commit.
THEIRS = (
    "SELECT (SELECT count(*) FROM sources.orders WHERE courier = $1), (SELECT count(*) FROM rejects.orders WHERE"
    " courier = $1), (SELECT count(*) FROM predictions.late_order WHERE order_id = 'O99999')"
)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ALMANAC_ERASE_KEY", KEY)
    with password():
        yield


@pytest.fixture
def root(_with_a_person: Path, bucket: S3, postgres: Server, tmp_path: Path) -> Path:
    """The shop, its lake in the bucket, and on this host a copy of the delivery that it has taken in since."""
    made = tmp_path / "shop"
    shutil.copytree(_with_a_person, made)
    shutil.rmtree(made / "lake" / "staging" / "killed")
    moved_into_a_bucket(at(made), postgres, "erased")
    shutil.rmtree(made / LEFT_AS)
    (made / "data/orders-3.csv").write_text(f"{HEAD}O99997,north,{NAME},1,2026-03-10 06:08:00,2026-03-12 06:06:00\n")
    suite = at(made)
    ingest(suite)
    suite.lake.close()
    return made


def in_turn() -> Iterator[tuple[str, int, str]]:
    """Give how the line breaks, and where."""
    if ALL:
        yield from ((("cut", "deny", "fail", "lose", "truncate")[place % 5], place, "") for place in itertools.count())
    yield from PLACES


def test_an_erasure_over_a_line_that_breaks_is_ended_by_the_next(root: Path, bucket: S3, faults: Faults) -> None:
    meeting, suite = Meeting(faults, 0), at(root)
    before, theirs, done = rows(suite, OTHERS, [NAME]), rows(suite, THEIRS, [NAME]), list[Erasure]()
    suite.lake.close()

    def erased() -> None:
        again = at(root)
        try:
            done.append(erase(again, "customer", NAME))
        finally:
            again.lake.close()

    for how, place, names in in_turn():
        if meeting.meets(how, place, erased, names=names, for_good=True):
            assert ALL or how == "lose"  # what was deleted although nobody said so
            break
        suite = at(root)
        now = rows(suite, THEIRS, [NAME])
        assert rows(suite, OTHERS, [NAME]) == before
        assert now in (theirs, [(0, 0, 0)])
        if read(suite.lake.storage) is None:
            assert now == theirs
        else:
            assert "run the same `almanac erase` again" in meeting.said
        suite.lake.close()
    assert meeting.told >= len(PLACES) - 1
    if not done:
        erased()
    suite = at(root)
    assert done[-1].left == []
    assert read(suite.lake.storage) is None
    assert [*found_in(suite)] == []
    assert rows(suite, OTHERS, [NAME]) == before
    for key in bucket.all_keys():
        if not key.endswith((".skops", "compiled.safetensors")):
            body = bucket.client.get_object(Bucket="shop", Key=key)["Body"].read()
            assert NAME.encode() not in body, key
    run_page(suite, PRODUCT, PAGE)
