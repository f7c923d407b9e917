"""A dump from elsewhere fills a new database, whole and as its owner, or leaves nothing and says what to do."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import exchange_backup
import psycopg
import pytest
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.load import END, PLAIN, advice, command, load, pieces

from backup.conftest import write
from backup.test_restore import ask, databases, digest

NEW = "exchange_filled"
OWNER = "shop_keeper"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\x1f\x8b\x08", "is compressed by gzip: gunzip it"),
        (b"\x28\xb5\x2f\xfd", "is compressed by zstd: unzstd it"),
        (b"toc.dat\x00", "is a tar: make it with pg_dump -Fc"),
        (b"SELECT 1\x00", "this is no dump"),
        (b"", "this is no dump"),
        (b" \n", "this is no dump"),
    ],
)
def test_what_is_no_dump(head: bytes, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        command(head, NEW, "")


def test_it_is_read_as_the_owner_and_no_more() -> None:
    argv, variables = command(b"PGDMP\x01", NEW, OWNER)
    assert argv[0] == "pg_restore"
    assert {f"--role={OWNER}", "--no-owner", "--no-privileges"} <= set(argv)
    assert variables == {}
    argv, variables = command(b"--\n-- PostgreSQL database dump\n", NEW, OWNER)
    assert argv[0] == "psql"
    assert variables == {"PGOPTIONS": f"-c role={OWNER}"}


@pytest.mark.parametrize(
    ("said", "custom", "advised"),
    [
        ('ERROR:  permission denied to create extension "file_fdw"', True, ": only a superuser can make it"),
        ('ERROR:  extension "postgis" is not available', True, ": the server here hasn't that extension"),
        ("pg_restore: error: unsupported version (1.99) in file header", True, ": it was made by a newer pg_dump"),
        ('ERROR:  role "shop" does not exist', False, f": {PLAIN}"),
        ('ERROR:  role "shop" does not exist', True, ""),
        ('ERROR:  relation "x" does not exist', False, ""),
    ],
)
def test_what_to_do_about_it(said: str, custom: bool, advised: str) -> None:  # noqa: FBT001
    found = advice(said, custom=custom)
    assert found.startswith(advised)
    assert bool(found) == bool(advised)


def test_a_stream_that_ends_too_early() -> None:
    with pytest.raises(BackupError, match="5 of 9 bytes came: the connection was lost"):
        list(pieces(b"abc", io.BytesIO(b"de"), 9))
    assert b"".join(pieces(b"abc", io.BytesIO(b"defghi"), 5)) == b"abcde"


@pytest.fixture
def owner(libpq: None) -> Iterator[str]:
    """Return a role that is gone afterwards, with every database that a test has left."""
    del libpq
    before = databases()
    ask(f"CREATE ROLE {OWNER}")
    yield OWNER
    for name in map(str, databases() - before):
        ask(f'DROP DATABASE "{name}" WITH (FORCE)')
    ask(f"DROP ROLE {OWNER}")


@pytest.fixture
def dump(config: Config, owner: str) -> Callable[..., bytes]:
    """Return a function that dumps the database, whose tables belong to a role that nobody else knows."""
    del owner

    def made(*options: str) -> bytes:
        ask("CREATE ROLE shop_elsewhere; ALTER TABLE account OWNER TO shop_elsewhere", database=config.database)
        try:
            argv = ["pg_dump", f"--dbname={config.database}", *options]
            return subprocess.run(argv, capture_output=True, check=True).stdout
        finally:
            ask(
                "ALTER TABLE account OWNER TO tests; DROP OWNED BY shop_elsewhere; DROP ROLE shop_elsewhere",
                database=config.database,
            )

    return made


@pytest.mark.parametrize("options", [["-Fc"], ["--no-owner", "--no-privileges"]])
def test_everything_arrives_and_belongs_to_the_owner(
    config: Config, owner: str, dump: Callable[..., bytes], options: list[str]
) -> None:
    data = dump(*options)
    rows, apps = load(config, NEW, io.BytesIO(data + b"not ours"), len(data), owner)
    assert rows == {"account": 100, "public.posting": 2000}
    assert apps == 2
    assert digest(NEW, "account", "posting") == digest(config.database, "account", "posting")
    owners = ask("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", database=NEW)
    assert owners == [(owner,)]


@pytest.mark.parametrize("options", [["-Fc"], ["--no-owner"]])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_half_a_dump_is_none(
    config: Config, owner: str, dump: Callable[..., bytes], options: list[str], part: float
) -> None:
    data = dump(*options)
    before = databases()
    cut = data[: int(len(data) * part)]
    with pytest.raises(BackupError):
        load(config, NEW, io.BytesIO(cut), len(cut), owner)
    with pytest.raises(BackupError, match=f"{len(cut)} of {len(data)} bytes came"):
        load(config, NEW, io.BytesIO(cut), len(data), owner)
    assert databases() == before


def test_sql_that_was_cut_between_statements_is_noticed(config: Config, owner: str) -> None:
    data = b"CREATE TABLE account (id int);\n"
    with pytest.raises(BackupError, match="doesn't end with '-- PostgreSQL database dump complete'"):
        load(config, NEW, io.BytesIO(data), len(data), owner)
    assert NEW not in databases()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ALTER TABLE account OWNER TO shop_elsewhere;", f'role "shop_elsewhere" does not exist.*: {PLAIN}'),
        ("CREATE EXTENSION dblink; ", "permission denied to create extension .*: only a superuser can make it"),
        ("CREATE ROLE thief SUPERUSER;", "(permission denied to create role|must be superuser)"),
        ("COPY account FROM PROGRAM 'id';", "(permission denied to COPY|must be superuser)"),
    ],
)
def test_nothing_of_it_is_done_as_a_superuser(
    config: Config, owner: str, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    ask("CREATE ROLE shop_login LOGIN CREATEDB PASSWORD 'tests'")
    ask(f"GRANT {owner} TO shop_login")
    monkeypatch.setenv("PGUSER", "shop_login")
    data = f"CREATE TABLE account (id int);\n{text}\n{END.decode()}\n".encode()
    before = databases()
    try:
        with pytest.raises(BackupError, match=said):
            load(config, NEW, io.BytesIO(data), len(data), owner)
        assert databases() == before
    finally:
        monkeypatch.setenv("PGUSER", "tests")
        ask("DROP ROLE shop_login")


def test_the_command_reads_its_standard_input(
    config: Config, owner: str, dump: Callable[..., bytes], tmp_path: Path
) -> None:
    data = dump("-Fc")
    argv = [sys.executable, "-m", "exchange_backup", f"--config={write(config, tmp_path)}", "load"]
    argv += [f"--database={NEW}", f"--owner={owner}", f"--bytes={len(data)}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(exchange_backup.__file__).parents[1])}
    # There is no end of what it reads until it has ended.
    done: Any = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    done.stdin.write(data)
    done.stdin.flush()
    assert done.wait(60) == 0
    assert done.stdout.read().decode() == f"{NEW}\n"
    with psycopg.connect(dbname=NEW) as server:
        assert server.execute("SELECT count(*) FROM posting").fetchone() == (2000,)
