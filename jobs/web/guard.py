"""What every request passes: who asks, how often, how long it took; and an error says nothing of what was asked."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.web.counts import Counts
from jobs.web.responses import Refused
from jobs.web.settings import ServeSettings
from jobs.web.shelf import Shelf

#: Of so many clients it is known how much they asked for; the one that asked longest ago is forgotten.
_MOST_CLIENTS = 10_000


class Admission:
    """Who may look up: who bears the token, or, where there is none, who calls this machine by a name of its own."""

    def __init__(self, settings: ServeSettings) -> None:
        self.token = settings.token.encode() if settings.token else None
        self._hosts = {host.encode() for host in settings.hosts}

    def may_look_up(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a request with these headers, whose names are small letters, is answered."""
        if self.token is not None:
            return hmac.compare_digest(headers.get(b"authorization", b""), b"Bearer " + self.token)
        host = headers.get(b"host", b"").lower()
        name = host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
        return not self._hosts or name in self._hosts


class Rates:
    """How many keys each client has asked for: a bucket of one second's worth that fills up again."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left: dict[str, tuple[float, float]] = {}

    def charge(self, address: tuple[str, int] | None, n_keys: int) -> None:
        """Charge a client, by its address, for keys.

        Raises
        ------
        Refused
            If it has asked for more than it may.
        """
        if not self._rate:
            return
        client, now = (address or ("",))[0], time.monotonic()
        left, at = self._left.pop(client, (self._rate, now))
        left = min(self._rate, left + (now - at) * self._rate)
        # One request may take more than there is, as long as there is something; the next one waits for it.
        self._left[client] = (left - n_keys if left > 0 else left, now)
        if len(self._left) > _MOST_CLIENTS:
            del self._left[next(iter(self._left))]
        if left <= 0:
            wait = str(int(-left / self._rate) + 1).encode()
            raise Refused(429, f"more than {self._rate:g} keys a second", {b"retry-after": wait})


class Guard:
    """The outermost layer of the service."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, counts: Counts, shelf: Shelf) -> None:
        self._app, self._settings, self._counts, self._shelf = app, settings, counts, shelf
        self._admission = Admission(settings)
        self._log: Any = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, receive, counted)
        except Refused as refused:
            await refused.respond(counted)
        except Exception as error:  # noqa: BLE001
            # Here a request ends, whatever it was. What an error says may hold a key.
            self._log.error("a request failed", error=type(error).__name__)
            if not status:
                await Refused(500, "the look-up failed; see the service's log").respond(counted)
        product = scope.get("path_params", {}).get("product", "")
        named = product if product in self._shelf.bundles else ""
        self._counts.request(named, status, time.perf_counter() - begun)

    def _admit(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        scope["almanac.may_look_up"] = self._admission.may_look_up(headers)
        if not scope["almanac.may_look_up"] and scope["path"] != "/readyz":
            if self._admission.token is None:
                # A page in a browser whose name was made to stand for this machine calls it by that name.
                raise Refused(421, "this service is called localhost")
            raise Refused(401, "a token is needed: Authorization: Bearer ...", {b"www-authenticate": b"Bearer"})
