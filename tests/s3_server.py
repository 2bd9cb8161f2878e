"""An S3 server of the tests' own: moto's, in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

#: What the server is asked with; it takes any.
SECRET = "not/a+real=secret"
WAIT_S = 120


class S3:
    """One server with one bucket, empty at first, and what it was asked for since then."""

    def __init__(self, url: str, log: Path) -> None:
        self._log = log
        urllib.request.urlopen(f"{url}/moto-api/reset", b"", timeout=WAIT_S).close()
        self._said_before = len(log.read_text())
        self.client: Any = boto3.client("s3", endpoint_url=url)
        self.client.create_bucket(Bucket="shop")

    def put(self, key: str, text: str) -> None:
        self.client.put_object(Bucket="shop", Key=key, Body=text.encode())

    def all_keys(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket="shop").get("Contents", [])]

    def fetched(self, key: str) -> int:
        """Count how often an object was asked for."""
        return self._log.read_text()[self._said_before :].count(f'"GET /shop/{key} ')


@contextlib.contextmanager
def running_s3_server(directory: Path) -> Iterator[tuple[str, Path]]:
    """Start a server, and stop it at the end; gives its URL, and the file that it writes requests to."""
    log = directory / "s3.log"
    for _ in range(5):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with log.open("w") as said:
            command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
            process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            if _answers(port, process):
                yield f"http://127.0.0.1:{port}", log
                return
        finally:
            process.kill()
            process.wait()
        # Somebody else may have taken the port meanwhile.
    raise RuntimeError(f"moto's server did not start: {log.read_text()[-500:]}")


def empty_bucket(server: tuple[str, Path], directory: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """Name a server in the environment, and take away what is in it."""
    url, log = server
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "almanac",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(directory / "none"),
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return S3(url, log)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server takes connections; whether it does, or has ended."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process.poll() is None
        except OSError:
            time.sleep(0.1)
    return False
