"""Files under s3://, https:// and http:// are taken in as the same files in a directory would be, or not at all."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.files.remote_files import fetched
from jobs.facts.ingest import IngestResult, Way, ingest
from jobs.suite import open_suite
from jobs.suites.doctor import doctor
from tests.conftest import clock_at
from tests.facts.orders_suite import rows_of
from tests.s3_server import S3, SECRET
from warehouse.errors import DefinitionError, IngestFailed, NotInstalled

HEADER = """/*
description: Orders.
key: [id]
files: {files}
known_at: placed
*/
SELECT {select} FROM read_csv($files, header = true, types = {{'id': 'VARCHAR', 'n': 'INTEGER', 'placed': 'TIMESTAMP'}})
"""
FACTS = "SELECT id, n, known_at, ingest_id FROM sources.orders ORDER BY ALL"
FIRST, SECOND = "id,n,placed\na,1,2026-01-01\nb,2,2026-01-02\n", "id,n,placed\nc,3,2026-01-03\n"
HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def define(root: Path, files: str, select: str = "id, n, placed") -> None:
    (root / "sql/sources").mkdir(parents=True, exist_ok=True)
    (root / "sql/sources/orders.sql").write_text(HEADER.format(files=files, select=select))


def taken_in(root: Path, at: datetime, **way: Any) -> IngestResult:
    (result,) = ingest(open_suite(root, clock_at(at)), way=Way(**way))
    return result


def facts(root: Path) -> list[tuple[Any, ...]]:
    return rows_of(root, FACTS)


def test_objects_of_a_bucket_are_deliveries_each_once(s3: S3, tmp_path: Path) -> None:
    root = tmp_path / "suite"
    define(root, "s3://shop/orders/*.csv")
    s3.put("orders/1.csv", FIRST)
    s3.put("orders/old/0.csv", SECOND)  # a folder below is another one
    s3.put("orders/", "")
    later = now() + 2 * HOUR
    assert taken_in(root, later).ingestion is not None
    assert [row[:2] for row in facts(root)] == [("a", 1), ("b", 2)]
    recorded = rows_of(root, "SELECT files[1].path, len(files) FROM ledger.ingestions")
    assert recorded == [("s3://shop/orders/1.csv", 1)]
    # What was written well before it was taken in is not fetched again, and a new object is.
    s3.put("orders/2.csv", SECOND)
    assert taken_in(root, later + HOUR).ingestion is not None
    assert (s3.fetched("orders/1.csv"), s3.fetched("orders/2.csv"), s3.fetched("orders/old/0.csv")) == (1, 1, 0)
    assert taken_in(root, later + 2 * HOUR).ingestion is None
    # A definition that changes is read from the lake's copies; the bucket may be empty by then.
    for key in s3.all_keys():
        s3.client.delete_object(Bucket="shop", Key=key)
    s3.put("orders/3.csv", SECOND.replace("c,3", "d,4"))
    before = [row[1:] for row in facts(root)]
    define(root, "s3://shop/orders/*.csv", "id || '' AS id, n, placed, n * 2 AS twice")
    taken_in(root, later + 3 * HOUR)
    assert [row[1:3] for row in facts(root)][:3] == [row[:2] for row in before]
    assert rows_of(root, "SELECT id, twice FROM sources.orders ORDER BY ALL") == [
        ("a", 2), ("b", 4), ("c", 6), ("d", 8),
    ]  # fmt: skip


def test_an_object_that_is_written_anew_is_seen_though_its_size_is_the_same(s3: S3, tmp_path: Path) -> None:
    define(tmp_path / "suite", "s3://shop/1.csv")
    s3.put("1.csv", FIRST)
    taken_in(tmp_path / "suite", now())
    s3.put("1.csv", FIRST.replace("a,1", "a,9"))
    taken_in(tmp_path / "suite", now() + HOUR)
    assert [row[1] for row in facts(tmp_path / "suite") if row[0] == "a"] == [1, 9]


def test_a_bucket_that_cannot_be_asked_says_so_and_nothing_secret(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "suite"
    define(root, "s3://nowhere/*.csv")
    with pytest.raises(IngestFailed, match=r"`s3://nowhere/\*.csv` cannot be read: .*NoSuchBucket") as refused:
        taken_in(root, now())
    assert SECRET not in str(refused.value)
    define(root, "s3://shop/none-*.csv")
    with pytest.raises(IngestFailed, match="no object matches"):
        taken_in(root, now())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(IngestFailed, match=r"EndpointConnectionError.*run this again"):
        taken_in(root, now())
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(NotInstalled, match=r"pip install 'almanac\[s3\]'"):
        taken_in(root, now())
    assert SECRET not in "".join(
        path.read_text(errors="replace") for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


class Site(http.server.BaseHTTPRequestHandler):
    """A site with one file, which answers as its server says."""

    server: Any

    def do_HEAD(self) -> None:
        if "no HEAD" in self.server.way:
            self.send_error(405)
            return
        self._head()

    def do_GET(self) -> None:
        self.server.asked += 1
        if "written meanwhile" in self.server.way:
            self.server.text = self.server.text.replace("a,1", "a,7")
        self._head()
        text = self.server.text.encode()
        self.wfile.write(text[: len(text) // 2] if "cut" in self.server.way else text)

    def _head(self) -> None:
        if self.path != "/orders.csv":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.text.encode())))
        self.send_header("ETag", f'"{hash(self.server.text)}"')
        if "no dates" not in self.server.way:
            self.send_header("Last-Modified", format_datetime(self.server.written.astimezone(UTC), usegmt=True))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Any]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.text, server.way, server.asked = FIRST, (), 0  # type: ignore[attr-defined]
        server.written = datetime(2026, 1, 5, tzinfo=UTC)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_of_a_site_is_fetched_once_while_it_stays_what_it_is(site: Any, tmp_path: Path) -> None:
    root, url = tmp_path / "suite", f"http://127.0.0.1:{site.server_port}/orders.csv"
    define(root, url)
    assert taken_in(root, datetime(2026, 2, 1)).ingestion is not None
    assert taken_in(root, datetime(2026, 2, 2)).ingestion is None
    assert site.asked == 1
    site.way = ("no HEAD",)  # then nothing tells that it is what it was
    assert taken_in(root, datetime(2026, 2, 3)).ingestion is None
    assert site.asked == 2
    site.way, site.text = ("no dates",), FIRST.replace("a,1", "a,5")
    assert taken_in(root, datetime(2026, 2, 4)).ingestion is not None
    assert [row[:2] for row in facts(root)] == [("a", 1), ("a", 5), ("b", 2)]


@pytest.mark.parametrize(("way", "why"), [("cut", "broke off"), ("written meanwhile", "written to meanwhile")])
def test_what_does_not_come_whole_is_not_taken_in(site: Any, tmp_path: Path, way: str, why: str) -> None:
    root = tmp_path / "suite"
    define(root, f"http://127.0.0.1:{site.server_port}/orders.csv")
    site.way = (way,)
    with pytest.raises(IngestFailed, match=why):
        taken_in(root, datetime(2026, 2, 1))
    site.way = ()
    taken_in(root, datetime(2026, 2, 2))
    assert len(facts(root)) == 2
    define(root, f"http://127.0.0.1:{site.server_port}/none.csv")
    with pytest.raises(IngestFailed, match="404"):
        taken_in(root, datetime(2026, 2, 3))


def test_files_here_and_elsewhere_are_one_delivery_and_doctor_asks_nobody(site: Any, tmp_path: Path) -> None:
    root = tmp_path / "suite"
    define(root, f"[more.csv, 'http://127.0.0.1:{site.server_port}/orders.csv']")
    (root / "more.csv").write_text(SECOND)
    result = taken_in(root, datetime(2026, 2, 1))
    assert result.ingestion is not None
    assert [Path(file["path"]).name for file in result.ingestion.files] == ["more.csv", "orders.csv"]
    asked = site.asked
    doctor(root, clock_at(datetime(2026, 2, 2)))
    assert site.asked == asked


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ("gs://bucket/a.csv", "not under `gs://`"),
        ("https://me:secret@host/a.csv", "no user or password"),
        ("https://host/*.csv", "names one file"),
        ("'https://host/a.csv?token=secret'", "names one file"),
        ("s3://bucket", "names no file"),
    ],
)
def test_places_that_are_not_read_are_refused_where_they_are_written(tmp_path: Path, files: str, why: str) -> None:
    define(tmp_path, files)
    with pytest.raises(DefinitionError, match=why) as refused:
        open_suite(tmp_path, clock_at(now()))
    assert "orders.sql" in str(refused.value)


def test_a_select_that_reads_names_of_files_is_refused(site: Any, tmp_path: Path) -> None:
    define(tmp_path, f"http://127.0.0.1:{site.server_port}/orders.csv", "id, n, placed, filename")
    with pytest.raises(IngestFailed, match="reads the names of its files"):
        taken_in(tmp_path, datetime(2026, 2, 1))
    assert site.asked == 0


def test_a_pattern_of_keys_means_what_it_means_in_a_directory(s3: S3, tmp_path: Path) -> None:
    keys = ["a/1.csv", "a/b/2.csv", "a/b/c/3.csv", "a/[x].csv", "a/x.csv", "a.csv", "a/1.csv.gz"]
    for key in keys:
        s3.put(key, f"id,n,placed\n{key},1,2026-01-01\n")
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text("")
    define(tmp_path, "s3://shop/a.csv")
    source = open_suite(tmp_path, clock_at(now())).definitions.sources["orders"]
    for pattern in ("a/*.csv", "a/**/*.csv", "a/?.csv", "a/[1x].csv", "a/[!1].csv", "a/b/*/*.csv", "a/[x].csv"):
        found = [url.removeprefix("s3://shop/") for url, _ in fetched(source, f"s3://shop/{pattern}", tmp_path, None)]
        here = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob(pattern))
        # A key that is the pattern itself is that object.
        assert found == ([pattern] if pattern in keys else here), pattern
