"""Fill a new database from a dump that somebody made elsewhere, as its owner and never as a superuser."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import IO, Final

import psycopg

from exchange_backup import commands, restore
from exchange_backup.config import Config
from exchange_backup.crypt import READ_BYTES
from exchange_backup.errors import BackupError
from exchange_backup.source import connect, counts, migrations, one_line

LOG: Final = logging.getLogger(__name__)
CUSTOM: Final = b"PGDMP"
OTHERS: Final = {
    b"\x1f\x8b": "is compressed by gzip: gunzip it",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: unzstd it",
    b"toc.dat": "is a tar: make it with pg_dump -Fc",
}
# pg_dump's last words.
END: Final = b"-- PostgreSQL database dump complete"
TAIL_BYTES: Final = 4096
PLAIN: Final = (
    "make it with pg_dump -Fc, whose owners and rights can be left out here; or with --no-owner --no-privileges"
)
ADVICE: Final = {
    "permission denied to create extension": "only a superuser can make it, and no dump is trusted that far: make it"
    " without (pg_dump 17 has --exclude-extension)",
    "is not available": "the server here hasn't that extension: make the dump without it",
    "unsupported version": "it was made by a newer pg_dump than the one here: make it with version 17 or older",
}


def load(config: Config, database: str, stream: IO[bytes], size: int, owner: str = "") -> tuple[dict[str, int], int]:
    """Make a database of this name and fill it from a dump; if that fails it is dropped.

    Args:
        config: `tables` are counted. A dump doesn't say how many rows they should have.
        database: the new database; it must not exist.
        stream: the dump, pg_dump's custom format or SQL.
        size: how long it is, in bytes.
        owner: who owns everything in it (none: as it was).

    Returns:
        Rows by table, and how many apps of Django's have migrations.

    Raises:
        BackupError: it is no whole dump, or can't be restored; with what to do about it.
    """
    head = stream.read(min(size, READ_BYTES))
    argv, env = command(head, database, owner)
    with restore.made(database, owner):
        with commands.Command(argv, writes=False, env=env) as program:
            try:
                with commands.broken_pipe_is_its_fault(program):
                    progress = restore.Progress(program.pipe, size)
                    tail = b""
                    for data in pieces(head, stream, size):
                        progress.write(data)
                        tail = (tail + data)[-TAIL_BYTES:]
                program.finish()
            except BackupError as error:
                raise BackupError(f"{error}{advice(str(error), custom=head.startswith(CUSTOM))}") from error
        if not head.startswith(CUSTOM) and END not in tail:
            raise BackupError(
                f"the dump doesn't end with {END.decode()!r}: it was cut off, or is no dump of a database"
            )
        with connect(database) as server:
            try:
                return counts(server, config.tables), len(_migrations(server))
            except psycopg.Error as error:
                raise BackupError(f"check {database}: {one_line(error)}") from error


def command(head: bytes, database: str, owner: str) -> tuple[list[str], dict[str, str]]:
    """Return the program that reads a dump that begins like this, and the variables that it needs.

    Raises:
        BackupError: none does.
    """
    if head.startswith(CUSTOM):
        # Roles from elsewhere are nobody here.
        return [*restore.command(database, owner), "--no-privileges"], {}
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise BackupError(f"the dump {what}")
    if b"\x00" in head or not head.strip():
        raise BackupError("this is no dump: expected pg_dump's custom format, or SQL")
    options = {"PGOPTIONS": f"-c role={owner}"} if owner else {}
    return ["psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", f"--dbname={database}"], options


def advice(said: str, *, custom: bool) -> str:
    """Return what to do about what a program said, as the end of a sentence; nothing if nothing is known."""
    found = [what for words, what in ADVICE.items() if words in said]
    if not custom and "does not exist" in said and "role " in said:
        found.append(PLAIN)
    return "".join(f": {what}" for what in found)


def pieces(head: bytes, stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield a stream's beginning and the rest of it.

    Raises:
        BackupError: it ends too early.
    """
    yield head
    left = size - len(head)
    while left:
        data = stream.read(min(READ_BYTES, left))
        if not data:
            raise BackupError(f"{size - left} of {size} bytes came: the connection was lost; run it again")
        left -= len(data)
        yield data


def _migrations(server: psycopg.Connection[dict[str, object]]) -> dict[str, str]:
    """Return the newest applied migrations; nothing if it isn't Django's."""
    with contextlib.suppress(psycopg.errors.UndefinedTable):
        return migrations(server)
    return {}
