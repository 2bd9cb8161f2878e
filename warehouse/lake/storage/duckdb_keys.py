"""The keys by which a DuckDB instance reaches a lake's bucket: for its prefix alone, renewed, and shown to nobody."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from warehouse.buckets import Way

if TYPE_CHECKING:
    import duckdb

_SECRET = "almanac_lake"
#: The keys that an instance was given last.
_given: WeakKeyDictionary[duckdb.DuckDBPyConnection, Way] = WeakKeyDictionary()
_giving = threading.Lock()


def give_keys(connection: duckdb.DuckDBPyConnection, way: Way, prefix: str) -> None:
    """Give an instance the keys of now, if it has others; `prefix` is the URL of what they are for."""
    with _giving:
        if _given.get(connection) == way:
            return
        if connection not in _given:
            # httpfs 1.5.5 copies the environment's keys into settings, which anybody may read, and uses for all.
            for setting in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"):
                connection.execute(f"SET GLOBAL {setting} = ''")
        options = _options(way, prefix)
        # Bound: no key is in the text of a statement, and so in no error.
        listed = ", ".join(f"{name} ${number}" for number, name in enumerate(options, 1))
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(f"CREATE OR REPLACE SECRET {_SECRET} (TYPE s3, {listed})", list(options.values()))
        _given[connection] = way


def _options(way: Way, prefix: str) -> dict[str, str]:
    """Give what DuckDB calls the keys, and the server."""
    options = {"KEY_ID": way.key_id, "SECRET": way.secret, "REGION": way.region, "SCOPE": prefix + "/"}
    if way.token:
        options["SESSION_TOKEN"] = way.token
    if way.server is not None:
        parsed = urlsplit(way.server)
        options |= {"ENDPOINT": parsed.netloc + parsed.path.rstrip("/"), "USE_SSL": str(parsed.scheme == "https")}
    if way.style == "path" or (way.server is not None and way.style != "virtual"):
        options["URL_STYLE"] = "path"
    return options
