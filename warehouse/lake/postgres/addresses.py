"""Where a suite's lake is: in its directory `lake/` with SQLite, or where a URL says, with its catalogue in PostgreSQL.

    ALMANAC_LAKE='postgresql://USER@HOST/DATABASE?data=/shared/directory'

or the same in the suite's file `lake.yaml`, as `lake: URL`. `lake: here` there means the directory `lake/`, whatever
the variable says. The directory of the data is then the lake's; a file in it, `catalogue.json`, names the catalogue
and the lake, so that nobody takes the data of one lake for another's. `data=s3://BUCKET/PREFIX` puts the data into a
bucket, with that file; each host's suite then has a directory `lake/` of its own, for what is this host's alone, in
which a file of the same name names the bucket too.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from warehouse.buckets import BUCKET, Bucket, BucketRefused
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.postgres.servers import names_postgres, settings_of

LAKE_VARIABLE = "ALMANAC_LAKE"
LAKE_FILE = "lake.yaml"
#: What `lake.yaml` says of a suite whose lake is its own directory `lake/`.
HERE = "here"
#: The file in a lake's directory that names its catalogue in PostgreSQL.
MARKER = "catalogue.json"
_FORM = "postgresql://USER@HOST:PORT/DATABASE?data=/DIRECTORY"
_ADVICE = (
    "Leave the password out, and give it by PGPASSWORD, a passfile (~/.pgpass, PGPASSFILE) or a service file"
    " (postgresql://?service=NAME&data=/DIRECTORY)."
)


@dataclass(frozen=True)
class Address:
    """Where a lake with a catalogue in PostgreSQL is.

    Attributes
    ----------
    server
        The URL of the database, without the directory and without a password.
    data
        The directory that holds all files of the lake, as all hosts see it; of a lake in a bucket, this host's.
    bucket
        The URL of what holds the files instead, without a slash at its end; empty of a lake in a directory.
    """

    server: str
    data: Path
    bucket: str = ""

    @property
    def url(self) -> str:
        """The URL as ALMANAC_LAKE has it."""
        join = "&" if urlsplit(self.server).query else "?"
        return f"{self.server}{join}data={quote(self.bucket or str(self.data), safe='/:')}"

    def of_suite(self, suite_root: Path) -> Address:
        """Give it with this host's directory of a suite whose lake is in a bucket."""
        return replace(self, data=suite_root / "lake") if self.bucket else self


class Marker(NamedTuple):
    """What a lake's directory says of it: the URL of its catalogue, its id, and its bucket if it is in one."""

    server: str
    lake: str
    bucket: str = ""


def read_address(url: str, what: str) -> Address:
    """Read a URL of a lake; of one in a bucket, this host's directory is not known yet: see `Address.of_suite`.

    Parameters
    ----------
    url
        As ALMANAC_LAKE has it.
    what
        What holds it: the subject of errors.

    Raises
    ------
    UsageError
        If it is no such URL, or holds a password. What it is instead is not shown.
    """
    if not names_postgres(url) or "://" not in url:
        raise UsageError(f"{what} has to be of the form {_FORM}. {_ADVICE}")
    settings_of(url, what, _ADVICE)
    parsed = urlsplit(url)
    query = parse_qsl(parsed.query)
    places = [value for name, value in query if name == "data"]
    if len(places) != 1 or not places[0]:
        raise UsageError(f"{what} has to say where the lake's files lie, once, by data=/DIRECTORY: {_FORM}.")
    server = urlunsplit(parsed._replace(query=urlencode([pair for pair in query if pair[0] != "data"], safe="/")))
    data = places[0].removeprefix("file://")
    if data.startswith("s3://"):
        return Address(server, Path(), _checked_bucket(data.rstrip("/"), what))
    if "://" in data:
        raise UsageError(
            f"{what} puts the lake's files under {data.partition('://')[0]}://. Name a bucket that speaks S3's"
            " protocol, data=s3://BUCKET/PREFIX (docs/catalogues.md says which), or a directory that all hosts share,"
            " data=/DIRECTORY."
        )
    if not Path(data).is_absolute():
        raise UsageError(f"{what}: data={data} has to be an absolute path, the same on all hosts.")
    return Address(server, Path(data))


def _checked_bucket(url: str, what: str) -> str:
    """Refuse what is no `s3://BUCKET/PREFIX`; what it is instead may hold a key, and is not shown."""
    if not BUCKET.fullmatch(url):
        raise UsageError(
            f"{what}: data= has to be s3://BUCKET/PREFIX, of letters, digits and `._-`, with a prefix of the"
            " lake's own. Keys come from the environment or from AWS's files, never from the URL."
        )
    return url


