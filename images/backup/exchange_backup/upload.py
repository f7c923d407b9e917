"""Streams into S3: written as they come, in parts, and an object only once they are whole."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from exchange_backup.bucket import Bucket
from exchange_backup.config import MIB
from exchange_backup.errors import BackupError, s3
from exchange_backup.manifest import Segment

LOG: Final = logging.getLogger(__name__)


class Pace:
    """A limit on bytes per second, over everything that is sent; 0 is none."""

    def __init__(
        self,
        bytes_per_second: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin now."""
        self.rate, self.clock, self.sleep = bytes_per_second, clock, sleep
        self._free_at = clock()

    def spend(self, count: int) -> None:
        """Wait until so many bytes more may be sent. What wasn't sent before is not saved up."""
        if not self.rate:
            return
        begin = max(self._free_at, self.clock())
        self._free_at = begin + count / self.rate
        wait = begin - self.clock()
        if wait > 0:
            self.sleep(wait)


class Upload:
    """A stream that becomes one object or several: NAME, NAME.001, NAME.002, ...

    Only so many parts as are sent at once, and the one that is filled, are in memory. A segment becomes an object when
    the next begins or the stream is finished.
    """

    def __init__(self, bucket: Bucket, name: str, pace: Pace) -> None:
        """Begin; nothing is sent yet."""
        self.bucket, self.name, self.pace = bucket, name, pace
        self.part_bytes = bucket.target.part_mib * MIB
        self.segment_bytes = bucket.target.segment_mib * MIB
        self.segments: list[Segment] = []
        self._filling: list[bytes] = []
        self._room = self.part_bytes
        self._pool = ThreadPoolExecutor(bucket.target.uploads_at_once, thread_name_prefix="upload")
        self._sending: deque[Future[dict[str, Any]]] = deque()
        self._open: Object | None = None

    def write(self, data: bytes) -> None:
        """Take data; wait while too much is under way."""
        while len(data) >= self._room:
            self._filling.append(data[: self._room])
            data = data[self._room :]
            self._send(b"".join(self._filling))
            self._filling, self._room = [], self.part_bytes
        self._filling.append(data)
        self._room -= len(data)

    def finish(self) -> tuple[Segment, ...]:
        """Send what is left and make the last object."""
        left = b"".join(self._filling)
        self._filling = []
        if left or not self._open:
            self._send(left)
        self._complete()
        self._pool.shutdown()
        return tuple(self.segments)

    def abort(self) -> None:
        """Forget the segment that isn't whole. Whole ones without a manifest are left to pruning."""
        for future in self._sending:
            future.cancel()
        self._pool.shutdown(cancel_futures=True)
        if self._open:
            # What is left behind is aborted by the pruning job after a day.
            with contextlib.suppress(BackupError):
                self.bucket.abort(self.bucket.key(self._open.name), self._open.upload)

    def _send(self, part: bytes) -> None:
        if self._open and self._open.bytes + len(part) > self.segment_bytes:
            self._complete()
        if not self._open:
            count = len(self.segments)
            self._open = Object(self.bucket, f"{self.name}.{count:03d}" if count else self.name)
        if len(self._sending) >= self.bucket.target.uploads_at_once:
            self._open.sent.append(self._sending.popleft().result())
        self._open.count(part)
        self.pace.spend(len(part))
        self._sending.append(self._pool.submit(self._open.send, self._open.parts, part))

    def _complete(self) -> None:
        assert self._open is not None  # noqa: S101
        while self._sending:
            self._open.sent.append(self._sending.popleft().result())
        self.segments.append(self._open.complete())
        self._open = None


class Object:
    """One multipart upload."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        """Begin it."""
        self.bucket, self.name = bucket, name
        self.bytes = self.parts = 0
        self.sent: list[dict[str, Any]] = []
        self._hash = hashlib.sha256()
        with s3(f"upload {bucket.url(name)}"):
            self.upload = bucket.client.create_multipart_upload(
                Bucket=bucket.target.bucket,
                Key=bucket.key(name),
                ContentType="application/octet-stream",
                **self._checksums(),
                **bucket.protection(),
            )["UploadId"]

    def _checksums(self) -> dict[str, Any]:
        """Have S3 check each part by itself, unless boto3 is told that the service can't."""
        wanted = self.bucket.client.meta.config.request_checksum_calculation  # type: ignore[attr-defined]
        return {"ChecksumAlgorithm": "CRC32"} if wanted == "when_supported" else {}

    def count(self, part: bytes) -> None:
        """Number the part and take it into the digest."""
        self.parts += 1
        self.bytes += len(part)
        self._hash.update(part)

    def send(self, number: int, part: bytes) -> dict[str, Any]:
        """Send a part, in a thread of the pool."""
        with s3(f"upload {self.bucket.url(self.name)} (part {number})"):
            answer = self.bucket.client.upload_part(
                Bucket=self.bucket.target.bucket,
                Key=self.bucket.key(self.name),
                PartNumber=number,
                UploadId=self.upload,
                Body=part,
            )
        checksums = {
            name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"
        }
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def complete(self) -> Segment:
        """Make the object of its parts."""
        with s3(f"finish {self.bucket.url(self.name)}"):
            self.bucket.client.complete_multipart_upload(
                Bucket=self.bucket.target.bucket,
                Key=self.bucket.key(self.name),
                UploadId=self.upload,
                MultipartUpload={"Parts": self.sent},  # type: ignore[typeddict-item]  # they are what S3 answered
            )
        return Segment(self.name, self.bytes, self._hash.hexdigest())
