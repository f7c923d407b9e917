"""Move a database with hardly any downtime: it is replicated here while it is written to, until somebody cuts over.

A publication and a slot at the source, a subscription here, and the database that it fills; all but the last have one
name, which says whose they are. The slot keeps the source's WAL for as long as it is there, so nothing here forgets it:
what fails while it begins takes everything back, and `detach` ends it at any time.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from exchange_backup import commands, restore
from exchange_backup.config import Config
from exchange_backup.crypt import READ_BYTES
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Database
from exchange_backup.move import INSISTING, close, reopen, where_from
from exchange_backup.source import LOCK_WAIT_MILLISECONDS, connect, leading_to, one_line, snapshot

LOG: Final = logging.getLogger(__name__)
POLL_SECONDS: Final = 0.1
TELL_SECONDS: Final = 15
# For a source that nobody writes to any more.
CUT_SECONDS: Final = 120
IDLE_SECONDS: Final = 30
# Publications came with 10.
OLDEST: Final = 100_000
# The subscription's own, and those of two tables that are copied at once (max_sync_workers_per_subscription).
CONNECTIONS: Final = 3
MOST_NAMED: Final = 5
WORDS: Final = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
}
SCHEMA_ONLY: Final = ("pg_dump", "--schema-only", "--no-publications", "--no-subscriptions", "--no-password")

# Everything of the database's own: neither PostgreSQL's nor an extension's.
OWN: Final = """
WITH own AS (
  SELECT c.oid, c.relkind, c.relpersistence, c.relowner, c.relreplident, c.relforcerowsecurity,
         format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""
FACTS: Final = f"""
{OWN}
SELECT current_setting('server_version_num')::int AS version,
       current_setting('wal_level') AS wal_level,
       pg_is_in_recovery() AS standby,
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int AS slots,
       current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)::int AS senders,
       has_database_privilege(current_database(), 'CREATE') AS may_publish,
       (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects,
       ARRAY(SELECT name FROM own WHERE relkind = 'r' ORDER BY name) AS tables,
       ARRAY(SELECT name FROM own WHERE relkind = 'r' AND relpersistence = 'u' ORDER BY name) AS unlogged,
       ARRAY(SELECT name FROM own WHERE relkind = 'm' ORDER BY name) AS materialized,
       ARRAY(SELECT name FROM own WHERE relkind = 'r' AND NOT pg_has_role(relowner, 'USAGE') ORDER BY name) AS others,
       ARRAY(SELECT name FROM own WHERE relkind = 'r' AND relforcerowsecurity ORDER BY name) AS forced,
       ARRAY(SELECT DISTINCT name FROM own JOIN pg_trigger t ON t.tgrelid = own.oid
             WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') ORDER BY name) AS triggered,
       ARRAY(SELECT name FROM own WHERE relkind = 'r' AND NOT CASE relreplident
               WHEN 'f' THEN true
               WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = own.oid AND i.indisprimary)
               WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = own.oid AND i.indisreplident)
               ELSE false END ORDER BY name) AS keyless
"""  # noqa: S608  # a constant
SEQUENCES: Final = f"{OWN} SELECT name FROM own WHERE relkind = 'S' ORDER BY name"  # noqa: S608
STATE: Final = """
SELECT s.subenabled AS enabled, pg_database_size(s.subdbid) AS bytes,
       (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid) AS tables,
       (SELECT count(*) FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r') AS missing,
       (SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats e WHERE e.subid = s.oid) AS errors
FROM pg_subscription s WHERE s.subname = %s
"""
BEHIND: Final = "SELECT confirmed_flush_lsn >= %s::pg_lsn AS reached, %s::pg_lsn - confirmed_flush_lsn AS bytes FROM"


@dataclass(frozen=True)
class Replication:
    """What there is: the name that it has on both sides, and the database here."""

    name: str
    database: str


def obstacles(facts: Mapping[str, Any]) -> list[str]:
    """Return what keeps a source from being replicated, a sentence each with what to do about it.

    Args:
        facts: the answer to FACTS.
    """
    few = f"{CONNECTIONS} are needed"
    checks = {
        "it is a PostgreSQL older than 10, which has no publications": facts["version"] < OLDEST,
        "it is a standby: name the primary": facts["standby"],
        f"wal_level is {facts['wal_level']}: set it to logical and restart it": facts["wal_level"] != "logical",
        f"{facts['slots']} replication slots are free, {few}: raise max_replication_slots": facts["slots"]
        < CONNECTIONS,
        f"{facts['senders']} WAL senders are free, {few}: raise max_wal_senders": facts["senders"] < CONNECTIONS,
        "the role may not make a publication: GRANT CREATE ON DATABASE to it": not facts["may_publish"],
        f"it has {facts['large_objects']} large objects, which aren't replicated": facts["large_objects"],
        "it has no table": not facts["tables"],
    }
    tables = {
        "others": "belong to somebody else: name their owner, or a superuser",
        "keyless": "have nothing by which a row is known: give them a primary key, or REPLICA IDENTITY FULL",
        "unlogged": "are UNLOGGED, which isn't replicated: SET LOGGED",
        "materialized": "are materialized views, which aren't replicated",
        "triggered": "have triggers that fire for replicated rows too: what they do would be done twice",
        "forced": "FORCE ROW LEVEL SECURITY, which replication doesn't pass",
    }
    found = [sentence for sentence, wrong in checks.items() if wrong]
    return found + [f"{named(facts[kind])} {sentence}" for kind, sentence in tables.items() if facts[kind]]


def named(names: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def conninfo(source: Mapping[str, str], root: str) -> str:
    """Return how the server here reaches the source, with its CA in a file of the server's own if that is named."""
    told = {word: source[variable] for variable, word in WORDS.items() if source.get(variable)}
    return make_conninfo(**{**told, **({"sslrootcert": root} if root else {})})


def changes(before: str, now: str) -> list[str]:
    """Return the lines that differ between two schemas, removed ones with a minus and new ones with a plus."""
    lines = list(difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=0))
    # The first two are names of files.
    return [line for line in lines[2:] if line[0] in "+-"]


def replicate(database: str, seconds: float, *, owner: str = "", subscriber: str = "", root: str = "") -> Replication:
    """Begin to replicate the source if that isn't done yet, and wait until what was written by now is here.

    The source stays open, and what is written to it goes on to come here after this has returned.

    Args:
        database: the new database, if there is no replication yet; it must not exist.
        seconds: how long to wait. What has begun goes on after that.
        owner: who owns everything in it (none: as it was).
        subscriber: the role that the subscription works as (none: our own), which must be able to act as the owner.
        root: the file in which the database server here finds the source's CA (none: the one that we were told).

    Returns:
        the replication, with the database that it fills.

    Raises:
        BackupError: the source can't be replicated, or isn't here in time.
    """
    source = where_from()
    there = existing()
    if there.database:
        LOG.info("replication goes on into %s", there.database)
    else:
        there = Replication(there.name, database)
        _begin(there, source, owner, subscriber, root)
    with _source(source) as server:
        reach(there, server, None, seconds)
    return there


def cut(config: Config) -> tuple[Database, float]:
    """Close the source, and wait until all that was written is here and checked; return what it had.

    Replication is then at rest, and the database may be swapped in; `detach` removes what is left of it, `resume` lets
    it go on. If anything fails the source is open again and replication goes on.

    Args:
        config: `tables` are counted on both sides.

    Returns:
        What the source had, and for how many seconds it is closed by now.

    Raises:
        BackupError: there is no replication, the source's schema has changed since it began, or it isn't what is here.
    """
    source, there = where_from(), existing()
    if not there.database:
        raise BackupError("nothing is being replicated: begin with `replicate`")
    _same_schema(there, source)
    with _source(source) as server:
        reach(there, server, None, CUT_SECONDS)
    with _closed(there, source) as began:
        with _source(source) as server:
            reach(there, server, lsn(server), CUT_SECONDS)
            _sequences(there, server)
        _same_schema(there, source)
        elsewhere = dataclasses.replace(config, database=source["PGDATABASE"], replica_host="")
        with leading_to(source), snapshot(elsewhere) as moment:
            facts = moment.counted()
        restore.check(facts, there.database, f"{facts.name} of {source['PGHOST']}")
        _switch(there, "DISABLE")
        return facts, time.monotonic() - began


def resume() -> None:
    """Let replication go on, if there is one."""
    there = existing()
    if there.database:
        _switch(there, "ENABLE")


def detach() -> str:
    """End replication, wherever its database is by now: nothing of it remains here or at the source but that database.

    Returns:
        the database; nothing if there was no replication here.

    Raises:
        BackupError: the source can't be reached, and what remains there.
    """
    source, there = where_from(), existing()
    name = sql.Identifier(there.name)
    if there.database:
        with connect(there.database) as here:
            # Without its slot, since that is ours to remove: the server here may not reach the source any more.
            for action in ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)"):
                here.execute(sql.SQL(action).format(name))
            here.execute(sql.SQL("DROP SUBSCRIPTION {}").format(name))
    try:
        with _source(source) as server:
            _drop_slots(server, there.name)
            server.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(name))
    except (BackupError, psycopg.Error) as error:
        raise BackupError(
            f"{source['PGHOST']} keeps its WAL for the slot {there.name} until its disk is full: {one_line(error)}."
            f" Run this again, or there: SELECT pg_drop_replication_slot('{there.name}'); and in"
            f" {source['PGDATABASE']}: DROP PUBLICATION IF EXISTS {there.name}"
        ) from error
    return there.database


