"""Bundles to look up in, and a service that does, as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from jobs.bundles.bundle_reader import open_bundle
from jobs.export.bundle import BundleDirectory
from jobs.export.content import Content
from jobs.export.target import Owner
from jobs.suite import Suite
from tests.conftest import NOW, PRODUCT
from tests.export.targets import with_targets
from tests.lakes import rows
from warehouse.definitions import Product
from warehouse.lake.extensions import open_instance

ROOT = Path(__file__).parents[2]


def write(
    directory: Path,
    product: Product,
    select: str,
    keys: tuple[str, ...],
    snapshot_id: int = 1,
    signed_with: str | None = None,
    opened: duckdb.DuckDBPyConnection | None = None,
) -> int:
    """Write a bundle of what a SELECT gives, as the export of a publication does."""
    with contextlib.ExitStack() as closing:
        connection = opened or closing.enter_context(contextlib.closing(open_instance()))
        relation = f"({select})"
        columns = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}
        at = NOW + timedelta(seconds=snapshot_id)
        content = Content(
            "a suite", product.name, product.name, keys, NOW, snapshot_id, at, columns, relation, "v1", None, "run", at
        )
        return BundleDirectory(directory, signed_with, product, Owner("a suite", product.name)).send(
            connection, content
        )


def predicted(keys: str, more: str = "0.5::DOUBLE AS probability", until: str = "2999-01-01") -> str:
    """Give a SELECT of rows with the columns that pages have."""
    made = "TIMESTAMP '2026-03-10' AS as_of, 'v1' AS model_version"
    return f"SELECT {keys}, {made}, TIMESTAMP '{until}' AS valid_until, {more}"


def with_bundle(suite: Suite) -> Suite:
    """Give a suite whose product has a bundle, and rows that are current for three days."""
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace("valid_for: 24 hours", "valid_for: 3 days"))
    return with_targets(suite, "\nexport:\n  served: {to: out/late.bundle}\n")


@dataclass(frozen=True)
class KeyPair:
    """A pair of keys of Ed25519: where the private one is, and the public one (PEM)."""

    private: Path
    public: str


def key_pair(directory: Path) -> KeyPair:
    """Make a pair of keys."""
    key = Ed25519PrivateKey.generate()
    private = directory / "key.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return KeyPair(private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def current(suite: Suite) -> dict[str, dict[str, Any]]:
    """Give what PRODUCT_current shows, by key, as answers say it."""
    query = f"SELECT * FROM predictions.{PRODUCT}_current"
    with suite.lake.reading() as connection:
        names = [row[0] for row in connection.execute(f"DESCRIBE {query}").fetchall()]
    found = [dict(zip(names, row, strict=True)) for row in rows(suite, query)]
    said = [{name: _said(value) for name, value in row.items()} for row in found]
    return {row.pop("order_id"): {"made": "page", **row} for row in said}


def _said(value: Any) -> Any:
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else value


def in_bundle(suite: Suite, keys: list[str], now: datetime) -> dict[str, Any]:
    """Give what the suite's bundle says of these keys."""
    bundle = open_bundle(suite.root / "out/late.bundle")
    with contextlib.closing(bundle):
        return {key: bundle.look_up({"order_id": key}, now) for key in keys}


@dataclass
class Service:
    """`almanac serve`, running."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def ask(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one request; gives its status, what came as JSON or text, and its headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            said = json.loads(text) if answer.headers.get_content_type() == "application/json" and text else text
            return answer.status, said, {name.lower(): value for name, value in answer.getheaders()}

    def holding(self, snapshot_id: int, product: str = PRODUCT) -> dict[str, Any]:
        """Wait until the service holds a publication; gives what /readyz says."""
        return self.until(lambda one: one["product"] == product and one["snapshot_id"] == snapshot_id)

    def until(self, wanted: Any) -> dict[str, Any]:
        """Wait until all processes, and as many as there are to be, say of a bundle what is wanted (/readyz)."""
        agreed, deadline = set[int](), time.monotonic() + 120
        while time.monotonic() < deadline:
            said: dict[str, Any] = self.ask("/readyz")[1]
            processes = said["processes"]
            agreed = agreed | {processes["answering"]} if any(wanted(one) for one in said["bundles"]) else set()
            if len(agreed & set(self.children())) == processes["wanted"] == processes["alive"]:
                return said
            time.sleep(0.05)
        raise AssertionError(f"{said} {self.log.read_text()}")

    def children(self) -> list[int]:
        """Give the processes that answer."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


@contextlib.contextmanager
def serving(*arguments: str | Path, log: Path, environment: dict[str, str] | None = None) -> Iterator[Service]:
    """Run `almanac serve` with these arguments at a port that is free."""
    command = [sys.executable, "-m", "jobs", "serve", *map(str, arguments), "--port", "0"]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | (environment or {})
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, text=True, env=variables, cwd=log.parent)
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://[^ ]+:(\d+)", log.read_text())) and time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        assert found, log.read_text()
        yield Service(process, int(found[1]), log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
