"""Put each fault into a copy of the code, run the tests of its room, and name those that no test found.

    python -m tests.mutations [--only WORDS] [--tests PATH ...] [--sound]

Each fault takes as long as the first test that fails under it. `--sound` runs the same tests without any fault, to see
that what fails is the fault's doing. Ends with 1 if a fault was not found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.mutations.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
COPIED = ("jobs", "warehouse", "sql", "tests", "docs", "README.md", "schedules.yaml", "pyproject.toml")
#: Tests that take longer than this have not found the fault: a slow machine would find every one.
AT_MOST_S = 900
PASSED, FAILED = 0, 1


def copied() -> Path:
    """Copy the checkout, always to the same place: numba keeps what it compiled by the path of the source."""
    copy = Path(tempfile.gettempdir()) / f"almanac-mutations-{os.getuid()}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def import_what_is_not_ours() -> None:
    """Import libraries once, for all processes that are forked off this one; nothing of them is used here."""
    import duckdb  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import sklearn.ensemble  # noqa: F401
    import sqlglot  # noqa: F401
    import typer  # noqa: F401


def _run_pytest(tests: list[str]) -> int:
    import pytest

    try:
        options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-p", "tests.mutations.quickly", "--tb", "line"]
        return int(pytest.main([*options, *tests]))
    except BaseException:  # noqa: BLE001 - this process was forked, and must not go on as its parent would
        traceback.print_exc()
        return pytest.ExitCode.INTERNAL_ERROR


def outcome_of(copy: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run tests in a process of their own; gives pytest's exit code, and the last lines that it printed."""
    log = copy.with_suffix(".log")
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy)
        sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
        for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "jobs", "warehouse")]:
            del sys.modules[name]
        signal.alarm(AT_MOST_S)
        os._exit(_run_pytest([name for name in tests if (copy / name.partition("::")[0]).exists()]))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def try_fault(copy: Path, fault: Fault) -> tuple[bool, str]:
    """Run the tests under one fault; tells whether one of them failed, and what pytest said."""
    file = copy / fault.file
    text = file.read_text()
    if text.count(fault.before) != 1:
        raise SystemExit(f"{fault.file} holds {text.count(fault.before)} times what `{fault.name}` replaces")
    file.write_text(text.replace(fault.before, fault.after))
    try:
        code, said = outcome_of(copy, fault.tests)
    finally:
        file.write_text(text)
    if code == -signal.SIGALRM:
        return False, f"the tests took longer than {AT_MOST_S} s, and none had failed"
    if code not in (PASSED, FAILED):
        raise SystemExit(f"`{fault.name}`: pytest ended with {code}:\n{said}")
    return code == FAILED, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="faults whose name or file holds these words")
    parser.add_argument("--sound", action="store_true", help="run the tests without faults")
    chosen = parser.parse_args()
    faults = [fault for fault in FAULTS if not chosen.only or chosen.only in f"{fault.name} {fault.file}"]
    import_what_is_not_ours()
    copy = copied()
    if chosen.sound:
        code, said = outcome_of(copy, tuple(dict.fromkeys(test for fault in faults for test in fault.tests)))
        print(said)
        raise SystemExit(code)
    missed = []
    for fault in faults:
        began = time.monotonic()
        is_found, said = try_fault(copy, fault)
        lines = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))] or ["found"]
        by = lines[0] if is_found else f"NOT FOUND {said if said.startswith('the tests took') else ''}"
        print(f"{fault.file}: {fault.name}: {time.monotonic() - began:.0f} s: {by[:160]}", flush=True)
        missed += [] if is_found else [fault]
    print(f"\n{len(faults) - len(missed)} of {len(faults)} faults were found by a test.")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
