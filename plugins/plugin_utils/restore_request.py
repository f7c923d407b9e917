"""What somebody asks of playbooks/restore.yml and playbooks/migrate.yml, and whether it can be done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import archive, checks
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
        asked: the variables of playbooks/restore.yml, without ``restore_`` before their names, and beside them
            ``archived``, whether there is an archive from which any moment can be brought back, and ``now``, the time.
        live: name of the live database.
        targets: names of postgres_backup_targets.
        components: platform_components.
    """
    to, named = str(asked["to"]), str(asked["archive"])
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
        "before": (
            bool(_TIME.fullmatch(str(asked["before"]))) and not (asked["before"] and to),
            "a time such as 2026-01-01T12:00:00+00:00, and nothing with restore_to",
        ),
        "to": (
            not to or (_is_past(to, str(asked["now"])) and backup == "latest"),
            "a moment in the past with its time zone: 2026-01-01 12:00:00+00; or latest. restore_backup stays latest",
        ),
        "archive": (not named or (bool(to) and named.isdecimal()), "the identifier of a cluster, with restore_to"),
        "volume_size": (bool(_SIZE.fullmatch(str(asked["volume_size"]))), "a size such as 20Gi, or nothing"),
        "private_key": (
            none or (bool(to) and not asked["secrets"]) or bool(_KEY.match(str(asked["private_key"]))),
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
    if to and not asked["archived"]:
        found.insert(0, "postgres_archive_target is {}: expected the bucket with the archive that restore_to reads")
    if "postgres_backup" not in components:
        found.insert(0, "platform_components lacks postgres_backup, whose targets and image a restore needs")
    return found


def _is_past(to: str, now: str) -> bool:
    """Say whether a text is a moment with its time zone that has passed, or means the last one."""
    if to == archive.LATEST:
        return True
    try:
        return archive.moment(to) < archive.moment(now)
    except ValueError:
        return False


def migrate_problems(asked: Mapping[str, Any], live: str, components: Sequence[str]) -> list[str]:
    """Return what is wrong with a request to move in, as `problems` does.

    Args:
        asked: the variables of playbooks/migrate.yml, without ``migrate_`` before their names.
        live: name of the live database.
        components: platform_components.
    """
    into, port, seconds = str(asked["into"]), str(asked["port"]), str(asked["deadline_seconds"])
    done = [name for name in ("replicate", "abandon", "reopen") if asked[name]]
    source = {
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
    }
    from_source = bool(asked["host"] or (not asked["dump"] and (done or asked["cut_over"] or not asked["media"])))
    wanted = {
        "dump": (
            not asked["dump"] or (asked["dump_is_file"] and not asked["host"] and not done),
            "a file on the control node, without migrate_host, migrate_replicate, migrate_abandon and migrate_reopen",
        ),
        "media": (
            not asked["media"] or (asked["media_is_folder"] and {"exchange_app"} <= set(components)),
            "a folder on the control node, for an application that platform_components has as exchange_app",
        ),
        **(source if from_source else {}),
        "into": (
            bool(_DATABASE.fullmatch(into)) and into != live,
            f"a name other than {live}, of lower-case letters, digits and _, or nothing",
        ),
        "cut_over": (
            asked["cut_over"] in {"", live},
            f"nothing, or {live}, to confirm that the live database is to be renamed away and the source closed",
        ),
        "deadline_seconds": (seconds.isdecimal() and int(seconds) > 0, "a number of seconds, at least 1"),
    }
    hidden = {"password"}
    found = [
        f"migrate_{name} is {'(not shown)' if name in hidden else repr(asked[name])}: expected {expected}"
        for name, (right, expected) in wanted.items()
        if not right
    ]
    found += [f"{one.variable} is {one.value!r}: {one.expected}" for one in peer_errors("migrate_from", asked["from"])]
    if from_source and not asked["from"]:
        found.append("migrate_from is []: expected where the source is, such as [{cidr: 192.0.2.7/32}]")
    if len(done) > 1 or (asked["cut_over"] and set(done) - {"replicate"}):
        named = [f"migrate_{name}" for name in [*done, *(["cut_over"] if asked["cut_over"] else [])]]
        found.append(f"{' and '.join(named)}: expected one of them, or migrate_replicate with migrate_cut_over")
    if "postgres_backup" not in components:
        found.insert(0, "platform_components lacks postgres_backup, whose image moves databases")
    return found
