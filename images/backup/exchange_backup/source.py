"""The database that is backed up: one snapshot, out of which come the dump and everything the manifest says of it.

How to reach it is libpq's own affair: PGHOST, PGPORT, PGUSER, PGPASSWORD or PGPASSFILE, PGSSLMODE, PGSSLROOTCERT.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Database

LOG: Final = logging.getLogger(__name__)
CONNECT_SECONDS: Final = 10
KEEPALIVE_SECONDS: Final = 60
POLL_SECONDS: Final = 0.2
# "backup" in ASCII: held by the job for as long as it runs.
LOCK: Final = 0x6261636B7570
LOCK_WAIT_MILLISECONDS: Final = 300_000
# Nothing may end our sessions but ourselves: they are idle while pg_dump works, and pg_dump reads nothing as long as
# S3 takes nothing, which tcp_user_timeout counts as a dead client.
NO_TIMEOUTS: Final = " ".join(
    f"-c {name}=0"
    for name in (
        "statement_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "tcp_user_timeout",
    )
)

FACTS: Final = """
SELECT current_setting('server_version') AS server_version,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS wal_lsn,
       pg_database_size(current_database()) AS bytes,
       to_regclass('django_migrations') IS NOT NULL AS is_django
"""
MIGRATIONS: Final = "SELECT DISTINCT ON (app) app, name FROM django_migrations ORDER BY app, id DESC"


@dataclass(frozen=True)
class Snapshot:
    """A moment of the database; valid as long as the block that made it."""

    id: str
    facts: Database
    environment: dict[str, str]
    counting: Future[dict[str, int]]

    def counted(self) -> Database:
        """Return the facts with the rows of tables, which are counted while the dump is made."""
        return dataclasses.replace(self.facts, rows=self.counting.result())

    def dump_command(self, compression: str) -> list[str]:
        """Return the pg_dump of this moment."""
        return [
            "pg_dump",
            "--format=custom",
            f"--compress={compression}",
            f"--snapshot={self.id}",
            f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}",
            "--no-password",
            f"--dbname={self.facts.name}",
        ]

    def globals_command(self, *, role_passwords: bool) -> list[str]:
        """Return the pg_dumpall of roles and tablespaces. Passwords' verifiers can be read by superusers alone."""
        hidden = [] if role_passwords else ["--no-role-passwords"]
        return ["pg_dumpall", "--globals-only", *hidden, "--no-password", f"--database={self.facts.name}"]


def connect(database: str, **others: Any) -> psycopg.Connection[dict[str, Any]]:
    """Return a connection.

    Raises:
        BackupError: there is none to be had.
    """
    options: dict[str, Any] = {
        "dbname": database,
        "application_name": "exchange-backup",
        "connect_timeout": CONNECT_SECONDS,
        # They are idle for hours; what lies between must not forget them.
        "keepalives_idle": KEEPALIVE_SECONDS,
        "options": NO_TIMEOUTS,
        **others,
    }
    try:
        return psycopg.connect(autocommit=True, row_factory=psycopg.rows.dict_row, **options)
    except psycopg.Error as error:
        where = others.get("host") or "the database server"
        raise BackupError(f"connect to {database} on {where}: {one_line(error)}") from error


@contextmanager
def leading_to(variables: Mapping[str, str]) -> Iterator[None]:
    """Have libpq's variables lead elsewhere while the block runs."""
    before = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    try:
        for name in before:
            del os.environ[name]
        os.environ.update(variables)
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)


def one_line(error: BaseException) -> str:
    """Return an error of PostgreSQL's in one line."""
    return " ".join(str(error).split())


@contextmanager
def snapshot(config: Config) -> Iterator[Snapshot]:
    """Take a snapshot, from a replica if one has caught up, and hold it while the block runs.

    Raises:
        BackupError: another backup of this database runs, or the database doesn't do what it should.
    """
    with connect(config.database) as primary:
        lsn = _begin(primary, config.database)
        reading, source = _reader(config, primary, lsn)
        try:
            with reading.transaction(), ThreadPoolExecutor(1, thread_name_prefix="count") as pool:
                try:
                    yield _look(reading, config, source, pool)
                except BaseException:
                    # Why it ended matters more than whether the count could be stopped.
                    with contextlib.suppress(psycopg.Error):
                        reading.cancel_safe()
                    raise
        except psycopg.Error as error:
            raise BackupError(f"read {config.database} on the {source}: {one_line(error)}") from error
        finally:
            if reading is not primary:
                reading.close()


