"""A look-up that is answered where the request is read says what the application says of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from jobs.suite import open_suite
from jobs.suites.starter import make_starter
from jobs.web.application import application
from jobs.web.counts import Counts
from jobs.web.guard import Rates
from jobs.web.openapi import description
from jobs.web.quick import QuickLookUps
from jobs.web.settings import ServeSettings
from jobs.web.shelf import Shelf
from tests.conftest import NOW, PRODUCT, clock_at
from tests.effort import times
from tests.web.bundles import predicted, serving, write

KEYS = ("n", "carrier", "day", "at", "price", "big", "real", "flag")
ROWS = f"""
{
    predicted('''
    i AS n, ['B6', 'é"', 'a b', ''][1 + i % 4] AS carrier, DATE '2026-03-10' AS day,
    TIMESTAMP '2026-03-10 18:00:00.5' AS at, 1.50::DECIMAL(9, 2) AS price, (i + 9007199254740993)::HUGEINT AS big,
    i / 2 AS real, i % 2 = 0 AS flag
''')
} FROM range(4) r(i)
UNION ALL
{
    predicted(
        '''
    9 AS n, 'gone' AS carrier, DATE '2026-03-10' AS day, TIMESTAMP '2026-03-10 18:00:00.5' AS at,
    1.50::DECIMAL(9, 2) AS price, 9::HUGEINT AS big, 4.5::DOUBLE AS real, false AS flag
''',
        until="2026-03-01",
    )
}
"""
REST = "day=2026-03-10&at=2026-03-10T18:00:00.5Z&price=1.5"
PATH = f"/v1/{PRODUCT}/predictions"
#: The query, and whether it is answered at once.
QUERIES = [
    (f"n=0&carrier=B6&{REST}&big=9007199254740993&real=0&flag=true", True),
    (f"n=1&carrier=%C3%A9%22&{REST}&big=9007199254740994&real=0.5&flag=false", True),
    (f"n=2&carrier=a+b&{REST}&big=9007199254740995&real=1.0&flag=TRUE", True),
    (f"n=3&carrier=&{REST}&big=9007199254740996&real=1.5&flag=false", True),
    (f"n=9&carrier=gone&{REST}&big=9&real=4.5&flag=false", True),
    (f"n=0&carrier=nobody&{REST}&big=9007199254740993&real=0&flag=true", True),
    (f"n=1.5&carrier=B6&{REST}&big=1&real=0&flag=true", True),
    (f"n=99999999999999999999&carrier=B6&{REST}&big=1&real=0&flag=true", True),
    (f"n=-0&carrier=B6&{REST}&big=9007199254740993&real=0&flag=true", True),
    (f"n=x&carrier=B6&{REST}&big=1&real=0&flag=true", False),
    (f"n=0&n=0&carrier=B6&{REST}&big=1&real=0&flag=true", False),
    (f"n=0&carrier=B6&{REST}&big=1&real=0&flag=true&other=1", False),
    ("n=0&carrier=%ff", False),
    ("n=0&&carrier=B6", False),
    ("n", False),
    ("", False),
]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quick")
    make_starter(root / "shop")
    product = open_suite(root / "shop", clock_at(NOW)).definitions.product(PRODUCT)
    write(root / "b/late.bundle", product, ROWS, KEYS)
    return root / "b"


def settings(bundles: Path, counts: Path, **more: Any) -> ServeSettings:
    return ServeSettings(bundles=(), searched=(bundles,), counts=counts, now_us=1_773_169_200_000_000, **more)


async def through_the_application(app: Any, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> Any:
    """Give status, headers and body of what the application says."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    return sent[0]["status"], sent[0]["headers"], sent[1]["body"]


def parts(response: bytes) -> Any:
    """Give status, headers and body of a response as it is sent."""
    before, _, body = response.partition(b"\r\n\r\n")
    first, *lines = before.split(b"\r\n")
    return int(first.split()[1]), [tuple(line.split(b": ", 1)) for line in lines], body


