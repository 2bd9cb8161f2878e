"""Call a Python function as a job: `python -m jobs.schedule.processes.call package.module:function --as-of T`.

The function is looked up from the suite's directory, is called with `as_of` (naive UTC) as its only argument, and
fails by raising.
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
    sys.path.insert(0, str(Path.cwd()))
    function = getattr(importlib.import_module(module), name)
    function(arguments.as_of)


if __name__ == "__main__":
    main()
