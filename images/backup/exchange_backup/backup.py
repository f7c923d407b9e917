"""Make a backup: the database out of one snapshot, globals and folders, or media alone; and the manifest last."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from exchange_backup import __version__, commands, crypt, manifest
from exchange_backup.archive import Members
from exchange_backup.bucket import Bucket
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.incoming import UNFINISHED
from exchange_backup.manifest import DATABASE, NO_DATABASE, Database, Manifest, Stream
from exchange_backup.media import STAGING
from exchange_backup.source import snapshot
from exchange_backup.upload import Pace, Upload

LOG: Final = logging.getLogger(__name__)
# tar's 1: a file changed or went while it was read. Media that nobody touched are whole all the same.
TAR_FINE: Final = (0, 1)
# The file system's own, which only root may read; and what is not whole yet of a restore, or a move, that is under way.
LEFT_OUT: Final = ("--exclude=./lost+found", f"--exclude=./{STAGING}*", f"--exclude=./{UNFINISHED}")


class Job:
    """One backup under way."""

    def __init__(self, config: Config, bucket: Bucket, now: datetime, series: str = DATABASE) -> None:
        """Check what can be checked before anything is sent."""
        if series == DATABASE and not config.database:
            raise BackupError("database: name the one to back up")
        if series != DATABASE and not config.media:
            raise BackupError("media: name the folders to back up")
        self.config, self.bucket, self.started, self.series = config, bucket, now, series
        self.folders = config.folders if series == DATABASE else config.media
        self.id = manifest.new_id(now)
        self.keys = crypt.recipients(config.recipients)
        self.pace = Pace(config.target.bytes_per_second)
        for name, folder in self.folders.items():
            if not Path(folder).is_dir():
                where = "folders" if series == DATABASE else series
                raise BackupError(f"{where}.{name}: {folder} is not a folder: mount it, or leave it out")

    def run(self) -> Manifest:
        """Make the backup; what fails leaves no manifest behind."""
        facts, streams = self._database() if self.series == DATABASE else (NO_DATABASE, [])
        # After the database, so that every file that it names is there.
        for name, folder in self.folders.items():
            command = ["tar", "--create", "--file=-", f"--directory={folder}", "--anchored", *LEFT_OUT, "."]
            streams.append(self.store(name, "tar", command, fine=TAR_FINE))
        made = Manifest(
            id=self.id,
            started=self.started.astimezone(UTC).isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            tool_version=__version__,
            pg_dump_version=commands.output(["pg_dump", "--version"]) if self.series == DATABASE else "",
            recipients=self.config.recipients,
            database=facts,
            streams=tuple(streams),
        )
        self.bucket.put(manifest.name_of(self.id), made.dump(), protect=True)
        return made

    def _database(self) -> tuple[Database, list[Stream]]:
        config = self.config
        with snapshot(config) as moment:
            LOG.info("backup %s of %s from the %s", self.id, config.database, moment.facts.source)
            environment = moment.environment
            streams = [
                self.store("database", "pg_dump", moment.dump_command(config.compression), environment),
                self.store("globals", "sql", moment.globals_command(role_passwords=config.role_passwords), environment),
            ]
            return moment.counted(), streams

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
            with (
                commands.Command(argv, writes=True, env=env, fine=fine) as command,
                Members() if kind == "tar" else nullcontext() as members,
            ):
                reader: Any = members.passing(command.pipe) if members else command.pipe
                plain = crypt.Digest(reader=reader)
                crypt.encrypt(plain, crypt.Guard(writer=upload), self.keys)
                command.finish()
                files = members.finish() if members else None
                if command.said():
                    LOG.warning("%s: %s", argv[0], command.said())
            segments = upload.finish()
        except BaseException:
            upload.abort()
            raise
        stream = Stream(name, kind, plain.bytes, plain.sha256, segments, files)
        of = f" of {files.count} files" if files else ""
        LOG.info("%s: %d bytes%s, %d stored", name, stream.plain_bytes, of, stream.stored_bytes)
        return stream
