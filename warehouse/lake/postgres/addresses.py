"""Where a suite's lake is: in its directory `lake/` with SQLite, or where a URL says, with its catalogue in PostgreSQL.

    ALMANAC_LAKE='postgresql://USER@HOST/DATABASE?data=/shared/directory'

or the same in the suite's file `lake.yaml`, as `lake: URL`. `lake: here` there means the directory `lake/`, whatever
the variable says. The directory of the data is then the lake's; a file in it, `catalogue.json`, names the catalogue
and the lake, so that nobody takes the data of one lake for another's.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

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
        The directory that holds all files of the lake, as all hosts see it.
    """

    server: str
    data: Path

    @property
    def url(self) -> str:
        """The URL as ALMANAC_LAKE has it."""
        join = "&" if urlsplit(self.server).query else "?"
        return f"{self.server}{join}data={quote(str(self.data))}"


def read_address(url: str, what: str) -> Address:
    """Read a URL of a lake.

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
    data = places[0].removeprefix("file://")
    if "://" in data:
        raise UsageError(
            f"{what} puts the lake's files under {data.partition('://')[0]}://, and a lake in object storage is not"
            " built yet: name a directory that all hosts share (NFS, say), data=/DIRECTORY."
        )
    if not Path(data).is_absolute():
        raise UsageError(f"{what}: data={data} has to be an absolute path, the same on all hosts.")
    server = urlunsplit(parsed._replace(query=urlencode([pair for pair in query if pair[0] != "data"], safe="/")))
    return Address(server, Path(data))


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
    said = _read_file(file) if file.exists() else None
    if said == HERE or (said is None and not variable):
        return own
    of_file = read_address(said, f"{file}: `lake`") if said else None
    address = read_address(variable, f"the environment variable {LAKE_VARIABLE}") if variable else of_file
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


def write_lake_file(suite_root: Path, address: Address) -> None:
    """Say in a suite's `lake.yaml` where its lake is."""
    text = f"# Where the lake is; see docs/catalogues.md. The password is not said here.\nlake: {address.url}\n"
    (suite_root / LAKE_FILE).write_text(text, encoding="utf-8")


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
        draft = marker.with_name(f".{marker.name}.{uuid.uuid4().hex[:8]}")
        try:
            address.data.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"catalogue": address.server, "lake": uuid.uuid4().hex}) + "\n")
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
    server, lake = read_marker(address.data) or ("", "")
    if server != address.server:
        raise UsageError(
            f"{address.data} holds the files of the lake whose catalogue is {server}, not {address.server}: name that"
            f" catalogue, or another directory. (If the server was moved, correct {marker}. Where hosts reach it by"
            " different names, use a service file: postgresql://?service=NAME.)"
        )
    return lake


def read_marker(root: Path) -> tuple[str, str] | None:
    """Give the URL of the catalogue that a lake's directory names, and the lake's id; None if its catalogue is here."""
    try:
        said = json.loads((root / MARKER).read_text(encoding="utf-8"))
        return str(said["catalogue"]), str(said["lake"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{root / MARKER} cannot be read: {error}. Put it back from a backup.") from error


def _read_file(file: Path) -> str:
    import yaml

    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read; it has to hold one line, `lake: URL` or `lake: {HERE}`.") from error
    if not isinstance(said, dict) or list(said) != ["lake"] or not isinstance(said["lake"], str):
        raise UsageError(f"{file} has to hold one line, `lake: {_FORM}` or `lake: {HERE}`.")
    return said["lake"]
