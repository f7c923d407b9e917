"""The S3 surface: put, get, list, delete, and what protects what is stored. Credentials are boto3's own affair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from exchange_backup import __version__
from exchange_backup.config import Target
from exchange_backup.crypt import Reader
from exchange_backup.errors import BackupError, code, s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS, READ_SECONDS = 10, 60
# More than a manifest of a thousand segments has.
DOCUMENT_BYTES: Final = 16 << 20
DELETED_AT_ONCE: Final = 1000
# What S3 says of a bucket that has no object lock, by service.
NO_LOCK: Final = frozenset({"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented"})


class Bucket:
    """A bucket below a prefix. Keys are relative to the prefix."""

    def __init__(self, target: Target) -> None:
        """Make a client; nothing is asked yet."""
        self.target = target
        addressing = {"addressing_style": "path" if target.path_style else "auto"}
        with s3("set up the S3 client"):
            try:
                self.client: S3Client = boto3.session.Session().client(
                    "s3",
                    endpoint_url=target.endpoint or None,
                    region_name=target.region or None,
                    verify=target.ca_file or None,
                    config=ClientConfig(
                        retries={"mode": "standard", "total_max_attempts": target.attempts},
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=READ_SECONDS,
                        max_pool_connections=target.uploads_at_once + 2,
                        user_agent_extra=f"exchange-backup/{__version__}",
                        s3=addressing,  # type: ignore[arg-type]  # the stubs know it as a typed mapping
                    ),
                )
            except ValueError as error:
                raise BackupError(f"target.endpoint {target.endpoint}: {error}") from error

    def key(self, name: str) -> str:
        """Return the whole key."""
        return f"{self.target.prefix}/{name}" if self.target.prefix else name

    def url(self, name: str) -> str:
        """Return what a person calls it."""
        return f"s3://{self.target.bucket}/{self.key(name)}"

    def protection(self) -> dict[str, Any]:
        """Return the options of every object of a backup: encryption, class, lock."""
        target = self.target
        options: dict[str, Any] = {}
        if target.server_side_encryption:
            options["ServerSideEncryption"] = target.server_side_encryption
        if target.kms_key:
            options["SSEKMSKeyId"] = target.kms_key
        if target.storage_class:
            options["StorageClass"] = target.storage_class
        if target.lock_mode:
            options["ObjectLockMode"] = target.lock_mode
            options["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(days=target.lock_days)
        return options

    def put(self, name: str, body: bytes, *, protect: bool) -> None:
        """Store a small document."""
        options = self.protection() if protect else {}
        with s3(f"store {self.url(name)}"):
            self.client.put_object(
                Bucket=self.target.bucket, Key=self.key(name), Body=body, ContentType="application/json", **options
            )

    def get(self, name: str) -> bytes:
        """Return a small document."""
        with s3(f"read {self.url(name)}"):
            found = self.client.get_object(Bucket=self.target.bucket, Key=self.key(name))
            if found["ContentLength"] > DOCUMENT_BYTES:
                raise BackupError(f"read {self.url(name)}: {found['ContentLength']} bytes are too many for a document")
            return found["Body"].read()

    def sizes(self, below: str) -> dict[str, int]:
        """Return the size of every object below a name."""
        found: dict[str, int] = {}
        strip = len(self.key(""))
        with s3(f"list {self.url(below)}"):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.target.bucket, Prefix=self.key(below)):
                found |= {item["Key"][strip:]: item["Size"] for item in page.get("Contents", [])}
        return found

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, in this order.

        Raises:
            BackupError: some are left.
        """
        listed = [{"Key": self.key(name)} for name in names]
        for start in range(0, len(listed), DELETED_AT_ONCE):
            some: Any = listed[start : start + DELETED_AT_ONCE]
            with s3(f"delete {len(some)} objects of s3://{self.target.bucket}"):
                answer = self.client.delete_objects(Bucket=self.target.bucket, Delete={"Objects": some, "Quiet": True})
            left = [f"{item.get('Key')} ({item.get('Code')})" for item in answer.get("Errors", [])]
            if left:
                raise BackupError(f"delete of s3://{self.target.bucket}: still there: {', '.join(left[:5])}")

    def stale_uploads(self, before: datetime) -> list[tuple[str, str]]:
        """Return key and upload id of multipart uploads that began before a time and never finished."""
        found: list[tuple[str, str]] = []
        with s3(f"list unfinished uploads of s3://{self.target.bucket}"):
            pages = self.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.target.bucket, Prefix=self.key("")):
                found += [
                    (item["Key"], item["UploadId"]) for item in page.get("Uploads", []) if item["Initiated"] < before
                ]
        return found

    def abort(self, key: str, upload: str) -> None:
        """Forget a multipart upload and what it has stored. The key is a whole one."""
        with s3(f"abort the upload of s3://{self.target.bucket}/{key}"):
            self.client.abort_multipart_upload(Bucket=self.target.bucket, Key=key, UploadId=upload)

    def overwriting_is_prevented(self) -> bool:
        """Say whether a put can't destroy what is there: by versioning, which object lock brings along."""
        with s3(f"read the settings of s3://{self.target.bucket}"):
            if self.client.get_bucket_versioning(Bucket=self.target.bucket).get("Status") == "Enabled":
                return True
            try:
                lock = self.client.get_object_lock_configuration(Bucket=self.target.bucket)
            except ClientError as error:
                if code(error) in NO_LOCK:
                    return False
                raise
        return lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"


class Download:
    """One object, read from beginning to end; a connection that breaks is made anew where it broke."""

    def __init__(self, bucket: Bucket, name: str, size: int) -> None:
        """Remember what to read."""
        self.bucket, self.name, self.size = bucket, name, size
        self.position = 0
        self._body: Any = None
        self._failures = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            BackupError: it can't be read, or has another size than the manifest says.
        """
        what = f"read {self.bucket.url(self.name)}"
        while self.position < self.size:
            with s3(what):
                try:
                    data: bytes = self._stream(what).read(self.size - self.position if size < 0 else size)
                except (BotoCoreError, OSError):
                    self._body = None
                    self._failures += 1
                    if self._failures >= self.bucket.target.attempts:
                        raise
                    continue
            if not data:
                raise BackupError(f"{what}: ends after {self.position} of {self.size} bytes: use another backup")
            self.position += len(data)
            return data
        return b""

    def _stream(self, what: str) -> Any:
        if self._body is None:
            answer = self.bucket.client.get_object(
                Bucket=self.bucket.target.bucket,
                Key=self.bucket.key(self.name),
                Range=f"bytes={self.position}-",
            )
            total = int(answer.get("ContentRange", f"/{answer['ContentLength']}").rpartition("/")[2])
            if total != self.size:
                raise BackupError(
                    f"{what}: has {total} bytes, the manifest says {self.size}: it was cut off or replaced; "
                    "use another backup"
                )
            self._body = answer["Body"]
        return self._body


class Chain:
    """Readers, one after the other."""

    def __init__(self, readers: Iterator[Reader]) -> None:
        """Begin with the first."""
        self._rest = readers
        self._now = next(readers, None)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end."""
        while self._now is not None:
            data = self._now.read(size)
            if data:
                return data
            self._now = next(self._rest, None)
        return b""
