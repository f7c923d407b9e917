"""The dump is taken from a standby that has caught up, and from the primary when there is none."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from testing.server import FAST, Server

from backup.conftest import back_up

# Another address of loopback, so that both have the same port, as behind two Services.
ADDRESS = "127.0.0.2"


class Standby(Server):
    """A standby of another server."""

    def __init__(self, primary: Server) -> None:
        """Copy the primary and start."""
        self.settings = {**FAST, "hot_standby_feedback": "on"}
        self.bin, self.user, self.port = primary.bin, primary.user, primary.port
        self.folder = Path(tempfile.mkdtemp(prefix="exchange-tests-"))
        shutil.chown(self.folder, self.user)
        self._run(
            "pg_basebackup",
            f"--pgdata={self.folder}/data",
            f"--dbname={url(primary)}",
            "--write-recovery-conf",
            "--no-sync",
        )
        # As initdb leaves it, only 127.0.0.1 may log in.
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.0/8 scram-sha-256\n")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        super()._run(
            program, *(word.replace("listen_addresses=127.0.0.1", f"listen_addresses={ADDRESS}") for word in arguments)
        )


@pytest.fixture(scope="module")
def standby(postgres: Server) -> Iterator[Standby]:
    """Return a standby, which streams."""
    with psycopg.connect(url(postgres), autocommit=True) as server:
        server.execute("CHECKPOINT")
    made = Standby(postgres)
    yield made
    made.remove()


def url(server: Server) -> str:
    """Return how libpq gets to a server."""
    return f"host=127.0.0.1 port={server.port} user=tests password=tests dbname=postgres"


@pytest.fixture
def from_replica(config: Config, standby: Standby) -> Config:
    """Return a configuration that names the standby."""
    del standby
    with psycopg.connect(dbname=config.database, autocommit=True) as server:
        row = server.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    reached = f"SELECT pg_last_wal_replay_lsn() >= '{row[0]}'"
    deadline = time.monotonic() + 30
    while not on_standby(dataclasses.replace(config, database="postgres"), reached):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return dataclasses.replace(config, replica_host=ADDRESS, replica_wait_seconds=20)


def on_standby(config: Config, query: str) -> object:
    with psycopg.connect(dbname=config.database, host=ADDRESS, autocommit=True) as server:
        row = server.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_a_standby_that_has_caught_up_is_dumped(from_replica: Config) -> None:
    with psycopg.connect(dbname=from_replica.database) as server:
        server.execute("INSERT INTO account VALUES (5000, 'just now')")
    made = back_up(from_replica)
    assert made.database.source == "replica"
    assert made.database.rows["account"] == 101


def test_a_standby_that_is_behind_is_waited_for(from_replica: Config, caplog: pytest.LogCaptureFixture) -> None:
    on_standby(dataclasses.replace(from_replica, database="postgres"), "SELECT pg_wal_replay_pause()")
    try:
        with psycopg.connect(dbname=from_replica.database) as server:
            server.execute("INSERT INTO account VALUES (5001, 'unseen')")
        made = back_up(dataclasses.replace(from_replica, replica_wait_seconds=1))
        assert f"{ADDRESS} is behind: not at " in caplog.text
    finally:
        on_standby(dataclasses.replace(from_replica, database="postgres"), "SELECT pg_wal_replay_resume()")
    # Not in time, so the primary is dumped, and nothing is missing.
    assert made.database.source == "primary"
    assert made.database.rows["account"] == 101


def test_without_a_standby_the_primary_is_dumped(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    made = back_up(dataclasses.replace(config, replica_host="127.0.0.3"))
    assert made.database.source == "primary"
    assert "dump from the primary: connect to" in caplog.text


def test_a_standby_is_no_primary(config: Config, standby: Standby, monkeypatch: pytest.MonkeyPatch) -> None:
    del standby
    with monkeypatch.context() as patch:
        patch.setenv("PGHOST", ADDRESS)
        with pytest.raises(BackupError, match="PGHOST leads to a standby"):
            back_up(dataclasses.replace(config, database="postgres"))
