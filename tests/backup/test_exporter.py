"""Figures for Prometheus: what they are, their format, and what a scrape gets when the bucket is away."""

from __future__ import annotations

import dataclasses
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from exchange_backup import exporter, report
from exchange_backup.bucket import Bucket
from exchange_backup.catalog import Entry
from exchange_backup.config import Target
from exchange_backup.manifest import SERIES
from exchange_backup.report import Report

from backup.test_manifest import entry, media_manifest
from backup.test_prune import NOW, store


def told(day: int, *, ok: bool = True, kind: str = "drill") -> Report:
    at = datetime(2026, 1, day, tzinfo=UTC)
    return Report(kind, ok=ok, finished=at.isoformat(), seconds=7.5)


def values(entries: list[Entry], **reports: list[Report]) -> dict[str, float]:
    return {
        name.removeprefix("exchange_backup_")
        + "".join(f"/{value}" for label, value in labels.items() if (label, value) != ("series", "database")): number
        for name, labels, number in exporter.samples(entries, reports)
    }


def test_the_newest_good_backup_counts() -> None:
    entries = [entry("a", 0), entry("b", 1), entry("c", 2, "c has 3 bytes"), Entry("d", (), None, "no manifest: ...")]
    found = values(entries)
    finished = datetime(2026, 1, 2, 3, 1, 30, tzinfo=UTC).timestamp()
    assert found == {
        "good": 2,
        "damaged": 1,
        "last_success_timestamp_seconds": finished,
        "last_duration_seconds": 90,
        "last_stored_bytes": 100,
        "last_plain_bytes": 90,
        "previous_plain_bytes": 90,
        "last_rows/posting": 3,
    }


def test_media_are_a_series_of_their_own() -> None:
    media = [dataclasses.replace(one, manifest=media_manifest(one.id)) for one in (entry("m", 0), entry("n", 1))]
    found = values([entry("a", 0), *media], **{"media-drill": [told(2, kind="media-drill")]})
    assert found["good"] == 1
    assert found["good/media"] == 2
    assert found["last_plain_bytes/media"] == 70
    assert found["last_verified_timestamp_seconds/media"] == datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    assert "last_verified_timestamp_seconds" not in found
    assert found["report_success/media-drill"] == 1


def test_media_that_are_expected_and_not_there_are_none() -> None:
    told_of = {(name, labels.get("series")): value for name, labels, value in exporter.samples([], {}, SERIES)}
    assert told_of["exchange_backup_good", "media"] == 0
    assert ("exchange_backup_last_success_timestamp_seconds", "media") not in told_of


def test_without_a_backup_there_is_no_time_of_one() -> None:
    assert values([]) == {"good": 0, "damaged": 0}


def test_the_last_proof_counts_and_the_last_failure() -> None:
    found = values([], drill=[told(1), told(2), told(3, ok=False)], backup=[told(3, kind="backup")])
    assert found["last_verified_timestamp_seconds"] == datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    assert found["report_success/drill"] == 0
    assert found["report_success/backup"] == 1
    assert found["reports_failed/drill"] == 1
    assert found["report_duration_seconds/drill"] == 7.5


def test_the_text_is_prometheus_format() -> None:
    listed = [
        ("exchange_backup_last_rows", {"table": 'a"b\\c\n'}, 3.0),
        ("exchange_backup_good", {}, 2.0),
        ("exchange_backup_last_rows", {"table": "d"}, 12345678901.0),
    ]
    assert exporter.text(listed, "offsite").splitlines() == [
        "# HELP exchange_backup_good Backups that are whole, as far as sizes tell.",
        "# TYPE exchange_backup_good gauge",
        'exchange_backup_good{target="offsite"} 2',
        "# HELP exchange_backup_last_rows Rows of a table in the newest good backup.",
        "# TYPE exchange_backup_last_rows gauge",
        r'exchange_backup_last_rows{target="offsite",table="a\"b\\c\n"} 3',
        'exchange_backup_last_rows{target="offsite",table="d"} 12345678901',
    ]


@contextmanager
def served(bucket: Bucket) -> Iterator[http.client.HTTPConnection]:
    with exporter.server(bucket, 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", running.server_address[1], timeout=30)
        try:
            yield connection
        finally:
            connection.close()
            running.shutdown()
            thread.join()


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_scrape(target: Target) -> None:
    bucket = Bucket(target)
    store(bucket, NOW)
    finished = (NOW + timedelta(hours=1)).isoformat()
    report.write(bucket, Report("drill", ok=True, finished=finished, seconds=5, backup="x"))
    with served(bucket) as connection:
        status, text = get(connection, "/metrics")
        assert status == 200
        lines = text.splitlines()
        labels = 'target="offsite",series="database"'
        assert 'exchange_backup_bucket_up{target="offsite"} 1' in lines
        assert f"exchange_backup_last_success_timestamp_seconds{{{labels}}} {NOW.timestamp() + 9:.0f}" in lines
        assert f"exchange_backup_last_verified_timestamp_seconds{{{labels}}} {NOW.timestamp() + 3600:.0f}" in lines
        assert get(connection, "/healthz") == (200, "ok\n")
        assert get(connection, "/other")[0] == 404
        # The bucket isn't asked at every scrape.
        store(bucket, NOW + timedelta(days=1))
        assert get(connection, "/metrics")[1] == text


def test_without_the_bucket_there_are_no_old_figures(target: Target) -> None:
    bucket = Bucket(dataclasses.replace(target, bucket="not-there"))
    with served(bucket) as connection:
        status, text = get(connection, "/metrics")
        assert status == 200
        assert [line for line in text.splitlines() if not line.startswith("#")] == [
            'exchange_backup_bucket_up{target="offsite"} 0'
        ]
        assert get(connection, "/healthz")[0] == 200
