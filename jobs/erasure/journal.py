"""The journal of an erasure under way: who it is, until nothing is left of them but a hash.

Once the facts are deleted, nothing else tells which orders were the person's. So that a process that is killed can be
followed by one that goes on, what was found is written down first, and goes as the last step.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from jobs.erasure.person import Person
from warehouse.lake.places import ERASING
from warehouse.lake.storage.storage import Storage


@dataclass(frozen=True)
class Journal:
    """An erasure that has begun: its number, why, the person, and what was said of it before."""

    erasure_id: str
    reason: str | None
    person: Person
    told: dict[str, Any]


def begin(storage: Storage, person: Person, reason: str | None, told: dict[str, Any]) -> Journal:
    """Write down what is about to be erased."""
    journal = Journal(uuid.uuid4().hex[:12], reason, person, told)
    since = {source: known.isoformat() for source, known in person.since.items()}
    text = json.dumps({**asdict(journal), "person": {**asdict(person), "since": since}}, default=str)
    storage.write_note(ERASING, text)
    return journal


def read(storage: Storage) -> Journal | None:
    """Read the erasure that has begun and not ended, if there is one."""
    text = storage.note(ERASING)
    if text is None:
        return None
    found = json.loads(text)
    since = {source: datetime.fromisoformat(known) for source, known in found["person"].pop("since").items()}
    return Journal(**{**found, "person": Person(**found["person"], since=since)})


def end(storage: Storage) -> None:
    """Forget who it was."""
    storage.remove_note(ERASING)
