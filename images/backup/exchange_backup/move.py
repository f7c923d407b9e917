"""Copy a database of another server into a new one here, through no bucket and no disk, and check it.

Where from is told by libpq's variables with SOURCE_ before their names (SOURCE_PGHOST, SOURCE_PGDATABASE, ...), where
to by those without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from exchange_backup import commands, restore
from exchange_backup.config import Config
from exchange_backup.crypt import READ_BYTES
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Database
from exchange_backup.source import NO_TIMEOUTS, connect, leading_to, one_line, snapshot

LOG: Final = logging.getLogger(__name__)
PREFIX: Final = "SOURCE_"
NEEDED: Final = ("PGHOST", "PGDATABASE")
# What a closed database says to everybody else.
INSISTING: Final = f"{NO_TIMEOUTS} -c default_transaction_read_only=off"
OPEN: Final = "RESET default_transaction_read_only"
PATIENCE_SECONDS: Final = 30
POLL_SECONDS: Final = 0.1
# Ends them. Other roles' sessions may show no more than that they are there: it fails with the right that is missing.
SESSIONS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
  AND coalesce(backend_type, 'client backend') = 'client backend' AND coalesce(backend_start < %(now)s, true)
"""


def copy(config: Config, database: str, owner: str = "") -> Database:
    """Make a database of this name, fill it with one snapshot of the source, and check it; return what the source had.

    If that fails it is dropped: nobody else has used it. The source is only read.

    Args:
        config: `tables` are counted on both sides.
        database: the new database; it must not exist.
        owner: who owns everything in it (none: as it was).

    Raises:
        BackupError: it couldn't be made, or isn't what the source has.
    """
    source = where_from()
    with restore.made(database, owner):
        # Started before libpq's variables lead to the source.
        with commands.Command(restore.command(database, owner), writes=False) as load:
            there = dataclasses.replace(config, database=source["PGDATABASE"], replica_host="")
            with leading_to(source), snapshot(there) as moment:
                LOG.info("copying %s of %s, %d MiB", moment.facts.name, source["PGHOST"], moment.facts.bytes >> 20)
                with commands.Command(moment.dump_command("0"), writes=True, env=moment.environment) as dump:
                    progress = restore.Progress(load.pipe, moment.facts.bytes)
                    with commands.broken_pipe_is_its_fault(load):
                        while data := dump.pipe.read(READ_BYTES):
                            progress.write(data)
                    dump.finish()
                facts = moment.counted()
            load.finish()
        restore.check(facts, database, f"{facts.name} of {source['PGHOST']}")
    return facts


def close(database: str) -> int:
    """Let nobody change a database any more who doesn't insist, and end its sessions; return how many there were.

    When this returns their transactions have ended too. It isn't locked: whoever sets default_transaction_read_only off
    for a session can still write. The way back is `reopen`.

    Raises:
        BackupError: it may not be done, or they don't end; the database is as it was.
    """
    with connect(database, options=INSISTING) as server:
        try:
            server.execute(_setting(database, "SET default_transaction_read_only = on"))
            return _end_sessions(server, database)
        except BaseException as error:
            with contextlib.suppress(psycopg.Error):
                server.execute(_setting(database, OPEN))
            if isinstance(error, psycopg.Error):
                raise BackupError(f"close {database}: {one_line(error)}") from error
            raise


def _end_sessions(server: psycopg.Connection[dict[str, Any]], database: str) -> int:
    """End the sessions that began before now, which may not have read the setting; return how many there were."""
    moment = server.execute("SELECT clock_timestamp() AS now").fetchone()
    deadline = time.monotonic() + PATIENCE_SECONDS
    found = ended = len(server.execute(SESSIONS, moment).fetchall())
    while found:
        if time.monotonic() > deadline:
            raise BackupError(f"close {database}: {found} sessions don't end in {PATIENCE_SECONDS} s")
        time.sleep(POLL_SECONDS)
        found = len(server.execute(SESSIONS, moment).fetchall())
    return ended


def reopen(database: str) -> None:
    """Undo `close`.

    Raises:
        BackupError: it may not be done.
    """
    with connect(database, options=INSISTING) as server:
        try:
            server.execute(_setting(database, OPEN))
        except psycopg.Error as error:
            raise BackupError(f"reopen {database}: {one_line(error)}") from error


def _setting(database: str, change: LiteralString) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} " + change).format(sql.Identifier(database))


def where_from() -> dict[str, str]:
    """Return libpq's variables for the source.

    Raises:
        BackupError: they don't say which.
    """
    found = {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(f"{PREFIX}PG")}
    if missing := [PREFIX + name for name in NEEDED if not found.get(name)]:
        raise BackupError(f"{' and '.join(missing)} must say where the source is")
    return found
