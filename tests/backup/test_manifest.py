"""Manifests: what is written is read again, and what can't be right is refused."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from exchange_backup.catalog import Entry, choose, problem
from exchange_backup.errors import BackupError
from exchange_backup.manifest import NO_DATABASE, Database, Files, Manifest, Segment, Stream, load, new_id

ID = "20260101T030000Z-abcdef"
DIGEST = "0" * 64


def manifest(backup: str = ID, days: int = 0) -> Manifest:
    begun = datetime(2026, 1, 1, 3, tzinfo=UTC) + timedelta(days=days)
    segment = Segment(f"backups/{backup}/database.age", 100, DIGEST)
    return Manifest(
        id=backup,
        started=begun.isoformat(),
        finished=(begun + timedelta(seconds=90)).isoformat(),
        tool_version="1",
        pg_dump_version="17",
        recipients=("age1abc",),
        database=Database("exchange", "17.2", "7", "replica", "0/1", 1, {"ledger": "0001"}, {"posting": 3}),
        streams=(Stream("database", "pg_dump", 90, DIGEST, (segment,)),),
    )


def media_manifest(backup: str = ID, days: int = 0) -> Manifest:
    segment = Segment(f"backups/{backup}/media.age", 80, DIGEST)
    stream = Stream("media", "tar", 70, DIGEST, (segment,), Files(2, 50))
    return dataclasses.replace(manifest(backup, days), pg_dump_version="", database=NO_DATABASE, streams=(stream,))


@pytest.mark.parametrize(("made", "series"), [(manifest(), "database"), (media_manifest(), "media")])
def test_what_is_written_is_read_again(made: Manifest, series: str) -> None:
    assert load(made.dump(), ID) == made
    assert made.series == series
    assert made.seconds == 90


def test_media_have_no_database_in_their_manifest() -> None:
    assert json.loads(media_manifest().dump())["database"] is None


@pytest.mark.parametrize("one", [manifest(), media_manifest()])
def test_a_manifest_of_one_series_with_streams_of_the_other_is_refused(one: Manifest) -> None:
    other = media_manifest() if one.series == "database" else manifest()
    with pytest.raises(BackupError, match="its manifest is damaged"):
        load(dataclasses.replace(one, streams=other.streams).dump(), ID)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"id": "another"},
        {"streams": [{"name": "database"}]},
        {"streams": "none"},
        {"streams": []},
        {"database": {}},
        {"started": "yesterday"},
        {"started": "2026-01-01T03:00:00"},
        {"finished": "2025-01-01T03:00:00+00:00"},
        {"more": 1},
    ],
)
def test_what_is_no_manifest_is_refused(change: dict[str, Any]) -> None:
    found = {**json.loads(manifest().dump()), **change}
    with pytest.raises(BackupError, match=f"backup {ID}: its manifest"):
        load(json.dumps(found).encode(), ID)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "backups/20250101T030000Z-ffffff/database.age"),
        ("name", f"backups/{ID}/../../secret"),
        ("bytes", -1),
        ("sha256", "short"),
    ],
)
def test_a_manifest_leads_to_its_own_objects_alone(name: str, value: Any) -> None:
    found = json.loads(manifest().dump())
    found["streams"][0]["segments"][0][name] = value
    with pytest.raises(BackupError, match="its manifest is damaged"):
        load(json.dumps(found).encode(), ID)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_isn_t_even_a_document(document: bytes) -> None:
    with pytest.raises(BackupError, match="its manifest"):
        load(document, ID)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [({100: 1}, ""), ({99: 1}, "has 99 bytes, the manifest says 100"), ({}, "database.age is missing")],
)
def test_what_the_bucket_lacks_is_told(sizes: dict[int, int], said: str) -> None:
    found = {f"backups/{ID}/database.age": size for size in sizes}
    assert said in problem(manifest(), found)
    assert bool(problem(manifest(), found)) == bool(said)


def entry(backup: str, day: int, said: str = "") -> Entry:
    return Entry(backup, (), manifest(backup, day), said)


LISTED = [entry("a", 0), entry("b", 1), entry("c", 2, "cut off"), Entry("d", (), None, "no manifest")]


@pytest.mark.parametrize(
    ("wanted", "before", "found"),
    [
        ("latest", None, "b"),
        ("a", None, "a"),
        ("latest", datetime(2026, 1, 2, tzinfo=UTC), "a"),
        ("latest", datetime(2026, 1, 1, tzinfo=UTC), "there is no good backup before 2026-01-01"),
        ("c", None, "backup c is not good: cut off"),
        ("d", None, "backup d is not good: no manifest"),
        ("e", None, "there is no backup e"),
    ],
)
def test_only_a_good_backup_is_chosen(wanted: str, before: datetime | None, found: str) -> None:
    try:
        chosen = choose(LISTED, wanted, before).id
    except BackupError as error:
        chosen = str(error)
    assert chosen.startswith(found)


@pytest.mark.parametrize(
    ("wanted", "series", "found"),
    [
        ("latest", "database", "b"),
        ("latest", "media", "m"),
        ("m", "media", "m"),
        ("m", "database", "backup m is one of media, not of database"),
        ("b", "media", "backup b is one of database, not of media"),
    ],
)
def test_a_backup_of_the_wanted_series_is_chosen(wanted: str, series: str, found: str) -> None:
    listed = [*LISTED, Entry("m", (), media_manifest("m", 5))]
    try:
        chosen = choose(listed, wanted, series=series).id
    except BackupError as error:
        chosen = str(error)
    assert chosen.startswith(found)


def test_without_media_there_is_none_to_choose() -> None:
    with pytest.raises(BackupError, match="there is no good backup of media"):
        choose(LISTED, "latest", series="media")


def test_ids_sort_by_time_and_are_never_the_same() -> None:
    now = datetime(2026, 1, 1, 3, tzinfo=UTC)
    assert len({new_id(now) for _ in range(100)}) == 100
    assert new_id(now) < new_id(now + timedelta(seconds=1))
    assert dataclasses.replace(manifest(), id=new_id(now)).taken == now
