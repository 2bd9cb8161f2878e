"""Files that lie under `s3://`, `https://` or `http://`: listed, fetched whole, and told apart by their content.

An object is fetched into the ingestion's own directory, hashed, and read from there as any other file; the lake keeps a
copy of what it takes in, so that facts can be made anew without asking for it. One that has the size it had when it was
taken in, and was last written well before that, is not fetched again. One that is written to while it is read is not
what was listed, and is refused.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from warehouse.buckets import Bucket, BucketRefused
from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.ledger.recorded_deliveries import RecordedDelivery

#: How far a server's clock may be behind ours for what was written after it was taken in to be seen as new.
CLOCKS_APART = timedelta(hours=1)
#: So long a server may be silent.
TIMEOUT_S = 60
_PART_BYTES = 1 << 20
#: What a SELECT reads that looks at its files' names or folders, which a copy elsewhere does not have.
READS_NAMES = re.compile(r"\b(filename|hive_\w+)\b", re.IGNORECASE)
_PATTERN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]*\]|[^*?[]+|\[")


@dataclass(frozen=True)
class RemoteFile:
    """An object as listed.

    Attributes
    ----------
    modified_at
        When it was last written, naive UTC, by the server's clock; None if the server does not say.
    tag
        What the server tells its content by; None if it does not.
    """

    url: str
    bytes: int | None
    modified_at: datetime | None = None
    tag: str | None = None


@dataclass(frozen=True)
class TakenIn:
    """What was taken in of a source before: by URL and size, the hash and the newest instant.

    `copies` gives the directory of the lake's copy of a file, by its hash.
    """

    copies: Callable[[str], Path]
    files: Mapping[tuple[str, int], tuple[str, datetime]] = field(default_factory=dict)

    @classmethod
    def of(cls, copies: Callable[[str], Path], deliveries: Iterable[RecordedDelivery]) -> TakenIn:
        """Make it of the deliveries that the ledger has; the newest counts."""
        files: dict[tuple[str, int], tuple[str, datetime]] = {}
        for delivery in sorted(deliveries, key=lambda one: one.ingested_at):
            for file in delivery.files:
                files[file["path"], file["bytes"]] = (file["sha256"], delivery.ingested_at)
        return cls(copies, files)

    def copy_of(self, file: RemoteFile) -> Path | None:
        """Give the lake's copy of an object that surely is what was taken in."""
        if file.bytes is None or file.modified_at is None:
            return None
        sha256, at = self.files.get((file.url, file.bytes), ("", datetime.min))
        if not sha256 or file.modified_at + CLOCKS_APART >= at:
            return None
        return next((path for path in self.copies(sha256).glob("*") if path.stat().st_size == file.bytes), None)


def fetched(source: Source, pattern: str, directory: Path, taken: TakenIn | None) -> Iterator[tuple[str, Path]]:
    """Give the URL of each object that a pattern names, in the order of their names, and a file with its bytes.

    Raises
    ------
    IngestFailed
        If there is none, the server cannot be asked, or what it sends is cut or not what it listed; or if the SELECT
        reads the names of files, which are not those of the objects.
    NotInstalled
        If the library that speaks to S3 is not there.
    """
    if READS_NAMES.search(source.query.text):
        raise IngestFailed(
            f"{source.file.where}: the SELECT reads the names of its files, and `{pattern}` is fetched into a file of"
            " another name. Leave `filename` out of it, or fetch the files with a `loader`."
        )
    try:
        store = _Keys(pattern) if pattern.startswith("s3://") else _Page(pattern)
        listed = store.listed()
        if not listed:
            raise IngestFailed(
                f"{source.file.where}: no object matches `{pattern}`. Put the files there, or correct `files`."
            )
        for number, file in enumerate(listed):
            path = taken.copy_of(file) if taken is not None else None
            if path is None:
                path = directory / "fetched" / f"{number:06}" / _name_of(file.url)
                path.parent.mkdir(parents=True, exist_ok=True)
                store.fetch(file, path)
                _require_whole(source, file, path)
            yield file.url, path
    except (_Refused, BucketRefused) as error:
        raise IngestFailed(
            f"{source.file.where}: `{pattern}` cannot be read: {error}. Nothing was taken in; run this again when it"
            " can be."
        ) from error


