"""The site over HTTP (Starlette): one page a request, read in one transaction; no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import duckdb
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from jobs.web.parts import paths
from jobs.web.parts.document import Document, Section
from jobs.web.site.opened import OpenedSuite
from jobs.web.site.rendering import Frame, html_of, style
from jobs.web.site.routes import document_of
from warehouse.errors import AlmanacError, NotFoundError

#: No script runs at all, so none that a text in the data could bring; a form asks this site alone.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Where the look-up service is.
LOOK_UPS = "/look-up"
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "private, no-cache",
}


def application(
    opened: OpenedSuite, token: str | None = None, hosts: Sequence[str] = (), look_ups: Starlette | None = None
) -> Starlette:
    """Give the site of a suite.

    Parameters
    ----------
    token
        What a request has to bear: `Authorization: Bearer ...`, or as the password that a browser asks for.
    hosts
        What requests may call this site, where there is no token; empty if anything.
    look_ups
        The service of `almanac serve`, which answers below `/look-up`; it asks for its token itself.
    """
    site = _Site(opened, token, hosts)
    routes: list[BaseRoute] = [Route("/{path:path}", site.answer, methods=["GET"])]
    if look_ups is None:
        return Starlette(routes=routes)
    # What goes on beside the service's requests begins and ends with this application.
    service = look_ups

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with service.router.lifespan_context(service):
            yield

    return Starlette(routes=[Mount(LOOK_UPS, service), *routes], lifespan=lifespan)


class _Site:
    """Answers requests."""

    def __init__(self, opened: OpenedSuite, token: str | None, hosts: Sequence[str]) -> None:
        self._opened, self._token, self._hosts = opened, token, frozenset(hosts)
        self._log: Any = structlog.get_logger()

    async def answer(self, request: Request) -> Response:
        """Answer one request; whatever happens, it ends here."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        path = request.path_params["path"]
        path = f"{path}{paths.HOME}" if not path or path.endswith("/") else path
        if path == paths.STYLE:
            return Response(style(), media_type="text/css", headers=_HEADERS)
        status, text = await run_in_threadpool(self._page, path, dict(request.query_params))
        return Response(text, status, media_type="text/html", headers=_HEADERS)

    def _refused(self, request: Request) -> Response | None:
        if self._token is not None:
            if _bears(request.headers.get("authorization", ""), self._token):
                return None
            asked = {"www-authenticate": 'Basic realm="Almanac", charset="UTF-8"'}
            return Response("A token is needed, as the password.", 401, headers=_HEADERS | asked)
        # A page in a browser whose name was made to stand for this machine calls it by that name.
        host = request.headers.get("host", "").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._hosts and name not in self._hosts:
            return Response("This site is called localhost.", 421, headers=_HEADERS)
        return None

    def _page(self, path: str, query: Mapping[str, str]) -> tuple[int, str]:
        try:
            with self._opened.seen(query) as seen:
                document = document_of(seen, path)
                frame = Frame(self._opened.root.name, seen.snapshot_id, seen.now, self._opened.refused)
                return 200, html_of(document, frame)[0]
        except NotFoundError as error:
            return 404, self._said(path, HTTPStatus(404), str(error))
        except (AlmanacError, duckdb.Error) as error:
            self._log.warning("a page could not be shown", path=path, error=f"{type(error).__name__}: {error}")
            return 503, self._said(path, HTTPStatus(503), str(error))
        except Exception as error:  # noqa: BLE001
            # Here a request ends, whatever it was; the service goes on.
            self._log.error("a page could not be shown", path=path, error=f"{type(error).__name__}: {error}")
            return 500, self._said(path, HTTPStatus(500), f"{type(error).__name__}: {error}")

    def _said(self, path: str, status: HTTPStatus, why: str) -> str:
        document = Document(path, f"{status.value} {status.phrase}", [Section("Why", why.splitlines())])
        return html_of(document, Frame(self._opened.root.name, None, self._opened.clock()))[0]


def _bears(header: str, token: str) -> bool:
    """Tell whether a request bears the token, as programs do or as browsers do."""
    kind, _, given = header.partition(" ")
    if kind.lower() == "basic":
        with contextlib.suppress(binascii.Error, ValueError):
            _, _, password = base64.b64decode(given, validate=True).partition(b":")
            return hmac.compare_digest(password, token.encode())
        return False
    return hmac.compare_digest(header.encode("utf-8", "replace"), f"Bearer {token}".encode())
