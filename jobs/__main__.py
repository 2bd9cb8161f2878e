"""`python -m jobs`, and `almanac`: the command line, once it is imported.

To import it takes some tenths of a second, in which Ctrl-C has nothing to put away: the process just ends.
"""

from __future__ import annotations

import gc
import os
import signal


def _end_at_once(number: int, frame: object) -> None:
    os.write(2, b"almanac: stopped before anything was begun.\n")
    os._exit(130)


def main() -> None:
    """Import the command line, and run it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    # Little that a command makes goes round in circles; looking for it at every 700 objects takes 3 % of its time, and
    # at the first 100,000, which what is imported and one page reach, once as much.
    gc.set_threshold(250_000)
    # numpy's linear algebra begins with threads that wait by spinning for some hundredths of a second. That they sleep
    # at once changes no result. OpenMP's would slow down everything else on a shared machine, us included.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # numpy asks for huge pages under each large array. Where the machine is a virtual one, its host has first to find
    # and to clear them, each time: that took a tenth of the CPU of a training, and nothing became faster by them.
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    # To look for plugins of pydantic in all that is installed takes a hundredth of a second; nothing here wants one.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from jobs.cli import end_quickly
    from jobs.cli import main as run

    try:
        run()
    except SystemExit as ended:
        end_quickly(ended.code)
        raise


if __name__ == "__main__":
    main()
