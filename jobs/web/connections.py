"""Connections that are cut off: those of clients that take too long to ask or to read, or ask with too long a head.

uvicorn 0.54 waits for the head of a request, and for a client to read its answer, for as long as that takes.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jobs.web.settings import MOST_HEAD_BYTES


class GuardedProtocol(HttpToolsProtocol):
    """HTTP on one connection, with a limit to how long a request takes from its first byte to the client's last."""

    open_ones: ClassVar[set[GuardedProtocol]] = set()
    #: Since when the connection waits for something that the client has to do; None while it may stay idle.
    _since: float | None = None
    _unread_since: float | None = None
    _head_bytes: int | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._since = self.loop.time()
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
        self._since, self._head_bytes = self.loop.time(), 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop to count: what follows is the body, which the application bounds."""
        self._head_bytes = None
        super().on_headers_complete()

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


async def cut_off_slow_clients(patience_s: float) -> None:
    """Look after all connections, twice a second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0.5)
        for each in list(GuardedProtocol.open_ones):
            each.cut_off_if_slow(loop.time(), patience_s)
