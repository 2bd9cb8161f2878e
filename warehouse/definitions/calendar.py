"""A product's calendar: days on which its pages are expected to differ (`monitor.calendar` of product.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from warehouse.definitions.yaml.yaml_text import read_yaml


@dataclass(frozen=True)
class Calendar:
    """Days on which pages are expected to differ, each with its name."""

    days: dict[date, str]

    def expects(self, day: date) -> str | None:
        """Give the name of a day on, before or after which pages may differ; None for an ordinary day."""
        for near in (timedelta(0), timedelta(days=1), timedelta(days=-1)):
            if (name := self.days.get(day + near)) is not None:
                return name
        return None


def read_calendar(path: Path, root: Path, problems: list[str], files: dict[str, str]) -> Calendar | None:
    """Read a calendar: a YAML list of dates, or names with a date or a list of dates each."""
    where = path.relative_to(root).as_posix()
    try:
        files[where] = path.read_text(encoding="utf-8")
        data = read_yaml(files[where], where).data
    except FileNotFoundError:
        problems.append(
            f"{where}, which `monitor.calendar` names, does not exist; write one date a line, as `- 2013-07-04`."
        )
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{where} cannot be read: {error}.")
        return None
    try:
        if isinstance(data, dict):
            named = TypeAdapter(dict[str, date | list[date]]).validate_python(data)
        else:
            named = {"": TypeAdapter(list[date]).validate_python(data)}
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(str(part) for part in wrong["loc"] if not str(part).startswith(("date", "list")))
        problems.append(
            f"{where}: expected dates such as 2013-07-04, or names with a date or a list of dates each;"
            f" {place or 'the file'}: {wrong['msg']}."
        )
        return None
    days = {}
    for name, listed in named.items():
        for day in listed if isinstance(listed, list) else [listed]:
            days[day] = name or str(day)
    return Calendar(days)
