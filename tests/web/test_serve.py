"""The service answers what is current, whole, to whom it may, and goes on with what it has when something breaks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.bundles.bundle_reader import read_manifest
from jobs.export.export import export
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.rollout.stages import abort, start
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.effort import times
from tests.rollout.worlds import at, make, with_plan, with_rules
from tests.web.bundles import ROOT, Service, current, in_bundle, predicted, serving, with_bundle, write
from warehouse.definitions import Product
from warehouse.lake.extensions import open_instance

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PATH = f"/v1/{PRODUCT}/predictions"
SWITCHES = times(40)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    root = tmp_path_factory.mktemp("defined") / "shop"
    make_starter(root)
    return open_suite(root, clock_at(NOW)).definitions.product(PRODUCT)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def service(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two processes, of every bundle that is in a directory, as if it were just before NOW.

    A client may ask as much as it can: how much that is depends on the machine.
    """
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with serving(shelf, "--now", "2026-03-10T19:00", "--patience", "1", "--rate", "0", log=log) as running:
        yield running


@pytest.fixture(scope="module")
def bundle(shelf: Path, service: Service, product: Product) -> Path:
    """A bundle of two entities, of which one has expired."""
    directory = shelf / "late.bundle"
    rows = f"{predicted('1 AS k')} UNION ALL {predicted('2 AS k', until='2026-03-10 19:00')}"
    write(directory, product, rows, ("k",))
    service.holding(1)
    return directory


def asked(service: Service, keys: list[str]) -> dict[str, dict[str, Any]]:
    status, said, _ = service.ask(PATH, {"keys": [{"order_id": key} for key in keys]})
    assert status == 200
    assert [row["keys"]["order_id"] for row in said["predictions"]] == keys
    return {row.pop("keys")["order_id"]: row for row in said["predictions"]}


def test_served_rows_are_the_current_ones_after_backfills_rollbacks_and_rollouts(
    ingested: Suite, tmp_path: Path
) -> None:
    root = ingested.root
    with_rules(root, "hours_left / 1000", "parcels / 1000")
    with_plan(root, "{stages: [{canary: {share: 50%, pages: 3}}], margin: 0.01}")
    suite = with_bundle(ingested)
    # The clock goes on from step to step, as publications have to come one after the other.
    run_page(at(root, PAGE), PRODUCT, PAGE)
    export(suite, PRODUCT)
    with serving(root / "out", "--processes", "1", "--now", "2026-03-10T18:00", log=tmp_path / "log") as service:

        def same_as_the_lake() -> dict[str, dict[str, Any]]:
            (sent,) = export(suite, PRODUCT, "served").sent
            service.holding(sent.snapshot_id)
            wanted = current(suite)
            assert asked(service, list(wanted)) == wanted
            assert in_bundle(suite, [*wanted, "no such order"], PAGE) == {**wanted, "no such order": None}
            manifests = [read_manifest(path) for path in sorted((root / "out/late.bundle").glob("*.json"))]
            assert len(wanted) == manifests[0].n_rows
            # The file before is kept for readers, and none older.
            assert {path.name for path in (root / "out/late.bundle").glob("*.sqlite")} == {
                one.file for one in manifests
            }
            return wanted

        same_as_the_lake()
        first = suite.lake.newest_snapshot()
        backfill(at(root, PAGE + HOUR), BackfillOrder(PRODUCT, PAGE - DAY, PAGE))
        assert len({row["as_of"] for row in same_as_the_lake().values()}) > 1
        run_page(at(root, PAGE + 2 * HOUR), PRODUCT, PAGE)
        rollback(at(root, PAGE + 3 * HOUR), PRODUCT, PAGE, first)
        same_as_the_lake()
        start(at(root, PAGE + 4 * HOUR), PRODUCT, ["v2"])
        make(root, PAGE + DAY)
        assert {row.get("arm") for row in same_as_the_lake().values()} >= {"v1", "v2"}
        abort(at(root, PAGE + DAY + HOUR), PRODUCT, "seen enough")
        assert {row.get("arm") for row in same_as_the_lake().values()} <= {"v1", None}


