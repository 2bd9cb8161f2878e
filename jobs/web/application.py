"""The service: look-ups, how it stands, what it counts, and a description of itself (Starlette, ASGI).

A process needs bundles and no lake: nothing here imports DuckDB, numba or scikit-learn. Look-ups take microseconds, so
that they run between two turns of the event loop, each from beginning to end on one bundle. Keys are in no log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.bundles.bundle_reader import Bundle
from jobs.bundles.key_columns import KeyRefused
from jobs.web import openapi
from jobs.web.answers import STATUS, answer, answer_to_one, etag_of, head
from jobs.web.connections import cut_off_slow_clients
from jobs.web.counts import Counts, processes_alive, prometheus_text
from jobs.web.guard import Guard, Rates
from jobs.web.quick import QUICK, QuickLookUps, parameters
from jobs.web.request_log import RequestLog
from jobs.web.responses import JSON, Refused, respond
from jobs.web.settings import LOOK_EVERY_S, MOST_BYTES, MOST_KEYS, ServeSettings
from jobs.web.shelf import Shelf


def application(settings: ServeSettings) -> Starlette:
    """Give the service of one process. Bundles are opened before it answers the first request."""
    service = _Service(settings)
    routes = [
        Route("/v1/{product}/predictions", service.predictions),
        Route("/readyz", _by_get(service.readyz)),
        Route("/metrics", _by_get(service.metrics)),
        Route("/openapi.json", _by_get(service.described)),
        Route("/", _by_get(service.page)),
    ]
    app = Starlette(routes=[_without_request(route) for route in routes], lifespan=service.lifespan)
    app.add_middleware(Guard, settings=settings, counts=service.counts, shelf=service.shelf)
    return app


def _without_request(route: Route) -> Route:
    """Let a route call its endpoint as an ASGI application: to make a Request of each takes as long as to look up."""
    route.app = route.endpoint
    route.methods = None
    return route


def _by_get(endpoint: ASGIApp) -> ASGIApp:
    """Let an endpoint be asked by GET and HEAD alone."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "ask by GET", {b"allow": b"GET, HEAD"})
        await endpoint(scope, receive, send)

    return asked


