"""The command line `almanac`: reads the clock, parses arguments, prints.

Exit codes: 0 done, 1 a run that failed, 2 a mistake in usage or definitions. Errors go to stderr without a
traceback; `--debug` shows it. `--suite` and `--debug` may stand before or after the command.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import typer

from jobs.cli.options import State, shared_options
from jobs.cli.output.breakages import explain
from jobs.cli.output.interrupts import STOPPED, watch_signals
from warehouse.errors import AlmanacError, Dropped

#: The modules of commands that run often, by command: each needs no other module, and to import and describe all
#: commands takes a tenth of a second.
ALONE = {
    "run": "pages",
    "evaluate": "pages",
    "explain": "pages",
    "plan": "backfill",
    "backfill": "backfill",
    "pages": "backfill",
    "ingest": "data",
    "query": "data",
    "train": "training",
    "retrain": "training",
    "export": "exports",
    "serve": "exports",
    "reader": "exports",
    "tick": "clock",
    "web": "exports",
}


def whole_app() -> typer.Typer:
    """Return the command line with all its commands, in the order in which `almanac --help` lists them."""
    from jobs.cli import (
        backfill,
        backups,
        checks,
        clock,
        data,
        exports,
        history,
        lineage,
        model_trials,
        models,
        monitoring,
        pages,
        rollouts,
        suites,
        training,
    )

    app = _empty_app()
    for module in (
        suites,
        checks,
        data,
        training,
        models,
        model_trials,
        rollouts,
        pages,
        backfill,
        history,
        exports,
        backups,
        monitoring,
        clock,
        lineage,
    ):
        module.add_commands(app)
    return app


def app_for(words: Sequence[str]) -> typer.Typer:
    """Return a command line that can run these words: one module's commands where they name one of `ALONE`."""
    command = next(iter(words[2:] if list(words[:1]) == ["--suite"] else words), None)
    if command not in ALONE:
        return whole_app()
    app = _empty_app()
    importlib.import_module(f"{__name__}.{ALONE[command]}").add_commands(app)
    return app


def _empty_app() -> typer.Typer:
    app = typer.Typer(
        name="almanac",
        help="Scheduled jobs that compute batch features, score them, and publish tables of predictions.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Plain help: importing rich for it would take a third of the time that help has.
        rich_markup_mode=None,
    )
    app.callback()(shared_options)
    return app


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    # At its end Python would look through everything once more, for up to a tenth of a second.
    atexit.register(gc.freeze)
    State.owns_process = True
    watch_signals()
    for stream in (sys.stdout, sys.stderr):
        # A value that the terminal's encoding lacks is written as an escape, and ends nothing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app_for(sys.argv[1:])()
    except AlmanacError as error:
        if State.debug:
            raise
        typer.echo(f"almanac: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, Dropped):
        _stop()
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # Here a command ends, whatever it was: a person is told in words, and `--debug` shows where.
        if State.debug:
            raise
        if _comes_of_a_signal(error):
            _stop()
        typer.echo(f"almanac: {explain(error)}", err=True)
        sys.exit(1)


def end_quickly(code: str | int | None) -> None:
    """End the process, unless something of it goes on: Python would take 0.04 s to take itself down.

    What is to be done at its end is done. DuckDB's instances are left as they are, as Python leaves them.
    """
    threads = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    # What watches a program, as profilers and debuggers do, has its say at Python's own end.
    if threads or sys.gettrace() or sys.getprofile() or isinstance(code, str):
        return
    # A signal comes too late now, and output that nobody takes is the matter of Python's own end.
    with contextlib.suppress(Dropped, OSError, ValueError):
        atexit._run_exitfuncs()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code or 0)


def _comes_of_a_signal(error: BaseException | None) -> bool:
    """Tell whether an error is what others made of `Dropped`, as a library does whose import was broken off."""
    while error is not None:
        # The text is what DuckDB 1.5 makes of Ctrl-C while a query of the main thread runs.
        if isinstance(error, Dropped) or (isinstance(error, RuntimeError) and str(error) == "Query interrupted"):
            return True
        error = error.__cause__ or error.__context__
    return False


def _stop() -> NoReturn:
    # A second signal would break off the waiting for what goes on in the background, in the middle of DuckDB's work.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    typer.echo(f"almanac: {STOPPED}", err=True)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            # One that the signal met on its start cannot be joined.
            with contextlib.suppress(RuntimeError):
                thread.join()
    atexit._run_exitfuncs()
    # Not by way of Python's own end: where an import was broken off it takes down modules that are half made, and
    # the process dies of a segmentation fault.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(130)
