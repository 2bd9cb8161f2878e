"""Responses, written to ASGI as they are, and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from starlette.types import Send

Header = tuple[bytes, bytes]
#: What is predicted changes with the next page, so that a cache has to ask each time (and gets a 304).
JSON: tuple[Header, ...] = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-cache"))
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")


class Refused(Exception):
    """A request that is not answered. The text says why, and holds nothing of what was asked for."""

    def __init__(self, status: int, why: str, headers: Mapping[bytes, bytes] | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, dict(headers or {})

    async def respond(self, send: Send) -> None:
        """Send the refusal."""
        body = json.dumps({"error": self.why}).encode()
        await respond(send, self.status, body, [*JSON, *self.headers.items()])


async def respond(send: Send, status: int, body: bytes, headers: Iterable[Header]) -> None:
    """Send a response whole."""
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [*headers, _NOSNIFF, length]}
    if status == 304:
        start["headers"].remove(length)  # type: ignore[attr-defined]
    await send(start)
    await send({"type": "http.response.body", "body": body})


def head_of(status: int, headers: Iterable[Header]) -> bytes:
    """Give a response's head as it is sent, but for its length and its end."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in (*headers, _NOSNIFF)]
    return b"\r\n".join([*lines, b""])
