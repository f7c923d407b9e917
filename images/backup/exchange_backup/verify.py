"""Read what is stored, and compare it with what the manifest says: without a key its digests, with one the content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from exchange_backup import crypt
from exchange_backup.archive import Members
from exchange_backup.bucket import Bucket, Chain, Download
from exchange_backup.crypt import READ_BYTES, Digest, Writer
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Files, Manifest, Segment, Stream


class Checked:
    """A segment whose digest is compared when its end is reached."""

    def __init__(self, bucket: Bucket, segment: Segment) -> None:
        """Remember what it must be."""
        self.download = Download(bucket, segment.name, segment.bytes)
        self.segment = segment
        self.url = bucket.url(segment.name)
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            BackupError: it isn't what was stored.
        """
        data = self.download.read(size)
        self._hash.update(data)
        if not data and self._hash.hexdigest() != self.segment.sha256:
            raise BackupError(
                f"{self.url}: what is stored is not what was written (its SHA-256 differs): use another backup"
            )
        return data


def stored(bucket: Bucket, stream: Stream) -> Chain:
    """Return a stream as it is stored, checked on the way."""
    return Chain(Checked(bucket, segment) for segment in stream.segments)


class Nowhere:
    """Takes everything."""

    def write(self, data: bytes) -> int:
        """Forget it."""
        return len(data)


def check_stored(bucket: Bucket, manifest: Manifest) -> None:
    """Read every object of a backup and compare digests.

    Raises:
        BackupError: one differs.
    """
    for stream in manifest.streams:
        reader = stored(bucket, stream)
        while reader.read(READ_BYTES):
            pass


def decrypt(bucket: Bucket, stream: Stream, keys: Sequence[Any], writer: Writer) -> None:
    """Write a stream's content.

    Raises:
        BackupError: it isn't what was backed up; what was written until then is worthless.
    """
    what = bucket.url(stream.segments[0].name)
    reader = crypt.Guard(reader=stored(bucket, stream))
    plain = Digest(writer=writer)
    crypt.decrypt(reader, plain, keys, what)
    # age's own end comes before the object's.
    while reader.read(READ_BYTES):
        pass
    if (plain.bytes, plain.sha256) != (stream.plain_bytes, stream.plain_sha256):
        raise BackupError(f"{what}: its content is not what was backed up (SHA-256 differs): use another backup")


def check_folder(bucket: Bucket, stream: Stream, keys: Sequence[Any]) -> Files:
    """Read a stored folder to its end, and return what is in it.

    Raises:
        BackupError: it isn't what was backed up.
    """
    what = bucket.url(stream.segments[0].name)
    with Members() as members:
        decrypt(bucket, stream, keys, members)
        try:
            found = members.finish()
        except BackupError as error:
            raise BackupError(f"{what}: {error}: use another backup") from error
    if stream.files and found != stream.files:
        raise BackupError(
            f"{what}: holds {found.count} files of {found.bytes} bytes, the manifest says {stream.files.count} of "
            f"{stream.files.bytes}: use another backup"
        )
    return found


def check_content(bucket: Bucket, manifest: Manifest, keys: Sequence[Any]) -> None:
    """Decrypt every stream of a backup and compare digests."""
    for stream in manifest.streams:
        decrypt(bucket, stream, keys, Nowhere())
