"""`almanac web`: a socket, and one process that answers on it, each page in a thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.suite import Clock, Suite
from jobs.web.serve import access, address_of, listening
from jobs.web.serve import require_packages as require_serving
from jobs.web.settings import ServeSettings
from warehouse.errors import UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette

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


def serve_site(
    root: Path, clock: Clock, host: str, port: int, told: Callable[[str], None], now_us: int | None = None
) -> None:
    """Show a suite's site until told to stop (SIGTERM, Ctrl-C).

    Parameters
    ----------
    host, port
        Where to listen; port 0 is one that is free.
    told
        Is called with the address once something listens.
    now_us
        What look-ups take the time for, in microseconds since 1970; None for the clock.

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
    with listening(host, port) as listener, tempfile.TemporaryDirectory(prefix="almanac-web-") as counts:
        config = Config(
            application(opened, token, hosts, look_up_service(opened.suite(), token, hosts, Path(counts), now_us)),
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        told(address_of(host, listener))
        Server(config).run(sockets=[listener])


def look_up_service(
    suite: Suite, token: str | None, hosts: Sequence[str], counts: Path, now_us: int | None = None
) -> Starlette | None:
    """Give the service that looks up in the suite's bundles; None where it has none, or its packages are not installed.

    Parameters
    ----------
    token, hosts
        As of the site.
    counts
        An empty directory of its own.
    now_us
        What to take the time for, in microseconds since 1970; None for the clock.
    """
    targets = [target for product in suite.definitions.products.values() for target in product.header.export.values()]
    bundles = tuple(suite.root / target.to for target in targets if target.kind == "bundle")
    if not bundles:
        return None
    try:
        require_serving()
    except UsageError:
        return None
    from jobs.web.application import application

    return application(ServeSettings(bundles, (), counts, token=token, hosts=tuple(hosts), now_us=now_us))
