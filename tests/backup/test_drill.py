"""The drill: a throw-away PostgreSQL, the newest backup in it, and a report that says so."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import psycopg
import pytest
from exchange_backup import catalog, drill, prune, report
from exchange_backup.bucket import Bucket
from exchange_backup.cli import main
from exchange_backup.config import Config
from exchange_backup.errors import BackupError
from exchange_backup.manifest import Segment, Stream

from backup.conftest import alone, back_up, write


@pytest.fixture
def run(config: Config, key_file: Path, tmp_path: Path, drill_folder: Path) -> list[str]:
    """Return the command of a drill."""
    return [f"--config={write(config, tmp_path)}", "drill", f"--private-key={key_file}", f"--folder={drill_folder}"]


def test_a_drill_proves_a_backup(
    config: Config,
    run: list[str],
    drill_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = back_up(config)
    with monkeypatch.context() as patch:
        alone(patch)
        assert main(run) == 0
    (told,) = report.read(Bucket(config.target), "drill")
    assert told.ok
    assert told.backup == made.id
    assert told.figures["rows"] == 2100
    assert told.figures["restored_bytes"] > 1e6
    assert list(drill_folder.iterdir()) == []
    assert main([run[0], "list"]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith(made.id)
    assert line.endswith("restored  good")


def test_a_drill_of_a_damaged_backup_fails_and_says_so(
    config: Config, run: list[str], monkeypatch: pytest.MonkeyPatch, drill_folder: Path
) -> None:
    made = back_up(config)
    bucket = Bucket(config.target)
    facts = dataclasses.replace(made.database, rows={"account": 99})
    forged = dataclasses.replace(made, database=facts)
    bucket.put(f"backups/{made.id}/manifest.json", forged.dump(), protect=False)
    with monkeypatch.context() as patch:
        alone(patch)
        assert main(run) == 1
    (told,) = report.read(bucket, "drill")
    assert not told.ok
    assert "account has 100 rows, not 99" in told.message
    assert report.verified(bucket) == set()
    assert list(drill_folder.iterdir()) == []


def test_a_drill_without_any_backup_fails_and_says_so(
    config: Config, run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        alone(patch)
        assert main(run) == 1
    (told,) = report.read(Bucket(config.target), "drill")
    assert "there is no good backup" in told.message


@pytest.mark.usefixtures("database")
def test_a_drill_that_knows_another_database_refuses(config: Config, run: list[str]) -> None:
    back_up(config)
    assert main(run) == 1
    (told,) = report.read(Bucket(config.target), "drill")
    assert "PGHOST, PGPASSWORD is set" in told.message


def test_a_drill_refuses_the_server_that_was_backed_up(config: Config) -> None:
    with pytest.raises(BackupError, match="source and target are the same server"):
        drill.refuse_same(back_up(config))


def test_a_server_that_doesn_t_start_says_why(drill_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "SETTINGS", {**drill.SETTINGS, "max_connections": "none"})
    with (
        pytest.raises(BackupError, match=r"pg_ctl ended with 1: .*max_connections"),
        drill.throw_away_server(drill_folder),
    ):
        pass
    assert list(drill_folder.iterdir()) == []


def test_pruning_keeps_what_was_proven(config: Config, run: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = back_up(config)
    with monkeypatch.context() as patch:
        alone(patch)
        assert main(run) == 0
    bucket = Bucket(config.target)
    others = [f"2099010{day}T030000Z-aaaaaa" for day in (1, 2, 3)]
    for day, other in enumerate(others, 1):
        segment = Segment(f"backups/{other}/database.age", 2, "0" * 64)
        later = dataclasses.replace(
            first,
            id=other,
            started=f"2099-01-0{day}T03:00:00+00:00",
            finished=f"2099-01-0{day}T03:01:00+00:00",
            streams=(Stream("database", "pg_dump", 1, "0" * 64, (segment,)),),
        )
        bucket.put(segment.name, b"{}", protect=False)
        bucket.put(f"backups/{other}/manifest.json", later.dump(), protect=False)
    done = prune.run(bucket, config, first.taken)
    assert sorted(done.kept) == [first.id, *others[1:]]
    assert [entry.id for entry in catalog.entries(bucket)] == [first.id, *others[1:]]
    assert done.kept[first.id] == ["last verified"]


def test_variables_are_as_before(drill_folder: Path) -> None:
    before = dict(os.environ)
    with drill.throw_away_server(drill_folder), psycopg.connect(dbname="postgres") as server:
        assert server.execute("SHOW listen_addresses").fetchone() == ("",)
        assert os.environ["PGUSER"] == "drill"
    assert dict(os.environ) == before
