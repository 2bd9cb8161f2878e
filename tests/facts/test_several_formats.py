"""One source filled from files of several formats, each read by a SELECT of its own."""

from __future__ import annotations

import re
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from jobs.facts.ingest import IngestResult, ingest
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from jobs.suites.lineage import suite_lineage
from jobs.suites.starter import make_bare
from tests.command_line import almanac
from tests.conftest import NOW, clock_at
from tests.lakes import rows
from warehouse.errors import DefinitionError, FilesSetAside
from warehouse.lake.extensions import load_excel
from warehouse.lineage.graph import Node

HEADER = """/*
description: What was sold.
key: [sale]
known_at: sold_at
rules:
  is paid: paid >= 0
deliveries:
  - {name: text, files: data/*.csv}
  - {name: excel, files: data/*.xlsx}
  - {name: lines, files: "data/*.jsonl"}
  - {name: parquet, files: data/*.parquet}
*/
"""
SELECTS = {
    "text": "SELECT sale, paid, sold_at FROM read_csv($files, types = {'sale': 'BIGINT', 'paid': 'DECIMAL(8, 2)'})",
    "excel": "SELECT number::BIGINT AS sale, amount::DECIMAL(8, 2) AS paid, sold AS sold_at FROM read_xlsx($files[1])",
    "lines": "SELECT sale::BIGINT AS sale, paid::DECIMAL(8, 2) AS paid, sold_at::TIMESTAMP AS sold_at"
    " FROM read_json($files)",
    "parquet": "SELECT sale, paid, sold_at FROM read_parquet($files)",
}
SALES = "SELECT {n}::BIGINT AS sale, {n}.5::DECIMAL(8, 2) AS paid, TIMESTAMP '2026-01-0{n} 10:00' AS sold_at"


def deliver(root: Path, name: str, number: int) -> None:
    query, path = SALES.format(n=number), root / "data" / name
    if name.endswith("xlsx"):
        query = f"SELECT sale AS number, paid AS amount, sold_at AS sold FROM ({query})"
    form = {"csv": "csv, HEADER", "xlsx": "xlsx, HEADER true", "jsonl": "json", "parquet": "parquet"}
    with duckdb.connect(":memory:") as connection:
        load_excel(connection)
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT {form[path.suffix[1:]]})")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    make_bare(tmp_path / "shop")
    root = tmp_path / "shop"
    (root / "data").mkdir(exist_ok=True)
    (root / "sql/sources").mkdir(parents=True, exist_ok=True)
    (root / "sql/sources/sales.sql").write_text(HEADER)
    for name, text in SELECTS.items():
        (root / f"sql/sources/sales.{name}.sql").write_text(f"/* description: Sales. */\n{text}\n")
    return root


def opened(root: Path) -> Suite:
    return open_suite(root, clock_at(NOW))


def sales(suite: Suite) -> list[tuple[int, Decimal, datetime]]:
    return rows(suite, "SELECT sale, paid, sold_at FROM sources.sales ORDER BY sale")  # type: ignore[return-value]


def test_each_format_is_read_by_its_own_select_into_one_source(shop: Path) -> None:
    deliver(shop, "a.csv", 1)
    deliver(shop, "b.xlsx", 2)
    deliver(shop, "c.jsonl", 3)
    deliver(shop, "d.parquet", 4)
    deliver(shop, "e.xlsx", 5)
    ingest(opened(shop))
    wanted = [(n, Decimal(f"{n}.50"), datetime(2026, 1, n, 10)) for n in range(1, 6)]
    assert sales(opened(shop)) == wanted
    assert [result.ingestion for result in ingest(opened(shop))] == [None]
    deliver(shop, "f.csv", 6)
    (result,) = ingest(opened(shop))
    assert result.ingestion is not None
    assert result.ingestion.rows_new == 1


def test_what_is_wrong_with_a_file_is_told_of_that_file(shop: Path) -> None:
    deliver(shop, "a.csv", 1)
    deliver(shop, "b.xlsx", 2)
    (shop / "data/bad.csv").write_text("sale,paid,sold_at\nx,1.00,2026-01-07 10:00:00\n8,1.00,2026-01-08 10:00:00\n")
    (shop / "data/odd.xlsx").write_bytes(b"PK no workbook")
    with pytest.raises(FilesSetAside, match=r"odd\.xlsx"):
        ingest(opened(shop))
    assert [sale for sale, *_ in sales(opened(shop))] == [1, 2, 8]
    ((reason,),) = rows(opened(shop), "SELECT reason FROM rejects.sales")
    assert "the text 'x' does not stand for a BIGINT" in str(reason)


def test_facts_are_made_anew_by_the_select_of_each_files_format(shop: Path) -> None:
    deliver(shop, "a.csv", 1)
    deliver(shop, "b.xlsx", 2)
    ingest(opened(shop))
    excel = shop / "sql/sources/sales.excel.sql"
    excel.write_text(excel.read_text().replace("amount::", "(amount * 10)::"))
    (result,) = ingest(opened(shop))
    assert result.derived is not None
    assert [paid for _, paid, _ in sales(opened(shop))] == [Decimal("1.50"), Decimal("25.00")]


def test_doctor_and_lineage_know_the_files_of_each_format(shop: Path) -> None:
    deliver(shop, "a.csv", 1)
    deliver(shop, "b.xlsx", 2)
    ingest(opened(shop))
    assert not [finding for finding in doctor(shop, clock_at(NOW)) if finding.state == "error"]
    nodes = suite_lineage(opened(shop)).graph.nodes
    for files, column in (("data/*.csv", "paid"), ("data/*.xlsx", "amount"), ("data/*.jsonl", "paid")):
        assert Node("file", files, column) in nodes
    assert almanac(shop, "status").returncode == 0


