"""A server between ours and S3's that breaks what it is told to: refuses, cuts, slows down, or holds requests."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import pytest

#: So long a request is held at most; what lets it go comes long before.
WAIT_S = 120
#: What is answered in place of carrying a request out.
_REFUSALS = {
    "refuse": (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "fail": (500, b"<Error><Code>InternalError</Code><Message>We met an internal error.</Message></Error>"),
    "deny": (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
}
_PIECES = 5


class Faults:
    """What is done to requests: which of them, counted from the last time it was told, and what.

    By default to those that write data files; `everything`: to all, whatever they ask for. `names` have to be in them.

    `how` is `refuse` (503), `fail` (500), `deny` (403), `cut` (the line is cut once the body has come, and nothing is
    carried out), `lose` (it is carried out, and the line cut before the answer), `truncate` (before the end of the
    answer), `slow` (the answer comes in pieces), `hold` (it is carried out, and not answered), `wait` (it is carried
    out, and answered once told to go on), or `watch` (nothing is done to it). `look` is called with each of them.
    """

    def __init__(self, behind: str) -> None:
        self.behind = urlsplit(behind).netloc
        self.tell("")

    def tell(self, how: str, first: int = 0, count: int = 10**6, names: str = "", *, everything: bool = False) -> None:
        self.how, self.first, self.count, self.names, self.everything = how, first, count, names, everything
        self.look: Callable[[str], None] | None = None
        self.seen, self.done = 0, 0
        self.asked: list[str] = []
        self.held, self.go_on = threading.Event(), threading.Event()
        self.lock = threading.Lock()

    def meets(self, method: str, path: str) -> bool:
        """Tell whether a request is one of those."""
        writes_data = method in ("PUT", "POST") and "/data/" in path
        if not self.how or not (writes_data or self.everything) or self.names not in f"{method} {unquote(path)}":
            return False
        with self.lock:
            self.seen += 1
            self.asked.append(f"{method} {path}")
            met = self.first < self.seen <= self.first + self.count
            self.done += met
        if self.look is not None:
            self.look(f"{method} {path}")
        return met


class _Handler(BaseHTTPRequestHandler):
    faults: ClassVar[Faults]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def _pass_on(self) -> None:
        body = self._body()
        how = self.faults.how if self.faults.meets(self.command, self.path) else ""
        if how == "cut":
            self.close_connection = True
            return
        if how in _REFUSALS:
            status, text = _REFUSALS[how]
            self._answer(status, [], text)
            return
        line = http.client.HTTPConnection(self.faults.behind, timeout=WAIT_S)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        line.request(self.command, self.path, body, headers)
        answer = line.getresponse()
        content = answer.read()
        line.close()
        if how in ("hold", "wait"):
            self.faults.held.set()
            self.faults.go_on.wait(WAIT_S)
        # Of a file the last quarter is lacking; of what has no body, all of the answer.
        if how in ("hold", "lose") or (how == "truncate" and not content):
            self.close_connection = True
            return
        sent = content[: len(content) * 3 // 4] if how == "truncate" else content
        length = [("content-length", str(len(content)))] if content else []
        self._answer(answer.status, [*answer.getheaders(), *length], sent, _PIECES if how == "slow" else 1)
        self.close_connection = self.close_connection or how == "truncate"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, pieces: int = 1) -> None:
        self.send_response(status)
        length = {name.lower(): value for name, value in headers}.get("content-length", str(len(content)))
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        step = max(1, -(-len(content) // pieces))
        for start in range(0, len(content), step):
            if pieces > 1:
                threading.Event().wait(0.1)  # this is the fault: an answer that takes its time
            self.wfile.write(content[start : start + step])
            self.wfile.flush()


for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
    setattr(_Handler, f"do_{method}", _Handler._pass_on)


@contextlib.contextmanager
def broken_line(behind: str) -> Iterator[Faults]:
    """Start it before a server, and have the environment name it; gives what it is told by."""
    faults = Faults(behind)
    with proxy(faults) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield faults


@contextlib.contextmanager
def proxy(faults: Faults) -> Iterator[str]:
    """Start it; gives its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"faults": faults}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        faults.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
