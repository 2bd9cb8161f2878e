"""Targets that are bundles: what is current, as one SQLite file to look up in, and a manifest that can be signed.

The file is never changed: a publication gets a file of another name, and the manifest, which is replaced in one step,
names that instead. The manifest before stays as `previous.json`, and its file with it, so that whoever starts to read
while the newest is damaged has something to go on with. `jobs.bundles.bundle_reader` reads both.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from jobs.bundles.bundle_reader import FORM, MANIFEST, PREVIOUS, Manifest, NotThere, read_manifest
from jobs.bundles.key_columns import BundleRefused, KeyColumn
from jobs.export.content import Content
from jobs.export.folders import Directory
from jobs.export.kept_values import MADE, inside_of, kept_as
from jobs.export.on_demand import OnDemandPart
from jobs.export.plain_json import write_plain
from jobs.export.target import CURRENT, Held, Owner, clear, put_in_place
from warehouse.definitions import Product
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.lake import one_transaction
from warehouse.lake.registry import FALLBACK
from warehouse.lake.staged_files import sha256_of
from warehouse.system_sql import literal, quote, quote_all, system_sql

_NOT_GIVEN = ("valid_until", "rank", "almanac_made", "prediction")
_LAST = datetime.max


@dataclass(frozen=True)
class BundleDirectory:
    """A directory with what is current of one product.

    `signed_with` names a variable with the place of a key; `on_demand` adds what it takes to score other entities;
    `is_plain` asks for the same as plain JSON besides.
    """

    directory: Path
    signed_with: str | None
    product: Product
    owner: Owner
    on_demand: OnDemandPart | None = None
    is_plain: bool = False

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.directory}/"

    def held(self) -> Mapping[datetime, Held]:
        """Give the commit whose publication the manifest names; nothing if there is none, or its file is not whole."""
        manifest = self._manifest()
        if manifest is None:
            return {}
        try:
            is_whole = (self.directory / manifest.file).stat().st_size == manifest.n_bytes
        except FileNotFoundError:
            is_whole = False
        return {CURRENT: Held(manifest.snapshot_id, manifest.published_at, manifest.n_rows)} if is_whole else {}

    def _manifest(self) -> Manifest | None:
        try:
            found = read_manifest(self.directory / MANIFEST)
        except NotThere:
            return None
        except BundleRefused as error:
            raise UsageError(
                f"{error} Name another directory under `to`, or move this one away; nothing was written."
            ) from error
        if (found.suite, found.product) != (self.owner.suite_id, self.owner.product):
            raise UsageError(
                f"{self.directory} was not written by exports of {self.owner.product} of this suite. Name another"
                " directory under `to`, or move this one away; nothing was written."
            )
        return found

    def send(self, connection: duckdb.DuckDBPyConnection, content: Content) -> int:
        """Write the file, then the manifest that names it."""
        self._manifest()
        signer = _Signer.named(self.signed_with)
        keys = _keys_of(content)
        self.directory.mkdir(parents=True, exist_ok=True)
        clear(self.directory, f".{content.product}-", ".new", "")
        temporary = self.directory / f".{content.product}-{content.run_id}.new"
        try:
            n_rows, valid_until = self._fill(connection, temporary, content, keys)
            beyond = self._add_fallback(connection, temporary, content)
            beyond |= self.on_demand.add(connection, temporary, content) if self.on_demand else {}
            beyond |= self._add_plain(temporary, content, keys, beyond) if self.is_plain else {}
            digest, size = sha256_of(temporary), temporary.stat().st_size
            name = f"{content.product}-{content.snapshot_id}-{digest[:16]}.sqlite"
            put_in_place(temporary, self.directory / name)
        except (sqlite3.Error, duckdb.Error) as error:
            raise RunFailed(f"{self.place} got no new file, and what it held is still there: {error}.") from error
        finally:
            clear(self.directory, temporary.name, "")
        self._name(content, signer, self._said(content, keys, name, size, digest, n_rows, valid_until) | beyond)
        return n_rows

    def _said(
        self,
        content: Content,
        keys: Sequence[KeyColumn],
        name: str,
        size: int,
        digest: str,
        n_rows: int,
        valid_until: datetime,
    ) -> dict[str, Any]:
        """Give what the manifest says."""
        ranking = self.product.ranking
        return {
            "almanac_bundle": FORM,
            "suite": content.suite_id,
            "product": content.product,
            "kind": self.product.kind.name,
            "file": name,
            "bytes": size,
            "sha256": digest,
            "rows": n_rows,
            "as_of": content.as_of.isoformat(),
            "snapshot_id": content.snapshot_id,
            "published_at": content.published_at.isoformat(),
            "valid_until": valid_until.isoformat(),
            "exported_at": content.now.isoformat(),
            "keys": [{"name": key.name, "type": key.type} for key in keys],
            "list_keys": list(ranking.keys) if ranking else [],
            "columns": _predicted(content),
        }

    def _fill(
        self, connection: duckdb.DuckDBPyConnection, temporary: Path, content: Content, keys: Sequence[KeyColumn]
    ) -> tuple[int, datetime]:
        """Write the rows; give how many there are, and until when the last of them is valid."""
        declared = ", ".join(f"{quote(key.name)} {key.storage} NOT NULL" for key in keys)
        ordered = _ordered(keys, self.product)
        with contextlib.closing(sqlite3.connect(temporary)) as database:
            script = system_sql("export/bundle/create", key_columns=declared, keys=quote_all(ordered))
            database.executescript(script)
        wanted = connection.execute(system_sql("export/bundle/wanted", relation=content.relation)).fetchone()
        n_rows, valid_until = wanted or (0, None)
        if n_rows and (not isinstance(valid_until, datetime) or valid_until == _LAST):
            raise RunFailed(f"{self.place} cannot say until when rows are valid: {valid_until} is no instant.")
        connection.execute(system_sql("export/attach_sqlite", file=literal(str(temporary))))
        try:
            with one_transaction(connection):
                self._insert(connection, content, keys, ordered)
        finally:
            connection.execute("DETACH target")
        with contextlib.closing(sqlite3.connect(temporary)) as database:
            found, said = database.execute(system_sql("export/bundle/found")).fetchone()
        if found != n_rows:
            raise RunFailed(f"{self.place} got {found} rows, and {n_rows} are current. What it held is still there.")
        if said != found:
            raise RunFailed(
                f"{self.place} cannot hold {found - said} rows as JSON: they have NaN or infinity. What it held before"
                " is still there; correct the page."
            )
        return int(n_rows), valid_until or content.as_of

    def _insert(
        self,
        connection: duckdb.DuckDBPyConnection,
        content: Content,
        keys: Sequence[KeyColumn],
        ordered: Sequence[str],
    ) -> None:
        types = {key.name: key.type for key in keys}
        facts = inside_of({name: content.columns[name] for name in MADE if name in content.columns})
        connection.execute(system_sql("export/bundle/made", facts=facts, relation=content.relation))
        fragments = {
            "key_values": ", ".join(kept_as(f"rows.{quote(key.name)}", types[key.name]) for key in keys),
            "in_order": quote_all(ordered, "rows."),
            "keys": quote_all(content.keys),
            "rank": quote("rank") if self.product.ranking else "NULL",
            "facts": facts,
            "prediction": inside_of(_predicted(content)),
            "relation": content.relation,
        }
        connection.execute(system_sql("export/bundle/predictions", **fragments))

    def _add_fallback(self, connection: duckdb.DuckDBPyConnection, temporary: Path, content: Content) -> dict[str, Any]:
        """Write what is said of entities that no row is of; give what the manifest says of it."""
        relation = f"predictions.{quote(f'{content.product}_{FALLBACK}')}"
        settings, types = self.product.header.fallback, dict[str, str]()
        if settings is not None:
            # It is there from the first page on that was published with the setting.
            with contextlib.suppress(duckdb.CatalogException):
                described = connection.execute(f"DESCRIBE FROM {relation}").fetchall()
                types = {str(row[0]): str(row[1]) for row in described}
        if settings is None or not types:
            return {"fallback_columns": [], "levels": []}
        levels = connection.execute(system_sql("export/bundle/fallback_levels", relation=relation)).fetchall()
        columns = _key_columns(content.product, [(name, types[name]) for name in (levels[0][2] if levels else [])])
        names = [key.name for key in columns]
        with contextlib.closing(sqlite3.connect(temporary)) as database:
            declared = "".join(f"{quote(key.name)} {key.storage}, " for key in columns)
            keys = "".join(f", {quote(name)}" for name in names)
            database.executescript(system_sql("export/bundle/create_fallback", key_columns=declared, keys=keys))
        connection.execute(system_sql("export/attach_sqlite", file=literal(str(temporary))))
        try:
            said = {name: types[name] for name in (*self.product.kind.columns, "n_rows")}
            fragments = {
                "key_values": "".join(f"{kept_as(f'rows.{quote(key.name)}', key.type)}, " for key in columns),
                "facts": inside_of({name: types[name] for name in MADE if name in types}),
                "prediction": inside_of(said),
                "relation": relation,
            }
            connection.execute(system_sql("export/bundle/fallback", **fragments))
        finally:
            connection.execute("DETACH target")
        told = [{"name": key.name, "type": key.type} for key in columns]
        return {"fallback_columns": told, "levels": [[name, list(of)] for _, name, of in levels]}

    def _add_plain(
        self, file: Path, content: Content, keys: Sequence[KeyColumn], said: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write the same as plain JSON; give what the manifest says of it."""
        temporary = file.with_name(f"{file.name}-json")
        try:
            write_plain(file, temporary, keys, said, self.place)
            digest, size = sha256_of(temporary), temporary.stat().st_size
            name = f"{content.product}-{content.snapshot_id}-{digest[:16]}.json"
            put_in_place(temporary, self.directory / name)
        finally:
            temporary.unlink(missing_ok=True)
        return {"json": {"file": name, "bytes": size, "sha256": digest}}

    def _name(self, content: Content, signer: _Signer | None, said: dict[str, Any]) -> None:
        """Write the manifest, and remove files that neither it nor the one before names."""
        text = json.dumps(said)
        outer = {"manifest": text, "signature": signer.sign(text) if signer else None}
        folder, kept = Directory(self.directory), _files_of(text)
        before = folder.text(MANIFEST)
        if before is not None:
            with folder.writing(PREVIOUS, content.run_id) as temporary:
                temporary.write_text(before, encoding="utf-8")
            read_manifest(self.directory / PREVIOUS)
            kept |= _files_of(json.loads(before)["manifest"])
        with folder.writing(MANIFEST, content.run_id) as temporary:
            temporary.write_text(json.dumps(outer) + "\n", encoding="utf-8")
        # Nothing but our own names is removed. Who has such a file open goes on reading it.
        ours = re.compile(re.escape(content.product) + r"-\d+-[0-9a-f]{16}\.(sqlite|json)")
        for each in self.directory.iterdir():
            if ours.fullmatch(each.name) and each.name not in kept:
                each.unlink(missing_ok=True)


