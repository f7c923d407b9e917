"""Put a restored database in the live one's place, by renaming both in one transaction. Nothing is dropped."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg import sql

from exchange_backup.errors import BackupError
from exchange_backup.restore import MAINTENANCE
from exchange_backup.source import connect, one_line

LOG: Final = logging.getLogger(__name__)
PATIENCE_SECONDS: Final = 30
POLL_SECONDS: Final = 0.1
NAME_BYTES: Final = 63

# Rights on the database itself and its settings are not in a dump of its content.
SETTINGS: Final = """
SELECT r.rolname AS role, unnest(s.setconfig) AS setting
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE d.datname = %s
"""
RIGHTS: Final = """
SELECT r.rolname AS role, a.privilege_type AS privilege, a.is_grantable AS grantable
FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s
"""


def swap(live: str, new: str) -> str:
    """Rename `live` away and `new` into its place; return what the old one is called now.

    Whoever is connected to the live database is thrown out, and nobody gets in until it is done; if it can't be done,
    everything is as before.

    Raises:
        BackupError: one of them isn't there, connections don't end, or the server refuses.
    """
    with connect(MAINTENANCE) as server:
        names = {row["datname"] for row in server.execute("SELECT datname FROM pg_database")}
        old = former_name(live, names)
        gone = [name for name in (live, new) if name not in names]
        if gone or live == new:
            raise BackupError(f"swap {live} and {new}: {', '.join(gone) or 'one and the same'} can't be swapped")
        try:
            _take_over_rights(server, live, new)
            for name in (live, new):
                _connections(server, name, allowed=False)
            for name in (live, new):
                _empty(server, name)
            with server.transaction():
                server.execute(renamed(live, old))
                server.execute(renamed(new, live))
                for name in (old, live):
                    _connections(server, name, allowed=True)
        except (psycopg.Error, BackupError) as error:
            _open_again(live, new)
            said = one_line(error)
            raise BackupError(f"swap {live} and {new}: {said}; both are as they were") from error
    LOG.info("%s is what was %s; the former %s is %s", live, new, live, old)
    return old


def former_name(live: str, taken: Collection[str]) -> str:
    """Return a name for what was live until now."""
    suffix = f"_before_{datetime.now(UTC):%Y%m%dt%H%M%Sz}"
    suffixes = itertools.chain([suffix], (f"{suffix}_{number}" for number in itertools.count(2)))
    names = (live.encode()[: NAME_BYTES - len(one)].decode(errors="ignore") + one for one in suffixes)
    return next(name for name in names if name not in taken)


def renamed(name: str, to: str) -> sql.Composed:
    """Return the statement that renames a database."""
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))


def _connections(server: psycopg.Connection[dict[str, Any]], name: str, *, allowed: bool) -> None:
    server.execute(
        sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
            sql.Identifier(name), sql.SQL(str(allowed).lower())
        )
    )


def _empty(server: psycopg.Connection[dict[str, Any]], name: str) -> None:
    """End every connection to a database. The server's own workers belong to nobody; the rename sends them away."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    query = (
        "SELECT count(pg_terminate_backend(pid)) AS found FROM pg_stat_activity"
        " WHERE datname = %s AND usesysid IS NOT NULL"
    )
    while (row := server.execute(query, (name,)).fetchone()) and row["found"]:
        if time.monotonic() > deadline:
            raise BackupError(
                f"{row['found']} connections to {name} don't end in {PATIENCE_SECONDS} s: end their programs"
            )
        time.sleep(POLL_SECONDS)


def _open_again(live: str, new: str) -> None:
    with connect(MAINTENANCE) as server:
        for name in (live, new):
            if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                _connections(server, name, allowed=True)


def _take_over_rights(server: psycopg.Connection[dict[str, Any]], live: str, new: str) -> None:
    """Give the new database the live one's owner, rights and settings, so that nobody gets in who couldn't before."""
    target = sql.Identifier(new)
    rights = server.execute(RIGHTS, (live,)).fetchall()
    owner = server.execute(
        "SELECT pg_get_userbyid(datdba) AS name FROM pg_database WHERE datname = %s", (live,)
    ).fetchone()
    assert owner is not None  # noqa: S101
    with server.transaction():
        server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(target, sql.Identifier(owner["name"])))
        if rights:
            server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(target))
        for right in rights:
            grantee = sql.Identifier(right["role"]) if right["role"] else sql.SQL("PUBLIC")
            option = sql.SQL(" WITH GRANT OPTION" if right["grantable"] else "")
            privilege = sql.SQL(right["privilege"])
            server.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(privilege, target, grantee, option))
        for row in server.execute(SETTINGS, (live,)).fetchall():
            name, _, value = row["setting"].partition("=")
            database = sql.SQL("DATABASE {}").format(target)
            whose = sql.SQL("ROLE {} IN {}").format(sql.Identifier(row["role"]), database) if row["role"] else database
            server.execute(
                sql.SQL("ALTER {} SET {} TO {}").format(whose, sql.Identifier(*name.split(".")), sql.Literal(value))
            )
