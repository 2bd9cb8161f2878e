"""The files that a source names are those that are read, whatever their names and wherever the suite lies."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.facts.orders_suite import T1, T2, define, facts, rows_of, taken_in
from tests.facts.orders_suite import deliver as deliver_orders
from tests.lakes import page_rows, rows
from warehouse.errors import IngestFailed

HEADER = "order_id,depot,courier,parcels,ordered_at,promised_at\n"
LINE = "{},north,Swift,1,2026-01-01 06:00:00,2026-01-02 06:00:00\n"
ORDERS = "SELECT order_id FROM sources.orders WHERE order_id LIKE 'X%' ORDER BY 1"


def deliver(root: Path, name: str, *orders: str) -> Path:
    path = root / "data" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(HEADER + "".join(LINE.format(order) for order in orders))
    return path


NAMES = ["orders[1].csv", "orders?.csv", "orders*z.csv", "orders[!a-z].csv", "orders '\".csv", "orders\\.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_the_file_that_is_read(starter: Path) -> None:
    for number, other in enumerate(["orders1.csv", "ordersa.csv", "ordersxyz.csv"]):
        deliver(starter, other, f"X{number}")
    suite = open_suite(starter, clock_at(NOW))
    ingest(suite, ["orders"])
    assert rows(suite, ORDERS) == [("X0",), ("X1",), ("X2",)]
    for number, name in enumerate(NAMES, 3):
        deliver(starter, name, f"X{number}")
        done = ingest(suite, ["orders"])[0].ingestion
        assert done is not None
        assert (name, done.rows_read, done.rows_new) == (name, 1, 1)
    assert rows(suite, ORDERS) == [(f"X{number}",) for number in range(3 + len(NAMES))]


def test_a_name_that_no_pattern_matches_is_refused(starter: Path) -> None:
    deliver(starter, "orders\\*.csv", "X1")
    with pytest.raises(Exception, match="backslash") as caught:
        ingest(open_suite(starter, clock_at(NOW)), ["orders"])
    assert getattr(caught.value, "exit_code", None) in (1, 2)


def test_a_header_that_names_a_file_with_brackets_means_that_file(starter: Path) -> None:
    source = starter / "sql/sources/orders.sql"
    source.write_text(source.read_text().replace("data/orders*.csv", '"data/o[1].csv"'))
    deliver(starter, "o[1].csv", "X1")
    suite = open_suite(starter, clock_at(NOW))
    ingest(suite, ["orders"])
    assert rows(suite, ORDERS) == [("X1",)]
    deliver(starter, "o1.csv", "X2")
    with pytest.raises(IngestFailed, match=r"is the name of a file, and a pattern that matches .*o1\.csv"):
        ingest(suite, ["orders"])


@pytest.mark.parametrize("suffix", [".zip", ".ZIP"])
def test_every_member_of_an_archive_is_read(starter: Path, suffix: str) -> None:
    source = starter / "sql/sources/orders.sql"
    source.write_text(source.read_text().replace("data/orders*.csv", '"data/packed.*"'))
    with warnings.catch_warnings(), zipfile.ZipFile(starter / f"data/packed{suffix}", "w") as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, order in (("a.csv", "X1"), ("a.csv", "X2"), ("in/a[1].csv", "X3"), ("a__MACOSX.csv", "X4")):
            archive.writestr(name, HEADER + LINE.format(order))
        archive.writestr("__MACOSX/._a.csv", b"\x00\x05\x16")
    suite = open_suite(starter, clock_at(NOW))
    ingest(suite, ["orders"])
    assert rows(suite, ORDERS) == [("X1",), ("X2",), ("X3",), ("X4",)]


def test_an_archive_that_is_damaged_is_told(starter: Path) -> None:
    source = starter / "sql/sources/orders.sql"
    source.write_text(source.read_text().replace("data/orders*.csv", "data/packed.zip"))
    (starter / "data/packed.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(IngestFailed, match=r"packed\.zip cannot be unpacked"):
        ingest(open_suite(starter, clock_at(NOW)), ["orders"])


def test_a_suite_may_lie_in_a_directory_whose_name_looks_like_a_pattern(published: Suite, tmp_path: Path) -> None:
    """Its neighbour bears the name that the pattern matches, and has other facts and staged rows."""
    shutil.copytree(published.root, tmp_path / "shop 1")
    home = tmp_path / "shop [1]*"
    shutil.copytree(published.root, home)
    run_page(published, PRODUCT, PAGE)
    suite = open_suite(home, clock_at(NOW))
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE, version="v1")
    assert page_rows(suite, PRODUCT) == page_rows(published, PRODUCT)
    deliver(home, "orders2.csv", "X1")
    ingest(suite, ["orders"])
    assert rows(suite, ORDERS) == [("X1",)]


def test_names_of_columns_are_the_same_in_capital_and_small_letters(tmp_path: Path) -> None:
    define(tmp_path)
    capitals = "ID,Depot,N,PLACED\n"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/0.csv").write_text(capitals + "a,north,1,2026-01-01 10:00:00\nx,north,none,2026-01-01 10:00:00\n")
    taken_in(tmp_path, T1)
    assert facts(tmp_path, ids=False)[0][:3] == ("a", "north", 1)
    deliver_orders(tmp_path, "1.csv", ["b,south,2,2026-01-02 10:00:00"])
    (tmp_path / "data/2.csv").write_text(capitals + "c,east,3,2026-01-03 10:00:00\ny,east,many,2026-01-03 10:00:00\n")
    assert not taken_in(tmp_path, T2).reading.lacking
    assert rows_of(tmp_path, "SELECT id, depot, n FROM sources.orders ORDER BY ALL") == [
        ("a", "north", 1),
        ("b", "south", 2),
        ("c", "east", 3),
    ]
    wrong = rows_of(tmp_path, "SELECT id, depot, reason FROM rejects.orders ORDER BY ALL")
    assert [row[:2] for row in wrong] == [("x", "north"), ("y", "east")]
    assert all("does not stand for a INTEGER" in reason for _, _, reason in wrong)