class _Service:
    """What the routes answer, and what goes on beside them."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self.shelf = Shelf(settings)
        self.counts = Counts(settings.counts)
        self._rates = Rates(settings.rate)
        self._requests = RequestLog(settings.log_requests, settings.log_bytes) if settings.log_requests else None
        self._log: Any = structlog.get_logger()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        """Look for newer bundles and slow clients for as long as the service goes on."""
        self.shelf.look()
        self.counts.save(0)
        beside = (self._look_all_the_while(), cut_off_slow_clients(self._settings.patience_s))
        tasks = [asyncio.create_task(each) for each in beside]
        yield {QUICK: QuickLookUps(self._settings, self.shelf, self.counts, self._rates, self._requests)}
        for task in tasks:
            task.cancel()
        if self._requests:
            self._requests.write()
            self.counts.logged(self._requests.n_written, self._requests.n_dropped)
        self.counts.save(self.shelf.n_switches)

    async def _look_all_the_while(self) -> None:
        saved_at = 0.0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                # In a thread, since to hash a large file takes a while. What it puts in place is one object.
                await asyncio.to_thread(self.shelf.look)
                if self._requests:
                    await asyncio.to_thread(self._requests.write_if_due)
                    self.counts.logged(self._requests.n_written, self._requests.n_dropped)
            except Exception as error:  # noqa: BLE001
                # What is held goes on, and is looked after again in a moment.
                self._log.error("bundles could not be looked at", error=f"{type(error).__name__}: {error}")
            if (now := time.monotonic()) - saved_at > 1:
                saved_at = now
                self.counts.save(self.shelf.n_switches)

    async def predictions(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look up one entity, one list, or up to 1,000 entities."""
        product = scope["path_params"]["product"]
        bundle = self.shelf.bundles.get(product)
        if bundle is None:
            served = ", ".join(sorted(self.shelf.bundles))
            if not served:
                raise Refused(503, "no bundle is held; see /readyz")
            raise Refused(404, f"there is no such product here; there are: {served}")
        try:
            if scope["method"] == "GET":
                await self._one(bundle, scope, send)
            elif scope["method"] == "POST":
                await self._many(bundle, scope, receive, send)
            else:
                raise Refused(405, "look up by GET or POST", {b"allow": b"GET, POST"})
        except KeyRefused as error:
            raise Refused(400, str(error)) from error

    async def _one(self, bundle: Bundle, scope: Scope, send: Send) -> None:
        self._rates.charge(scope["client"], 1)
        given = parameters(scope["query_string"])
        now_us = self._settings.now()
        made, inside = answer_to_one(bundle, given, now_us)
        if self._requests:
            self._requests.note(bundle, given, now_us, made)
        self.counts.keys(bundle.manifest.product, made)
        if made in STATUS:
            await respond(send, STATUS[made], f"{{{head(bundle)},{inside}}}".encode(), JSON)
            return
        etag = etag_of(bundle)
        if _has(scope, etag):
            await respond(send, 304, b"", [(b"etag", etag)])
        else:
            await respond(send, 200, f"{{{head(bundle)},{inside}}}".encode(), [*JSON, (b"etag", etag)])

    async def _many(self, bundle: Bundle, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _asked(await _body(receive))
        self._rates.charge(scope["client"], len(asked))
        # The bundle may be another one after the body came; from here on nothing waits, and all is of one.
        bundle = self.shelf.bundles.get(bundle.manifest.product, bundle)
        now_us, product = self._settings.now(), bundle.manifest.product
        answers = []
        for place, given in enumerate(asked):
            try:
                answers.append(answer(bundle, given, now_us))
            except KeyRefused as error:
                raise Refused(400, f"keys[{place}]: {error}") from error
        for each, given in zip(answers, asked, strict=True):
            self.counts.keys(product, each.made)
            if self._requests:
                self._requests.note(bundle, given, now_us, each.made)
        listed = ",".join(f"{{{each.inside}}}" for each in answers)
        await respond(send, 200, f'{{{head(bundle)},"predictions":[{listed}]}}'.encode(), JSON)

    async def readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell whether anything valid is served; to who may look up also what, and what is wrong."""
        now_us, standings = self._settings.now(), self.shelf.standings()
        valid = [each for each in standings if each.valid_until_us is not None and each.valid_until_us > now_us]
        said: dict[str, Any] = {"ready": bool(valid)}
        if scope["almanac.may_look_up"]:
            said["processes"] = {
                "wanted": self._settings.processes,
                "alive": processes_alive(self._settings.counts),
                "answering": os.getpid(),
            }
            said["bundles"] = [
                {
                    "place": each.place,
                    "product": each.product,
                    "snapshot_id": each.snapshot_id,
                    "as_of": each.as_of,
                    "state": "none" if each.product is None else "valid" if each in valid else "expired",
                    "problem": each.problem,
                    **({"not_on_demand": each.not_on_demand} if each.not_on_demand else {}),
                }
                for each in standings
            ]
        await respond(send, 200 if valid else 503, json.dumps(said).encode(), JSON)

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the counts of all processes to Prometheus."""
        # What was told once is in the file, so that no count is told to be less by another process.
        self.counts.save(self.shelf.n_switches)
        text = prometheus_text(self.counts, self.shelf.standings(), self._settings.counts)
        await respond(send, 200, text.encode(), [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")])

    async def described(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Describe the service as OpenAPI has it."""
        manifests = [bundle.manifest for bundle in self.shelf.bundles.values()]
        text = json.dumps(openapi.description(manifests, has_token=self._settings.token is not None), indent=1)
        await respond(send, 200, text.encode(), JSON)

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Describe the service for people."""
        manifests = [bundle.manifest for bundle in self.shelf.bundles.values()]
        await respond(send, 200, openapi.page(manifests).encode(), [(b"content-type", b"text/html; charset=utf-8")])


def _has(scope: Scope, etag: bytes) -> bool:
    """Tell whether a request says that its client has this answer."""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            return any(each.strip().removeprefix(b"W/") == etag for each in value.split(b","))
    return False


async def _body(receive: Receive) -> bytes:
    """Read a request's body, up to its bound."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the client went away")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise Refused(413, f"a body has at most {MOST_BYTES} bytes", {b"connection": b"close"})
        if not message.get("more_body"):
            return b"".join(parts)


def _asked(body: bytes) -> list[Mapping[str, Any]]:
    """Read the keys that a body asks for."""
    try:
        found = json.loads(body, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise Refused(400, 'the body is not JSON such as {"keys": [{...}]}, with each name once') from error
    keys = found.get("keys") if isinstance(found, dict) and found.keys() == {"keys"} else None
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise Refused(400, 'the body is not {"keys": [{...}, ...]}')
    if len(keys) > MOST_KEYS:
        raise Refused(413, f"a request asks for at most {MOST_KEYS} keys")
    return keys


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
