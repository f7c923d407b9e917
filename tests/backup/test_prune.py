"""Pruning: what retention doesn't keep, what never finished, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from exchange_backup import catalog, prune, report
from exchange_backup.bucket import Bucket
from exchange_backup.cli import main
from exchange_backup.config import Config, Retention, Target
from exchange_backup.manifest import Segment, Stream, new_id
from exchange_backup.report import Report

from backup.conftest import write
from backup.test_manifest import manifest

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
KEEP_TWO = Retention(daily=2, weekly=0, monthly=0, yearly=0)


def store(bucket: Bucket, begun: datetime, *, finished: bool = True) -> str:
    """Put a small backup of a time into the bucket."""
    backup = new_id(begun)
    segment = Segment(f"backups/{backup}/database.age", 2, "0" * 64)
    made = dataclasses.replace(
        manifest(backup),
        started=begun.isoformat(),
        finished=(begun + timedelta(seconds=9)).isoformat(),
        streams=(Stream("database", "pg_dump", 1, "0" * 64, (segment,)),),
    )
    bucket.put(segment.name, b"{}", protect=False)
    if finished:
        bucket.put(f"backups/{backup}/manifest.json", made.dump(), protect=False)
    return backup


@pytest.fixture
def bucket(target: Target) -> Bucket:
    """Return an empty bucket."""
    return Bucket(target)


def ids(bucket: Bucket) -> list[str]:
    return [entry.id for entry in catalog.entries(bucket)]


def test_what_retention_doesn_t_keep_goes(bucket: Bucket) -> None:
    made = [store(bucket, NOW - timedelta(days=days)) for days in (4, 3, 2, 1)]
    bucket.put("other/file", b"not ours", protect=False)
    done = prune.run(bucket, Config(bucket.target, retention=KEEP_TWO), NOW)
    assert ids(bucket) == made[2:] == sorted(done.kept)
    assert bucket.sizes("other/") == {"other/file": 8}


def test_what_never_finished_goes_after_a_day(bucket: Bucket) -> None:
    good = store(bucket, NOW - timedelta(days=5))
    store(bucket, NOW - timedelta(hours=25), finished=False)
    running = store(bucket, NOW - timedelta(hours=23), finished=False)
    bucket.put("backups/somebody-s/notes.txt", b"a name that isn't ours", protect=False)
    prune.run(bucket, Config(bucket.target, retention=KEEP_TWO), NOW)
    assert ids(bucket) == [good, running, "somebody-s"]


def test_a_damaged_backup_is_left_and_doesn_t_count(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    good = [store(bucket, NOW - timedelta(days=days)) for days in (4, 3)]
    damaged = store(bucket, NOW - timedelta(days=1))
    bucket.put(f"backups/{damaged}/database.age", b"another size", protect=False)
    done = prune.run(bucket, Config(bucket.target, retention=KEEP_TWO), NOW)
    assert ids(bucket) == [*good, damaged]
    assert [entry.id for entry in done.damaged] == [damaged]
    assert f"{damaged} is damaged and left as it is" in caplog.text


def test_uploads_that_never_finished_are_aborted_after_a_day(bucket: Bucket) -> None:
    bucket.client.create_multipart_upload(Bucket=bucket.target.bucket, Key="prod/backups/x/database.age")
    bucket.client.create_multipart_upload(Bucket=bucket.target.bucket, Key="elsewhere/x")
    config = Config(bucket.target, retention=KEEP_TWO)
    assert prune.run(bucket, config, datetime.now(UTC)).uploads == ()
    later = datetime.now(UTC) + timedelta(hours=25)
    assert [key for key, _ in prune.run(bucket, config, later).uploads] == ["prod/backups/x/database.age"]
    left = bucket.client.list_multipart_uploads(Bucket=bucket.target.bucket)["Uploads"]
    assert [item["Key"] for item in left] == ["elsewhere/x"]


def test_old_reports_go_but_the_last_and_those_of_proofs(bucket: Bucket) -> None:
    kept = store(bucket, NOW - timedelta(days=90))
    for days, kind, backup in [
        (80, "drill", kept), (70, "drill", "gone"), (60, "backup", "gone"), (1, "drill", "gone"), (50, "backup", kept),
    ]:  # fmt: skip
        finished = (NOW - timedelta(days=days)).isoformat()
        report.write(bucket, Report(kind, ok=True, finished=finished, seconds=1, backup=backup))
    prune.run(bucket, Config(bucket.target, retention=KEEP_TWO), NOW)
    assert [(one.backup, one.at) for one in report.read(bucket, "drill")] == [
        (kept, NOW - timedelta(days=80)),
        ("gone", NOW - timedelta(days=1)),
    ]
    assert [one.at for one in report.read(bucket, "backup")] == [NOW - timedelta(days=50)]


def test_what_isn_t_a_report_is_left_out(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    for number, document in enumerate([{"kind": "drill"}, [], {"kind": "x", "ok": True, "finished": "", "seconds": 1}]):
        bucket.put(f"reports/drill/{number}.json", json.dumps(document).encode(), protect=False)
    assert report.read(bucket, "drill") == []
    assert caplog.text.count("is not a report") == 3


def test_the_command_says_what_it_would_do_and_does_it(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    now = datetime.now(UTC)
    made = [store(bucket, now - timedelta(days=days)) for days in (3, 2, 1)]
    file = write(Config(bucket.target, retention=KEEP_TWO), tmp_path)
    assert main([f"--config={file}", "prune", "--dry-run"]) == 0
    assert f"would remove {made[0]}" in caplog.text
    assert ids(bucket) == made
    assert main([f"--config={file}", "prune"]) == 0
    assert ids(bucket) == made[1:]
    assert "neither versioning nor object lock" in caplog.text
    (told,) = report.read(bucket, "prune")
    assert told.figures == {"kept": 2, "removed": 1, "damaged": 0}