def existing() -> Replication:
    """Return the replication into this server; its database is empty if there is none.

    Its name is of this server alone: others may be replicating the same source.
    """
    query = """
    SELECT 'moving_' || system_identifier AS name, coalesce(d.datname, '') AS database
    FROM pg_control_system() LEFT JOIN pg_subscription s ON s.subname = 'moving_' || system_identifier
    LEFT JOIN pg_database d ON d.oid = s.subdbid
    """
    with connect(restore.MAINTENANCE) as here:
        row = here.execute(query).fetchone()
    assert row is not None  # noqa: S101
    return Replication(row["name"], row["database"])


def lsn(server: psycopg.Connection[dict[str, Any]]) -> str:
    """Return how far the source's WAL is. A commit that is waited for also writes out whatever came before it."""
    server.execute("SET synchronous_commit = local")
    server.execute("SELECT pg_logical_emit_message(true, 'exchange-backup', 'here')")
    row = server.execute("SELECT pg_current_wal_lsn()::text AS found").fetchone()
    assert row is not None  # noqa: S101
    return str(row["found"])


def reach(there: Replication, server: psycopg.Connection[dict[str, Any]], position: str | None, seconds: float) -> None:
    """Wait until everything up to a position in the source's WAL is here for good, and say how far it is.

    Args:
        there: the replication.
        server: a connection to the source.
        position: none: where the source is when all tables have been copied.
        seconds: how long to wait.

    Raises:
        BackupError: it isn't here in time.
    """
    deadline, told = time.monotonic() + seconds, time.monotonic()
    query = f"{BEHIND} pg_replication_slots WHERE slot_name = %s".encode()
    with connect(there.database) as here:
        while True:
            state = here.execute(STATE, (there.name,)).fetchone()
            if not state or not state["enabled"]:
                raise BackupError(f"replication into {there.database} has been switched off by somebody: begin again")
            if position is None and not state["missing"]:
                position = lsn(server)
            row = server.execute(query, (position, position, there.name)).fetchone()
            if not row:
                raise BackupError(f"the source has no slot {there.name} any more: end this with `detach`, begin again")
            if row["reached"] and not state["missing"]:
                return
            far = f"{state['tables'] - state['missing']} of {state['tables']} tables, {state['bytes'] >> 20} MiB here"
            far += f", {int(row['bytes']) >> 10} KiB to go" if row["bytes"] else ""
            if state["errors"]:
                far += f"; {state['errors']} times it was interrupted: the log of the server here says why"
            if time.monotonic() > deadline:
                raise BackupError(f"{there.database} has not caught up in {seconds:.0f} s: {far}")
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                LOG.info("%s", far)
            time.sleep(POLL_SECONDS)


