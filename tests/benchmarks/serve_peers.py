"""Other services that look the same rows up: a FastAPI on PostgreSQL, and Feast's feature server on its online store.

Each runs in an environment of its own, which is made on first use (`tests.benchmarks.peers`), and is asked as the
service is: by connections that are kept, in the tool's own way. Before anything is timed its answers are compared.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from jobs.bundles.bundle_reader import open_bundle
from tests.benchmarks.peers import Peer, PeerMissing, environment, start_worker
from tests.conftest import NOW
from tests.postgres_server import PASSWORD, Server, lacking, running_server
from warehouse.lake.extensions import open_instance
from warehouse.system_sql import literal

WORKER = Path(__file__).with_name("serve_worker.py")
#: What each peer needs in its environment.
PACKAGES = {"fastapi": ("fastapi", "uvicorn[standard]", "asyncpg"), "feast": ("feast",)}
#: How many answers of a peer are compared before it is timed.
COMPARED = 200
_FEATURES = ["late_order:probability", "late_order:model_version", "late_order:valid_until"]


def request_for(name: str, key: int) -> bytes:
    """Give the request by which a service is asked for one key."""
    if name != "feast":
        return b"GET /v1/late_order/predictions?k=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % key
    body = json.dumps({"features": _FEATURES, "entities": {"k": [key]}}).encode()
    head = "POST /get-online-features HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head.encode(), len(body), body)


def probability_in(name: str, body: bytes) -> float:
    """Find what was predicted in an answer."""
    said = json.loads(body)
    if name != "feast":
        return float(said["probability"])
    place = said["metadata"]["feature_names"].index("probability")
    return float(said["results"][place]["values"][0])


@dataclass
class Beside:
    """A peer that serves."""

    name: str
    versions: str
    port: int
    process_ids: Callable[[], list[int]]
    wrote_s: float


@contextlib.contextmanager
def serving_beside(names: list[str], rows: Path, n_rows: int, bundle: Path, place: Path) -> Iterator[list[Beside]]:
    """Have peers serve the rows of a Parquet file; one that cannot take part is left out, and the reason printed."""
    found = list[Beside]()
    with contextlib.ExitStack() as closing:
        for name in names:
            try:
                peer = closing.enter_context(_served(name, rows, place))
                _compare(peer, bundle, n_rows)
            except PeerMissing as error:
                print(f"{name} is left out: {error}")
                continue
            print(f"{peer.versions}; {peer.wrote_s:.1f} s until it served", flush=True)
            found.append(peer)
        yield found


@contextlib.contextmanager
def _served(name: str, rows: Path, place: Path) -> Iterator[Beside]:
    python = environment(f"serve-{name}", PACKAGES[name])
    begun = time.perf_counter()
    with contextlib.ExitStack() as closing:
        database = closing.enter_context(_database(rows)) if name == "fastapi" else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        home = place / name
        home.mkdir()
        given = [str(port), _with_password(database) if database is not None else str(rows)]
        peer = start_worker(name, python, WORKER, given, home / "said.txt")
        closing.callback(_close, peer)

        def process_ids() -> list[int]:
            return _with_children([peer.process.pid, *([database.process_id] if database is not None else [])])

        versions = peer.versions + (f", PostgreSQL {_version(database)}" if database is not None else ", SQLite")
        yield Beside(name, versions, port, process_ids, time.perf_counter() - begun)


def _close(peer: Peer) -> None:
    with contextlib.suppress(OSError):
        peer.close()


@contextlib.contextmanager
def _database(rows: Path) -> Iterator[Server]:
    """Give a server that holds the rows in a table, by key."""
    if missing := lacking():
        raise PeerMissing(f"the server of the tests lacks {missing}")
    with running_server() as server:
        with server.connect() as connection, contextlib.closing(open_instance()) as reader:
            columns = reader.execute("DESCRIBE FROM read_parquet($1)", [str(rows)]).fetchall()
            kinds = {"DOUBLE": "double precision", "VARCHAR": "text"}
            listed = ", ".join(f"{column} {kinds.get(kind, kind)}" for column, kind, *_ in columns)
            connection.execute(f"CREATE TABLE late_order ({listed})")
            text = rows.with_suffix(".csv")
            reader.execute(f"COPY (FROM read_parquet({literal(str(rows))})) TO {literal(str(text))} (HEADER false)")
            with text.open("rb") as stream, connection.cursor().copy("COPY late_order FROM STDIN (FORMAT csv)") as copy:
                while data := stream.read(1 << 20):
                    copy.write(data)
            text.unlink()
            connection.execute("ALTER TABLE late_order ADD PRIMARY KEY (k)")
            connection.execute("VACUUM ANALYZE late_order")
        yield server


def _version(server: Server) -> str:
    with server.connect() as connection:
        return str(connection.execute("SHOW server_version").fetchone()[0])


def _with_password(server: Server) -> str:
    parts = urlsplit(server.url())
    return urlunsplit(parts._replace(netloc=parts.netloc.replace("@", f":{quote(PASSWORD, safe='')}@", 1)))


def _with_children(roots: list[int]) -> list[int]:
    """Give processes, and all that they have started."""
    parents = dict[int, list[int]]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found, left = list[int](), list(roots)
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], [])
    return found


def _compare(peer: Beside, bundle: Path, n_rows: int) -> None:
    """See that a peer says of some keys what the bundle says."""
    opened = open_bundle(bundle)
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=120)
    with contextlib.closing(opened), contextlib.closing(connection):
        for key in range(0, n_rows, max(1, n_rows // COMPARED)):
            head, _, body = request_for(peer.name, key).partition(b"\r\n\r\n")
            method, path = head.split()[:2]
            connection.request(
                method.decode(), path.decode(), body or None, {"Content-Type": "application/json"} if body else {}
            )
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200:
                raise PeerMissing(f"it answers {answer.status}: {data[:200]!r}")
            ours = opened.look_up({"k": key}, NOW)
            assert ours is not None
            if probability_in(peer.name, data) != ours["probability"]:
                raise SystemExit(f"{peer.name} says of {key} {data[:300]!r}, and the bundle {ours}")


def memory_mib(process_ids: list[int]) -> float:
    """Give what processes have in memory together; what several share is counted once (PSS)."""
    kib = 0
    for pid in process_ids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def cpu_s(process_ids: list[int]) -> float:
    """Give the CPU seconds that processes have taken so far."""
    ticks = 0
    for pid in process_ids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
