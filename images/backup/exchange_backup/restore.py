"""Restore a backup into a new database, beside whatever is there, and check it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from exchange_backup import commands, crypt, verify
from exchange_backup.bucket import Bucket
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Database, Manifest, Stream
from exchange_backup.roles import missing
from exchange_backup.source import connect, counts, migrations, one_line

LOG: Final = logging.getLogger(__name__)
MAINTENANCE: Final = "postgres"
PROGRESS_BYTES: Final = 1 << 30
# PostgreSQL cuts longer names off.
NAME_BYTES: Final = 63


class Progress:
    """Says how far a stream is, a gigabyte at a time."""

    def __init__(self, writer: crypt.Writer, total: int) -> None:
        """Begin."""
        self.writer, self.total, self.done, self.said = writer, total, 0, 0

    def write(self, data: bytes) -> int:
        """Pass it on."""
        self.writer.write(data)
        self.done += len(data)
        if self.done - self.said >= PROGRESS_BYTES:
            self.said = self.done
            LOG.info("%d of %d MiB (%d %%)", self.done >> 20, self.total >> 20, 100 * self.done // self.total)
        return len(data)


def new_name(manifest: Manifest) -> str:
    """Return the name of the database that a backup is restored into: the old one's, and the backup's time."""
    suffix = f"_{manifest.id.partition('-')[0].lower()}"
    return manifest.database.name.encode()[: NAME_BYTES - len(suffix)].decode(errors="ignore") + suffix


@dataclass(frozen=True)
class How:
    """How a restore is done: who owns everything (none: as it was), and in how many connections at once.

    More than one needs the dump as a file, since pg_restore jumps about in it: `scratch` is a folder with room for it.
    """

    owner: str = ""
    jobs: int = 1
    scratch: Path | None = None


def restore(bucket: Bucket, manifest: Manifest, keys: Sequence[Any], database: str, how: How | None = None) -> None:
    """Make a database of this name, fill it and check it. If that fails it is dropped: nobody else has used it.

    Args:
        bucket: where the backup is.
        manifest: the backup.
        keys: private keys.
        database: the new database; it must not exist.
        how: owner and parallelism.

    Raises:
        BackupError: it couldn't be made, or isn't what was backed up.
    """
    how = how or How()
    with made(database, how.owner):
        argv = command(database, how.owner)
        stream = manifest.stream("database")
        if how.scratch:
            with on_disk(bucket, stream, keys, how.scratch) as file:
                commands.run([*argv, f"--jobs={how.jobs}", str(file)])
        else:
            pour(bucket, stream, keys, argv)
        check(manifest.database, database, f"backup {manifest.id}")


def command(database: str, owner: str = "") -> list[str]:
    """Return the pg_restore that fills a database."""
    whose = [f"--role={owner}", "--no-owner"] if owner else []
    return ["pg_restore", "--exit-on-error", "--no-password", f"--dbname={database}", *whose]


@contextmanager
def made(database: str, owner: str = "") -> Iterator[None]:
    """Make a database for the block to fill; if that fails it is dropped."""
    create(database, owner)
    try:
        yield
    except BaseException:
        LOG.warning("dropping %s, which was made and not finished", database)
        try:
            with connect(MAINTENANCE) as server:
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
        except (BackupError, psycopg.Error) as error:
            LOG.warning("%s is left over: drop it by hand: %s", database, one_line(error))
        raise


def create(database: str, owner: str = "") -> None:
    """Make an empty database.

    Raises:
        BackupError: there is one of that name, or it may not be made.
    """
    with connect(MAINTENANCE) as server:
        exists = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if exists:
            raise BackupError(f"database {database} exists: a restore never writes into one; name another")
        options = sql.SQL(" OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
        name = sql.Identifier(database)
        try:
            server.execute(sql.SQL("CREATE DATABASE {}{} TEMPLATE template0 ENCODING 'UTF8'").format(name, options))
            # Until it is swapped in, and then as the live one: what is restored is no business of other roles.
            server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        except psycopg.Error as error:
            raise BackupError(f"create database {database}: {one_line(error)}") from error


def pour(bucket: Bucket, stream: Stream, keys: Sequence[Any], argv: Sequence[str]) -> None:
    """Decrypt a stream into a program.

    Raises:
        BackupError: the stream isn't what was backed up, or the program failed.
    """
    with commands.Command(argv, writes=False) as command:
        with commands.broken_pipe_is_its_fault(command):
            verify.decrypt(bucket, stream, keys, Progress(command.pipe, stream.plain_bytes))
        command.finish()


@contextmanager
def on_disk(bucket: Bucket, stream: Stream, keys: Sequence[Any], folder: Path) -> Iterator[Path]:
    """Decrypt a stream into a file that nobody else can read, and that is gone afterwards.

    Raises:
        BackupError: there is no room, or the stream isn't what was backed up.
    """
    free = shutil.disk_usage(folder).free
    if free < stream.plain_bytes:
        raise BackupError(
            f"{folder} has {free} bytes left, {stream.plain_bytes} are needed: make room, or leave it out"
        )
    handle, name = tempfile.mkstemp(prefix="dump-", dir=folder)
    file = Path(name)
    try:
        with os.fdopen(handle, "wb") as content:
            verify.decrypt(bucket, stream, keys, Progress(content, stream.plain_bytes))
        yield file
    except OSError as error:
        raise BackupError(f"{file}: {error}") from error
    finally:
        file.unlink(missing_ok=True)


def folder(bucket: Bucket, manifest: Manifest, keys: Sequence[Any], name: str, to: Path) -> None:
    """Unpack a folder that is stored beside the database (`folders` in the configuration) into an empty one.

    Raises:
        BackupError: the backup has no such folder, `to` isn't empty, or it isn't what was backed up.
    """
    stored = [stream.name for stream in manifest.streams if stream.name not in {"database", "globals"}]
    if name not in stored:
        raise BackupError(f"backup {manifest.id} has no folder {name}: it has {', '.join(stored) or 'none'}")
    if not to.is_dir() or any(to.iterdir()):
        raise BackupError(f"{to} is not an empty folder: nothing is ever written over")
    unpack(bucket, manifest.stream(name), keys, to)


def unpack(bucket: Bucket, stream: Stream, keys: Sequence[Any], to: Path) -> None:
    """Unpack a stored folder into one that is empty."""
    tar = ["tar", "--extract", "--file=-", f"--directory={to}", "--no-same-owner", "--no-same-permissions"]
    pour(bucket, stream, keys, tar)


def texts(folder: Path) -> dict[str, str]:
    """Return the files of a folder as text, by their paths in it.

    Raises:
        BackupError: one isn't UTF-8.
    """
    # Kubernetes mounts a Secret twice: below a folder that begins with two dots, and as links to that.
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    paths = {str(file.relative_to(folder)): file for file in files}
    try:
        return {path: file.read_text() for path, file in paths.items() if not path.startswith("..")}
    except UnicodeDecodeError as error:
        raise BackupError(f"{folder} holds files that are no text: unpack it with --to") from error


def roles(bucket: Bucket, manifest: Manifest, keys: Sequence[Any]) -> list[str]:
    """Make the roles that the backup knows and the server doesn't; return their names. Existing ones are left alone.

    Passwords come only with a backup that has them (`role_passwords`); otherwise new roles can't log in with one.
    """
    text = Collected()
    verify.decrypt(bucket, manifest.stream("globals"), keys, text)
    with connect(MAINTENANCE) as server:
        there = {row["rolname"] for row in server.execute("SELECT rolname FROM pg_roles")}
        statements, made = missing(text.data.decode(), there)
        try:
            with server.transaction():
                for statement in statements:
                    server.execute(statement.encode())
        except psycopg.Error as error:
            raise BackupError(f"roles of backup {manifest.id}: {one_line(error)}") from error
    return made


class Collected:
    """Keeps what is written; for globals, which are small."""

    MOST: Final = 64 << 20

    def __init__(self) -> None:
        """Begin empty."""
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        """Keep it."""
        self.data += data
        if len(self.data) > self.MOST:
            raise BackupError("the globals of this backup are larger than any server's")
        return len(data)


def check(wanted: Database, database: str, what: str) -> dict[str, int]:
    """Compare a filled database with what it should hold, and return its row counts.

    Raises:
        BackupError: rows or migrations differ; all differences are named, and `what` it was filled from.
    """
    with connect(database) as server:
        try:
            rows = counts(server, tuple(wanted.rows))
            applied = migrations(server) if wanted.migrations else {}
        except psycopg.Error as error:
            raise BackupError(f"check {database}: {one_line(error)}") from error
    wrong = [
        f"{table} has {rows[table]} rows, not {count}" for table, count in wanted.rows.items() if rows[table] != count
    ]
    wrong += [
        f"{app} is at migration {applied.get(app)}, not {name}"
        for app, name in wanted.migrations.items()
        if applied.get(app) != name
    ]
    if wrong:
        raise BackupError(f"{database} is not what {what} holds: {'; '.join(wrong)}")
    return rows
