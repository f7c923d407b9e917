"""Rules across the variables of roles/postgres_backup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.preflight import HIDDEN, Finding
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_postgres import peer_errors

_RECIPIENT = re.compile(r"age1[0-9a-z]{50,}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?")
# pg_dump's METHOD[:DETAIL], or a level.
_COMPRESSION = re.compile(r"(none|gzip|lz4|zstd)(:[a-z0-9=,]+)?|[0-9]")
_ENCRYPTIONS = ("", "AES256", "aws:kms", "aws:kms:dsse")
_TABLE = re.compile(r"[^.\s\"]+(\.[^.\s\"]+)?")
_SECRET = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
# A CronJob's name, with the job's number, fits into 63 characters; `media-drill-` stands before it.
_NAME_CHARACTERS = 40
# Streams of a backup of the database.
_TAKEN = frozenset({"database", "globals"})
# What charts/exchange calls its claim, by release.
_OWN_CLAIM = "{}-media"
_QUANTITIES = {
    "cpu_request": "1m",
    "memory_request": "64Mi",
    "memory_limit": "192Mi",
    "drill_memory_limit": "512Mi",
    "drill_volume_size": "1Gi",
}


def errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with schedules, keys, targets and sizes."""
    found: list[Finding] = []

    def check(name: str, problem: str) -> None:
        if problem:
            found.append(Finding(f"postgres_backup_{name}", values[f"postgres_backup_{name}"], problem))

    def value(name: str) -> Any:
        return values[f"postgres_backup_{name}"]

    if values["platform_database_mode"] != "internal":
        found.append(
            Finding(
                "platform_database_mode", values["platform_database_mode"], "expected internal with postgres_backup"
            )
        )
    for name in ("schedule", "media_schedule"):
        check(name, checks.cron(value(name)))
    for name in ("prune_schedule", "drill_schedule"):
        check(name, checks.cron(value(name)) if value(name) else "")
    check("time_zone", "" if value("time_zone") else "expected a name such as Etc/UTC or Europe/Berlin")
    check(
        "compression",
        "" if _COMPRESSION.fullmatch(value("compression")) else "expected none, gzip, lz4 or zstd, such as zstd:1",
    )
    for name, least in _QUANTITIES.items():
        check(name, checks.quantity(value(name), least))
    check("starting_deadline_seconds", checks.between(value("starting_deadline_seconds"), 10, 86400))
    check("deadline_seconds", checks.between(value("deadline_seconds"), 60, 7 * 86400))
    counts = [int(count) for count in value("retention").values()]
    check("retention", "" if counts and min(counts) >= 0 and max(counts) > 0 else "expected counts, one above 0")
    if value("drill_schedule") and not value("drill_private_key").startswith("AGE-SECRET-KEY-"):
        found.append(
            Finding(
                "postgres_backup_drill_private_key",
                HIDDEN,
                "expected AGE-SECRET-KEY-..., or an empty postgres_backup_drill_schedule if drills run elsewhere",
            )
        )
    found += _each(values, "recipients", _RECIPIENT, "expected a public key: age1... or ssh-ed25519 ...", needed=True)
    found += _each(values, "tables", _TABLE, "expected a table, or a schema and a table: public.account")
    found += _each(values, "secrets", _SECRET, "expected NAMESPACE/NAME")
    for name in ("to", "metrics_from"):
        found += peer_errors(f"postgres_backup_{name}", value(name))
    found += [
        Finding(f"postgres_backup_ports[{index}]", port, problem)
        for index, port in enumerate(value("ports"))
        if (problem := checks.port(port))
    ]
    found += target_errors(value("targets"))
    found += media_errors(values)
    return found or _sizes(values)


def _each(
    values: Mapping[str, Any], name: str, pattern: re.Pattern[str], expected: str, *, needed: bool = False
) -> list[Finding]:
    """Return the items of a list that don't look as they should. What they are isn't shown: it may be a private key."""
    listed = values[f"postgres_backup_{name}"]
    if needed and not listed:
        return [Finding(f"postgres_backup_{name}", [], f"expected at least one; {expected.removeprefix('expected ')}")]
    return [
        Finding(f"postgres_backup_{name}[{index}]", HIDDEN if needed else item, expected)
        for index, item in enumerate(listed)
        if not pattern.fullmatch(item)
    ]