def _files_of(manifest: str) -> set[str]:
    """Give the files that a manifest names."""
    said = json.loads(manifest)
    return {said["file"], *([said["json"]["file"]] if said.get("json") else [])}


def _keys_of(content: Content) -> list[KeyColumn]:
    odd = [key for key in content.keys if key.lower() in _NOT_GIVEN]
    if odd:
        raise UsageError(
            f"a bundle has a column `{odd[0]}` of its own, which no key of {content.product} can be called."
        )
    return _key_columns(content.product, [(key, content.columns[key]) for key in content.keys])


def _key_columns(product: str, columns: Iterable[tuple[str, str]]) -> list[KeyColumn]:
    try:
        return [KeyColumn(name, kind) for name, kind in columns]
    except BundleRefused as error:
        raise UsageError(f"{product} can have no bundle: {error} Cast the column in entities.sql.") from error


def _ordered(keys: Sequence[KeyColumn], product: Product) -> list[str]:
    """Give the keys, those that tell lists apart first."""
    lists = product.ranking.keys if product.ranking else ()
    return sorted((key.name for key in keys), key=lambda name: name not in lists)


def _predicted(content: Content) -> dict[str, str]:
    taken = {*content.keys, *MADE, "valid_until"}
    return {name: kind for name, kind in content.columns.items() if name not in taken}


@dataclass(frozen=True)
class _Signer:
    """Signs manifests with an Ed25519 key."""

    key: Any

    @classmethod
    def named(cls, variable: str | None) -> _Signer | None:
        """Read the private key whose place a variable says; None without a variable.

        Raises
        ------
        UsageError
            If there is no such key.
        """
        if variable is None:
            return None
        if not (place := os.environ.get(variable)):
            raise UsageError(f"{variable} is not set; let it say where the private key is (PEM). Nothing was written.")
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError as error:
            raise UsageError("to sign a bundle, install almanac[serve]: it brings the package cryptography.") from error
        try:
            key = load_pem_private_key(Path(place).read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            # What the library says could hold parts of the file.
            raise UsageError(f"the file that {variable} names cannot be read as a private key in PEM.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"the key that {variable} names is not of Ed25519; make one with `openssl genpkey`.")
        return cls(key)

    def sign(self, text: str) -> str:
        """Give the signature of a text, in base64."""
        return base64.b64encode(self.key.sign(text.encode())).decode()
