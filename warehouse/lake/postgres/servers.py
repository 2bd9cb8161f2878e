"""How a PostgreSQL server is named: a URL that says where it is, and never holds a password.

The password comes from where libpq looks for it: PGPASSWORD, a passfile or a service file. Whatever stands in the text
by which DuckDB attaches a database is in its errors and in `duckdb_databases()`.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from warehouse.errors import UsageError

#: What a URL begins with that names a PostgreSQL database.
SCHEMES = ("postgresql", "postgres")
#: Settings of libpq that are secrets themselves.
_SECRET = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
#: A server that does not answer is told of after so long; one whose host is gone, after about a minute.
_SETTINGS = {
    "connect_timeout": "10",
    "application_name": "almanac",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


def names_postgres(value: str) -> bool:
    """Tell whether a value names a PostgreSQL database."""
    return value.partition(":")[0] in SCHEMES


def settings_of(url: str, what: str, advice: str) -> dict[str, str]:
    """Read a URL, `postgresql://USER@HOST:PORT/DATABASE?SETTING=VALUE`, as libpq's settings.

    Parameters
    ----------
    url
        Begins with one of `SCHEMES`.
    what
        What holds the URL: the subject of errors.
    advice
        What to do about a password, a sentence.

    Raises
    ------
    UsageError
        If it is no such URL, or holds a password. What it is instead is not shown.
    """
    try:
        parsed = urlsplit(url)
        parts = {"host": parsed.hostname, "port": parsed.port, "user": parsed.username}
        parts |= {"dbname": parsed.path.lstrip("/")}
        more = parse_qsl(parsed.query, keep_blank_values=True, strict_parsing=bool(parsed.query))
    except ValueError as error:
        raise UsageError(f"{what} cannot be read as a URL. {advice}") from error
    settings = {name: unquote(str(part)) for name, part in parts.items() if part}
    if parsed.password is not None or any(name.lower() in _SECRET for name, _ in more):
        raise UsageError(f"{what} holds a password, which would be in errors and logs. {advice}")
    if odd := [name for name, _ in more if not re.fullmatch("[a-z_]+", name)]:
        raise UsageError(f"{what} holds `{odd[0]}`, which is no setting of PostgreSQL's. {advice}")
    return _SETTINGS | settings | dict(more)


def connection_text(settings: dict[str, str]) -> str:
    """Write settings as libpq reads them: `name='value'`, one behind the other."""
    return " ".join(f"{name}='{_escaped(value)}'" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
