"""What a job is told: one JSON file. Credentials are not in it: libpq's and boto3's own environment carries them."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exchange_backup.errors import BackupError

MIB: Final = 1 << 20
# S3 allows no smaller parts, and no more than 10,000 of them.
SMALLEST_PART_MIB, MOST_PARTS = 5, 10_000


@dataclass(frozen=True)
class Target:
    """A place in an S3 service. `name` is what figures call it.

    Parts are held in memory until they are stored: `part_mib` times `uploads_at_once + 1` is what they take.
    A stream longer than `segment_mib` goes on in a further object.
    """

    bucket: str
    name: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    ca_file: str = ""
    server_side_encryption: str = ""
    kms_key: str = ""
    storage_class: str = ""
    lock_mode: str = ""
    lock_days: int = 0
    bytes_per_second: int = 0
    attempts: int = 8
    part_mib: int = 16
    segment_mib: int = 64 * 1024
    uploads_at_once: int = 2


@dataclass(frozen=True)
class Retention:
    """How many backups of each age are kept."""

    hourly: int = 0
    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    yearly: int = 3


@dataclass(frozen=True)
class Config:
    """Everything a job needs to know.

    `compression` is pg_dump's (zstd needs its version 16 or newer). `replica_host` is where the dump is taken from when
    it answers and has caught up in `replica_wait_seconds`. `recipients` are public keys; `tables` are counted in the
    snapshot that is dumped; `folders` (name: path) are stored beside the database, `media` (name: path) by jobs of
    their own. `stale_hours` is the age at which what never finished is removed.
    """

    target: Target
    database: str = ""
    compression: str = "zstd:1"
    replica_host: str = ""
    replica_wait_seconds: int = 60
    recipients: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    folders: dict[str, str] = field(default_factory=dict)
    media: dict[str, str] = field(default_factory=dict)
    role_passwords: bool = False
    retention: Retention = field(default_factory=Retention)
    stale_hours: int = 24


def load(path: Path) -> Config:
    """Read and check the configuration.

    Raises:
        BackupError: it can't be read or something in it is wrong; all faults are named.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BackupError(f"{path}: {error}") from error
    return parse(found, str(path))


def parse(found: Any, where: str) -> Config:
    """Return the configuration that plain data describes.

    Raises:
        BackupError: something is wrong; all faults are named.
    """
    faults: list[str] = []
    config = _build(Config, found, "", faults)
    if not faults:
        faults = _rules(config)
    if faults:
        raise BackupError(f"{where}: " + "; ".join(faults))
    checked: Config = config
    return checked


def _build(cls: Any, found: Any, path: str, faults: list[str]) -> Any:
    """Return an instance of a dataclass, or None with the faults noted."""
    if not isinstance(found, dict):
        faults.append(f"{path.rstrip('.') or 'the configuration'} must be a mapping")
        return None
    hints = typing.get_type_hints(cls)
    values = {}
    for item in dataclasses.fields(cls):
        if item.name in found:
            values[item.name] = _value(hints[item.name], found[item.name], f"{path}{item.name}", faults)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            faults.append(f"{path}{item.name} is missing")
    faults += [f"{path}{name} is unknown; known are {', '.join(sorted(hints))}" for name in found if name not in hints]
    return None if faults else cls(**values)


def _value(hint: Any, found: Any, path: str, faults: list[str]) -> Any:
    """Return a value of the type that is wanted, or None with the fault noted."""
    if dataclasses.is_dataclass(hint):
        return _build(hint, found, f"{path}.", faults)
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(found, list) and all(isinstance(one, str) for one in found):
        return tuple(found)
    if origin is dict and isinstance(found, dict) and all(isinstance(one, str) for one in found.values()):
        return dict(found)
    # To Python, true is an int as well.
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(found) is hint:
        return found
    wanted = {tuple: "a list of texts", dict: "a mapping of texts"}.get(typing.cast("Any", origin), str(hint))
    wanted = getattr(hint, "__name__", wanted) if origin is None else wanted
    faults.append(f"{path} must be {wanted}, not {found!r}")
    return None


def _rules(config: Config) -> list[str]:
    """Return what is wrong with values of the right type."""
    target, kept = config.target, dataclasses.astuple(config.retention)
    checks = {
        "target.bucket is empty": not target.bucket,
        "target.prefix must not begin or end with a slash": target.prefix != target.prefix.strip("/"),
        "target.endpoint must begin with http:// or https://": bool(target.endpoint)
        and not target.endpoint.startswith(("http://", "https://")),
        "target.lock_mode must be GOVERNANCE, COMPLIANCE or empty": target.lock_mode
        not in {"", "GOVERNANCE", "COMPLIANCE"},
        "target.lock_days must be above 0 with lock_mode, and 0 without": bool(target.lock_mode)
        != (target.lock_days > 0),
        "target.kms_key needs server_side_encryption aws:kms": bool(target.kms_key)
        and not target.server_side_encryption.startswith("aws:kms"),
        "target.bytes_per_second must not be negative": target.bytes_per_second < 0,
        "target.attempts and uploads_at_once must be at least 1": min(target.attempts, target.uploads_at_once) < 1,
        f"target.part_mib must be at least {SMALLEST_PART_MIB}": target.part_mib < SMALLEST_PART_MIB,
        f"target.segment_mib must be from part_mib to {MOST_PARTS} times part_mib": not (
            target.part_mib <= target.segment_mib <= MOST_PARTS * target.part_mib
        ),
        "retention's counts must not be negative": min(kept) < 0,
        "retention must keep something": max(kept) == 0,
        "replica_wait_seconds must not be negative": config.replica_wait_seconds < 0,
        "stale_hours must be at least 1": config.stale_hours < 1,
        "names of folders and media must be lower-case letters, digits, hyphens, other than database and globals": any(
            not name.replace("-", "a").isalnum() or name != name.lower() or name in {"database", "globals"}
            for name in (*config.folders, *config.media)
        ),
    }
    return [fault for fault, wrong in checks.items() if wrong]