def test_a_service_needs_no_lake_nor_what_reads_one(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "elsewhere/late.bundle")
    program = """
import sys
for name in ("duckdb", "numba", "sklearn", "polars", "pyarrow", "pandas", "numpy", "sqlglot", "skops"):
    sys.modules[name] = None
sys.argv = ["almanac", "serve", "elsewhere", "--port", "0", "--processes", "1"]
from jobs.cli import main
if __name__ == "__main__":
    main()
"""
    (tmp_path / "bare.py").write_text(program)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "bare.py"],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    try:
        deadline, said = time.monotonic() + 120, ""
        while "http" not in said and time.monotonic() < deadline and process.poll() is None:
            said = (tmp_path / "log").read_text()
            time.sleep(0.05)
        running = Service(process, int(said.rpartition(":")[2]), tmp_path / "log")
        assert running.ask(f"{PATH}?k=1")[1]["probability"] == 0.5
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_an_answer_says_what_it_is_and_an_expired_one_predicts_nothing(bundle: Path, service: Service) -> None:
    status, said, headers = service.ask(f"{PATH}?k=1")
    assert (status, said) == (
        200,
        {
            "product": PRODUCT,
            "snapshot_id": 1,
            "keys": {"k": 1},
            "made": "page",
            "as_of": "2026-03-10T00:00:00Z",
            "model_version": "v1",
            "valid_until": "2999-01-01T00:00:00Z",
            "probability": 0.5,
        },
    )
    again = {"If-None-Match": f'"other", W/{headers["etag"]}'}
    assert service.ask(f"{PATH}?k=1", headers=again)[:2] == (304, "")
    status, said, expired = service.ask(f"{PATH}?k=2", headers=again)
    assert (status, said["made"], "probability" in said, "etag" in expired) == (410, "expired", False, False)
    assert service.ask(f"{PATH}?k=3")[:2] == (
        404,
        {"product": PRODUCT, "snapshot_id": 1, "keys": {"k": 3}, "made": "nothing"},
    )
    status, said, _ = service.ask(PATH, b'{"keys": [{"k": 2}, {"k": 1.0}, {"k": null}, {"k": 1e0}]}')
    assert [row["made"] for row in said["predictions"]] == ["expired", "page", "nothing", "page"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PATH, None, 400),
        (f"{PATH}?k=1&k=1", None, 400),
        (f"{PATH}?k=1&x=1", None, 400),
        (f"{PATH}?k=s3cret", None, 400),
        (f"{PATH}?k=%ff", None, 400),
        ("/v1/nothing/predictions?k=1", None, 404),
        ("/v2", None, 404),
        (PATH, b"s3cret", 400),
        (PATH, b'{"keys": [{"k": 1, "k": 2}]}', 400),
        (PATH, b'{"keys": [{"k": NaN}]}', 400),
        (PATH, b'{"keys": {"k": 1}}', 400),
        (PATH, b'{"keys": [{"k": ["s3cret"]}]}', 400),
        (PATH, b"[" * 100_000, 400),
        (PATH, json.dumps({"keys": [{"k": 1}] * 1001}).encode(), 413),
        (PATH, b" " * (2 << 20), 413),
    ],
)
def test_what_cannot_be_answered_is_refused_and_kept_in_no_log(
    path: str, body: bytes | None, status: int, bundle: Path, service: Service
) -> None:
    found, said, _ = service.ask(path, body)
    assert found == status
    assert "s3cret" not in json.dumps(said)
    assert "s3cret" not in service.log.read_text()
    assert "Traceback" not in service.log.read_text()


def test_a_thousand_keys_are_answered_in_their_order_and_counted(bundle: Path, service: Service) -> None:
    keys = [1 + place % 3 for place in range(1000)]
    status, said, _ = service.ask(PATH, {"keys": [{"k": key} for key in keys]})
    assert (status, [row["keys"]["k"] for row in said["predictions"]]) == (200, keys)
    assert service.ask(PATH, method="DELETE")[0] == 405
    for path in ("/readyz", "/metrics", "/openapi.json", "/"):
        assert service.ask(path, method="TRACE")[0] == 405
    nothing = f'almanac_keys_total{{product="{PRODUCT}",made="nothing"}}'
    refused = f'almanac_requests_total{{product="{PRODUCT}",status="405"}}'
    # Each process adds to the counts that all of them show from time to time.
    deadline = time.monotonic() + 120
    while True:
        text = service.ask("/metrics")[1]
        counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        if int(counted.get(nothing, 0)) >= 333 and int(counted.get(refused, 0)) >= 1:
            break
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    assert counted["almanac_request_seconds_count"] == counted['almanac_request_seconds_bucket{le="+Inf"}']
    assert counted["almanac_processes"] == "2"


