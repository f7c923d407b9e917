"""Restore the newest backup into a throw-away PostgreSQL in this very container, and check it; read media whole."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from exchange_backup import commands, verify
from exchange_backup.bucket import Bucket
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Manifest
from exchange_backup.restore import MAINTENANCE, new_name, restore, roles
from exchange_backup.source import connect, leading_to

LOG: Final = logging.getLogger(__name__)
SUPERUSER: Final = "drill"
# All of it is in vain the moment the server stops, and nobody reaches it but by its socket.
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "64MB",
    "max_connections": "10",
    # A container's /dev/shm is small.
    "max_parallel_maintenance_workers": "0",
    "max_parallel_workers_per_gather": "0",
}
# A path longer than that is no socket.
SOCKET_PATH_BYTES: Final = 90


def drill(bucket: Bucket, manifest: Manifest, keys: Sequence[Any], folder: Path) -> dict[str, float]:
    """Restore and check a backup; return what there was to see: bytes, rows, seconds.

    Raises:
        BackupError: it doesn't restore, or isn't what was backed up.
    """
    refuse_live_connection()
    begun = time.monotonic()
    with throw_away_server(folder):
        refuse_same(manifest)
        made = roles(bucket, manifest, keys)
        LOG.info("roles made: %s", ", ".join(made) or "none")
        name = new_name(manifest)
        restore(bucket, manifest, keys, name)
        LOG.info("restored in %.1f s", time.monotonic() - begun)
        with connect(name) as server:
            row = server.execute("SELECT pg_database_size(current_database()) AS bytes").fetchone()
    for stream in manifest.streams:
        if stream.kind == "tar":
            verify.check_folder(bucket, stream, keys)
    return {
        "restored_bytes": float(row["bytes"]) if row else 0.0,
        "stored_bytes": float(manifest.stored_bytes),
        "rows": float(sum(manifest.database.rows.values())),
        "seconds": round(time.monotonic() - begun, 3),
    }


def drill_media(bucket: Bucket, manifest: Manifest, keys: Sequence[Any]) -> dict[str, float]:
    """Decrypt a backup of media, and read every archive to its end; return what there was to see.

    Raises:
        BackupError: it can't be read, or isn't what was backed up.
    """
    begun = time.monotonic()
    found = [verify.check_folder(bucket, stream, keys) for stream in manifest.streams]
    return {
        "files": float(sum(one.count for one in found)),
        "restored_bytes": float(sum(one.bytes for one in found)),
        "stored_bytes": float(manifest.stored_bytes),
        "seconds": round(time.monotonic() - begun, 3),
    }


def refuse_live_connection() -> None:
    """Refuse to run where a database's address is at hand: the drill has no business with any but its own."""
    named = [name for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGPASSWORD", "PGPASSFILE") if os.environ.get(name)]
    if named:
        raise BackupError(f"drill: {', '.join(named)} is set: a drill must not know another database; unset it")


def refuse_same(manifest: Manifest) -> None:
    """Refuse to restore into the server that the backup was taken from."""
    with connect(MAINTENANCE) as server:
        row = server.execute("SELECT system_identifier::text AS found FROM pg_control_system()").fetchone()
    if row and row["found"] == manifest.database.system_identifier:
        raise BackupError(
            f"drill: source and target are the same server ({row['found']}): a drill never writes to a live database"
        )


@contextmanager
def throw_away_server(folder: Path) -> Iterator[None]:
    """Run a PostgreSQL of our own below a folder; libpq's variables lead to it while the block runs."""
    place = Path(tempfile.mkdtemp(prefix="drill-", dir=folder))
    if len(str(place).encode()) > SOCKET_PATH_BYTES:
        raise BackupError(f"drill: {place} is too long a path for a socket: name a shorter folder")
    data = place / "data"
    try:
        commands.output(
            [
                "initdb", f"--pgdata={data}", f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-sync",
            ]
        )  # fmt: skip
        settings = SETTINGS | {"unix_socket_directories": str(place)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        _control("start", data, f"--log={place}/log", f"--options={options}", log=place / "log")
        try:
            with leading_to({"PGHOST": str(place), "PGUSER": SUPERUSER, "PGPORT": "5432"}):
                yield
        finally:
            _control("stop", data, "--mode=immediate", log=place / "log")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _control(action: str, data: Path, *others: str, log: Path) -> None:
    """Call pg_ctl. Its output isn't read: the server inherits it and never closes it."""
    try:
        commands.run(["pg_ctl", action, "--wait", "--silent", f"--pgdata={data}", *others])
    except BackupError as error:
        said = log.read_text().strip().splitlines()[-5:] if log.exists() else []
        raise BackupError(f"{error}: {' / '.join(said)}") from error
