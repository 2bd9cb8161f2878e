"""Every error that Almanac raises on purpose.

    AlmanacError
    ├── UsageError             exit 2: the caller has to change something before it can work
    │   ├── DefinitionError    a file of the suite is wrong; carries every problem found
    │   │   └── QueryRefused   an author's query is not one that the sandbox can vouch for
    │   ├── NotFoundError      a product, source, page or version that does not exist
    │   └── LakeFormatError    the lake was made by a version that this one cannot read
    └── RunFailed              exit 1: the work was understood, tried, and did not succeed
        ├── IngestFailed       a delivery could not be read as its source declares it
        │   ├── FileRefused    what a file holds is not what its source says it is
        │   ├── NotInstalled   the package that holds a source's files is not there
        │   ├── DeliveryRefused  a delivery that may lack facts by mistake; nothing of it was taken in
        │   └── FilesSetAside  files could not be read; everything else was taken in
        ├── ScoringFailed      the model refused the rows it was given
        │   └── ArmFailed      a challenger of a rollout did, or its rows broke a check
        └── PublishFailed      the commit did not take place; the earlier page stays

A message says what failed, on which thing, what was expected, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AlmanacError(Exception):
    """The root: anything that a user of Almanac can act on. `exit_code` is what the command line returns."""

    exit_code = 1


class Dropped(BaseException):
    """What is in hand is dropped, since a signal said so. Not caught by whoever goes on after an error."""


class UsageError(AlmanacError):
    """The request cannot be carried out as it stands."""

    exit_code = 2


class DefinitionError(UsageError):
    """One or more files of the suite are wrong. `problems` holds one sentence each, with file and line."""

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class QueryRefused(DefinitionError):
    """The query holds something that the sandbox does not know to be safe."""


class NotFoundError(UsageError):
    """The named thing does not exist; the message names what does."""


class LakeFormatError(UsageError):
    """The lake's format is not one that this version of Almanac can read or write."""


class RunFailed(AlmanacError):
    """The work was tried and did not succeed; what was published before is still there."""


class IngestFailed(RunFailed):
    """A delivery could not be read as its source declares it; nothing of it was taken in."""


class FileRefused(IngestFailed):
    """What a file holds cannot be read as its source is; the message says why in one line."""


class NotInstalled(IngestFailed):
    """The package that holds a source's files is not installed; the message says what to install."""


class DeliveryRefused(IngestFailed):
    """Complete deliveries may lack facts by mistake, and nothing of them was taken in; `results` are of all else."""

    def __init__(self, refused: Sequence[str], results: Sequence[Any]) -> None:
        self.results = results
        super().__init__("\n".join(refused))


class FilesSetAside(IngestFailed):
    """Files could not be read and are set aside; `results` are of everything else. `refused` are deliveries besides."""

    def __init__(self, files: Sequence[str], results: Sequence[Any], refused: Sequence[str] = ()) -> None:
        self.results = results
        what = "1 file is" if len(files) == 1 else f"{len(files)} files are"
        rest = "the rest" if refused else "everything else"
        super().__init__(
            "\n".join([*refused, f"{what} set aside, and {rest} was taken in:", *files])
            + "\nCorrect the file or its source's SELECT and run `almanac ingest` again, or leave it alone with"
            ' `almanac ingest --forget FILE`. They are listed by: almanac query "FROM rejects.files"'
        )


class ScoringFailed(RunFailed):
    """The model refused the rows that it was given."""


class ArmFailed(ScoringFailed):
    """A challenger of a rollout refused rows that the live version scored, or its own rows broke a check.

    `version` is the challenger; None where it is not known which of several it was.
    """

    def __init__(self, version: str | None, why: str) -> None:
        super().__init__(why)
        self.version = version


class PublishFailed(RunFailed):
    """The commit did not take place. The page that was there before is still there."""
