"""The configuration: every bad value is refused, and all of them at once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from exchange_backup.config import Config, Retention, Target, load, parse
from exchange_backup.errors import BackupError

GOOD: dict[str, Any] = {
    "database": "exchange",
    "recipients": ["age1abc"],
    "tables": ["ledger_posting"],
    "folders": {"media": "/media"},
    "target": {"bucket": "backups", "endpoint": "https://s3.example.org", "lock_mode": "GOVERNANCE", "lock_days": 30},
    "retention": {"daily": 3, "weekly": 0, "monthly": 0, "yearly": 0},
}


def test_a_good_one() -> None:
    config = parse(GOOD, "here")
    assert config.recipients == ("age1abc",)
    assert config.retention == Retention(hourly=0, daily=3, weekly=0, monthly=0, yearly=0)
    assert config.target.attempts == 8


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("target", {}, "target.bucket is missing"),
        ("target", [], "target must be a mapping"),
        ("target.bucket", "", "target.bucket is empty"),
        ("target.bucket", 5, "target.bucket must be str, not 5"),
        ("target.bukcet", "b", "target.bukcet is unknown"),
        ("target.prefix", "/prod", "must not begin or end with a slash"),
        ("target.endpoint", "s3.example.org", "must begin with http"),
        ("target.path_style", "yes", "target.path_style must be bool, not 'yes'"),
        ("target.lock_mode", "governance", "must be GOVERNANCE, COMPLIANCE or empty"),
        ("target.lock_days", 0, "lock_days must be above 0"),
        ("target.lock_mode", "", "lock_days must be above 0 with lock_mode, and 0 without"),
        ("target.kms_key", "key", "needs server_side_encryption aws:kms"),
        ("target.bytes_per_second", -1, "must not be negative"),
        ("target.attempts", 0, "at least 1"),
        ("target.attempts", True, "target.attempts must be int, not True"),
        ("target.part_mib", 4, "part_mib must be at least 5"),
        ("target.segment_mib", 8, "segment_mib must be from part_mib to"),
        ("target.segment_mib", 160001, "segment_mib must be from part_mib to"),
        ("retention.daily", -1, "must not be negative"),
        ("retention.daily", 0, "retention must keep something"),
        ("retention.daly", 3, "retention.daly is unknown"),
        ("recipients", "age1abc", "recipients must be a list of texts"),
        ("tables", [1], "tables must be a list of texts"),
        ("folders", {"media": 1}, "folders must be a mapping of texts"),
        ("folders", {"database": "/x"}, "names of folders"),
        ("folders", {"../x": "/x"}, "names of folders"),
        ("folders", {"Media": "/x"}, "names of folders"),
        ("media", {"globals": "/x"}, "names of folders and media"),
        ("replica_wait_seconds", -1, "replica_wait_seconds must not be negative"),
        ("target.uploads_at_once", 0, "at least 1"),
        ("stale_hours", 0, "stale_hours must be at least 1"),
    ],
)
def test_a_bad_value_is_refused(path: str, value: Any, said: str) -> None:
    wrong = json.loads(json.dumps(GOOD))
    place = wrong
    *parents, name = path.split(".")
    for parent in parents:
        place = place[parent]
    place[name] = value
    with pytest.raises(BackupError) as error:
        parse(wrong, "here")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        *(field.name for field in dataclasses.fields(Config)),
        *(f"target.{field.name}" for field in dataclasses.fields(Target)),
        *(f"retention.{field.name}" for field in dataclasses.fields(Retention)),
    ],
)
def test_a_value_of_another_type_is_refused_whatever_it_is(path: str) -> None:
    wrong = json.loads(json.dumps(GOOD))
    place = wrong
    *parents, name = path.split(".")
    for parent in parents:
        place = place[parent]
    place[name] = [1.5]
    with pytest.raises(BackupError, match=f"here: {path} must be "):
        parse(wrong, "here")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"target": {"bucket": 1, "attempts": "x"}, "database": 3}))
    with pytest.raises(BackupError) as error:
        load(file)
    assert all(name in str(error.value) for name in (str(file), "target.bucket", "target.attempts", "database"))


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_file_that_is_none(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BackupError, match=str(file)):
        load(file)
