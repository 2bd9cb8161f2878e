"""What runs in a peer's environment of `bench_serve`: serves the same rows over HTTP, in that tool's usual way.

    python serve_worker.py fastapi PORT ADDRESS       rows of PostgreSQL, by asyncpg, one process of uvicorn
    python serve_worker.py feast PORT PARQUET         Feast's online store in SQLite, by `feast serve`, one worker

It imports nothing of Almanac. It says its versions once it answers, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: By what the application of `fastapi` is told where the database is.
ADDRESS = "ALMANAC_BENCH_DATABASE"
#: Rows that are written to Feast's store at a time.
AT_A_TIME = 100_000
STARTS_WITHIN_S = 600
VERSIONS = {"fastapi": ("fastapi", "uvicorn", "asyncpg"), "feast": ("feast", "fastapi", "uvicorn")}
STORE = """project: bench
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""


def application() -> Any:
    """Give an application of FastAPI that looks one row up: a pool of connections, a statement that stays prepared."""
    import asyncpg
    from fastapi import FastAPI, HTTPException

    pools = list[Any]()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pools.append(await asyncpg.create_pool(os.environ[ADDRESS], min_size=4, max_size=16))
        yield
        await pools[0].close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/late_order/predictions")
    async def predictions(k: int) -> dict[str, Any]:
        row = await pools[0].fetchrow("SELECT * FROM late_order WHERE k = $1", k)
        if row is None:
            raise HTTPException(404, "no page has it")
        return dict(row)

    return app


def with_fastapi(port: int, address: str) -> subprocess.Popen[bytes]:
    here = Path(__file__)
    command = ["uvicorn", "--factory", f"{here.stem}:application", "--app-dir", str(here.parent)]
    return start([*command, "--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"],
                 {ADDRESS: address})  # fmt: skip


def with_feast(port: int, rows: str) -> subprocess.Popen[bytes]:
    """Write the rows to the online store, and serve them."""
    import pyarrow.parquet
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, String, UnixTimestamp

    Path("feature_store.yaml").write_text(STORE)
    store = FeatureStore(".")
    entity = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)
    types = {"probability": Float64, "model_version": String, "valid_until": UnixTimestamp}
    view = FeatureView(
        name="late_order",
        entities=[entity],
        schema=[Field(name=name, dtype=kind) for name, kind in types.items()],
        source=FileSource(path=rows, timestamp_field="as_of"),
        online=True,
    )
    store.apply([entity, view])
    for batch in pyarrow.parquet.ParquetFile(rows).iter_batches(AT_A_TIME):
        store.write_to_online_store("late_order", batch.to_pandas())
    # A worker would be replaced after a thousand requests, and cut the others off.
    kept = ["--max-requests", "1000000000", "--max-requests-jitter", "0"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"]
    return start(["feast", "serve", *where, *kept])


def start(command: list[str], more: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program of this environment; what it prints goes to the log of whoever started this."""
    program = Path(sys.executable).with_name(command[0])
    return subprocess.Popen([str(program), *command[1:]], env={**os.environ, **(more or {})}, stdout=sys.stderr)


def main() -> None:
    name, port, given = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    server = {"fastapi": with_fastapi, "feast": with_feast}[name](port, given)
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} did not begin to serve")
            time.sleep(0.1)
        print("almanac-peer:", ", ".join(f"{one} {version(one)}" for one in VERSIONS[name]), flush=True)
        sys.stdin.read()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
