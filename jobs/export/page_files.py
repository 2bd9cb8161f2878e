"""Targets that are folders: one file for each page, and a manifest, written last, that says which files count.

A page's file is never changed: a page that is published again gets another one, and the manifest, which is replaced
in one step, names that instead. The file that it named before stays until the export after, for readers that had read
the manifest before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from jobs.export.content import Content, require_rows
from jobs.export.folders import Folder
from jobs.export.target import Held, Owner
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.staged_files import sha256_of
from warehouse.system_sql import literal, quote

MANIFEST = "manifest.json"
#: The version of the manifest's own form.
_FORM = 1
_OPTIONS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json"}


@dataclass(frozen=True)
class PageFiles:
    """A folder with the pages of one product."""

    folder: Folder
    format: str
    owner: Owner

    @property
    def place(self) -> str:
        """Where it is."""
        return self.folder.place

    def held(self) -> Mapping[datetime, Held]:
        """Give the commits whose publications the manifest names, by page."""
        pages = self._manifest()["pages"]
        return {datetime.fromisoformat(page["as_of"]): _held(page) for page in pages}

    def _manifest(self) -> dict[str, Any]:
        """Read the manifest; an empty one if there is none.

        Raises
        ------
        UsageError
            If it is not one of this product's exports.
        """
        mine = {"almanac": _FORM, "suite": self.owner.suite_id, "product": self.owner.product}
        text = self.folder.text(MANIFEST)
        if text is None:
            return {**mine, "pages": [], "left": []}
        try:
            found = json.loads(text)
            theirs = {name: found.get(name) for name in mine}
        except (ValueError, AttributeError):
            theirs = {}
        if theirs != mine:
            raise UsageError(
                f"{self.place}{MANIFEST} was not written by exports of {self.owner.product} of this suite. Name another"
                " directory under `to`, or move this one away; nothing was written."
            )
        return dict(found)

    def send(self, connection: duckdb.DuckDBPyConnection, content: Content) -> int:
        """Write the page's file, then the manifest that names it."""
        manifest = self._manifest()
        name = f"{_stem(content.product, content.as_of)}-{content.snapshot_id}.{self.format}"
        with self.folder.writing(name, content.run_id) as temporary:
            n_rows = self._write(connection, temporary, content)
            digest, size = sha256_of(temporary), temporary.stat().st_size
        page = {
            "as_of": content.as_of.isoformat(),
            "file": name,
            "rows": n_rows,
            "bytes": size,
            "sha256": digest,
            "snapshot_id": content.snapshot_id,
            "published_at": content.published_at.isoformat(),
            "model_version": content.model_version,
            "exported_at": content.now.isoformat(),
        }
        self._name(manifest, page, content.run_id)
        return n_rows

    def _write(self, connection: duckdb.DuckDBPyConnection, temporary: Path, content: Content) -> int:
        query = content.select(lists_as_text=self.format == "csv")
        if self.format == "jsonl":
            self._require_numbers(connection, content)
        # DuckDB takes no parameter for where it copies to.
        row = connection.execute(f"COPY ({query}) TO {literal(str(temporary))} ({_OPTIONS[self.format]})").fetchone()
        n_rows = int(row[0]) if row else 0
        require_rows(content, n_rows, self.place)
        return n_rows

    def _require_numbers(self, connection: duckdb.DuckDBPyConnection, content: Content) -> None:
        """Refuse NaN and infinity, which JSON has no word for."""
        for name, kind in content.columns.items():
            if kind in ("DOUBLE", "FLOAT"):
                query = f"SELECT count(*) FROM {content.relation} WHERE NOT isfinite({quote(name)})"
                row = connection.execute(query).fetchone()
                if row and row[0]:
                    raise RunFailed(
                        f"{self.place} cannot hold `{name}` as JSON: {row[0]} rows of the page {content.as_of} are NaN"
                        " or infinite. Take `format: parquet`, or leave the column out by `columns`."
                    )

    def _name(self, manifest: dict[str, Any], page: dict[str, Any], run_id: str) -> None:
        """Write the manifest with a page in it, and remove the files that the manifest before this one left."""
        left = manifest["left"]
        before = [each["file"] for each in manifest["pages"] if each["as_of"] == page["as_of"]]
        others = [each for each in manifest["pages"] if each["as_of"] != page["as_of"]]
        manifest["pages"] = sorted([*others, page], key=lambda each: each["as_of"])
        manifest["left"] = [name for name in before if name != page["file"]]
        with self.folder.writing(MANIFEST, run_id) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        self._remove_left(left, manifest, page)

    def _remove_left(self, left: Sequence[str], manifest: dict[str, Any], page: dict[str, Any]) -> None:
        """Remove files that the manifest before this one left, and of the page those that killed exports made."""
        named = {*manifest["left"], *(each["file"] for each in manifest["pages"])}
        of_page = _stem(self.owner.product, datetime.fromisoformat(page["as_of"]))
        found = self.folder.names(f"{of_page}-")
        # The manifest is a file that anybody can edit: nothing but our own names is removed.
        ours = re.compile(re.escape(self.owner.product) + r"-\d{8}T\d{6}-\d+\.(parquet|csv|jsonl)")
        for name in {*left, *found} - named:
            if ours.fullmatch(name):
                self.folder.remove(name)


def _stem(product: str, as_of: datetime) -> str:
    return f"{product}-{as_of:%Y%m%dT%H%M%S}"


def _held(page: dict[str, Any]) -> Held:
    return Held(page["snapshot_id"], datetime.fromisoformat(page["published_at"]), page["rows"])
