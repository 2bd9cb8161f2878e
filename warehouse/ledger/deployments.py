"""Deployments: which definitions went live when, and what checks of definitions had found.

A deployment holds the texts of all definitions, so that what production runs can be compared with a working copy that
knows nothing of it. Which definitions are deployed is looked up here; whoever runs a job asks before it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.definitions import Definitions
from warehouse.errors import UsageError
from warehouse.lake.lake import Lake
from warehouse.ledger.records import records_of
from warehouse.ledger.texts import all_texts, fingerprint_of_texts


@dataclass(frozen=True)
class CheckResultRecord:
    """What `almanac check --record` found of a set of definitions; `result` is all of it as JSON.

    `definitions` is the hash of all texts; `lake_snapshot` what it was compared with.
    """

    TABLE: ClassVar[str] = "check_results"
    check_id: str
    definitions: str
    lake_snapshot: int
    passed: bool
    failures: list[str]
    result: str
    checked_at: datetime
    checked_by: str
    git_commit: str | None
    snapshot_id: int


@dataclass(frozen=True)
class Deployment:
    """A set of definitions that went live.

    Attributes
    ----------
    deployment
        Its number, from 1.
    definitions, files
        The hash of all texts, and the texts by their paths.
    forced, problems
        Whether it went live although something spoke against it, and what did.
    check_id
        The check that it went by; None of one that was forced without any.
    back_to
        The newest earlier deployment of the same definitions, where others were live in between.
    """

    TABLE: ClassVar[str] = "deployments"
    deployment: int
    definitions: str
    deployed_at: datetime
    deployed_by: str
    git_commit: str | None
    reason: str | None
    forced: bool
    problems: list[str]
    check_id: str | None
    back_to: int | None
    snapshot_id: int
    files: dict[str, str] = field(default_factory=dict, repr=False)


def deployments_of(connection: duckdb.DuckDBPyConnection) -> list[Deployment]:
    """Read all deployments, the oldest first."""
    return records_of(connection, Deployment, "ledger/deployments", [])


def newest_check(connection: duckdb.DuckDBPyConnection, definitions: str) -> CheckResultRecord | None:
    """Read the newest check of a set of definitions, by its hash."""
    found = records_of(connection, CheckResultRecord, "ledger/newest_check", [definitions])
    return found[0] if found else None


def require_deployed(lake: Lake, definitions: Definitions) -> None:
    """See that a suite's definitions are those that are live, where its suite.yaml says `deploy: required`.

    Raises
    ------
    UsageError
        If they are others, or none was ever deployed; the first files that differ are named.
    """
    if definitions.settings.deploy != "required":
        return
    live: Deployment | None = None
    if lake.exists():
        with lake.reading() as connection:
            live = next(iter(deployments_of(connection)[-1:]), None)
    texts = all_texts(definitions)
    if live is None:
        raise UsageError(
            "suite.yaml says `deploy: required`, and no definitions were deployed yet. Run `almanac deploy --reason"
            " ...` from the commit that is to be live."
        )
    if live.definitions != fingerprint_of_texts(texts):
        raise UsageError(
            f"suite.yaml says `deploy: required`, and these definitions are not those of deployment {live.deployment}:"
            f" {differing_files(live.files, texts)}. Put the files back to those of the deployment"
            f"{f' (commit {live.git_commit})' if live.git_commit else ''}, or check and deploy these: `almanac check"
            " --record`, then `almanac deploy --reason ...`."
        )


def differing_files(before: Mapping[str, str], after: Mapping[str, str], shown: int = 3) -> str:
    """Name the first files that differ between two sets of texts."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more} {'differs' if len(names) == 1 else 'differ'}"
