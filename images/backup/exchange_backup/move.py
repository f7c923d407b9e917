"""Copy a database of another server into a new one here, through no bucket and no disk, and check it.

Where from is told by libpq's variables with SOURCE_ before their names (SOURCE_PGHOST, SOURCE_PGDATABASE, ...), where
to by those without.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from exchange_backup import commands, restore
from exchange_backup.config import Config
from exchange_backup.crypt import READ_BYTES
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Database
from exchange_backup.source import NO_TIMEOUTS, connect, one_line, snapshot

LOG: Final = logging.getLogger(__name__)
PREFIX: Final = "SOURCE_"
NEEDED: Final = ("PGHOST", "PGDATABASE")
# What a closed database says to everybody else.
INSISTING: Final = f"{NO_TIMEOUTS} -c default_transaction_read_only=off"


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

    It isn't locked: whoever sets default_transaction_read_only off for a session can still write. The way back is
    `reopen`.

    Raises:
        BackupError: it may not be done.
    """
    sessions = (
        "SELECT count(pg_terminate_backend(pid)) AS found FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    row = _change(database, "SET default_transaction_read_only = on", sessions)
    return int(row["found"]) if row else 0


def reopen(database: str) -> None:
    """Undo `close`.

    Raises:
        BackupError: it may not be done.
    """
    _change(database, "RESET default_transaction_read_only", "SELECT 1")


def _change(database: str, setting: LiteralString, query: LiteralString) -> dict[str, Any] | None:
    """Change a setting of a database, and return the row that a query then yields."""
    with connect(database, options=INSISTING) as server:
        try:
            server.execute(sql.SQL("ALTER DATABASE {} " + setting).format(sql.Identifier(database)))
            return server.execute(query).fetchone()
        except psycopg.Error as error:
            raise BackupError(f"{setting} of {database}: {one_line(error)}") from error


def where_from() -> dict[str, str]:
    """Return libpq's variables for the source.

    Raises:
        BackupError: they don't say which.
    """
    found = {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(f"{PREFIX}PG")}
    if missing := [PREFIX + name for name in NEEDED if not found.get(name)]:
        raise BackupError(f"{' and '.join(missing)} must say where the source is")
    return found


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
