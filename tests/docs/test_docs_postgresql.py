"""The examples of PostgreSQL in docs/sources.md and docs/targets.md, taken from there, against a server."""

from __future__ import annotations

import contextlib
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml

from jobs.suite import Suite, open_suite
from tests.command_line import said
from tests.conftest import NOW, PRODUCT, clock_at
from tests.export.targets import with_targets
from tests.lakes import rows
from tests.postgres_server import PASSWORD, Server, needs_postgres

pytestmark = needs_postgres
DOCS = Path(__file__).parents[2] / "docs"


def example(page: str) -> list[str]:
    """Give the indented blocks of a page's section on PostgreSQL."""
    (section,) = re.findall(r"^## PostgreSQL\n((?:(?!^## ).*\n)*)", (DOCS / page).read_text(), re.MULTILINE)
    return [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)]


def given(command: str, server: Server, database: str, patch: pytest.MonkeyPatch) -> list[str]:
    """Set the variables of a command line, with this server and its password in place of those that stand there."""
    words = shlex.split(command)
    for word in words[: words.index("almanac")]:
        name, value = word.split("=", 1)
        assert value == "..." or value.startswith("postgresql://")
        patch.setenv(name, PASSWORD if value == "..." else server.url(database))
    return words[words.index("almanac") + 1 :]


@pytest.fixture
def database(postgres: Server, tmp_path: Path) -> str:
    name = f"docs_{abs(hash(tmp_path)) % 10**9}"
    with contextlib.closing(postgres.connect()) as server:
        server.execute(f"CREATE DATABASE {name}")
    return name


def test_the_source_is_taken_in(
    postgres: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, header = example("sources.md")
    settings = header.replace("/* ...\n", "").replace("*/", "")
    asked = yaml.safe_load(settings)
    assert set(asked) == {"database", "query", "cursor", "overlap"}
    with contextlib.closing(postgres.connect(database)) as server:
        server.execute(
            "CREATE TABLE orders"
            " (id bigint, customer_id text, total numeric, placed_at timestamp, updated_at timestamp);"
            " INSERT INTO orders VALUES (1, 'a', 12.345, '2026-01-01 10:00', '2026-01-01 11:00'),"
            " (2, 'b', 7, '2026-01-01 12:00', '2026-01-01 12:00')"
        )
        sources = tmp_path / "shop/sql/sources"
        sources.mkdir(parents=True)
        select = "SELECT id, customer_id, total, placed_at, updated_at FROM read_parquet($files)"
        said_first = f"/*\ndescription: Orders.\nkey: [id]\nknown_at: updated_at\n{settings}*/\n{select}\n"
        (sources / "orders.sql").write_text(said_first)
        arguments = given(command, postgres, database, monkeypatch)
        said(tmp_path / "shop", *arguments)
        server.execute("INSERT INTO orders VALUES (3, 'c', 1, '2026-01-02 10:00', '2026-01-02 10:00')")
        said(tmp_path / "shop", *arguments)
    suite = open_suite(tmp_path / "shop", clock_at(NOW))
    held = rows(suite, "SELECT id, total::VARCHAR FROM sources.orders ORDER BY id")
    assert held == [(1, "12.35"), (2, "7.00"), (3, "1.00")]


def test_the_target_holds_what_is_current(
    postgres: Server, database: str, published: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = example("targets.md")
    (targets,) = re.findall(r"```yaml\n(export:\n.*?)```", (DOCS / "targets.md").read_text(), re.DOTALL)
    line = next(line for line in targets.splitlines() if "app_db" in line)
    arguments = given(command, postgres, database, monkeypatch)
    suite = with_targets(published, f"export:\n{line}\n")
    with contextlib.closing(postgres.connect(database)) as server:
        server.execute("CREATE SCHEMA app")
        said(suite.root, *arguments)
        listed = "order_id, probability"
        held = server.execute(f"SELECT {listed} FROM app.late_orders ORDER BY order_id").fetchall()
    assert held
    assert held == rows(
        open_suite(suite.root, clock_at(NOW)), f"SELECT {listed} FROM predictions.{PRODUCT}_current ORDER BY 1"
    )