def root_of_lake(suite_root: Path, catalogue_here: str) -> Path:
    """Give the directory of a suite's lake. One that is elsewhere learns here which catalogue it has.

    `catalogue_here` is the name of the file in a lake's directory that is its catalogue where that is in the directory.

    Raises
    ------
    UsageError
        If `lake.yaml` or the variable cannot be used, or say different things.
    """
    own = suite_root / "lake"
    file, variable = suite_root / LAKE_FILE, os.environ.get(LAKE_VARIABLE)
    of_file = read_lake_file(suite_root)
    if of_file is None and (file.exists() or not variable):
        return own
    of_variable = read_address(variable, f"the environment variable {LAKE_VARIABLE}") if variable else None
    address = of_variable.of_suite(suite_root) if of_variable else of_file
    assert address is not None
    if of_file is not None and of_file != address:
        raise UsageError(
            f"{file} and the environment variable {LAKE_VARIABLE} name different lakes; let only one of them say it."
        )
    if (own / catalogue_here).exists():
        raise UsageError(
            f"{own} holds a lake of its own, and {LAKE_FILE if of_file else LAKE_VARIABLE} names another one."
            " `almanac move-lake URL` moves this one there; to leave it, move the directory away."
        )
    if (address.data / catalogue_here).exists():
        raise UsageError(f"{address.data} holds a lake with a catalogue of its own; name another directory.")
    mark(address)
    return address.data


def read_lake_file(suite_root: Path) -> Address | None:
    """Read where a suite's `lake.yaml` says that its lake is; None if it is `here`, or there is no such file.

    Raises
    ------
    UsageError
        If it cannot be used.
    """
    file = suite_root / LAKE_FILE
    said = _read_file(file) if file.exists() else HERE
    return None if said == HERE else read_address(said, f"{file}: `lake`").of_suite(suite_root)


def write_lake_file(suite_root: Path, address: Address | None) -> None:
    """Say in a suite's `lake.yaml` where its lake is; None: in the directory `lake/`."""
    said = HERE if address is None else address.url
    text = f"# Where the lake is; see docs/catalogues.md. The password is not said here.\nlake: {said}\n"
    draft = suite_root / f".{LAKE_FILE}.{uuid.uuid4().hex[:8]}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(suite_root / LAKE_FILE)


def mark(address: Address) -> str:
    """Write into a lake's directory which catalogue it has, unless that stands there; give the lake's id.

    Raises
    ------
    UsageError
        If the directory is another catalogue's.
    RunFailed
        If it cannot be written.
    """
    marker = address.data / MARKER
    if not marker.exists():
        lake = _marked_in_bucket(address) if address.bucket else uuid.uuid4().hex
        draft = marker.with_name(f".{marker.name}.{uuid.uuid4().hex[:8]}")
        try:
            address.data.mkdir(parents=True, exist_ok=True)
            draft.write_text(_text(Marker(address.server, lake, address.bucket)))
            # Whoever is second takes what the first one has written.
            os.link(draft, marker)
        except FileExistsError:
            pass
        except OSError as error:
            raise RunFailed(
                f"the lake's directory {address.data} cannot be written to: {error}. See that it is mounted here."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
    found = read_marker(address.data)
    assert found is not None
    _require_same(found, address, marker)
    return found.lake


def _text(marker: Marker) -> str:
    said = {"catalogue": marker.server, "lake": marker.lake}
    return json.dumps(said | ({"bucket": marker.bucket} if marker.bucket else {})) + "\n"


def _require_same(found: Marker, address: Address, marker: Path | str) -> None:
    if found.bucket != address.bucket:
        raise UsageError(
            f"{address.data} is of a lake whose files are in {found.bucket or 'that directory'}, not in"
            f" {address.bucket or 'it'}: name that, or move the directory away."
        )
    if found.server != address.server:
        where = address.bucket or address.data
        raise UsageError(
            f"{where} holds the files of the lake whose catalogue is {found.server}, not {address.server}: name that"
            f" catalogue, or another place. (If the server was moved, correct {marker}. Where hosts reach it by"
            " different names, use a service file: postgresql://?service=NAME.)"
        )


def _marked_in_bucket(address: Address) -> str:
    """Write into a bucket which catalogue its lake has, unless that stands there; give the lake's id.

    Whoever is second takes what the first one has written: the object is put there only if there is none.
    """
    bucket, key = Bucket.of(f"{address.bucket}/{MARKER}")
    try:
        bucket.put_new(key, _text(Marker(address.server, uuid.uuid4().hex, address.bucket)))
        found = _marker(bucket.text(key) or "", f"{address.bucket}/{MARKER}")
    except BucketRefused as error:
        raise RunFailed(
            f"the lake's files cannot be put into {address.bucket}: {error}. Nothing else was changed; run this again."
        ) from error
    _require_same(found, address, f"{address.bucket}/{MARKER}")
    return found.lake


def read_marker(root: Path) -> Marker | None:
    """Read what a lake's directory says of a catalogue that is elsewhere; None if its catalogue is here."""
    try:
        return _marker((root / MARKER).read_text(encoding="utf-8"), root / MARKER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(root / MARKER, error) from error


def _marker(text: str, where: Path | str) -> Marker:
    try:
        said = json.loads(text)
        return Marker(str(said["catalogue"]), str(said["lake"]), str(said.get("bucket", "")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: Path | str, error: Exception) -> UsageError:
    return UsageError(f"{where} cannot be read: {error}. Put it back from a backup.")


def _read_file(file: Path) -> str:
    import yaml

    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read; it has to hold one line, `lake: URL` or `lake: {HERE}`.") from error
    if not isinstance(said, dict) or list(said) != ["lake"] or not isinstance(said["lake"], str):
        raise UsageError(f"{file} has to hold one line, `lake: {_FORM}` or `lake: {HERE}`.")
    return said["lake"]
