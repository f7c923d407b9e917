"""Parts, segments, pace and options of uploads, against moto's S3."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from exchange_backup.bucket import Bucket
from exchange_backup.config import MIB, Target
from exchange_backup.upload import Pace, Upload
from moto import mock_aws

TARGET = Target(bucket="backups", prefix="prod", region="us-east-1", part_mib=5, segment_mib=12, attempts=1)


@pytest.fixture(autouse=True)
def _moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with mock_aws():
        Bucket(TARGET).client.create_bucket(Bucket="backups", ObjectLockEnabledForBucket=True)
        yield


def upload(target: Target, data: bytes, piece: int) -> tuple[Bucket, Upload]:
    bucket = Bucket(target)
    made = Upload(bucket, "stream", Pace(0))
    for start in range(0, len(data), piece):
        made.write(data[start : start + piece])
    return bucket, made


@pytest.mark.parametrize(
    ("size", "segments"),
    [
        (0, [0]),
        (1, [1]),
        (5 * MIB, [5 * MIB]),
        (12 * MIB, [12 * MIB]),
        (12 * MIB + 1, [10 * MIB, 2 * MIB + 1]),
        (24 * MIB, [10 * MIB, 10 * MIB, 4 * MIB]),
    ],
)
@pytest.mark.parametrize("piece", [65536, 7 * MIB])
def test_what_is_written_is_stored(size: int, segments: list[int], piece: int) -> None:
    data = hashlib.shake_128(b"seed").digest(size)
    bucket, made = upload(TARGET, data, piece)
    found = made.finish()
    assert [segment.bytes for segment in found] == segments
    stored = [
        bucket.client.get_object(Bucket="backups", Key=bucket.key(segment.name))["Body"].read() for segment in found
    ]
    assert b"".join(stored) == data
    assert [segment.sha256 for segment in found] == [hashlib.sha256(one).hexdigest() for one in stored]


def test_all_parts_but_the_last_have_one_size() -> None:
    sizes: dict[int, int] = {}
    bucket, made = upload(dataclasses.replace(TARGET, segment_mib=64), b"", 1)
    send = bucket.client.upload_part

    def spy(**options: Any) -> Any:
        sizes[options["PartNumber"]] = len(options["Body"])
        return send(**options)

    bucket.client.upload_part = spy  # type: ignore[method-assign]
    for _ in range(23):
        made.write(bytes(MIB))
    made.finish()
    assert sizes == {1: 5 * MIB, 2: 5 * MIB, 3: 5 * MIB, 4: 5 * MIB, 5: 3 * MIB}


def test_no_more_parts_are_in_memory_than_are_sent_at_once() -> None:
    bucket, made = upload(dataclasses.replace(TARGET, segment_mib=640, uploads_at_once=2), b"", 1)
    may_go, inside, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def slow(**options: Any) -> Any:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        may_go.wait(30)
        with lock:
            inside -= 1
        return {"ETag": str(options["PartNumber"])}

    bucket.client.upload_part = slow  # type: ignore[method-assign]
    for _ in range(10):
        made.write(bytes(MIB))
    writer = threading.Thread(target=made.write, args=(bytes(5 * MIB),))
    writer.start()
    writer.join(0.3)
    assert writer.is_alive(), "a third part doesn't wait for the first"
    may_go.set()
    writer.join(30)
    assert most == 2
    made.abort()


def test_an_aborted_upload_leaves_nothing() -> None:
    bucket, made = upload(TARGET, bytes(11 * MIB), MIB)
    made.abort()
    assert bucket.sizes("") == {}
    assert bucket.stale_uploads(datetime.now(UTC) + timedelta(hours=1)) == []


def test_every_object_carries_the_target_s_options() -> None:
    options = {
        "server_side_encryption": "aws:kms",
        "kms_key": "key",
        "storage_class": "STANDARD_IA",
        "lock_mode": "GOVERNANCE",
        "lock_days": 30,
    }
    bucket, made = upload(dataclasses.replace(TARGET, **options), b"x", 1)  # type: ignore[arg-type]
    made.finish()
    bucket.put("manifest", b"{}", protect=True)
    for name in ("stream", "manifest"):
        head = bucket.client.head_object(Bucket="backups", Key=bucket.key(name))
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == "key"
        assert head["StorageClass"] == "STANDARD_IA"
    # moto forgets the lock of multipart uploads; test_credentials.py tries it on a server that doesn't.
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert timedelta(days=29) < head["ObjectLockRetainUntilDate"] - datetime.now(UTC) < timedelta(days=31)


def test_whether_overwriting_is_prevented() -> None:
    assert Bucket(TARGET).overwriting_is_prevented()
    Bucket(TARGET).client.create_bucket(Bucket="open")
    open_bucket = Bucket(dataclasses.replace(TARGET, bucket="open"))
    assert not open_bucket.overwriting_is_prevented()
    open_bucket.client.put_bucket_versioning(Bucket="open", VersioningConfiguration={"Status": "Enabled"})
    assert open_bucket.overwriting_is_prevented()


def test_deleting_many_objects() -> None:
    bucket = Bucket(TARGET)
    for number in range(3):
        bucket.put(f"some/{number}", b"{}", protect=False)
    bucket.put("other", b"{}", protect=False)
    bucket.delete(bucket.sizes("some/"))
    assert bucket.sizes("") == {"other": 2}


@pytest.mark.parametrize(
    ("rate", "spent", "waits"),
    [
        (0, [(0, 100), (0, 100)], [0, 0]),
        (10, [(0, 100), (0, 50), (0, 10)], [0, 10, 5]),
        # What wasn't used before isn't saved up.
        (10, [(0, 10), (60, 100), (0, 10)], [0, 0, 10]),
    ],
)
def test_the_pace(rate: int, spent: list[tuple[float, int]], waits: list[float]) -> None:
    now, slept = 0.0, 0.0

    def sleep(seconds: float) -> None:
        nonlocal now, slept
        now += seconds
        slept += seconds

    pace = Pace(rate, lambda: now, sleep)
    found = []
    for pause, count in spent:
        now += pause
        slept = 0.0
        pace.spend(count)
        found.append(slept)
    assert found == waits