def test_the_service_describes_itself(bundle: Path, service: Service) -> None:
    said = service.ask("/openapi.json")[1]
    get = said["paths"][PATH]["get"]
    assert [(one["name"], one["schema"]) for one in get["parameters"]] == [("k", {"type": "integer"})]
    assert set(get["responses"]) >= {"200", "304", "400", "404", "410", "429"}
    page = service.ask("/")[1]
    assert PATH in page
    assert "http" not in page  # nothing of it is from elsewhere


def test_no_answer_is_wrong_or_mixed_while_bundles_are_switched_under_load(
    shelf: Path, service: Service, product: Product
) -> None:
    other, connection = replace(product, name="other"), open_instance()

    def publish(number: int) -> None:
        rows = f"{predicted('i AS k', f'{number}::DOUBLE AS probability')} FROM range(300) r(i)"
        write(shelf / "other.bundle", other, rows, ("k",), number, opened=connection)

    body = json.dumps({"keys": [{"k": key} for key in range(0, 300, 3)]})
    first = 1000
    publish(first)
    service.holding(first, "other")
    wrong, n_answers, done, seen = list[Any](), 0, threading.Event(), set[int]()

    def look_up_all_the_while() -> None:
        nonlocal n_answers
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)) as asking:
            while not done.is_set():
                asking.request("POST", "/v1/other/predictions", body)
                answer = asking.getresponse()
                said = json.loads(answer.read())
                if answer.status != 200 or {row["probability"] for row in said["predictions"]} != {said["snapshot_id"]}:
                    wrong.append((answer.status, said))
                    return
                seen.add(said["snapshot_id"])
                n_answers += 1

    with ThreadPoolExecutor() as pool:
        askers = [pool.submit(look_up_all_the_while) for _ in range(2)]
        try:
            for number in range(first + 1, first + 1 + SWITCHES):
                publish(number)
                deadline = time.monotonic() + 120
                while number not in seen and time.monotonic() < deadline and not any(each.done() for each in askers):
                    time.sleep(0.005)
                if number not in seen:
                    break
        finally:
            done.set()
        for asker in askers:
            asker.result()
    assert wrong == []
    assert seen == set(range(first, first + 1 + SWITCHES))
    assert n_answers > SWITCHES
    connection.close()


def test_what_is_damaged_changes_nothing_and_a_new_process_takes_the_one_before(
    shelf: Path, product: Product, tmp_path: Path
) -> None:
    directory = tmp_path / "bundles/late.bundle"
    for number in (1, 2):
        write(directory, product, predicted("1 AS k", f"{number}::DOUBLE AS probability"), ("k",), number)
    with serving(tmp_path / "bundles", log=tmp_path / "log") as service:
        service.holding(2)
        manifest = (directory / "manifest.json").read_text()
        # What is copied over from elsewhere, and not to the end.
        newer = json.loads(json.loads(manifest)["manifest"]) | {"snapshot_id": 3, "sha256": "0" * 64}
        (directory / "new.json").write_text(json.dumps({"manifest": json.dumps(newer), "signature": None}))
        (directory / "new.json").replace(directory / "manifest.json")
        said = service.until(lambda one: one["snapshot_id"] == 2 and "Damaged" in (one["problem"] or ""))
        assert said["ready"]
        assert service.ask(f"{PATH}?k=1")[1]["probability"] == 2
        assert 'almanac_bundle_refused{place="late.bundle"} 1' in service.ask("/metrics")[1]
        for pid in (before := service.children()):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 120
        while (len(service.children()) < 2 or set(service.children()) & set(before)) and time.monotonic() < deadline:
            time.sleep(0.1)
        said = service.until(lambda one: one["snapshot_id"] == 1 and "Damaged" in (one["problem"] or ""))
        assert (said["processes"]["wanted"], said["processes"]["alive"]) == (2, 2)
        assert service.ask(f"{PATH}?k=1")[1]["probability"] == 1
        write(directory, product, predicted("1 AS k", "4::DOUBLE AS probability"), ("k",), 4)
        service.holding(4)
        shutil.rmtree(directory)
        said = service.until(lambda one: one["snapshot_id"] == 4 and "no manifest.json" in (one["problem"] or ""))
        assert service.ask(f"{PATH}?k=1")[1]["probability"] == 4