@contextmanager
def _source(source: Mapping[str, str]) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Connect to the source, closed or not."""
    with leading_to(source):
        server = connect(source["PGDATABASE"], options=INSISTING)
    with server:
        yield server


@contextmanager
def _closed(there: Replication, source: Mapping[str, str]) -> Iterator[float]:
    """Close the source for good, if the block succeeds; yields when that began."""
    began = time.monotonic()
    try:
        with leading_to(source):
            ended = close(source["PGDATABASE"])
        LOG.info("%s of %s is closed, %d sessions ended", source["PGDATABASE"], source["PGHOST"], ended)
        yield began
    except BaseException:
        # Why it failed matters more than what then fails too.
        try:
            with leading_to(source):
                reopen(source["PGDATABASE"])
            LOG.warning("%s is open again after %.1f s", source["PGDATABASE"], time.monotonic() - began)
            _switch(there, "ENABLE")
        except (BackupError, psycopg.Error) as left:
            LOG.warning("the source may be closed, and replication at rest: use `reopen`: %s", one_line(left))
        raise


def _begin(there: Replication, source: Mapping[str, str], owner: str, subscriber: str, root: str) -> None:
    """Make the database, the publication and the subscription; all of them, or none."""
    with _source(source) as server:
        facts = server.execute(FACTS).fetchone()
    assert facts is not None  # noqa: S101
    if wrong := obstacles(facts):
        raise BackupError(f"{source['PGDATABASE']} of {source['PGHOST']} can't be replicated: {'; '.join(wrong)}")
    _may_replicate(source)
    LOG.info("replicating %d tables of %s into %s", len(facts["tables"]), source["PGHOST"], there.database)
    schema = _schema(source)
    with restore.made(there.database, owner):
        _copy_schema(there.database, source, owner)
        try:
            with _source(source) as server:
                tables = sql.SQL(", ").join(map(sql.SQL, facts["tables"]))
                server.execute(sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(sql.Identifier(there.name), tables))
            _subscribe(there, source, subscriber, root, schema)
        except BaseException as error:
            try:
                detach()
            except BackupError as left:
                LOG.warning("%s", left)
            if isinstance(error, psycopg.Error):
                # No more than that: a statement may be quoted further on, and there is a password in it.
                raise BackupError(f"replicate into {there.database}: {error.diag.message_primary or 'lost'}") from None
            raise


def _may_replicate(source: Mapping[str, str]) -> None:
    """Ask for a connection such as the subscription's: which right that needs differs from one provider to the next."""
    try:
        with leading_to(source):
            connect(source["PGDATABASE"], replication="database", options="").close()
    except BackupError as error:
        raise BackupError(f"{error}: does the role have REPLICATION, and does pg_hba.conf let it in?") from error


