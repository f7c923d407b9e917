"""What is known of a backup. It is written last: a backup is one only when its manifest is there."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from exchange_backup.errors import BackupError

FORMAT: Final = 1
FOLDER: Final = "backups/"
NAME: Final = "manifest.json"
SHA256_DIGITS: Final = 64


@dataclass(frozen=True)
class Segment:
    """One stored object: its name below the prefix, and what it must be."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Files:
    """The files of a folder: how many, and their bytes together."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Stream:
    """One encrypted stream: `database`, `globals`, or the name of a folder."""

    name: str
    kind: str
    plain_bytes: int
    plain_sha256: str
    segments: tuple[Segment, ...]
    files: Files | None = None

    @property
    def stored_bytes(self) -> int:
        """Return how much is stored."""
        return sum(segment.bytes for segment in self.segments)


@dataclass(frozen=True)
class Database:
    """The database in the very snapshot that was dumped."""

    name: str
    server_version: str
    system_identifier: str
    source: str
    wal_lsn: str
    bytes: int
    migrations: Mapping[str, str]
    rows: Mapping[str, int]


# Of a backup of media alone.
NO_DATABASE: Final = Database("", "", "", "", "", 0, {}, {})
DATABASE, MEDIA = SERIES = ("database", "media")


@dataclass(frozen=True)
class Manifest:
    """One backup. Times are UTC, ISO 8601."""

    id: str
    started: str
    finished: str
    tool_version: str
    pg_dump_version: str
    recipients: tuple[str, ...]
    database: Database
    streams: tuple[Stream, ...]
    format: int = FORMAT

    @property
    def series(self) -> str:
        """Return what it is a backup of: each series has a newest, a retention and a proof of its own."""
        return MEDIA if self.database == NO_DATABASE else DATABASE

    @property
    def taken(self) -> datetime:
        """Return when it began."""
        return datetime.fromisoformat(self.started)

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return (datetime.fromisoformat(self.finished) - self.taken).total_seconds()

    @property
    def stored_bytes(self) -> int:
        """Return how much is stored."""
        return sum(stream.stored_bytes for stream in self.streams)

    def stream(self, name: str) -> Stream:
        """Return a stream by name."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        known = ", ".join(stream.name for stream in self.streams)
        raise BackupError(f"backup {self.id} has no {name}; it has {known}")

    def dump(self) -> bytes:
        """Return the document."""
        found = dataclasses.asdict(self)
        if self.series == MEDIA:
            found["database"] = None
        return json.dumps(found, indent=1).encode() + b"\n"


def new_id(now: datetime) -> str:
    """Return a name that sorts by time and that no other job takes."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def name_of(backup: str) -> str:
    """Return the manifest's name below the prefix."""
    return f"{FOLDER}{backup}/{NAME}"


def load(document: bytes, backup: str) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        BackupError: it isn't one, or is another backup's.
    """
    try:
        found = json.loads(document)
        if found.get("format") != FORMAT:
            raise BackupError(f"backup {backup}: its manifest has format {found.get('format')!r}, this is for {FORMAT}")
        found["streams"] = tuple(_stream(item) for item in found["streams"])
        found["database"] = NO_DATABASE if found["database"] is None else Database(**found["database"])
        found["recipients"] = tuple(found["recipients"])
        manifest = Manifest(**found)
        _check(manifest, backup)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"backup {backup}: its manifest is damaged ({error!r}): use another backup") from error
    return manifest


def _stream(found: dict[str, Any]) -> Stream:
    segments = tuple(Segment(**item) for item in found["segments"])
    files = found.get("files")
    return Stream(**{**found, "segments": segments, "files": Files(**files) if files else None})


def _check(manifest: Manifest, backup: str) -> None:
    """Refuse what can't be right, whoever wrote it: names lead to the backup's own objects alone."""
    if manifest.id != backup:
        raise ValueError(f"it is of {manifest.id}")
    if manifest.seconds < 0 or manifest.taken.tzinfo is None:
        raise ValueError("its times are wrong")
    names = [stream.name for stream in manifest.streams]
    # What is restored as a database must be one, and what is unpacked as media a folder.
    if not names or len(set(names)) < len(names) or ("database" in names) != (manifest.series == DATABASE):
        raise ValueError(f"its streams are {names}")
    for stream in manifest.streams:
        if not stream.segments:
            raise ValueError(f"{stream.name} has no object")
        for segment in stream.segments:
            if not segment.name.startswith(f"{FOLDER}{backup}/") or ".." in segment.name.split("/"):
                raise ValueError(f"{segment.name} is not of this backup")
            if segment.bytes < 0 or len(segment.sha256) != SHA256_DIGITS:
                raise ValueError(f"size or digest of {segment.name}")
