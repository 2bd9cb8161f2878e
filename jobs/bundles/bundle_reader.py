"""A reader of bundles: predictions looked up with the standard library of Python 3.11 alone.

`almanac reader > almanac_bundles.py` writes it, with the two modules that it imports, as one file to copy to
wherever predictions are looked up; `almanac serve` uses it too. A bundle is a directory: `manifest.json` names one
SQLite file and says its hash, whose predictions it holds, and until when they are valid. What is not right is refused
with a `BundleRefused`.

    bundle = open_bundle("late_order.bundle", public_key=Path("bundles.pub").read_text(), now=now)
    found = bundle.look_up({"order_id": 17}, now)
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jobs.bundles.key_columns import NOWHERE, BundleRefused, KeyColumn, KeyRefused, instant_of, micros
from jobs.bundles.on_demand import ON_DEMAND, OnDemand, Scoring
from jobs.bundles.signatures import is_signed_by

#: The version of a bundle's own form.
FORM = 1
MANIFEST, PREVIOUS = "manifest.json", "previous.json"


class NotThere(BundleRefused):
    """There is no bundle yet."""


class Damaged(BundleRefused):
    """The manifest or the file is not what was written: changed, cut short, or gone."""


class WronglySigned(BundleRefused):
    """The manifest bears no signature, or one of another key."""


class Older(BundleRefused):
    """It is an older publication than the one that is held."""


class Expired(BundleRefused):
    """None of its predictions is valid any more."""


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself. Instants are naive UTC.

    Attributes
    ----------
    suite, product, kind
        Whose predictions they are, and of which kind of label.
    file, n_bytes, sha256, n_rows
        The SQLite file beside the manifest.
    as_of, snapshot_id, published_at
        The newest page in it, and the publication.
    valid_until
        Until when the last of its rows is valid.
    keys, list_keys
        What rows are looked up by; of rankings, which of these make up a list.
    columns
        What is predicted of each entity: columns with DuckDB's types.
    fallback_columns, levels
        By what entities are looked up that no row is of: columns, and levels of them by name, the finest first.
    is_signed
        Whether the signature was looked at, and right.
    on_demand
        How entities are scored that no row is of; None where they are not.
    not_on_demand
        Why they are not, where the product asks for it.
    """

    suite: str
    product: str
    kind: str
    file: str
    n_bytes: int
    sha256: str
    n_rows: int
    as_of: datetime
    snapshot_id: int
    published_at: datetime
    valid_until: datetime
    keys: tuple[KeyColumn, ...]
    list_keys: tuple[str, ...]
    columns: Mapping[str, str]
    fallback_columns: tuple[KeyColumn, ...]
    levels: tuple[tuple[str, tuple[str, ...]], ...]
    is_signed: bool
    on_demand: OnDemand | None = None
    not_on_demand: str | None = None

    def is_older_than(self, other: Manifest) -> bool:
        """Tell whether it is of an earlier publication. Numbers of snapshots begin again after a restore."""
        return (self.published_at, self.snapshot_id) < (other.published_at, other.snapshot_id)


