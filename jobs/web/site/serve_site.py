"""`almanac web`: a socket, and one process that answers on it, each page in a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobs.suite import Clock
from jobs.web.serve import access, address_of, listening
from warehouse.errors import UsageError

#: The variable that holds the token.
TOKEN = "ALMANAC_WEB_TOKEN"


def require_packages(*, to_serve: bool) -> None:
    """Refuse to go on where the packages are not installed that the site needs.

    Raises
    ------
    UsageError
        If one is lacking.
    """
    try:
        import jinja2  # noqa: F401

        if to_serve:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(f"to look at a suite, install almanac[web]: {error.name} is not installed.") from error


def serve_site(root: Path, clock: Clock, host: str, port: int, told: Callable[[str], None]) -> None:
    """Show a suite's site until told to stop (SIGTERM, Ctrl-C).

    Parameters
    ----------
    host, port
        Where to listen; port 0 is one that is free.
    told
        Is called with the address once something listens.

    Raises
    ------
    UsageError
        If other machines could ask, and there is no token.
    RunFailed
        If the port is taken.
    """
    token, hosts = access(host, TOKEN, "docs/web.md")
    from uvicorn import Config, Server

    from jobs.web.site.application import application
    from jobs.web.site.opened import OpenedSuite

    opened = OpenedSuite(root.resolve(), clock)
    opened.suite()
    with listening(host, port) as listener:
        config = Config(
            application(opened, token, hosts),
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        told(address_of(host, listener))
        Server(config).run(sockets=[listener])