def _begin(primary: psycopg.Connection[dict[str, Any]], database: str) -> str:
    """Keep other jobs away, and return how far the primary's WAL is."""
    if _one(primary, "SELECT pg_is_in_recovery() AS found"):
        raise BackupError(f"PGHOST leads to a standby of {database}: name the primary; replica_host is for standbys")
    if not _one(primary, f"SELECT pg_try_advisory_lock({LOCK}) AS found"):
        raise BackupError(f"another backup of {database} is running: wait for it, or end its job")
    # A commit that is waited for also writes out whatever was acknowledged before it, with synchronous_commit off too.
    primary.execute("SET synchronous_commit = local")
    primary.execute("SELECT pg_logical_emit_message(true, 'exchange-backup', 'begin')")
    return str(_one(primary, "SELECT pg_current_wal_lsn()::text AS found"))


def _reader(
    config: Config, primary: psycopg.Connection[dict[str, Any]], lsn: str
) -> tuple[psycopg.Connection[dict[str, Any]], str]:
    """Return a replica that has replayed the primary's WAL up to the LSN, or else the primary."""
    if not config.replica_host:
        return primary, "primary"
    try:
        replica = connect(config.database, host=config.replica_host)
    except BackupError as error:
        LOG.warning("dump from the primary: %s", error)
        return primary, "primary"
    deadline = time.monotonic() + config.replica_wait_seconds
    query = f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn, true) AS found"
    problem = ""
    try:
        while not _one(replica, query) and not problem:
            time.sleep(POLL_SECONDS)
            if time.monotonic() > deadline:
                problem = f"{config.replica_host} is behind: not at {lsn} in {config.replica_wait_seconds} s"
    except psycopg.Error as error:
        problem = one_line(error)
    if problem:
        LOG.warning("dump from the primary: %s", problem)
        replica.close()
        return primary, "primary"
    standby = _one(replica, "SELECT pg_is_in_recovery() AS found")
    return replica, "replica" if standby else "primary"


def _look(
    reading: psycopg.Connection[dict[str, Any]], config: Config, source: str, pool: ThreadPoolExecutor
) -> Snapshot:
    """Return the snapshot of the transaction that has just begun, and what is seen in it."""
    reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    name = str(_one(reading, "SELECT pg_export_snapshot() AS found"))
    facts = reading.execute(FACTS).fetchone()
    assert facts is not None  # noqa: S101
    found = Database(
        name=config.database,
        server_version=facts["server_version"],
        system_identifier=facts["system_identifier"],
        source=source,
        wal_lsn=facts["wal_lsn"],
        bytes=facts["bytes"],
        migrations=migrations(reading) if facts["is_django"] else {},
        rows={},
    )
    # A Service may lead elsewhere the next time; the snapshot is known to this server alone.
    address = _one(reading, "SELECT host(inet_server_addr()) AS found")
    environment = {"PGOPTIONS": " ".join(filter(None, (os.environ.get("PGOPTIONS"), NO_TIMEOUTS)))}
    if address:
        environment["PGHOSTADDR"] = str(address)
    if source == "replica":
        environment["PGHOST"] = config.replica_host
    # Those that can't be counted are told of before anything is stored.
    for table in config.tables:
        reading.execute(sql.SQL("SELECT FROM {} LIMIT 0").format(sql.Identifier(*table.split("."))))
    return Snapshot(name, found, environment, pool.submit(counts, reading, config.tables))


def migrations(connection: psycopg.Connection[dict[str, Any]]) -> dict[str, str]:
    """Return the newest applied migration of every app."""
    return {row["app"]: row["name"] for row in connection.execute(MIGRATIONS)}


def counts(connection: psycopg.Connection[dict[str, Any]], tables: tuple[str, ...]) -> dict[str, int]:
    """Return how many rows each table has."""
    found = {}
    for table in tables:
        query = sql.SQL("SELECT count(*) AS found FROM {}").format(sql.Identifier(*table.split(".")))
        row = connection.execute(query).fetchone()
        assert row is not None  # noqa: S101
        found[table] = int(row["found"])
    return found


def _one(connection: psycopg.Connection[dict[str, Any]], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None  # noqa: S101
    return row["found"]
