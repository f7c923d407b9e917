"""A database of another server comes here whole, or not at all, and the other server is only read."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from exchange_backup import move
from exchange_backup.cli import main
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.source import counts, leading_to
from testing.server import FAST, Server

from backup.conftest import TABLES, environment, write
from backup.test_restore import ask, databases, digest

SHOP = "exchange_shop"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[dict[str, str]]:
    """Return libpq's variables for another server with a database."""
    server = Server(FAST)
    there = environment(server)
    with leading_to({**there, "PGDATABASE": "postgres"}):
        ask(f"CREATE DATABASE {SHOP}")
        with psycopg.connect(dbname=SHOP, autocommit=True) as connection:
            connection.execute(TABLES.encode())
    yield {**there, "PGDATABASE": SHOP}
    server.remove()


@pytest.fixture
def source(elsewhere: dict[str, str], libpq: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Point the program's source there; what tests make here is gone afterwards."""
    del libpq
    for name, value in elsewhere.items():
        monkeypatch.setenv(f"SOURCE_{name}", value)
    before = databases()
    yield elsewhere
    for name in map(str, databases() - before):
        ask(f'DROP DATABASE "{name}"')


def test_everything_arrives_and_the_source_stays_as_it_was(
    config: Config, source: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with leading_to(source):
        wanted = digest(SHOP, "account", "posting")
    before = {name: value for name, value in os.environ.items() if "PG" in name}
    file = write(config, tmp_path)
    assert main([f"--config={file}", "copy", "--database=exchange_moved"]) == 0
    assert capsys.readouterr().out == "exchange_moved\n"
    assert digest("exchange_moved", "account", "posting") == wanted
    assert {name: value for name, value in os.environ.items() if "PG" in name} == before
    with leading_to(source):
        assert digest(SHOP, "account", "posting") == wanted


def test_it_can_be_rehearsed_under_another_name_but_never_over_an_existing_one(
    config: Config, source: dict[str, str]
) -> None:
    del source
    assert move.copy(config, "exchange_first").rows == move.copy(config, "exchange_second").rows
    with pytest.raises(BackupError, match="database exchange_first exists: a restore never writes into one"):
        move.copy(config, "exchange_first")
    assert {"exchange_first", "exchange_second"} <= databases()


def test_what_does_not_arrive_is_told_and_leaves_nothing(
    config: Config, source: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del source
    one_less = lambda *a: {table: rows - 1 for table, rows in counts(*a).items()}  # noqa: E731
    monkeypatch.setattr("exchange_backup.restore.counts", one_less)
    with pytest.raises(BackupError, match=rf"exchange_moved is not what {SHOP} of .* holds: \w+ has \d+ rows, not"):
        move.copy(config, "exchange_moved")
    assert "exchange_moved" not in databases()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("SOURCE_PGDATABASE=", "SOURCE_PGDATABASE must say where the source is"),
        ("SOURCE_PGDATABASE=nowhere", "connect to nowhere"),
        ("SOURCE_PGPASSWORD=wrong", "password authentication failed"),
        ("SOURCE_PGPORT=1", "refused"),
    ],
)
def test_a_source_that_cannot_be_read(
    config: Config, source: dict[str, str], monkeypatch: pytest.MonkeyPatch, changed: str, said: str
) -> None:
    assert SHOP in source.values()
    monkeypatch.setenv(*changed.split("="))
    before = databases()
    with pytest.raises(BackupError, match=said):
        move.copy(dataclasses.replace(config, tables=()), "exchange_moved")
    assert databases() == before


def test_a_closed_source_is_read_and_not_written_until_it_is_open_again(
    config: Config, source: dict[str, str], tmp_path: Path
) -> None:
    file = write(config, tmp_path)
    insert = "INSERT INTO account VALUES (1000, 'late')"
    with leading_to(source):
        customer = psycopg.connect(dbname=SHOP, autocommit=True)
    assert main([f"--config={file}", "close"]) == 0
    with pytest.raises(psycopg.OperationalError):
        customer.execute(insert.encode())
    with leading_to(source), pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        ask(insert, database=SHOP)
    # Once more changes nothing.
    assert main([f"--config={file}", "close"]) == 0
    assert main([f"--config={file}", "copy", "--database=exchange_moved"]) == 0
    assert main([f"--config={file}", "reopen"]) == 0
    with leading_to(source):
        ask(insert, database=SHOP)
        ask("DELETE FROM account WHERE id = 1000", database=SHOP)


def test_a_session_that_may_not_be_ended_leaves_the_source_open(
    config: Config, source: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leading_to(source):
        ask("CREATE ROLE keeper LOGIN PASSWORD 'tests'")
        ask(f"ALTER DATABASE {SHOP} OWNER TO keeper")
        another = psycopg.connect(dbname=SHOP, autocommit=True)
    try:
        monkeypatch.setenv("SOURCE_PGUSER", "keeper")
        keeper = leading_to({**source, "PGUSER": "keeper"})
        with keeper, pytest.raises(BackupError, match=f"close {SHOP}: .*superuser"):
            move.close(SHOP)
        assert main([f"--config={write(config, tmp_path)}", "close"]) == 1
        another.execute("INSERT INTO account VALUES (1000, 'late')")
        another.execute("DELETE FROM account WHERE id = 1000")
    finally:
        another.close()
        with leading_to(source):
            ask(f"ALTER DATABASE {SHOP} OWNER TO tests; DROP ROLE keeper")
