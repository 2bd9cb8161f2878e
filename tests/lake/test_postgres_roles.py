"""Authors' queries read a catalogue in PostgreSQL by a role that may only SELECT, and passwords are told to nobody."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lake.shared_lakes import new_database, password
from tests.postgres_server import PASSWORD, USER, Server, needs_postgres
from warehouse.errors import AlmanacError, UsageError
from warehouse.lake.lake import Lake
from warehouse.lake.postgres import readers
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.readers import PASSWORD_VARIABLE, READER_VARIABLE, reader_of
from warehouse.sandbox import Sandbox

pytestmark = needs_postgres
OF_READER = "its own"


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    readers._known.clear()


def catalogue_of(lake: Lake) -> PostgresCatalogue:
    catalogue = lake.catalogue
    assert isinstance(catalogue, PostgresCatalogue)
    return catalogue


def reads_as(lake: Lake, statement: str = "SELECT session_user::text") -> Any:
    """Ask the server as what has got past the sandbox would."""
    with Sandbox(lake) as sandbox, contextlib.closing(sandbox.cursor()) as past_it:
        server = f"__ducklake_metadata_{sandbox.lake_name}"
        if not statement.startswith("SELECT"):
            # DuckDB has begun a transaction that only reads.
            out_of_it = f"COMMIT; BEGIN READ WRITE; {statement}; COMMIT"
            past_it.execute("CALL postgres_execute($1, $2)", [server, out_of_it])
            return None
        return past_it.execute(f"FROM postgres_query('{server}', $${statement}$$)").fetchall()[0][0]


def role_of(server: Server, name: str, *grants: str, database: str = "world") -> str:
    with server.connect(database) as administrator:
        if administrator.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchall():
            administrator.execute(f"DROP OWNED BY {name}")
            administrator.execute(f"DROP ROLE {name}")
        administrator.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{OF_READER}'")
        for grant in grants:
            administrator.execute(f"{grant} TO {name}")
    return name


READS = (
    "GRANT USAGE ON SCHEMA public",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES",
)


def test_what_gets_past_the_sandbox_may_only_select(world: Suite, postgres: Server) -> None:
    role = reads_as(world.lake)
    assert role == f"almanac_reader_{catalogue_of(world.lake).lake[:12]}"
    for statement, says in (
        ("DELETE FROM public.ducklake_snapshot", "permission denied for table"),
        ("INSERT INTO public.ducklake_snapshot_changes VALUES (0)", "permission denied for table"),
        ("CREATE TABLE public.mine (i INTEGER)", "permission denied for schema"),
        ("CREATE TEMPORARY TABLE mine (i INTEGER)", "permission denied to create temporary tables"),
        ("UPDATE almanac.writer SET fence = 0", "permission denied for schema"),
        (f"SET ROLE {USER}", "permission denied to set role"),
        (f"SET SESSION AUTHORIZATION {USER}", "permission denied to set session authorization"),
    ):
        with pytest.raises(duckdb.Error, match=says):
            reads_as(world.lake, statement)
    with pytest.raises(duckdb.Error, match="permission denied for schema almanac"):
        reads_as(world.lake, "SELECT lake FROM almanac.lake")
    # DuckLake's tables of later are read too; a role that somebody has dropped or changed is mended.
    with world.lake.commit("a new table") as commit:
        commit.execute("CREATE TABLE sources.new (i INTEGER)")
        commit.execute("INSERT INTO sources.new VALUES (1)")
    with Sandbox(world.lake) as sandbox, contextlib.closing(sandbox.cursor()) as cursor:
        assert cursor.execute(f"FROM {sandbox.catalogue}.sources.new").fetchall() == [(1,)]
    with postgres.connect("world") as administrator:
        for change in (f"ALTER ROLE {role} PASSWORD 'another'", f"DROP OWNED BY {role}; DROP ROLE {role}"):
            administrator.execute(change)
            readers._known.clear()
            assert reads_as(world.lake) == role
        # Somebody has let it write: it is not used any more, and `doctor` says so.
        administrator.execute(f"GRANT UPDATE ON almanac.writer TO {role}")
        readers._known.clear()
        assert reads_as(world.lake) == USER
        assert "read by the lake's own role" in " ".join(almanac(world.root, "doctor").stdout.split())
        administrator.execute(f"REVOKE UPDATE ON almanac.writer FROM {role}")


def test_a_role_can_be_named(world: Suite, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READER_VARIABLE, role_of(postgres, "reads_only", *READS))
    monkeypatch.setenv(PASSWORD_VARIABLE, OF_READER)
    assert reads_as(world.lake) == "reads_only"
    assert catalogue_of(world.lake).doubt() is None
    run_page(world, PRODUCT, PAGE)
    role_of(postgres, "writes", *READS, "GRANT INSERT ON public.ducklake_snapshot")
    for name, grants, says in (
        ("is_not_there", None, "is not there"),
        ("reads_less", READS[:1], "may not read all"),
        ("becomes_another", (*READS, "GRANT writes"), "become a role that does"),
    ):
        if grants is not None:
            role_of(postgres, name, *grants)
        monkeypatch.setenv(READER_VARIABLE, name)
        with pytest.raises(UsageError, match=says):
            run_page(world, PRODUCT, PAGE)
    monkeypatch.setenv(READER_VARIABLE, "reads_only")
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(AlmanacError, match="authentication failed") as refused:
        run_page(world, PRODUCT, PAGE)
    assert "wrong" not in str(refused.value)


def test_a_role_that_may_make_none_reads_by_itself_and_doctor_says_so(postgres: Server, tmp_path: Path) -> None:
    url = new_database(postgres, "owned")
    owner = role_of(postgres, "owner", database="owned")
    with postgres.connect() as administrator:
        administrator.execute(f"ALTER DATABASE owned OWNER TO {owner}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", OF_READER)
        place = f"{url.replace(USER, owner)}?data={tmp_path / 'data'}"
        made = almanac(tmp_path, "init", "--lake", place, str(tmp_path / "shop"))
        assert made.returncode == 0, made.stderr
        assert almanac(tmp_path / "shop", "ingest").returncode == 0
        suite = open_suite(tmp_path / "shop", clock_at(NOW))
        assert reads_as(suite.lake) == owner
        assert "read by the lake's own role" in " ".join(almanac(suite.root, "doctor").stdout.split())
        with postgres.connect() as administrator:
            administrator.execute(f"ALTER ROLE {owner} CREATEROLE")
        readers._known.clear()
        reader = reader_of(url.replace(USER, owner), catalogue_of(suite.lake).lake)
        assert reader is not None
        assert reads_as(suite.lake) == reader.role
        suite.lake.close()
    with postgres.connect("owned") as administrator:
        administrator.execute(f"DROP OWNED BY {reader.role}; DROP ROLE {reader.role}")


def _of_processes(file: str) -> list[str]:
    """Give a file of /proc of all processes that there are; of some of them nothing can be read."""
    found = []
    for path in Path("/proc").glob(f"[0-9]*/{file}"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b"\n").decode(errors="replace"))
    return found


def _what_is_seen(postgres: Server) -> list[str]:
    """Look at what other users see of the server's sessions and roles, and of processes."""
    with postgres.connect("world") as administrator:
        seen = [
            str(administrator.execute(f"SELECT * FROM {view}").fetchall()) for view in ("pg_stat_activity", "pg_roles")
        ]
    return seen + _of_processes("cmdline")


