"""Buckets of S3, by boto3: it finds keys, region and another server than Amazon's wherever people keep them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from warehouse.errors import NotInstalled

_PART_BYTES = 1 << 20
#: How many requests are under way at a time, at most.
AT_ONCE = 16
#: A place in a bucket in which a lake may lie: its characters mean themselves to DuckDB, to URLs and to S3.
BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{2,62}(/[A-Za-z0-9._-]+)+")


class BucketRefused(Exception):
    """The server cannot be asked, or says no; the message says why and holds no secret."""


class Version(NamedTuple):
    """A version of an object, or the mark of its deletion; `is_shown`: it is what readers of the key get."""

    key: str
    number: str
    is_shown: bool
    is_mark: bool


@dataclass(frozen=True)
class Way:
    """How a server of buckets is reached, and with which keys.

    Attributes
    ----------
    key_id, secret, token
        The keys; those that lapse have a token.
    region
        Of the bucket.
    server
        The URL of another server than Amazon's.
    style
        How it is asked for a bucket, `path` or `virtual`, if anybody has said so.
    """

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)
    region: str
    server: str | None
    style: str | None


class Bucket:
    """One bucket. Nothing is asked of the server before a method is called.

    Raises
    ------
    NotInstalled
        If the library that speaks to S3 is not there.
    BucketRefused
        By each method, if the server cannot be asked or says no.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            import boto3
            import botocore.config
            import botocore.exceptions
        except ImportError as error:
            raise NotInstalled("to use s3:// run: pip install 'almanac[s3]'") from error
        self._of_server = botocore.exceptions.ClientError
        self._errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, boto3.exceptions.Boto3Error)
        with self._asking():
            self._session = boto3.Session()
            at_once = botocore.config.Config(max_pool_connections=AT_ONCE)
            self._client: Any = self._session.client("s3", config=at_once)

    @classmethod
    def of(cls, url: str) -> tuple[Self, str]:
        """Give the bucket that a URL names, and the key in it."""
        name, _, key = url.removeprefix("s3://").partition("/")
        return cls(name), key

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise BucketRefused(f"{type(error).__name__}: {error}".rstrip(".")) from error

    def objects(self, prefix: str) -> list[dict[str, Any]]:
        """List the objects whose keys begin so, in that order, as S3 describes them (`Key`, `Size`, ...)."""
        with self._asking():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            found = [one for page in pages for one in page.get("Contents", [])]
        return sorted(found, key=lambda one: str(one["Key"]))

    def fetch(self, key: str, tag: str | None, path: Path) -> None:
        """Write an object to a file, if its tag still is the one that was listed."""
        only = {} if tag is None else {"IfMatch": tag}
        with self._asking(), path.open("wb") as stream:
            body = self._client.get_object(Bucket=self.name, Key=key, **only)["Body"]
            for part in body.iter_chunks(_PART_BYTES):
                stream.write(part)

    def text(self, key: str) -> str | None:
        """Read a small object as UTF-8; None if there is none."""
        with self._asking():
            try:
                return str(self._client.get_object(Bucket=self.name, Key=key)["Body"].read().decode())
            except self._of_server as error:
                if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                    return None
                raise

    def put_new(self, key: str, text: str) -> bool:
        """Make a small object, if there is none of that key; tell whether this one is there now."""
        with self._asking():
            try:
                self._client.put_object(Bucket=self.name, Key=key, Body=text.encode(), IfNoneMatch="*")
            except self._of_server as error:
                # The latter where two put it at once.
                if error.response.get("Error", {}).get("Code") in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return False
                raise
            return True

    def size(self, key: str) -> int | None:
        """Give how many bytes an object has; None if there is none."""
        with self._asking():
            try:
                return int(self._client.head_object(Bucket=self.name, Key=key)["ContentLength"])
            except self._of_server as error:
                if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                    return None
                raise

    def way(self) -> Way:
        """Give how the server is reached and with which keys, as of now: those that lapse are made anew by boto3.

        Raises
        ------
        BucketRefused
            If there are no keys.
        """
        with self._asking():
            found, meta = self._session.get_credentials(), self._client.meta
            keys = found.get_frozen_credentials() if found is not None else None
        if keys is None or not keys.access_key or not keys.secret_key:
            raise BucketRefused("no keys were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
        own = None if meta.endpoint_url.endswith((".amazonaws.com", ".amazonaws.com.cn")) else meta.endpoint_url
        style = (meta.config.s3 or {}).get("addressing_style")
        return Way(keys.access_key, keys.secret_key, keys.token, meta.region_name or "us-east-1", own, style)

    def put(self, path: Path, key: str) -> None:
        """Let a file's bytes be an object: readers see all of it, or what was there before."""
        with self._asking():
            self._client.upload_file(str(path), self.name, key)

    def keeps_versions(self) -> bool:
        """Tell whether the bucket keeps what is deleted or replaced, or ever did."""
        with self._asking():
            return "Status" in self._client.get_bucket_versioning(Bucket=self.name)

    def holds_back(self) -> bool:
        """Tell whether a rule of the bucket keeps versions from being deleted (object lock)."""
        with self._asking():
            try:
                found = self._client.get_object_lock_configuration(Bucket=self.name)
            except self._of_server as error:
                if error.response.get("Error", {}).get("Code") == "ObjectLockConfigurationNotFoundError":
                    return False
                raise
            return "Rule" in found.get("ObjectLockConfiguration", {})

    def versions(self, prefix: str) -> list[Version]:
        """List all versions of objects whose keys begin so, those that are shown last, and then marks of deletion."""
        with self._asking():
            pages = list(self._client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix))
        bodies = sorted(
            (one for page in pages for one in page.get("Versions", [])), key=lambda one: bool(one["IsLatest"])
        )
        marks = [one for page in pages for one in page.get("DeleteMarkers", [])]
        shown = [Version(one["Key"], one["VersionId"], bool(one["IsLatest"]), is_mark=False) for one in bodies]
        return [*shown, *(Version(one["Key"], one["VersionId"], is_shown=False, is_mark=True) for one in marks)]

    def remove_version(self, version: Version) -> None:
        """Delete one version for good."""
        with self._asking():
            self._client.delete_object(Bucket=self.name, Key=version.key, VersionId=version.number)

    def put_text(self, key: str, text: str) -> None:
        """Let a text be a small object."""
        with self._asking():
            self._client.put_object(Bucket=self.name, Key=key, Body=text.encode())

    def remove(self, key: str) -> None:
        """Delete an object, if it is there."""
        with self._asking():
            self._client.delete_object(Bucket=self.name, Key=key)