def read_manifest(path: Path, public_key: str | None = None) -> Manifest:
    """Read a bundle's manifest; with a public key (PEM, Ed25519) only if that key's owner signed it.

    Raises
    ------
    BundleRefused
        If it is not there, is damaged, or is not signed as it has to be.
    """
    try:
        outer = json.loads(path.read_bytes())
        text, signature = outer["manifest"], outer["signature"]
        found = json.loads(text)
    except FileNotFoundError as error:
        raise NotThere(f"{path} is not there.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read as a bundle's manifest: {type(error).__name__}.") from error
    if public_key is not None and not (signature and is_signed_by(public_key, text, signature)):
        raise WronglySigned(f"{path} is not signed by the owner of the public key.")
    try:
        if found["almanac_bundle"] != FORM:
            raise BundleRefused(f"{path} is of form {found['almanac_bundle']}, and this reader knows form {FORM}.")
        return _manifest(found, public_key is not None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{path} is not a bundle's manifest: {type(error).__name__}: {error}.") from error


def _manifest(found: Mapping[str, Any], is_signed: bool) -> Manifest:
    if Path(found["file"]).name != found["file"] or not re.fullmatch("[0-9a-f]{64}", found["sha256"]):
        raise ValueError("`file` is no plain name, or `sha256` no hash")
    return Manifest(
        suite=found["suite"],
        product=found["product"],
        kind=found["kind"],
        file=found["file"],
        n_bytes=int(found["bytes"]),
        sha256=found["sha256"],
        n_rows=int(found["rows"]),
        as_of=datetime.fromisoformat(found["as_of"]),
        snapshot_id=int(found["snapshot_id"]),
        published_at=datetime.fromisoformat(found["published_at"]),
        valid_until=datetime.fromisoformat(found["valid_until"]),
        keys=tuple(KeyColumn(each["name"], each["type"]) for each in found["keys"]),
        list_keys=tuple(found["list_keys"]),
        columns=dict(found["columns"]),
        fallback_columns=tuple(KeyColumn(each["name"], each["type"]) for each in found["fallback_columns"]),
        levels=tuple((name, tuple(columns)) for name, columns in found["levels"]),
        is_signed=is_signed,
        # Bundles of earlier versions say nothing of it.
        on_demand=OnDemand.told(found["on_demand"]) if found.get("on_demand") else None,
        not_on_demand=found.get("not_on_demand"),
    )


class Found(NamedTuple):
    """One row: until when it is valid (microseconds since 1970), and what it says, as the inside of a JSON object.

    `source` is `page`, `on demand`, or `fallback` with the level's name.
    """

    valid_until_us: int
    made: str
    prediction: str
    source: str = "page"

    def is_valid(self, at_us: int) -> bool:
        """Tell whether it is still valid at an instant."""
        return at_us < self.valid_until_us

    def as_dict(self) -> dict[str, Any]:
        """Give its columns, but for the keys, and `made`, which says what it is."""
        said = f'"made":"{self.source}",{self.made},"valid_until":"{instant_of(self.valid_until_us)}"'
        return dict(json.loads(f"{{{said},{self.prediction}}}"))


class Bundle:
    """A bundle that was checked and is open. `open_bundle` makes it."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.valid_until_us = micros(manifest.valid_until)
        self.readings = [(key.name, key.reading()) for key in manifest.keys]
        #: How the keys are written as JSON: what stands before each, and how it becomes text.
        self.sayings = [(f"{json.dumps(key.name, ensure_ascii=False)}: ", key.saying()) for key in manifest.keys]
        self.list_readings = [(name, read) for name, read in self.readings if name in manifest.list_keys]
        self._beyond = {key.name: key.reading() for key in manifest.fallback_columns}
        asked = manifest.on_demand.columns if manifest.on_demand else ()
        own = {key.name for key in manifest.keys}
        #: What a request may give besides the keys, for entities that no page has.
        self._more = {key.name: key.reading() for key in (*manifest.fallback_columns, *asked) if key.name not in own}
        place = urllib.parse.quote(str(path.resolve()))
        # Nobody changes the file, so that SQLite need not look for locks, and can map it.
        uri = f"file:{place}?mode=ro&immutable=1"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        self._database.execute(f"PRAGMA mmap_size={manifest.n_bytes + (1 << 20)}")
        self._made = dict(self._database.execute("SELECT almanac_made, facts FROM almanac_made"))
        chosen = "SELECT valid_until, almanac_made, prediction FROM predictions WHERE "
        self._row = chosen + _equals([name for name, _ in self.readings])
        listed = chosen.replace(" FROM", f", {_quoted([key.name for key in manifest.keys])} FROM")
        self._list = listed + _equals([name for name, _ in self.list_readings]) + " ORDER BY rank"
        told = manifest.on_demand
        self._scoring = Scoring(self._database, told, manifest.keys) if told else None

    def values(self, given: Mapping[str, Any], of_list: bool = False) -> list[Any]:
        """Turn what a request gives into what is kept, in the order of the keys.

        Raises
        ------
        KeyRefused
            If a key is missing, is none of the product's, or is not of its type.
        """
        readings = self.list_readings if of_list else self.readings
        if len(given) == len(readings) and all(name in given for name, _ in readings):
            return [read(given[name]) for name, read in readings]
        more = given.keys() & self._more.keys()
        needed = [name for name, _ in readings]
        if any(name not in given for name in needed) or not given.keys() - more <= set(needed):
            also = f" (and, for entities that no page has: {', '.join(self._more)})" if self._more else ""
            raise KeyRefused(f"give each of these once, and nothing else: {', '.join(needed)}{also}")
        for name in more:
            kept, is_asked = self._more[name](given[name]), self._scoring and name in self._scoring.types
            if is_asked and kept is NOWHERE and given[name] is not None:
                raise KeyRefused(f"`{name}` cannot hold that value")
        return [read(given[name]) for name, read in readings]

    def request_row(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give the keys and what else a request gives as they are kept; None for NULL. It was read by `values`."""
        readings = {**dict(self.readings), **self._more}
        kept = {name: readings[name](value) for name, value in given.items() if name in readings}
        return {name: None if value is NOWHERE else value for name, value in kept.items()}

    def find(self, values: Sequence[Any]) -> Found | None:
        """Find the row of an entity, valid or not; None if no page has it."""
        if NOWHERE in values:
            return None
        row = self._database.execute(self._row, values).fetchone()
        return Found(row[0], self._made[row[1]], row[2]) if row else None

    def find_beyond(self, given: Mapping[str, Any]) -> Found | None:
        """Find what is said of an entity that no page has: scored on demand if that can be, else the fallback.

        Raises
        ------
        KeyRefused
            If what it is to be scored by is not of its columns' types.
        """
        return self.find_on_demand(given) or (self.find_fallback(given) if self.manifest.levels else None)

    def find_on_demand(self, given: Mapping[str, Any]) -> Found | None:
        """Score an entity; None where the bundle does not, or the request does not give what it takes."""
        told = self.manifest.on_demand
        if self._scoring is None or told is None or self._scoring.lacking(given):
            return None
        scored = self._scoring.score(given)
        if scored is None or not math.isfinite(scored.prediction):
            return None
        said = json.dumps({told.score: scored.prediction})[1:-1]
        return Found(scored.valid_until_us, told.facts, said, ON_DEMAND)

    def why_nothing(self, given: Mapping[str, Any]) -> str | None:
        """Say why an entity that nothing is said of was not scored; None where the product does not ask for that."""
        if self._scoring is None:
            return self.manifest.not_on_demand
        lacking = self._scoring.lacking(given)
        return f"to be scored on demand it lacks: {', '.join(lacking)}" if lacking else None

    def find_fallback(self, given: Mapping[str, Any]) -> Found | None:
        """Find what is said of an entity that no page has: the finest level that has its group."""
        for place, (level, columns) in enumerate(self.manifest.levels):
            if any(name not in given for name in columns):
                continue
            values = [self._beyond[name](given[name]) for name in columns]
            if NOWHERE in values:
                continue
            chosen = "SELECT valid_until, facts, prediction FROM fallback WHERE almanac_level = ?"
            where = f" AND {_equals(columns)}" if columns else ""
            row = self._database.execute(chosen + where, [place, *values]).fetchone()
            if row:
                return Found(row[0], row[1], row[2], f"fallback {level}")
        return None

    def find_list(self, values: Sequence[Any]) -> list[tuple[tuple[Any, ...], Found]]:
        """Find the entries of a list, by rank, each with its keys; nothing if no page has the list."""
        if NOWHERE in values:
            return []
        rows = self._database.execute(self._list, values).fetchall()
        return [(row[3:], Found(row[0], self._made[row[1]], row[2])) for row in rows]

    def look_up(self, keys: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
        """Give what is predicted of an entity, if that is valid at `now` (naive UTC); None otherwise.

        An entity that no page has is scored on demand, or gets what the product's `fallback` says; `made` says so.
        """
        found = self.find(self.values(keys)) or self.find_beyond(keys)
        return found.as_dict() if found and found.is_valid(micros(now)) else None

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def _equals(names: Sequence[str]) -> str:
    return " AND ".join(f"{_quoted([name])} = ?" for name in names) or "false"


def open_bundle(
    directory: str | Path,
    public_key: str | None = None,
    held: Manifest | None = None,
    now: datetime | None = None,
    manifest_name: str = MANIFEST,
) -> Bundle:
    """Check a bundle and open it.

    Parameters
    ----------
    directory
        The bundle.
    public_key
        The key (PEM, Ed25519) whose owner has to have signed it. Without one, hashes alone are compared, which tells
        damage, and not a forger.
    held
        What was looked up in until now: an older publication, or one of another product, is refused.
    now
        With it (naive UTC) a bundle is refused of which no row is valid any more.
    manifest_name
        `previous.json` for the publication before, which is there as long as its file is.

    Raises
    ------
    BundleRefused
        If the bundle is not one to look up in.
    """
    manifest = read_manifest(Path(directory) / manifest_name, public_key)
    if held is not None and (manifest.suite, manifest.product) != (held.suite, held.product):
        raise BundleRefused(f"{directory} holds {manifest.product} now, and held {held.product}.")
    if held is not None and manifest.is_older_than(held):
        raise Older(f"{directory} is of {manifest.published_at}, and what is held is of {held.published_at}.")
    if now is not None and manifest.valid_until <= now:
        raise Expired(f"{directory} was valid until {manifest.valid_until}.")
    path = Path(directory) / manifest.file
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != manifest.sha256:
            raise Damaged(f"{path} is not the file that the manifest names: its hash differs.")
        return Bundle(path, manifest)
    except (OSError, sqlite3.Error) as error:
        raise Damaged(f"{path} cannot be opened: {error}.") from error
