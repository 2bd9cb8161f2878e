"""A run of the clock: what it was, what it did to the lake, and what it printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from jobs.schedule.files.redaction import redacted
from jobs.schedule.processes.runs import log_file
from jobs.web.parts import paths
from jobs.web.parts.cells import cell, label, shown
from jobs.web.parts.document import Document, Section
from jobs.web.parts.operations import ask_operations
from jobs.web.parts.seen import UTC_ZONE, Seen, section
from jobs.web.parts.times import as_instants
from warehouse.errors import NotFoundError

#: So much of a log's end is shown.
_SHOWN_BYTES = 65_536
#: What colours texts on a terminal.
_OF_TERMINALS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show one run of the clock."""
    number = int(names["run"]) if re.fullmatch(r"[1-9][0-9]{0,17}", names["run"]) else 0
    lake = seen.suite.lake.root
    asked = ask_operations(lake, "web/clock_run", number) if number else None
    if asked is None or not asked.rows:
        raise NotFoundError(f"the clock knows no run {names['run']}; runs are forgotten 400 days after they ended.")
    row = dict(zip(asked.names, as_instants(asked.names, asked.rows)[0], strict=True))
    facts = [(label(what), cell(value, UTC_ZONE, what)) for what, value in row.items() if value is not None]
    did = seen.ask("web/runs_of_lease", row["lease"])
    sections = [
        Section("What it is", facts=facts, operations=asked.sql),
        _printed(seen, log_file(lake, number, row["job"])),
        section("What it did to the lake", did, UTC_ZONE, nothing="No run of the ledger belongs to it."),
    ]
    return Document(paths.of_run(number), f"Run {number}, {row['job']}", sections, [("Clock", paths.CLOCK)])


def _printed(seen: Seen, log: Path) -> Section:
    """Show the end of what a run printed; secrets are blotted out as in all that the clock tells."""
    title, place = "What it printed", str(log.relative_to(seen.suite.root))
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _SHOWN_BYTES, 0))
            text = file.read(_SHOWN_BYTES).decode("utf-8", "replace")
    except OSError:
        return Section(title, [f"{place} is not there: it was cleared away, or is on another machine."])
    words = [
        f"{place}, {size:,} bytes"
        + (f", of which the last {_SHOWN_BYTES:,} are shown." if size > _SHOWN_BYTES else ".")
    ]
    lines = shown(_OF_TERMINALS.sub("", redacted(text).replace("\r\n", "\n")))
    command = f"tail -c {_SHOWN_BYTES} {shlex.quote(place)}"
    return Section(title, words if lines.strip() else [*words, "It printed nothing."], text=lines, commands=[command])
