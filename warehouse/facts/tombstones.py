"""Tombstones: keyed hashes of erased persons, by which a file that is read again does not bring them back.

A hash without a key would tell who was erased to whoever tries all customer numbers. So it is an HMAC (RFC 2104) with
SHA-256, under a key that is in the environment and nowhere in the lake.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from itertools import count

import duckdb

from warehouse.definitions import Source
from warehouse.errors import UsageError
from warehouse.ledger.erasures import ErasureRecord, erasures
from warehouse.system_sql import literal, quote, system_sql

#: The environment variable that holds the key.
KEY_VARIABLE = "ALMANAC_ERASE_KEY"
_SHORTEST = 16
_BLOCK = 64
_CHECK = "almanac: is this the key"
_numbers = count()


def erase_key() -> bytes:
    """Read the key from the environment.

    Raises
    ------
    UsageError
        If it is not set, or so short that it can be guessed.
    """
    text = os.environ.get(KEY_VARIABLE, "")
    if len(text) < _SHORTEST:
        what = "is not set" if not text else f"has fewer than {_SHORTEST} characters"
        raise UsageError(
            f"{KEY_VARIABLE} {what}. It keys the hashes by which erased persons are known again; set it to a secret of"
            f" at least {_SHORTEST} characters that is kept for as long as the lake is, such as the output of"
            " `openssl rand -hex 32`. Nothing was changed."
        )
    return text.encode()


def scope_of(source: Source, kind: str) -> str:
    """Say what a source's column names the person by: the kind of person, or another source's column."""
    named_by = source.header.subject[kind]
    return named_by if "." in named_by else kind


def tombstone(key: bytes, scope: str, value: str) -> str:
    """Hash what names a person in one scope."""
    return hmac.new(key, f"{scope}\x1f{value}".encode(), hashlib.sha256).hexdigest()


def key_check(key: bytes) -> str:
    """Hash a fixed text, to tell whether a key is the same as before."""
    return hmac.new(key, _CHECK.encode(), hashlib.sha256).hexdigest()


def require_same_key(key: bytes, before: Iterable[ErasureRecord]) -> None:
    """See that earlier persons were erased under this key.

    Raises
    ------
    UsageError
        If one was erased under another: their tombstones could not be told any more.
    """
    if any(not hmac.compare_digest(one.key_check, key_check(key)) for one in before):
        raise UsageError(
            f"{KEY_VARIABLE} is not the key under which persons were erased from this lake before. Without that one a"
            " file read again would bring them back. Set it to what it was. Nothing was changed."
        )


def leave_out_erased(connection: duckdb.DuckDBPyConnection, source: Source) -> int:
    """Leave rows about erased persons out of `delivery` and `refused`; give how many those were.

    Raises
    ------
    UsageError
        If persons were erased, and their key is not in the environment.
    """
    if not source.header.subject or not _has_erasures(connection):
        return 0
    before = [one for one in erasures(connection) if one.subject in source.header.subject]
    if not before:
        return 0
    key = erase_key()
    require_same_key(key, before)
    padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    n_before = _n_rows(connection)
    there = {str(row[0]) for row in connection.execute("DESCRIBE delivery").fetchall()}
    for kind, named_by in source.header.subject.items():
        if named_by.rpartition(".")[2] not in there:
            continue  # whoever judges the delivery says so
        values = {
            "tombstones": [hashed for one in before if one.subject == kind for hashed in one.tombstones],
            "inner": bytes(byte ^ 0x36 for byte in padded),
            "outer": bytes(byte ^ 0x5C for byte in padded),
        }
        for rows in ("delivery", "refused"):
            kept = quote(f"part without erased {next(_numbers)}")
            column, scope = quote(named_by.rpartition(".")[2]), literal(scope_of(source, kind))
            query = system_sql("ingest/not_erased", kept=kept, rows=rows, column=column, scope=scope)
            connection.execute(query, values)
            connection.execute(f"CREATE OR REPLACE TEMP VIEW {rows} AS FROM {kept}")
    return n_before - _n_rows(connection)


def _n_rows(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT count(*) FROM delivery").fetchone()
    return int(row[0]) if row else 0


def _has_erasures(connection: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether a lake is attached that may hold some: examples are read without any."""
    query = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'ledger' AND table_name = $1"
    return connection.execute(query, ["erasures"]).fetchone() is not None