def media_errors(values: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with the volumes of uploads, and with whose user reads them."""
    found: list[Finding] = []
    listed = values["postgres_backup_media"]
    app = values.get("exchange_app_media") or {}
    alone = app.get("type") == "pvc" and app.get("access_mode") == "ReadWriteOncePod"
    for index, media in enumerate(listed):
        name, claim = media["name"], media["claim"]
        wanted = {
            "name": (
                checks.dns_label(name)
                or ("expected another name than database and globals" if name in _TAKEN else "")
                or ("expected each name once" if name in [one["name"] for one in listed[:index]] else "")
            ),
            "claim": ("" if _CLAIM.fullmatch(claim) else "expected the name of a PersistentVolumeClaim")
            or (
                "expected a claim that a second pod can mount, but exchange_app_media.access_mode is ReadWriteOncePod: "
                "take another access mode, or leave it out"
                if alone and claim in {app.get("claim"), _OWN_CLAIM.format(values.get("exchange_app_release"))}
                else ""
            ),
        }
        found += [
            Finding(f"postgres_backup_media[{index}].{key}", media[key], problem)
            for key, problem in wanted.items()
            if problem
        ]
    if listed and "exchange_app" not in values["platform_components"]:
        found.append(
            Finding("postgres_backup_media", listed, "expected none unless exchange_app is in platform_components")
        )
    if listed:
        found += [
            Finding(name, values[name], "expected a number above 0: the user, or group, that the application runs as")
            for name in ("postgres_backup_media_uid", "postgres_backup_media_gid")
            if int(values[name]) < 1
        ]
    return found


def target_errors(targets: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong with the targets."""
    if not targets:
        return [
            Finding("postgres_backup_targets", [], "expected at least one, such as {name: offsite, bucket: backups}")
        ]
    found = []
    names = [target["name"] for target in targets]
    for index, target in enumerate(targets):
        for key, (wrong, expected) in _target_checks(target, names[:index]).items():
            if wrong:
                found.append(Finding(f"postgres_backup_targets[{index}].{key}", target.get(key), expected))
    return found


def _target_checks(target: Mapping[str, Any], before: Sequence[str]) -> dict[str, tuple[bool, str]]:
    """Return for each key of a target whether it is wrong, and what is expected."""
    name, prefix, endpoint = target["name"], target.get("prefix") or "", target.get("endpoint") or ""
    encryption = target.get("server_side_encryption") or ""
    return {
        "name": (
            bool(checks.dns_label(name)) or len(name) > _NAME_CHARACTERS or name in before,
            f"expected a name of its own: lower-case letters, digits and '-', at most {_NAME_CHARACTERS}",
        ),
        "bucket": (not target["bucket"], "expected the bucket's name"),
        "prefix": (prefix != prefix.strip("/"), "expected no slash at either end"),
        "endpoint": (
            bool(endpoint) and not endpoint.startswith(("https://", "http://")),
            "expected an address such as https://s3.example.com",
        ),
        "ca": ("PRIVATE KEY" in (target.get("ca") or ""), "expected a certificate, not a private key"),
        "server_side_encryption": (
            encryption not in _ENCRYPTIONS,
            f"expected nothing, or one of {', '.join(filter(None, _ENCRYPTIONS))}",
        ),
        "kms_key": (
            bool(target.get("kms_key")) and not encryption.startswith("aws:kms"),
            "expected server_side_encryption aws:kms with it",
        ),
        "lock_days": (
            bool(target.get("lock_mode")) != (int(target.get("lock_days") or 0) > 0),
            "expected days above 0 with lock_mode, and 0 without",
        ),
        "bytes_per_second": (int(target.get("bytes_per_second") or 0) < 0, "expected 0 or more"),
    }


def _sizes(values: Mapping[str, Any]) -> list[Finding]:
    """Return what does not fit together, once every single value is right."""
    request, limit = values["postgres_backup_memory_request"], values["postgres_backup_memory_limit"]
    if parse_quantity(request) <= parse_quantity(limit):
        return []
    return [
        Finding("postgres_backup_memory_request", request, f"expected at most postgres_backup_memory_limit, {limit}")
    ]