def _require_whole(source: Source, file: RemoteFile, path: Path) -> None:
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise IngestFailed(
            f"{source.file.where}: of {file.url} came {size} bytes, and it has {file.bytes}. Nothing was taken in; run"
            " this again."
        )


def _name_of(url: str) -> str:
    """Give the last part of a URL's path, as the name of a file."""
    return re.sub(r"[^\w.=-]", "_", urllib.parse.unquote(url).rpartition("/")[2]) or "file"


class _Refused(Exception):
    """A site cannot be asked, or says no; the message says why."""


class _Keys:
    """Objects of an S3 bucket, by a key in which `*`, `**`, `?` and `[...]` mean what they mean in a path."""

    def __init__(self, pattern: str) -> None:
        name, _, self._key = pattern.removeprefix("s3://").partition("/")
        self._bucket = Bucket(name)

    def listed(self) -> list[RemoteFile]:
        """List what matches, in the order of their keys; a key that is the pattern itself is that object."""
        found = self._bucket.objects(re.split(r"[*?[]", self._key)[0])
        matches = re.compile(_as_expression(self._key))
        chosen = [one for one in found if one["Key"] == self._key] or [
            one for one in found if matches.fullmatch(one["Key"]) and not one["Key"].endswith("/")
        ]
        return [
            RemoteFile(
                f"s3://{self._bucket.name}/{one['Key']}",
                int(one["Size"]),
                one["LastModified"].astimezone(UTC).replace(tzinfo=None),
                one["ETag"],
            )
            for one in chosen
        ]

    def fetch(self, file: RemoteFile, path: Path) -> None:
        """Write an object to a file, if it still is the one that was listed."""
        self._bucket.fetch(file.url.removeprefix(f"s3://{self._bucket.name}/"), file.tag, path)


def _as_expression(pattern: str) -> str:
    """Say as a regular expression what a pattern of a path matches."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "[": r"\["}
    parts = []
    for part in _PATTERN.findall(pattern):
        if part in words:
            parts.append(words[part])
        elif part.startswith("["):
            inside = part[1:-1].replace("\\", r"\\")
            parts.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
        else:
            parts.append(re.escape(part))
    return "".join(parts)


class _Page:
    """The one file that a URL under http or https names."""

    def __init__(self, url: str) -> None:
        self._url = url

    def listed(self) -> list[RemoteFile]:
        """Ask for its size and when it was written; a server that does not answer that is asked for all of it."""
        try:
            with self._answer("HEAD") as answer:
                return [self._described(answer)]
        except _Refused as error:
            if error.__cause__ is None or getattr(error.__cause__, "code", None) not in (403, 405, 501):
                raise
            return [RemoteFile(self._url, None)]

    def _described(self, answer: Any) -> RemoteFile:
        size, written = answer.headers.get("Content-Length"), answer.headers.get("Last-Modified")
        modified = email.utils.parsedate_to_datetime(written).astimezone(UTC) if written else None
        return RemoteFile(
            self._url,
            int(size) if size and size.isdigit() else None,
            modified.replace(tzinfo=None) if modified else None,
            answer.headers.get("ETag"),
        )

    def fetch(self, file: RemoteFile, path: Path) -> None:
        """Write it to a file, if it still is the one that was described."""
        with self._answer("GET") as answer, path.open("wb") as stream:
            now = self._described(answer)
            if file.tag is not None and now.tag != file.tag:
                raise _Refused("it was written to meanwhile")
            try:
                while part := answer.read(_PART_BYTES):
                    stream.write(part)
            except (OSError, http.client.HTTPException) as error:
                raise _Refused(f"it broke off: {error!r}") from error
            if now.bytes is not None and stream.tell() != now.bytes:
                raise _Refused(f"it broke off after {stream.tell()} of {now.bytes} bytes")

    @contextlib.contextmanager
    def _answer(self, method: str) -> Iterator[Any]:
        # Its bytes are hashed as they are: no encoding is asked for.
        request = urllib.request.Request(self._url, method=method, headers={"Accept-Encoding": "identity"})
        try:
            answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
        except (OSError, http.client.HTTPException) as error:
            raise _Refused(str(error)) from error
        with answer:
            if self._url.startswith("https:") and not answer.geturl().startswith("https:"):
                raise _Refused("it leads away from https")
            yield answer
