"""Make a backup: the database out of one snapshot, then globals and folders, and the manifest last."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from exchange_backup import __version__, commands, crypt, manifest
from exchange_backup.bucket import Bucket
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Manifest, Stream
from exchange_backup.source import snapshot
from exchange_backup.upload import Pace, Upload

LOG: Final = logging.getLogger(__name__)
# tar's 1: a file changed or went while it was read. Media that nobody touched are whole all the same.
TAR_FINE: Final = (0, 1)


class Job:
    """One backup under way."""

    def __init__(self, config: Config, bucket: Bucket, now: datetime) -> None:
        """Check what can be checked before anything is sent."""
        if not config.database:
            raise BackupError("database: name the one to back up")
        self.config, self.bucket, self.started = config, bucket, now
        self.id = manifest.new_id(now)
        self.keys = crypt.recipients(config.recipients)
        self.pace = Pace(config.target.bytes_per_second)
        for name, folder in config.folders.items():
            if not Path(folder).is_dir():
                raise BackupError(f"folders.{name}: {folder} is not a folder: mount it, or leave it out")

    def run(self) -> Manifest:
        """Make the backup; what fails leaves no manifest behind."""
        config = self.config
        with snapshot(config) as moment:
            LOG.info("backup %s of %s from the %s", self.id, config.database, moment.facts.source)
            environment = moment.environment
            streams = [
                self.store("database", "pg_dump", moment.dump_command(config.compression), environment),
                self.store("globals", "sql", moment.globals_command(role_passwords=config.role_passwords), environment),
            ]
            facts = moment.counted()
        # After the database, so that every file that it names is there.
        for name, folder in config.folders.items():
            command = ["tar", "--create", "--file=-", f"--directory={folder}", "."]
            streams.append(self.store(name, "tar", command, fine=TAR_FINE))
        made = Manifest(
            id=self.id,
            started=self.started.astimezone(UTC).isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            tool_version=__version__,
            pg_dump_version=commands.output(["pg_dump", "--version"]),
            recipients=config.recipients,
            database=facts,
            streams=tuple(streams),
        )
        self.bucket.put(manifest.name_of(self.id), made.dump(), protect=True)
        return made

    def store(
        self,
        name: str,
        kind: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        fine: Collection[int] = (0,),
    ) -> Stream:
        """Encrypt what a program writes, and store it. Nothing is whole before the program has ended well."""
        upload = Upload(self.bucket, f"{manifest.FOLDER}{self.id}/{name}.age", self.pace)
        try:
            with commands.Command(argv, writes=True, env=env, fine=fine) as command:
                plain: Any = crypt.Digest(reader=command.pipe)
                crypt.encrypt(plain, crypt.Guard(writer=upload), self.keys)
                command.finish()
                if command.said():
                    LOG.warning("%s: %s", argv[0], command.said())
            segments = upload.finish()
        except BaseException:
            upload.abort()
            raise
        stream = Stream(name, kind, plain.bytes, plain.sha256, segments)
        LOG.info("%s: %d bytes, %d stored", name, stream.plain_bytes, stream.stored_bytes)
        return stream
