"""What can be asked of playbooks/restore.yml and playbooks/migrate.yml."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.restore_request import (
    media_problems,
    migrate_problems,
    problems,
)

ASKED: dict[str, Any] = {
    "backup": "latest",
    "target": "offsite",
    "before": "",
    "to": "",
    "archive": "",
    "volume_size": "",
    "archived": True,
    "now": "2026-01-02 00:00:00+00",
    "private_key": "AGE-SECRET-KEY-1XYZ",
    "database": "",
    "jobs": 1,
    "scratch_size": "",
    "swap": "",
    "secrets": False,
}
COMPONENTS = ["postgres", "postgres_backup", "exchange_app"]
NO_SOURCE = {"host": "", "database": "", "username": "", "password": "", "from": []}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"backup": "20260101T030000Z-1f2e3d", "database": "exchange_new"},
        {"before": "2026-01-01 12:00"},
        {"before": "2026-01-01T12:00:00+01:00"},
        {"private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n..."},
        {"jobs": "4", "scratch_size": "20Gi"},
        {"scratch_size": "500Mi"},
        {"swap": "exchange", "secrets": True},
        {"backup": "none", "database": "exchange_before_20260101t000000z", "swap": "exchange"},
        {"to": "2026-01-01 12:00:00+00", "private_key": ""},
        {"to": "2026-01-01T12:00:00.25-05:00", "archive": "7577121212121212121", "volume_size": "20Gi"},
        {"to": "2026-01-01 12:00:00Z", "swap": "exchange", "secrets": True},
        {"to": "latest", "archive": "7577121212121212121"},
        {"archived": False},
    ],
)
def test_what_can_be_done(asked: dict[str, Any]) -> None:
    assert problems({**ASKED, **asked}, "exchange", ["offsite"], COMPONENTS) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target": "moon"}, "restore_target is 'moon': expected one of postgres_backup_targets: offsite"),
        ({"backup": "yesterday"}, "restore_backup is 'yesterday': expected latest, none, or an id"),
        ({"before": "noon"}, "restore_before is 'noon': expected a time such as"),
        ({"private_key": "age1xyz"}, "restore_private_key is (not shown): expected a private key"),
        ({"database": "exchange"}, "restore_database is 'exchange': expected a name other than exchange"),
        ({"database": 'x"; DROP'}, "restore_database is 'x\"; DROP': expected"),
        ({"backup": "none"}, "restore_database is '': expected"),
        ({"jobs": 4}, "restore_jobs is 4: expected 1 to 32; more than 1 need a restore_scratch_size"),
        ({"jobs": 0}, "restore_jobs is 0"),
        ({"jobs": "many"}, "restore_jobs is 'many': expected 1 to 32"),
        ({"scratch_size": "lots"}, "restore_scratch_size is 'lots': expected a size"),
        ({"swap": "yes"}, "restore_swap is 'yes': expected nothing, or exchange"),
        ({"backup": "none", "database": "x", "secrets": True}, "restore_secrets is True: expected false"),
        ({"to": "2026-01-01 12:00:00"}, "restore_to is '2026-01-01 12:00:00': expected a moment in the past with"),
        ({"to": "yesterday"}, "restore_to is 'yesterday': expected a moment"),
        ({"to": "2026-01-02 00:00:01+00"}, "restore_to is '2026-01-02 00:00:01+00': expected a moment in the past"),
        ({"to": "2026-01-01 00:00+00", "backup": "none", "database": "x"}, "restore_to is '2026-01-01 00:00+00': exp"),
        ({"to": "2026-01-01 00:00+00", "before": "2026-01-01"}, "restore_before is '2026-01-01': expected"),
        ({"to": "2026-01-01 00:00+00", "archived": False}, "postgres_archive_target is {}: expected the bucket"),
        ({"to": "2026-01-01 00:00+00", "secrets": True, "private_key": ""}, "restore_private_key is (not shown)"),
        ({"archive": "7577121212121212121"}, "restore_archive is '7577121212121212121': expected the identifier"),
        ({"to": "2026-01-01 00:00+00", "archive": "main"}, "restore_archive is 'main': expected the identifier"),
        ({"to": "2026-01-01 00:00+00", "volume_size": "big"}, "restore_volume_size is 'big': expected a size"),
    ],
)
def test_what_cannot(asked: dict[str, Any], said: str) -> None:
    (found,) = problems({**ASKED, **asked}, "exchange", ["offsite"], COMPONENTS)
    assert found.startswith(said)


def test_nothing_is_restored_without_the_component() -> None:
    found = problems({**ASKED, "target": ""}, "exchange", [], ["postgres"])
    assert found[0].startswith("platform_components lacks postgres_backup")
    assert found[1].endswith("postgres_backup_targets: there is none")


MOVING: dict[str, Any] = {
    "media": "",
    "media_is_folder": False,
    "dump": "",
    "dump_is_file": False,
    "host": "db.example.com",
    "port": 5432,
    "database": "shop",
    "username": "shop",
    "password": "geheim",
    "sslmode": "verify-full",
    "ca": "",
    "from": [{"cidr": "192.0.2.7/32"}],
    "into": "",
    "cut_over": "",
    "replicate": False,
    "abandon": False,
    "reopen": False,
    "deadline_seconds": 86400,
}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"cut_over": "exchange", "into": "exchange_moved"},
        {"sslmode": "disable", "port": "6432", "from": [{"namespace": "legacy"}]},
        {"ca": "-----BEGIN CERTIFICATE-----\n..."},
        {"replicate": True},
        {"replicate": True, "cut_over": "exchange", "deadline_seconds": "600"},
        {"abandon": True},
        {"media": "/srv/media", "media_is_folder": True},
        {"media": "/srv/media", "media_is_folder": True, **NO_SOURCE},
        {"dump": "/srv/shop.dump", "dump_is_file": True, **NO_SOURCE},
        {"dump": "/srv/shop.dump", "dump_is_file": True, **NO_SOURCE, "cut_over": "exchange"},
        {"reopen": True},
    ],
)
def test_a_move_that_can_be_done(asked: dict[str, Any]) -> None:
    assert migrate_problems({**MOVING, **asked}, "exchange", COMPONENTS) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"host": ""}, "migrate_host is '': expected the source's name or address"),
        ({"port": 0}, "migrate_port is 0: expected 1 to 65535"),
        ({"port": "x"}, "migrate_port is 'x'"),
        ({"database": ""}, "migrate_database is ''"),
        ({"username": ""}, "migrate_username is ''"),
        ({"password": ""}, "migrate_password is (not shown)"),
        ({"sslmode": "prefer"}, "migrate_sslmode is 'prefer': expected one of disable, require"),
        ({"ca": "/etc/ca.pem"}, "migrate_ca is '/etc/ca.pem': expected a certificate in PEM"),
        ({"sslmode": "verify-ca"}, "migrate_ca is '': expected a certificate in PEM"),
        ({"into": "exchange"}, "migrate_into is 'exchange': expected a name other than exchange"),
        ({"cut_over": "yes"}, "migrate_cut_over is 'yes': expected nothing, or exchange"),
        ({"deadline_seconds": 0}, "migrate_deadline_seconds is 0: expected a number of seconds"),
        ({"deadline_seconds": "1h"}, "migrate_deadline_seconds is '1h'"),
        ({"replicate": True, "abandon": True}, "migrate_replicate and migrate_abandon: expected one of them"),
        ({"reopen": True, "cut_over": "exchange"}, "migrate_reopen and migrate_cut_over: expected one of them"),
        ({"media": "/nowhere"}, "migrate_media is '/nowhere': expected a folder on the control node"),
        ({"dump": "/nowhere", **NO_SOURCE}, "migrate_dump is '/nowhere': expected a file on the control node"),
        (
            {"dump": "/a", "dump_is_file": True},
            "migrate_dump is '/a': expected a file on the control node, without migrate_host",
        ),
        (
            {"dump": "/a", "dump_is_file": True, **NO_SOURCE, "replicate": True},
            "migrate_dump is '/a': expected a file on the control node, without migrate_host, migrate_replicate",
        ),
        ({"from": []}, "migrate_from is []: expected where the source is"),
        ({"from": [{"cidr": "everywhere"}]}, "migrate_from[0] is {'cidr': 'everywhere'}: expected"),
    ],
)
def test_a_move_that_cannot(asked: dict[str, Any], said: str) -> None:
    (found,) = migrate_problems({**MOVING, **asked}, "exchange", COMPONENTS)
    assert found.startswith(said)
    assert "geheim" not in found


@pytest.mark.parametrize("asked", [{"replicate": True}, {"abandon": True}, {"reopen": True}, {"cut_over": "exchange"}])
def test_files_alone_need_no_source_but_a_database_does(asked: dict[str, Any]) -> None:
    files = {"media": "/srv/media", "media_is_folder": True, **NO_SOURCE}
    assert migrate_problems({**MOVING, **files}, "exchange", COMPONENTS) == []
    found = migrate_problems({**MOVING, **files, **asked}, "exchange", COMPONENTS)
    assert found[0] == "migrate_host is '': expected the source's name or address"


OF_MEDIA = {"target": "offsite", "private_key": "AGE-SECRET-KEY-1XYZ", "media_backup": "latest"}


@pytest.mark.parametrize("asked", [{}, {"media_backup": "20260101T030000Z-1f2e3d"}])
def test_media_that_can_be_brought_back(asked: dict[str, Any]) -> None:
    assert media_problems({**OF_MEDIA, **asked}, ["offsite"], [{"name": "media"}], COMPONENTS) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target": "moon"}, "restore_target is 'moon': expected one of postgres_backup_targets: offsite"),
        ({"private_key": "age1xyz"}, "restore_private_key is (not shown): expected a private key"),
        ({"media_backup": "none"}, "restore_media_backup is 'none': expected latest, or an id"),
        ({"media_backup": "yesterday"}, "restore_media_backup is 'yesterday': expected latest, or an id"),
    ],
)
def test_media_that_cannot(asked: dict[str, Any], said: str) -> None:
    (found,) = media_problems({**OF_MEDIA, **asked}, ["offsite"], [{"name": "media"}], COMPONENTS)
    assert said in found


def test_without_volumes_or_backups_no_media_come_back() -> None:
    assert media_problems(OF_MEDIA, ["offsite"], [], ["postgres"]) == [
        "platform_components lacks postgres_backup, whose targets and image a restore needs",
        "postgres_backup_media is []: expected the volumes that files are brought back into",
    ]
