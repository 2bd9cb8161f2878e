"""Look-ups of one entity or list, answered where the request is read: what most requests are, in a third of the CPU.

It answers a GET whose head is plain, and gives None for all others, refusals among them: those go through the
application (ASGI), which says the same of the same request. Both make answers by `answer_to_one`.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

from jobs.bundles.bundle_reader import Bundle
from jobs.web.answers import STATUS, answer_to_one, etag_of, head
from jobs.web.counts import Counts
from jobs.web.guard import Admission, Rates
from jobs.web.request_log import RequestLog
from jobs.web.responses import JSON, Refused, head_of
from jobs.web.settings import ServeSettings
from jobs.web.shelf import Shelf

#: By what name the state of the service's lifespan has it, which uvicorn hands to its connections.
QUICK = "almanac.quick"
#: How many parameters a query may have.
_MOST_PARAMETERS = 64
_BEFORE, _AFTER = b"/v1/", b"/predictions"
#: Requests with such a header are more than a plain question.
_NOT_PLAIN = frozenset((b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade"))


def parameters(query: bytes) -> dict[str, str]:
    """Read a query string; each parameter once.

    Raises
    ------
    Refused
        If it is no query string, or a parameter is there twice.
    """
    try:
        pairs = urllib.parse.parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError as error:
        raise Refused(400, "the query string cannot be read: it has to be UTF-8, percent-encoded") from error
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Refused(400, "a parameter is there twice")
    return given


class _Ready(NamedTuple):
    """What is the same in all answers of one bundle, as it is sent."""

    bundle: Bundle
    beginning: str
    found: bytes
    unchanged: bytes
    etags: frozenset[bytes]

    @classmethod
    def of(cls, bundle: Bundle) -> _Ready:
        etag = etag_of(bundle)
        named = (b"etag", etag)
        return cls(
            bundle,
            f"{{{head(bundle)},",
            head_of(200, [*JSON, named]),
            head_of(304, [named]) + b"\r\n",
            frozenset((etag, b"W/" + etag)),
        )


class QuickLookUps:
    """Answers plain requests of one process."""

    def __init__(
        self,
        settings: ServeSettings,
        shelf: Shelf,
        counts: Counts,
        rates: Rates,
        requests: RequestLog | None = None,
    ) -> None:
        self._requests = requests
        self._settings, self._shelf, self._counts, self._rates = settings, shelf, counts, rates
        self._admission = Admission(settings)
        self._ready: dict[bytes, _Ready] = {}
        self._nothing = {status: head_of(status, JSON) for status in STATUS.values()}

    def answer(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]], client: tuple[str, int] | None
    ) -> bytes | None:
        """Answer a GET; None where the application has to.

        Parameters
        ----------
        target
            What the request's first line asks for: path and query.
        headers
            Its headers, names in small letters.
        client
            The address that it comes from.

        Returns
        -------
        bytes or None
            The response, whole.
        """
        begun = time.perf_counter()
        path, _, query = target.partition(b"?")
        if not (path.startswith(_BEFORE) and path.endswith(_AFTER)):
            return None
        name, given_headers = path[len(_BEFORE) : -len(_AFTER)], dict(headers)
        ready = self._ready_for(name)
        if ready is None or not _NOT_PLAIN.isdisjoint(given_headers):
            return None
        known = given_headers.get(b"if-none-match")
        # An unusual list of tags is read elsewhere.
        if (known is not None and known not in ready.etags) or not self._admission.may_look_up(given_headers):
            return None
        try:
            given = _plain(query) or parameters(query)
            now_us = self._settings.now()
            made, inside = answer_to_one(ready.bundle, given, now_us)
            self._rates.charge(client, 1)
            if self._requests is not None:
                self._requests.note(ready.bundle, given, now_us, made)
        except Exception:  # noqa: BLE001
            # A refusal, or a fault: the application meets it again, says it, and writes faults to the log.
            return None
        status = STATUS.get(made, 200)
        if status == 200 and known is not None:
            status, sent = 304, ready.unchanged
        else:
            body = f"{ready.beginning}{inside}}}".encode()
            start = ready.found if status == 200 else self._nothing[status]
            sent = b"%bcontent-length: %d\r\n\r\n%b" % (start, len(body), body)
        product = ready.bundle.manifest.product
        self._counts.keys(product, made)
        self._counts.request(product, status, time.perf_counter() - begun)
        return sent

    def _ready_for(self, name: bytes) -> _Ready | None:
        """Give what is ready for a product; None where none of that name is served."""
        ready = self._ready.get(name)
        bundle = self._shelf.bundles.get(name.decode("ascii", "replace"))
        if bundle is None:
            return None
        if ready is None or ready.bundle is not bundle:
            ready = self._ready[name] = _Ready.of(bundle)
        return ready


def _plain(query: bytes) -> dict[str, str] | None:
    """Read a query string in which nothing is encoded; None where something may be."""
    if b"%" in query or b"+" in query or not query.isascii():
        return None
    pairs = [each.partition("=") for each in query.decode("ascii").split("&")]
    given = {name: value for name, is_there, value in pairs if is_there}
    return given if len(given) == len(pairs) <= _MOST_PARAMETERS else None
