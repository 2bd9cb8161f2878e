"""`almanac serve`: a socket, and processes that answer on it; one that dies is replaced (uvicorn's supervisor)."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.web.settings import HANGS_AFTER_S, KEEP_ALIVE_S, MOST_CONNECTIONS, ServeSettings
from warehouse.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette

#: The variable that holds the token, and how long that has to be.
TOKEN, SHORTEST_TOKEN = "ALMANAC_SERVE_TOKEN", 16
_WAITING_CLIENTS = 1_024
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def require_packages() -> None:
    """Refuse to go on where the packages are not installed that serving needs.

    Raises
    ------
    UsageError
        If one is lacking.
    """
    try:
        import httptools  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(f"to serve predictions, install almanac[serve]: {error.name} is not installed.") from error


def guarded(settings: ServeSettings, host: str) -> ServeSettings:
    """Give settings with the token of the environment, or with the names by which this machine alone is called.

    Raises
    ------
    UsageError
        If other machines could ask, and there is no token, or a short one.
    """
    token, hosts = access(host, TOKEN, "docs/serving.md")
    return replace(settings, token=token, hosts=hosts)


def access(host: str, variable: str, page: str) -> tuple[str | None, tuple[str, ...]]:
    """Give the token that requests have to bear, or, where only this machine can ask, the names that they may call it.

    Raises
    ------
    UsageError
        If other machines could ask, and the environment's `variable` holds no token, or a short one; `page` tells more.
    """
    token = os.environ.get(variable)
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(f"{variable} is shorter than {SHORTEST_TOKEN} characters, or has others than plain ones.")
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"--host {host}: other machines could ask, and there is no token. Put one into {variable}"
            f" (`openssl rand -hex 32`), and TLS in front ({page}), or leave out --host."
        )
    return token, () if token else _LOOPBACK_NAMES


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def serve(settings: ServeSettings, host: str, port: int, told: Callable[[str], None]) -> None:
    """Answer look-ups until told to stop (SIGTERM, Ctrl-C).

    Parameters
    ----------
    settings
        What is served, and to whom. `counts` is set here.
    host, port
        Where to listen; port 0 is one that is free.
    told
        Is called with the address once something listens.

    Raises
    ------
    RunFailed
        If the port is taken.
    """
    from uvicorn import Config
    from uvicorn.supervisors import Multiprocess

    from jobs.web.connections import GuardedProtocol

    with tempfile.TemporaryDirectory(prefix="almanac-serve-") as counts, listening(host, port) as listener:
        made = functools.partial(_application, replace(settings, counts=Path(counts)))
        config = Config(
            made,
            factory=True,
            workers=settings.processes,
            http=GuardedProtocol,
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
            timeout_worker_healthcheck=HANGS_AFTER_S,
            limit_concurrency=MOST_CONNECTIONS,
        )
        told(address_of(host, listener))
        Multiprocess(config, sockets=[listener]).run()


def address_of(host: str, listener: socket.socket) -> str:
    """Give the address of who listens, for people."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen, so that clients wait for whoever is to answer.

    Raises
    ------
    RunFailed
        If the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise RunFailed(f"{host}:{port} cannot be listened to: {error}. Give another --port.") from error
        # From here on clients wait for a process to come, and are not refused.
        listener.listen(_WAITING_CLIENTS)
        listener.set_inheritable(True)
        yield listener


def _application(settings: ServeSettings) -> Starlette:
    """Give the service, in the process that is to answer: nothing that it needs is imported before."""
    from jobs.web.application import application

    return application(settings)