def test_a_service_with_nothing_valid_is_not_ready(tmp_path: Path, product: Product) -> None:
    (tmp_path / "bundles").mkdir()
    with serving(tmp_path / "bundles", "--processes", "1", log=tmp_path / "log") as service:
        status, said, _ = service.ask("/readyz")
        assert (status, said["ready"], said["bundles"]) == (503, False, [])
        assert (said["processes"]["wanted"], said["processes"]["alive"]) == (1, 1)
        assert service.ask(f"{PATH}?k=1")[0] == 503
        write(tmp_path / "bundles/late.bundle", product, predicted("1 AS k", until="2026-03-11"), ("k",))
        assert service.until(lambda one: one["state"] == "expired")["ready"] is False
        assert service.ask("/readyz")[0] == 503
        assert service.ask(f"{PATH}?k=1")[0] == 410


def test_elsewhere_than_here_a_token_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = almanac(tmp_path, "serve", str(tmp_path), "--host", "0.0.0.0")
    assert (refused.returncode, "ALMANAC_SERVE_TOKEN" in refused.stderr) == (2, True)
    monkeypatch.setenv("ALMANAC_SERVE_TOKEN", "short")
    assert "shorter than 16" in almanac(tmp_path, "serve", str(tmp_path)).stderr
    token = "a-token-of-many-letters"
    with serving(tmp_path, "--processes", "1", log=tmp_path / "log", environment={"ALMANAC_SERVE_TOKEN": token}) as one:
        assert one.ask("/readyz")[:2] == (503, {"ready": False})
        assert one.ask(f"{PATH}?k=1")[0] == 401
        assert one.ask("/metrics", headers={"Authorization": f"Bearer {token}x"})[0] == 401
        assert one.ask("/metrics", headers={"Authorization": f"Bearer {token}"})[0] == 200
        assert (
            one.ask("/metrics", headers={"Authorization": f"Bearer {token}", "Host": "predictions.example"})[0] == 200
        )
        assert token not in (tmp_path / "log").read_text()


def test_a_page_of_elsewhere_whose_name_stands_for_this_machine_is_refused(bundle: Path, service: Service) -> None:
    assert service.ask(f"{PATH}?k=1", headers={"Host": "evil.example"})[0] == 421
    assert service.ask(f"{PATH}?k=1", headers={"Host": f"localhost:{service.port}"})[0] == 200


def test_a_client_that_asks_for_too_much_has_to_wait(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "late.bundle")
    with serving(tmp_path, "--processes", "1", "--rate", "100", log=tmp_path / "log") as service:
        body = {"keys": [{"k": 1}] * 500}
        assert service.ask(PATH, body)[0] == 200
        status, _, headers = service.ask(PATH, body)
        assert (status, int(headers["retry-after"]) >= 1) == (429, True)
        assert service.ask("/readyz")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST /v1/late_order/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_a_slow_client_is_cut_off(sent: bytes, bundle: Path, service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
        client.sendall(sent)
        # It waits for two minutes at most: see above.
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert service.ask(f"{PATH}?k=1")[0] == 200


def test_a_client_that_sends_a_head_without_end_is_cut_off(bundle: Path, service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")

        def go_on() -> None:
            for _ in range(200):
                client.sendall(b"X: " + b"y" * 1000 + b"\r\n")
                time.sleep(0.001)

        with pytest.raises(OSError, match=r"reset|[Pp]ipe"):
            go_on()


def test_what_cannot_be_served_is_told(starter: Path, tmp_path: Path) -> None:
    assert "under `export`" in almanac(starter, "serve").stderr
    assert "is no directory" in almanac(starter, "serve", str(tmp_path / "nowhere")).stderr
    (tmp_path / "key").write_text("no key")
    refused = almanac(starter, "serve", str(tmp_path), "--trust", str(tmp_path / "key"))
    assert (refused.returncode, "no public key" in refused.stderr) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = almanac(starter, "serve", str(tmp_path), "--port", str(taken.getsockname()[1]))
        assert (refused.returncode, "another --port" in refused.stderr) == (1, True)


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused = almanac(tmp_path, "serve", str(tmp_path))
    assert (refused.returncode, "install almanac[serve]" in refused.stderr) == (2, True)