@pytest.mark.parametrize("token", [None, "0123456789abcdef"])
def test_what_is_answered_at_once_is_what_the_application_says(
    bundles: Path, tmp_path: Path, token: str | None
) -> None:
    chosen = settings(bundles, tmp_path, token=token, hosts=() if token else ("localhost",))
    shelf, counts = Shelf(chosen), Counts(tmp_path)
    shelf.look()
    quick = QuickLookUps(chosen, shelf, counts, Rates(0))
    let_in = [(b"authorization", b"Bearer 0123456789abcdef")] if token else [(b"host", b"localhost:8300")]
    kept_out = [(b"authorization", b"Bearer other")] if token else [(b"host", b"elsewhere.example")]

    async def both() -> None:
        app = application(chosen)
        async with app.router.lifespan_context(app):

            async def same(query: str, headers: list[tuple[bytes, bytes]], is_quick: bool) -> Any:
                at_once = quick.answer(f"{PATH}?{query}".encode(), headers, ("127.0.0.1", 1))
                assert (at_once is not None) == is_quick, query
                said = await through_the_application(app, PATH, query, headers)
                assert at_once is None or parts(at_once) == said, query
                return said

            said = [await same(query, let_in, is_quick) for query, is_quick in QUERIES]
            assert [status for status, *_ in said] == [200] * 4 + [410] + [404] * 3 + [200] + [400] * 7
            etag = dict(said[0][1])[b"etag"]
            first = QUERIES[0][0]
            for tag, is_quick, status in (
                (etag, True, 304),
                (b"W/" + etag, True, 304),
                (b'"other", ' + etag, False, 304),
                (b'"other"', False, 200),
            ):
                assert (await same(first, [*let_in, (b"if-none-match", tag)], is_quick))[0] == status
            assert (await same(first, kept_out, False))[0] == (401 if token else 421)
            for name in (b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"expect"):
                assert (await same(first, [*let_in, (name, b"close")], False))[0] == 200

    asyncio.run(both())
    found, _, seconds = counts.of_all()
    # The application of this process writes its counts to the same file, and those are not added up twice.
    assert found[f'almanac_requests_total{{product="{PRODUCT}",status="200"}}'] == 5
    assert found[f'almanac_requests_total{{product="{PRODUCT}",status="304"}}'] == 2
    assert found[f'almanac_keys_total{{product="{PRODUCT}",made="nothing"}}'] == 3
    assert seconds > 0
    assert quick.answer(b"/v1/other/predictions?n=1", let_in, None) is None
    assert quick.answer(b"/v2", let_in, None) is None


#: What the rows hold, row by row, as a query string can say it.
HELD = {
    "n": ["0", "1", "2", "3", "9"],
    "carrier": ["B6", 'é"', "a b", "", "gone"],
    "day": ["2026-03-10"] * 5,
    "at": ["2026-03-10T18:00:00.5Z"] * 5,
    "price": ["1.5", "1.50", "+1.5", "1.500", "1.5"],
    "big": [str(9007199254740993 + i) for i in range(4)] + ["9"],
    "real": ["0", "0.5", "1.0", "1.5", "4.5"],
    "flag": ["true", "false", "true", "false", "false"],
}


