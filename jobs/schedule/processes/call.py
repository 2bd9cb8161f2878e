"""Call a Python function as a job: `python -m jobs.schedule.processes.call package.module:function --as-of T`.

The function is looked up in the suite's directory and among what is installed, is called with `as_of` (naive UTC) as
its only argument, and fails by raising. A module of the suite that bears the name of one that is installed is refused,
since the other one would be called.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from datetime import datetime
from pathlib import Path


def main() -> None:
    """Call the function that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m jobs.schedule.processes.call")
    parser.add_argument("function", metavar="package.module:function")
    parser.add_argument("--as-of", required=True, type=datetime.fromisoformat)
    arguments = parser.parse_args()
    module, _, name = arguments.function.partition(":")
    suite, top = Path.cwd(), module.partition(".")[0]
    # At the end: what Almanac and its libraries import later on is theirs, whatever the suite's files are called.
    sys.path.append(str(suite))
    found = importlib.import_module(module)
    own = [path for path in (suite / f"{top}.py", suite / top) if path.exists()]
    if own and suite.resolve() not in Path(found.__file__ or "/").resolve().parents:
        sys.exit(
            f"almanac: {own[0]} bears the name of a module that is installed; rename it, and what schedules.yaml has."
        )
    getattr(found, name)(arguments.as_of)


if __name__ == "__main__":
    main()
