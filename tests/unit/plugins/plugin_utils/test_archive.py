"""Point-in-time recovery: pgBackRest's configuration, which cluster's archive a moment is in, and how recovery ends."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import archive

TARGET = {"bucket": "backups", "region": "eu-1", "access_key": "archiver", "secret_key": "its-secret"}


def options(target: dict[str, Any]) -> dict[str, str]:
    head, *lines = archive.configuration({**TARGET, **target}, "passphrase", 3).splitlines()
    assert head == "[global]"
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, {"s3-endpoint": "s3.eu-1.amazonaws.com", "storage-port": "443", "path": "/", "s3-uri-style": "host"}),
        # What preflight's types make of what isn't said.
        ({"endpoint": "", "prefix": "", "ca": "", "path_style": False}, {"s3-endpoint": "s3.eu-1.amazonaws.com"}),
        ({"endpoint": "https://s3.example.com"}, {"s3-endpoint": "s3.example.com", "storage-port": "443"}),
        ({"endpoint": "https://s3.example.com:7071"}, {"s3-endpoint": "s3.example.com", "storage-port": "7071"}),
        ({"prefix": "a/b", "path_style": True}, {"path": "/a/b", "s3-uri-style": "path"}),
        ({"ca": "a certificate"}, {"storage-ca-file": "/etc/pgbackrest/ca.crt"}),
        ({}, {"s3-key": "archiver", "s3-key-secret": "its-secret", "cipher-pass": "passphrase", "retention-full": "3"}),
    ],
)
def test_the_configuration(target: dict[str, Any], expected: dict[str, str]) -> None:
    found = options(target)
    assert {name: found[f"repo1-{name}"] for name in expected} == expected
    assert ("repo1-storage-ca-file" in found) is bool(target.get("ca"))
    assert found["repo1-cipher-type"] == "aes-256-cbc"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01 12:00:00+00", "2026-01-01 12:00:00+00"),
        ("2026-01-01T12:00:00Z", "2026-01-01 12:00:00+00"),
        ("2026-01-01 12:00:00.25-05:00", "2026-01-01 17:00:00.250000+00"),
        (" 2026-01-01 00:30+01:00", "2025-12-31 23:30:00+00"),
    ],
)
def test_a_moment(text: str, expected: str) -> None:
    assert archive.postgres_time(archive.moment(text)) == expected


@pytest.mark.parametrize("text", ["2026-01-01 12:00:00", "2026-01-01", "noon", ""])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time zone|Invalid isoformat"):
        archive.moment(text)


def test_a_moment_in_a_name() -> None:
    assert archive.moment_in_a_name("2026-01-01 12:00:00.25-05:00") == "20260101t170000z"
    assert archive.moment_in_a_name("latest") == "latest"


def stanza(name: str, *ends: str, error: bool = False) -> dict[str, Any]:
    """Return what pgbackrest says of a cluster whose base backups ended then."""
    stops = [int(archive.moment(f"2026-01-01 {end}+00").timestamp()) for end in ends]
    return {"name": name, "backup": [{"timestamp": {"stop": stop}, "error": error} for stop in stops]}


NOON = "2026-01-01 12:00:00+00"


@pytest.mark.parametrize(
    ("info", "named", "expected"),
    [
        ([stanza("1", "10:00")], "", "1"),
        ([stanza("1", "13:00", "10:00")], "", "1"),
        # The own one, if it reaches back so far; otherwise the one other.
        ([stanza("1", "10:00"), stanza("2", "09:00")], "", "1"),
        ([stanza("1", "13:00"), stanza("2", "09:00")], "", "2"),
        ([stanza("1"), stanza("2", "09:00")], "", "2"),
        ([stanza("1", "10:00"), stanza("2", "09:00")], "2", "2"),
        ([stanza("2", "09:00"), stanza("3", "10:00")], "3", "3"),
    ],
)
def test_where_a_moment_is_reached_from(info: list[dict[str, Any]], named: str, expected: str) -> None:
    assert archive.choice(info, NOON, "1", named) == {"stanza": expected, "target": NOON, "problem": ""}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ([stanza("1", "10:00")], "1"),
        # What was lost, and not what stands in its place.
        ([stanza("1", "13:00"), stanza("2", "09:00")], "2"),
        ([stanza("1", "13:00"), stanza("2", "09:00"), stanza("3")], "2"),
        ([stanza("1", "13:00"), stanza("2", "09:00"), stanza("3", "10:00")], ""),
    ],
)
def test_the_latest_moment(info: list[dict[str, Any]], expected: str) -> None:
    found = archive.choice(info, "latest", "1", "")
    assert (found["stanza"], found["target"]) == (expected, "")
    assert bool(found["problem"]) is not bool(expected)


@pytest.mark.parametrize(
    ("info", "named", "said"),
    [
        (
            [],
            "",
            "restore_to is '2026-01-01 12:00:00+00': expected a moment after a base backup ended; there is nothing",
        ),
        ([stanza("1")], "", "there is 1: no base backup"),
        ([stanza("1", "12:00")], "", "there is 1: since 2026-01-01 12:00:00+00"),
        ([stanza("1", "10:00", error=True)], "", "there is 1: no base backup"),
        ([stanza("2", "09:00"), stanza("3", "10:00")], "", "several clusters have a base backup before"),
        ([stanza("2", "09:00"), stanza("3", "10:00")], "", "2: since 2026-01-01 09:00:00+00; 3: since"),
        ([stanza("1", "10:00")], "2", "restore_archive is '2': expected a cluster with a base backup before"),
        ([stanza("1", "10:00"), stanza("2", "13:00")], "2", "2: since 2026-01-01 13:00:00+00"),
    ],
)
def test_where_it_is_not(info: list[dict[str, Any]], named: str, said: str) -> None:
    found = archive.choice(info, NOON, "1", named)
    assert found["stanza"] == ""
    assert said in found["problem"]


def pod(ready: str = "False", *, restore: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> Any:
    return {
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "initContainerStatuses": [restore or {}],
            "containerStatuses": [server or {}],
        }
    }


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], ""),
        ([{}], ""),
        ([{"status": {"phase": "Pending"}}], ""),
        ([pod()], ""),
        ([pod(restore={"state": {"terminated": {"exitCode": 0}}}, server={"state": {"running": {}}})], ""),
        ([pod("True", restore={"state": {"terminated": {"exitCode": 0}}})], "ready"),
        ([pod(restore={"state": {"terminated": {"exitCode": 75}}})], "failed"),
        ([pod(server={"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}})], "failed"),
        ([pod(server={"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1}}})], "failed"),
    ],
)
def test_how_recovery_ends(pods: list[Any], expected: str) -> None:
    assert archive.first_pod_outcome(pods) == expected
