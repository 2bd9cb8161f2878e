"""Buckets of S3, by boto3: it finds keys, region and another server than Amazon's wherever people keep them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from warehouse.errors import NotInstalled

_PART_BYTES = 1 << 20


class BucketRefused(Exception):
    """The server cannot be asked, or says no; the message says why and holds no secret."""


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
            import botocore.exceptions
        except ImportError as error:
            raise NotInstalled("to use s3:// run: pip install 'almanac[s3]'") from error
        self._of_server = botocore.exceptions.ClientError
        self._errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, boto3.exceptions.Boto3Error)
        with self._asking():
            self._client: Any = boto3.client("s3")

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

    def put(self, path: Path, key: str) -> None:
        """Let a file's bytes be an object: readers see all of it, or what was there before."""
        with self._asking():
            self._client.upload_file(str(path), self.name, key)

    def remove(self, key: str) -> None:
        """Delete an object, if it is there."""
        with self._asking():
            self._client.delete_object(Bucket=self.name, Key=key)
