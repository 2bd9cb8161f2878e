"""Connections that are cut off: those of clients that take too long to ask or to read, or ask with too long a head.

uvicorn 0.54 waits for the head of a request, and for a client to read its answer, for as long as that takes.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jobs.web.quick import QUICK, QuickLookUps
from jobs.web.settings import KEEP_ALIVE_S, MOST_CONNECTIONS, MOST_HEAD_BYTES


class GuardedProtocol(HttpToolsProtocol):
    """HTTP on one connection, with a limit to how long a request takes from its first byte to the client's last."""

    open_ones: ClassVar[set[GuardedProtocol]] = set()
    #: Since when the connection waits for something that the client has to do; None while it may stay idle.
    _since: float | None = None
    _unread_since: float | None = None
    _head_bytes: int | None = None
    #: Since when nothing was asked after an answer that was made here; others have uvicorn's own timer.
    _idle_since: float | None = None
    _quick: QuickLookUps | None = None
    _is_answered = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._quick = self.app_state.get(QUICK)
        self.open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.open_ones.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came, unless the head of a request has become too long."""
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.transport.abort()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count and to wait: a request has begun."""
        self._since, self._head_bytes, self._idle_since = self.loop.time(), 0, None
        self._is_answered = False
        # What the application is handed is made once it is known to be asked.
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Answer a plain look-up, or hand the request to the application, which bounds the body that follows."""
        self._head_bytes = None
        if self._answers_here():
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _answers_here(self) -> bool:
        """Answer the request if it is a plain look-up, and no answer before it is still to be sent."""
        if self._quick is None or self.parser.get_method() != b"GET" or self.parser.get_http_version() != "1.1":
            return False
        is_busy = self.pipeline or (self.cycle is not None and not self.cycle.response_complete)
        if is_busy or self.flow.write_paused or len(self.connections) >= MOST_CONNECTIONS:
            return False
        if self.transport.is_closing():
            return False
        sent = self._quick.answer(self.url, self.headers, self.client)
        if sent is None:
            return False
        self.transport.write(sent)
        self.server_state.total_requests += 1
        self._since, self._idle_since, self._is_answered = None, self.loop.time(), True
        return True

    def on_message_complete(self) -> None:
        """End a request; one that was answered here is at its end."""
        if not self._is_answered:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Stop to wait, unless another request has begun."""
        super().on_response_complete()
        is_next = self._head_bytes is not None or not self.cycle.response_complete
        self._since = self.loop.time() if is_next else None

    def cut_off_if_slow(self, now: float, patience_s: float) -> None:
        """Cut the connection off if its client has let it wait for too long."""
        unread = self.transport.get_write_buffer_size() > 0
        self._unread_since = (self._unread_since or now) if unread else None
        if any(since is not None and now - since > patience_s for since in (self._since, self._unread_since)):
            self.transport.abort()
        elif self._since is None and self._idle_since is not None and now - self._idle_since > KEEP_ALIVE_S:
            self.transport.close()


async def cut_off_slow_clients(patience_s: float) -> None:
    """Look after all connections, twice a second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0.5)
        for each in list(GuardedProtocol.open_ones):
            each.cut_off_if_slow(loop.time(), patience_s)
