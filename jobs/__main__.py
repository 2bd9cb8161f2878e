"""`python -m jobs`, and `almanac`: the command line, once it is imported.

To import it takes some tenths of a second, in which Ctrl-C has nothing to put away: the process just ends.
"""

from __future__ import annotations

import os
import signal


def _end_at_once(number: int, frame: object) -> None:
    os.write(2, b"almanac: stopped before anything was begun.\n")
    os._exit(130)


def main() -> None:
    """Import the command line, and run it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    from jobs.cli import main as run

    run()


if __name__ == "__main__":
    main()
