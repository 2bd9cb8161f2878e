"""Values as people read them: times in the product's zone and in UTC, numbers, states with a sign and a colour."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

#: How each state looks. The word is shown, so that colour alone says nothing.
STATES: Mapping[str, str] = {
    **dict.fromkeys(("published", "live", "ok", "ran", "succeeded", "passed", "promote", "caught up"), "good"),
    **dict.fromkeys(("stale", "due", "warning", "waiting", "coalesced", "skipped", "hold", "undecided"), "warn"),
    **dict.fromkeys(("failed", "rejected", "late", "open", "error", "abort", "refused", "lost"), "bad"),
    **dict.fromkeys(("running", "next", "advance", "rolled back", "expected"), "info"),
}
#: Columns whose values are states.
_OF_STATES = frozenset({"state", "outcome", "result", "decision", "answer"})
_LONGEST_LIST = 12
_LONGEST_TEXT = 2_000
#: Columns that count something; other whole numbers may be names, such as a flight's.
_COUNTED = re.compile(r"^n_|^rows|_rows$|^bytes|memory|^(facts|pages|deliveries|scored|served|rejected)$")
#: Unicode has a picture of each control character; lines and tabs stay what they are.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
#: Parts of columns' names that are short in SQL.
_SAID = {"n": "number of", "cpu": "CPU", "id": "ID"}
#: Longer texts get room, so that their rows do not become tall.
_LONG = 36


@dataclass(frozen=True)
class Cell:
    """One value: its text, a second line, where it leads to (a path of the site), and how it looks."""

    text: str
    below: str = ""
    link: str | None = None
    look: str = ""
    instant: str = ""


@dataclass(frozen=True)
class Table:
    """Cells in rows under headings. `numbers` are the places of columns that are set to the right."""

    heads: list[str]
    rows: list[list[Cell]]
    numbers: frozenset[int] = frozenset()


#: Gives where a value of a row leads to, as a path of the site; None if nowhere.
Link = Callable[[Mapping[str, Any]], str | None]


def table(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    zone: ZoneInfo,
    links: Mapping[str, Link] | None = None,
    leave_out: Sequence[str] = (),
) -> Table:
    """Make a table of the rows of an answer."""
    links = links or {}
    shown = [place for place, name in enumerate(names) if name not in leave_out]
    cells = []
    for row in rows:
        by_name = dict(zip(names, row, strict=True))
        cells.append(
            [cell(row[n], zone, names[n], links[names[n]](by_name) if names[n] in links else None) for n in shown]
        )
    numbers = frozenset(
        place
        for place, n in enumerate(shown)
        if any(_is_number(row[n]) for row in rows) and all(row[n] is None or _is_number(row[n]) for row in rows)
    )
    return Table([names[n].replace("_", " ") for n in shown], cells, numbers)


def cell(value: Any, zone: ZoneInfo, name: str = "", link: str | None = None) -> Cell:
    """Make a cell of a value; instants are naive UTC."""
    if value is None:
        return Cell("", look="none", link=link)
    if isinstance(value, datetime):
        return instant(value, zone, link)
    look = STATES.get(str(value), "info") if name in _OF_STATES else ""
    text = f"{value:,}" if type(value) is int and _COUNTED.search(name) else words(value)
    kind = "id" if name.endswith("_id") else "long" if len(text) > _LONG else ""
    return Cell(text, link=link, look=f"state {look}" if look else kind)


def instant(value: datetime, zone: ZoneInfo, link: str | None = None) -> Cell:
    """Show an instant (naive UTC) in a zone, and in UTC below where that differs."""
    aware = value.replace(tzinfo=UTC)
    iso = aware.isoformat().replace("+00:00", "Z")
    try:
        local = aware.astimezone(zone)
    except OverflowError:
        return Cell(f"{value} UTC", link=link, instant=iso)
    if local.utcoffset() == aware.utcoffset() and str(zone) == "UTC":
        return Cell(f"{_clock(value)} UTC", link=link, instant=iso)
    utc = _clock(value) if local.date() != value.date() else _clock(value)[11:]
    return Cell(f"{_clock(local)} {local:%Z}", f"{utc} UTC", link, instant=iso)


def _clock(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value.second else f"{value:%Y-%m-%d %H:%M}"


def words(value: Any) -> str:
    """Write a value as a text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e5 or not math.isfinite(value) else f"{value:,.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {words(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - _LONGEST_LIST} more" if len(value) > _LONGEST_LIST else ""
        return ", ".join(words(each) for each in value[:_LONGEST_LIST]) + more
    text = shown(value.isoformat() if isinstance(value, date) else str(value))
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text)} characters)"


def label(name: str) -> str:
    """Write the name of a column as people read it."""
    found = " ".join(_SAID.get(part, part) for part in name.split("_"))
    return f"{found[:1].upper()}{found[1:]}"


def shown(text: str) -> str:
    """Give a text with a sign in the place of each control character, of which HTML has none."""
    return text.translate(_CONTROLS)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
