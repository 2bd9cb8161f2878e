"""Lakes are moved and mended over a line to their bucket that breaks: whole, or as they were.

On demand (`ALMANAC_ALL_STEPS=1`) requests are counted once; then some of them meet a fault each: a refusal that passes
or one that stays, a line that is cut before the request is carried out, after that, or in the middle of the answer, and
an answer that comes slowly.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.suites.move_lake import LEFT_AS, move_lake
from jobs.suites.repair import repair
from tests.backup.broken_lines import ALL, Meeting, at, moved_into_a_bucket, wanted_of
from tests.backup.test_backup import contents
from tests.conftest import PAGE, PRODUCT
from tests.lake.shared_lakes import new_database, password
from tests.lakes import page_rows, rows
from tests.postgres_server import Server, needs_postgres
from tests.s3_proxy import Faults
from tests.s3_server import S3
from warehouse.errors import RunFailed
from warehouse.lake.postgres.addresses import Address, read_address, write_lake_file

pytestmark = needs_postgres
#: So many places of a row of requests meet a fault.
PLACES = 4
on_demand = pytest.mark.skipif(not ALL, reason="minutes: ALMANAC_ALL_STEPS=1")


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@on_demand
def test_a_move_into_a_bucket_is_whole_or_not_at_all(
    published: Suite, bucket: S3, faults: Faults, postgres: Server
) -> None:
    root, number = published.root, 0
    meeting, before = Meeting(faults, 0), contents(published)
    published.lake.close()

    def there() -> Address:
        url = f"{postgres.url(f'faults_in_{number}')}?data=s3://shop/lakes/in{number}"
        return read_address(url, "it").of_suite(root)

    def home_again() -> None:
        assert wanted_of(root) == before
        shutil.rmtree(root / "lake")
        (root / LEFT_AS).rename(root / "lake")
        (root / "lake.yaml").unlink()
        nonlocal number
        number += 1
        new_database(postgres, f"faults_in_{number}")

    new_database(postgres, "faults_in_0")
    n_requests = meeting.count(lambda: move_lake(root, there()))
    assert n_requests > 20
    home_again()
    for how, place in meeting.each(n_requests, PLACES):
        if meeting.meets(how, place, lambda: move_lake(root, there())):
            home_again()
        else:
            assert not (root / "lake.yaml").exists()
            assert wanted_of(root) == before
    assert meeting.told
    # Whatever the last one left, the same can be done.
    move_lake(root, there())
    home_again()


@on_demand
def test_a_move_out_of_a_bucket_is_whole_or_not_at_all(
    published: Suite, bucket: S3, faults: Faults, postgres: Server
) -> None:
    root, database = published.root, new_database(postgres, "faults_out")
    before = contents(published)
    published.lake.close()
    move_lake(root, read_address(f"{database}?data=s3://shop/lakes/out", "it").of_suite(root))
    shutil.rmtree(root / LEFT_AS)
    meeting = Meeting(faults, 3)

    def there_again() -> None:
        assert wanted_of(root) == before
        shutil.rmtree(root / "lake")
        shutil.rmtree(root / LEFT_AS, ignore_errors=True)
        with postgres.connect("faults_out") as connection:
            connection.execute("UPDATE almanac.lake SET moved_to = NULL")
        write_lake_file(root, read_address(f"{database}?data=s3://shop/lakes/out", "it"))

    n_requests = meeting.count(lambda: move_lake(root, None))
    assert n_requests > 20
    there_again()
    for how, place in meeting.each(n_requests, PLACES):
        if meeting.meets(how, place, lambda: move_lake(root, None)):
            there_again()
        else:
            assert wanted_of(root) == before
            assert "s3://" in (root / "lake.yaml").read_text()
    assert meeting.told
    move_lake(root, None)
    there_again()


def test_a_line_that_breaks_is_no_damage_of_files(
    published: Suite, bucket: S3, faults: Faults, postgres: Server
) -> None:
    root = moved_into_a_bucket(published, postgres, "sound")
    before, keys = page_rows(at(root), PRODUCT), set(bucket.all_keys())
    for how in ("deny", "fail", "cut", "truncate"):
        faults.tell(how, names=f"GET /shop/lakes/sound/data/predictions/{PRODUCT}/", everything=True)
        with pytest.raises(RunFailed, match="cannot be reached"):
            repair(at(root))
        faults.tell("")
    assert repair(at(root)).found_nothing
    assert (page_rows(at(root), PRODUCT), set(bucket.all_keys())) == (before, keys)


@on_demand
def test_a_repair_over_a_line_that_breaks_loses_nothing_more(
    published: Suite, bucket: S3, faults: Faults, postgres: Server
) -> None:
    root = moved_into_a_bucket(published, postgres, "mended")
    run_page(at(root), PRODUCT, PAGE)
    wanted, facts = page_rows(at(root), PRODUCT), rows(at(root), "FROM sources.orders ORDER BY ALL")
    meeting = Meeting(faults, 2)

    def damage() -> None:
        query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')"
        for (place,) in rows(at(root), query, [PRODUCT]):
            bucket.put(str(place).removeprefix("s3://shop/"), "no Parquet")
        at(root).lake.close()

    damage()
    n_requests = meeting.count(lambda: repair(at(root)))
    run_page(at(root), PRODUCT, PAGE)
    for how, place in meeting.each(n_requests, PLACES):
        damage()
        meeting.meets(how, place, lambda: repair(at(root)))
        repair(at(root))
        assert repair(at(root)).found_nothing
        run_page(at(root), PRODUCT, PAGE)
        assert page_rows(at(root), PRODUCT) == wanted
        assert rows(at(root), "FROM sources.orders ORDER BY ALL") == facts