def _schema(source: Mapping[str, str]) -> str:
    """Return the source's schema, the same as long as nobody changes it."""
    with leading_to(source):
        text = commands.output([*SCHEMA_ONLY, f"--dbname={source['PGDATABASE']}"])
    # Comments, and commands to psql that carry a random word.
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith(("--", "\\")))


def _same_schema(there: Replication, source: Mapping[str, str]) -> None:
    """Refuse what replication doesn't carry: new and changed tables, and everything else that isn't rows."""
    with connect(there.database) as here:
        row = here.execute(
            "SELECT obj_description(oid, 'pg_subscription') AS found FROM pg_subscription WHERE subname = %s",
            (there.name,),
        ).fetchone()
    if found := changes(str(row and row["found"]), _schema(source)):
        raise BackupError(
            f"the schema of {source['PGDATABASE']} has changed since replication began: {named(found)}."
            " End it with `detach`, and begin again"
        )


def _copy_schema(database: str, source: Mapping[str, str], owner: str) -> None:
    with commands.Command(restore.command(database, owner), writes=False) as load:
        dump = [*SCHEMA_ONLY, "--format=custom", f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}"]
        with leading_to(source):
            reading = commands.Command([*dump, f"--dbname={source['PGDATABASE']}"], writes=True)
        with reading, commands.broken_pipe_is_its_fault(load):
            while data := reading.pipe.read(READ_BYTES):
                load.pipe.write(data)
            reading.finish()
        load.finish()


def _subscribe(there: Replication, source: Mapping[str, str], subscriber: str, root: str, schema: str) -> None:
    name = sql.Identifier(there.name)
    with connect(there.database) as here:
        here.execute(
            sql.SQL("CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {}").format(
                name, sql.Literal(conninfo(source, root)), name
            )
        )
        # What it was like, so that a change is seen.
        here.execute(sql.SQL("COMMENT ON SUBSCRIPTION {} IS {}").format(name, sql.Literal(schema)))
        if subscriber:
            here.execute(sql.SQL("ALTER SUBSCRIPTION {} OWNER TO {}").format(name, sql.Identifier(subscriber)))


def _sequences(there: Replication, server: psycopg.Connection[dict[str, Any]]) -> None:
    """Set sequences to where the source's are: replication doesn't."""
    with connect(there.database) as here, here.transaction():
        for row in server.execute(SEQUENCES).fetchall():
            # Its name comes quoted.
            query = f"SELECT last_value, is_called FROM {row['name']}"  # noqa: S608
            found = server.execute(query.encode()).fetchone()
            assert found is not None  # noqa: S101
            here.execute("SELECT setval(%s, %s, %s)", (row["name"], found["last_value"], found["is_called"]))


def _switch(there: Replication, action: str) -> None:
    with connect(there.database) as here:
        here.execute(sql.SQL("ALTER SUBSCRIPTION {} " + action).format(sql.Identifier(there.name)))


def _drop_slots(server: psycopg.Connection[dict[str, Any]], name: str) -> None:
    """Drop the slot, and those of tables that were being copied; each ends with the number of this server."""
    ours = f"^pg_[0-9]+_sync_[0-9]+_{name.removeprefix('moving_')}$"
    deadline = time.monotonic() + IDLE_SECONDS
    query = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE slot_name = %s OR slot_name ~ %s"
    while found := server.execute(query, (name, ours)).fetchall():
        for slot in found:
            if slot["active_pid"] is None:
                server.execute("SELECT pg_drop_replication_slot(%s)", (slot["slot_name"],))
            elif time.monotonic() > deadline:
                raise BackupError(f"{slot['slot_name']} is still in use after {IDLE_SECONDS} s")
            else:
                # Nobody is at the other end any more; by itself the source would notice after wal_sender_timeout.
                server.execute("SELECT pg_terminate_backend(%s)", (slot["active_pid"],))
        time.sleep(POLL_SECONDS)