def described(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Give texts that a schema of the OpenAPI page allows."""
    if "enum" in schema:
        return st.sampled_from([str(value) for value in schema["enum"]])
    if schema["type"] == "boolean":
        return st.sampled_from(["true", "false"])
    if schema["type"] == "integer":
        return st.integers(-(10**20), 10**20).map(str)
    if schema["type"] == "number":
        return st.floats(allow_nan=False, allow_infinity=False).map(repr)
    if schema.get("format") == "date":
        return st.dates().map(str)
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda at: f"{at.isoformat()}Z")
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii"))
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def asked(draw: st.DrawFn, parameters: list[dict[str, Any]]) -> tuple[str, bool]:
    """Draw a query string, and whether the OpenAPI page allows it."""
    pairs, is_allowed = [], True
    # Most often one fault at most, so that what has none is asked often too.
    names = [None, None, *(each["name"] for each in parameters)]
    row, varied, faulty = draw(st.integers(0, 4)), draw(st.sampled_from(names)), draw(st.sampled_from(names))
    for each in parameters:
        name, fault = each["name"], "none"
        if name == faulty:
            fault = draw(st.sampled_from(["left out", "twice", "any text", "without a value"]))
            is_allowed = False
        valid = described(each["schema"]) if name == varied else st.just(HELD[name][row])
        value = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=6) if fault == "any text" else valid)
        how = draw(st.sampled_from([urllib.parse.quote, urllib.parse.quote_plus]))
        said = f"{name}={how(value)}" if fault != "without a value" else name
        pairs += {"left out": [], "twice": [said, said]}.get(fault, [said])
    if draw(st.integers(0, 9)) == 0:
        pairs, is_allowed = [*pairs, draw(st.sampled_from(["", "other=1", "%ff=1", "n=%zz", "=", "&"]))], False
    return "&".join(draw(st.permutations(pairs))), is_allowed


def test_what_the_openapi_page_allows_is_answered_at_once_as_by_the_application(bundles: Path, tmp_path: Path) -> None:
    chosen = settings(bundles, tmp_path)
    shelf = Shelf(chosen)
    shelf.look()
    quick = QuickLookUps(chosen, shelf, Counts(tmp_path), Rates(0))
    page = description([bundle.manifest for bundle in shelf.bundles.values()], has_token=False)
    operation = page["paths"][PATH]["get"]
    app, loop, seen = application(chosen), asyncio.new_event_loop(), Counter[int]()
    headers = [(b"host", b"localhost:8300")]

    @hypothesis.settings(max_examples=times(150), derandomize=True, database=None)
    @hypothesis.given(asked(operation["parameters"]))
    def ask(drawn: tuple[str, bool]) -> None:
        query, is_allowed = drawn
        at_once = quick.answer(f"{PATH}?{query}".encode(), headers, ("127.0.0.1", 1))
        status, *rest = loop.run_until_complete(through_the_application(app, PATH, query, headers))
        assert str(status) in operation["responses"]
        if at_once is not None:
            assert parts(at_once) == (status, *rest)
        assert (at_once is None) == (status == 400)
        assert not is_allowed or status in (200, 404, 410)
        seen[status] += 1

    with contextlib.closing(loop):
        context = app.router.lifespan_context(app)
        loop.run_until_complete(context.__aenter__())
        ask()
        loop.run_until_complete(context.__aexit__(None, None, None))
    assert seen.keys() == {200, 400, 404, 410}


def test_a_client_that_asks_too_often_is_left_to_the_application(bundles: Path, tmp_path: Path) -> None:
    chosen = settings(bundles, tmp_path)
    shelf = Shelf(chosen)
    shelf.look()
    quick = QuickLookUps(chosen, shelf, Counts(tmp_path), Rates(1e-9))
    target = f"{PATH}?{QUERIES[0][0]}".encode()
    assert quick.answer(target, [], ("127.0.0.1", 1)) is not None
    assert quick.answer(target, [], ("127.0.0.1", 1)) is None
    assert quick.answer(target, [], ("127.0.0.2", 1)) is not None


def test_requests_that_come_at_once_are_answered_in_their_order(bundles: Path, tmp_path: Path) -> None:
    body = b'{"keys": []}'
    host = b"Host: localhost\r\n"
    look_up = f"GET {PATH}?{QUERIES[0][0]} HTTP/1.1\r\n".encode() + host + b"\r\n"
    nothing = f"GET {PATH}?{QUERIES[5][0]} HTTP/1.1\r\n".encode() + host + b"\r\n"
    refused = f"GET {PATH}?n=x HTTP/1.1\r\n".encode() + host + b"\r\n"
    many = f"POST {PATH} HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode() + host + b"\r\n" + body
    last = f"GET {PATH}?{QUERIES[4][0]} HTTP/1.1\r\nConnection: close\r\n".encode() + host + b"\r\n"
    with (
        serving(bundles, "--processes", "1", "--now", "2026-03-10T19:00", log=tmp_path / "log") as service,
        contextlib.closing(socket.create_connection(("127.0.0.1", service.port), timeout=120)) as client,
    ):
        client.sendall(look_up + nothing + many + look_up + refused + nothing + look_up + last)
        read = b""
        while part := client.recv(65536):
            read += part
    statuses = [int(each[:3]) for each in read.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200, 400, 404, 200, 410]
    assert b"Traceback" not in (tmp_path / "log").read_bytes()