def test_what_is_wrong_with_the_formats_is_told(shop: Path) -> None:
    (shop / "sql/sources/sales.excel.sql").unlink()
    (shop / "sql/sources/sales.other.sql").write_text("/* description: Sales. */\nSELECT 1 AS sale\n")
    (shop / "sql/sources/sales.sql").write_text(HEADER + "SELECT 1 AS sale\n")
    with pytest.raises(DefinitionError) as caught:
        opened(shop)
    for words in ("sales.excel.sql is missing", "names no `other`", "has a SELECT besides"):
        assert words in str(caught.value)


def write_twins(root: Path, case: str) -> str:
    """Write a file of one sale whose column of what was paid is there twice; gives its name."""
    data = root / "data"
    line = '"sold_at": "2026-01-02 10:00"}'
    if case == "csv":
        (data / "twins.csv").write_text("sale,paid,sold_at,PAID\n9,1.5,2026-01-02 10:00:00,7.5\n")
    elif case == "a member of a .zip":
        with zipfile.ZipFile(data / "twins.csv.zip", "w") as packed:
            packed.writestr("twins.csv", "sale,paid,sold_at,PAID\n9,1.5,2026-01-02 10:00:00,7.5\n")
        return "twins.csv.zip"
    elif case == "jsonl":
        (data / "twins.jsonl").write_text(f'{{"sale": 8, "paid": 1.5, {line}\n{{"sale": 9, "Paid": 1.5, {line}\n')
    elif case == "parquet":
        columns = [pa.array([9]), pa.array([1.5]), pa.array([datetime(2026, 1, 2)]), pa.array([7.5])]
        parquet.write_table(pa.table(columns, names=["sale", "paid", "sold_at", "Paid"]), data / "twins.parquet")
    else:
        with duckdb.connect(":memory:") as connection:
            load_excel(connection)
            cells = "VALUES ('number', 'amount', 'sold', 'Amount'), ('9', '1.5', '2026-01-02 10:00:00', '7.5')"
            connection.execute(f"COPY ({cells}) TO '{data}/twins.xlsx' (FORMAT xlsx, HEADER false)")
    return f"twins.{case}"


def test_a_file_of_any_format_with_two_columns_of_one_name_is_set_aside(shop: Path) -> None:
    (shop / "sql/sources/sales.sql").write_text(HEADER.replace("data/*.csv", "data/*.csv*"))
    deliver(shop, "a.csv", 1)
    cases = ["csv", "a member of a .zip", "jsonl", "parquet", "xlsx"]
    written = {write_twins(shop, case) for case in cases}
    suite = opened(shop)
    with pytest.raises(FilesSetAside) as error:
        ingest(suite)
    (result,) = error.value.results
    assert isinstance(result, IngestResult)
    reasons = {Path(one.file.path).name: one.reason for one in result.reading.aside}
    assert reasons.keys() == written
    for path, reason in reasons.items():
        said = "is written `Paid` and `paid`" if path.endswith("jsonl") else "2 columns called `(paid|amount)`"
        assert re.search(said, reason), (path, reason)
    assert [row[0] for row in sales(suite)] == [1]


def test_files_of_json_that_write_a_key_differently_are_each_read_as_what_they_are(shop: Path) -> None:
    for number, name in ((1, "paid"), (2, "PAID")):
        text = f'{{"sale": {number}, "{name}": {number}.5, "sold_at": "2026-01-0{number} 10:00"}}\n'
        (shop / f"data/{number}.jsonl").write_text(text)
    suite = opened(shop)
    ingest(suite)
    assert [row[:2] for row in sales(suite)] == [(1, Decimal("1.50")), (2, Decimal("2.50"))]


def test_a_key_of_json_that_is_not_written_as_it_is_declared_is_no_null(shop: Path) -> None:
    (shop / "sql/sources/sales.lines.sql").write_text(
        "/* description: Sales. */\nSELECT sale, paid, sold_at FROM read_json($files, columns ="
        " {'sale': 'BIGINT', 'paid': 'DECIMAL(8, 2)', 'sold_at': 'TIMESTAMP'})\n"
    )
    for number, name in ((1, "paid"), (2, "Paid")):
        text = f'{{"sale": {number}, "{name}": {number}.5, "sold_at": "2026-01-0{number} 10:00"}}\n'
        (shop / f"data/{number}.jsonl").write_text(text)
    suite = opened(shop)
    with pytest.raises(FilesSetAside, match=r"2\.jsonl.*is written `Paid` and `paid`.*in one way"):
        ingest(suite)
    assert [row[0] for row in sales(suite)] == [1]


def test_fields_of_one_name_inside_a_column_of_parquet_are_refused(shop: Path) -> None:
    of_what = pa.struct([("x", pa.int32()), ("X", pa.int32())])
    columns = {"sale": [9], "paid": [1.5], "sold_at": [datetime(2026, 1, 2)]}
    told = pa.table({**columns, "told": pa.array([{"x": 1, "X": 2}], of_what)})
    parquet.write_table(told, shop / "data/a.parquet")
    deliver(shop, "b.parquet", 1)
    suite = opened(shop)
    with pytest.raises(FilesSetAside, match="inside its column `told` several fields bear one name"):
        ingest(suite)
    assert [row[0] for row in sales(suite)] == [1]
