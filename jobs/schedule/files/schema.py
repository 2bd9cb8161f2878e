"""Write the JSON Schema of schedules.yaml anew: `python -m jobs.schedule.files.schema`, after a change to its keys."""

from __future__ import annotations

import json
from pathlib import Path

from jobs.schedule.files.definitions import json_schema

SCHEMA = Path(__file__).with_name("schedules.schema.json")


def main() -> None:
    """Write the file."""
    SCHEMA.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
