"""What somebody asks of playbooks/restore.yml and playbooks/migrate.yml, and whether it can be done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_postgres import peer_errors

_BACKUP = re.compile(r"latest|none|[0-9]{8}T[0-9]{6}Z-[0-9a-f]+")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+([+-][0-9:]+|Z)?)?)?")
_KEY = re.compile(r"\s*(AGE-SECRET-KEY-|-----BEGIN OPENSSH PRIVATE KEY-----)")
_DATABASE = re.compile(r"([a-z_][a-z0-9_]{0,62})?")
_SIZE = re.compile(r"([1-9][0-9]*[KMGT]i?)?")
_SSLMODES = ("disable", "require", "verify-ca", "verify-full")
MOST_JOBS = 32


def media_problems(
    asked: Mapping[str, Any], targets: Sequence[str], media: Sequence[Any], components: Sequence[str]
) -> list[str]:
    """Return what is wrong with a request to bring media back, as `problems` does.

    Args:
        asked: target, private_key and media_backup of playbooks/restore.yml.
        targets: names of postgres_backup_targets.
        media: postgres_backup_media.
        components: platform_components.
    """
    wanted = {
        "target": (
            asked["target"] in targets,
            f"one of postgres_backup_targets: {', '.join(targets) or 'there is none'}",
        ),
        "private_key": (
            bool(_KEY.match(str(asked["private_key"]))),
            "a private key that the backup was encrypted to: AGE-SECRET-KEY-..., or an OpenSSH one",
        ),
        "media_backup": (
            str(asked["media_backup"]) != "none" and bool(_BACKUP.fullmatch(str(asked["media_backup"]))),
            "latest, or an id such as 20260101T030000Z-1f2e3d",
        ),
    }
    found = [
        f"restore_{name} is {'(not shown)' if name == 'private_key' else repr(asked[name])}: expected {expected}"
        for name, (right, expected) in wanted.items()
        if not right
    ]
    if not media:
        found.append("postgres_backup_media is []: expected the volumes that files are brought back into")
    if "postgres_backup" not in components:
        found.insert(0, "platform_components lacks postgres_backup, whose targets and image a restore needs")
    return found


def problems(asked: Mapping[str, Any], live: str, targets: Sequence[str], components: Sequence[str]) -> list[str]:
    """Return what is wrong with a request, a line for each variable: its name, its value, and what is expected.

    Args:
        asked: the variables of playbooks/restore.yml, without ``restore_`` before their names.
        live: name of the live database.
        targets: names of postgres_backup_targets.
        components: platform_components.
    """
    backup, database, jobs = str(asked["backup"]), str(asked["database"]), str(asked["jobs"])
    none = backup == "none"
    wanted = {
        "target": (
            asked["target"] in targets,
            f"one of postgres_backup_targets: {', '.join(targets) or 'there is none'}",
        ),
        "backup": (
            bool(_BACKUP.fullmatch(backup)),
            "latest, none, or an id such as 20260101T030000Z-1f2e3d",
        ),
        "before": (bool(_TIME.fullmatch(str(asked["before"]))), "a time such as 2026-01-01T12:00:00+00:00"),
        "private_key": (
            none or bool(_KEY.match(str(asked["private_key"]))),
            "a private key that the backup was encrypted to: AGE-SECRET-KEY-..., or an OpenSSH one",
        ),
        "database": (
            bool(_DATABASE.fullmatch(database)) and database != live and (bool(database) or not none),
            f"a name other than {live}, of lower-case letters, digits and _; with restore_backup none it must be named",
        ),
        "jobs": (
            jobs in map(str, range(1, MOST_JOBS + 1)) and (jobs == "1" or bool(asked["scratch_size"])),
            f"1 to {MOST_JOBS}; more than 1 need a restore_scratch_size",
        ),
        "scratch_size": (bool(_SIZE.fullmatch(str(asked["scratch_size"]))), "a size such as 20Gi, or nothing"),
        "swap": (
            asked["swap"] in {"", live},
            f"nothing, or {live}, to confirm that the live database is to be renamed away",
        ),
        "secrets": (not (none and asked["secrets"]), "false with restore_backup none, which reads no backup"),
    }
    found = [
        f"restore_{name} is {'(not shown)' if name == 'private_key' else repr(asked[name])}: expected {expected}"
        for name, (right, expected) in wanted.items()
        if not right
    ]
    if "postgres_backup" not in components:
        found.insert(0, "platform_components lacks postgres_backup, whose targets and image a restore needs")
    return found


def migrate_problems(asked: Mapping[str, Any], live: str, components: Sequence[str]) -> list[str]:
    """Return what is wrong with a request to move in, as `problems` does.

    Args:
        asked: the variables of playbooks/migrate.yml, without ``migrate_`` before their names.
        live: name of the live database.
        components: platform_components.
    """
    into, port = str(asked["into"]), str(asked["port"])
    wanted = {
        "host": (bool(asked["host"]), "the source's name or address"),
        "port": (port.isdecimal() and not checks.port(int(port)), "1 to 65535"),
        "database": (bool(asked["database"]), "the name of the source's database"),
        "username": (bool(asked["username"]), "a role that may read everything there"),
        "password": (bool(asked["password"]), "its password"),
        "sslmode": (asked["sslmode"] in _SSLMODES, f"one of {', '.join(_SSLMODES)}"),
        "ca": (
            "BEGIN CERTIFICATE" in str(asked["ca"]) or (not asked["ca"] and asked["sslmode"] != "verify-ca"),
            "a certificate in PEM; with verify-full nothing means the public CAs",
        ),
        "into": (
            bool(_DATABASE.fullmatch(into)) and into != live,
            f"a name other than {live}, of lower-case letters, digits and _, or nothing",
        ),
        "cut_over": (
            asked["cut_over"] in {"", live},
            f"nothing, or {live}, to confirm that the live database is to be renamed away and the source closed",
        ),
    }
    hidden = {"password"}
    found = [
        f"migrate_{name} is {'(not shown)' if name in hidden else repr(asked[name])}: expected {expected}"
        for name, (right, expected) in wanted.items()
        if not right
    ]
    found += [f"{one.variable} is {one.value!r}: {one.expected}" for one in peer_errors("migrate_from", asked["from"])]
    if not asked["from"]:
        found.append("migrate_from is []: expected where the source is, such as [{cidr: 192.0.2.7/32}]")
    if "postgres_backup" not in components:
        found.insert(0, "platform_components lacks postgres_backup, whose image moves databases")
    return found