def _of_open_instances(lake: Lake, postgres: Server) -> list[str]:
    """Look at what DuckDB says of what it has attached."""
    seen = []
    with Sandbox(lake) as sandbox, lake.reading() as kept, contextlib.closing(sandbox.cursor()) as past_it:
        for connection in (kept, past_it):
            for place in ("duckdb_databases", "duckdb_settings", "duckdb_secrets", "duckdb_variables"):
                seen.append(str(connection.execute(f"SELECT * FROM {place}()").fetchall()))
        return seen + _what_is_seen(postgres)


def _of_commands(root: Path, *commands: list[str], ends: tuple[int, ...] = (0, 1, 2)) -> list[str]:
    seen = []
    for command in commands:
        done = almanac(root, *command)
        assert done.returncode in ends
        seen.append(done.stdout + done.stderr)
    return seen


def _of_a_run(world: Suite, postgres: Server, place: Path) -> list[str]:
    """Make a page in processes of their own, two of them for shards, which are given the password by a file."""
    passfile = place / "passfile"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:*:{USER}:{escaped}\n")
    passfile.chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"}
    environment["PGPASSFILE"] = str(passfile)
    command = [sys.executable, "-m", "jobs", "--suite", str(world.root), "run", PRODUCT, "--as-of", PAGE.isoformat()]
    seen = []
    with (place / "output").open("wb") as output:
        process = subprocess.Popen([*command, "--shards", "2", "--json"], env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            seen += _what_is_seen(postgres)
            seen += [text for text in _of_processes("environ") if f"PGPASSFILE={passfile}\n" in text]
    seen.append((place / "output").read_text())
    assert process.returncode == 0, seen[-1]
    assert any(f"PGPASSFILE={passfile}\n" in text for text in seen)
    assert any(f"run\n{PRODUCT}\n" in text for text in seen)
    return seen


def _of_errors(world: Suite, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a wrong password, with the right one in it."""
    world.lake.close()
    monkeypatch.setenv("PGPASSWORD", f"{PASSWORD}, wrong")
    seen = []
    for _ in range(2):
        with pytest.raises(AlmanacError, match="authentication failed") as refused:
            world.lake.newest_snapshot()
        seen += traceback.format_exception(refused.value)
    commands = (["status", "--json"], ["run", PRODUCT], ["doctor", "--json"], ["plan", PRODUCT])
    return seen + _of_commands(world.root, *commands, ends=(1, 2))


def test_passwords_are_in_nothing_that_anybody_can_read(
    world: Suite, postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In no output, error, log, setting or process list, here or of the server, which logs all that it is told."""
    catalogue = catalogue_of(world.lake)
    reader = reader_of(catalogue.server, catalogue.lake)
    assert reader is not None
    assert reader.password is not None
    assert reader.password not in repr(reader)
    secrets = {PASSWORD, PASSWORD.replace("'", "''"), PASSWORD.replace("\\", "\\\\"), reader.password}
    begins = len(postgres.log)
    with postgres.connect("world") as administrator:
        administrator.execute(f"ALTER ROLE {USER} SET log_statement = 'all'")
        administrator.execute(f"DROP OWNED BY {reader.role}; DROP ROLE {reader.role}")
    readers._known.clear()
    said = _of_open_instances(world.lake, postgres)
    said += _of_commands(world.root, ["doctor"], ["status", "--json"], ["query", "SELEC"], ["ticks", "--json"])
    said += _of_a_run(world, postgres, tmp_path)
    said += _of_errors(world, monkeypatch)
    files = [path for path in world.lake.root.rglob("*") if path.is_file()]
    said += [path.read_bytes().decode(errors="replace") for path in [*files, world.root / "lake.yaml"]]
    with postgres.connect("world") as administrator:
        administrator.execute(f"ALTER ROLE {USER} RESET log_statement")
    logged = postgres.log[begins:]
    assert "CREATE ROLE" in logged
    assert [text[:2000] for text in [*said, logged] if any(secret in text for secret in secrets)] == []
